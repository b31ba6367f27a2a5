"""Anthropic Messages, as the server side of it.

Sources: https://platform.claude.com/docs/en/api/messages (shapes),
https://platform.claude.com/docs/en/build-with-claude/streaming (order of events),
https://platform.claude.com/docs/en/api/errors (errors).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.testing.json_reading import as_list, as_object, as_text, objects
from midstream.testing.script import Answer, Call, FaultKind
from midstream.testing.seen import Reading, SeenCall, TurnsInOrder
from midstream.testing.violations import Violation, WireDialect
from midstream.testing.wire import (
    Ids,
    Refusal,
    arguments_text,
    input_tokens,
    output_tokens,
    pieces,
    retry_after,
    sse,
)

_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "length": "max_tokens"}
_ERRORS: Mapping[FaultKind, tuple[int, str, str]] = {
    "rate_limit": (429, "rate_limit_error", "This request would exceed your account's rate limit."),
    "overloaded": (529, "overloaded_error", "Overloaded"),
    "server_error": (500, "api_error", "Internal server error"),
    "bad_request": (400, "invalid_request_error", "The request is wrong."),
    "authentication": (401, "authentication_error", "invalid x-api-key"),
    "context_window": (
        400,
        "invalid_request_error",
        "prompt is too long: 200001 tokens > 200000 maximum",
    ),
    "quota": (402, "billing_error", "Your credit balance is too low to access the Anthropic API."),
}


class AnthropicWire:
    """See `Wire`."""

    dialect: WireDialect = "anthropic"
    request_id_header = "request-id"

    def request_id(self, ids: Ids) -> str:
        """See `Wire.request_id`."""
        return ids.new("req_011", 21)

    def read(self, body: Mapping[str, Any]) -> Reading:
        """See `Wire.read`."""
        turns = TurnsInOrder()
        turns.add("system", _text(body.get("system")))
        for _, message in objects(body.get("messages")):
            _read_message(message, turns)
        names = (as_text(tool.get("name")) for _, tool in objects(body.get("tools")))
        return turns.reading(tuple(names))

    def key_missing(self, headers: Mapping[str, str]) -> bool:
        """See `Wire.key_missing`; `x-api-key` and a bearer token are both taken."""
        bearer = headers.get("authorization", "").removeprefix("Bearer").strip()
        return not (headers.get("x-api-key") or bearer)

    def headers_missing(self, headers: Mapping[str, str]) -> str | None:
        """See `Wire.headers_missing`."""
        return None if headers.get("anthropic-version") else "anthropic-version: header is required"

    def whole(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Mapping[str, Any]:
        """See `Wire.whole`.

        Raises:
            ValueError: The arguments of a call are a string that is no JSON.
        """
        content: list[Mapping[str, Any]] = []
        if answer.text:
            content.append({"type": "text", "text": answer.text})
        content += [{**_tool_use(call, ids), "input": _arguments(call)} for call in answer.calls]
        usage = _usage(input_tokens(answer, body), output_tokens(answer))
        return {**_message(body, ids), "content": content, **_stopped(answer), "usage": usage}

    def events(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Iterator[bytes]:
        """See `Wire.events`."""
        read = input_tokens(answer, body)
        begun = {**_message(body, ids), **_stopped(None), "usage": _usage(read, 1)}
        yield _event("message_start", message=begun)
        index = 0
        if answer.text:
            deltas = ({"type": "text_delta", "text": piece} for piece in pieces(answer.text))
            yield from _block(index, {"type": "text", "text": ""}, deltas)
            index += 1
        for call in answer.calls:
            yield from _block(index, _tool_use(call, ids), _partial_json(call))
            index += 1
        usage = {"input_tokens": read, "output_tokens": output_tokens(answer)}
        yield _event("message_delta", delta=_stopped(answer), usage=usage)
        yield _event("message_stop")

    def error_event(self) -> bytes:
        """See `Wire.error_event`."""
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def refusal(self, kind: FaultKind, message: str | None, request_id: str) -> Refusal:
        """See `Wire.refusal`."""
        status, error_type, usual = _ERRORS[kind]
        return _refusal(status, error_type, message or usual, request_id)

    def patience(self, refusal: Refusal, seconds: float) -> Refusal:
        """See `Wire.patience`."""
        return retry_after(refusal, seconds)

    def missing_key(self, request_id: str) -> Refusal:
        """See `Wire.missing_key`."""
        return _refusal(401, "authentication_error", "x-api-key header is required", request_id)

    def unknown_path(self, method: str, path: str, request_id: str) -> Refusal:
        """See `Wire.unknown_path`."""
        return _refusal(404, "not_found_error", f"Not found: {method} {path}", request_id)

    def violated(self, violations: tuple[Violation, ...], request_id: str) -> Refusal:
        """See `Wire.violated`."""
        message = "; ".join(map(str, violations))
        return _refusal(400, "invalid_request_error", message, request_id)


def _read_message(message: Mapping[str, Any], turns: TurnsInOrder) -> None:
    blocks = [block for _, block in objects(message.get("content"))]
    for block in blocks:
        if block.get("type") == "tool_result":
            call_id, text = as_text(block.get("tool_use_id")), _text(block.get("content"))
            turns.add_result(call_id, text, is_error=block.get("is_error") is True)
    calls = tuple(
        SeenCall(as_text(b.get("id")), as_text(b.get("name")), as_object(b.get("input")))
        for b in blocks
        if b.get("type") == "tool_use"
    )
    role, text = message.get("role"), _text(message.get("content"))
    if role == "assistant":
        turns.add("assistant", text, calls)
    elif role == "system":
        turns.add("system", text)
    elif any(block.get("type") != "tool_result" for block in blocks) or not blocks:
        turns.add("user", text)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = (
        as_text(b.get("text")) for _, b in objects(as_list(content)) if b.get("type") == "text"
    )
    return "\n\n".join(part for part in parts if part)


def _arguments(call: Call) -> Mapping[str, Any]:
    return json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments


def _tool_use(call: Call, ids: Ids) -> dict[str, Any]:
    call_id = call.id or ids.new("toolu_01", 22)
    return {"type": "tool_use", "id": call_id, "name": call.name, "input": {}}


def _partial_json(call: Call) -> Iterator[Mapping[str, Any]]:
    yield {"type": "input_json_delta", "partial_json": ""}
    for piece in pieces(arguments_text(call)):
        yield {"type": "input_json_delta", "partial_json": piece}


def _block(
    index: int, begun: Mapping[str, Any], deltas: Iterator[Mapping[str, Any]]
) -> Iterator[bytes]:
    yield _event("content_block_start", index=index, content_block=begun)
    if index == 0:
        yield _event("ping")
    for delta in deltas:
        yield _event("content_block_delta", index=index, delta=delta)
    yield _event("content_block_stop", index=index)


def _event(name: str, **fields: Any) -> bytes:
    return sse({"type": name, **fields}, event=name)


def _message(body: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    return {
        "id": ids.new("msg_01", 22),
        "type": "message",
        "role": "assistant",
        "model": as_text(body.get("model")),
        "content": [],
    }


def _stopped(answer: Answer | None) -> dict[str, Any]:
    """Why it stopped; None while it has not."""
    reason = None
    if answer is not None:
        word = answer.finish or ("tool_calls" if answer.calls else "stop")
        reason = _STOP_REASONS.get(word, word)
    return {"stop_reason": reason, "stop_sequence": None}


def _usage(read: int, written: int) -> Mapping[str, Any]:
    return {
        "input_tokens": read,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": written,
        "service_tier": "standard",
    }


def _refusal(status: int, error_type: str, message: str, request_id: str) -> Refusal:
    error = {"type": error_type, "message": message}
    return Refusal(status, {"type": "error", "error": error, "request_id": request_id})
