"""Answers of Messages to neutral ones; a streamed answer is put together first and then read as a whole one.

Read from plain JSON, so that blocks and fields which no SDK knows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from midstream.adapters.answer import call_ids, malformed, mapping, merged, text, tokens
from midstream.adapters.anthropic.returning import DIALECT
from midstream.adapters.anthropic.server_tools import server_tool
from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.wire import (
    INVALID,
    arguments_object,
    arguments_text,
    is_array,
    is_object,
    without_surrogates,
)
from midstream.events.content import Citation, Message, Opaque, Part, Reasoning, Text, ToolCall
from midstream.events.payloads import FinishReason, Usage

_FINISH: Mapping[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "pause_turn": "paused",
    "refusal": "refusal",
}
_ONCE = frozenset(("type", "id", "name", "signature"))


def parse(data: Any, *, provider: str, model: str, names: Mapping[str, str]) -> ModelResponse:
    """Return the answer.

    Args:
        data: The body of the answer, as JSON.
        provider: Who answered, for the message's origin.
        model: Who was asked.
        names: The tools whose names were changed for the provider, by what stood for them.

    Raises:
        MalformedAnswerError: There is no content, or no reason why it ended.
    """
    data = mapping(without_surrogates(data))
    content = data.get("content")
    if not is_array(content):
        raise malformed("there is no content in it", provider, model)
    reason = data.get("stop_reason")
    if reason is None:
        raise malformed("it does not say why it ended, so it was cut off", provider, model)
    wire = _wire(content, text(data.get("id")))
    parts = tuple(part_of(block, names) for block in wire)
    told: list[Any] = [_told(block) for block in wire]
    rendered = [plain(part, block) for part, block in zip(parts, wire, strict=True)]
    message = Message(
        role="assistant",
        parts=parts,
        origin=f"{provider}:{model}",
        native=None if told == rendered else {"role": "assistant", "content": told},
    )
    finish = _FINISH.get(text(reason), "other")
    if message.tool_calls and finish in ("stop", "other"):
        finish = "tool_calls"
    return ModelResponse(
        message=message,
        usage=_usage(mapping(data.get("usage"))),
        finish=finish,
        response_id=text(data.get("id")),
        served=text(data.get("model")),
    )


class Assembly:
    """A streamed answer while it comes.

    Args:
        names: The tools whose names were changed for the provider, by what stood for them.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._message: dict[str, Any] = {}
        self._blocks: dict[Any, dict[str, Any]] = {}
        self._inputs: dict[Any, str] = {}  # the JSON of a call's input, as far as it has come
        self._ended = False
        self._spliced = False  # a second answer has begun in the middle of the first

    def add(self, event: Any) -> list[Delta]:
        """Take one event and return what it adds for a reader."""
        event = mapping(event)
        match event.get("type"):
            case "message_start":
                return self._start(mapping(event.get("message")))
            case "content_block_start":
                return self._block(event.get("index"), mapping(event.get("content_block")))
            case "content_block_delta":
                return self._delta(event.get("index"), mapping(event.get("delta")))
            case "message_delta":
                self._message.update(mapping(event.get("delta")))
                counts = {k: v for k, v in mapping(event.get("usage")).items() if v is not None}
                self._message["usage"] = {**mapping(self._message.get("usage")), **counts}
            case "message_stop":
                self._ended = True
            case _:
                pass  # pings, ends of blocks, and events that this release does not know
        return []

    def whole(self) -> dict[str, Any]:
        """Return the answer as it would have come in one piece; without its end it has no reason why it ended."""
        content = [self._finished(index, block) for index, block in self._blocks.items()]
        whole = self._ended and not self._spliced
        reason = self._message.get("stop_reason") if whole else None
        return {**self._message, "content": content, "stop_reason": reason}

    def _start(self, message: Mapping[str, Any]) -> list[Delta]:
        if self._message and message.get("id") == self._message.get("id"):
            return []  # some gateways repeat the event
        self._spliced = bool(self._blocks)
        self._message, self._blocks, self._inputs = dict(message), {}, {}
        content = message.get("content")
        for index, block in enumerate(content if is_array(content) else ()):
            self._blocks[index] = dict(block)
        return []

    def _block(self, index: Any, block: Mapping[str, Any]) -> list[Delta]:
        self._blocks[index] = dict(block)
        if block.get("type") == "tool_use":
            name = text(block.get("name"))
            return [Delta(tool=self._names.get(name, name))]
        return [Delta(text=block["text"])] if text(block.get("text")) else []

    def _delta(self, index: Any, delta: Mapping[str, Any]) -> list[Delta]:
        block = self._blocks.setdefault(index, {})
        match delta.get("type"):
            case "input_json_delta":
                self._inputs[index] = self._inputs.get(index, "") + text(delta.get("partial_json"))
            case "citations_delta":
                block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
            case _:
                fields = {key: value for key, value in delta.items() if key != "type"}
                merged(block, fields, once=_ONCE)
                if text(delta.get("text")):
                    return [Delta(text=delta["text"])]
                if text(delta.get("thinking")):
                    return [Delta(reasoning=delta["thinking"])]
        return []

    def _finished(self, index: Any, block: dict[str, Any]) -> dict[str, Any]:
        given = self._inputs.get(index, "")
        if not given:
            return block
        found = arguments_object(given)
        if found is None and block.get("type") == "tool_use":
            return {**block, "input": given}  # cut off in the middle; kept as it came
        return {**block, "input": {} if found is None else found}


