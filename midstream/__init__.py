"""Change models midstream: an event-sourced workflow engine for LLM work.

A run is a stream of immutable events. Whatever else there is (its state, its conversations, what a provider is told, what
it has cost) is folded from them, so a run can be killed, resumed elsewhere, and moved to another provider's model in the
middle of a tool loop.
"""

import gc
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from midstream import adapters as adapters
    from midstream import engine as engine
    from midstream import errors as errors
    from midstream import events as events
    from midstream import projections as projections
    from midstream import testing as testing
    from midstream.adapters.convert import Converted, convert
    from midstream.engine import (
        RETRY_CALL,
        Agent,
        AgentRun,
        Answered,
        Budget,
        Context,
        ContextPolicy,
        Continue,
        Engine,
        From,
        Graph,
        Limits,
        MigrationPlan,
        OpenQuestion,
        Piece,
        Plan,
        PlannedEdge,
        PlannedNode,
        Reply,
        Retry,
        Run,
        RunView,
        ThreadMemory,
        Tool,
        Toolbox,
        ToolContext,
        TypedReply,
        UnknownCall,
        conversation,
        tool,
    )
    from midstream.errors import MidstreamError
    from midstream.events import Event, EventStore, Message

__version__ = "0.1.0"

__all__ = [
    "RETRY_CALL",
    "Agent",
    "AgentRun",
    "Answered",
    "Budget",
    "Context",
    "ContextPolicy",
    "Continue",
    "Converted",
    "Engine",
    "Event",
    "EventStore",
    "From",
    "Graph",
    "Limits",
    "Message",
    "MidstreamError",
    "MigrationPlan",
    "OpenQuestion",
    "Piece",
    "Plan",
    "PlannedEdge",
    "PlannedNode",
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
    "convert",
    "tool",
]

_ROOMS = ("adapters", "engine", "errors", "events", "projections", "testing")
"""The packages and modules below this one."""

_ELSEWHERE = {
    "Converted": "midstream.adapters.convert",
    "Event": "midstream.events",
    "EventStore": "midstream.events",
    "Message": "midstream.events",
    "MidstreamError": "midstream.errors",
    "convert": "midstream.adapters.convert",
}


if not TYPE_CHECKING:  # a checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        """Import what is exported when it is first asked for: `midstream --help` has no use for the engine."""
        if name in _ROOMS:  # `except midstream.errors.RunError` after `import midstream` alone
            return import_module(f"{__name__}.{name}")
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        loaded, was_collecting = len(sys.modules), gc.isenabled()
        gc.disable()  # what is imported stays: to look through it again and again is a tenth of the time
        try:
            found = getattr(import_module(_ELSEWHERE.get(name, "midstream.engine")), name)
        finally:
            if was_collecting:
                gc.enable()
            if was_collecting and len(sys.modules) > loaded:
                gc.collect(1)  # once, and here: else whoever makes the next object waits for it
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted((*globals(), *__all__))
