"""What a call is told of earlier runs: recorded, after the stable prefix, once, and never across tenants."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from midstream import Agent, Context, Engine, Event, Graph
from midstream.adapters.scripted import ScriptedAdapter
from midstream.engine.experience.ranking import AdviceLimits
from midstream.errors import ConfigError
from tests.engine.experience.taught import MODELS, ran, trip
from tests.engine.stage import Door, history, types

TOLD = AdviceLimits(explore=0.0)


def opened(**options: Any) -> Engine:
    return Engine.memory(**{"models": MODELS, "model": "m", "advice": TOLD, **options})


def read(events: list[Event]) -> list[Event]:
    return [event for event in events if event.type == "memory.read"]


async def test_a_lesson_is_told_at_the_end_of_what_is_said_and_recorded() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning a day", "start with the castle", by="ann")
        run = await ran(engine, "r")
        events = await history(run)
    (memory,) = read(events)
    call = events[memory.seq]
    assert (call.type, memory.address) == ("model.requested", f"{call.address}/memory#1")
    assert memory.data["items"]["call"] == call.address
    assert [(one["id"], one.get("why", "")) for one in memory.data["items"]["offers"]] == [
        (lesson.id, "")
    ]
    said = [part["text"] for part in call.data["messages"][0]["parts"]]
    assert said[0] == "A day plan for Salzburg."
    assert said[1].endswith(f"[{lesson.id}] When planning a day: start with the castle")


async def test_the_address_of_a_call_does_not_depend_on_what_was_learnt() -> None:
    async with opened() as engine:
        before = (await (await ran(engine, "r1")).state()).calls
        await engine.experience.add("planning a day", "start with the castle")
        after = (await (await ran(engine, "r2")).state()).calls
    models = [
        next(name for name, one in calls.items() if one.kind == "model")
        for calls in (before, after)
    ]
    assert models[0] == models[1]


async def test_what_was_told_before_stays_as_it_was() -> None:
    adapter = ScriptedAdapter({"m": ["one", "two"]}, provider="x")
    graph = Graph("two")

    @graph.node
    async def ask(ctx: Context) -> str:
        await ctx.llm("plan a day", system="be kind", experience=True)
        await ctx.llm("plan a night", experience=True)
        return ""

    async with Engine.memory(adapters={"x": adapter}, model="x:m", advice=TOLD) as engine:
        await engine.experience.add("planning a day", "start early", graph="two")
        await engine.experience.add("planning a night", "sleep", graph="two")
        await (await engine.start(graph))
    first, second = (request.body for request in adapter.requests)
    assert first["system"] == second["system"] == "be kind"
    assert second["messages"][: len(first["messages"])] == first["messages"]
    assert "sleep" in second["messages"][-1].text


@pytest.mark.parametrize(
    ("always", "asked", "told"),
    [(False, None, False), (True, None, True), (True, False, False), (False, "castle", True)],
)
async def test_the_call_decides_and_else_the_engine(
    *, always: bool, asked: Any, told: bool
) -> None:
    graph = Graph("one")

    @graph.node
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hello", experience=asked)).text

    async with opened(experience=always) as engine:
        await engine.experience.add("seeing a castle in one", "start early", graph="one")
        run = await engine.start(graph)
        assert ("start early" in await run) == told
        found = read(await history(run))
        assert len(found) == told
        if isinstance(asked, str):
            assert found[0].data["query"] == "one ask castle"


async def test_a_run_without_lessons_says_that_it_looked() -> None:
    async with opened() as engine:
        run = await ran(engine, "r")
        (memory,) = read(await history(run))
        assert memory.data["items"]["offers"] == []
        assert await run == "<Check this plan: <A day plan for Salzburg.>>"


async def test_nothing_crosses_tenants() -> None:
    async with opened() as engine:
        await engine.experience.add("planning a day", "secret of acme", tenant="acme")
        one = await ran(engine, "r1", tenant="acme")
        two = await ran(engine, "r2", tenant="other")
        three = await ran(engine, "r3")
        assert "secret of acme" in await one
        assert "secret" not in await two
        assert "secret" not in await three
        await one.feedback("plan#1", kind="correction", text="another secret")
        await engine.experience.distil()
        assert len(await engine.experience.lessons(tenant="acme")) == 2
        assert not await engine.experience.lessons(tenant="other")
        assert not await engine.experience.search("secret planning a day", tenant="other")
        for name in ("", "a/b", "../x", "a b", "system:routing"):
            with pytest.raises(ConfigError, match="tenant"):
                await engine.experience.search("x", tenant=name)


async def test_a_resumed_run_is_told_what_it_was_told(tmp_path: Path) -> None:
    door = Door()
    graph = Graph("held")

    @graph.node
    async def ask(ctx: Context) -> str:
        reply = await ctx.llm("plan a day", experience=True)
        await door()
        return reply.text

    path = tmp_path / "runs.db"
    options: dict[str, Any] = {"models": MODELS, "model": "m", "advice": TOLD}
    async with Engine.open(path, graphs=[graph], recover=False, **options) as engine:
        await engine.experience.add("planning a day", "start early")
        await engine.start(graph, run_id="r")
        await door.reached()
    async with Engine.open(path, graphs=[graph], recover=False, **options) as engine:
        await engine.experience.add("planning a day", "never start early, it rains")
        door.open()
        run = await engine.resume("r")
        assert "start early" in await run
        events = await history(run)
    assert types(events).count("memory.read") == types(events).count("model.requested") == 1


async def test_replaying_everything_all_the_time_looks_up_once() -> None:
    async with opened(always_replay=True) as engine:
        await engine.experience.add("planning a day", "start early")
        run = await ran(engine, "r")
        assert "start early" in await run
        assert len(read(await history(run))) == 1


async def test_branches_that_ask_at_the_same_time_are_each_told() -> None:
    graph = Graph("wide")

    @graph.node
    async def ask(ctx: Context) -> int:
        asked = [ctx.llm(f"plan day {place}", experience=True) for place in range(5)]
        return sum("start early" in one.text for one in await asyncio.gather(*asked))

    async with opened() as engine:
        await engine.experience.add("planning a day", "start early")
        run = await engine.start(graph)
        assert await run == 5
        assert len({event.address for event in read(await history(run))}) == 5


async def test_a_memory_is_a_step_that_can_be_judged() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning a day", "start early")
        run = await ran(engine, "r")
        (memory,) = read(await history(run))
        assert memory.address is not None
        await run.feedback(memory.address, kind="negative", text="it rained")
        assert await engine.experience.credit("r") == 1
        assert (lesson.with_ok, lesson.with_bad) == (0.0, 1.0)


async def test_silence_credits_nothing() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning a day", "start early")
        await ran(engine, "r")
        assert await engine.experience.credit("r") == 0
        assert lesson.told == 0


async def test_a_lesson_is_credited_for_its_call_and_not_for_another() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning a day", "start early")
        watched = await engine.experience.add(
            "planning a day", "bring an umbrella", status="shadow"
        )
        run = await ran(engine, "r")
        await run.feedback("check#1", kind="negative")
        assert await engine.experience.credit("r") == 0
        await run.feedback("plan#1", kind="positive")
        assert await engine.experience.credit("r") == 1
        assert await engine.experience.credit("r") == 0
        assert (lesson.with_ok, watched.without_ok) == (1.0, 1.0)
        await run.feedback("plan#1", kind="score", score=0.0)
        assert await engine.experience.credit("r") == 1
        assert (lesson.with_ok, lesson.with_bad, lesson.told) == (0.5, 0.5, 1)


async def test_a_lesson_that_hurts_is_taken_out_by_what_is_said_of_runs() -> None:
    async with opened(advice=AdviceLimits(explore=0.5)) as engine:
        lesson = await engine.experience.add("planning a day", "start at midnight")
        for place in range(150):
            run = await ran(engine, f"r{place}")
            told = "midnight" in await run
            await run.feedback("plan#1", kind="negative" if told else "positive", source="program")
            await engine.experience.credit(run.id)
            if lesson.status == "quarantined":
                break
        assert lesson.status == "quarantined"
        assert "calls go worse with it" in lesson.reason
        assert "midnight" not in await (await ran(engine, "last"))


def test_the_graph_of_these_tests_is_one_shape() -> None:
    assert list(trip.nodes) == ["plan", "check"]


async def test_a_replay_looks_nothing_up() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning a day", "start early")
        run = await ran(engine, "r")
        await engine.experience.retire(lesson.id)
        report = await run.replay()
        assert report.identical, str(report)


@pytest.mark.parametrize(
    ("always", "own", "asked", "told"),
    [
        (True, None, None, True),
        (False, None, None, False),
        (False, True, None, True),
        (True, True, False, False),
        (False, False, "castle", True),
    ],
)
async def test_agents_are_told_like_any_other_call(
    *, always: bool, own: Any, asked: Any, told: bool
) -> None:
    guide = Agent("guide", experience=own)
    graph = Graph("one")

    @graph.node(name="agent")
    async def ask(ctx: Context) -> str:
        return (await ctx.agent("hello", agent_type=guide, experience=asked)).text

    async with opened(experience=always, agents=[guide]) as engine:
        await engine.experience.add("seeing a castle, hello", "start early", node="agent")
        run = await engine.start(graph)
        assert ("start early" in await run) == told
        assert len(read(await history(run))) == told
        alone = engine.agent("hello", agent_type="guide", experience=asked, run_id="alone")
        assert ("start early" in (await alone).text) == told
        found = read(await history(engine.run("alone")))
        assert [one.address.partition("/")[0] for one in found if one.address] == ["agent#1"] * told
