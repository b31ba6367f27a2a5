"""Changing models in the middle of a run."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from midstream import Context, Graph, Message, tool
from midstream.adapters.base import Capabilities
from midstream.adapters.scripted import ScriptedAdapter
from midstream.errors import ConfigError, MigrationError, RateLimitError, RunFailedError
from midstream.events.payloads import Cost, Usage
from tests.conftest import MakeEngine
from tests.engine.stage import Door, HandClock, call, calling, history, turns, types, until


def says(name: str) -> Any:
    """Return a model that answers with its name and the number of messages it was told."""
    return lambda messages: f"{name}{len(messages)}"


def pausing(doors: Sequence[Door], **options: Any) -> Graph:
    """Return a graph of one node that asks, waits at a door, and asks again."""
    graph = Graph("pausing")

    @graph.node
    async def talk(ctx: Context) -> list[str]:
        found = [(await ctx.llm("0", **options)).text]
        for n, door in enumerate(doors, 1):
            await ctx.do(door.__call__, name=f"door{n}", effect="read")
            found.append((await ctx.llm(str(n), **options)).text)
        return found

    return graph


MODELS = {"a:m": says("a"), "b:m": says("b"), "c:m": says("c")}


async def test_the_next_call_goes_to_the_target_with_the_whole_conversation(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    engine = await make_engine(models=MODELS)
    run = await engine.start(pausing([door]), model="a:m")
    await door.reached()
    plan = await run.migrate("b:m", by="alice")
    door.open()
    assert await run == ["a1", "b3"]
    assert (plan.target, plan.scope, plan.when, plan.conversations) == ("b:m", "run", "next", 1)
    switched = next(event for event in await history(run) if event.type == "model.switched")
    assert switched.actor == "user:alice"


async def test_there_and_back_again(make_engine: MakeEngine) -> None:
    doors = [Door(), Door()]
    engine = await make_engine(models=MODELS)
    run = await engine.start(pausing(doors), model="a:m")
    for door, target in zip(doors, ("b:m", "a:m"), strict=True):
        await door.reached()
        await run.migrate(target)
        door.open()
    assert await run == ["a1", "b3", "a5"]


async def test_a_model_that_the_code_names_is_overridden(make_engine: MakeEngine) -> None:
    door = Door()
    engine = await make_engine(models=MODELS)
    run = await engine.start(pausing([door], model="a:m"))
    await door.reached()
    await run.migrate("b:m")
    door.open()
    assert await run == ["a1", "b3"]


async def test_a_source_spares_calls_to_other_models(make_engine: MakeEngine) -> None:
    door = Door()
    engine = await make_engine(models=MODELS)
    run = await engine.start(pausing([door], model="a:m"))
    await door.reached()
    await run.migrate("b:m", source="c:m")
    door.open()
    assert await run == ["a1", "a3"]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [("node:talk", "b3"), ("node:other", "a3"), ("thread:t", "b3"), ("thread:u", "a3")],
)
async def test_a_scope_spares_what_is_outside_it(
    make_engine: MakeEngine, scope: str, expected: str
) -> None:
    door = Door()
    graph = pausing([door], model="a:m", thread="t")
    graph.add_node("other", lambda: 1, output=False)
    graph.add_node("end", lambda talk, other: talk, output=True)
    engine = await make_engine(models=MODELS)
    run = await engine.start(graph)
    await door.reached()
    await run.migrate("b:m", scope=scope)
    door.open()
    assert await run == ["a1", expected]


async def test_a_dry_run_records_nothing_and_its_plan_can_be_applied(
    make_engine: MakeEngine,
) -> None:
    """H-120: with what it costs to tell the whole history to a model that has none of it in its cache."""
    door = Door()

    def price(provider: str, model: str, usage: Usage, at: float) -> Cost:
        return Cost(amount="0.5")

    engine = await make_engine(models=MODELS, pricing=price)
    run = await engine.start(pausing([door]), model="a:m")
    await door.reached()
    before = (await run.state()).seq
    plan = await run.migrate("b:m", dry_run=True)
    assert (await run.state()).seq == before
    assert plan.fits
    assert plan.tokens > 0
    assert plan.cost == Decimal("0.5")
    await plan.apply()
    door.open()
    assert await run == ["a1", "b3"]


@pytest.mark.parametrize("dry_run", [True, False])
async def test_a_migration_that_makes_no_sense_is_refused_and_not_recorded(
    make_engine: MakeEngine, dry_run: bool
) -> None:
    door = Door()
    engine = await make_engine(adapters={"a": ScriptedAdapter({"m": says("a")}, provider="a")})
    run = await engine.start(pausing([door]), model="a:m")
    await door.reached()
    before = (await run.state()).seq
    wrong: list[tuple[str, dict[str, Any], str]] = [
        ("nobody:m", {}, "nobody"),
        ("m", {}, "names no provider"),
        ("a:m", {"scope": "node:nix"}, "node:talk"),
        ("a:m", {"scope": "everything"}, "node:talk"),
        ("a:m", {"when": "later"}, "'next' or 'now'"),
    ]
    for target, options, message in wrong:
        with pytest.raises(ConfigError, match=message):
            await run.migrate(target, dry_run=dry_run, **options)
    assert (await run.state()).seq == before


class Small(ScriptedAdapter):
    """A model with next to no context window."""

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(context_window=3)


async def test_a_conversation_too_long_for_the_target_is_not_moved(make_engine: MakeEngine) -> None:
    """H-121."""
    door = Door()
    adapters = {
        "a": ScriptedAdapter({"m": says("a")}, provider="a"),
        "b": Small({"m": says("b")}, provider="b"),
    }
    engine = await make_engine(adapters=adapters)
    run = await engine.start(pausing([door]), model="a:m")
    await door.reached()
    assert not (await run.migrate("b:m", dry_run=True)).fits
    with pytest.raises(MigrationError, match="context window of 3"):
        await run.migrate("b:m")
    door.open()
    assert await run == ["a1", "a3"]


async def test_a_run_that_has_ended_is_not_moved(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await engine.start(pausing([]), model="a:m")
    await run
    with pytest.raises(MigrationError, match="ended"):
        await run.migrate("b:m")
    assert "model.switched" not in types(await history(run))


async def test_now_abandons_the_call_in_flight_and_its_late_answer(make_engine: MakeEngine) -> None:
    door = Door()

    async def slow(messages: Any) -> str:
        await door()
        return "late"

    engine = await make_engine(models={"a:m": slow, "b:m": says("b")})
    run = await engine.start(pausing([]), model="a:m")
    await door.reached()
    await run.migrate("b:m", when="now")
    assert await run == ["b1"]
    door.open()
    await turns()
    events = await history(run)
    assert types(events).count("model.responded") == 1
    aborted = next(event for event in events if event.type == "model.aborted")
    assert aborted.data["reason"] == "migrated"


async def test_next_waits_for_the_call_in_flight(make_engine: MakeEngine) -> None:
    door = Door()

    async def slow(messages: Any) -> str:
        await door()
        return "whole"

    engine = await make_engine(models={"a:m": slow, "b:m": says("b")})
    run = await engine.start(pausing([]), model="a:m")
    await door.reached()
    await run.migrate("b:m")
    await turns()
    door.open()
    assert await run == ["whole"]


async def test_now_in_one_scope_leaves_calls_in_other_scopes_in_flight(
    make_engine: MakeEngine,
) -> None:
    door = Door()

    async def slow(messages: Any) -> str:
        await door()
        return "whole"

    graph = pausing([])
    graph.add_node("other", lambda: 1)
    graph.add_node("end", lambda talk, other: talk, output=True)
    engine = await make_engine(models={"a:m": slow, "b:m": says("b"), "c:m": says("c")})
    run = await engine.start(graph, model="a:m")
    await door.reached()
    await run.migrate("b:m")
    await run.migrate("c:m", scope="node:other", when="now")
    await turns()
    door.open()
    assert await run == ["whole"]


async def test_a_migration_ends_the_wait_for_a_retry(make_engine: MakeEngine) -> None:
    clock = HandClock()
    limited = RateLimitError("an hour", retry_after=3600.0)
    engine = await make_engine(models={"a:m": [limited], "b:m": says("b")}, clock=clock)
    run = await engine.start(pausing([]), model="a:m")
    await until(lambda: clock.sleepers == 1)
    await run.migrate("b:m")
    assert await run == ["b1"]


async def test_a_tool_loop_goes_on_with_the_other_model(make_engine: MakeEngine) -> None:
    door = Door()
    told: list[Sequence[Message]] = []

    @tool(effect="read")
    async def look(n: int) -> int:
        if n == 2:
            await door()
        return n * 10

    def finish(messages: Sequence[Message]) -> str:
        told.append(messages)
        return "done"

    graph = Graph("g")

    @graph.node
    async def talk(ctx: Context) -> str:
        reply = await ctx.llm("go", tools=[look], system="be brief")
        return f"{reply.text} {reply.turns} {reply.model}"

    both = calling(call("x1", "look", '{"n": 1}'), call("x2", "look", '{"n": 2}'))
    engine = await make_engine(models={"a:m": [both], "b:m": finish})
    run = await engine.start(graph, model="a:m")
    await door.reached()
    await run.migrate("b:m")
    door.open()
    assert await run == "done 2 b:m"
    assert [message.role for message in told[0]] == ["user", "assistant", "tool"]
    assert [part.text for part in told[0][2].parts] == ["10", "20"]  # type: ignore[union-attr]  # results


async def test_a_migration_of_a_paused_engine_is_obeyed_by_the_one_that_resumes(
    make_engine: MakeEngine,
) -> None:
    door, graph = Door(), Graph("x")
    graph = pausing([door])
    async with make_engine(models=MODELS, recover=False) as first:
        await first.start(graph, run_id="r", model="a:m")
        await door.reached()
    door.open()
    async with make_engine(models=MODELS, recover=False) as other:
        await other.run("r").migrate("b:m")
    second = await make_engine(models=MODELS, recover=False, graphs=[graph])
    assert await (await second.resume("r")) == ["a1", "b3"]


async def test_a_model_that_fails_after_a_migration_fails_under_its_own_name(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    engine = await make_engine(models={"a:m": says("a"), "b:other": says("b")})
    run = await engine.start(pausing([door]), model="a:m")
    await door.reached()
    await run.migrate("b:m")
    door.open()
    with pytest.raises(RunFailedError, match="bad_request: no script for model 'm'"):
        await run
