"""Retention: whole runs go, what is needed stays, and what is gone is said to be."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph
from midstream.errors import ConfigError, RunNotFoundError, RunRemovedError, StoreError
from midstream.events.ids import RunId
from midstream.events.keeping import Tombstone
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore, Head
from midstream.events.verify import verify
from midstream.testing.contract import FORK, OTHER, RUN, created, created_end, events_of, forked
from tests.engine.stage import HandClock
from tests.stores import StoreAround

DAY = 86_400.0

quick = Graph("quick")


@quick.node
async def word(ctx: Context, fail: bool = False) -> str:
    if fail:
        raise ValueError("no")
    return "x" * 9000


waiting = Graph("waiting")


@waiting.node
async def rest(ctx: Context) -> str:
    await ctx.sleep(1000 * DAY)
    return "rested"


async def test_old_runs_go_and_new_ones_stay() -> None:
    clock = HandClock()
    async with Engine.memory(clock=clock) as engine:
        await (await engine.start(quick, run_id="old"))
        clock.advance(40 * DAY)
        await (await engine.start(quick, run_id="new"))
        dry = await engine.prune(older_than=30 * DAY, dry_run=True)
        assert (dry.removed, dry.dry_run) == (("old",), True)
        assert len(await engine.runs()) == 2
        done = await engine.prune(older_than=30 * DAY, reason="policy", by="ann")
        assert (done.removed, done.events, done.kept) == (("old",), 4, {})
        assert [info.run_id for info in await engine.runs()] == ["new"]
        with pytest.raises(RunRemovedError, match="policy"):
            await engine.run("old").state()
        with pytest.raises(RunRemovedError):
            await engine.start(quick, run_id="old")
        assert (await engine.prune(older_than=30 * DAY)).removed == ()


async def test_a_run_that_waits_or_was_spoken_of_lately_stays() -> None:
    clock = HandClock()
    async with Engine.memory(clock=clock, park_after=0.0) as engine:
        parked = await engine.start(waiting, run_id="parked")
        await (await engine.start(quick, run_id="judged"))
        paused = await engine.start(waiting, run_id="paused")
        await paused.pause()
        await asyncio.sleep(0.01)
        clock.advance(40 * DAY)
        await engine.run("judged").feedback(kind="positive")
        assert (await engine.prune(older_than=30 * DAY)).removed == ()
        assert (await parked.state()).status == "running"


async def test_what_is_to_be_kept_is_kept_and_named() -> None:
    clock = HandClock()
    async with Engine.memory(clock=clock) as engine:
        for name, fail, tags in (
            ("good", False, {}),
            ("bad", True, {}),
            ("gold", False, {"set": "gold", "team": "red"}),
        ):
            run = await engine.start(quick, run_id=name, fail=fail, tags=tags)
            await asyncio.gather(run, return_exceptions=True)
        clock.advance(2.0)
        for keep in ("tag:set=gold", "tag:team"):
            dry = await engine.prune(older_than=1.0, keep={"failed", keep}, dry_run=True)
            assert dry.removed == ("good",)
            assert dry.kept == {"bad": "it is failed", "gold": f"it is {keep}"}
        all_kept = await engine.prune(older_than=1.0, keep=["graph:quick"])
        assert len(all_kept.kept) == 3
        for wrong in ("running", "tag:", "fail", "graph:"):
            with pytest.raises(ConfigError, match="is none of"):
                await engine.prune(older_than=1.0, keep=[wrong])
        with pytest.raises(ConfigError, match="older_than"):
            await engine.prune(older_than=-1.0)


async def test_a_parent_stays_while_a_fork_stays_and_goes_with_it() -> None:
    clock = HandClock()
    async with Engine.memory(clock=clock) as engine:
        run = await engine.start(quick, run_id="trunk")
        await run
        clock.advance(20 * DAY)
        fork = await run.fork(at=1, run_id="fork")
        await fork
        clock.advance(20 * DAY)
        done = await engine.prune(older_than=30 * DAY)
        assert (done.removed, done.kept) == ((), {"trunk": "its fork fork is kept"})
        assert (await engine.verify("fork")).sound
        clock.advance(20 * DAY)
        assert (await engine.prune(older_than=30 * DAY)).removed == ("trunk", "fork")


async def test_a_fork_that_is_made_meanwhile_is_kept_whole() -> None:
    class Forking(MemoryStore):
        async def remove(
            self, run_ids: Sequence[RunId], *, at: int, actor: str, reason: str = ""
        ) -> Sequence[Tombstone]:
            if FORK not in self._runs:
                head = await self.head(RUN)
                assert head is not None
                await self.append(FORK, [forked(RUN, head)], expected=head.seq)
            return await super().remove(run_ids, at=at, actor=actor, reason=reason)

    store = Forking()
    for run in (RUN, OTHER):
        await store.append(run, [created(), created_end()], expected=0)
    async with Engine(store) as engine:
        done = await engine.prune(older_than=1.0)
        assert done.removed == (OTHER,)
        assert "'fork'" in done.kept[RUN]
        assert (await engine.verify(FORK)).sound


async def test_a_store_that_cannot_remove_says_so() -> None:
    async with Engine(StoreAround(MemoryStore())) as engine:
        with pytest.raises(StoreError, match="StoreAround"):
            await engine.prune(older_than=1.0)


async def test_an_anchor_is_compared_with_where_a_removed_run_stood() -> None:
    store = MemoryStore()
    head = await store.append(RUN, [created(), created_end()], expected=0)
    await store.remove([RUN], at=5, actor="user")
    found = await verify(store, RUN, anchor=head)
    assert (found.sound, found.anchored, found.removed) == (True, True, 5)
    early = await verify(store, RUN, anchor=Head(1, 1, b"x"))
    assert (early.sound, early.anchored) == (True, False)
    assert (await verify(store, RUN)).sound
    for wrong in (head._replace(digest=b"x"), head._replace(seq=9)):
        assert not (await verify(store, RUN, anchor=wrong)).sound
    with pytest.raises(RunNotFoundError):
        await verify(store, RunId("never"))


@settings(max_examples=60, deadline=None)
@given(
    forks=st.lists(st.tuples(st.integers(0, 7), st.booleans()), max_size=8),
    old=st.lists(st.booleans(), min_size=9, max_size=9),
)
async def test_pruning_leaves_every_run_that_stays_whole(
    forks: list[tuple[int, bool]], old: list[bool]
) -> None:
    """Whatever is forked from whatever, at its end or before it, and whichever of these are old."""
    store: EventStore = MemoryStore()
    ids = [RunId("r0")]
    at = 1 if old[0] else 50
    await store.append(ids[0], [created(at=at), created_end()._replace(at=at)], expected=0)
    for number, (parent, last) in enumerate(forks, 1):
        run = ids[parent % len(ids)]
        events = await events_of(store, run)
        event = events[-1] if last else events[-2]
        at = 1 if old[number] else 50
        draft = forked(run, Head(event.seq, 0, event.digest), status="completed")
        ids.append(RunId(f"r{number}"))
        await store.append(ids[-1], [draft._replace(at=at)], expected=event.seq)
    before = {run: await events_of(store, run) for run in ids}
    engine = Engine(store, clock=_At(60e-6))
    async with engine:
        done = await engine.prune(older_than=20e-6)
    stay = [info.run_id for info in await store.runs()]
    assert sorted((*stay, *done.removed)) == sorted(ids)
    assert all(old[ids.index(run)] for run in done.removed)
    for run in stay:
        assert await events_of(store, run) == before[run]
        assert (await verify(store, run)).sound


class _At(HandClock):
    def __init__(self, time: float) -> None:
        super().__init__()
        self.time = time
