"""A streamed and an unstreamed answer of the same content are the same message; vendors' errors are typed.

A recorded answer came in one of the two ways. The other one is made here, as the vendor would send it: the JSON answer as
events, cut at every place that a vendor may cut at.
"""

# pyright: reportUnknownVariableType=false, reportUnknownMemberType=false, reportUnknownArgumentType=false

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from midstream.adapters import Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.convert import read_answer
from midstream.adapters.dialect import Assembling, Dialect, dialect
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.sse import events
from midstream.errors import AdapterError, PermanentError, QuotaError, TransientError
from midstream.events.content import user
from midstream.testing.loopback import HOST, Exchange, LoopbackServer
from tests.adapters.corpus import exchanges

PIECE = 7
"""Characters in one delta: short, so that texts and arguments are cut in the middle."""


def cut(text: str) -> Iterator[str]:
    yield from (text[start : start + PIECE] for start in range(0, len(text), PIECE))


def chat_events(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Chat Completions: a delta for each piece, the reason at the end, the usage after it."""
    head = {key: value for key, value in answer.items() if key not in ("choices", "usage")}
    head["object"] = "chat.completion.chunk"
    for choice in answer["choices"]:
        for delta in chat_deltas(choice.get("message") or {}):
            yield {**head, "choices": [{"index": choice.get("index", 0), "delta": delta}]}
        last = {"finish_reason": None, **choice, "delta": {}}
        last.pop("message", None)
        yield {**head, "choices": [last]}
    yield {**head, "choices": [], "usage": answer.get("usage")}


def chat_deltas(message: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield {"role": "assistant", "content": "" if message.get("content") == "" else None}
    for key in ("reasoning_content", "reasoning", "content", "refusal"):
        if isinstance(message.get(key), str):
            yield from ({key: piece} for piece in cut(message[key]))
            yield from [{key: ""}] if not message[key] else []
    if isinstance(message.get("content"), list):
        yield from ({"content": [block]} for block in message["content"])
    for number, call in enumerate(message.get("tool_calls") or ()):
        kind = call.get("type", "function")
        text = "arguments" if kind == "function" else "input"
        given = call[kind].get(text) or ""
        about = {**call[kind], text: ""} if given else call[kind]
        yield {"tool_calls": [{"index": number, **call, kind: about}]}
        for piece in cut(given):
            yield {"tool_calls": [{"index": number, kind: {text: piece}}]}
    rest = {
        key: value
        for key, value in message.items()
        if key not in ("role", "content", "refusal", "reasoning_content", "reasoning", "tool_calls")
        and value not in (None, [])
    }
    if rest:
        yield rest


def message_events(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages: each block begins, grows and stops; the reason comes at the end."""
    usage = answer.get("usage") or {}
    started = {**answer, "content": [], "stop_reason": None, "stop_sequence": None}
    yield {"type": "message_start", "message": {**started, "usage": {**usage, "output_tokens": 1}}}
    for index, block in enumerate(answer["content"]):
        yield from block_events(index, block)
    delta = {key: answer.get(key) for key in ("stop_reason", "stop_sequence")}
    yield {"type": "message_delta", "delta": delta, "usage": usage}
    yield {"type": "message_stop"}


def block_events(index: int, block: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun, deltas = dict(block), list[dict[str, Any]]()
    match block["type"]:
        case "text":
            begun["text"] = ""
            deltas += [{"type": "text_delta", "text": piece} for piece in cut(block["text"])]
            for citation in begun.get("citations") or ():
                begun.pop("citations", None)
                deltas.append({"type": "citations_delta", "citation": citation})
        case "thinking":
            begun |= {"thinking": "", "signature": ""}
            deltas += [
                {"type": "thinking_delta", "thinking": one} for one in cut(block["thinking"])
            ]
            deltas.append({"type": "signature_delta", "signature": block.get("signature", "")})
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            begun["input"] = {}
            text = json.dumps(block["input"])
            deltas += [{"type": "input_json_delta", "partial_json": one} for one in cut(text)]
        case _:
            pass
    yield {"type": "content_block_start", "index": index, "content_block": begun}
    for delta in deltas:
        yield {"type": "content_block_delta", "index": index, "delta": delta}
    yield {"type": "content_block_stop", "index": index}


def response_events(answer: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Responses: each item is added, grows and is done; the last event has all of it."""
    opened = {**answer, "output": [], "status": "in_progress"}
    yield {"type": "response.created", "response": opened}
    for index, item in enumerate(answer["output"]):
        yield {"type": "response.output_item.added", "output_index": index, "item": item}
        for block in item.get("content") or () if item.get("type") == "message" else ():
            for piece in cut(block.get("text") or ""):
                yield {"type": "response.output_text.delta", "output_index": index, "delta": piece}
        yield {"type": "response.output_item.done", "output_index": index, "item": item}
    ended = "incomplete" if answer.get("status") == "incomplete" else "completed"
    yield {"type": f"response.{ended}", "response": answer}


SENDERS: dict[str, Any] = {
    "openai-chat": OpenAIAdapter,
    "openai-responses": ResponsesAdapter,
    "anthropic": AnthropicAdapter,
}
TRANSIENT = frozenset((408, 409, 425, 429, 500, 502, 503, 504, 529))

MAKERS: dict[str, Any] = {
    "openai-chat": chat_events,
    "anthropic": message_events,
    "openai-responses": response_events,
}


def folded(form: Dialect, events: Iterator[dict[str, Any]], model: str) -> Any:
    assembly: Assembling = form.assembly()
    for event in events:
        assembly.add(event)
    return form.parse(assembly.whole(), model)


@pytest.mark.parametrize("name", MAKERS)
def test_a_recorded_answer_is_the_same_message_streamed(name: str) -> None:
    form, read = dialect(name), 0
    for row in exchanges(name, every=1):
        answer = row.get("response_json")
        if row["status"] != 200 or not isinstance(answer, dict):
            continue
        try:
            whole = form.parse(answer, row["model"])
        except AdapterError:
            continue
        streamed = folded(form, MAKERS[name](answer), row["model"])
        assert streamed.message == whole.message, row["source"]
        assert streamed.finish == whole.finish
        assert (streamed.response_id, streamed.served) == (whole.response_id, whole.served)
        read += 1
    assert read > 200


@pytest.mark.parametrize("name", MAKERS)
def test_a_recorded_stream_is_the_same_message_in_one_piece_and_streamed_again(name: str) -> None:
    form, read = dialect(name), 0
    for row in exchanges(name, every=1):
        streamed = row.get("response_sse") or row.get("response_chunks")
        if row["status"] != 200 or not streamed or row.get("response_json"):
            continue
        parts = list(events(streamed)) if isinstance(streamed, str) else streamed
        if not parts or isinstance(parts[0], str):
            continue  # packed by the recorder; `test_recorded` reads those
        assembly: Assembling = form.assembly()
        for event in parts:
            assembly.add(event)
        whole = assembly.whole()
        try:
            found = form.parse(whole, row["model"])
        except AdapterError:
            continue
        assert read_answer(streamed, form, row["model"]).message == found.message
        again = folded(form, MAKERS[name](whole), row["model"])
        assert again.message == found.message, row["source"]
        read += 1
    assert read > 50


def errors_of(name: str) -> list[tuple[int, Any]]:
    """Each error that was recorded, once for each status, type and code."""
    found: dict[str, tuple[int, Any]] = {}
    for row in exchanges(name, every=1):
        body = row.get("response_json")
        if row["status"] >= 400 and isinstance(body, dict):
            about = body.get("error")
            kinds = [about.get("type"), about.get("code")] if isinstance(about, dict) else [about]
            found.setdefault(f"{row['status']} {kinds}", (row["status"], body))
    return list(found.values())


@pytest.mark.parametrize("name", ["openai-chat", "openai-responses", "anthropic"])
async def test_a_recorded_error_is_typed_and_says_how_long_to_wait(name: str) -> None:
    wanted = errors_of(name)
    assert wanted

    def respond(exchange: Exchange) -> None:
        exchange.read_body()
        status, body = wanted[int(exchange.lower_headers["x-place"])]
        exchange.reply_json(status, body, {"retry-after": "7"})

    server = LoopbackServer(respond)
    url = f"http://{HOST}:{server.server_port}"
    try:
        for place, (status, body) in enumerate(wanted):
            adapter = SENDERS[name](api_key="k", base_url=url, headers={"x-place": str(place)})
            view = adapter.render(adapter.begin("m"), Segment(1, (user("x"),)))
            with pytest.raises(AdapterError) as caught:
                await adapter.complete(adapter.request(view, {}))
            await adapter.close()
            error = caught.value
            assert type(error) not in (AdapterError, TransientError, PermanentError), body
            assert error.status == status
            if isinstance(error, TransientError):
                assert error.retry_after == 7.0
            assert isinstance(error, TransientError) == (status in TRANSIENT) or isinstance(
                error, QuotaError
            ), (status, body)
    finally:
        server.stop()
