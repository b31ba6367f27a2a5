"""Putting each part where a message of its role can hold it, before calls and results are paired.

The engine's own segments are in order. Imported ones may not be: results after what the user said next, results inside a
user's message, calls in a user's message. A repair looks at its segment only, which is sealed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from midstream.adapters.changes import hints_lost, loss, repair
from midstream.adapters.places import Places
from midstream.adapters.readable import has_thought, readable, server_tool_words
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


def put_in_place(segment: Segment, places: Places) -> tuple[Segment, tuple[Change, ...]]:
    """Return the segment with its parts and messages in their places, and what was changed for that."""
    if all(map(_is_in_place, segment.messages)) and _is_in_order(segment.messages):
        return segment, ()
    changes: list[Change] = []
    told: list[Message] = []
    for message in segment.messages:
        told += _split(message, segment.seq, changes, places)
    ordered = _results_first(told)
    if any(a is not b for a, b in zip(ordered, told, strict=True)):
        changes.append(
            repair("reordered", segment.seq, "results of tools were put right after their calls")
        )
    return replace(segment, messages=tuple(ordered)), tuple(changes)


def _is_in_place(message: Message) -> bool:
    return _ALLOWED[message.role].issuperset(map(type, message.parts))


def _is_in_order(messages: Sequence[Message]) -> bool:
    """Tell whether no result of a tool stands after what somebody else said since the answer."""
    between = False
    for message in messages:
        if message.role == "tool" and between:
            return False
        between = message.role != "assistant" and (between or message.role != "tool")
    return True


def _split(message: Message, seq: int, changes: list[Change], at: Places) -> list[Message]:
    """Return the message as messages that hold only what their role can: results first, then the rest."""
    results = tuple(part for part in message.parts if isinstance(part, ToolResult))
    if message.role == "tool" and len(results) == len(message.parts):
        return [message]
    if message.role == "assistant" and not results:
        return [message]
    others: list[Part] = []
    for part in message.parts:
        if not isinstance(part, ToolResult):
            others += _admitted(message, part, seq, changes, at)
    told = [Message(role="tool", parts=results)] if results else []
    if others or not results:
        native = None if results else message.native  # it holds the results, too
        kept = message.model_copy(update={"parts": tuple(others), "native": native})
        if message.role == "tool":
            detail = "what stood beside the results of tools is told as a turn of the user"
            changes.append(repair("turn_split", seq, detail))
            kept = Message(role="user", parts=tuple(others))
        told.insert(0 if message.role == "assistant" else len(told), kept)
    return told


def _admitted(
    message: Message, part: Part, seq: int, changes: list[Change], at: Places
) -> Sequence[Part]:
    """Return the part as a message of this role can hold it."""
    if message.role == "assistant" or isinstance(part, Text):
        return (part,)
    if message.role != "system" and isinstance(part, Image | Document | Audio | Opaque):
        return (part,)
    place, where = at.of(part), f"{part.type} in a {message.role} turn"
    text = _words_of(part)
    changes += hints_lost(part, seq, place)
    if isinstance(part, Reasoning) and not has_thought(part):
        return ()
    if text is None:
        changes.append(loss("part_dropped", seq, where, place))
        return ()
    if isinstance(part, ServerTool) and not readable(part):
        detail = f"{part.name} of {part.dialect}: nothing of it can be read"
        changes.append(loss("server_tool_dropped", seq, detail, place))
    elif text.strip():
        changes.append(repair("part_degraded", seq, where, place))
    told = Text(text=text)
    at.stands_for(told, part)
    return (told,)


def _words_of(part: Part) -> str | None:
    """Return what can be read of a part that only an answer holds, or None where that is nothing."""
    match part:
        case ToolCall():
            return f"Call of tool {part.name} (call {part.id}): {part.arguments}"
        case Refusal():
            return part.text
        case ServerTool():
            return server_tool_words(part)
        case Text() | Reasoning() | ToolResult() | Image() | Document() | Audio() | Opaque():
            return None


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
