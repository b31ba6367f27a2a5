"""A request is sent as the bytes that were written for its view; a client that looks into bodies is given the fields."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from anthropic import AsyncAnthropic
from openai import AsyncOpenAI

from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import ModelRequest
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.posting import posted
from midstream.adapters.responses import ResponsesAdapter
from midstream.events.content import Segment, assistant, user
from midstream.events.json_text import read_json
from midstream.testing import Answer, ProviderServer

Vendor = Literal["openai", "openai-responses", "anthropic"]
EACH = pytest.mark.parametrize("vendor", ["openai", "openai-responses", "anthropic"])


class Curious(AsyncOpenAI):
    """A client of another class, as that for Azure is."""


class CuriousToo(AsyncAnthropic):
    """A client of another class, as that for Bedrock is."""


def adapter_of(vendor: Vendor, server: ProviderServer, client: Any = None) -> Any:
    if vendor == "anthropic":
        return AnthropicAdapter(api_key="k", base_url=server.anthropic_url, client=client)
    made = OpenAIAdapter if vendor == "openai" else ResponsesAdapter
    return made(api_key="k", base_url=server.openai_url, client=client)


def client_of(vendor: Vendor, server: ProviderServer) -> Curious | CuriousToo:
    if vendor == "anthropic":
        return CuriousToo(api_key="k", base_url=server.anthropic_url)
    return Curious(api_key="k", base_url=server.openai_url)


def request_of(adapter: Any, vendor: Vendor) -> ModelRequest:
    view = adapter.begin("claude-sonnet-4-5" if vendor == "anthropic" else "gpt-4o")
    for seq, said in enumerate((user("hi"), assistant("é"), user("and?")), 1):
        view = adapter.render(view, Segment(seq, (said,)))
    request: ModelRequest = adapter.request(view, {"temperature": 0.5})
    return request


@EACH
async def test_bytes_and_fields_are_the_same_request(vendor: Vendor) -> None:
    with ProviderServer([Answer("a")] * 4) as server:
        client = client_of(vendor, server)
        own, other = adapter_of(vendor, server), adapter_of(vendor, server, client)
        requests = [request_of(own, vendor), request_of(other, vendor)]
        for adapter, request in zip((own, other), requests, strict=True):
            await adapter.complete(request)
            assert [item async for item in adapter.stream(request)]
            await adapter.close()
        await client.close()
        whole, streamed, whole_too, streamed_too = [seen.body for seen in server.requests]
    assert (whole, streamed) == (whole_too, streamed_too)
    assert (whole.get("stream"), streamed["stream"]) == (None, True)
    listed = ["body" in vars(request) for request in requests]
    assert listed == [False, True]  # the messages of what is sent as bytes are not even listed


@EACH
def test_a_field_of_none_is_left_out(vendor: Vendor) -> None:
    with ProviderServer([]) as server:
        request = request_of(adapter_of(vendor, server), vendor)
    left = posted(request, exact=True, model=None, stream=True)["content"]
    fields = {**request.body, "stream": True}
    del fields["model"]
    assert read_json(left) == fields
    assert posted(request, exact=False, model=None, stream=True) == {"body": fields}
