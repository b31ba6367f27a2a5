"""Runs whose calls name groups and pools, on a server that refuses what the providers refuse."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Engine, Graph, tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.routing import Router
from midstream.engine.model_names import model_of
from midstream.errors import ConfigError, RunFailedError
from midstream.events.envelope import Event
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore
from midstream.events.system import ROUTING
from midstream.testing import Answer, Call, Fault, ProviderServer, Seen

CONFIG: dict[str, Any] = {
    "model": "group:fast",
    "groups": {
        "fast": {
            "echelon1": {"models": ["openai:gpt-4o"]},
            "echelon2": {"models": ["anthropic:claude-sonnet-4-5"]},
            "fallback_config": {"retry_delay": 0.01},
        },
        "careful": {"echelon1": {"models": ["anthropic:claude-sonnet-4-5"]}},
    },
    "pools": {"all": {"task_groups": ["fast", "careful"]}},
}


@asynccontextmanager
async def stage(
    script: Callable[[Seen], Answer | Fault],
    *,
    config: Any = CONFIG,
    store: EventStore | None = None,
    **options: Any,
) -> AsyncGenerator[tuple[Engine, ProviderServer]]:
    """An engine whose providers are a strict server on this machine."""
    with ProviderServer(script) as server:
        adapters: dict[str, OpenAIAdapter | AnthropicAdapter] = {
            "openai": OpenAIAdapter(base_url=server.openai_url, api_key="k"),
            "anthropic": AnthropicAdapter(base_url=server.anthropic_url, api_key="k"),
        }
        try:
            async with Engine(
                store or MemoryStore(), adapters=adapters, config=config, **options
            ) as engine:
                yield engine, server
        finally:
            for adapter in adapters.values():
                await adapter.close()
        assert server.refused == []


async def events_of(engine: Engine, run_id: str, type_: str) -> list[Event]:
    return [event async for event in engine.store.read(run_id) if event.type == type_]  # type: ignore[arg-type]  # the caller's text


@tool(effect="read")
async def population(city: str) -> int:
    """How many people live there."""
    return {"Oslo": 700_000, "Rome": 2_800_000}[city]


def working(seen: Seen) -> Answer:
    """Ask for both cities, then add what came back."""
    results = seen.results
    if seen.tool_names and not results:
        return Answer(calls=tuple(Call("population", {"city": city}) for city in ("Oslo", "Rome")))
    return Answer(f"{seen.dialect}: {len(results)} results")


trip = Graph("trip")


@trip.node
async def first(ctx: Context) -> str:
    return (await ctx.llm("Compare Oslo and Rome.", tools=[population])).text


@trip.node(output=True)
async def second(first: str, ctx: Context) -> str:
    return (await ctx.llm("And now in one word.")).text


async def test_a_group_answers_for_a_run_and_the_choice_is_recorded() -> None:
    async with stage(working) as (engine, _):
        run = await engine.start(trip, run_id="r")
        assert (await run).startswith("openai")
        decided = await events_of(engine, "r", "route.decided")
        assert [event.data["model"] for event in decided] == ["openai:gpt-4o"] * 3
        assert [event.data.get("sticky", False) for event in decided] == [False, True, True]
        asked = await events_of(engine, "r", "model.requested")
        assert {event.data["asked"] for event in asked} == {"group:fast"}
        assert [e.seq + 1 for e in decided] == [e.seq for e in asked]


async def test_a_failover_to_another_provider_is_a_migration_with_its_losses() -> None:
    down: list[bool] = []

    def script(seen: Seen) -> Answer | Fault:
        if seen.dialect.startswith("openai") and down:
            return Fault.overloaded()
        if seen.results:
            down.append(True)
        return working(seen)

    async with stage(script) as (engine, server):
        run = await engine.start(trip, run_id="r")
        assert (await run).startswith("anthropic")
        switched = await events_of(engine, "r", "model.switched")
        assert [
            (event.actor, event.data["source"], event.data["target"], event.data["reason"])
            for event in switched
        ] == [("policy:failover", "openai:gpt-4o", "anthropic:claude-sonnet-4-5", "failover")]
        failed = await events_of(engine, "r", "model.failed")
        assert [event.data["kind"] for event in failed] == ["overloaded"]
        tools = await events_of(engine, "r", "tool.requested")
        assert len(tools) == 2  # nothing was repeated
        assert len(server.requests) == 4


async def test_what_a_group_asks_of_a_call_reaches_the_provider() -> None:
    config = {"groups": {"fast": {"echelon1": {"models": ["openai:gpt-4o"], "max_tokens": 77}}}}
    async with stage(working, config=config, model="group:fast") as (engine, server):
        await (await engine.start(trip))
        body = server.requests[0].body
        assert 77 in (body.get("max_tokens"), body.get("max_completion_tokens"))


async def test_a_run_fails_with_the_reason_where_nobody_may_be_asked() -> None:
    config = {
        "groups": {
            "fast": {
                "echelon1": {"models": ["openai:gpt-4o"]},
                "fallback_config": {"max_attempts": 2, "retry_delay": 0.01},
            }
        }
    }
    async with stage(lambda _: Fault.overloaded(), config=config, model="group:fast") as (
        engine,
        server,
    ):
        run = await engine.start(trip, run_id="r")
        with pytest.raises(RunFailedError, match="overloaded"):
            await run
        assert len(server.requests) == 2
        with pytest.raises(RunFailedError, match="no group is named 'fats'; did you mean 'fast'"):
            await (await engine.start(trip, model="group:fats"))


async def test_a_run_moves_from_a_group_to_a_model_and_to_another_group() -> None:
    asked, release = asyncio.Event(), asyncio.Event()
    moving = Graph("moving")

    @moving.node
    async def one(ctx: Context) -> str:
        said = (await ctx.llm("one")).model
        asked.set()
        await release.wait()
        return said

    @moving.node(output=True)
    async def two(one: str, ctx: Context) -> list[str]:
        return [one, (await ctx.llm("two")).model]

    for target, model in (
        ("openai:gpt-4o-mini", "openai:gpt-4o-mini"),
        ("group:careful", "anthropic:claude-sonnet-4-5"),
    ):
        asked.clear()
        release.clear()
        async with stage(working) as (engine, _):
            run = await engine.start(moving)
            await asked.wait()
            plan = await run.migrate(target, dry_run=True)
            assert plan.losses == ()
            await plan.apply()
            release.set()
            assert await run == ["openai:gpt-4o", model]


async def test_runs_share_one_router_which_stays_its_owners() -> None:
    store = MemoryStore()
    with ProviderServer(working) as server:
        adapter = OpenAIAdapter(base_url=server.openai_url, api_key="k")
        config = {"endpoints": {"a": {"model": "openai:gpt-4o", "concurrency": 1}}}
        async with Router(config, store=store, adapters={"openai": adapter}) as router:
            for _ in range(2):
                async with Engine(store, config=router, model="endpoint:a") as engine:
                    await asyncio.gather(*[await engine.start(trip) for _ in range(3)])
            assert router.stats()["endpoint:a"].ok == 18
            assert (await router.call("endpoint:a", "hi")).text.startswith("openai")
            assert [info.run_id for info in await engine_runs(store)] == []
        await adapter.close()


async def engine_runs(store: EventStore) -> list[Any]:
    async with Engine(store) as engine:
        return [info for info in await engine.runs(limit=100) if info.run_id == ROUTING]


async def test_a_resumed_run_goes_on_where_it_was_and_breakers_are_remembered(
    tmp_path: Path,
) -> None:
    def script(seen: Seen) -> Answer | Fault:
        if seen.dialect.startswith("openai"):
            return Fault.overloaded()
        return working(seen)

    config = {**CONFIG, "breaker": {"failure_threshold": 1, "recovery_time": 600}}
    store = MemoryStore()
    async with stage(script, config=config, store=store) as (engine, server):
        run = await engine.start(trip, run_id="r")
        async for event in run.events():
            if event.type == "node.completed":
                break
    async with stage(script, config=config, store=store, graphs=[trip]) as (engine, server):
        run = await engine.resume("r")
        assert (await run).startswith("anthropic")
        assert [seen.dialect for seen in server.requests if seen.dialect.startswith("openai")] == []


def test_a_nodes_configuration_names_its_model_in_a_fixed_order() -> None:
    config = {
        "llm_wrapper": "pool:w",
        "task_group": "g",
        "polling_pool": "p",
        "llm_client": "openai:m",
    }
    found: list[str] = []
    for key in (*config, ""):
        found.append(model_of(config))
        config.pop(key, None)
    assert found == ["pool:w", "group:g", "pool:p", "openai:m", ""]


async def test_a_wrong_configuration_keeps_the_engine_closed(tmp_path: Path) -> None:
    path = tmp_path / "midstream.yaml"
    path.write_text("groups: {fast: {echelons: []}}")
    engine = Engine.memory(config=path)
    with pytest.raises(ConfigError, match=r"groups\.fast\.echelons"):
        await engine.__aenter__()


async def test_scripted_answers_are_given_for_groups_too() -> None:
    async with Engine.memory(models={"gpt-4o": ["a", "b"]}, config=CONFIG) as engine:
        assert await (await engine.start(trip)) == "b"


async def test_a_replay_takes_choices_and_policies_decisions_from_the_log() -> None:
    from midstream.engine.policies.builtin import Rule

    rule = Rule("openai:gpt-4o-mini", node="second")
    async with stage(working, policies=[rule]) as (engine, server):
        run = await engine.start(trip, run_id="r")
        await run
        asked = len(server.requests)
        placed = engine.store  # the stream of routing must not grow either
        before = [event.seq async for event in placed.read(ROUTING)]
        report = await run.replay()
        assert report.identical, report
        assert len(server.requests) == asked
        assert len([e async for e in placed.read(ROUTING)]) <= len(before) + 3
