"""Neutral conversation to OpenAI's Responses: a flat list of items, with nothing kept on the server.

Instructions are items where they were given. An answer of the same provider goes back item by item as it came, its encrypted
reasoning included, or without its reasoning and without the ids of its items: the service refuses reasoning that lost its
followers, and followers that lost their reasoning. Results hold images and files.
Source: developers.openai.com/api/docs/guides/conversation-state and guides/reasoning; recorded 400s for what they do not say.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from midstream.adapters.capabilities import Family
from midstream.adapters.outcome import ERROR, says_error
from midstream.adapters.pictures import Picture
from midstream.adapters.responses.items import (
    ASSISTANT,
    DIALECT,
    call_ids_of,
    can_go_back,
    item_ids,
    own_items,
)
from midstream.adapters.responses.offers import Offers, called
from midstream.adapters.responses.plain import PlainTurns
from midstream.adapters.responses.returning import CALLS
from midstream.adapters.schema import INPUT, can_be_strict
from midstream.adapters.telling import (
    Declared,
    Fit,
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
    ResultPart,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

IDS = Fit(re.compile(r"[!-~]+"), 64, "call_", words=True)
NAMES = Fit(re.compile(r"[a-zA-Z0-9_-]+"), 128)
IMAGE = 20_971_520 - len("data:image/jpeg;base64,")
"""Characters of an image in base64 that the service takes: `image_url` has at most 20,971,520. Source: OpenAI's OpenAPI."""
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
    telling.tell_added()
    if telling.empty:
        telling.repair("filler_inserted", "nothing has been said")
        telling.items.append({"role": "user", "content": EMPTY})
    return telling


