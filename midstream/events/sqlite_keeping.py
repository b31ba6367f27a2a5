"""Removing runs from an SQLite file: hidden in one transaction, deleted in further ones, each of them short.

What is here runs on the writer's connection, between two commits of the writer.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import orjson

from midstream.errors import RunNotFoundError
from midstream.events.envelope import Draft, chain, genesis
from midstream.events.ids import RunId
from midstream.events.keeping import Tombstone, check_removable
from midstream.events.sqlite_beside import SWEEP, SWEPT, TAKEN_OVER
from midstream.events.sqlite_lazy import OF_PARENT, OF_RUN
from midstream.events.sqlite_rows import Kinds, row_of
from midstream.events.system import KEEPING, opening

_RUN = "SELECT run, graph, status, removed FROM runs WHERE uid = ?"
_LAST = "SELECT seq, digest FROM events WHERE run = ? ORDER BY seq DESC LIMIT 1"
_FORKS = "SELECT uid FROM runs WHERE parent = ? AND removed IS NULL"
_EVENT = "(run, seq, kind, at, actor, cause, address, epoch, body, digest)"

_BLOBS = 8 * 1024 * 1024
"""Bytes of blobs that are deleted in one transaction, and one blob more."""

_PAGES = 256
"""Pages that are given back in one transaction; 2 MiB."""

_PATIENCE = 200
"""Milliseconds to wait for readers before the log of the file is cut; whoever comes next cuts it otherwise."""


class Recorded(NamedTuple):
    """What was appended to a stream: its newest seq, and the positions of the first and last event."""

    seq: int
    first: int
    last: int


def tombstone_of(run_id: str, kept: str) -> Tombstone:
    """Return the tombstone that stands in the line of a run."""
    told = orjson.loads(kept)
    digest = bytes.fromhex(told.pop("digest"))
    return Tombstone(RunId(run_id), digest=digest, **told)


def _line(tombstone: Tombstone) -> str:
    told = {**tombstone._asdict(), "digest": tombstone.digest.hex()}
    del told["run_id"]
    return orjson.dumps(told).decode()


@contextmanager
def writing(connection: sqlite3.Connection) -> Generator[None]:
    """Be the only one who writes; what was done is kept whole or not at all."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def remove(
    connection: sqlite3.Connection,
    kinds: Kinds,
    run_ids: Sequence[RunId],
    *,
    at: int,
    actor: str,
    reason: str,
) -> tuple[list[Tombstone], Recorded]:
    """Hide runs, and record where they stood; see `Removing.remove`."""
    with writing(connection):
        connection.execute(OF_PARENT)
        found = [_tombstone(connection, one, run_ids, at, actor, reason) for one in run_ids]
        for key, tombstone in found:
            connection.execute(
                "UPDATE runs SET removed = ?, tags = '{}', holder = NULL WHERE run = ?",
                (_line(tombstone), key),
            )
            connection.execute(SWEEP, (key,))
            connection.execute("DELETE FROM snapshots WHERE run = ?", (key,))
        tombstones = [tombstone for _, tombstone in found]
        recorded = append_to(connection, kinds, KEEPING, [one.draft() for one in tombstones], at)
        # Writers of other processes know the runs by heart; this makes them look.
        connection.execute(TAKEN_OVER, (1,))
    return tombstones, recorded


def _tombstone(
    connection: sqlite3.Connection,
    run_id: RunId,
    going: Sequence[RunId],
    at: int,
    actor: str,
    reason: str,
) -> tuple[int, Tombstone]:
    row = connection.execute(_RUN, (run_id,)).fetchone()
    if row is None:
        raise RunNotFoundError(run_id)
    key, graph, status, removed = row
    if removed is not None:
        raise tombstone_of(run_id, removed).error()
    forks = [RunId(uid) for (uid,) in connection.execute(_FORKS, (key,))]
    check_removable(run_id, status, forks, going)
    seq, digest = connection.execute(_LAST, (key,)).fetchone()
    return key, Tombstone(run_id, graph, status, seq, digest, at, actor, reason)


