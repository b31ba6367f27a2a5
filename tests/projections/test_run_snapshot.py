"""A snapshot changes nothing: the state after it is the state folded from the first event."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, tool
from midstream.engine.graphs.decide import decide
from midstream.engine.recording import snapshots
from midstream.events import Event, MemoryStore, Snapshot
from midstream.events.ids import RunId
from midstream.projections import fold_run
from midstream.projections.run_snapshot import NAME, VERSION, dump, restore

RUN = RunId("r")


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
