"""OpenAI Responses, as the server side of it; its errors are those of Chat Completions.

Sources: https://developers.openai.com/api/reference/resources/responses (shapes),
https://developers.openai.com/api/docs/guides/streaming-responses (order of events).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.testing.json_reading import as_object, as_text, objects
from midstream.testing.script import Answer, Call
from midstream.testing.seen import Reading, SeenCall, TurnsInOrder
from midstream.testing.violations import WireDialect
from midstream.testing.wire import Ids, arguments_text, input_tokens, output_tokens, pieces, sse
from midstream.testing.wire_openai import OpenAIWire

_CREATED = 1_790_000_000  # seconds since 1970; an answer of the stand-in does not tell the time


class ResponsesWire(OpenAIWire):
    """See `Wire`."""

    dialect: WireDialect = "openai-responses"

    def read(self, body: Mapping[str, Any]) -> Reading:
        """See `Wire.read`."""
        turns = TurnsInOrder()
        if body.get("instructions"):
            turns.add("system", as_text(body["instructions"]))
        given = body.get("input")
        if isinstance(given, str):
            turns.add("user", given)
        for _, item in objects(given):
            _read_item(item, turns)
        names = (as_text(tool.get("name")) for _, tool in objects(body.get("tools")))
        return turns.reading(tuple(names))

    def whole(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Mapping[str, Any]:
        """See `Wire.whole`."""
        return _response(answer, body, ids, _items(answer, ids))

    def events(self, answer: Answer, body: Mapping[str, Any], ids: Ids) -> Iterator[bytes]:
        """See `Wire.events`."""
        items = _items(answer, ids)
        whole = _response(answer, body, ids, items)
        begun: dict[str, Any] = {**whole, "status": "in_progress", "output": [], "usage": None}
        begun["incomplete_details"] = None
        told: list[tuple[str, dict[str, Any]]] = [("response.created", {"response": begun})]
        for index, item in enumerate(items):
            told += _told(index, item)
        ended = "response.incomplete" if whole["status"] == "incomplete" else "response.completed"
        told.append((ended, {"response": whole}))
        for number, (name, fields) in enumerate(told):
            yield sse({"type": name, "sequence_number": number, **fields}, event=name)

    def error_event(self) -> bytes:
        """See `Wire.error_event`."""
        error = {
            "type": "error",
            "code": "server_error",
            "message": "The server had an error.",
            "param": None,
            "sequence_number": 0,
        }
        return sse(error, event="error")


def _read_item(item: Mapping[str, Any], turns: TurnsInOrder) -> None:
    kind, call_id = as_text(item.get("type")), as_text(item.get("call_id"))
    if kind == "function_call":
        try:
            arguments = json.loads(as_text(item.get("arguments")))
        except json.JSONDecodeError:
            arguments = {}
        call = SeenCall(call_id, as_text(item.get("name")), as_object(arguments))
        turns.add("assistant", "", (call,))
    elif kind == "custom_tool_call":
        given = {"input": as_text(item.get("input"))}
        turns.add("assistant", "", (SeenCall(call_id, as_text(item.get("name")), given),))
    elif kind in ("function_call_output", "custom_tool_call_output"):
        turns.add_result(call_id, _text(item.get("output")))
    elif kind in ("", "message"):
        role, text = item.get("role"), _text(item.get("content"))
        if role == "assistant":
            turns.add("assistant", text)
        else:
            turns.add("system" if role in ("system", "developer") else "user", text)


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    parts = (as_text(part.get("text")) for _, part in objects(content))
    return "\n\n".join(part for part in parts if part)


def _items(answer: Answer, ids: Ids) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    if answer.text or not answer.calls:
        kind = "refusal" if answer.finish == "refusal" else "output_text"
        block: dict[str, Any] = {"type": kind, "refusal": answer.text}
        if kind == "output_text":
            block = {"type": kind, "annotations": [], "logprobs": [], "text": answer.text}
        items.append(
            {
                "id": ids.new("msg_", 48).lower(),
                "type": "message",
                "status": "completed",
                "content": [block],
                "role": "assistant",
            }
        )
    return [*items, *(_call(call, ids) for call in answer.calls)]


def _call(call: Call, ids: Ids) -> dict[str, Any]:
    return {
        "id": ids.new("fc_", 48).lower(),
        "type": "function_call",
        "status": "completed",
        "arguments": arguments_text(call),
        "call_id": call.id or ids.new("call_", 24),
        "name": call.name,
    }


def _told(index: int, item: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The events of one item: its beginning, its pieces, its end."""
    where = {"output_index": index, "item_id": item["id"]}
    empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
    begun = {**item, **empty, "status": "in_progress"}
    told = [("response.output_item.added", {"output_index": index, "item": begun})]
    if item["type"] == "function_call":
        name = "response.function_call_arguments.delta"
        told += [(name, {**where, "delta": piece}) for piece in pieces(item["arguments"])]
        done = {**where, "name": item["name"], "arguments": item["arguments"]}
        told.append(("response.function_call_arguments.done", done))
    else:
        told += _spoken(where, item["content"][0])
    told.append(("response.output_item.done", {"output_index": index, "item": dict(item)}))
    return told


def _spoken(where: Mapping[str, Any], block: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    key = "refusal" if block["type"] == "refusal" else "text"
    name = "response.refusal" if key == "refusal" else "response.output_text"
    here = {**where, "content_index": 0}
    more: dict[str, Any] = {"logprobs": []} if key == "text" else {}
    told = [("response.content_part.added", {**here, "part": {**block, key: ""}})]
    told += [(f"{name}.delta", {**here, **more, "delta": piece}) for piece in pieces(block[key])]
    told.append((f"{name}.done", {**here, **more, key: block[key]}))
    told.append(("response.content_part.done", {**here, "part": dict(block)}))
    return told


def _response(
    answer: Answer, body: Mapping[str, Any], ids: Ids, items: list[dict[str, Any]]
) -> dict[str, Any]:
    cut = answer.finish == "length"
    read, written = input_tokens(answer, body), output_tokens(answer)
    return {
        "id": ids.new("resp_", 48).lower(),
        "object": "response",
        "created_at": _CREATED,
        "status": "incomplete" if cut else "completed",
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "metadata": {},
        "model": as_text(body.get("model")),
        "output": items,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": {
            "input_tokens": read,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": written,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": read + written,
        },
    }
