"""Change models midstream: an event-sourced workflow engine for LLM work.

A run is a stream of immutable events. Whatever else there is (its state, its conversations, what a provider is told, what
it has cost) is folded from them, so a run can be killed, resumed elsewhere, and moved to another provider's model in the
middle of a tool loop.
"""

from midstream.engine import (
    RETRY_CALL,
    Context,
    Engine,
    From,
    Graph,
    MigrationPlan,
    Piece,
    Reply,
    Retry,
    Run,
    Tool,
    ToolContext,
    UnknownCall,
    tool,
)
from midstream.errors import MidstreamError
from midstream.events import Event, EventStore, Message

__version__ = "0.1.0"

__all__ = [
    "RETRY_CALL",
    "Context",
    "Engine",
    "Event",
    "EventStore",
    "From",
    "Graph",
    "Message",
    "MidstreamError",
    "MigrationPlan",
    "Piece",
    "Reply",
    "Retry",
    "Run",
    "Tool",
    "ToolContext",
    "UnknownCall",
    "tool",
]
