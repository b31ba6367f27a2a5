"""Neutral conversation to the messages of Chat Completions.

Instructions are messages like the others, so the head holds the tools only. A result is a message for each call; images in
results go to a message of the user after all of them, since a tool's message takes text only.
Source: developers.openai.com/api/reference, Chat Completions; recorded 400s of the service for what it does not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from midstream.adapters.capabilities import Family
from midstream.adapters.openai.plain import PlainTurns
from midstream.adapters.openai.returning import DIALECT
from midstream.adapters.outcome import ERROR, says_error
from midstream.adapters.pictures import Picture
from midstream.adapters.schema import can_be_strict
from midstream.adapters.telling import (
    Declared,
    Fit,
    Speech,
    speech_of,
    spoken_by,
    vendor,
)
from midstream.adapters.view import Segment, View
from midstream.adapters.wire import INVALID, arguments_object, arguments_text, is_array, is_object
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

IDS = Fit(re.compile(r"[!-~]+"), 40, "call_", words=True)
NAMES = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 64)
_FORMATS = {"audio/wav": "wav", "audio/x-wav": "wav", "audio/mpeg": "mp3", "audio/mp3": "mp3"}
EMPTY = "Continue."
"""What a model is asked where nothing has been said."""


def render(view: View, segment: Segment, provider: str, family: Family) -> View:
    """See `Adapter.render`."""
    return Teller(view, segment.seq, provider, family).segment(segment)


def render_all(view: View, segments: Iterable[Segment], provider: str, family: Family) -> View:
    """See `midstream.adapters.base.BulkAdapter`."""
    return Teller(view, 0, provider, family).segments(segments)


def closing(view: View, provider: str, family: Family) -> Teller:
    """Return what a request must add to the view to be valid."""
    telling = Teller(view, 0, provider, family)
    telling.close()
    if telling.empty:
        telling.repair("filler_inserted", "nothing has been said")
        telling.items.append({"role": "user", "content": EMPTY})
    return telling


class Teller(PlainTurns):
    """Says messages in the words of Chat Completions."""

    __slots__ = ("_provider",)

    def __init__(
        self,
        view: View,
        seq: int,
        provider: str,
        family: Family,
        speech: Speech | None = None,
    ) -> None:
        free_text = "free_text" in family.traits
        own = speech or speech_of(provider, DIALECT, IDS, NAMES, free_text)
        super().__init__(view, seq, own, family)
        self._provider = provider

    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Frame.tools`."""
        if tools and not self.family.capabilities.tools:
            self.loss("tool_dropped", "the model calls no tools")
            return
        told = [self.declaration(self._tool(tool), tool.spec) for tool in self.declared(tools)]
        self.declare(told)

    def _tool(self, tool: Declared) -> dict[str, Any]:
        about: dict[str, Any] = {"name": tool.name}
        if tool.description:
            about["description"] = tool.description
        if tool.spec.form == "text" and self.speech.free_text:
            return {"type": "custom", "custom": about}
        about["parameters"] = tool.schema
        if tool.spec.strict and not can_be_strict(tool.schema):
            self.repair("strict_dropped", f"of tool {tool.spec.name!r}")
        elif tool.spec.strict is not None:
            about["strict"] = tool.spec.strict
        return {"type": "function", "function": about}

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

    def as_own(self, message: Message) -> dict[str, Any]:
        """See `Homeward.as_own`."""
        return self._neutral(message, self.state["calls"], own=True)

    def as_user(self, message: Message) -> None:
        """See `Homeward.as_user`."""
        self._instruction(message)

    def _instruction(self, message: Message) -> None:
        texts = self._texts(message)
        if not texts:
            return
        role = "system"
        if "developer" in self.family.traits and self._provider == "openai":
            role = "developer"
        elif not self.family.capabilities.tools:  # o1-mini and o1-preview know no instructions
            role = "user"
            self.repair("instruction_degraded", "told as a turn of the user")
        self.items.append({"role": role, "content": _content(texts)})

    def _user(self, message: Message) -> None:
        native = self.verbatim(message)
        if is_object(native):
            self.went_back = True
            self.items.append(native)
            return
        parts: list[dict[str, Any]] = []
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    self.uncited(part, place)
                    block = {"type": "text", "text": part.text}
                    parts.append(self.hinted(block, part, place))
                case Image() | Document() | Audio():
                    parts.append(self.hinted(self._medium(part, place), part, place))
                case Opaque(dialect=dialect, data=dict(data)) if dialect == self.speech.dialect:
                    parts.append(self.hinted(data, part, place))
                case Opaque():
                    self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                case Reasoning() | ToolCall() | ToolResult() | ServerTool() | Refusal():
                    raise AssertionError("put_in_place() leaves no such part in a turn of the user")
        if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
            self.items.append({"role": "user", "content": parts[0]["text"]})
            return
        kept = [part for part in parts if part.get("text") != ""]
        if len(kept) < len(parts):
            self.repair("empty_dropped", "a text without a character")
        self.items.append({"role": "user", "content": kept or ""})

    def _assistant(self, message: Message) -> None:
        calls = message.tool_calls
        ids = self.wire_ids(calls)
        own = spoken_by(message, self._provider, DIALECT)
        if own and is_object(message.native) and _ids(message.native) == ids:
            self._note_dropped(message, own=True)
            self.items.append(message.native)
            self.went_back = True
            return
        self._note_dropped(message, own=False)
        self.items.append(self._neutral(message, ids, own=own))

    def _neutral(self, message: Message, ids: Sequence[str], *, own: bool) -> dict[str, Any]:
        item: dict[str, Any] = {"role": "assistant"}
        audio = _kept_audio(message, self._provider) if own else None
        texts = self._said(message, heard=True, kept=audio)
        refusal = "".join(part.text for part in message.parts if isinstance(part, Refusal))
        if texts:
            item["content"] = _content(texts)
        elif not message.tool_calls and not refusal and audio is None:
            item["content"] = ""
        if audio is not None:
            item["audio"] = {"id": audio.file_id}
        cited = _annotations(message) if own else []
        if cited and len(texts) == 1:
            item["annotations"] = cited
        else:
            self.cited_nowhere(message)
        if refusal:
            item["refusal"] = refusal
        told = [
            self._call(self.wrapped(call), id_, own=own)
            for id_, call in zip(ids, message.tool_calls, strict=True)
        ]
        if told:
            item["tool_calls"] = told
        return item

    def _call(self, call: ToolCall, id_: str, *, own: bool) -> dict[str, Any]:
        name = self.alias(call.name)
        if call.form == "text":
            custom = {"name": name, "input": call.arguments}
            return {"id": id_, "type": "custom", "custom": custom}
        function = {"name": name, "arguments": self._arguments(call, own)}
        return {"id": id_, "type": "function", "function": function}

    def _arguments(self, call: ToolCall, own: bool) -> str:
        """Return what the model wrote; to another server, only what is an object. OpenAI itself takes any text back."""
        exact = own or (self._provider == "openai" and bool(call.arguments))
        if exact or arguments_object(call.arguments) is not None:
            return call.arguments if exact or call.arguments else "{}"
        self.repair("arguments_wrapped", f"those of call {call.id!r} are no JSON object")
        return arguments_text({INVALID: call.arguments})

    def _note_dropped(self, message: Message, *, own: bool) -> None:
        """Report the parts of an answer that the dialect has no place for."""
        called = False
        for place, part in enumerate(message.parts):
            match part:
                case Reasoning() if not own:
                    self.unthought(message, part, place)
                case Opaque() if not (own and _holds(message.native, part.data)):
                    self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                case Image():
                    self.loss("image_dropped", "an answer takes no images", place)
                case ServerTool() | Document() | Audio() if called:
                    self.repair("order_lost", "text after a call is told before it", place)
                case Text() if called and part.text and not own:
                    self.repair("order_lost", "text after a call is told before it", place)
                case ToolCall():
                    called = True
                case Text() | Reasoning() | Opaque() | Refusal() | ToolResult():
                    pass
                case ServerTool() | Document() | Audio():
                    pass  # told as text

    def _results(self, message: Message) -> None:
        moved: list[dict[str, Any]] = []
        ids: Sequence[str] = self.state.get("calls", ())
        for id_, result in zip(ids, self.results_of(message), strict=True):
            texts = self._result_texts(result, id_, moved)
            if result.is_error and not (texts and says_error(texts[0])):
                self.repair("error_prefixed", f"the result of call {result.id!r}")
                texts = [ERROR + texts[0], *texts[1:]] if texts else [ERROR]
            item = {"role": "tool", "tool_call_id": id_, "content": _content(texts)}
            self.items.append(self.hinted(item, result, None))
        if moved:
            self.items.append({"role": "user", "content": moved})

    def _result_texts(self, result: ToolResult, id_: str, moved: list[dict[str, Any]]) -> list[str]:
        texts: list[str] = []
        for place, part in enumerate(result.parts):
            match part:
                case Text():
                    self.uncited(part, place)
                    texts += [part.text] if part.text else []
                case Image() | Document():
                    told = self._medium(part, place)
                    texts.append(self._moved(told, result, id_, place, moved))
                case Audio():
                    texts.append(self.audio_as_text(part, place))
                case Opaque():
                    self.loss("opaque_dropped", f"a block of {part.dialect}", place)
        return texts

    def _moved(
        self,
        told: dict[str, Any],
        result: ToolResult,
        id_: str,
        place: int,
        moved: list[dict[str, Any]],
    ) -> str:
        """Put a part of a result into the message after all results, and return what stands in its place."""
        if told["type"] == "text":
            return str(told["text"])
        shown = told["type"] == "image_url"
        number = 1 + sum(item["type"] == told["type"] for item in moved)
        kind = "image" if shown else "document"
        moved += [
            {"type": "text", "text": f"{kind.title()} {number}, from the result of call {id_}:"},
            told,
        ]
        detail = f"{kind} {number}, out of call {result.id!r}"
        self.repair("image_moved" if shown else "document_moved", detail, place)
        return f"[{kind} {number}: see the next message]"

    def _texts(self, message: Message) -> list[str]:
        self.cited_nowhere(message)
        return self._said(message, heard=False)

    def _said(self, message: Message, *, heard: bool, kept: Audio | None = None) -> list[str]:
        """Return what is said as texts, without the empty ones; audio only where it is not told itself."""
        given: list[str] = []
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    given.append(part.text)
                case Audio():
                    given += [self.audio_as_text(part, place)] if heard and part is not kept else []
                case Document():
                    given.append(self.document_as_text(part, place))
                case ServerTool():
                    given.append(self.server_tool_as_text(part, place))
                case Reasoning() | Image() | ToolCall() | ToolResult() | Refusal() | Opaque():
                    pass
        told = [text for text in given if text]
        if len(told) < len(given):
            self.repair("empty_dropped", f"a text without a character, of the {message.role}")
        return told

    def _medium(self, part: Image | Document | Audio, place: int) -> dict[str, Any]:
        """Return what is shown or heard as a part of a turn of the user, or a text in its place."""
        can = self.family.capabilities
        match part:
            case Image():
                told = self.picture(part, supported=can.images, part=place, by_id=False)
                return _image_part(told) if told else {"type": "text", "text": "[image]"}
            case Document():
                file = _file(part, vendor(self._provider)) if can.documents else None
                if file is not None:
                    self.unnamed(part, file, place)
                    return {"type": "file", "file": file}
                return {"type": "text", "text": self.document_as_text(part, place)}
            case Audio():
                form = _FORMATS.get(part.media_type)
                if can.audio and part.data and form:
                    heard = {"data": part.data, "format": form}
                    return {"type": "input_audio", "input_audio": heard}
                return {"type": "text", "text": self.audio_as_text(part, place)}


