"""Reading a store in SQLite: by pages, nothing held open between two pages."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import aiosqlite

from midstream.errors import CorruptLogError, RunNotFoundError, StoreError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.pause import no_collecting
from midstream.events.sqlite_asking import KNOWN, Asking
from midstream.events.sqlite_blobs import Blobs
from midstream.events.sqlite_job import in_one_hop
from midstream.events.sqlite_keys import Keys
from midstream.events.sqlite_lineage import LINEAGE, Part, parts_of
from midstream.events.sqlite_listing import LIST, conditions, info_of
from midstream.events.sqlite_open import translated
from midstream.events.sqlite_opening import Opening
from midstream.events.sqlite_page import events_in
from midstream.events.sqlite_reading import Reading
from midstream.events.sqlite_rows import COLUMNS, Kinds, events_of, filled
from midstream.events.sqlite_scan import PAGE, Scan
from midstream.events.store import Head, RunInfo, RunQuery, Snapshot

_NAMES = 100_000
"""How many runs' names a scan keeps at most."""

_SLICE = 250
"""Of so many events the blobs are in memory at a time."""

_MAX = 2**63 - 1

_BOUNDS = """SELECT
    (SELECT id FROM events WHERE run = ?1 ORDER BY seq LIMIT 1),
    (SELECT id FROM events WHERE run = ?1 ORDER BY seq DESC LIMIT 1),
    (SELECT max(seq) FROM events WHERE run = ?1) - (SELECT min(seq) FROM events WHERE run = ?1)"""

_ALONE = 3
"""A run whose events are a third of those between its first and its last one is looked through quicker with them."""

_SNAPSHOT = """SELECT r.run, s.seq, s.digest, s.body FROM runs r
    LEFT JOIN snapshots s ON s.run = r.run AND s.name = ? WHERE r.uid = ? AND r.removed IS NULL"""

_HERE = "AND NOT EXISTS (SELECT 1 FROM sweep WHERE sweep.run = ?)"
"""A run that is being swept has no events any more; looked up once for a page."""

_COUNTED = f"""SELECT CASE instr(address, '/') WHEN 0 THEN address ELSE substr(address, 1, instr(address, '/') - 1) END,
    count(*) FROM events WHERE run = ? AND seq > ? AND seq <= ? AND kind IN ({{}}) AND address IS NOT NULL {_HERE}
    GROUP BY 1"""
"""How many events of some kinds each activation of a run has."""


