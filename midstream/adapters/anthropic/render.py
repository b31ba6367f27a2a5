"""Neutral conversation to Anthropic's Messages.

Instructions from before the first turn are in the head. A later one is an entry of its own where the model takes that, right
before the answer it is meant for, since it must not stand before a turn of the user; elsewhere it is a turn of the user.
Results are one turn of the user, in the order of the calls. Neighbouring turns of one role count as one for the service.
Source: platform.claude.com/docs, handle-tool-calls and preserved-thinking; recorded 400s for what they do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from midstream.adapters.anthropic.plain import PlainTurns
from midstream.adapters.anthropic.returning import DIALECT, paused, without_unpaired
from midstream.adapters.capabilities import Family
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.pictures import Picture
from midstream.adapters.readable import document_words
from midstream.adapters.telling import Fit, speech_of, spoken_by, vendor
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import INVALID, arguments_object, is_array, is_object
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ResultPart,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

IDS = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 256, "toolu_", words=True)
NAMES = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 128)
IMAGE = 5_242_880
"""Characters of an image in base64 that the service takes; more is a 400, in each request from then on.

Source: 400 `image exceeds 5 MB maximum: 6275800 bytes > 5242880 bytes`, which counts the characters.
"""
TITLE = 500
"""Characters of a document's title that the service takes."""

Tail = Literal["", "user", "results", "assistant", "paused"]
"""How the conversation ends so far; `paused` is a turn that the service itself goes on with."""


def render(view: View, segment: Segment, provider: str, family: Family) -> View:
    """See `Adapter.render`."""
    return Teller(view, segment.seq, provider, family).segment(segment)


def render_all(view: View, segments: Iterable[Segment], provider: str, family: Family) -> View:
    """See `midstream.adapters.base.BulkAdapter`."""
    return Teller(view, 0, provider, family).segments(segments)


def closing(view: View, provider: str, family: Family) -> Teller:
    """Return what a request must add to the view to be valid; an answer to it is rendered after the same."""
    telling = Teller(view, 0, provider, family)
    telling.close()
    telling.release(goes_on=True)
    telling.before_answer()
    return telling


