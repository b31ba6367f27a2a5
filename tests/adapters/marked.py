"""A conversation of which every piece says something that no other piece says, so that it is found again wherever it is told."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from itertools import count
from typing import Any

from midstream.adapters.wire import is_object
from midstream.events.content import (
    Audio,
    Citation,
    Document,
    Image,
    Opaque,
    Reasoning,
    Refusal,
    Segment,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)


class Marker:
    """Marks what says something, and leaves what is empty as it is; and gives parts what only some dialects have.

    Args:
        origin: The model that is told; some of the answers become its own.
        dialect: Of its wire format, as in `Opaque.dialect`.
    """

    def __init__(self, origin: str = "", dialect: str = "") -> None:
        self._marks: Iterator[str] = (f"q{number}z" for number in count())
        self._turns = count()
        self._origin = origin
        self._dialect = dialect

    def segment(self, segment: Segment) -> Segment:
        """Return the segment, marked."""
        messages = tuple(
            message.model_copy(
                update={
                    "parts": tuple(map(self.part, message.parts)),
                    "origin": self._origin if self._now(2) else message.origin,
                }
            )
            for message in segment.messages
        )
        tools = segment.tools and tuple(
            tool.model_copy(update={"description": next(self._marks)}) for tool in segment.tools
        )
        system = segment.system and self._said(segment.system)
        return Segment(segment.seq, messages, system, tools)

    def part(self, part: Any) -> Any:
        """Return a part, marked; a new object in any case."""
        told: dict[str, Any] = dict(self._of(part))
        hints = dict(part.hints or {})
        if self._now(4):
            hints[self._dialect if self._now(2) else "nobody"] = {"special": "x"}
        if isinstance(part, Opaque | ServerTool) and self._now(2):
            told["dialect"] = self._dialect
        told["hints"] = {key: self._within(value) for key, value in hints.items()} or None
        return part.model_copy(update=told)

    def _now(self, every: int) -> bool:
        """Tell whether it is the turn of something that is done every so often."""
        return bool(self._dialect) and next(self._turns) % every == 0

    def _of(self, part: Any) -> Iterator[tuple[str, Any]]:
        match part:
            case Text() | Refusal():
                yield "text", self._said(part.text)
                if isinstance(part, Text):
                    yield "citations", tuple(map(self._cited, part.citations))
            case Image() | Document() | Audio():
                yield from self._medium(part)
            case ToolCall():
                yield "arguments", self._arguments(part)
            case ToolResult():
                yield "parts", tuple(map(self.part, part.parts))
            case Reasoning():
                yield "text", self._said(part.text)
                yield "item_id", part.item_id and part.item_id + next(self._marks)
                yield "summary", tuple(map(self._said, part.summary))
                yield "proof", part.proof and base64.b64encode(next(self._marks).encode()).decode()
            case ServerTool():
                yield "input", None if part.input is None else {"q": next(self._marks)}
                yield "text", self._said(part.text)
                yield "data", {"type": "unknown", "n": next(self._marks)}
            case Opaque():
                yield "data", {"type": "unknown", "n": next(self._marks)}
            case _:
                raise AssertionError(f"{type(part).__name__} is not known here")

    def _medium(self, part: Image | Document | Audio) -> Iterator[tuple[str, Any]]:
        if part.data:
            yield "data", self._bytes(part)
        if part.file_id:
            yield "file_id", part.file_id + next(self._marks)
        if not isinstance(part, Audio) and part.url:
            yield "url", f"{part.url}?{next(self._marks)}"
        if isinstance(part, Document):
            yield "name", self._said(part.name)
            yield "text", part.text and self._said(part.text)
        if isinstance(part, Audio):
            yield "transcript", self._said(part.transcript)

    def _bytes(self, part: Image | Document | Audio) -> str:
        assert part.data is not None
        mark = next(self._marks)
        if isinstance(part, Document) and part.media_type.startswith("text/"):
            return base64.b64encode(base64.b64decode(part.data) + mark.encode()).decode()
        return part.data.rstrip("=") + mark

    def _arguments(self, call: ToolCall) -> str:
        mark, said = next(self._marks), call.arguments
        if call.form == "text":
            return said + mark
        if said.startswith("{") and said.endswith("}"):
            comma = "," if len(said) > 2 else ""
            return f'{said[:-1]}{comma}"w":"{mark}"}}'
        return {"[]": f'["{mark}"]', "null": f'"{mark}"', "": f'{{"w":"{mark}"}}'}.get(
            said, f"{said}{mark}"
        )

    def _cited(self, citation: Citation) -> Citation:
        native = citation.native
        if isinstance(native, dict):
            native = {**native, "cited_text": next(self._marks)}
        ref = citation.ref and citation.ref + next(self._marks)
        title = citation.title and citation.title + next(self._marks)
        return citation.model_copy(update={"ref": ref, "title": title, "native": native})

    def _said(self, text: str) -> str:
        return text + next(self._marks) if text.strip() else text

    def _within(self, value: Any) -> Any:
        if is_object(value):
            return {key: self._within(item) for key, item in value.items()}
        return next(self._marks) if isinstance(value, str) else value
