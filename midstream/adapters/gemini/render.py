"""Neutral conversation to Gemini's `contents`: turns of the user and of the model, each a list of parts.

Instructions from before the first turn are in the head; a later one is a turn of the user. The results of one answer are one
turn of the user, in the order of the calls, right after it. Models from Gemini 3 on refuse calls of the running loop without
a thought signature, and take a word of the vendor's in its place for calls that another model made.
Source: ai.google.dev/gemini-api/docs/function-calling, thought-signatures, image-understanding, document-processing and
audio; recorded requests for what they do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from mimetypes import guess_type
from typing import Any

from midstream.adapters.capabilities import Family
from midstream.adapters.changes import Repair
from midstream.adapters.gemini.media import document_block, sound_block
from midstream.adapters.gemini.parts import (
    DIALECT,
    MADE,
    MODEL,
    blocks_of,
    call_of,
    own_parts,
    wire_id,
)
from midstream.adapters.gemini.plain import PlainTurns
from midstream.adapters.gemini.returning import Tail
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.pictures import Picture
from midstream.adapters.telling import Fit, speech_of, spoken_by
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import INVALID, arguments_object, is_object
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ResultPart,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

IDS = Fit(re.compile(r"[!-~]+"), 64, "call_", words=True)
NAMES = Fit(re.compile(r"[a-zA-Z_][a-zA-Z0-9_.:-]*"), 64)
UNSIGNED = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="
"""Stands for the signature of a call that another model made: `skip_thought_signature_validator`, in base64.