class Teller(PlainTurns):
    """Says messages in the words of Messages."""

    __slots__ = ("_family", "_provider")

    def __init__(self, view: View, seq: int, provider: str, family: Family) -> None:
        super().__init__(view, seq, speech_of(provider, DIALECT, IDS, NAMES, longest_image=IMAGE))
        self._provider, self._family = provider, family

    @property
    def degrades(self) -> bool:
        """See `Frame.degrades`."""
        return "midway" not in self._family.traits

    @property
    def tail(self) -> Tail:
        """How the conversation ends so far."""
        tail: Tail = self.state.get("tail", "")
        return tail

    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Frame.tools`; what comes on the way is a new beginning: only the SDK's beta types have `tool_addition`."""
        if tools and not self._family.capabilities.tools:
            self.loss("tool_dropped", "the model calls no tools")
            return
        told: list[dict[str, Any]] = []
        for tool in self.declared(tools):
            if tool.spec.strict:
                self.repair("strict_dropped", f"of tool {tool.spec.name!r}")
            about = {"description": tool.description} if tool.description else {}
            block = {"name": tool.name, **about, "input_schema": tool.schema}
            told.append(self.declaration(block, tool.spec))
        self.declare(told)

    def tell(self, message: Message) -> None:
        """See `Frame.tell`."""
        match message.role:
            case "system":
                self._instruction(message)
            case "user":
                self._user(message)
            case "assistant":
                self._assistant(message)
            case "tool":
                self._results(message)

    def as_own(self, message: Message) -> list[dict[str, Any]]:
        """See `Homeward.as_own`."""
        ids = [call.id for call in message.tool_calls]
        return self._blocks(message, ids, own=True)

    def before_answer(self) -> None:
        """Say what has to stand before an answer: an instruction that waits, and a turn of the user."""
        waiting: tuple[dict[str, Any], ...] = self.state.get("waiting", ())
        if waiting and self.tail in ("user", "results"):
            self._say("system", list(waiting), self.tail)
            self.remember(waiting=())
        elif waiting:
            self.remember(waiting=())
            self._degraded([block["text"] for block in waiting])
        elif self.tail in ("", "assistant"):
            self.remember()
            self.fill()

    def tell_before(self, message: Message) -> None:
        """Tell a turn of the user before the instruction that stands right before the answer, if one does."""
        waited = self.items[-1:] if self.items and self.items[-1]["role"] == "system" else []
        self.items = self.items[: len(self.items) - len(waited)]
        self.tell(message)
        self.items += waited

    def release(self, *, goes_on: bool) -> None:
        """Tell an answer that waits to be gone on with: whole where it is, and else without the calls that were not answered.

        The service takes a call of its own tool without its result only at the end of a conversation.
        """
        held: tuple[dict[str, Any], ...] = self.state.get("held", ())
        if not held:
            return
        self.remember(held=())
        blocks = list(held) if goes_on else without_unpaired(held)
        if len(blocks) < len(held):
            self.loss("part_dropped", "a call of the service's own tool that nobody answered")
        if blocks:
            self._say("assistant", blocks, "paused" if paused(blocks) else "assistant")

    def _say(self, role: str, content: Any, tail: Tail) -> None:
        self.items.append({"role": role, "content": content})
        self.remember(tail=tail)
        self.count_marks(content)

    def _instruction(self, message: Message) -> None:
        self.cited_nowhere(message)
        texts = [part for part in message.parts if isinstance(part, Text)]
        kept = [text for text in texts if text.text.strip()]
        if len(kept) < len(texts):
            self.repair("empty_dropped", "an instruction without a character that can be read")
        if not kept:
            return
        blocks = [
            self.hinted({"type": "text", "text": self.whole(text.text)}, text, place)
            for place, text in enumerate(message.parts)
            if isinstance(text, Text) and text.text.strip()
        ]
        self.release(goes_on=False)
        if self.empty:
            self.set_head("system", [*self.head.get("system", ()), *blocks])
        elif "midway" in self._family.traits:
            self.remember(waiting=(*self.state.get("waiting", ()), *blocks))
        else:
            self._degraded([block["text"] for block in blocks])

    def _degraded(self, texts: Sequence[str]) -> None:
        self.repair("instruction_degraded", "told as a turn of the user")
        blocks = [{"type": "text", "text": INSTRUCTION + text} for text in texts]
        self._say("user", blocks, "user")

    def _user(self, message: Message) -> None:
        native = self.verbatim(message)
        self.went_back = is_object(native)
        content = native.get("content") if is_object(native) else _short(self._shown(message))
        if not content:
            return
        self.release(goes_on=False)
        if self.state.get("waiting"):
            self.repair("reordered", "an instruction that waits is told after this turn")
        self._say("user", content, "user")

    def _shown(self, message: Message) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        for place, part in enumerate(message.parts):
            match part:
                case Text() | Image() | Document() | Audio() | Opaque():
                    blocks += self._content(part, place)
                case Reasoning() | ToolCall() | ToolResult() | ServerTool() | Refusal():
                    raise AssertionError("put_in_place() leaves no such part in a turn of the user")
        return blocks

    def _content(self, part: ResultPart, place: int) -> list[dict[str, Any]]:
        """Return a part of a turn of the user, or of the result of a tool."""
        match part:
            case Text():
                self.uncited(part, place)
                return [self.hinted(block, part, place) for block in self._text(part.text, place)]
            case Image():
                return [self.hinted(self._image(part, place), part, place)]
            case Document():
                return [self.hinted(self._document(part, place), part, place)]
            case Audio():
                return [{"type": "text", "text": self.audio_as_text(part, place)}]
            case Opaque(dialect=dialect, data=dict(data)) if dialect == DIALECT:
                return [self.hinted(data, part, place)]
            case Opaque():
                self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                return []

    def _assistant(self, message: Message) -> None:
        self.release(goes_on=True)
        calls = message.tool_calls
        own = spoken_by(message, self._provider, DIALECT)
        mapped = len(self.noted)
        ids = self.wire_ids(calls)
        native = message.native.get("content") if is_object(message.native) else None
        if own and is_array(native) and _ids(native) == ids:
            blocks: list[Any] = native
            self.went_back = True
        else:
            blocks = self._blocks(message, ids, own=own)
        if not blocks:
            if not (message.parts and self.lost_since(mapped)):
                self.repair("empty_dropped", "an answer without content")
            return
        if self.tail or self.state.get("waiting"):  # a conversation may begin with an answer
            self.before_answer()
        thought = blocks[0].get("type") in ("thinking", "redacted_thinking")
        self.remember(unthought=bool(calls) and not thought)
        if len(without_unpaired(blocks)) < len(blocks):
            self.remember(held=tuple(blocks))
        else:
            self._say("assistant", blocks, "paused" if paused(blocks) else "assistant")

    def _blocks(self, message: Message, ids: Sequence[str], *, own: bool) -> list[dict[str, Any]]:
        blocks: list[dict[str, Any]] = []
        told = iter(ids)
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    said = self._said(part, place, own=own)
                    blocks += [self.hinted(block, part, place) for block in said]
                case ToolCall():
                    blocks.append(self.hinted(self._call(part, next(told), place), part, place))
                case Reasoning():
                    blocks += self._thought(message, part, place, own=own)
                case Refusal():
                    if part.text.strip():
                        self.repair("refusal_as_text", "the dialect has no field for it", place)
                    blocks += self._text(part.text, place)
                case (
                    Opaque(dialect=dialect, data=dict(data))
                    | ServerTool(dialect=dialect, data=dict(data))
                ) if own and dialect == DIALECT:
                    blocks.append(self.hinted(data, part, place))
                case ServerTool() | Audio() | Document() | Opaque() | Image() | ToolResult():
                    blocks += self._not_in_answer(part, place)
        return blocks

    def _thought(
        self, message: Message, part: Reasoning, place: int, *, own: bool
    ) -> list[dict[str, Any]]:
        """Return what the model thought, where it is given that back."""
        if not own or not part.proof:
            self.unthought(message, part, place)
            return []
        if part.summary or (part.redacted and part.text.strip()):
            self.loss("reasoning_dropped", "words that the service has no field for", place)
        if part.redacted:
            return [{"type": "redacted_thinking", "data": part.proof}]
        return [{"type": "thinking", "thinking": part.text, "signature": part.proof}]

    def _not_in_answer(
        self, part: ServerTool | Audio | Document | Opaque | Image | ToolResult, place: int
    ) -> list[dict[str, Any]]:
        """Return what can be read of a part that the model did not say, or that it cannot be given back."""
        match part:
            case ServerTool():
                return self._text(self.server_tool_as_text(part, place), place)
            case Audio():
                return self._text(self.audio_as_text(part, place), place)
            case Document():
                return self._text(self.document_as_text(part, place), place)
            case Opaque():
                self.loss("opaque_dropped", f"a block of {part.dialect}", place)
            case Image() | ToolResult():  # results were put in messages of their own
                self.loss("image_dropped", "an answer takes no images", place)
        return []

    def _call(self, call: ToolCall, id_: str, part: int) -> dict[str, Any]:
        call = self.wrapped(call)
        found = arguments_object(call.arguments)
        if found is None:
            self.repair("arguments_wrapped", f"those of call {call.id!r} are no object", part)
            found = {INVALID: call.arguments}
        return {"type": "tool_use", "id": id_, "name": self.alias(call.name), "input": found}

    def _results(self, message: Message) -> None:
        self.release(goes_on=False)
        ids: Sequence[str] = self.state.get("calls", ())
        blocks: list[dict[str, Any]] = []
        for id_, result in zip(ids, self.results_of(message), strict=True):
            content: list[dict[str, Any]] = []
            for place, part in enumerate(result.parts):
                if not isinstance(part, Text) or part.text:
                    content += self._content(part, place)
            block: dict[str, Any] = {
                "type": "tool_result",
                "tool_use_id": id_,
                "content": _short(content) or "",
            }
            block = {**block, "is_error": True} if result.is_error else block
            blocks.append(self.hinted(block, result, None))
        self._say("user", blocks, "results")

    def _text(self, text: str, part: int) -> list[dict[str, Any]]:
        """Return the text as a block, or nothing where the service would refuse it as empty."""
        if text.strip():
            return [{"type": "text", "text": text}]
        self.repair("empty_dropped", "a text without a character that can be read", part)
        return []

    def _said(self, part: Text, place: int, *, own: bool) -> list[dict[str, Any]]:
        """Return a text of an answer; what the provider wrote itself may be white space and has its citations."""
        if not own or not part.text:
            self.uncited(part, place)
            return self._text(part.text, place)
        block: dict[str, Any] = {"type": "text", "text": part.text}
        natives = [citation.native for citation in part.citations]
        if natives and all(is_object(native) for native in natives):
            return [{**block, "citations": natives}]
        self.uncited(part, place)
        return [block]

    def _document(self, document: Document, part: int) -> dict[str, Any]:
        """Return a document as a block, or as text where the service takes no such document."""
        source = self._document_source(document)
        if source is None:
            return {"type": "text", "text": self.document_as_text(document, part)}
        title = {"title": self.named(document.name, TITLE, part)} if document.name.strip() else {}
        return {"type": "document", "source": source, **title}

    def _document_source(self, document: Document) -> dict[str, Any] | None:
        pdf = document.media_type == "application/pdf"
        if not self._family.capabilities.documents:
            return None
        if document.file_id and document.provider == vendor(self._provider):
            return {"type": "file", "file_id": document.file_id}
        if pdf and document.data:
            return {"type": "base64", "media_type": "application/pdf", "data": document.data}
        if pdf and (document.url or "").startswith(("https://", "http://")):
            return {"type": "url", "url": document.url}
        words = document_words(document) if document.media_type == "text/plain" else None
        if words is None or not words.strip():
            return None
        return {"type": "text", "media_type": "text/plain", "data": words}

    def _image(self, image: Image, part: int) -> dict[str, Any]:
        told = self.picture(image, supported=self._family.capabilities.images, part=part)
        if told is None:
            return {"type": "text", "text": "[image]"}
        return {"type": "image", "source": _source(told)}


def _source(told: Picture) -> dict[str, Any]:
    if told.file_id is not None:
        return {"type": "file", "file_id": told.file_id}
    if told.data is None:
        return {"type": "url", "url": told.url}
    return {"type": "base64", "media_type": told.media_type, "data": told.data}


def _short(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a single text as itself."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks


def _ids(blocks: Sequence[Any]) -> tuple[str, ...]:
    return tuple(block["id"] for block in blocks if block.get("type") == "tool_use")
