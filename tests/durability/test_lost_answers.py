"""A run ends the same where the store commits and does not say so, or fails and does not say that either."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Sequence
from pathlib import Path

import pytest

from midstream import Engine
from midstream.errors import StoreError
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore, Head
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
        answer.set_exception(StoreError("the connection broke"))
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
