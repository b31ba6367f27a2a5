"""What happens next: graphs, the runner that drives them, and what a node may do."""

from typing import TYPE_CHECKING

from midstream.lazily import lazily

if TYPE_CHECKING:
    from midstream.engine.agents.agent import Agent
    from midstream.engine.agents.memory import Memory, Recall, Remembered, ThreadMemory
    from midstream.engine.clock import Clock
    from midstream.engine.contexts.context import Context
    from midstream.engine.engine import Engine
    from midstream.engine.graphs.graph import From, Graph, Node
    from midstream.engine.limits import Limits
    from midstream.engine.models.model_calls import Reply, TypedReply
    from midstream.engine.nodes.node import Continue
    from midstream.engine.people.answers import OpenQuestion
    from midstream.engine.people.people import Answered
    from midstream.engine.policies.migrate import MigrationPlan
    from midstream.engine.ready.plan import Plan, PlannedEdge, PlannedNode
    from midstream.engine.requests.context_policy import ContextPolicy
    from midstream.engine.retry import Retry
    from midstream.engine.runs.agent_runs import AgentRun
    from midstream.engine.runs.conversation_graph import conversation
    from midstream.engine.runs.run import Piece, Run
    from midstream.engine.runs.run_view import RunView
    from midstream.engine.spending.budget import Budget
    from midstream.engine.tools.tool import RETRY_CALL, Tool, ToolContext, UnknownCall, tool
    from midstream.engine.tools.toolbox import Toolbox

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

_MODULES = {
    "RETRY_CALL": "tools.tool",
    "Agent": "agents.agent",
    "AgentRun": "runs.agent_runs",
    "Answered": "people.people",
    "Budget": "spending.budget",
    "Clock": "clock",
    "Context": "contexts.context",
    "ContextPolicy": "requests.context_policy",
    "Continue": "nodes.node",
    "Engine": "engine",
    "From": "graphs.graph",
    "Graph": "graphs.graph",
    "Limits": "limits",
    "Memory": "agents.memory",
    "MigrationPlan": "policies.migrate",
    "Node": "graphs.graph",
    "OpenQuestion": "people.answers",
    "Piece": "runs.run",
    "Plan": "ready.plan",
    "PlannedEdge": "ready.plan",
    "PlannedNode": "ready.plan",
    "Recall": "agents.memory",
    "Remembered": "agents.memory",
    "Reply": "models.model_calls",
    "Retry": "retry",
    "Run": "runs.run",
    "RunView": "runs.run_view",
    "ThreadMemory": "agents.memory",
    "Tool": "tools.tool",
    "ToolContext": "tools.tool",
    "Toolbox": "tools.toolbox",
    "TypedReply": "models.model_calls",
    "UnknownCall": "tools.tool",
    "conversation": "runs.conversation_graph",
    "tool": "tools.tool",
}
"""Where each of them is made."""


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    # who looks at a log needs few of the modules here
    __getattr__ = lazily(globals(), _MODULES)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
