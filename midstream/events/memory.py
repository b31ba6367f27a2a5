"""A store in memory: the reference for what a store does, for tests and for runs that need not outlive the process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from midstream.errors import (
    ConcurrencyError,
    CorruptLogError,
    LeaseHeldError,
    LeaseLostError,
    MidstreamError,
    RunNotFoundError,
    StoreError,
)
from midstream.events.catalog import FORKED, check_first, check_origin, status_after
from midstream.events.codec import decode, references
from midstream.events.envelope import ENGINE, Draft, Event, chain
from midstream.events.ids import RunId
from midstream.events.keeping import SWEPT, Tombstone, check_removable
from midstream.events.memory_run import MemoryRun
from midstream.events.store import (
    OPEN,
    Head,
    RunInfo,
    RunQuery,
    Snapshot,
    Stretch,
    Watcher,
    refuse,
)
from midstream.events.system import KEEPING, is_system, opening

_PAGE = 1000


class MemoryStore:
    """Events in lists; what is appended is there when `append` returns, and gone with the process."""

    def __init__(self) -> None:
        self._runs: dict[RunId, MemoryRun] = {}
        self._log: list[Event | None] = []  # by position; None where its run was removed
        self._removed: dict[RunId, Tombstone] = {}
        self._blobs: dict[str, bytes] = {}
        self._alive: dict[str, float] = {}
        self._watchers: list[Watcher] = []
        self._closed = False
        # Refused appends whose writers cannot know it yet, by run, the seq they would have ended at, and epoch.
        self._refused: dict[tuple[RunId, int, int | None], int] = {}

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        """See `EventStore.append`."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Head] = loop.create_future()
        try:
            future.set_result(self._append(run_id, drafts, expected, epoch, holder))
        except MidstreamError as error:
            end = (run_id, expected + len(drafts), epoch)
            self._refused[end] = expected
            loop.call_soon(self._refuse, future, error, end)
        return future

    def _refuse(
        self,
        future: asyncio.Future[Head],
        error: MidstreamError,
        end: tuple[RunId, int, int | None],
    ) -> None:
        """Tell the writer; what it appends from here on no longer counts on the refused append."""
        self._refused.pop(end, None)
        refuse(future, error)

    def _append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        expected: int,
        epoch: int | None,
        holder: str | None,
    ) -> Head:
        if self._closed:
            raise StoreError("the store is closed; open it again to append")
        check_first(run_id, drafts, expected)
        run = self._checked(run_id, drafts, expected, epoch, holder)
        digest = run.digest
        digests = [
            digest := chain(digest, seq, draft, epoch)
            for seq, draft in enumerate(drafts, expected + 1)
        ]
        for seq, (draft, digest) in enumerate(zip(drafts, digests, strict=True), expected + 1):
            self._blobs.update(draft.blobs)
            event = self._event(run_id, seq, draft, epoch, digest)
            run.events.append(event)
            self._log.append(event)
        self._runs[run_id] = run
        if run.status in OPEN:
            run.status = status_after(drafts) or run.status
        last = run.events[-1]
        for watcher in tuple(self._watchers) if drafts else ():
            watcher(run_id, last.seq)
        return Head(last.seq, last.position, last.digest)

    def _checked(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        expected: int,
        epoch: int | None,
        holder: str | None,
    ) -> MemoryRun:
        run = self._runs.get(run_id)
        if run is None:
            run = self._begun(run_id, drafts, expected)
            run.holder, run.epoch = holder, 0 if holder is None else 1
        elif drafts and drafts[0].type == FORKED:
            raise ConcurrencyError(run_id, expected, run.seq)  # it exists already
        if epoch is not None and epoch != run.epoch:
            raise LeaseLostError(run_id, epoch, run.epoch)
        if run.seq != expected:
            raise ConcurrencyError(run_id, expected, run.seq)
        if (ahead := self._refused.get((run_id, expected, epoch))) is not None:
            # Somebody else's events stand where those of the append ahead of this one should.
            raise ConcurrencyError(run_id, ahead, run.seq)
        return run

    def _begun(self, run_id: RunId, drafts: Sequence[Draft], expected: int) -> MemoryRun:
        """Return the run that these drafts begin."""
        if run_id in self._removed:
            raise self._removed[run_id].error()
        forked = bool(drafts) and drafts[0].type == FORKED
        if not drafts or (expected != 0 and not forked):
            raise RunNotFoundError(run_id)
        data = drafts[0].data
        run = MemoryRun(run_id, data["graph"], dict(data.get("tags", {})), drafts[0].at)
        if forked:
            parent = self._runs.get(data["parent"])
            there = parent is not None and expected <= parent.seq
            digest = parent.event(expected).digest if parent is not None and there else None
            check_origin(run_id, drafts[0], digest)
            assert parent is not None  # or there would be no digest
            run.parent, run.base = parent.owner(expected), expected
        return run

    def _event(
        self, run_id: RunId, seq: int, draft: Draft, epoch: int | None, digest: bytes
    ) -> Event:
        position = len(self._log) + 1
        return decode(
            (
                run_id,
                seq,
                position,
                draft.at,
                draft.type,
                draft.version,
                draft.actor,
                draft.cause,
                draft.address,
                epoch,
                draft.body,
                digest,
            ),
            self._blobs,
        )

    async def read(
        self, run_id: RunId, *, after: int = 0, to: int | None = None
    ) -> AsyncIterator[Event]:
        """See `EventStore.read`."""
        run = self._run(run_id)
        while after < run.seq and (to is None or after < to):
            after += 1
            yield run.event(after)
            self._run(run_id)  # it may have been removed meanwhile

    async def scan(
        self, *, after: int = 0, types: frozenset[str] | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        """See `EventStore.scan`."""
        while after < len(self._log):
            rows = self._log[after : after + _PAGE]
            after += len(rows)
            page = [row for row in rows if row is not None]
            if types is not None:
                page = [event for event in page if event.stored[0] in types]
            # Bodies as they are stored: blobs are references here, as in every store.
            yield [decode((*event[:4], *event.stored, *event[6:12])) for event in page]

    async def head(self, run_id: RunId) -> Head | None:
        """See `EventStore.head`."""
        run = self._runs.get(run_id)
        if run is None:
            return None
        last = run.events[-1]
        return Head(last.seq, last.position, last.digest)

    async def newest_of(self, run_id: RunId, step: str) -> int | None:
        """See `EventStore.newest_of`."""
        newest_first = reversed(self._run(run_id).events)
        return next((event.seq for event in newest_first if event.address == step), None)

    async def from_others(self, run_id: RunId, types: frozenset[str]) -> Sequence[Event]:
        """See `EventStore.from_others`."""
        return [
            event
            for event in self._run(run_id).events
            if event.actor != ENGINE and event.stored[0] in types
        ]

    async def lineage(self, run_id: RunId) -> Sequence[Stretch]:
        """See `EventStore.lineage`."""
        run, to = self._run(run_id), None
        found: list[Stretch] = []
        while run.parent is not None:
            found.append(Stretch(run.run_id, run.base, to))
            run, to = run.parent, run.base
        found.append(Stretch(run.run_id, 0, to))
        return found[::-1]

    async def runs(self, query: RunQuery = RunQuery()) -> Sequence[RunInfo]:  # noqa: B008  # frozen
        """See `EventStore.runs`."""
        found = [
            self._info(run) for run in reversed(self._runs.values()) if self._matches(run, query)
        ]
        return found[: query.limit]

    def _matches(self, run: MemoryRun, query: RunQuery) -> bool:
        if query.orphaned_at is not None:
            alive = run.holder is not None and self._alive.get(run.holder, 0.0) > query.orphaned_at
            if alive or run.status not in OPEN:
                return False
        return (
            (query.status is None or run.status in query.status)
            and (query.graph is None or run.graph == query.graph)
            and run.run_id.startswith(query.prefix)
            and (is_system(query.prefix) or not is_system(run.run_id))
            and (query.since is None or run.created_at >= query.since)
            and (query.until is None or run.created_at < query.until)
            and query.tags.items() <= run.tags.items()
        )

    def _info(self, run: MemoryRun) -> RunInfo:
        until = self._alive.get(run.holder, 0.0) if run.holder is not None else 0.0
        return RunInfo(
            run.run_id,
            run.graph,
            run.status,
            run.tags,
            run.created_at,
            run.seq,
            run.epoch,
            run.holder,
            until,
            None if run.parent is None else run.parent.run_id,
            run.base,
        )

    async def blob(self, digest: str) -> bytes:
        """See `EventStore.blob`."""
        try:
            return self._blobs[digest]
        except KeyError:
            raise CorruptLogError(None, None, f"blob {digest!r} is missing") from None

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        """See `EventStore.acquire`."""
        run = self._run(run_id)
        if run.holder is not None and run.holder != holder:
            until = self._alive.get(run.holder, 0.0)
            if until > now:
                raise LeaseHeldError(run_id, run.holder, until, now)
        run.holder = holder
        run.epoch += 1
        return run.epoch

    async def beat(self, holder: str, *, until: float) -> None:
        """See `EventStore.beat`."""
        self._alive[holder] = until

    async def release(self, run_id: RunId, *, epoch: int) -> None:
        """See `EventStore.release`."""
        run = self._run(run_id)
        if run.epoch == epoch:
            run.holder = None

    async def save_snapshot(self, run_id: RunId, name: str, snapshot: Snapshot) -> None:
        """See `EventStore.save_snapshot`."""
        self._run(run_id).snapshots[name] = snapshot

    async def load_snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        return self._run(run_id).snapshots.get(name)

    async def remove(
        self, run_ids: Sequence[RunId], *, at: int, actor: str, reason: str = ""
    ) -> Sequence[Tombstone]:
        """See `Removing.remove`."""
        if self._closed:
            raise StoreError("the store is closed; open it again")
        found: list[Tombstone] = []
        for run_id in run_ids:
            run = self._run(run_id)
            forks = [one.run_id for one in self._runs.values() if one.parent is run]
            check_removable(run_id, run.status, forks, run_ids)
            told = (run.graph, run.status, run.seq, run.digest, at, actor, reason)
            found.append(Tombstone(run_id, *told))
        if not found:
            return ()
        begin = () if KEEPING in self._runs else opening(KEEPING, at)
        expected = 0 if begin else self._runs[KEEPING].seq
        drafts = [*begin, *(one.draft() for one in found)]
        for one in found:
            self._removed[one.run_id] = one
            for event in self._runs.pop(one.run_id).events:
                self._log[event.position - 1] = None
        self._append(KEEPING, drafts, expected, None, None)
        return found

    async def sweep(self, *, limit: int = SWEPT) -> int:
        """See `Removing.sweep`."""
        needed = {
            name for event in self._log if event is not None for name in references(event.body)
        }
        gone = [name for name in self._blobs if name not in needed]
        for name in gone:
            del self._blobs[name]
        return len(gone)

    async def removed(self, run_id: RunId) -> Tombstone | None:
        """See `Removing.removed`."""
        return self._removed.get(run_id)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """See `EventStore.watch`."""
        self._watchers.append(watcher)

        def end() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)

        return end

    async def close(self) -> None:
        """See `EventStore.close`."""
        self._closed = True

    def _run(self, run_id: RunId) -> MemoryRun:
        try:
            return self._runs[run_id]
        except KeyError:
            if run_id in self._removed:
                raise self._removed[run_id].error() from None
            raise RunNotFoundError(run_id) from None
