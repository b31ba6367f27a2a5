"""A conversation that comes back to where it was read from: what the provider took once, it is sent as it was.

Nothing is repaired on the way: the provider has seen it, and may have bound what it said to every byte of it. That holds for
as long as the whole view came from there; the first segment that did not ends it, and is told like any other.
"""

from __future__ import annotations

from typing import Protocol

from midstream.adapters.telling import Telling
from midstream.adapters.view import Segment, View
from midstream.events.content import Message, ToolCall, ToolSpec


class Returning(Protocol):
    """Says what was read in the words it was read in."""

    __slots__ = ()

    def give_back(self, message: Message) -> None:
        """Tell one message as it was."""
        ...

    def give_back_tools(self, tools: tuple[ToolSpec, ...]) -> None:
        """Tell the list of tools as it was."""
        ...


def at_home(told: View | Telling, segment: Segment, dialect: str) -> bool:
    """Tell whether the segment and all that was told before it were read from this wire format."""
    if not told.state.get("home", told.empty and not told.head):
        return False
    if segment.system is not None:
        return False
    return all(message.dialect == dialect for message in segment.messages) and all(
        tool.dialect == dialect for tool in segment.tools or ()
    )


def give_back(telling: Returning, segment: Segment) -> tuple[ToolCall, ...]:
    """Tell the segment as it was, and return the calls that are open after it."""
    if segment.tools is not None:
        telling.give_back_tools(segment.tools)
    for message in segment.messages:
        telling.give_back(message)
    return segment.messages[-1].tool_calls if segment.messages else ()
