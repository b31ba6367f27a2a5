"""Gemini, as the server side of it.

Sources: https://ai.google.dev/api/generate-content (shapes and streams),
https://ai.google.dev/gemini-api/docs/troubleshooting and google/rpc/error_details.proto (errors).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from midstream.testing.json_reading import as_object, as_text, objects
from midstream.testing.script import Answer, Call, FaultKind
from midstream.testing.seen import Reading, SeenCall, TurnsInOrder
from midstream.testing.violations import Violation, WireDialect
from midstream.testing.wire import Ids, Refusal, input_tokens, output_tokens, pieces, sse

_FINISH = {"stop": "STOP", "tool_calls": "STOP", "length": "MAX_TOKENS", "refusal": "SAFETY"}
_ERRORS: Mapping[FaultKind, tuple[int, str, str, str]] = {
    "rate_limit": (429, "RESOURCE_EXHAUSTED", "Resource exhausted. Please try again later.", ""),
    "overloaded": (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", ""),
    "server_error": (500, "INTERNAL", "An internal error has occurred.", ""),
    "bad_request": (400, "INVALID_ARGUMENT", "The request is wrong.", ""),
    "authentication": (
        400,
        "INVALID_ARGUMENT",
        "API key not valid. Please pass a valid API key.",
        "API_KEY_INVALID",
    ),
    "context_window": (
        400,
        "INVALID_ARGUMENT",
        "The input token count (1250074) exceeds the maximum number of tokens allowed (1048576).",
        "",
    ),
    "quota": (
        403,
        "PERMISSION_DENIED",
        "This API method requires billing to be enabled.",
        "BILLING_DISABLED",
    ),
}


class GeminiWire:
    """See `Wire`."""

    dialect: WireDialect = "gemini"
    request_id_header = "x-request-id"

    def request_id(self, ids: Ids) -> str:
        """See `Wire.request_id`."""
        return ids.new("", 22)

    def read(self, body: Mapping[str, Any]) -> Reading:
        """See `Wire.read`."""
        turns = TurnsInOrder()
        turns.add("system", _text(as_object(body.get("systemInstruction"))))
        named = _Named()
        for _, content in objects(body.get("contents")):
            _read_content(content, turns, named)
        names = (
            as_text(function.get("name"))
            for _, tool in objects(body.get("tools"))
            for _, function in objects(tool.get("functionDeclarations"))
        )
        return turns.reading(tuple(names))

    def key_missing(self, headers: Mapping[str, str]) -> bool:
        """See `Wire.key_missing`."""
        return not headers.get("x-goog-api-key", "").strip()

    def headers_missing(self, headers: Mapping[str, str]) -> str | None:
        """See `Wire.headers_missing`."""
        return None

    def whole(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Mapping[str, Any]:
        """See `Wire.whole`.

        Raises:
            ValueError: The arguments of a call are a string that is no JSON; the service sends them as an object.
        """
        texts = [{"text": answer.text}] if answer.text else []
        parts = [*texts, *(_call(call) for call in answer.calls)]
        return _chunk(parts, _envelope(answer, body, ids), _finish(answer))

    def events(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Iterator[bytes]:
        """See `Wire.events`: each is an answer of its own, with what is new, and only the last says why it ended."""
        envelope = _envelope(answer, body, ids)
        for piece in pieces(answer.text):
            yield sse(_chunk([{"text": piece}], envelope, None))
        for call in answer.calls:
            yield sse(_chunk([_call(call)], envelope, None))
        yield sse(_chunk([{"text": ""}], envelope, _finish(answer)))

    def error_event(self) -> bytes:
        """See `Wire.error_event`."""
        return sse(self.refusal("overloaded", None, "").body)

    def refusal(self, kind: FaultKind, message: str | None, request_id: str) -> Refusal:
        """See `Wire.refusal`."""
        code, status, usual, reason = _ERRORS[kind]
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": reason,
            "domain": "googleapis.com",
        }
        return _refusal(code, status, message or usual, [info] if reason else [])

    def patience(self, refusal: Refusal, seconds: float) -> Refusal:
        """See `Wire.patience`: it is said in the body."""
        error = dict(as_object(refusal.body.get("error")))
        kind = "type.googleapis.com/google.rpc.RetryInfo"
        details = [*error.get("details", ()), {"@type": kind, "retryDelay": f"{seconds:g}s"}]
        return replace(refusal, body={"error": {**error, "details": details}})

    def missing_key(self, request_id: str) -> Refusal:
        """See `Wire.missing_key`."""
        message = "Method doesn't allow unregistered callers. Please use API Key."
        return _refusal(403, "PERMISSION_DENIED", message)

    def unknown_path(self, method: str, path: str, request_id: str) -> Refusal:
        """See `Wire.unknown_path`."""
        return _refusal(404, "NOT_FOUND", f"{method} {path} is not found")

    def violated(self, violations: tuple[Violation, ...], request_id: str) -> Refusal:
        """See `Wire.violated`."""
        return _refusal(400, "INVALID_ARGUMENT", "; ".join(map(str, violations)))


class _Named:
    """Ids for calls that have none: the n-th call of a name is answered by its n-th response."""

    def __init__(self) -> None:
        self._calls: dict[str, int] = {}
        self._answers: dict[str, int] = {}

    def call(self, said: Mapping[str, Any]) -> str:
        return as_text(said.get("id")) or self._next(self._calls, as_text(said.get("name")))

    def answer(self, said: Mapping[str, Any]) -> str:
        return as_text(said.get("id")) or self._next(self._answers, as_text(said.get("name")))

    def _next(self, counts: dict[str, int], name: str) -> str:
        counts[name] = counts.get(name, 0) + 1
        return f"{name}#{counts[name]}"


def _read_content(content: Mapping[str, Any], turns: TurnsInOrder, named: _Named) -> None:
    parts = [part for _, part in objects(content.get("parts"))]
    for part in parts:
        result = as_object(part.get("functionResponse"))
        if result:
            response = as_object(result.get("response"))
            said = response.get("output", response.get("error", response))
            text = said if isinstance(said, str) else json.dumps(said, separators=(",", ":"))
            turns.add_result(named.answer(result), text, is_error="error" in response)
    found = (as_object(part.get("functionCall")) for part in parts)
    calls = tuple(
        SeenCall(named.call(call), as_text(call.get("name")), as_object(call.get("args")))
        for call in found
        if call
    )
    if content.get("role") == "model":
        turns.add("assistant", _text(content), calls)
    elif any("functionResponse" not in part for part in parts):
        turns.add("user", _text(content))


def _text(content: Mapping[str, Any]) -> str:
    texts = [
        as_text(part.get("text"))
        for _, part in objects(content.get("parts"))
        if part.get("thought") is not True
    ]
    return "\n\n".join(text for text in texts if text)


def _call(call: Call) -> dict[str, Any]:
    arguments = json.loads(call.arguments) if isinstance(call.arguments, str) else call.arguments
    about = {} if call.id is None else {"id": call.id}
    return {"functionCall": {**about, "name": call.name, "args": arguments}}


def _envelope(answer: Answer, body: Mapping[str, Any], ids: Ids) -> dict[str, Any]:
    read, written = input_tokens(answer, body), output_tokens(answer)
    usage = {
        "promptTokenCount": read,
        "candidatesTokenCount": written,
        "totalTokenCount": read + written,
    }
    return {
        "usageMetadata": usage,
        "modelVersion": as_text(body.get("model")),
        "responseId": ids.new("", 22),
    }


def _chunk(
    parts: list[dict[str, Any]], envelope: Mapping[str, Any], finish: str | None
) -> dict[str, Any]:
    content = {"parts": parts, "role": "model"} if parts else {"role": "model"}
    ended = {} if finish is None else {"finishReason": finish}
    return {"candidates": [{"content": content, **ended, "index": 0}], **envelope}


def _finish(answer: Answer) -> str:
    word = answer.finish or "stop"
    return _FINISH.get(word, word)


def _refusal(
    code: int, status: str, message: str, details: list[dict[str, Any]] | None = None
) -> Refusal:
    error: dict[str, Any] = {"code": code, "message": message, "status": status}
    return Refusal(code, {"error": {**error, "details": details} if details else error})
