"""A conversation as plain text, for whoever has to read it at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Segment,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)


def transcript(segments: Iterable[Segment]) -> str:
    """Return what was said, a paragraph for each part, with who said it."""
    return "\n\n".join(line for segment in segments for line in _lines(segment))


def _lines(segment: Segment) -> Iterator[str]:
    if segment.system is not None:
        yield f"instruction: {segment.system}"
    for message in segment.messages:
        yield from words(message)


def words(message: Message) -> Iterator[str]:
    """Return what a message says, part by part; thoughts are nobody else's business."""
    for part in message.parts:
        said = _part(part)
        if said:
            yield f"{message.role}: {said}"


def _part(part: Part) -> str:
    match part:
        case Text() | Refusal():
            return part.text
        case ToolCall():
            return f"calls {part.name}({part.arguments}) [{part.id}]"
        case ToolResult():
            shown = "\n".join(filter(None, map(_part, part.parts)))
            failed = " failed" if part.is_error else ""
            return f"{part.name} [{part.id}]{failed}: {shown}"
        case ServerTool():
            return f"{part.name}: {part.text or part.input}"
        case Image():
            return "[an image]"
        case Document():
            return part.text or f"[document {part.name}]"
        case Audio():
            return part.transcript or "[audio]"
        case Reasoning() | Opaque():
            return ""
