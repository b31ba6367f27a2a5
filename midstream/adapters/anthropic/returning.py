"""What was read from Messages, in the words it was read in."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

from midstream.adapters.anthropic.marks import marked
from midstream.adapters.frame import Frame
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import Message, ToolResult, ToolSpec

DIALECT = "anthropic"
_SERVER_CALLS = ("server_tool_use", "mcp_tool_use")


class Homeward(Frame):
    """Gives messages and tools back; see `midstream.adapters.home`."""

    __slots__ = ()

    @abstractmethod
    def as_own(self, message: Message) -> list[dict[str, Any]]:
        """Return an answer, or an instruction, of which nothing else is kept than its parts."""

    def count_marks(self, content: Any) -> None:
        """Remember how many blocks ask to be cached."""
        found = marked(content)
        if found:
            self.remember(marks=self.state.get("marks", 0) + found)

    def give_back(self, message: Message) -> None:
        """See `Returning.give_back`."""
        native = message.native
        if message.role == "system" and not (is_object(native) and "role" in native):
            kept = native["system"] if is_object(native) else self.as_own(message)
            self.set_head("system", kept)
            return
        told: list[dict[str, Any]] = native if is_array(native) else [self._as_read(message)]
        self.items += told
        for item in told:
            self.count_marks(item.get("content"))
        blocks = _list(told[-1].get("content") or [])
        calls = message.tool_calls
        if message.role == "assistant":
            first = blocks[0].get("type") if blocks else ""
            thought = first in ("thinking", "redacted_thinking")
            self.remember(
                calls=tuple(call.id for call in calls),
                unthought=bool(calls) and not thought,
                tail="paused" if blocks and paused(blocks) else "assistant",
            )
        elif message.role != "system":
            answered = any(isinstance(part, ToolResult) for part in message.parts)
            self.remember(tail="results" if answered else "user")

    def give_back_tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Returning.give_back_tools`."""
        self.remember(declared=frozenset(tool.name for tool in tools))
        self.declare([_tool(tool) for tool in tools])

    def _as_read(self, message: Message) -> dict[str, Any]:
        if is_object(message.native):
            return message.native
        if message.role == "user":
            return {"role": "user", "content": message.text}
        return {"role": message.role, "content": self.as_own(message)}


def without_unpaired(blocks: Sequence[Any]) -> list[Any]:
    """Return the blocks without the calls of the service's own tools that have no result among them."""
    answered = {block.get("tool_use_id") for block in blocks}
    return [
        block
        for block in blocks
        if block.get("type") not in _SERVER_CALLS or block.get("id") in answered
    ]


def paused(blocks: Sequence[Any]) -> bool:
    """Tell whether the service goes on with this turn by itself: it ends with a tool of the service."""
    kind = str(blocks[-1].get("type", ""))
    return kind.endswith("_tool_result") or kind in _SERVER_CALLS


def _tool(tool: ToolSpec) -> dict[str, Any]:
    if tool.hosted and tool.hints:
        return dict(tool.hints[DIALECT])
    if is_object(tool.native):
        return tool.native
    about = {"name": tool.name, "description": tool.description}
    return {**about, "input_schema": tool.parameters}


def _list(content: Any) -> list[dict[str, Any]]:
    return content if is_array(content) else [{"type": "text", "text": content}]
