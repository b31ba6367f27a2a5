"""Stores that go wrong on purpose, around one that does not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from midstream.errors import StoreError
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head, RunInfo, RunQuery, Snapshot, Stretch, Watcher


class StoreAround:
    """A store that hands everything on to another one; for subclasses that change a part of it."""

    def __init__(self, inner: EventStore) -> None:
        self.inner = inner

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        return self.inner.append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)

    def read(self, run_id: RunId, *, after: int = 0, to: int | None = None) -> AsyncIterator[Event]:
        return self.inner.read(run_id, after=after, to=to)

    def scan(
        self, *, after: int = 0, types: frozenset[str] | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        return self.inner.scan(after=after, types=types)

    async def head(self, run_id: RunId) -> Head | None:
        return await self.inner.head(run_id)

    async def newest_of(self, run_id: RunId, step: str) -> int | None:
        return await self.inner.newest_of(run_id, step)

    async def from_others(self, run_id: RunId, types: frozenset[str]) -> Sequence[Event]:
        return await self.inner.from_others(run_id, types)

    async def lineage(self, run_id: RunId) -> Sequence[Stretch]:
        return await self.inner.lineage(run_id)

    async def runs(self, query: RunQuery = RunQuery()) -> Sequence[RunInfo]:  # noqa: B008  # frozen
        return await self.inner.runs(query)

    async def blob(self, digest: str) -> bytes:
        return await self.inner.blob(digest)

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        return await self.inner.acquire(run_id, holder, now=now)

    async def beat(self, holder: str, *, until: float) -> None:
        await self.inner.beat(holder, until=until)

    async def release(self, run_id: RunId, *, epoch: int) -> None:
        await self.inner.release(run_id, epoch=epoch)

    async def save_snapshot(self, run_id: RunId, name: str, snapshot: Snapshot) -> None:
        await self.inner.save_snapshot(run_id, name, snapshot)

    async def load_snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        return await self.inner.load_snapshot(run_id, name)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return self.inner.watch(watcher)

    async def close(self) -> None:
        await self.inner.close()


class AmbiguousStore(StoreAround):
    """Fails a part of the appends, half of them before the commit and half of them after it; the error does not tell.

    Args:
        inner: Where what is committed goes.
        rate: The part of the appends that fails.
        seed: Which of them do.
    """

    def __init__(self, inner: EventStore, *, rate: float = 0.05, seed: int = 0) -> None:
        super().__init__(inner)
        self._rate = rate
        self._random = random.Random(seed)
        self.lost_before = 0
        self.lost_after = 0

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        """Commit or not, and say neither, at the rate that was asked for."""
        chance = self._random.random()
        if chance < self._rate / 2:
            self.lost_before += 1
            failed: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
            failed.set_exception(StoreError("the connection broke before the commit"))
            return failed
        sent = super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        if chance < self._rate:
            self.lost_after += 1
            return _forgotten(asyncio.ensure_future(sent))
        return sent


def _forgotten(sent: asyncio.Future[Head]) -> Awaitable[Head]:
    """Return an answer that is lost once the append is done; an append that was refused stays refused."""
    answer: asyncio.Future[Head] = asyncio.get_running_loop().create_future()

    def lose(done: asyncio.Future[Head]) -> None:
        if answer.done():
            return
        refused = asyncio.CancelledError() if done.cancelled() else done.exception()
        answer.set_exception(refused or StoreError("the connection broke after the commit"))

    sent.add_done_callback(lose)
    return answer
