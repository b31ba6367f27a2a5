"""Answers of Responses to neutral ones; a stream ends with the whole answer, which is read like one that came at once.

Read from plain JSON, so that items and fields which no SDK knows are kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from midstream.adapters.answer import call_ids, malformed, mapping, text, tokens
from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.openai.parse import citations
from midstream.adapters.responses.items import DIALECT, beyond, own_items
from midstream.adapters.responses.server_tools import server_tool
from midstream.adapters.responses.translate import failed
from midstream.adapters.wire import arguments_text, is_array, is_object, without_surrogates
from midstream.events.content import (
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
)
from midstream.events.payloads import FinishReason, Usage

_DONE = frozenset(("completed", "complete", "incomplete"))
_CUT: Mapping[str, FinishReason] = {
    "max_output_tokens": "length",
    "max_tokens": "length",
    "content_filter": "content_filter",
}
_CALLS = ("function_call", "custom_tool_call")


def parse(data: Any, *, provider: str, model: str, names: Mapping[str, str]) -> ModelResponse:
    """Return the answer; one that was cut off by a limit is an answer that says so in `finish`.

    Args:
        data: The body of the answer, as JSON.
        provider: Who answered, for the message's origin.
        model: Who was asked.
        names: The tools whose names were changed for the provider, by what stood for them.

    Raises:
        MalformedAnswerError: There is no output, or it does not say that it is whole.
        AdapterError: The service says in the answer that it failed.
    """
    data = mapping(without_surrogates(data))
    status = data.get("status")
    if status == "failed" or mapping(data.get("error")):
        raise failed(mapping(data.get("error")), provider, model)
    output = data.get("output")
    if not is_array(output):
        raise malformed("there is no output in it", provider, model)
    if status not in _DONE:
        raise malformed(f"its status is {status!r}, so it was cut off", provider, model)
    response_id = text(data.get("id"))
    wire: list[Any] = wire_of(output, response_id)
    told = {name: alias for alias, name in names.items()}
    parts: list[Part] = []
    for item in wire:
        found = parts_of(item, names)
        parts += [_hinted(part, item, told) for part in found]
    plain = _items(parts, told)
    message = Message(
        role="assistant",
        parts=tuple(parts),
        origin=f"{provider}:{model}",
        native=None if wire == plain else wire,
    )
    return ModelResponse(
        message=message,
        usage=_usage(mapping(data.get("usage"))),
        finish=_finish(data, message),
        response_id=response_id,
        served=text(data.get("model")),
    )


class Assembly:
    """A streamed answer while it comes.

    Args:
        names: The tools whose names were changed for the provider, by what stood for them.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._response: dict[str, Any] = {}
        self._items: dict[int, Any] = {}

    def add(self, event: Any) -> list[Delta]:
        """Take one event and return what it adds for a reader."""
        event = mapping(event)
        match event.get("type"):
            case "response.output_text.delta" | "response.refusal.delta":
                return [Delta(text=text(event.get("delta")))]
            case "response.reasoning_summary_text.delta" | "response.reasoning_text.delta":
                return [Delta(reasoning=text(event.get("delta")))]
            case "response.output_item.added":
                return self._begun(mapping(event.get("item")))
            case "response.output_item.done":
                self._items[event.get("output_index", len(self._items))] = event.get("item")
            case "response.completed" | "response.incomplete" | "response.failed":
                self._response = dict(mapping(event.get("response")))
            case "error":
                self._response = {"status": "failed", "error": event.get("error") or dict(event)}
            case _:
                pass  # beginnings, ends of parts, progress of tools, and events of tomorrow
        return []

    def whole(self) -> dict[str, Any]:
        """Return the answer as it would have come in one piece; without its terminal event it has no status."""
        if self._items and not self._response.get("output"):  # some servers leave it empty
            done = [self._items[place] for place in sorted(self._items)]
            return {**self._response, "output": done}
        return {"output": [], **self._response}

    def _begun(self, item: Mapping[str, Any]) -> list[Delta]:
        name = text(item.get("name"))
        if item.get("type") in _CALLS and name:
            return [Delta(tool=self._names.get(name, name))]
        return []