Source: ai.google.dev/gemini-api/docs/thought-signatures, FAQs.
"""

Blocks = list[dict[str, Any]]


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
    telling.before_answer()
    return telling


class Teller(PlainTurns):
    """Says messages in the words of Gemini."""

    __slots__ = ("_family", "_provider")

    def __init__(self, view: View, seq: int, provider: str, family: Family) -> None:
        super().__init__(view, seq, speech_of(provider, DIALECT, IDS, NAMES))
        self._provider = provider
        self._family = family

    @property
    def degrades(self) -> bool:
        """See `Frame.degrades`."""
        return True

    @property
    def tail(self) -> Tail:
        """How the conversation ends so far."""
        tail: Tail = self.state.get("tail", "")
        return tail

    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Frame.tools`."""
        if tools and not self._family.capabilities.tools:
            self.loss("tool_dropped", "the model calls no tools")
            return
        functions: Blocks = []
        hosted: Blocks = []
        for tool in self.declared(tools):
            if tool.spec.strict:
                self.repair("strict_dropped", f"of tool {tool.spec.name!r}")
            about = {"description": tool.description} if tool.description else {}
            block = {"name": tool.name, **about, "parametersJsonSchema": tool.schema}
            told = self.declaration(block, tool.spec)
            (hosted if tool.spec.hosted else functions).append(told)
        self.declare([*([{"functionDeclarations": functions}] if functions else []), *hosted])

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

    def as_own(self, message: Message) -> Blocks:
        """See `Homeward.as_own`."""
        if message.role != "assistant":
            return [{"text": message.text}]
        return own_parts(message.parts, [wire_id(call) for call in message.tool_calls], str) or []

    def before_answer(self, *, calls: bool = True) -> None:
        """Say what has to stand before an answer: a turn of the user, and none but a first text may stand without."""
        if self.tail == "model" or (calls and self.tail == ""):
            self.fill()

    def _say(self, role: str, blocks: Blocks, tail: Tail) -> None:
        self.items.append({"role": role, "parts": blocks})
        self.remember(tail=tail)

    def _instruction(self, message: Message) -> None:
        self.cited_nowhere(message)
        texts = [part for part in message.parts if isinstance(part, Text)]
        kept = [self.whole(text.text) for text in texts if text.text.strip()]
        if len(kept) < len(texts):
            self.repair("empty_dropped", "an instruction without a character that can be read")
        if not kept:
            return
        if self.empty and "uninstructed" not in self._family.traits:
            before = self.head.get("systemInstruction", {}).get("parts", [])
            told = [{"text": text} for text in kept]
            self.set_head("systemInstruction", {"parts": [*before, *told]})
            return
        self.repair("instruction_degraded", "told as a turn of the user")
        self._say("user", [{"text": INSTRUCTION + text} for text in kept], "user")

    def _user(self, message: Message) -> None:
        native = self.verbatim(message)
        if is_object(native):
            self.went_back = True
            self.items.append(native)
            self.remember(tail="user")
            return
        blocks = self._shown(message.parts)
        if blocks:
            self._say("user", blocks, "user")

    def _shown(self, parts: Sequence[Part]) -> Blocks:
        blocks: Blocks = []
        for place, part in enumerate(parts):
            match part:
                case Text() | Image() | Document() | Audio() | Opaque():
                    blocks += self._content(part, place)
                case Reasoning() | ToolCall() | ToolResult() | ServerTool() | Refusal():
                    raise AssertionError("put_in_place() leaves no such part in a turn of the user")
        return blocks

    def _content(self, part: ResultPart, place: int) -> Blocks:
        """Return a part of a turn of the user, or of the result of a tool."""
        match part:
            case Text():
                self.uncited(part, place)
                return [self.hinted(block, part, place) for block in self._text(part.text, place)]
            case Image() | Document() | Audio():
                block = self._medium(part, place)
                return self._text(self._words(part, place), place) if block is None else [block]
            case Opaque(dialect=dialect, data=dict(data)) if dialect == DIALECT:
                return [self.hinted(data, part, place)]
            case Opaque():
                self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                return []

    def _medium(self, part: Image | Document | Audio, place: int) -> dict[str, Any] | None:
        """Return what can be seen or heard as the service takes it, or None; says what was lost of an image."""
        can = self._family.capabilities
        block: dict[str, Any] | None = None
        match part:
            case Image():
                gif = part.data is not None and part.data.startswith("R0lGOD")
                if gif:
                    self.loss("image_dropped", "the service takes no GIF", place)
                else:
                    told = self.picture(part, supported=can.images, part=place)
                    block = None if told is None else _image(told, part)
            case Document():
                block = document_block(part) if can.documents else None
                if block is not None:
                    self.unnamed(part, {}, place)
            case Audio():
                block = sound_block(part) if can.audio else None
        return None if block is None else self.hinted(block, part, place)

    def _words(self, part: Image | Document | Audio, place: int) -> str:
        match part:
            case Image():
                return "[image]"
            case Document():
                return self.document_as_text(part, place)
            case Audio():
                return self.audio_as_text(part, place)

    def _assistant(self, message: Message) -> None:
        calls = message.tool_calls
        ids = self._ids(calls)
        own = spoken_by(message, self._provider, DIALECT)
        native = message.native
        mapped = len(self.noted)
        kept = own and is_object(native) and _called(native) == list(ids)
        self.went_back = kept
        blocks = (
            blocks_of(native) if kept and is_object(native) else self._blocks(message, ids, own)
        )
        if not blocks:
            if not (message.parts and self.lost_since(mapped)):
                self.repair("empty_dropped", "an answer without content")
            return
        self.before_answer(calls=bool(calls))
        self._say(MODEL, self.signed(blocks), "model")

    def _ids(self, calls: Sequence[ToolCall]) -> tuple[str, ...]:
        """Return the id of each call, empty where the service gave none."""
        told = self.wire_ids(calls)
        ids = tuple("" if MADE.fullmatch(id_) else id_ for id_ in told)
        self.remember(calls=ids, called=tuple(self.alias(call.name) for call in calls))
        return ids

    def signed(self, blocks: Blocks) -> Blocks:
        """See `PlainTurns.signed`: where the call has none, and the model asks for one."""
        if "signed" not in self._family.traits:
            return blocks
        place = next((i for i, block in enumerate(blocks) if call_of(block) is not None), None)
        if place is None or blocks[place].keys() & {"thoughtSignature", "thought_signature"}:
            return blocks
        self.repair("signature_placeholder", "a call that another model made")
        signed = {**blocks[place], "thoughtSignature": UNSIGNED}
        return [*blocks[:place], signed, *blocks[place + 1 :]]

    def _blocks(self, message: Message, ids: Sequence[str], own: bool) -> Blocks:
        told = own_parts(message.parts, ids, self.alias) if own else None
        if told is None:
            return self._neutral(message, ids)
        self.cited_nowhere(message)
        for place, part in enumerate(message.parts):
            if isinstance(part, Reasoning) and not (part.text.strip() or part.proof):
                self.unthought(message, part, place)
        return [block for block in told if block != {"text": ""}]

    def _neutral(self, message: Message, ids: Sequence[str]) -> Blocks:
        """Return an answer in words that any model can have said; without signatures."""
        blocks: Blocks = []
        told_ids = iter(ids)
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    self.uncited(part, place)
                    blocks += self._text(part.text, place)
                case ToolCall():
                    blocks.append(self._call(part, next(told_ids), place))
                case Reasoning():
                    self.unthought(message, part, place)
                case Refusal():
                    if part.text.strip():
                        self.repair("refusal_as_text", "the dialect has no field for it", place)
                    blocks += self._text(part.text, place)
                case ServerTool() | Audio() | Document() | Opaque() | Image() | ToolResult():
                    blocks += self._not_in_answer(part, place)
        return blocks

    def _not_in_answer(
        self, part: ServerTool | Audio | Document | Opaque | Image | ToolResult, place: int
    ) -> Blocks:
        """Return what can be read of a part that the model did not say."""
        match part:
            case ServerTool():
                return self._text(self.server_tool_as_text(part, place), place)
            case Audio() | Document():
                return self._text(self._words(part, place), place)
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
        about = {"id": id_} if id_ else {}
        return {"functionCall": {**about, "name": self.alias(call.name), "args": found}}

    def _results(self, message: Message) -> None:
        ids: Sequence[str] = self.state.get("calls", ())
        names: Sequence[str] = self.state.get("called", ())
        moved: Blocks = []
        blocks = [
            self._result(result, {"id": id_, "name": name} if id_ else {"name": name}, moved)
            for id_, name, result in zip(ids, names, self.results_of(message), strict=True)
        ]
        self._say("user", blocks, "results")
        if moved:
            self._say("user", moved, "user")

    def _result(self, result: ToolResult, about: dict[str, str], moved: Blocks) -> dict[str, Any]:
        """Return a result; what it shows stands in it, or in the turn after it for a model that takes only texts there."""
        texts: list[str] = []
        shown: Blocks = []
        for place, part in enumerate(result.parts):
            if isinstance(part, Text | Opaque):
                texts += self._said(part, place)
                continue
            block = self._medium(part, place)
            if block is None:
                texts.append(self._words(part, place))
            elif "result_media" in self._family.traits and "inlineData" in block:
                shown.append(block)
            else:
                texts.append(self._moved(part, block, result.id, place, moved))
        media = {"parts": shown} if shown else {}
        said = {"response": response(texts, result.is_error), **media}
        block = {"functionResponse": {**about, **said}}
        return self.hinted(block, result, None)

    def _moved(
        self,
        part: Image | Document | Audio,
        block: dict[str, Any],
        id_: str,
        place: int,
        moved: Blocks,
    ) -> str:
        """Put what a result shows into the turn after it, and return what stands in its place."""
        kind = type(part).__name__
        number = sum("text" not in item for item in moved) + 1
        moved += [{"text": f"{kind} {number}, from the result of call {id_}:"}, block]
        name: Repair = "image_moved" if isinstance(part, Image) else "document_moved"
        self.repair(name, f"{kind.lower()} {number}, out of call {id_!r}", place)
        return f"[{kind.lower()} {number}: see the next message]"

    def _said(self, part: Text | Opaque, place: int) -> list[str]:
        if isinstance(part, Text):
            self.uncited(part, place)
            return [part.text] if part.text else []
        self.loss("opaque_dropped", f"a block of {part.dialect}", place)
        return []

    def _text(self, text: str, part: int) -> Blocks:
        """Return the text as a part, or nothing where it has no character."""
        if text:
            return [{"text": text}]
        self.repair("empty_dropped", "a text without a character", part)
        return []


def response(texts: Sequence[str], is_error: bool) -> dict[str, Any]:
    """Return the texts of a result as the object that the service wants; several stay apart."""
    if not texts and not is_error:
        return {}
    said: Any = list(texts) if len(texts) > 1 else texts[0] if texts else ""
    return {"error" if is_error else "output": said}


def _image(told: Picture, image: Image) -> dict[str, Any]:
    if told.data is not None:
        return {"inlineData": {"mimeType": told.media_type, "data": told.data}}
    uri = told.file_id or told.url or ""
    kind = guess_type(uri)[0] or image.media_type
    return {"fileData": {"mimeType": kind, "fileUri": uri}}


def _called(native: dict[str, Any]) -> list[Any]:
    calls = [call_of(block) for block in blocks_of(native)]
    return [call.get("id") or "" for call in calls if call is not None]
