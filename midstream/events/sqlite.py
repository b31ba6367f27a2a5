"""A store in one SQLite file: any number of processes may write to it and read from it at the same time.

One connection writes, in groups: while a commit is on its way to the disk, the next batch fills up. Another one reads, from
the moment on when there is much to read.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import aiosqlite

from midstream.errors import StoreError
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.keeping import SWEPT, Tombstone
from midstream.events.sealing import Encryption, subject_id
from midstream.events.sqlite_erasing import Erasure, erase
from midstream.events.sqlite_job import T, in_one_hop
from midstream.events.sqlite_keeping import remove, sweep, writing
from midstream.events.sqlite_keys import Keys
from midstream.events.sqlite_line import (
    Acquire,
    Append,
    Beat,
    Command,
    Release,
    Save,
    Taken,
    settle,
)
from midstream.events.sqlite_open import (
    check,
    open_reader,
    open_writer,
    opening,
    translated,
)
from midstream.events.sqlite_reader import Reader
from midstream.events.sqlite_reading import Reading
from midstream.events.sqlite_rows import Kinds
from midstream.events.sqlite_schema import MIGRATIONS
from midstream.events.sqlite_transaction import Stats, Transactions
from midstream.events.sqlite_watch import Watch
from midstream.events.sqlite_writer import Writer
from midstream.events.store import Answer, Head, RunInfo, RunQuery, Snapshot, Stretch, Watcher
from midstream.events.system import KEEPING


class SqliteStore:
    """Events in an SQLite file in WAL mode; made by `open`.

    What `append` returned is on the disk (`synchronous="full"`), or survives a crash of the process but perhaps not a
    loss of power (`"normal"`); in neither case can an append be kept in part. The file must be on a local disk.
    Source: https://www.sqlite.org/wal.html

    Attributes:
        stats: What the writer did since the store was opened: commits, hops to its thread, events.
    """

    def __init__(
        self,
        reader: Reader,
        writer: Writer | None,
        watch: Watch,
        stats: Stats,
        connection: aiosqlite.Connection,
        reading: Reading,
        kinds: Kinds,
        keys: Keys,
        path: Path,
    ) -> None:
        self._kinds = kinds
        self._keys = keys
        self._path = path
        self._reader = reader
        self._writer = writer
        self._watch = watch
        self._connection: aiosqlite.Connection | None = connection
        self._reading = reading
        self.stats = stats

    @classmethod
    async def open(
        cls,
        path: str | PathLike[str],
        *,
        synchronous: Literal["full", "normal"] = "full",
        busy_timeout: float = 30.0,
        read_only: bool = False,
        max_bytes: int | None = None,
        encryption: Encryption | None = None,
    ) -> Self:
        """Open the store in a file, or make one where there is none.

        Args:
            path: The file. Beside it stand `-wal` and `-shm` while it is in use; a copy needs all of them.
            synchronous: `full` waits for the disk at each commit. `normal` may lose the last commits when the power
                fails, never when the process is killed.
            busy_timeout: How long an append waits for another process's transaction, in seconds.
            read_only: Never write to the file; what would write raises `StoreError`.
            max_bytes: How large the file may grow; beyond it, appends raise `StoreFullError`.
            encryption: Seals the content of runs that begin from now on, so that it can be erased; None leaves it open.
                What is sealed already is read with the keys in it.

        Raises:
            StoreOpenError: The file is not one that this release can use; it was left as it is.
            StoreBusyError: Another process kept it locked.
            StoreFullError: There is no space for it.
        """
        file = Path(path)
        try:
            if read_only:
                newest = len(MIGRATIONS)
                look = partial(
                    check, file, newest=newest, read_only=True, busy_timeout=busy_timeout
                )
                connection, found = await open_reader(file, busy_timeout=busy_timeout, first=look)
            else:
                connection, found = await open_writer(
                    file,
                    MIGRATIONS,
                    synchronous,
                    busy_timeout=busy_timeout,
                    max_bytes=max_bytes,
                )
        except sqlite3.Error as error:
            raise opening(error, file) from error
        kinds, keys = Kinds(found.kinds), Keys(encryption)
        opener = None if read_only else partial(_reader_of, file, busy_timeout)
        reading = Reading(connection, opener)
        reader = Reader(reading, kinds, file, keys)
        watch = Watch(connection, reader, found)
        if read_only:
            return cls(reader, None, watch, Stats(), connection, reading, kinds, keys, file)
        transactions = Transactions(connection, kinds, keys)
        writer = Writer(transactions, file, watch.committed)
        stats = transactions.stats
        return cls(reader, writer, watch, stats, connection, reading, kinds, keys, file)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

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
        future = Answer(loop=asyncio.get_running_loop())
        append = Append(run_id, tuple(drafts), expected, epoch, holder, future, None)
        if self._writer is None:
            self._put(append)  # which refuses it
        else:
            self._writer.put(append)
        return future

    def read(self, run_id: RunId, *, after: int = 0, to: int | None = None) -> AsyncIterator[Event]:
        """See `EventStore.read`."""
        known = None if self._writer is None else self._writer.key(run_id)
        return self._reader.read(run_id, known, after, to)

    def stored(self, run_id: RunId, *, after: int = 0) -> AsyncIterator[Event]:
        """See `Sealable.stored`."""
        return self._reader.stored(run_id, after)

    def select(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        to: int | None = None,
        without: frozenset[str],
        within: Sequence[str] | None = None,
        bare: frozenset[str] = frozenset(),
    ) -> AsyncIterator[Sequence[Event]]:
        """See `Selective.select`."""
        return self._reader.select(run_id, after, to, without, within, bare)

    async def counted(
        self, run_id: RunId, types: frozenset[str], *, to: int | None = None
    ) -> Mapping[str, int]:
        """See `Counting.counted`."""
        return await self._reader.counted(run_id, types, to)

    def scan(
        self, *, after: int = 0, types: frozenset[str] | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        """See `EventStore.scan`."""
        return self._reader.scan(after, types)

    async def head(self, run_id: RunId) -> Head | None:
        """See `EventStore.head`."""
        return await self._reader.head(run_id)

    async def newest_of(self, run_id: RunId, step: str) -> int | None:
        """See `EventStore.newest_of`."""
        return await self._reader.newest_of(await self._reader.key(run_id), step)

    async def from_others(self, run_id: RunId, types: frozenset[str]) -> Sequence[Event]:
        """See `EventStore.from_others`."""
        return await self._reader.from_others(run_id, await self._reader.key(run_id), types)

    async def lineage(self, run_id: RunId) -> Sequence[Stretch]:
        """See `EventStore.lineage`."""
        return [part.stretch for part in await self._reader.parts(await self._reader.key(run_id))]

    async def runs(self, query: RunQuery = RunQuery()) -> Sequence[RunInfo]:  # noqa: B008  # frozen
        """See `EventStore.runs`."""
        return await self._reader.runs(query)

    async def blob(self, digest: str) -> bytes:
        """See `EventStore.blob`."""
        return await self._reader.blobs.blob(digest)

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        """See `EventStore.acquire`."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._put(Acquire(run_id, holder, now, future))
        return await future

    async def beat(self, holder: str, *, until: float) -> None:
        """See `EventStore.beat`."""
        await self.live(holder, until=until)

    def live(self, holder: str, *, until: float) -> asyncio.Future[None]:
        """See `Seizing.live`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Beat(holder, until, future))
        return future

    async def seize(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int,
        holder: str,
        now: float,
        until: float,
    ) -> Head:
        """See `Seizing.seize`."""
        future = Answer(loop=asyncio.get_running_loop())
        taken = Taken(now, until)
        self._put(Append(run_id, tuple(drafts), expected, epoch, holder, future, None, taken))
        return await future

    async def release(self, run_id: RunId, *, epoch: int) -> None:
        """See `EventStore.release`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Release(run_id, epoch, future))
        await future

    async def save_snapshot(self, run_id: RunId, name: str, snapshot: Snapshot) -> None:
        """See `EventStore.save_snapshot`."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._put(Save(run_id, name, snapshot, future))
        await future

    async def load_snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        return await self._reader.snapshot(run_id, name)

    async def latest(
        self, run_id: RunId, name: str, *, to: int | None = None
    ) -> tuple[Snapshot, AsyncIterator[Event]] | None:
        """See `Tailing.latest`."""
        return await self._reader.latest(run_id, name, to)

    async def remove(
        self, run_ids: Sequence[RunId], *, at: int, actor: str, reason: str = ""
    ) -> Sequence[Tombstone]:
        """See `Removing.remove`."""
        if not run_ids:
            return ()
        work = partial(
            remove, kinds=self._kinds, run_ids=run_ids, at=at, actor=actor, reason=reason
        )
        tombstones, recorded = await self._between(work)
        self._watch.committed({KEEPING: recorded.seq}, recorded.first, recorded.last)
        return tombstones

    async def sweep(self, *, limit: int = SWEPT) -> int:
        """See `Removing.sweep`."""
        return await self._between(partial(sweep, limit=limit))

    async def removed(self, run_id: RunId) -> Tombstone | None:
        """See `Removing.removed`."""
        return await self._reader.tombstone(run_id)

    @property
    def encrypted(self) -> bool:
        """See `Erasing.encrypted`."""
        return self._keys.given is not None

    async def erase(
        self,
        run_ids: Sequence[RunId] = (),
        *,
        subject: str = "",
        at: int,
        actor: str,
        reason: str = "",
    ) -> Sequence[RunId]:
        """See `Erasing.erase`."""
        who = subject_id(subject) if subject else ""
        wanted = Erasure(run_ids, who, uuid.uuid4().hex, at, actor, reason)
        keeper = None if self._keys.given is None else self._keys.given.subjects
        if who and keeper is not None:
            # First: should this end here, the content is gone all the same, and erasing again records it.
            await keeper.destroy(who)
            self._keys.forget(who)
        gone, grown = await self._between(partial(erase, kinds=self._kinds, wanted=wanted))
        for run_id, recorded in grown.items():
            self._watch.committed({run_id: recorded.seq}, recorded.first, recorded.last)
        return gone

    async def rotate(self) -> int:
        """Seal the keys of all runs with the newest of the given keys; their content stays as it is.

        Returns:
            How many keys were sealed with another one.
        """

        def rotated(connection: sqlite3.Connection) -> int:
            with writing(connection):
                return self._keys.rotate(connection)

        return await self._between(rotated)

    async def _between(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Do something on the writer's connection, between two of its commits."""
        if self._writer is None:
            raise StoreError("the store was opened with `read_only=True`")
        if self._connection is None:
            raise StoreError("the store is closed; open it again")
        began = time.monotonic()
        try:
            return await in_one_hop(self._connection, work)
        except sqlite3.Error as error:
            raise translated(error, self._path, time.monotonic() - began) from error

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """See `EventStore.watch`."""
        return self._watch.add(watcher)

    async def close(self) -> None:
        """See `EventStore.close`."""
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            if self._writer is not None:
                await self._writer.close()
            await self._watch.close()
        finally:
            # The writer's last: the last connection to close moves the log into the file, and only that one may.
            await self._reading.close()
            await connection.close()

    def _put(self, command: Command) -> None:
        if self._writer is None:
            settle(command.future, StoreError("the store was opened with `read_only=True`"))
        else:
            self._writer.put(command)


async def _reader_of(path: Path, busy_timeout: float) -> aiosqlite.Connection:
    connection, _ = await open_reader(path, busy_timeout=busy_timeout)
    return connection