class Teller(PlainTurns):
    """Says messages as items of Responses."""

    __slots__ = ("_family", "_provider")

    def __init__(self, view: View, seq: int, provider: str, family: Family) -> None:
        free_text = "free_text" in family.traits
        super().__init__(view, seq, speech_of(provider, DIALECT, IDS, NAMES, free_text, IMAGE))
        self._provider = provider
        self._family = family

    def tools(self, tools: Sequence[ToolSpec]) -> None:
        """See `Frame.tools`."""
        if tools and not self._family.capabilities.tools:
            self.loss("tool_dropped", "the model calls no tools")
            return
        told = self.declared(tools)
        free = [tool.spec.name for tool in told if tool.spec.form == "text"]
        self.remember(free=frozenset(free) if self.speech.free_text else frozenset())
        self.declare([self.declaration(self._tool(tool), tool.spec) for tool in told])

    def declare(self, tools: list[dict[str, Any]]) -> None:
        """Put the list of tools into the head; on the way, what is new is an item, and what is gone is forbidden."""
        head: list[dict[str, Any]] = self.head.get("tools", [])
        offers = Offers.of(self.state)
        if self.empty or not head or "adds_tools" not in self._family.traits:
            super().declare(tools)
            return
        changed = offers.changed(head, tools)
        if changed:  # an item can add a tool, and not take one back
            self.repair("prefix_broken", f"{', '.join(changed)}: declared otherwise from here on")
            head = offers.redeclared(head, tools)
            self.set_head("tools", head)
        offers = offers.now(head, tools)
        if offers.waiting:
            self.repair("tools_appended", ", ".join(map(called, offers.waiting)))
        if offers.withheld:
            self.repair("tools_withheld", ", ".join(offers.withheld))
        self.remember(offers=offers)

    def tell_added(self) -> None:
        """Tell the tools that came on the way; not between calls and their results."""
        offers = Offers.of(self.state)
        if offers.waiting:
            self.items.append(offers.item)
            self.remember(offers=offers.told())

    def finish(self) -> None:
        """See `Frame.finish`."""
        if not self.open:
            self.tell_added()

    def _tool(self, tool: Declared) -> dict[str, Any]:
        about = {"description": tool.description} if tool.description else {}
        if tool.spec.form == "text" and self.speech.free_text:
            return {"type": "custom", "name": tool.name, **about}
        strict = bool(tool.spec.strict)
        if strict and not can_be_strict(tool.schema):
            self.repair("strict_dropped", f"of tool {tool.spec.name!r}")
            strict = False
        # The service tries to be strict where this is left out; Chat Completions does not.
        schema = {"parameters": tool.schema, "strict": strict}
        return {"type": "function", "name": tool.name, **about, **schema}

    def tell(self, message: Message) -> None:
        """See `Frame.tell`."""
        if message.role != "tool":
            self.tell_added()
        match message.role:
            case "system":
                self._instruction(message)
            case "user":
                self._user(message)
            case "assistant":
                self._assistant(message)
            case "tool":
                self._results(message)

    def _instruction(self, message: Message) -> None:
        native = self.verbatim(message)
        if is_object(native) and "instructions" not in native:
            self.went_back = True
            self.items.append(native)
            return
        role = "developer" if "developer" in self._family.traits else "system"
        blocks = self._shown(message)
        kept = [block for block in blocks if block.get("text") != ""]
        if len(kept) < len(blocks):
            self.repair("empty_dropped", "a text without a character, of the system")
        if kept:
            self.items.append({"role": role, "content": _short(kept)})

    def _user(self, message: Message) -> None:
        native = self.verbatim(message)
        if is_object(native):
            self.went_back = True
            self.items.append(native)
            return
        blocks = self._shown(message)
        if len(blocks) > 1:
            kept = [block for block in blocks if block.get("text") != ""]
            if len(kept) < len(blocks):
                self.repair("empty_dropped", "a text without a character, of the user")
            blocks = kept
        self.items.append({"role": "user", "content": _short(blocks)})

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
        can = self._family.capabilities
        match part:
            case Text():
                self.uncited(part, place)
                return [self.hinted(_text(part.text), part, place)]
            case Image():
                told = self.picture(part, supported=can.images, part=place)
                block = _text("[image]") if told is None else _image(told)
                return [self.hinted(block, part, place)]
            case Document():
                file = _file(part, vendor(self._provider)) if can.documents else None
                block = _text(self.document_as_text(part, place)) if file is None else file
                if file is not None:
                    self.unnamed(part, file, place)
                return [self.hinted(block, part, place)]
            case Audio():
                return [_text(self.audio_as_text(part, place))]
            case Opaque(dialect=dialect, data=dict(data)) if dialect == DIALECT:
                return [self.hinted(data, part, place)]
            case Opaque():
                self.loss("opaque_dropped", f"a block of {part.dialect}", place)
                return []

    def _assistant(self, message: Message) -> None:
        ids = self.wire_ids(message.tool_calls)
        items = self._own(message, ids)
        if items is None:
            items = self._neutral(message, ids)
        else:
            self.went_back = True
            self.remember(seen=_with(self.state.get("seen", ()), item_ids(items)))
        kinds = tuple(item["type"] for item in items if item.get("type") in CALLS)
        self.remember(kinds=kinds)
        self.items += items

    def _own(self, message: Message, ids: tuple[str, ...]) -> list[Any] | None:
        """Return an answer of this provider as it came, or None where it cannot go back so."""
        if not spoken_by(message, self._provider, DIALECT):
            return None
        if not self.speech.free_text and any(call.form == "text" for call in message.tool_calls):
            return None
        kept: Any = message.native
        items = kept if is_array(kept) else own_items(message.parts, ids, self.alias)
        if items is None or not can_go_back(items, reasons=self._family.capabilities.reasoning):
            return None
        if call_ids_of(items) != ids:
            return None
        seen: tuple[frozenset[str], ...] = self.state.get("seen", ())
        if any(id_ in ids_ for id_ in item_ids(items) for ids_ in seen):
            return None  # an answer that came into this conversation twice
        return items

    def _neutral(self, message: Message, ids: Sequence[str]) -> list[Any]:
        """Return an answer in words that any model can have said; without reasoning, and without ids of items."""
        own = spoken_by(message, self._provider, DIALECT)
        items: list[Any] = []
        told = iter(ids)
        for place, part in enumerate(message.parts):
            match part:
                case Text():
                    self.uncited(part, place)
                    items += self._said(part, place, part.phase if own else "")
                case ToolCall():
                    items.append(self._call(self._formed(part), next(told), own=own))
                case Refusal():
                    items += self._refused(part, place)
                case Reasoning():
                    self.unthought(message, part, place)
                case ServerTool() | Document() | Audio() | Opaque() | Image() | ToolResult():
                    said = self._not_in_answer(part, place)
                    items += self._said(Text(text=said), place) if said else []
        return items

    def _not_in_answer(
        self, part: ServerTool | Document | Audio | Opaque | Image | ToolResult, place: int
    ) -> str:
        """Return what can be read of a part that the model did not say, or that it cannot be given back."""
        match part:
            case ServerTool():
                return self.server_tool_as_text(part, place)
            case Document():
                return self.document_as_text(part, place)
            case Audio():
                return self.audio_as_text(part, place)
            case Opaque():
                self.loss("opaque_dropped", f"a block of {part.dialect}", place)
            case Image() | ToolResult():  # results were put in messages of their own
                self.loss("image_dropped", "an answer takes no images", place)
        return ""

    def _said(self, text: Text, place: int, phase: str = "") -> list[dict[str, Any]]:
        if not text.text:
            self.repair("empty_dropped", "a text without a character, of the assistant", place)
            return []
        item = {"role": ASSISTANT, "content": text.text}
        if phase not in ("commentary", "final_answer"):
            return [item]
        self.phased(text)
        return [{**item, "phase": phase}]

    def _refused(self, part: Refusal, place: int) -> list[dict[str, Any]]:
        if part.text.strip():
            self.repair("refusal_as_text", "it has no id of this provider", place)
        return self._said(Text(text=part.text), place)

    def _formed(self, call: ToolCall) -> ToolCall:
        """Return the call in the form that its tool has here."""
        free: frozenset[str] = self.state.get("free", frozenset())
        if call.form == "json" and call.name in free:
            found = arguments_object(call.arguments) or {}
            if found.keys() == {INPUT} and isinstance(found[INPUT], str):
                return call.model_copy(update={"arguments": found[INPUT], "form": "text"})
        return self.wrapped(call)

    def _call(self, call: ToolCall, id_: str, *, own: bool) -> dict[str, Any]:
        name = self.alias(call.name)
        if call.form == "text":
            about = {"call_id": id_, "name": name, "input": call.arguments}
            return {"type": "custom_tool_call", **about}
        arguments = self._arguments(call, own=own)
        return {"type": "function_call", "call_id": id_, "name": name, "arguments": arguments}

    def _arguments(self, call: ToolCall, *, own: bool) -> str:
        """Return what the model wrote; to another provider, only what is an object."""
        if own or arguments_object(call.arguments) is not None:
            return call.arguments if own or call.arguments else "{}"
        self.repair("arguments_wrapped", f"those of call {call.id!r} are no JSON object")
        return arguments_text({INVALID: call.arguments})

    def _results(self, message: Message) -> None:
        ids: Sequence[str] = self.state.get("calls", ())
        kinds: Sequence[str] = self.state.get("kinds", ())
        for id_, kind, result in zip(ids, kinds, self.results_of(message), strict=True):
            blocks: list[dict[str, Any]] = []
            for place, part in enumerate(result.parts):
                if not isinstance(part, Text) or part.text:
                    blocks += self._content(part, place)
            if result.is_error and not (blocks and says_error(blocks[0].get("text", ""))):
                self.repair("error_prefixed", f"the result of call {result.id!r}")
                blocks = _prefixed(blocks)
            item = {"type": f"{kind}_output", "call_id": id_, "output": _short(blocks)}
            self.items.append(self.hinted(item, result, None))