def append_to(
    connection: sqlite3.Connection, kinds: Kinds, stream: RunId, drafts: Sequence[Draft], at: int
) -> Recorded:
    """Append to a stream of the system, which is made where it is not there, in the transaction that is open."""
    row = connection.execute(_RUN, (stream,)).fetchone()
    if row is None:
        key = connection.execute(
            "INSERT INTO runs (uid, graph, status, tags, created_at, epoch) VALUES (?, ?, 'completed', '{}', ?, 0)",
            (stream, stream, at),
        ).lastrowid
        seq, digest = 0, genesis(stream)
        drafts = (*opening(stream, at), *drafts)
    else:
        key = row[0]
        seq, digest = connection.execute(_LAST, (key,)).fetchone()
    positions: list[int] = []
    for draft in drafts:
        seq += 1
        digest = chain(digest, seq, draft, None)
        kind = kinds.number[draft.type, draft.version]
        values = (key, *row_of(seq, kind, draft, None, digest))
        marks = ", ".join("?" * len(values))
        cursor = connection.execute(f"INSERT INTO events {_EVENT} VALUES ({marks})", values)
        positions.append(cursor.lastrowid or 0)
    return Recorded(seq, positions[0], positions[-1])


def sweep(connection: sqlite3.Connection, limit: int) -> int:
    """Delete some of what removed runs have left, or give back space; see `Removing.sweep`."""
    # What is deleted is overwritten, and does not stay readable in pages that nobody uses yet.
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    row = connection.execute("SELECT run FROM sweep LIMIT 1").fetchone()
    if row is not None:
        with writing(connection):
            return _swept(connection, row[0], limit)
    return _given_back(connection)


def _swept(connection: sqlite3.Connection, key: int, limit: int) -> int:
    # The first events first: whoever reads the run meanwhile finds its beginning missing.
    gone = connection.execute(
        "DELETE FROM events WHERE id IN (SELECT id FROM events WHERE run = ? ORDER BY seq LIMIT ?)",
        (key, limit),
    ).rowcount
    if gone == limit:
        return gone
    connection.execute(OF_RUN)
    blobs, all_of_them = _blobs_of(connection, key, limit - gone)
    connection.executemany("DELETE FROM uses WHERE blob = ? AND run = ?", [(b, key) for b in blobs])
    connection.executemany(
        "DELETE FROM blobs WHERE id = ?1 AND NOT EXISTS (SELECT 1 FROM uses WHERE blob = ?1)",
        [(blob,) for blob in blobs],
    )
    if all_of_them:
        connection.execute(SWEPT, (key,))
    return gone + len(blobs) + 1


def _blobs_of(connection: sqlite3.Connection, key: int, limit: int) -> tuple[list[int], bool]:
    """Return some of the blobs that a run needs, and whether these are all."""
    rows: list[Any] = connection.execute(
        "SELECT b.id, length(b.body) FROM uses u JOIN blobs b ON b.id = u.blob WHERE u.run = ? LIMIT ?",
        (key, limit + 1),
    ).fetchall()
    taken: list[int] = []
    size = 0
    for blob, length in rows[:limit]:
        taken.append(blob)
        size += length
        if size > _BLOBS:
            break
    return taken, len(taken) == len(rows)


def _given_back(connection: sqlite3.Connection) -> int:
    """Shorten the file by some pages that nobody uses, or in the end its log; return how many pages that were."""
    before = _free(connection)
    if before:
        connection.executescript(f"PRAGMA incremental_vacuum({_PAGES})")  # `execute` gives back one
        if freed := before - _free(connection):
            return freed
    ((waits,),) = connection.execute("PRAGMA busy_timeout").fetchall()
    connection.execute(f"PRAGMA busy_timeout = {_PATIENCE}").fetchall()
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {waits}").fetchall()
    return 0


def _free(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA freelist_count").fetchone()[0])
