"""The engine: starting, resuming, leases, recovery, closing."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from midstream import Context, Engine, Event, Graph
from midstream.errors import (
    ConfigError,
    GraphError,
    LeaseHeldError,
    NotRecordableError,
    RunExistsError,
    RunNotFoundError,
    StoreError,
    StoreFullError,
)
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.payloads import NoteAdded
from midstream.events.store import Head
from tests.conftest import MakeEngine
from tests.engine.stage import (
    Door,
    HandClock,
    RoundaboutStore,
    history,
    turns,
    types,
    until,
)
from tests.stores import StoreAround


def waiting(door: Door, name: str = "g") -> Graph:
    """Return a graph of one node that waits at a door."""
    graph = Graph(name)

    @graph.node
    async def act(ctx: Context, n: int = 0) -> int:
        await ctx.do(door.__call__, name="wait", effect="read")
        return n + 1

    return graph


async def test_the_same_id_with_the_same_graph_and_inputs_is_the_same_run(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    graph = waiting(door)
    engine = await make_engine()
    one = await engine.start(graph, run_id="r", n=1)
    await door.reached()
    two = await engine.start(graph, run_id="r", n=1)
    door.open()
    assert (await one, await two) == (2, 2)
    assert await (await engine.start(graph, run_id="r", n=1)) == 2
    assert door.visits == 1
    assert types(await history(one)).count("run.created") == 1


async def test_starting_twice_within_one_tick_of_the_clock_is_one_run(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    graph = waiting(door)
    clock = HandClock()
    engines = [await make_engine(clock=clock, recover=False) for _ in range(2)]
    runs = [await engine.start(graph, run_id="r") for engine in (*engines, *engines)]
    await door.reached()
    await turns()
    door.open()
    for run in runs:
        assert await run == 1
    again = await engines[0].start(graph, run_id="r")
    assert await again == 1
    assert door.visits == 1
    assert sum(len(engine._host.live) for engine in engines if engine._host) == 0  # pyright: ignore[reportPrivateUsage]  # nobody drives it


async def test_an_id_that_is_taken_is_refused_with_the_difference(make_engine: MakeEngine) -> None:
    door = Door()
    door.open()
    engine = await make_engine()
    await (await engine.start(waiting(door), run_id="r", n=1))
    with pytest.raises(RunExistsError, match=r"other inputs, \{'n': 1\}"):
        await engine.start(waiting(door), run_id="r", n=2)
    other = Graph("other")
    other.add_node("a", lambda n=1: n)
    with pytest.raises(RunExistsError, match="another graph, 'g'"):
        await engine.start(other, run_id="r", n=1)


async def test_what_cannot_be_started_leaves_no_trace(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    graph = waiting(Door())
    with pytest.raises(ConfigError, match="run_id 'a/b'"):
        await engine.start(graph, run_id="a/b")
    with pytest.raises(NotRecordableError, match="input 'n'"):
        await engine.start(graph, n=float("inf"))
    with pytest.raises(ConfigError, match=r"tag 'team': must be a text, not 5; pass str"):
        await engine.start(graph, n=1, tags=cast("Any", {"team": 5}))
    with pytest.raises(NotRecordableError, match="name of a tag"):
        await engine.start(graph, n=1, tags={"\ud800": "red"})
    with pytest.raises(ConfigError, match="model: must be a text, not 7"):
        await engine.start(graph, n=1, model=cast("Any", 7))
    cyclic = Graph("cyclic")
    cyclic.add_node("a", lambda b: b)
    cyclic.add_node("b", lambda a: a)
    with pytest.raises(GraphError, match="cycle"):
        await engine.start(cyclic)
    assert not await engine.runs()


async def test_closing_leaves_no_task_and_the_run_can_be_resumed_at_once(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    graph = waiting(door)
    before = asyncio.all_tasks()
    async with make_engine() as first:
        run = await first.start(graph, run_id="r")
        await door.reached()
        waiter = asyncio.ensure_future(run._outcome())  # pyright: ignore[reportPrivateUsage]  # as a task
        await turns()
    await turns()
    assert asyncio.all_tasks() <= before
    with pytest.raises(StoreError, match="closed before run 'r' ended"):
        await waiter
    door.open()
    second = await make_engine(graphs=[graph], recover=False)
    assert await (await second.resume("r")) == 1


async def test_an_engine_is_used_while_it_is_open() -> None:
    engine = Engine.memory()
    with pytest.raises(StoreError, match="not open"):
        await engine.start(waiting(Door()))


async def test_a_lease_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="lease"):
        Engine.memory(lease=0)


async def test_two_graphs_of_one_name_are_refused(make_engine: MakeEngine) -> None:
    other = Graph("g")
    other.add_node("a", lambda: 1)
    with pytest.raises(GraphError, match="two graphs are named 'g'"):
        await make_engine(graphs=[waiting(Door()), other])


async def test_resuming_needs_the_code_it_was_started_with(make_engine: MakeEngine) -> None:
    door = Door()
    graph = waiting(door)
    async with make_engine(recover=False) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    second = await make_engine(recover=False)
    with pytest.raises(GraphError, match="needs the code of graph 'g'"):
        await second.resume("r")
    other = Graph("g")
    other.add_node("a", lambda: 1)
    with pytest.raises(GraphError, match="other code of graph 'g'"):
        await second.resume("r", other)
    with pytest.raises(RunNotFoundError):
        await second.resume("nix")


async def test_a_run_that_is_driven_elsewhere_is_not_taken(make_engine: MakeEngine) -> None:
    door = Door()
    graph = waiting(door)
    first = await make_engine()
    second = await make_engine(graphs=[graph], recover=False)
    run = await first.start(graph, run_id="r")
    with pytest.raises(LeaseHeldError, match="alive"):
        await second.resume("r")
    assert await second.recover() == ()
    door.open()
    assert await run == 1
    assert await second.run("r") == 1


async def test_a_scanner_takes_over_when_a_lease_runs_out(make_engine: MakeEngine) -> None:
    door = Door()
    graph = waiting(door)
    clock = HandClock()
    async with make_engine(recover=False, clock=clock) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    door.open()
    # Its driver is gone, and it did not say so.
    store = make_engine.store
    await store.beat("gone", until=clock.now() + 10)
    await store.acquire(RunId("r"), "gone", now=clock.now())
    second = await make_engine(graphs=[graph], clock=clock, lease=0.02)
    await asyncio.sleep(0.03)
    assert (await second.run("r").state()).status == "running"
    clock.advance(11)
    assert await asyncio.wait_for(second.run("r"), 20) == 1


async def test_a_driver_that_lost_its_lease_stops_and_its_run_can_still_be_noted(
    make_engine: MakeEngine,
) -> None:
    doors = [Door(), Door()]
    graph = Graph("g")
    places = iter(doors)

    async def wait() -> None:
        await next(places)()

    @graph.node
    async def act(ctx: Context) -> str:
        await ctx.do(wait, effect="read")
        return "done"

    clock = HandClock()
    stale = await make_engine(clock=clock, lease=1000.0, recover=False)
    run = await stale.start(graph, run_id="r")
    await doors[0].reached()
    clock.advance(2000)
    second = await make_engine(clock=clock, graphs=[graph], recover=False)
    await second.resume("r")
    await doors[1].reached()
    await run.note("from the one that lost it")
    doors[0].open()
    await turns(100)
    assert not (await run.state()).over
    doors[1].open()
    assert await asyncio.wait_for(second.run("r"), 20) == "done"
    assert await asyncio.wait_for(run, 20) == "done"
    events = await history(run)
    assert types(events).count("run.completed") == 1
    assert types(events).count("note.added") == 1


async def test_one_run_that_cannot_be_read_does_not_keep_others_from_being_recovered(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    graph = waiting(door)
    async with make_engine(recover=False) as first:
        for name in ("old", "newer", "newest"):
            await first.start(graph, run_id=name)
        await until(lambda: door.visits == 3)
    door.open()
    store = make_engine.store
    head = await store.head(RunId("newer"))
    assert head is not None
    draft = encode(NoteAdded(id="1", data=1), at=0)._replace(version=99)
    await append(store, "newer", [draft], head.seq)
    second = await make_engine(graphs=[graph], recover=False)
    taken = await second.recover()
    assert {run.id for run in taken} == {"old", "newest"}
    for run in taken:
        assert await run == 1


async def append(store: Any, run_id: str, drafts: Sequence[Draft], expected: int) -> None:
    """Append past everything, and again where the store is one that loses answers."""
    while True:
        try:
            await store.append(RunId(run_id), drafts, expected=expected)
        except StoreError:
            head = await store.head(RunId(run_id))
            if head.seq == expected:
                continue
        return


async def test_resuming_twice_at_once_leaves_one_driver() -> None:
    door = Door()
    graph = waiting(door)
    store = RoundaboutStore(MemoryStore())
    async with Engine(store, recover=False) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    door.open()
    async with Engine(store, recover=False, graphs=[graph]) as second:
        runs = await asyncio.gather(*(second.resume("r") for _ in range(4)))
        for run in runs:
            assert await asyncio.wait_for(run, 20) == 1
        assert types(await history(runs[0])).count("run.resumed") == 1


class FullStore(StoreAround):
    """A store that is full for as long as a test says so."""

    full = False

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Any:
        if not self.full:
            return super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        failed: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        failed.set_exception(StoreFullError("disk"))
        return failed


async def test_a_run_that_could_not_be_written_is_recovered_once_it_can() -> None:
    door = Door()
    graph = waiting(door)
    store = FullStore(MemoryStore())
    async with Engine(store, graphs=[graph], recover=False) as engine:
        run = await engine.start(graph, run_id="r")
        await door.reached()
        waiter = asyncio.ensure_future(run._outcome())  # pyright: ignore[reportPrivateUsage]  # as a task
        await turns()
        store.full = True
        door.open()
        with pytest.raises(StoreFullError):
            await waiter
        store.full = False
        assert [one.id for one in await engine.recover()] == ["r"]
        assert await asyncio.wait_for(run, 20) == 1


async def test_runs_are_listed_by_status_graph_and_tags(make_engine: MakeEngine) -> None:
    door = Door()
    engine = await make_engine()
    await engine.start(waiting(door), run_id="a", tags={"who": "x"})
    done = Graph("done")
    done.add_node("n", lambda: 1)
    await (await engine.start(done, run_id="b", tags={"who": "y"}))
    assert [info.run_id for info in await engine.runs()] == ["b", "a"]
    assert [info.run_id for info in await engine.runs(status="running")] == ["a"]
    assert [info.run_id for info in await engine.runs(graph="done")] == ["b"]
    assert [info.run_id for info in await engine.runs(tags={"who": "x"})] == ["a"]
    assert len(await engine.runs(limit=1)) == 1
    with pytest.raises(ConfigError, match="status 'odd'"):
        await engine.runs(status="odd")


async def test_a_sound_log_is_found_sound_and_a_changed_one_is_not(make_engine: MakeEngine) -> None:
    door = Door()
    door.open()
    engine = await make_engine()
    run = await engine.start(waiting(door), run_id="r")
    await run
    verdict = await engine.verify("r")
    assert verdict.sound
    assert (await engine.verify("r", anchor=verdict.head)).anchored
    store: Any = getattr(engine.store, "inner", engine.store)
    events: list[Event] = store._runs["r"].events
    events[2] = events[2]._replace(body=events[2].body.replace(b'"', b"'"))
    verdict = await engine.verify("r")
    assert (verdict.sound, verdict.seq) == (False, 3)


async def test_a_hundred_runs_at_once_each_end_in_their_own_output(make_engine: MakeEngine) -> None:
    door = Door()
    door.open()
    graph = waiting(door)
    engine = await make_engine()
    runs = [await engine.start(graph, n=n) for n in range(100)]
    assert [await run for run in runs] == list(range(1, 101))


async def test_a_draining_engine_lets_runs_end_and_hands_over_the_rest(
    make_engine: MakeEngine,
) -> None:
    graph, door = Graph("doors"), Door()

    @graph.node
    async def work(which: str, ctx: Context) -> str:
        await ctx.now()
        await (door() if which == "stuck" else asyncio.sleep(0.05))
        return which

    engine = await make_engine(recover=False)
    short = await engine.start(graph, run_id="short", which="short")
    await engine.start(graph, run_id="stuck", which="stuck")
    closing = asyncio.ensure_future(engine.close(drain=0.3))
    await asyncio.sleep(0)
    with pytest.raises(StoreError, match="starts nothing new"):
        await engine.start(graph, which="new")
    await closing
    other = await make_engine(graphs=[graph], recover=False)
    assert (await other.run(short.id).state()).status == "completed"
    (taken,) = await other.recover()
    assert taken.id == "stuck"
    door.open()
    assert await taken == "stuck"
