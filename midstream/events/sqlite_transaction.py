"""Writing one batch: a single statement where it is nothing but events, else one explicit transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from contextvars import Context
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import aiosqlite

from midstream.events.ids import RunId
from midstream.events.keeping import Tombstone
from midstream.events.sealing import subject_id
from midstream.events.sqlite_batch import Batch, Run, is_fork
from midstream.events.sqlite_beside import BEAT, TAKEN_OVER
from midstream.events.sqlite_insert import EVENT, TOGETHER
from midstream.events.sqlite_job import hand_over, in_one_hop
from midstream.events.sqlite_keeping import tombstone_of
from midstream.events.sqlite_keys import Keys
from midstream.events.sqlite_lazy import index_blobs
from midstream.events.sqlite_line import ROWS, Append, Command, runs_of, takes_over
from midstream.events.sqlite_lineage import ORIGIN
from midstream.events.sqlite_quick import Quick
from midstream.events.sqlite_rows import Kinds, filled
from midstream.events.sqlite_squeeze import squeezed
from midstream.events.sqlite_uses import USED

_LARGE = 64
"""Rows from which on the loop sees that the thread begins."""

_MOVED = 128
"""Commits after which the write-ahead log is moved into the file, so that it begins anew: to append to a file that grows
takes the disk up to twice as long as to write over what is there, and such a log of small commits has some 2 MB. One of large
commits is moved by its size, before that."""

_RUN = "(uid, graph, status, tags, created_at, epoch, holder, parent, base, sealed, subject)"
_STATES = """SELECT r.uid, r.run, e.seq, e.id, e.digest, r.status, r.epoch, r.holder, r.sealed, r.erased
    FROM runs r JOIN events e ON e.run = r.run AND e.seq = (SELECT max(seq) FROM events WHERE run = r.run)
    WHERE r.removed IS NULL AND r.uid IN """


@dataclass(slots=True)
class Stats:
    """What the writer did since the store was opened.

    Attributes:
        commits: Transactions that were committed.
        hops: Calls that were handed to the writer's thread to make them, failed ones included.
        events: Events that were recorded.
    """

    commits: int = 0
    hops: int = 0
    events: int = 0


Written = Callable[[int, BaseException | None], object]
"""Is given the position of the first row that was written, or why none was."""


class Overtaken(Exception):  # noqa: N818  # not an error: what was known is behind the file
    """Somebody took a run over since the file was last read under the lock; nothing was written."""


class Transactions:
    """The writer's connection, and what it knows of the file between two commits.

    Attributes:
        takeovers: How often any run had been taken over when the file was last read under the lock.
    """

    def __init__(self, connection: aiosqlite.Connection, kinds: Kinds, keys: Keys) -> None:
        self.connection = connection
        self.kinds = kinds
        self.keys = keys
        self.stats = Stats()
        self.takeovers = -1
        self._appended = 0  # since the write-ahead log was last moved into the file

    def at_once(self, quick: Quick, then: Written, context: Context) -> None:
        """Begin to write rows of events in one statement, which is a transaction of its own.

        Args:
            quick: The rows.
            then: Is given the position of the first row, or why none was written: `Overtaken`, where an epoch may no
                longer be in force, or what SQLite said.
            context: What `then` is called in.
        """
        self.stats.hops += 1
        rows = quick.count
        statements = quick.rows.statements(self.takeovers)

        def work(connection: sqlite3.Connection) -> tuple[int, int]:
            if len(statements) > 1:
                return _in_parts(connection, statements)
            cursor = connection.execute(*statements[0])
            return cursor.rowcount, cursor.lastrowid or 0

        def written(found: tuple[int, int] | None, error: BaseException | None) -> None:
            if found is None or not found[0]:
                then(0, error or Overtaken())
                return
            self.stats.commits += 1
            self.stats.events += rows
            then(found[1] - rows + 1, None)

        self._appended += 1
        afterwards = None
        if self._appended >= _MOVED:
            self._appended, afterwards = 0, _move
        hand_over(self.connection, work, written, context, afterwards, large=rows >= _LARGE)

    async def under_lock(self, commands: Sequence[Command]) -> tuple[Batch, int]:
        """Read the state of all runs concerned, judge, write; return the batch and the position of its first row."""
        if self.keys.given is not None and self.keys.given.subjects is not None:
            new = {_subject(command) for command in commands} - {""}
            runs = [*runs_of(commands), *map(_begun_in, commands)]
            await self.keys.prepare(self.connection, runs, new)
        self.stats.hops += 1
        batch, first = await in_one_hop(
            self.connection,
            lambda connection: _Judging(connection, self.kinds, self.keys).done(commands),
        )
        self.stats.commits += 1
        self.stats.events += len(batch.rows)
        return batch, first


class _Judging:
    """One transaction, on the connection's thread."""

    def __init__(self, connection: sqlite3.Connection, kinds: Kinds, keys: Keys) -> None:
        self._connection = connection
        self._kinds = kinds
        self._keys = keys
        self._sealed: list[Run] = []

    def done(self, commands: Sequence[Command]) -> tuple[Batch, int]:
        """See `Transactions.under_lock`."""
        if any(isinstance(command, Append) for command in commands):
            return self._committed(commands)
        # A lease or a snapshot need not outlast a loss of power, which ends its holder too; and whatever a driver
        # appends with an epoch brings that epoch to the disk with it.
        ((synchronous,),) = self._rows("PRAGMA synchronous")
        self._connection.execute("PRAGMA synchronous = NORMAL")
        try:
            return self._committed(commands)
        finally:
            self._connection.execute(f"PRAGMA synchronous = {synchronous}")

    def _committed(self, commands: Sequence[Command]) -> tuple[Batch, int]:
        self._connection.execute("BEGIN IMMEDIATE")
        try:
            batch = Batch(self._states(runs_of(commands)), self._kinds)
            ((batch.takeovers,),) = self._rows("SELECT count FROM takeovers")
            if any(map(takes_over, commands)):
                batch.alive = dict(self._rows("SELECT holder, until FROM drivers"))
            batch.origins = self._origins(commands)
            batch.gone = self._gone([one for one in runs_of(commands) if one not in batch.runs])
            self._unseal(batch, commands)
            self._number_kinds(commands)
            for command in commands:
                batch.judge(command)
            first = self._write(batch)
            self._connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        return batch, first

    def _write(self, batch: Batch) -> int:
        self._many(TAKEN_OVER, [(batch.taken,)] * (batch.taken > 0))
        self._insert_runs(batch.new)
        self._many(
            "UPDATE runs SET status = ?, epoch = ?, holder = ? WHERE run = ?",
            [(run.status, run.epoch, run.holder, run.key) for run in batch.changed.values()],
        )
        if batch.blobs:
            index_blobs(self._connection)
        self._many(
            "INSERT OR IGNORE INTO blobs (digest, body) VALUES (?, ?)",
            [(bytes.fromhex(digest), squeezed(body)) for digest, body in batch.blobs.items()],
        )
        self._many(USED, [(run.key, bytes.fromhex(digest)) for run, digest in batch.uses])
        self._many(BEAT, batch.beats.items())
        self._many(
            "INSERT OR REPLACE INTO snapshots (run, name, seq, digest, body) VALUES (?, ?, ?, ?, ?)",
            [(run.key, *rest) for run, *rest in batch.snapshots],
        )
        first = 0
        for start in range(0, len(batch.rows), TOGETHER):
            part = batch.rows[start : start + TOGETHER]
            values = [value for run, row in part for value in (run.key, *row)]
            last = self._insert("events", EVENT, values, len(part))
            first = first or last - len(part) + 1
        return first

    def _insert_runs(self, new: Sequence[Run]) -> None:
        for start in range(0, len(new), TOGETHER):
            runs = new[start : start + TOGETHER]
            values: list[Any] = []
            for run in runs:
                assert run.created is not None
                graph, tags, at, parent, base, sealed, subject = run.created
                values += (run.run_id, graph, run.status, tags, at, run.epoch, run.holder)
                values += (parent, base, sealed, subject)
            last = self._insert("runs", _RUN, values, len(runs))
            for key, run in enumerate(runs, last - len(runs) + 1):
                run.key, run.created = key, None

    def _insert(self, table: str, columns: str, values: list[Any], rows: int) -> int:
        """Insert the rows in one statement, filled up with empty ones that it leaves out; return the last key."""
        width = columns.count(",") + 1
        empty = filled(rows) - rows
        sql = _statement(table, columns, width, filled(rows), empty=empty > 0)
        cursor = self._connection.execute(sql, values + [None] * (width * empty))
        return cursor.lastrowid or 0

    def _states(self, run_ids: Sequence[RunId]) -> dict[RunId, Run]:
        runs: dict[RunId, Run] = {}
        for start in range(0, len(run_ids), ROWS):
            chunk = run_ids[start : start + ROWS]
            count = filled(len(chunk))
            marks = ", ".join("?" * count)
            rows = self._rows(f"{_STATES} ({marks})", (*chunk, *[None] * (count - len(chunk))))
            for uid, key, seq, position, digest, status, epoch, holder, sealed, erased in rows:
                made = Run(uid, key, seq, position, digest, status, epoch, holder)
                made.erased = erased is not None
                runs[uid] = made
                if sealed and not made.erased:
                    self._sealed.append(made)
        return runs

    def _unseal(self, batch: Batch, commands: Sequence[Command]) -> None:
        """Give the batch the keys that it needs; a run whose key was destroyed counts as erased."""
        of = {draft.of for c in commands if isinstance(c, Append) for draft in c.drafts} - {""}
        if self._sealed or of:
            wanted = [run.run_id for run in self._sealed]
            rows = self._rows(
                f"SELECT uid FROM runs WHERE sealed AND uid IN ({', '.join('?' * len(of))})", [*of]
            )
            batch.sealers = self._keys.sealers(self._connection, [*wanted, *(r[0] for r in rows)])
        for run in self._sealed:
            run.sealer = batch.sealers[run.run_id]
            run.erased = run.sealer is None
        if self._keys.given is not None:
            batch.inherited = self._inherited(commands)
            batch.new_key = partial(self._keys.new, self._connection)

    def _inherited(self, commands: Sequence[Command]) -> dict[RunId, str]:
        """Return the subjects of the runs in which other ones begin, by the latter."""
        found: dict[RunId, str] = {}
        for command in commands:
            parent = _begun_in(command)
            sql = "SELECT subject FROM runs WHERE uid = ? AND subject IS NOT NULL"
            for (subject,) in self._rows(sql, (parent,)) if parent else ():
                found[command.run_id] = subject  # type: ignore[union-attr]  # it is an append
        return found

    def _origins(self, commands: Sequence[Command]) -> dict[RunId, tuple[int, bytes, str | None]]:
        """Return who recorded the events at which the commands fork, and the digests of these."""
        found: dict[RunId, tuple[int, bytes, str | None]] = {}
        for command in commands:
            if isinstance(command, Append) and is_fork(command):
                data = command.drafts[0].data
                for row in self._rows(ORIGIN, (data["parent"], data["seq"], data["seq"])):
                    found[command.run_id] = (row[0], row[1], row[2])
        return found

    def _gone(self, missing: Sequence[RunId]) -> dict[RunId, Tombstone]:
        """Return which of the runs that are not there have been."""
        found: dict[RunId, Tombstone] = {}
        for start in range(0, len(missing), ROWS):
            chunk = missing[start : start + ROWS]
            count = filled(len(chunk))
            sql = f"SELECT uid, removed FROM runs WHERE removed IS NOT NULL AND uid IN ({', '.join('?' * count)})"
            rows = self._rows(sql, (*chunk, *[None] * (count - len(chunk))))
            found.update((RunId(uid), tombstone_of(uid, removed)) for uid, removed in rows)
        return found

    def _number_kinds(self, commands: Sequence[Command]) -> None:
        """Give a number to types that the file does not know yet; the numbers of a failed transaction are forgotten."""
        wanted = {
            (draft.type, draft.version)
            for command in commands
            if isinstance(command, Append)
            for draft in command.drafts
        }
        if wanted <= self._kinds.number.keys():
            return
        self._kinds.learn(self._rows("SELECT kind, type, version FROM kinds"))
        missing = sorted(wanted - self._kinds.number.keys())
        self._many("INSERT INTO kinds (type, version) VALUES (?, ?)", missing)
        self._kinds.learn(self._rows("SELECT kind, type, version FROM kinds"))

    def _roll_back(self) -> None:
        # SQLite has rolled back by itself after some errors, such as a full disk.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
        self._kinds.forget()
        self._kinds.learn(self._rows("SELECT kind, type, version FROM kinds"))

    def _rows(self, sql: str, parameters: Sequence[Any] = ()) -> list[Any]:
        return self._connection.execute(sql, parameters).fetchall()

    def _many(self, sql: str, rows: Iterable[Sequence[Any]]) -> None:
        if rows := list(rows):
            self._connection.executemany(sql, rows)