def _text(text: str) -> dict[str, Any]:
    return {"type": "input_text", "text": text}


def _prefixed(blocks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the blocks of a failed tool with a text that says so at their beginning."""
    if blocks and blocks[0]["type"] == "input_text":
        return [{**blocks[0], "text": ERROR + blocks[0]["text"]}, *blocks[1:]]
    return [_text(ERROR), *blocks]


def _short(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """Return a single text as itself, and nothing as an empty one."""
    if len(blocks) == 1 and blocks[0].keys() == {"type", "text"}:
        return str(blocks[0]["text"])
    return blocks or ""


def _image(told: Picture) -> dict[str, Any]:
    if told.file_id is not None:
        return {"type": "input_image", "detail": "auto", "file_id": told.file_id}
    url = told.url if told.data is None else f"data:{told.media_type};base64,{told.data}"
    return {"type": "input_image", "detail": "auto", "image_url": url}


def _file(document: Document, files: str) -> dict[str, Any] | None:
    """Return the document as the service takes it, or None where it has to be told as text."""
    if document.file_id and document.provider == files:
        return {"type": "input_file", "file_id": document.file_id}
    if document.media_type != "application/pdf":
        return None
    if document.data:
        data = f"data:application/pdf;base64,{document.data}"
        name = document.name or "document.pdf"
        return {"type": "input_file", "filename": name, "file_data": data}
    if (document.url or "").startswith(("https://", "http://")):
        return {"type": "input_file", "file_url": document.url}
    return None


def _with(seen: tuple[frozenset[str], ...], ids: Sequence[str]) -> tuple[frozenset[str], ...]:
    """Return the ids that were told with further ones: a few sets that double in size, so that adding stays cheap."""
    if not ids:
        return seen
    seen = (*seen, frozenset(ids))
    while len(seen) > 1 and len(seen[-2]) <= 2 * len(seen[-1]):
        seen = (*seen[:-2], seen[-2] | seen[-1])
    return seen