def wire_of(output: list[Any], response_id: str) -> list[dict[str, Any]]:
    """Return the items as they are sent back: without what is null, and with an id for each call."""
    items = [_stripped(item) for item in output if is_object(item)]
    calls = [item for item in items if item.get("type") in _CALLS]
    ids = call_ids([text(item.get("call_id")) for item in calls], response_id)
    for item, id_ in zip(calls, ids, strict=True):
        item["call_id"] = id_
        if item["type"] == "function_call" and not isinstance(item.get("arguments"), str):
            item["arguments"] = arguments_text(item.get("arguments") or {})
    return items


def _stripped(item: dict[str, Any]) -> dict[str, Any]:
    """Return an item of a known type without the fields that say nothing, or that an SDK adds."""
    if item.get("type") not in ("message", "reasoning", *_CALLS):
        return dict(item)
    return {
        key: value for key, value in item.items() if value is not None and key != "parsed_arguments"
    }


def parts_of(item: Mapping[str, Any], names: Mapping[str, str]) -> list[Part]:
    """Return an item of an answer in neutral form."""
    item_id = text(item.get("id"))
    match item.get("type"):
        case "message":
            content = item.get("content")
            phase = text(item.get("phase"))
            blocks = [mapping(block) for block in content] if is_array(content) else []
            return [part for block in blocks for part in _said(block, item_id, phase)]
        case "reasoning":
            return [
                Reasoning(
                    text=_joined(item.get("content")),
                    summary=tuple(_texts(item.get("summary"))),
                    proof=text(item.get("encrypted_content")) or None,
                    item_id=item_id,
                )
            ]
        case "function_call":
            return [_call(item, names, text(item.get("arguments")))]
        case "custom_tool_call":
            return [_call(item, names, text(item.get("input"))).model_copy(update={"form": "text"})]
        case _:
            return [server_tool(item) or Opaque(dialect=DIALECT, data=dict(item))]


def _items(parts: Sequence[Part], told: Mapping[str, str]) -> list[Any] | None:
    ids = [part.id for part in parts if isinstance(part, ToolCall)]
    return own_items(parts, ids, lambda name: told.get(name, name))


def _hinted(part: Part, item: Mapping[str, Any], told: Mapping[str, str]) -> Part:
    """Return the part with the fields of its item that it has no place for; an encrypted body is then stored once."""
    if not isinstance(part, Reasoning | ToolCall):
        return part
    for plain in _items([part], told) or ():
        more = beyond(item, plain)
        if more:
            return part.model_copy(update={"hints": {DIALECT: more}})
    return part


def _said(block: Mapping[str, Any], item_id: str, phase: str) -> list[Part]:
    match block:
        case {"type": "output_text", "text": str(said)}:
            cited = citations(block.get("annotations"))
            text_ = Text(text=said, citations=cited, phase=phase, item_id=item_id)
            return [text_] if said else []
        case {"type": "refusal", "refusal": str(said)}:
            return [Refusal(text=said, item_id=item_id)]
        case _:
            return [Opaque(dialect=DIALECT, data=dict(block))]


def _call(item: Mapping[str, Any], names: Mapping[str, str], arguments: str) -> ToolCall:
    name = text(item.get("name"))
    return ToolCall(
        id=item["call_id"],
        name=names.get(name, name),
        arguments=arguments,
        item_id=text(item.get("id")),
    )


def _texts(given: Any) -> list[str]:
    return [text(mapping(piece).get("text")) for piece in given] if is_array(given) else []


def _joined(given: Any) -> str:
    return "".join(_texts(given))


def _finish(data: Mapping[str, Any], message: Message) -> FinishReason:
    """Return why it ended; that it made calls is seen in the message."""
    if data.get("status") == "incomplete":
        return _CUT.get(text(mapping(data.get("incomplete_details")).get("reason")), "other")
    if message.tool_calls:
        return "tool_calls"
    refused = any(isinstance(part, Refusal) for part in message.parts)
    return "refusal" if refused else "stop"


def _usage(counts: Mapping[str, Any]) -> Usage:
    return Usage(
        input_tokens=tokens(counts, "input_tokens"),
        output_tokens=tokens(counts, "output_tokens"),
        cache_read_tokens=tokens(counts, "input_tokens_details", "cached_tokens"),
        cache_write_tokens=tokens(counts, "input_tokens_details", "cache_write_tokens"),
        reasoning_tokens=tokens(counts, "output_tokens_details", "reasoning_tokens"),
    )
