"""What happens next: graphs, the runner that drives them, and what a node may do."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
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

_MODULES = {
    "RETRY_CALL": "tools",
    "Agent": "agent",
    "AgentRun": "agent_runs",
    "Answered": "people",
    "Budget": "budget",
    "Clock": "clock",
    "Context": "context",
    "ContextPolicy": "context_policy",
    "Continue": "node",
    "Engine": "engine",
    "From": "graph",
    "Graph": "graph",
    "Limits": "limits",
    "Memory": "memory",
    "MigrationPlan": "migrate",
    "Node": "graph",
    "OpenQuestion": "answers",
    "Piece": "run",
    "Plan": "plan",
    "PlannedEdge": "plan",
    "PlannedNode": "plan",
    "Recall": "memory",
    "Remembered": "memory",
    "Reply": "model_calls",
    "Retry": "retry",
    "Run": "run",
    "RunView": "run_view",
    "ThreadMemory": "memory",
    "Tool": "tools",
    "ToolContext": "tools",
    "Toolbox": "toolbox",
    "TypedReply": "model_calls",
    "UnknownCall": "tools",
    "conversation": "conversation_graph",
    "tool": "tools",
}
"""Where each of them is made."""


def __getattr__(name: str) -> Any:
    """Import what is exported when it is first asked for: who looks at a log needs few of the modules here."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
