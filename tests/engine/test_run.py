"""A run in hand: following, streaming, pausing, cancelling, noting."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from midstream import Context, Event, Graph, Piece
from midstream.errors import (
    ConfigError,
    NotRecordableError,
    RunCancelledError,
    RunNotFoundError,
    ToolError,
)
from tests.conftest import MakeEngine
from tests.engine.stage import Door, HandClock, history, turns, types, until


def talking(text: str = "a rather long answer in pieces") -> tuple[Graph, dict[str, Any]]:
    graph = Graph("talking")

    @graph.node
    async def talk(ctx: Context) -> str:
        return (await ctx.llm("hi", model="m")).text

    return graph, {"m": [text]}


async def test_a_stream_gives_every_event_and_the_pieces_in_between(
    make_engine: MakeEngine,
) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    items = [item async for item in run.stream()]
    events = [item for item in items if isinstance(item, Event)]
    pieces = [item for item in items if isinstance(item, Piece)]
    assert "".join(piece.delta.text for piece in pieces) == "a rather long answer in pieces"
    assert len(pieces) == 4
    assert {piece.step for piece in pieces} == {
        event.address for event in events if event.type == "model.requested"
    }
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert events[-1].type == "run.completed"
    last = max(items.index(piece) for piece in pieces)
    assert last < [item.type if isinstance(item, Event) else "" for item in items].index(
        "model.responded"
    )


async def test_a_late_follower_gets_everything(make_engine: MakeEngine) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    await run
    first = await history(run)
    assert [item async for item in run.stream()] == first
    assert [event.seq for event in first] == list(range(1, len(first) + 1))


@pytest.mark.parametrize("after", range(9))
async def test_a_follower_goes_on_after_any_event(make_engine: MakeEngine, after: int) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    everything = await history(run)

    async def follow() -> list[int]:
        return [event.seq async for event in run.events(after=after)]

    assert await asyncio.wait_for(follow(), 20) == [
        event.seq for event in everything if event.seq > after
    ]


async def test_followers_miss_nothing_while_the_run_grows(make_engine: MakeEngine) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def act(ctx: Context) -> None:
        await ctx.do(door.__call__, name="wait", effect="read")
        for n in range(5):
            await ctx.note(n)
            await ctx.now()

    engine = await make_engine()
    run = await engine.start(graph)

    async def follow(after: int) -> list[int]:
        return [event.seq async for event in run.events(after=after)]

    following = [asyncio.ensure_future(follow(after)) for after in (0, 2, 3)]
    await door.reached()
    await run.note("outside")
    door.open()
    await run
    newest = (await run.state()).seq
    for after, task in zip((0, 2, 3), following, strict=True):
        assert await task == list(range(after + 1, newest + 1))


@pytest.mark.parametrize("what", ["events", "stream"])
async def test_a_consumer_that_breaks_out_leaves_nothing_behind(
    make_engine: MakeEngine, what: str
) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def act() -> None:
        await door()

    engine = await make_engine()
    run = await engine.start(graph)
    await door.reached()
    await turns()
    tasks = asyncio.all_tasks()
    following: Any = run.events() if what == "events" else run.stream()
    async for _ in following:
        break
    del following
    gc.collect()
    await turns()
    assert asyncio.all_tasks() <= tasks
    host = engine._host  # pyright: ignore[reportPrivateUsage]  # what must be gone
    assert host is not None
    assert not host.listeners
    door.open()
    await run


async def test_following_a_run_that_there_is_not_is_a_named_error(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    run = engine.run("nix")
    with pytest.raises(RunNotFoundError, match="'nix'"):
        await history(run)
    with pytest.raises(RunNotFoundError):
        await run
    with pytest.raises(RunNotFoundError):
        await run.note(1)
    with pytest.raises(RunNotFoundError):
        await run.cancel()


async def test_a_paused_run_starts_no_node_and_no_call_until_it_goes_on(
    make_engine: MakeEngine,
) -> None:
    graph, door, calls = Graph("g"), Door(), []

    async def act() -> None:
        calls.append(1)

    @graph.node
    async def first(ctx: Context) -> None:
        await ctx.do(door.__call__, name="wait", effect="read")
        await ctx.do(act)

    @graph.node(after=[first])
    async def second() -> str:
        return "done"

    engine = await make_engine()
    run = await engine.start(graph)
    await door.reached()
    await run.pause("lunch", by="alice")
    door.open()
    await turns(200)
    state = await run.state()
    assert state.status == "paused"
    assert not calls
    assert sum(call.status == "completed" for call in state.calls.values()) == 1
    await run.resume(by="alice")
    assert await run == "done"
    assert calls == [1]


async def test_a_pause_outlasts_the_engine(make_engine: MakeEngine) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def first(ctx: Context) -> None:
        await ctx.do(door.__call__, name="wait", effect="read")

    graph.add_node("second", lambda: "done", after=[first])
    async with make_engine(recover=False) as one:
        run = await one.start(graph, run_id="r")
        await door.reached()
        await run.pause()
    door.open()
    two = await make_engine(graphs=[graph], recover=False)
    run = await two.resume("r")
    await turns(200)
    assert (await run.state()).status == "paused"
    await run.resume()
    assert await run == "done"


async def test_another_engine_over_the_same_store_cancels(make_engine: MakeEngine) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def act() -> None:
        await door()

    driving = await make_engine()
    other = await make_engine()
    run = await driving.start(graph, run_id="r")
    await door.reached()
    await asyncio.wait_for(other.run("r").cancel("from afar"), 20)
    with pytest.raises(RunCancelledError, match="from afar"):
        await run
    await turns()
    assert not [task for task in asyncio.all_tasks() if "act#1" in task.get_name()]


async def test_a_run_that_nobody_drives_is_cancelled_without_its_code(
    make_engine: MakeEngine,
) -> None:
    graph, clock = Graph("g"), HandClock()

    @graph.node
    async def act(ctx: Context) -> None:
        await ctx.sleep(100)

    async with make_engine(clock=clock, recover=False) as first:
        await first.start(graph, run_id="r")
        await until(lambda: clock.sleepers == 1)
    second = await make_engine(clock=clock, recover=False)
    await second.run("r").cancel("no longer needed")
    state = await second.run("r").state()
    assert (state.status, state.open_calls) == ("cancelled", {})


async def test_a_run_that_has_ended_is_not_cancelled(make_engine: MakeEngine) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    await run
    before = (await run.state()).seq
    await run.cancel()
    assert (await run.state()).seq == before


async def test_notes_are_taken_after_the_end(make_engine: MakeEngine) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    output = await run
    await run.note({"rating": 5}, by="alice")
    await run.note("again")
    events = await history(run)
    assert types(events)[-3:] == ["run.completed", "note.added", "note.added"]
    assert await run == output
    assert (await engine.verify(run.id)).sound
    with pytest.raises(NotRecordableError, match="note"):
        await run.note(float("nan"))


async def test_settling_what_is_not_unknown_is_refused(make_engine: MakeEngine) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    await run
    with pytest.raises(ToolError, match="there is no such call"):
        await run.settle("talk#1/tool:x:00#1", result=1)


async def test_the_past_is_seen_as_it_was(make_engine: MakeEngine) -> None:
    graph, models = talking()
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    await run
    events = await history(run)
    asked = next(event.seq for event in events if event.type == "model.requested")
    assert (await run.state(at=asked)).status == "running"
    assert [message.role for message in await run.messages(at=asked)] == ["user"]
    assert [message.role for message in await run.messages()] == ["user", "assistant"]
    assert (await run.usage(at=asked)).total.calls == 0
    assert [line.seq for line in await run.timeline(after=2)] == [e.seq for e in events[2:]]
    assert len((await run.view("m")).request["messages"]) == 2
    with pytest.raises(ConfigError, match="asked no model; models were asked at talk#1"):
        await run.messages(step="nix#1")


async def test_many_may_wait_for_one_run(make_engine: MakeEngine) -> None:
    graph, models = talking("x")
    engine = await make_engine(models=models)
    run = await engine.start(graph)
    again = engine.run(run.id)

    async def wait(handle: Any) -> Any:
        return await handle

    assert list(await asyncio.gather(wait(run), wait(again), wait(run))) == ["x"] * 3
