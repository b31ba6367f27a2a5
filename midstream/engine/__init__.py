"""What happens next: graphs, the runner that drives them, and what a node may do."""

from midstream.engine.agent import Agent
from midstream.engine.agent_runs import AgentRun
from midstream.engine.answers import OpenQuestion
from midstream.engine.budget import Budget
from midstream.engine.clock import Clock
from midstream.engine.context import Context
from midstream.engine.context_policy import ContextPolicy
from midstream.engine.conversation_graph import conversation
from midstream.engine.engine import Engine
from midstream.engine.graph import From, Graph, Node
from midstream.engine.limits import Limits
from midstream.engine.memory import Memory, Recall, Remembered, ThreadMemory
from midstream.engine.migrate import MigrationPlan
from midstream.engine.model_calls import Reply, TypedReply
from midstream.engine.node import Continue
from midstream.engine.people import Answered
from midstream.engine.plan import Plan, PlannedEdge, PlannedNode
from midstream.engine.retry import Retry
from midstream.engine.run import Piece, Run
from midstream.engine.run_view import RunView
from midstream.engine.toolbox import Toolbox
from midstream.engine.tools import RETRY_CALL, Tool, ToolContext, UnknownCall, tool

__all__ = [
    "RETRY_CALL",
    "Agent",
    "AgentRun",
    "Answered",
    "Budget",
    "Clock",
    "Context",
    "ContextPolicy",
    "Continue",
    "Engine",
    "From",
    "Graph",
    "Limits",
    "Memory",
    "MigrationPlan",
    "Node",
    "OpenQuestion",
    "Piece",
    "Plan",
    "PlannedEdge",
    "PlannedNode",
    "Recall",
    "Remembered",
    "Reply",
    "Retry",
    "Run",
    "RunView",
    "ThreadMemory",
    "Tool",
    "ToolContext",
    "Toolbox",
    "TypedReply",
    "UnknownCall",
    "conversation",
    "tool",
]
