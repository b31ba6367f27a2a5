"""Laws of the log: however a run is folded, cut, forked, carried elsewhere or answered again, it is the same run."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Retry, tool
from midstream.adapters.scripted import Script
from midstream.engine.graphs.decide import decide
from midstream.engine.recording.snapshots import load_run
from midstream.errors import RunError
from midstream.events.codec import encode
from midstream.events.content import Message
from midstream.events.envelope import Draft, Event
from midstream.events.fork_facts import RunForked
from midstream.events.ids import RunId, activation_of
from midstream.events.jsonl import export_lines, import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore, Snapshot
from midstream.projections.run_snapshot import NAME, dump
from midstream.projections.run_state import RunState, fold_run
from tests.projections.logs import NoWait

RUN, FORK = RunId("r"), RunId("f")


@dataclass(frozen=True)
class Part:
    """A node of a drawn graph.

    Attributes:
        needs: Places of nodes before it that it waits for.
        does: What it does, in order.
        fails: How many of its attempts fail.
    """

    needs: tuple[int, ...]
    does: tuple[str, ...]
    fails: int


ACTS = ("ask", "call", "now", "note", "sleep", "both")


@st.composite
def plans(draw: st.DrawFn) -> tuple[Part, ...]:
    """Draw a graph: nodes that wait for earlier ones, and do this and that."""
    parts: list[Part] = []
    for place in range(draw(st.integers(1, 5))):
        needs = draw(st.lists(st.integers(0, place - 1), unique=True, max_size=3)) if place else []
        does = draw(st.lists(st.sampled_from(ACTS), max_size=3))
        parts.append(Part(tuple(needs), tuple(does), draw(st.sampled_from((0, 0, 0, 1, 2)))))
    return tuple(parts)


@tool(effect="read")
async def look(key: str) -> str:
    """Look something up."""
    return f"seen {key}"


def graph_of(parts: Sequence[Part]) -> Graph:
    graph = Graph("drawn")
    for place, part in enumerate(parts):
        graph.add_node(
            f"n{place}",
            _node(place, part),
            after=[f"n{need}" for need in part.needs],
            retry=Retry(attempts=2, delay=0.0, on=frozenset(("ValueError",))),
        )
    return graph


def _node(place: int, part: Part) -> Any:
    async def node(ctx: Context) -> list[str]:
        said: list[str] = []
        for number, act in enumerate(part.does):
            said += await _act(ctx, act, f"{place}.{number}")
        if ctx.attempt <= part.fails:
            raise ValueError("not yet")
        return said

    return node


async def _act(ctx: Context, act: str, key: str) -> list[str]:
    match act:
        case "ask":
            return [(await ctx.llm(key, model="s:m")).text]
        case "call":
            return [str(await ctx.tool(look, key=key))]
        case "both":
            asked = (ctx.llm(f"{key} {n}", model="s:m") for n in range(2))
            return [reply.text for reply in await asyncio.gather(*asked)]
        case "sleep":
            await ctx.sleep(0)
        case "note":
            await ctx.note(key)
        case _:
            await ctx.now()
    return []


def answer(said: Sequence[Message]) -> str:
    return f"<{said[-1].text}>"


MODELS: dict[str, Script] = {"s:m": answer}


async def ended(engine: Engine, parts: Sequence[Part]) -> list[Event]:
    """Return the log of a run of the graph, however it ended."""
    run = await engine.start(graph_of(parts), run_id=RUN)
    with suppress(RunError):
        await run
    return [event async for event in engine.store.read(RUN)]


def drafts(events: Sequence[Event]) -> list[Draft]:
    return [Draft(*e.stored, e.at, e.actor, e.cause, e.address, e.body, (), e.data) for e in events]


def essence(state: RunState) -> Any:
    """Return what a state says, without the numbers of events."""
    return (
        state.status,
        state.inputs,
        dict(state.pending),
        list(state.ready),
        [(a.address, a.status, a.attempt, a.sources, a.output) for a in state.activations.values()],
        [
            (c.address, c.status, c.lane, c.request, c.outcome, c.attempt)
            for c in state.calls.values()
        ],
        state.failures,
        state.output,
        state.heads,
        list(state.open_calls),
        state.notes,
    )


async def copied(log: Sequence[Event]) -> EventStore:
    store = MemoryStore()
    await store.append(RUN, drafts(log), expected=0)
    return store


@settings(max_examples=40, deadline=None)
@given(parts=plans(), data=st.data())
async def test_a_run_is_the_same_however_it_is_cut_kept_forked_and_carried(
    parts: tuple[Part, ...], data: st.DataObject
) -> None:
    async with Engine.memory(models=MODELS, clock=NoWait()) as engine:
        written = await ended(engine, parts)
        lines = [line async for line in export_lines(engine.store, [RUN])]
    store = await copied(written)  # without leases, so that its tail can be appended to another run
    log = [event async for event in store.read(RUN)]
    cut = data.draw(st.integers(1, len(log)))
    whole, part = fold_run(log), fold_run(log[:cut])

    # in two parts
    assert essence(fold_run(log[cut:], fold_run(log[:cut]))) == essence(whole)

    # from a snapshot and what came after it, as far as it keeps what drives a run on
    plainly = await load_run(store, RUN)
    body = dump(part)
    if body is not None:
        await store.save_snapshot(RUN, NAME, Snapshot(cut, log[cut - 1].digest, body))
    kept = await load_run(store, RUN)
    assert dump(kept) == dump(plainly)
    assert decide(kept) == decide(plainly)
    await store.save_snapshot(RUN, NAME, Snapshot(cut, log[cut - 1].digest, b'{"version":0}'))
    assert await load_run(store, RUN) == plainly

    # as a fork with the same tail
    forked = RunForked(parent=RUN, seq=cut, digest=log[cut - 1].digest.hex(), graph="drawn")
    await store.append(FORK, [encode(forked, at=1), *drafts(log[cut:])], expected=cut)
    fork = [event async for event in store.read(FORK)]
    assert essence(fold_run(fork[:cut])) == essence(part)
    assert essence(fold_run(fork)) == essence(whole)

    # carried elsewhere
    other = MemoryStore()
    await import_runs(other, read_lines(lines), now=0.0)
    carried = [event async for event in other.read(RUN)]
    assert [event.digest for event in carried] == [event.digest for event in written]
    assert essence(fold_run(carried[:cut])) == essence(part)


def completed(state: RunState) -> set[str]:
    return {one.address for one in state.activations.values() if one.status == "completed"}


def calls_in(activations: set[str], state: RunState) -> set[str]:
    return {address for address in state.calls if activation_of(address) in activations}


@settings(max_examples=30, deadline=None)
@given(parts=plans(), data=st.data())
async def test_a_fork_that_is_answered_as_before_ends_as_before(
    parts: tuple[Part, ...], data: st.DataObject
) -> None:
    async with Engine.memory(models=MODELS, clock=NoWait()) as engine:
        log = await ended(engine, parts)
        run = engine.run(RUN)
        before = await run.state()
        fork = await run.fork(at=data.draw(st.integers(1, len(log))))
        with suppress(RunError):
            await fork
        after = await fork.state()
        assert (after.status, after.output) == (before.status, before.output)
        if before.status == "completed":
            assert set(after.activations) == set(before.activations)
        # What else had begun when a node failed for good is a matter of time; what ended in both, ended alike.
        both = completed(before) & completed(after)
        for address in both:
            assert after.activations[address].output == before.activations[address].output
        assert calls_in(both, after) == calls_in(both, before)


TABLES = ("runs", "events", "blobs", "snapshots", "kinds")


def size(db: Path) -> dict[str, int]:
    """Return the rows of each table, and the bytes of all bodies."""
    with closing(sqlite3.connect(db)) as connection:
        rows = {
            table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in TABLES
        }
        bodies = "SELECT sum(length(body)) FROM events"
        return {**rows, "bytes": connection.execute(bodies).fetchone()[0]}


@pytest.mark.parametrize("where", ["middle", "end"])
async def test_a_fork_of_a_long_run_takes_no_more_than_that_of_a_short_one(
    tmp_path: Path, where: str
) -> None:
    grown: list[dict[str, int]] = []
    for calls in (10, 2000):
        db = tmp_path / f"{calls}.db"
        graph = graph_of([Part((), ("call",) * calls, 0)])
        async with Engine.open(db, graphs=[graph], clock=NoWait()) as engine:
            run = await engine.start(graph, run_id=RUN)
            await run
            seq = (await run.state()).seq
        before = size(db)
        async with Engine.open(db, graphs=[graph], recover=False) as engine:
            at = seq if where == "end" else seq // 2
            await engine.run(RUN).fork(at=at, paused=True)
        grown.append({name: now - before[name] for name, now in size(db).items()})
    short, long = grown
    digits = len("4001") - len("21")
    assert 0 <= long.pop("bytes") - short.pop("bytes") <= digits
    assert long == short
    assert short == {
        "runs": 1,
        "events": 1 if where == "end" else 2,
        "blobs": 0,
        "snapshots": 0,
        "kinds": 0,
    }
