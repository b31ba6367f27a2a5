"""Putting each part where a message of its role can hold it, before calls and results are paired.

The engine's own segments are in order. Imported ones may not be: results after what the user said next, results inside a
user's message, calls in a user's message. A repair looks at its segment only, which is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from midstream.adapters.changes import loss, repair
from midstream.adapters.readable import server_tool_words
from midstream.adapters.view import Segment
from midstream.events.content import (
    Audio,
    Block,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)
from midstream.events.payloads import Change

_SHOWN = (Text, Image, Document, Audio, Opaque)
_ALLOWED: Mapping[str, frozenset[type[Block]]] = {
    "system": frozenset((Text,)),
    "user": frozenset(_SHOWN),
    "assistant": frozenset((*_SHOWN, Reasoning, ToolCall, ServerTool, Refusal)),
    "tool": frozenset((ToolResult,)),
}
"""What a message of each role can hold."""


def put_in_place(segment: Segment) -> tuple[Segment, tuple[Change, ...]]:
    """Return the segment with its parts and messages in their places, and what was changed for that."""
    if len(segment.messages) < 2 and all(map(_is_in_place, segment.messages)):
        return segment, ()
    changes: list[Change] = []
    told: list[Message] = []
    for message in segment.messages:
        told += _split(message, segment.seq, changes)
    ordered = _results_first(told)
    if any(a is not b for a, b in zip(ordered, told, strict=True)):
        changes.append(
            repair("reordered", segment.seq, "results of tools were put right after their calls")
        )
    return replace(segment, messages=tuple(ordered)), tuple(changes)


def _is_in_place(message: Message) -> bool:
    return _ALLOWED[message.role].issuperset(map(type, message.parts))


def _split(message: Message, seq: int, changes: list[Change]) -> list[Message]:
    """Return the message as messages that hold only what their role can: results first, then the rest."""
    results = tuple(part for part in message.parts if isinstance(part, ToolResult))
    if message.role == "tool" and len(results) == len(message.parts):
        return [message]
    if message.role == "assistant" and not results:
        return [message]
    others: list[Part] = []
    for place, part in enumerate(message.parts):
        if not isinstance(part, ToolResult):
            others += _admitted(message, place, part, seq, changes)
    told = [Message(role="tool", parts=results)] if results else []
    if others or not results:
        native = None if results else message.native  # it holds the results, too
        kept = message.model_copy(update={"parts": tuple(others), "native": native})
        if message.role == "tool":
            changes.append(repair("part_degraded", seq, "what stood beside the results of tools"))
            kept = Message(role="user", parts=tuple(others))
        told.insert(0 if message.role == "assistant" else len(told), kept)
    return told


def _admitted(
    message: Message, place: int, part: Part, seq: int, changes: list[Change]
) -> Sequence[Part]:
    """Return the part as a message of this role can hold it."""
    if message.role == "assistant" or isinstance(part, Text):
        return (part,)
    match part:
        case Image() | Document() | Audio() | Opaque():
            if message.role != "system":
                return (part,)
            changes.append(loss("part_dropped", seq, f"{part.type} in an instruction", place))
            return ()
        case ToolCall():
            text = f"Call of tool {part.name} (call {part.id}): {part.arguments}"
        case Refusal():
            text = part.text
        case ServerTool():
            text = server_tool_words(part)
        case Reasoning() | ToolResult():
            changes.append(
                loss("part_dropped", seq, f"{part.type} in a {message.role} turn", place)
            )
            return ()
    changes.append(repair("part_degraded", seq, f"{part.type} in a {message.role} turn", place))
    return (Text(text=text),)


def _results_first(messages: Sequence[Message]) -> list[Message]:
    """Return the messages with results right after the assistant's turn that they follow."""
    ordered: list[Message] = []
    others: list[Message] = []
    for message in messages:
        if message.role == "assistant":
            ordered += [*others, message]
            others = []
        elif message.role == "tool":
            ordered.append(message)
        else:
            others.append(message)
    return ordered + others
