"""What was read from Gemini's requests, in the words it was read in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, Literal

from midstream.adapters.frame import Frame
from midstream.adapters.gemini.parts import MODEL, wire_id
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import Message, ToolResult, ToolSpec

Tail = Literal["", "user", "results", "model"]
"""How the conversation ends so far."""
SYSTEM = frozenset(("systemInstruction", "system_instruction"))


class Homeward(Frame):
    """Gives messages and tools back; see `midstream.adapters.home`."""

    __slots__ = ()

    @abstractmethod
    def as_own(self, message: Message) -> list[dict[str, Any]]:
        """Return the parts of a turn of which nothing else is kept than its parts."""

    def give_back(self, message: Message) -> None:
        """See `Returning.give_back`."""
        native = message.native
        if message.role == "system" and is_object(native):
            for key in native.keys() & SYSTEM:
                self.set_head(key, native[key])
            return
        if is_array(native):  # two turns of the service that are one
            self.items += native
        elif is_object(native):
            self.items.append(native)
        else:
            role = MODEL if message.role == "assistant" else "user"
            self.items.append({"role": role, "parts": self.as_own(message)})
        self.remember(tail=_tail(message))
        if message.role == "assistant":
            calls = message.tool_calls
            self.remember(
                calls=tuple(wire_id(call) for call in calls),
                called=tuple(call.name for call in calls),
            )

    def give_back_tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Returning.give_back_tools`."""
        self.remember(declared=frozenset(tool.name for tool in tools))
        kept = tools[0].native if tools else None
        if kept is not None:  # all of it stands beside the first
            self.declare(kept)  # type: ignore[arg-type]  # it came as JSON, and goes back as it came
        else:
            self.tools(tools)


def _tail(message: Message) -> Tail:
    if message.role == "assistant":
        return "model"
    answered = any(isinstance(part, ToolResult) for part in message.parts)
    return "results" if answered else "user"
