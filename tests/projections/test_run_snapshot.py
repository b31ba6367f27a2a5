"""A snapshot changes nothing: the state after it is the state folded from the first event."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Retry, tool
from midstream.engine.graphs.decide import Complete, decide
from midstream.engine.recording import snapshots
from midstream.events import Event, EventStore, MemoryStore, Snapshot
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.projections import fold_run
from midstream.projections.flow import LEFT_OUT
from midstream.projections.run_snapshot import NAME, VERSION, dump, restore
from tests.engine.stage import Door
from tests.stores import StoreAround

RUN = RunId("r")


class Reads(StoreAround):
    """A store that remembers after which events it was read."""

    def __init__(self, inner: EventStore) -> None:
        super().__init__(inner)
        self.read_after: list[int] = []

    def read(self, run_id: RunId, *, after: int = 0, to: int | None = None) -> AsyncIterator[Event]:
        self.read_after.append(after)
        return super().read(run_id, after=after, to=to)


@tool(effect="read")
async def look_up(key: int) -> str:
    return f"what is known of {key}"


def workshop(calls: int, failing: int) -> Graph:
    """Return a diamond whose branches call a tool, read the clock, note something, and perhaps fail."""
    graph = Graph("workshop")

    @graph.node
    async def start(size: int, ctx: Context) -> int:
        for key in range(calls):
            await ctx.tool(look_up, key=key)
        return size

    @graph.node
    async def left(start: int, ctx: Context) -> float:
        await ctx.note({"calls": calls})
        return await ctx.now()

    @graph.node
    async def right(start: int, ctx: Context) -> str:
        if failing and ctx.attempt <= failing:
            raise ValueError("not yet")
        return str(await ctx.tool(look_up, key=start))

    @graph.node(output=True)
    async def end(left: float, right: str, start: int) -> str:
        return f"{start}{right}"

    return graph


async def history(calls: int, failing: int) -> list[Event]:
    store = MemoryStore()
    async with Engine(store) as engine:
        run = await engine.start(workshop(calls, failing), run_id=RUN, inputs={"size": 2})
        try:
            await run
        except Exception:  # noqa: BLE001  # a failed run has a history too
            assert failing
    return [event async for event in store.read(RUN)]


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 5), st.integers(0, 1), st.integers(min_value=1))
async def test_folding_on_from_a_snapshot_is_folding_at_once(
    calls: int, failing: int, cut: int
) -> None:
    events = await history(calls, failing)
    cut = 1 + cut % len(events)
    body = dump(fold_run(events[:cut]))
    assert body is not None
    state = restore(body)
    assert state is not None
    whole = fold_run(events[:cut])
    for event in events[cut:]:
        assert decide(fold_run((), state)) == decide(whole)
        fold_run((event,), state)
        fold_run((event,), whole)
        assert dump(state) == dump(whole)
    assert (state.output, state.status, state.seq) == (whole.output, whole.status, whole.seq)


def office(together: int | None) -> Graph:
    """Return a graph with graphs inside to depth 3, one of them for each item of a map, that start runs of their own."""
    desk, room, floor, house = Graph("desk"), Graph("room"), Graph("floor"), Graph("house")
    desk.add_node("write", lambda: "written")

    @room.node
    async def look(what: str, ctx: Context) -> str:
        return str(await ctx.tool(look_up, key=len(what)))

    @room.node(output=True, retry=Retry(attempts=2, delay=0.0, on=frozenset({"ValueError"})))
    async def tell(look: str, what: str, ctx: Context) -> str:
        run = await ctx.start_subrun(desk, key=what)
        if ctx.attempt == 1:
            raise ValueError("not yet")
        return f"{what}: {look}, {await run}"

    floor.map("rooms", room, over="things", key=str, concurrency=together)

    @floor.node
    async def counted(rooms: list[str]) -> int:
        return len(rooms)

    @floor.node(output=True)
    async def grow(counted: int, rooms: list[str], ctx: Context) -> list[str]:
        if ctx.step.endswith("#1"):
            ctx.goto("rooms", what=["more"], things=["more"])
        return rooms

    house.subgraph("low", floor)
    house.subgraph("high", floor, after=["low"], take={"things": "low"})
    return house


@pytest.mark.parametrize("together", [None, 1])
async def test_a_run_with_graphs_inside_goes_on_from_a_snapshot_at_any_event(
    together: int | None,
) -> None:
    store = MemoryStore()
    async with Engine(store) as engine:
        run = await engine.start(office(together), run_id=RUN, things=["tea", "milk"])
        output = await run
    events = [event async for event in store.read(RUN)]
    whole = fold_run(events)
    assert whole.output == output
    for cut in range(1, len(events)):
        part = fold_run(events[:cut])
        body = dump(part)
        assert body is not None
        state = restore(body)
        assert state is not None
        assert decide(state) == decide(part)
        assert dump(fold_run(events[cut:], state)) == dump(whole)
        assert state.output == output


async def test_a_run_with_graphs_inside_is_resumed_from_its_snapshot_and_reads_only_its_tail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 10)
    door = Door()

    def build() -> Graph:
        step, inner, graph = Graph("step"), Graph("inner"), Graph("outer")

        @step.node
        async def one(what: str) -> str:
            return f"did {what}"

        @inner.node
        async def last(steps: list[str]) -> int:
            await door()
            return len(steps)

        inner.map("steps", step, over="things", concurrency=2)
        graph.subgraph("inside", inner)
        return graph

    async with Engine.open(tmp_path / "a.db") as engine:
        await engine.start(build(), run_id=RUN, things=[str(n) for n in range(40)])
        await door.reached()
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        found = await store.load_snapshot(RUN, NAME)
        head = await store.head(RUN)
        assert found is not None
        assert head is not None
        assert 40 < found.seq < head.seq
        read = Reads(store)
        state = await snapshots.load_run(read, RUN)
        assert read.read_after == [found.seq - 1]
        assert list(state.scopes) == ["inside#1"]
        assert dump(state) == dump(fold_run([event async for event in store.read(RUN)]))
    door.open()
    async with Engine.open(tmp_path / "a.db", graphs=[build()]) as engine:
        assert await (await engine.resume(RUN)) == 40


async def test_a_graph_inside_that_its_run_has_changed_is_kept_with_its_changes() -> None:
    inner, graph = Graph("inner"), Graph("g")

    @inner.node
    async def first(ctx: Context) -> str:
        ctx.add_node("late", "more", after=["first"], output=True, args={"n": 4})
        return "first"

    @inner.function
    def more(n: int) -> int:
        return n

    graph.subgraph("a", inner)
    graph.subgraph("b", inner, after=["a"])
    store = MemoryStore()
    async with Engine(store) as engine:
        assert await (await engine.start(graph, run_id=RUN)) == 4
    events = [event async for event in store.read(RUN)]
    added = next(n for n, event in enumerate(events) if event.type == "node.added") + 1
    state = restore(dump(fold_run(events[:added])) or b"")
    assert state is not None
    assert state.scopes["a#1"].topology == fold_run(events[:added]).scopes["a#1"].topology
    assert fold_run(events[added:], state).output == 4


async def test_what_becomes_an_output_later_is_not_left_out() -> None:
    graph = Graph("g")
    graph.add_node("first", lambda: "")
    graph.add_node("never", lambda: "", after=["first"], start=False)
    graph.add_node("slow", lambda: "")

    @graph.node(after=["slow"])
    async def last(ctx: Context) -> str:
        ctx.remove_node("never")  # nobody waits for `first` any more
        return "last"

    store = MemoryStore()
    async with Engine(store) as engine:
        output = await (await engine.start(graph, run_id=RUN))
    assert output == {"first": "", "last": "last"}
    events = [event async for event in store.read(RUN)]
    for cut in range(1, len(events)):
        state = restore(dump(fold_run(events[:cut])) or b"")
        assert state is not None
        for event in events[cut:-1]:
            fold_run((event,), state)
        assert decide(state) == (Complete(output),)


async def test_a_snapshot_of_what_a_snapshot_has_left_out_leaves_it_out_too() -> None:
    graph = Graph("g")
    graph.add_node("first", lambda: "")

    @graph.node(after=["first"])
    async def second(ctx: Context) -> None:
        ctx.add_node("late", "gather", after=["first"], inputs="merge")

    @graph.function
    def gather(found: list[str]) -> list[str]:
        return found

    store = MemoryStore()
    async with Engine(store) as engine:
        assert await (await engine.start(graph, run_id=RUN)) == {"second": None, "late": [""]}
    events = [event async for event in store.read(RUN)]
    added = next(n for n, event in enumerate(events) if event.type == "node.added")
    state = restore(dump(fold_run(events[:added])) or b"")
    assert state is not None
    assert state.activations["first#1"].output is LEFT_OUT
    later = restore(dump(fold_run(events[added : added + 2], state)) or b"")
    assert later is not None
    assert [*later.pending, *later.ready] == ["late"]
    assert later.activations["first#1"].output is LEFT_OUT


def kept(event: Event, body: bytes, digest: bytes | None = None) -> Snapshot:
    return Snapshot(event.seq, digest or event.digest, body)


@pytest.mark.parametrize("fault", ["version", "digest", "rubbish", "ahead"])
async def test_a_snapshot_that_does_not_fit_is_passed_over(fault: str) -> None:
    store = MemoryStore()
    async with Engine(store) as engine:
        await (await engine.start(workshop(2, 0), run_id=RUN, inputs={"size": 2}))
    events = [event async for event in store.read(RUN)]
    body: Any = dump(fold_run(events[:5]))
    snapshot = {
        "version": kept(events[4], body.replace(b'"version":%d' % VERSION, b'"version":0')),
        "digest": kept(events[4], body, b"another"),
        "rubbish": kept(events[4], b"\x00"),
        "ahead": kept(events[3], body),
    }[fault]
    await store.save_snapshot(RUN, NAME, snapshot)
    assert await snapshots.load_run(store, RUN) == fold_run(events)


async def test_a_long_run_is_resumed_from_its_snapshot_and_ends_as_it_would_have(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 4)
    store = MemoryStore()
    async with Engine(store) as engine:
        run = await engine.start(workshop(20, 0), run_id=RUN, inputs={"size": 2})
        assert await run == "2what is known of 2"
    found = await store.load_snapshot(RUN, NAME)
    assert found is not None
    assert found.seq > 20
    state = await snapshots.load_run(store, RUN)
    assert state.output == "2what is known of 2"
    assert len(state.calls) < 20


async def test_a_run_that_has_ended_has_no_snapshot_of_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 4)
    store = MemoryStore()
    graph = Graph("pair")

    @graph.node(pure=True)
    def one() -> int:
        return 1

    @graph.node(pure=True)
    def two(one: int) -> int:
        return one + 1

    async with Engine(store) as engine:
        run = await engine.start(graph, run_id=RUN)
        assert await run == 2
    # All of it is one append, and the run is over at its end, where it would be due.
    assert [event.type async for event in store.read(RUN)][-1] == "run.completed"
    assert await store.load_snapshot(RUN, NAME) is None


async def test_a_run_that_has_asked_a_model_has_no_snapshot() -> None:
    graph = Graph("talk")

    @graph.node
    async def talk(ctx: Context) -> str:
        return (await ctx.llm("Hello")).text

    store = MemoryStore()
    async with Engine(store, models={"m": ["Hi"]}, model="scripted:m") as engine:
        await (await engine.start(graph, run_id=RUN))
    assert dump(fold_run([event async for event in store.read(RUN)])) is None
