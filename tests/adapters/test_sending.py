"""The one place of I/O, through the real SDKs, against a server on loopback that judges what it is sent."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Literal

import pytest

from midstream import errors
from midstream.adapters import Delta, ModelRequest, ModelResponse, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.events.content import ToolSpec, user
from midstream.testing import Answer, Call, Fault, ProviderServer

Vendor = Literal["openai", "openai-responses", "anthropic", "gemini"]
Either = OpenAIAdapter | AnthropicAdapter | GeminiAdapter
EACH = pytest.mark.parametrize("vendor", ["openai", "openai-responses", "anthropic", "gemini"])
MODELS: dict[Vendor, str] = {
    "openai": "gpt-4o",
    "openai-responses": "gpt-4o",
    "anthropic": "claude-sonnet-4-5",
    "gemini": "gemini-2.5-flash",
}


def adapter_of(vendor: Vendor, server: ProviderServer) -> Either:
    match vendor:
        case "openai":
            return OpenAIAdapter(api_key="k", base_url=server.openai_url)
        case "openai-responses":
            return ResponsesAdapter(api_key="k", base_url=server.openai_url)
        case "anthropic":
            return AnthropicAdapter(api_key="k", base_url=server.anthropic_url)
        case "gemini":
            return GeminiAdapter(api_key="k", base_url=server.gemini_url)


def request_of(
    adapter: Either, vendor: Vendor, *, tools: tuple[ToolSpec, ...] = ()
) -> ModelRequest:
    segment = Segment(1, (user("hi"),), system="be brief", tools=tools)
    view = adapter.render(adapter.begin(MODELS[vendor]), segment)
    return adapter.request(view, {})


@contextmanager
def serving(vendor: Vendor, *script: Answer | Fault) -> Generator[tuple[ProviderServer, Either]]:
    with ProviderServer(list(script)) as server:
        yield server, adapter_of(vendor, server)


async def streamed(adapter: Either, request: ModelRequest) -> list[Delta | ModelResponse]:
    return [item async for item in adapter.stream(request)]


@EACH
async def test_a_whole_answer_and_a_streamed_one_are_the_same_message(vendor: Vendor) -> None:
    answer = Answer("I look.", (Call("f g", {"b": 1, "a": 1.0}, id="c1"), Call("h", {}, id="c2")))
    with serving(vendor, by_alias(vendor, answer), by_alias(vendor, answer)) as (_, adapter):
        request = request_of(adapter, vendor, tools=(ToolSpec(name="f g"), ToolSpec(name="h")))
        whole = await adapter.complete(request)
        pieces = await streamed(adapter, request)
        await adapter.close()
    last = pieces[-1]
    assert isinstance(last, ModelResponse)
    assert unnamed(last) == unnamed(whole)
    assert last.finish == whole.finish == "tool_calls"
    assert [call.name for call in whole.message.tool_calls] == ["f g", "h"]
    deltas = [piece for piece in pieces if isinstance(piece, Delta)]
    assert "".join(delta.text for delta in deltas) == "I look."
    assert [delta.tool for delta in deltas if delta.tool] == ["f g", "h"]
    assert whole.usage.input_tokens > 0
    assert whole.message.origin == f"{vendor}:{MODELS[vendor]}"


def unnamed(response: ModelResponse) -> list[dict[str, Any]]:
    """Return the parts of an answer without the ids that a service makes anew for each."""
    dumped = [part.model_dump() for part in response.message.parts]
    return [{key: value for key, value in part.items() if key != "item_id"} for part in dumped]


def by_alias(vendor: Vendor, answer: Answer) -> Answer:
    """Return the answer with the tool under the name by which the provider was told it."""
    with ProviderServer([]) as server:
        adapter = adapter_of(vendor, server)
    request = request_of(adapter, vendor, tools=(ToolSpec(name="f g"),))
    alias = next(iter(request.names))
    calls = tuple(
        Call(alias if call.name == "f g" else call.name, call.arguments, call.id)
        for call in answer.calls
    )
    return Answer(answer.text, calls)


KEYS: dict[Vendor, str] = {
    "openai": "OPENAI_API_KEY",
    "openai-responses": "OPENAI_API_KEY",
    "anthropic": "ANTHROPIC_API_KEY",
    "gemini": "GEMINI_API_KEY",
}
KINDS: dict[Vendor, type[Either]] = {
    "openai": OpenAIAdapter,
    "openai-responses": ResponsesAdapter,
    "anthropic": AnthropicAdapter,
    "gemini": GeminiAdapter,
}
FAULTS: list[tuple[Fault, type[errors.AdapterError]]] = [
    (Fault.rate_limit(2.0), errors.RateLimitError),
    (Fault.overloaded(), errors.OverloadedError),
    (Fault.server_error(), errors.UnavailableError),
    (Fault.bad_request("no"), errors.BadRequestError),
    (Fault.authentication(), errors.AuthenticationError),
    (Fault.quota(), errors.QuotaError),
    (Fault.reset(), errors.ConnectionFailedError),
    (Fault("malformed_json"), errors.MalformedAnswerError),
    (Fault("lost"), errors.ConnectionFailedError),
]


@EACH
@pytest.mark.parametrize(("fault", "kind"), FAULTS, ids=[fault.kind for fault, _ in FAULTS])
async def test_a_failure_has_our_type_and_is_sent_once(
    vendor: Vendor, fault: Fault, kind: type[errors.AdapterError]
) -> None:
    with serving(vendor, fault, Answer("never asked for")) as (server, adapter):
        with pytest.raises(errors.AdapterError) as caught:
            await adapter.complete(request_of(adapter, vendor))
        await adapter.close()
    assert type(caught.value) is kind
    assert caught.value.provider == vendor
    assert caught.value.__cause__ is not None
    assert len(server.requests) == 1
    if isinstance(caught.value, errors.RateLimitError):
        assert caught.value.retry_after == 2.0


STREAM_FAULTS: list[tuple[Fault, tuple[type[errors.AdapterError], ...]]] = [
    (Fault.truncated(), (errors.MalformedAnswerError,)),
    (Fault.reset(after_events=2), (errors.ConnectionFailedError,)),
    (Fault("empty_stream"), (errors.MalformedAnswerError,)),
    (Fault.stream_error(), (errors.OverloadedError, errors.UnavailableError)),
    (Fault.rate_limit(), (errors.RateLimitError,)),
]


@EACH
@pytest.mark.parametrize(
    ("fault", "kinds"), STREAM_FAULTS, ids=[fault.kind for fault, _ in STREAM_FAULTS]
)
async def test_a_stream_that_breaks_is_no_answer(
    vendor: Vendor, fault: Fault, kinds: tuple[type[errors.AdapterError], ...]
) -> None:
    """H-112: what came before the break is for a reader only."""
    with serving(vendor, fault) as (server, adapter):
        with pytest.raises(errors.TransientError) as caught:
            await streamed(adapter, request_of(adapter, vendor))
        await adapter.close()
    assert type(caught.value) in kinds
    assert len(server.requests) == 1


@EACH
async def test_a_conversation_that_is_too_long_has_its_own_error(vendor: Vendor) -> None:
    with serving(vendor, Fault.context_window()) as (_, adapter):
        view = adapter.render(
            adapter.begin(MODELS[vendor]), Segment(1, (user("word " * 1_000_000),))
        )
        with pytest.raises(errors.ContextWindowError):
            await adapter.complete(adapter.request(view, {}))
        await adapter.close()


@EACH
@pytest.mark.parametrize("way", ["complete", "stream"])
async def test_cancelling_passes_through_and_lets_the_connection_go(
    vendor: Vendor, way: str
) -> None:
    with serving(vendor, Fault.slow(5.0), Answer("next")) as (server, adapter):
        request = request_of(adapter, vendor)
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await (
                    adapter.complete(request) if way == "complete" else streamed(adapter, request)
                )
        assert time.monotonic() - began < 2
        assert (await adapter.complete(request)).message.text == "next"
        await adapter.close()
    assert len(server.requests) == 2


@EACH
async def test_without_a_key_all_but_sending_works(
    vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in KEYS.values():
        monkeypatch.delenv(name, raising=False)
    for name in ("ANTHROPIC_AUTH_TOKEN", "GOOGLE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/nonexistent")
    adapter: Either = KINDS[vendor]()
    request = request_of(adapter, vendor)
    with pytest.raises(errors.AuthenticationError, match=f"set {KEYS[vendor]}"):
        await adapter.complete(request)
    await adapter.close()


async def test_a_client_that_was_given_is_not_let_to_send_again_and_is_not_closed() -> None:
    import openai

    with ProviderServer([Fault.server_error(), Answer("ok")]) as server:
        client = openai.AsyncOpenAI(api_key="k", base_url=server.openai_url, max_retries=5)
        adapter = OpenAIAdapter(client=client)
        with pytest.raises(errors.UnavailableError):
            await adapter.complete(request_of(adapter, "openai"))
        await adapter.close()
        assert not client.is_closed()
        await client.close()
    assert len(server.requests) == 1


def test_importing_midstream_and_its_adapters_loads_no_sdk() -> None:
    code = (
        "import sys, midstream, midstream.adapters, midstream.adapters.registry, midstream.adapters.prices;"
        "import midstream.adapters.openai, midstream.adapters.anthropic, midstream.adapters.responses;"
        "import midstream.adapters.gemini;"
        "sys.exit(bool({'openai', 'anthropic', 'google.genai', 'httpx', 'httpx2', 'genai_prices'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
