"""What happens next: graphs, the runner that drives them, and what a node may do."""

from midstream.engine.answers import OpenQuestion
from midstream.engine.clock import Clock
from midstream.engine.context import Context
from midstream.engine.engine import Engine
from midstream.engine.graph import From, Graph, Node
from midstream.engine.migrate import MigrationPlan
from midstream.engine.model_calls import Reply
from midstream.engine.people import Answered
from midstream.engine.retry import Retry
from midstream.engine.run import Piece, Run
from midstream.engine.toolbox import Toolbox
from midstream.engine.tools import RETRY_CALL, Tool, ToolContext, UnknownCall, tool

__all__ = [
    "RETRY_CALL",
    "Answered",
    "Clock",
    "Context",
    "Engine",
    "From",
    "Graph",
    "MigrationPlan",
    "Node",
    "OpenQuestion",
    "Piece",
    "Reply",
    "Retry",
    "Run",
    "Tool",
    "ToolContext",
    "Toolbox",
    "UnknownCall",
    "tool",
]