class Reader(Asking):
    """Queries.

    Args:
        reading: What they are asked.
        kinds: The numbers of types; learns those that other processes add.
        path: The file, for errors.
        keys: What opens content that is sealed.
    """

    def __init__(self, reading: Reading, kinds: Kinds, path: Path, keys: Keys) -> None:
        super().__init__(reading, path)
        self.blobs = Blobs(self._rows)
        self._opening = Opening(reading, keys, self.blobs.kept)
        self._kinds = kinds
        self._names: dict[int, RunId] = {}
        self._lines: dict[int, tuple[Part, ...]] = {}

    async def read(
        self, run_id: RunId, key: int | None, after: int, to: int | None
    ) -> AsyncIterator[Event]:
        """Iterate over the events of a run, blobs in place; its number is looked up where it is not known."""
        key = await self.key(run_id) if key is None else key
        async with aclosing(self._pages(run_id, key, after, _MAX if to is None else to)) as pages:
            async for page in pages:
                for event in page:
                    yield event

    async def stored(self, run_id: RunId, after: int) -> AsyncIterator[Event]:
        """Iterate over the events of a run as they are stored: blobs as references, what is sealed without its data."""
        key = await self.key(run_id)
        async with aclosing(self._pages(run_id, key, after, _MAX, stored=True)) as pages:
            async for page in pages:
                for event in page:
                    yield event

    async def select(
        self,
        run_id: RunId,
        after: int,
        to: int | None,
        without: frozenset[str],
        within: Sequence[str] | None,
        bare: frozenset[str] = frozenset(),
    ) -> AsyncIterator[Sequence[Event]]:
        """See `Selective.select`."""
        key = await self.key(run_id)
        numbers = ", ".join(map(str, self._kinds.numbers(without)))
        if within is None:
            where, texts = f"AND kind NOT IN ({numbers})", []
        else:
            ranges = " OR ".join(["address > ? AND address < ?"] * len(within)) or "FALSE"
            where = f"AND kind IN ({numbers}) AND ({ranges})"
            # What is in an activation begins with its address and a slash, whose successor is a zero.
            texts = [f"{address}{end}" for address in within for end in "/0"]
        last = _MAX if to is None else to
        parts = await self._parts_between(key, after, last)
        columns = self._kinds.columns(bare)
        async with aclosing(
            self._pages(run_id, key, after, last, where, texts, parts, columns)
        ) as pages:
            async for page in pages:
                yield page

    async def counted(self, run_id: RunId, types: frozenset[str], to: int | None) -> dict[str, int]:
        """See `Counting.counted`."""
        key, last = await self.key(run_id), _MAX if to is None else to
        sql = _COUNTED.format(", ".join(map(str, self._kinds.numbers(types))))
        found: dict[str, int] = {}
        for part in (*await self._parts_between(key, 0, last), Part(key, run_id, 0, last)):
            end = min(part.to or last, last)
            for step, count in await self._rows(sql, (part.key, part.after, end, part.key)):
                found[step] = found.get(step, 0) + count
        return found

    async def _pages(
        self,
        run_id: RunId,
        key: int,
        after: int,
        last: int,
        where: str = "",
        parameters: Sequence[Any] = (),
        shared: Sequence[Part] | None = None,
        columns: str = COLUMNS,
        *,
        stored: bool = False,
        rows: list[Any] | None = None,
    ) -> AsyncGenerator[list[Event], None]:
        """Iterate over pages; `shared` are the parts that other runs recorded, None looks only where they seem to lack.

        Where no other run's part is wanted, `rows` may be the first page, which was read before.
        """
        sql = _page(where, columns)
        if shared is None:
            if rows is None:
                rows = await self._rows(sql, (key, after, last, *parameters, key))
            if not rows or rows[0][1] != after + 1:
                # Nothing is left to read, or what is wanted begins in a run that this one was forked from.
                await self._still_there(run_id)
                shared = await self._parts_between(key, after, last)
                rows = None if shared else rows
        for part in (*(shared or ()), Part(key, run_id, after, last)):
            full, end = True, min(part.to or last, last)
            while full:
                if rows is None:
                    rows = await self._rows(sql, (part.key, after, end, *parameters, part.key))
                    if not rows:
                        await self._still_there(part.run_id)
                for start in range(0, len(rows), _SLICE):
                    sliced = rows[start : start + _SLICE]
                    events, damage = await self._told(sliced, part, stored=stored)
                    yield events
                    if damage is not None:
                        raise damage
                full = len(rows) == PAGE
                after = rows[-1][1] if rows else after
                rows = None

    async def _told(
        self, rows: Sequence[Sequence[Any]], part: Part, *, stored: bool
    ) -> tuple[list[Event], CorruptLogError | None]:
        """Return the events of rows, as they are stored or with all that is in them, up to one that is damaged."""
        events, damage = await self._events(rows, {part.key: part.run_id}, opened=not stored)
        if stored:
            return events, damage
        events, earlier = await self.blobs.put_in(events)
        return events, earlier or damage

    async def _parts_between(self, key: int, after: int, last: int) -> list[Part]:
        """Return the parts that other runs recorded of what stands between two events of a run."""
        return [
            part
            for part in await self.parts(key)
            if part.to is not None and after < part.to and part.after < last
        ]

    async def parts(self, key: int) -> tuple[Part, ...]:
        """Return which run recorded which part of a run's events; it never changes, so it is read once."""
        known = self._lines.get(key)
        if known is None:
            if len(self._lines) >= KNOWN:
                self._lines.clear()
            known = self._lines[key] = parts_of(await self._rows(LINEAGE, (key,)))
        return known

    async def scan(self, after: int, types: frozenset[str] | None) -> AsyncIterator[list[Event]]:
        """Iterate over the events of all runs by position; blobs stay references."""
        scan = Scan(await self._own(), types)
        early, count = True, PAGE
        # A page that was read before it was asked for may lack what was appended meanwhile.
        while early or count == PAGE:
            events, damage, early = await self._scanned(scan, after)
            count = len(events)
            if events:
                after = events[-1].position
                yield events
            if damage is not None:
                raise damage

    async def _scanned(
        self, scan: Scan, after: int
    ) -> tuple[list[Event], CorruptLogError | None, bool]:
        """Return a page of a scan, up to where it is damaged, and whether it was read before it was asked for."""
        early, events = False, None
        try:
            packed, early = await scan.page(after)
        except ValueError as error:
            raise StoreError("the store is closed; open it again to read") from error
        except sqlite3.Error:
            pass  # to read it by rows says what it is
        else:
            with no_collecting():
                events = events_in(packed, self._names, self._kinds)
        if events is not None:
            return events, None, early
        listed = await self._rows(scan.sql, scan.parameters(after))
        return *await self._events(listed, self._names, with_blobs=False), early

    async def _own(self) -> aiosqlite.Connection:
        """Return a connection that nobody writes by."""
        try:
            return await self._reading.own()
        except sqlite3.Error as error:
            raise translated(error, self._path, 0.0) from error

    async def head(self, run_id: RunId) -> Head | None:
        """See `EventStore.head`."""
        rows = await self._rows(
            "SELECT e.seq, e.id, e.digest FROM runs r JOIN events e ON e.run = r.run"
            " WHERE r.uid = ? AND r.removed IS NULL ORDER BY e.seq DESC LIMIT 1",
            (run_id,),
        )
        return Head(*rows[0]) if rows else None

    async def newest_of(self, key: int, step: str) -> int | None:
        """See `EventStore.newest_of`.

        There is no index of addresses: it would make a log larger by a sixth and appending slower, for a question that
        is asked when a person has something to say. Reading past 100,000 events takes some 5 ms.
        """
        ((first, last, span),) = await self._rows(_BOUNDS, (key,))
        sql = "SELECT seq FROM events WHERE run = ? AND address = ? ORDER BY seq DESC LIMIT 1"
        parameters: tuple[Any, ...] = (key, step)
        if first is not None and last - first <= _ALONE * span:
            sql = (
                "SELECT seq FROM events NOT INDEXED WHERE id BETWEEN ? AND ? AND address = ? AND run = ?"
                " ORDER BY id DESC LIMIT 1"
            )
            parameters = (first, last, step, key)  # compared in this order: the rarer first
        rows = await self._rows(sql, parameters)
        return int(rows[0][0]) if rows else None

    async def from_others(self, run_id: RunId, key: int, types: frozenset[str]) -> list[Event]:
        """See `EventStore.from_others`."""
        numbers = self._kinds.numbers(types)
        if not numbers:
            return []  # every type of this release has a number once a store was opened to be written to
        rows = await self._rows(
            f"SELECT {COLUMNS} FROM events WHERE run = ? AND kind IN ({', '.join(map(str, numbers))})"
            " AND actor IS NOT NULL ORDER BY +seq",  # not by the index of seqs, which has all events
            (key,),
        )
        events, damage = await self._events(rows, {key: run_id})
        events, earlier = await self.blobs.put_in(events)
        if damage := earlier or damage:
            raise damage
        return events

    async def runs(self, query: RunQuery) -> list[RunInfo]:
        """See `EventStore.runs`."""
        where, parameters = conditions(query)
        found: list[RunInfo] = []
        before = _MAX
        while query.limit is None or len(found) < query.limit:
            rows = await self._rows(
                f"{LIST} WHERE r.run < ? {where} ORDER BY r.run DESC LIMIT {PAGE}",
                (before, *parameters),
            )
            found += [
                info for info in map(info_of, rows) if query.tags.items() <= info.tags.items()
            ]
            if len(rows) < PAGE:
                break
            before = rows[-1][0]
        return found[: query.limit]

    async def snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        """See `EventStore.load_snapshot`."""
        return (await self._kept(run_id, await self._rows(_SNAPSHOT, (name, run_id))))[1]

    async def latest(
        self, run_id: RunId, name: str, to: int | None
    ) -> tuple[Snapshot, AsyncIterator[Event]] | None:
        """See `Tailing.latest`."""
        last = _MAX if to is None else to

        def both(connection: sqlite3.Connection) -> tuple[list[Any], list[Any]]:
            kept = connection.execute(_SNAPSHOT, (name, run_id)).fetchall()
            if not kept or kept[0][1] is None:
                return kept, []
            key, seq = kept[0][:2]
            return kept, connection.execute(_page(), (key, seq - 1, last, key)).fetchall()

        found, rows = await self._asked(lambda there: in_one_hop(there, both))
        key, snapshot = await self._kept(run_id, found)
        if snapshot is None:
            return None
        pages = self._pages(run_id, key, snapshot.seq - 1, last, rows=rows)
        return snapshot, _each(pages)

    async def _kept(
        self, run_id: RunId, rows: Sequence[Sequence[Any]]
    ) -> tuple[int, Snapshot | None]:
        """Return the number of a run and its snapshot from what `_SNAPSHOT` has found."""
        if not rows:
            await self._still_there(run_id)
            raise RunNotFoundError(run_id)
        key, *kept = rows[0]
        self._learn(run_id, key)
        if kept[0] is None:
            return key, None
        return key, await self._opening.snapshot(run_id, Snapshot(*kept))

    async def grown(self, after: int) -> tuple[dict[RunId, int], int]:
        """Return the newest seq of each run that has events after this position, and the last position."""
        rows = await self._rows(
            "SELECT r.uid, max(e.seq), max(e.id) FROM events e JOIN runs r ON r.run = e.run"
            " WHERE e.id > ? GROUP BY e.run",
            (after,),
        )
        return {row[0]: row[1] for row in rows}, max((row[2] for row in rows), default=after)

    async def _events(
        self,
        rows: Sequence[Sequence[Any]],
        names: dict[int, RunId],
        *,
        with_blobs: bool = True,
        opened: bool = True,
    ) -> tuple[list[Event], CorruptLogError | None]:
        sealed: list[int] = []
        with no_collecting():
            events, damage = events_of(rows, names, self._kinds, sealed)
        if damage is not None:
            # Perhaps it is only a type or a run that was not met before.
            self._kinds.learn(await self._rows("SELECT kind, type, version FROM kinds"))
            await self._name({row[0] for row in rows})
            sealed.clear()
            events, damage = events_of(rows, names, self._kinds, sealed)
        if sealed and opened:
            await self._opening.events(events, sealed, with_blobs=with_blobs)
        return events, damage

    async def _name(self, keys: set[int]) -> None:
        missing = list(keys - self._names.keys())
        if len(self._names) > _NAMES:
            self._names.clear()
            missing = list(keys)
        if missing:
            count = filled(len(missing))
            sql = f"SELECT run, uid FROM runs WHERE run IN ({', '.join('?' * count)})"
            rows = await self._rows(sql, (*missing, *[None] * (count - len(missing))))
            self._names.update(rows)


def _page(where: str = "", columns: str = COLUMNS) -> str:
    """Return the statement that reads a page of a run's events."""
    return (
        f"SELECT {columns} FROM events WHERE run = ? AND seq > ? AND seq <= ? {where} {_HERE}"
        f" ORDER BY seq LIMIT {PAGE}"
    )


async def _each(pages: AsyncGenerator[list[Event], None]) -> AsyncIterator[Event]:
    async with aclosing(pages):
        async for page in pages:
            for event in page:
                yield event
