"""What was read from Responses, in the words it was read in."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.adapters.frame import Frame
from midstream.adapters.responses.items import DIALECT, own_items
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import Message, ToolSpec

CALLS = ("function_call", "custom_tool_call")
"""Items that a tool of the caller answers."""


class Homeward(Frame):
    """Gives messages and tools back; see `midstream.adapters.home`."""

    __slots__ = ()

    def give_back(self, message: Message) -> None:
        """See `Returning.give_back`."""
        native = message.native
        if is_object(native) and "instructions" in native:
            self.set_head("instructions", native["instructions"])
        elif isinstance(native, str):
            self.remember(short=True)
            self.items.append({"role": "user", "content": native})
        elif message.role == "assistant":
            ids = [call.id for call in message.tool_calls]
            own = native if is_array(native) else own_items(message.parts, ids, str)
            items = own or []
            kinds = tuple(item["type"] for item in items if item.get("type") in CALLS)
            self.remember(calls=tuple(ids), kinds=kinds)
            self.items += items
        elif is_object(native):
            self.items.append(native)
        else:
            self.items.append({"role": message.role, "content": message.text})

    def give_back_tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Returning.give_back_tools`."""
        self.remember(
            declared=frozenset(tool.name for tool in tools),
            free=frozenset(tool.name for tool in tools if tool.form == "text"),
        )
        own = [tool.hints[DIALECT] if tool.hosted and tool.hints else tool.native for tool in tools]
        self.declare([dict(tool) for tool in own if is_object(tool)])
