"""OpenAI Chat Completions, as the server side of it.

Sources: https://developers.openai.com/api/reference/resources/chat (shapes),
https://developers.openai.com/api/docs/guides/streaming-responses (order of chunks),
https://developers.openai.com/api/docs/guides/error-codes (errors).
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

_CREATED = 1_790_000_000  # seconds since 1970; an answer of the stand-in does not tell the time
_FINISH = {"refusal": "content_filter"}
_INVALID = "invalid_request_error"
_ERRORS: Mapping[FaultKind, tuple[int, str, str | None, str]] = {
    "rate_limit": (
        429,
        "requests",
        "rate_limit_exceeded",
        "Rate limit reached on requests per min (RPM).",
    ),
    "overloaded": (
        503,
        "server_error",
        None,
        "The engine is currently overloaded, please try again later.",
    ),
    "server_error": (
        500,
        "server_error",
        None,
        "The server had an error while processing your request.",
    ),
    "bad_request": (400, _INVALID, None, "The request is wrong."),
    "authentication": (401, _INVALID, "invalid_api_key", "Incorrect API key provided."),
    "context_window": (
        400,
        _INVALID,
        "context_length_exceeded",
        "This model's maximum context length is 128000 tokens. Please reduce the length of the messages.",
    ),
    "quota": (
        429,
        "insufficient_quota",
        "insufficient_quota",
        "You exceeded your current quota, please check your plan and billing details.",
    ),
}


class OpenAIWire:
    """See `Wire`."""

    dialect: WireDialect = "openai-chat"
    request_id_header = "x-request-id"

    def request_id(self, ids: Ids) -> str:
        """See `Wire.request_id`."""
        return ids.new("req_", 32).lower()

    def read(self, body: Mapping[str, Any]) -> Reading:
        """See `Wire.read`."""
        turns = TurnsInOrder()
        for _, message in objects(body.get("messages")):
            role, text = message.get("role"), _text(message.get("content"))
            if role == "tool":
                turns.add_result(as_text(message.get("tool_call_id")), text)
            elif role == "assistant":
                calls = objects(message.get("tool_calls"))
                turns.add("assistant", text, tuple(_call(call) for _, call in calls))
            else:
                turns.add("system" if role in ("system", "developer") else "user", text)
        tools = (as_object(tool.get("function")) for _, tool in objects(body.get("tools")))
        return turns.reading(tuple(as_text(tool.get("name")) for tool in tools))

    def key_missing(self, headers: Mapping[str, str]) -> bool:
        """See `Wire.key_missing`."""
        return not headers.get("authorization", "").removeprefix("Bearer").strip()

    def headers_missing(self, headers: Mapping[str, str]) -> str | None:
        """See `Wire.headers_missing`."""
        return None

    def whole(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Mapping[str, Any]:
        """See `Wire.whole`."""
        message: dict[str, Any] = {
            "role": "assistant",
            "content": answer.text or (None if answer.calls else ""),
            "refusal": None,
            "annotations": [],
        }
        if answer.calls:
            message["tool_calls"] = [
                {
                    **_head(call, ids),
                    "function": {"name": call.name, "arguments": arguments_text(call)},
                }
                for call in answer.calls
            ]
        choice = {
            "index": 0,
            "message": message,
            "logprobs": None,
            "finish_reason": _finish(answer),
        }
        head = _envelope("chat.completion", body, ids)
        return {**head, "choices": [choice], "usage": _usage(answer, body)}

    def events(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Iterator[bytes]:
        """See `Wire.events`.

        With `stream_options.include_usage` each chunk has a `usage` of null, and one more chunk without choices
        carries the numbers.
        """
        head = _envelope("chat.completion.chunk", body, ids)
        with_usage = as_object(body.get("stream_options")).get("include_usage") is True
        if with_usage:
            head = {**head, "usage": None}
        for delta in _deltas(answer, ids):
            yield sse({**head, "choices": [_choice(delta)]})
        yield sse({**head, "choices": [{**_choice({}), "finish_reason": _finish(answer)}]})
        if with_usage:
            yield sse({**head, "choices": [], "usage": _usage(answer, body)})
        yield sse("[DONE]")

    def error_event(self) -> bytes:
        """See `Wire.error_event`."""
        return sse(self.refusal("server_error", None, "").body)

    def refusal(self, kind: FaultKind, message: str | None, request_id: str) -> Refusal:
        """See `Wire.refusal`."""
        status, error_type, code, usual = _ERRORS[kind]
        param = "messages" if kind == "context_window" else None
        return _refusal(status, error_type, code, message or usual, param)

    def patience(self, refusal: Refusal, seconds: float) -> Refusal:
        """See `Wire.patience`."""
        return retry_after(refusal, seconds)

    def missing_key(self, request_id: str) -> Refusal:
        """See `Wire.missing_key`."""
        message = "You didn't provide an API key. Provide it in an Authorization header using Bearer auth."
        return _refusal(401, _INVALID, None, message)

    def unknown_path(self, method: str, path: str, request_id: str) -> Refusal:
        """See `Wire.unknown_path`."""
        return _refusal(404, _INVALID, None, f"Invalid URL ({method} {path})")

    def violated(self, violations: tuple[Violation, ...], request_id: str) -> Refusal:
        """See `Wire.violated`; `param` is the first place, written as the vendor does: `messages[0].content`."""
        message = "; ".join(map(str, violations))
        return _refusal(400, _INVALID, "invalid_value", message, _param(violations[0].path))


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = (as_text(part.get("text")) for _, part in objects(as_list(content)))
    return "\n\n".join(part for part in parts if part)


def _call(call: Mapping[str, Any]) -> SeenCall:
    function = as_object(call.get("function"))
    try:
        arguments = json.loads(as_text(function.get("arguments")))
    except json.JSONDecodeError:
        arguments = {}
    return SeenCall(as_text(call.get("id")), as_text(function.get("name")), as_object(arguments))


def _head(call: Call, ids: Ids) -> dict[str, Any]:
    return {"id": call.id or ids.new("call_", 24), "type": "function"}


def _deltas(answer: Answer, ids: Ids) -> Iterator[Mapping[str, Any]]:
    text = "" if answer.text or not answer.calls else None
    yield {"role": "assistant", "content": text, "refusal": None}
    for piece in pieces(answer.text):
        yield {"content": piece}
    for index, call in enumerate(answer.calls):
        begun = {**_head(call, ids), "function": {"name": call.name, "arguments": ""}}
        yield {"tool_calls": [{"index": index, **begun}]}
        for piece in pieces(arguments_text(call)):
            yield {"tool_calls": [{"index": index, "function": {"arguments": piece}}]}


def _choice(delta: Mapping[str, Any]) -> dict[str, Any]:
    return {"index": 0, "delta": delta, "logprobs": None, "finish_reason": None}


def _envelope(kind: str, body: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    return {
        "id": ids.new("chatcmpl-", 29),
        "object": kind,
        "created": _CREATED,
        "model": as_text(body.get("model")),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def _finish(answer: Answer) -> str:
    word = answer.finish or ("tool_calls" if answer.calls else "stop")
    return _FINISH.get(word, word)


def _usage(answer: Answer, body: Mapping[str, Any]) -> Mapping[str, Any]:
    read, written = input_tokens(answer, body), output_tokens(answer)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _param(pointer: str) -> str | None:
    parts = pointer.split("/")[1:]
    text = "".join(f"[{part}]" if part.isdigit() else f".{part}" for part in parts)
    return text.removeprefix(".") or None


def _refusal(
    status: int, error_type: str, code: str | None, message: str, param: str | None = None
) -> Refusal:
    error = {"message": message, "type": error_type, "param": param, "code": code}
    return Refusal(status, {"error": error})
