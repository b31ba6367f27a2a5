"""A group as an adapter like any other, over real SDKs and a server that refuses what the providers refuse."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.adapters.base import Delta, ModelResponse, StreamingAdapter
from midstream.adapters.routing import Answer as Routed
from midstream.adapters.routing import GroupAdapter, Router
from midstream.adapters.view import Segment
from midstream.errors import BadRequestError, NoEndpointError
from midstream.events.content import ToolSpec, assistant, user
from midstream.testing import Answer, Fault, ProviderServer, Seen


@asynccontextmanager
async def router(script: Any, **sections: Any) -> AsyncGenerator[tuple[Router, ProviderServer]]:
    """A router over two vendors, with keys and places as a user configures them."""
    with ProviderServer(script) as server:
        config = {
            "endpoints": {
                "us": {
                    "model": "openai:gpt-4o",
                    "base_url": server.openai_url,
                    "key_env": "K",
                    "timeout": {"connect": 2, "total": 20},
                },
                "claude": {
                    "model": "anthropic:claude-sonnet-4-5",
                    "base_url": server.anthropic_url,
                    "key_env": "K",
                },
            },
            "groups": {"g": {"echelon1": {"models": ["us"]}, "echelon2": {"models": ["claude"]}}},
            **sections,
        }
        async with Router(config, env={"K": "any"}) as made:
            yield made, server
        assert server.refused == []


def down(seen: Seen) -> Answer | Fault:
    if seen.dialect.startswith("openai"):
        return Fault.overloaded()
    return Answer(f"{seen.dialect}, {len(seen.turns)} turns")


async def test_a_conversation_grows_in_neutral_words_and_is_rendered_for_whoever_answers() -> None:
    async with router(down) as (made, server):
        adapter = GroupAdapter(made)
        assert isinstance(adapter, StreamingAdapter)
        view = adapter.begin("g")
        spec = ToolSpec(
            name="look", description="Look.", parameters={"type": "object", "properties": {}}
        )
        view = adapter.render(view, Segment(1, (user("hi"),), "Be brief.", (spec,)))
        first = await adapter.complete(adapter.request(view, {"max_tokens": 50}))
        assert first.message.text == "anthropic, 1 turns"
        view = adapter.render(view, Segment(2, (first.message,)))
        view = adapter.render(view, Segment(3, (user("more"),)))
        pieces = [piece async for piece in adapter.stream(adapter.request(view, {}))]
        assert isinstance(pieces[-1], ModelResponse)
        assert "".join(p.text for p in pieces if isinstance(p, Delta)) == "anthropic, 3 turns"
        assert server.requests[-1].system == "Be brief."
        assert adapter.capabilities("g").context_window == 200_000
        await adapter.close()


async def test_a_view_of_a_group_begins_with_what_it_was() -> None:
    async with router(down) as (made, _):
        adapter = GroupAdapter(made)
        one = adapter.render(adapter.begin("g"), Segment(1, (user("a"),)))
        two = adapter.render(one, Segment(2, (assistant("b"),)))
        other = adapter.render(one, Segment(2, (assistant("c"),)))
        assert two.tape.list()[:1] == one.tape.list() == other.tape.list()[:1]
        assert len({one.digest, two.digest, other.digest}) == 3
        assert adapter.request(two, {}).digest != adapter.request(two, {"seed": 1}).digest


async def test_an_engine_without_a_configuration_takes_a_group_as_an_adapter() -> None:
    graph = Graph("one")

    @graph.node(output=True)
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hi")).text

    async with (
        router(down) as (made, _),
        Engine.memory(adapters={"group": GroupAdapter(made)}, model="group:g") as engine,
    ):
        assert (await (await engine.start(graph))).startswith("anthropic")


async def test_limits_that_a_provider_tells_in_headers_are_obeyed() -> None:
    from midstream.adapters.headers import tell

    class Telling:
        provider = "x"

        def __getattr__(self, name: str) -> Any:
            from tests.adapters.routing.world import FakeEndpoint

            return getattr(FakeEndpoint(latency=0), name)

        async def complete(self, request: Any) -> ModelResponse:
            tell({"X-RateLimit-Remaining-Requests": "0", "x-ratelimit-reset-requests": "30s"})
            return ModelResponse(assistant("ok"))

    class Plain(Telling):
        stream = None

    plain: Any = Plain()  # enough of an adapter
    async with Router({}, adapters={"x": plain}) as made:
        await made.call("x:m", "hi")
        with pytest.raises(NoEndpointError, match="says that 0 requests are left"):
            await made.call("x:m", "hi", deadline=1)


async def test_headers_of_real_answers_are_heard() -> None:
    async with router([Answer("a"), Fault.rate_limit(0.2), Answer("b")]) as (made, server):
        one: Routed = await made.call("endpoint:us", "hi")
        two: Routed = await made.call("endpoint:us", "hi")
        assert (one.text, two.text) == ("a", "b")
        assert [tried.kind for tried in two.tried] == ["rate_limited"]
        assert len(server.requests) == 3  # the SDK sends nothing again by itself


async def test_a_fault_that_is_the_requests_own_is_not_sent_to_others() -> None:
    async with router([Fault.bad_request("no")]) as (made, server):
        with pytest.raises(BadRequestError):
            await made.call("group:g", "hi")
        assert len(server.requests) == 1