def _wire(content: list[Any], response_id: str) -> list[dict[str, Any]]:
    """Return the blocks as they are sent back: without empty texts, and with an id for each call."""
    blocks = [
        dict(block)
        for block in content
        if is_object(block) and not (block.get("type") == "text" and not block.get("text"))
    ]
    calls = [block for block in blocks if block.get("type") == "tool_use"]
    ids = call_ids([text(block.get("id")) for block in calls], response_id)
    for block, id_ in zip(calls, ids, strict=True):
        block["id"] = id_
    return [_stripped(block) for block in blocks]


def _stripped(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block of a known type without the fields that say nothing."""
    if block.get("type") in ("text", "tool_use", "thinking"):
        return {key: value for key, value in block.items() if value is not None}
    return block


def part_of(block: Mapping[str, Any], names: Mapping[str, str]) -> Part:
    """Return a block of an answer in neutral form."""
    match block:
        case {"type": "text", "text": str(said)}:
            return Text(text=said, citations=_citations(block.get("citations")))
        case {"type": "thinking", "thinking": str(thought), "signature": str(proof)}:
            return Reasoning(text=thought, proof=proof)
        case {"type": "redacted_thinking", "data": str(proof)}:
            return Reasoning(proof=proof, redacted=True)
        case {"type": "tool_use", "id": str(id_), "name": str(name)}:
            return ToolCall(
                id=id_, name=names.get(name, name), arguments=_arguments(block.get("input"))
            )
        case _:
            return server_tool(block) or Opaque(dialect=DIALECT, data=dict(block))


_SOURCES: Mapping[str, tuple[Literal["url", "document", "search_result", "other"], str]] = {
    "char_location": ("document", "document_index"),
    "page_location": ("document", "document_index"),
    "content_block_location": ("document", "document_index"),
    "web_search_result_location": ("url", "url"),
    "search_result_location": ("search_result", "source"),
}
"""By the type of a citation: what is cited, and which field says where it is."""


def _citations(given: Any) -> tuple[Citation, ...]:
    """Return where a text comes from; each citation is of the whole block."""
    found: list[Citation] = []
    for native in given if is_array(given) else ():
        said = mapping(native)
        source, place = _SOURCES.get(text(said.get("type")), ("other", ""))
        ref = said.get(place)
        found.append(
            Citation(
                cited_text=text(said.get("cited_text")),
                title=text(said.get("title")) or text(said.get("document_title")),
                source=source,
                ref="" if ref is None else str(ref),
                native=native,
            )
        )
    return tuple(found)


def _arguments(given: Any) -> str:
    """Return the input of a call as text: that of an object in one form, and else what came."""
    return given if isinstance(given, str) else arguments_text({} if given is None else given)


def _told(block: dict[str, Any]) -> dict[str, Any]:
    """Return a block as the service takes it back: the input of a call has to be an object."""
    if block.get("type") != "tool_use" or is_object(block.get("input")):
        return block
    found = arguments_object(_arguments(block.get("input")))
    return {**block, "input": {INVALID: _arguments(block.get("input"))} if found is None else found}


def plain(part: Part, block: Mapping[str, Any]) -> dict[str, Any]:
    """Return what rendering the neutral part gives, so that only another block is kept beside it."""
    match part:
        case Text(citations=()):
            return {"type": "text", "text": part.text}
        case Text():
            cited = [citation.native for citation in part.citations]
            return {"type": "text", "text": part.text, "citations": cited}
        case Reasoning(redacted=True):
            return {"type": "redacted_thinking", "data": part.proof}
        case Reasoning():
            return {"type": "thinking", "thinking": part.text, "signature": part.proof}
        case ToolCall():
            found = arguments_object(part.arguments)
            input_ = {INVALID: part.arguments} if found is None else found
            return {"type": "tool_use", "id": part.id, "name": block["name"], "input": input_}
        case _:
            return dict(block)


def _usage(counts: Mapping[str, Any]) -> Usage:
    """Return the tokens; the service counts what came from the cache apart from the input."""
    read = tokens(counts, "cache_read_input_tokens")
    written = tokens(counts, "cache_creation_input_tokens")
    return Usage(
        input_tokens=tokens(counts, "input_tokens") + read + written,
        output_tokens=tokens(counts, "output_tokens"),
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=tokens(counts, "output_tokens_details", "thinking_tokens"),
    )
