"""Calls that stand beside a snapshot are there where they are needed, and are not read where they are not."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Retry, tool
from midstream.engine.graphs.decide import decide
from midstream.engine.recording import snapshots
from midstream.events import Event, EventStore, MemoryStore, Snapshot
from midstream.events.codec import encode
from midstream.events.ids import RunId, activation_of
from midstream.events.payloads import RunForked
from midstream.events.sqlite import SqliteStore
from midstream.projections import call_snapshot, fold_run
from midstream.projections.call_snapshot import NAME as ANSWERED
from midstream.projections.run_snapshot import NAME, dump, dump_apart, restore
from midstream.projections.run_state import RunState
from tests.engine.stage import Door
from tests.stores import StoreAround

RUN, FORK = RunId("r"), RunId("f")


@pytest.fixture(autouse=True)
def all_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_snapshot, "FEW", 0)


class Loads(StoreAround):
    """A store that remembers which snapshots it was asked for."""

    def __init__(self, inner: EventStore) -> None:
        super().__init__(inner)
        self.loaded: list[str] = []

    async def load_snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        self.loaded.append(name)
        return await super().load_snapshot(run_id, name)


@tool(effect="read")
async def look_up(key: int) -> str:
    return f"what is known of {key}"


def office(calls: int, failing: int) -> Graph:
    """Return a graph whose first node makes calls in two attempts, and side by side, and its second one some more."""
    graph = Graph("office")

    @graph.node(retry=Retry(attempts=3, delay=0.0, on=frozenset({"ValueError"})))
    async def first(ctx: Context) -> float:
        for key in range(calls):
            await ctx.tool(look_up, key=key % 2)
        if ctx.attempt <= failing:
            raise ValueError("not yet")
        await asyncio.gather(*(ctx.tool(look_up, key=9) for _ in range(3)))
        return await ctx.now()

    @graph.node(output=True)
    async def second(first: float, ctx: Context) -> str:
        await ctx.note({"calls": calls})
        return str(await ctx.tool(look_up, key=1))

    return graph


async def history(store: EventStore, calls: int, failing: int) -> list[Event]:
    async with Engine(store) as engine:
        await (await engine.start(office(calls, failing), run_id=RUN))
    return [event async for event in store.read(RUN)]


async def kept(store: EventStore, events: Sequence[Event]) -> RunState:
    """Keep a snapshot of the run as these events leave it, and return that state."""
    state, newest = fold_run(events), events[-1]
    both = dump_apart(state)
    assert both is not None
    for name, body in ((NAME, both.body), (ANSWERED, both.calls or b"[]")):
        await store.save_snapshot(RUN, name, Snapshot(newest.seq, newest.digest, body))
    return state


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 4), st.integers(0, 2), st.integers(min_value=0), st.integers(min_value=0))
async def test_a_run_is_the_same_wherever_the_calls_of_its_snapshot_stand(
    calls: int, failing: int, cut: int, end: int
) -> None:
    store = MemoryStore()
    events = await history(store, calls, failing)
    cut = 1 + cut % len(events)
    end = cut + end % (len(events) - cut + 1)
    part = await kept(store, events[:cut])
    found = await snapshots.load_run(store, RUN, upto=end)
    whole = restore(dump(part) or b"")  # with its calls in it
    assert whole is not None
    fold_run(events[cut:end], whole)
    going = set(whole.unsettled())
    for state in (found, whole):  # those of what has ended may be there or not
        state.calls = {a: c for a, c in state.calls.items() if activation_of(a) in going}
        state.call_keys = {a: c for a, c in state.call_keys.items() if activation_of(a) in going}
    assert found == whole
    assert list(found.calls) == list(whole.calls)
    assert decide(found) == decide(whole)
    assert dump(found) == dump(fold_run(events[:end]))


@pytest.mark.parametrize(("calls", "loaded"), [(4, [NAME]), (40, [NAME, ANSWERED])])
async def test_answered_calls_are_read_only_if_their_activation_goes_on(
    calls: int, loaded: list[str]
) -> None:
    store = MemoryStore()
    events = await history(store, calls, 0)
    await kept(store, events[:7])
    upto = next(event.seq for event in events if event.type == "node.completed")
    read = Loads(store)
    state = await snapshots.load_run(read, RUN, upto=min(20, upto))
    assert read.loaded == loaded
    assert dump(state) == dump(fold_run(events[: min(20, upto)]))


@pytest.mark.parametrize("fault", ["missing", "older", "of another history"])
async def test_where_the_calls_beside_a_snapshot_do_not_fit_the_whole_log_is_read(
    fault: str,
) -> None:
    store = MemoryStore()
    events = await history(store, 20, 0)
    both = dump_apart(fold_run(events[:9]))
    assert both is not None
    digest = events[8].digest
    await store.save_snapshot(RUN, NAME, Snapshot(9, digest, both.body))
    if fault != "missing":
        found = (8, digest) if fault == "older" else (9, b"another")
        await store.save_snapshot(RUN, ANSWERED, Snapshot(*found, both.calls))
    assert await snapshots.load_run(store, RUN, upto=12) == fold_run(events[:12])


async def test_a_fork_may_change_what_a_call_beside_the_snapshot_has_returned() -> None:
    store = MemoryStore()
    events = await history(store, 20, 0)
    await kept(store, events[:9])
    call = next(event.address for event in events if event.type == "tool.completed")
    assert call is not None
    changed = RunForked(
        parent=RUN, seq=9, digest=events[8].digest.hex(), graph="office", outputs={call: "else"}
    )
    await store.append(FORK, [encode(changed, at=1)], expected=9)
    read = Loads(store)
    state = await snapshots.load_run(read, FORK)
    assert read.loaded == [NAME, NAME, ANSWERED]  # its own, which it has not, and its parent's
    assert state.calls[call].outcome == {"result": "else"}
    assert state.calls == fold_run([event async for event in store.read(FORK)]).calls


async def test_a_call_that_was_recorded_once_more_after_the_snapshot_is_not_taken_from_it() -> None:
    store = MemoryStore()
    events = await history(store, 3, 0)
    both = dump_apart(fold_run(events[:9]))
    assert both is not None
    state = fold_run(events[:9])
    assert not call_snapshot.add_answered(state, both.calls)


async def test_a_long_activation_is_resumed_with_all_its_calls_and_repeats_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 10)
    door = Door()
    made: list[int] = []

    @tool(effect="read")
    async def effect(key: int) -> int:
        made.append(key)
        if key == 39:
            await door()
        return key * 2

    graph = Graph("long")

    @graph.node
    async def work(ctx: Context) -> list[int]:
        return [int(str(await ctx.tool(effect, key=key))) for key in range(50)]

    async with Engine.open(tmp_path / "a.db") as engine:
        await engine.start(graph, run_id=RUN)
        await door.reached()
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        found, beside = [await store.load_snapshot(RUN, name) for name in (NAME, ANSWERED)]
        assert found is not None
        assert beside is not None
        assert found[:2] == beside[:2]
    door.open()
    async with Engine.open(tmp_path / "a.db", graphs=[graph]) as engine:
        assert await (await engine.resume(RUN)) == [2 * key for key in range(50)]
    assert made == [*range(40), *range(39, 50)]  # only the one that was in flight came twice


async def test_calls_beside_a_snapshot_are_dropped_once_none_is_needed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 4)
    graph, store = Graph("two"), MemoryStore()
    graph.add_node("n0", office(12, 0).nodes["first"].function)
    for place in range(1, 30):
        graph.add_node(f"n{place}", lambda: None, after=[f"n{place - 1}"])
    async with Engine(store) as engine:
        await (await engine.start(graph, run_id=RUN))
    beside = await store.load_snapshot(RUN, ANSWERED)
    assert beside is not None
    assert beside.body == b"[]"


async def test_an_activation_with_many_calls_has_a_snapshot_more_rarely(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(snapshots, "EVERY", 4)
    saved: list[int] = []

    class Saves(StoreAround):
        async def save_snapshot(self, run_id: RunId, name: str, snapshot: Snapshot) -> None:
            if name == NAME:
                saved.append(snapshot.seq)

    async with Engine(Saves(MemoryStore())) as engine:
        await (await engine.start(office(100, 0), run_id=RUN))
    gaps = [after - before for before, after in pairwise(saved)]
    assert gaps == sorted(gaps)
    assert gaps[-1] > 10 * gaps[0]
