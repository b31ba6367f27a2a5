"""A run ends the same where the store commits and does not say so, or fails and does not say that either."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest

from midstream import Engine
from midstream.engine.recording.recorder import Recorder
from midstream.errors import StoreError
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.payloads import NoteAdded, RunCreated
from midstream.events.store import EventStore, Head
from midstream.projections.run_state import fold_run
from tests.stores import AmbiguousStore, StoreAround

from .world import MODEL, OUTPUT, SINGLE, World, expedition


class LosesOne(StoreAround):
    """Fails one append, before or after its commit; the error does not tell."""

    def __init__(self, inner: EventStore, place: int, *, committed: bool) -> None:
        super().__init__(inner)
        self._place = place
        self._committed = committed
        self.appends = 0

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        self.appends += 1
        lost = self.appends == self._place
        if not lost or self._committed:
            sent = super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
            if not lost:
                return sent
        answer: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        broke = StoreError("the connection broke")
        asyncio.get_running_loop().call_later(0.002, answer.set_exception, broke)
        return answer


async def run_once(store: StoreAround, file: Path) -> None:
    """Run an expedition over a store, and see that it is as if every answer had come."""
    world = World(file)
    async with Engine(store, models={"walker": world.script()}, model=MODEL) as engine:
        run = await engine.start(expedition(world), land="home")
        assert await run == OUTPUT
        assert (await engine.verify(run.id)).sound
        events = [event async for event in store.read(run.id)]
    assert world.counts() == SINGLE
    intents = ("tool.requested", "model.requested", "node.scheduled", "node.started")
    told = Counter((e.type, e.address, e.data.get("attempt")) for e in events if e.type in intents)
    ends = Counter((e.type, e.address) for e in events if e.type.endswith(".completed"))
    assert set(told.values()) == set(ends.values()) == {1}


@pytest.mark.parametrize("committed", [True, False], ids=["after the commit", "before the commit"])
async def test_an_answer_that_is_lost_changes_nothing_whichever_it_is(
    tmp_path: Path, committed: bool
) -> None:
    whole = LosesOne(MemoryStore(), 0, committed=committed)
    await run_once(whole, tmp_path / "whole")
    for place in range(1, whole.appends + 1):
        await run_once(LosesOne(MemoryStore(), place, committed=committed), tmp_path / str(place))
    assert whole.appends > 20


async def test_losing_every_fifth_answer_changes_nothing(tmp_path: Path) -> None:
    lost = Counter[str]()
    for seed in range(5):
        store = AmbiguousStore(MemoryStore(), rate=0.2, seed=seed)
        await run_once(store, tmp_path / str(seed))
        lost.update(before=store.lost_before, after=store.lost_after)
    assert min(lost["before"], lost["after"]) >= 5


async def test_what_was_recorded_while_a_lost_answer_was_awaited_becomes_durable_by_itself() -> (
    None
):
    store = LosesOne(MemoryStore(), 2, committed=True)
    recorder = await _recorder(store)
    recorder.add(NoteAdded(id="1", data=None), actor="user")
    await asyncio.sleep(0.001)
    recorder.add(NoteAdded(id="2", data=None), actor="user")
    await asyncio.sleep(0.05)
    head = await store.head(recorder.run_id)
    assert (head and head.seq, recorder.state.seq) == (3, 3)


async def _recorder(store: EventStore) -> Recorder:
    run_id = RunId("r")
    created = RunCreated(graph="g", definition={"nodes": {"a": {}}}, graph_digest="")
    await store.append(run_id, [encode(created, at=0)], expected=0, epoch=1, holder="d")
    state = fold_run([event async for event in store.read(run_id)])
    return Recorder(store, run_id, state, epoch=1, clock=lambda: 0.0, changed=lambda: None)
