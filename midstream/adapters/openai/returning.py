"""What was read from Chat Completions, in the words it was read in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from midstream.adapters.capabilities import Family
from midstream.adapters.frame import Frame
from midstream.adapters.telling import Speech
from midstream.adapters.view import View
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import Message, ToolResult, ToolSpec

DIALECT = "openai"


class Homeward(Frame):
    """Gives messages and tools back; see `midstream.adapters.home`.

    Args:
        view: See `Telling`.
        seq: See `Telling`.
        speech: See `Telling`.
        family: Of the model.
    """

    __slots__ = ("family",)

    def __init__(self, view: View, seq: int, speech: Speech, family: Family) -> None:
        super().__init__(view, seq, speech)
        self.family = family

    @abstractmethod
    def as_own(self, message: Message) -> dict[str, Any]:
        """Return an answer of which nothing else is kept than its parts."""

    @abstractmethod
    def as_user(self, message: Message) -> None:
        """Tell an instruction to a model that knows none."""

    def give_back(self, message: Message) -> None:
        """See `Returning.give_back`."""
        if message.role == "system" and not self.family.capabilities.tools:
            self.as_user(message)  # o1-mini and o1-preview
            return
        if message.role == "assistant":
            self.remember(calls=tuple(call.id for call in message.tool_calls))
        if is_array(message.native):
            self.items += message.native
        elif is_object(message.native):
            self.items.append(message.native)
        elif message.role == "tool":
            self.items += [
                {"role": "tool", "tool_call_id": part.id, "content": part.text}
                for part in message.parts
                if isinstance(part, ToolResult)
            ]
        elif message.role == "assistant":
            self.items.append(self.as_own(message))
        else:
            self.items.append({"role": message.role, "content": message.text})

    def give_back_tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Returning.give_back_tools`."""
        self.remember(declared=frozenset(tool.name for tool in tools))
        self.declare([_as_read(tool) for tool in tools])


def _as_read(tool: ToolSpec) -> dict[str, Any]:
    if tool.hosted and tool.hints:
        return dict(tool.hints[DIALECT])
    if is_object(tool.native):
        return tool.native
    about = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    strict = {} if tool.strict is None else {"strict": tool.strict}
    return {"type": "function", "function": {**about, **strict}}