def _subject(command: Command) -> str:
    """Return what stands for the subject of a run that a command begins, or nothing."""
    if not isinstance(command, Append) or command.expected or not command.drafts:
        return ""
    given = command.drafts[0].data.get("subject")
    return subject_id(given) if given else ""


def _begun_in(command: Command) -> str:
    """Return the run in which the run begins that a command makes, or that it is a fork of; else nothing."""
    if not isinstance(command, Append) or not command.drafts:
        return ""
    begins = command.drafts[0].type in ("run.created", "run.forked")
    return (command.drafts[0].data.get("parent") or "") if begins else ""


def _move(connection: sqlite3.Connection) -> None:
    """Move what nobody reads any more from the write-ahead log into the file; the loop has been told of the commit."""
    with suppress(
        sqlite3.Error
    ):  # what was committed stands in the log; SQLite tries again by itself
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()


def _in_parts(
    connection: sqlite3.Connection, statements: Sequence[tuple[str, Sequence[Any]]]
) -> tuple[int, int]:
    """Write rows in one transaction of several statements; return how many the last wrote, and the last position."""
    cursor = connection.execute("BEGIN IMMEDIATE")
    try:
        for sql, values in statements:
            cursor = connection.execute(sql, values)
            if not cursor.rowcount:
                break  # the first of them, since nobody else writes meanwhile
        connection.execute("COMMIT" if cursor.rowcount else "ROLLBACK")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
    return cursor.rowcount, int(cursor.lastrowid or 0)


@cache
def _statement(table: str, columns: str, width: int, rows: int, *, empty: bool) -> str:
    values = ", ".join([f"({', '.join('?' * width)})"] * rows)
    if empty:
        values = f"SELECT * FROM (VALUES {values}) WHERE column1 IS NOT NULL"
        return f"INSERT INTO {table} {columns} {values}"
    return f"INSERT INTO {table} {columns} VALUES {values}"