def _content(texts: Sequence[str]) -> str | list[dict[str, Any]]:
    """Return one text as itself and several as parts, since joining them would invent a separator."""
    if len(texts) > 1:
        return [{"type": "text", "text": text} for text in texts]
    return texts[0] if texts else ""


def _file(document: Document, files: str) -> dict[str, Any] | None:
    """Return the document as the service takes it: a PDF by its bytes, or a file that it keeps itself."""
    if document.file_id and document.provider == files:
        return {"file_id": document.file_id}
    if document.media_type != "application/pdf" or not document.data:
        return None
    data = f"data:application/pdf;base64,{document.data}"
    return {"filename": document.name or "document.pdf", "file_data": data}


def _kept_audio(message: Message, provider: str) -> Audio | None:
    """Return the audio in an answer of which the service takes the id back, and nothing else."""
    kept = (part for part in message.parts if isinstance(part, Audio) and part.file_id)
    return next((part for part in kept if part.provider == provider), None)


def _annotations(message: Message) -> list[Any]:
    """Return where the text of an answer comes from, in the words of its provider."""
    cited = [part.citations for part in message.parts if isinstance(part, Text)]
    natives = [citation.native for citations in cited for citation in citations]
    return natives if all(is_object(native) for native in natives) else []


def _image_part(told: Picture) -> dict[str, Any]:
    url = told.url if told.data is None else f"data:{told.media_type};base64,{told.data}"
    return {"type": "image_url", "image_url": {"url": url}}


def _holds(native: Any, block: Any) -> bool:
    content = native.get("content") if is_object(native) else None
    return is_array(content) and block in content


def _ids(native: dict[str, Any]) -> tuple[str, ...]:
    return tuple(call["id"] for call in native.get("tool_calls", ()))
