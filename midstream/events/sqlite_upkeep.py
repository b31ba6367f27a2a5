"""Looking after a store's file: how large it is, a copy of it while it is in use, and its free pages.

All of it blocks, and for large files for long: call it in a thread of its own. It ends early where `stop` is set.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from midstream.errors import StoreError, StoreOpenError
from midstream.events.sqlite_open import check, opening, translated
from midstream.events.sqlite_schema import MIGRATIONS

_STEP = 1000
"""Pages that are copied between two looks at `stop`."""

_BUSY = 30.0
"""Seconds to wait for a lock."""


@dataclass(frozen=True, slots=True)
class Share:
    """What events of one type take.

    Attributes:
        events: How many there are.
        bytes: Of their bodies, as stored.
    """

    events: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Measured:
    """What a store holds.

    Attributes:
        bytes: The file.
        wal_bytes: Its write-ahead log, which is moved into it from time to time.
        free_bytes: Pages of the file that hold nothing; `vacuum` gives them back.
        version: Of its tables.
        runs: By status.
        forks: Runs that share events with another one.
        removed: Runs that are not there any more.
        events: All of them.
        blobs: Large bodies, each kept once.
        blob_bytes: Their size, as stored.
        snapshots: Folded states, which are only a cache.
        snapshot_bytes: Their size.
        first_at: When the first event was recorded, in microseconds since 1970; 0 where there is none.
        last_at: When the newest one was.
        by_type: Events by type, the largest share first; empty where that was not asked for.
    """

    bytes: int
    wal_bytes: int
    free_bytes: int
    version: int
    runs: dict[str, int]
    forks: int
    removed: int
    events: int
    blobs: int
    blob_bytes: int
    snapshots: int
    snapshot_bytes: int
    first_at: int
    last_at: int
    by_type: dict[str, Share] = field(default_factory=dict[str, Share])


def measure(path: Path, *, by_type: bool = False) -> Measured:
    """Count what a store holds; a read lock is held meanwhile, which keeps nobody from writing.

    Raises:
        StoreOpenError: It cannot be read.
    """
    with _reading(path) as connection:
        one = _Counter(connection)
        wal = path.with_name(f"{path.name}-wal")
        return Measured(
            bytes=one("PRAGMA page_count") * one("PRAGMA page_size"),
            wal_bytes=wal.stat().st_size if wal.exists() else 0,
            free_bytes=one("PRAGMA freelist_count") * one("PRAGMA page_size"),
            version=one("PRAGMA user_version"),
            runs=dict(
                connection.execute(
                    "SELECT status, count(*) FROM runs WHERE removed IS NULL GROUP BY 1 ORDER BY 1"
                )
            ),
            forks=one("SELECT count(*) FROM runs WHERE parent IS NOT NULL AND removed IS NULL"),
            removed=one("SELECT count(*) FROM runs WHERE removed IS NOT NULL"),
            events=one("SELECT count(*) FROM events"),
            blobs=one("SELECT count(*) FROM blobs"),
            blob_bytes=one("SELECT coalesce(sum(length(body)), 0) FROM blobs"),
            snapshots=one("SELECT count(*) FROM snapshots"),
            snapshot_bytes=one("SELECT coalesce(sum(length(body)), 0) FROM snapshots"),
            first_at=one("SELECT coalesce((SELECT at FROM events ORDER BY id LIMIT 1), 0)"),
            last_at=one("SELECT coalesce((SELECT at FROM events ORDER BY id DESC LIMIT 1), 0)"),
            by_type=_shares(connection) if by_type else {},
        )


class _Counter:
    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __call__(self, sql: str) -> int:
        return int(self._connection.execute(sql).fetchone()[0])


def _shares(connection: sqlite3.Connection) -> dict[str, Share]:
    rows = connection.execute(
        "SELECT k.type, count(*), sum(length(e.body)) FROM events e JOIN kinds k USING (kind)"
        " GROUP BY k.type ORDER BY 3 DESC, 1"
    )
    return {type_: Share(count, size) for type_, count, size in rows}


def copy(
    path: Path,
    to: Path,
    *,
    stop: threading.Event,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Copy a store as it stands now, while others go on writing to it; whoever calls this gives the copy its name.

    Source: https://www.sqlite.org/backup.html; a read transaction that was begun before keeps commits of others out
    of the copy, so that it need not be begun anew at each of them.

    Args:
        path: The store.
        to: A file that does not exist.
        stop: Set, it ends the copying.
        told: Called with the pages that were copied, and all that there are.

    Raises:
        StoreOpenError: It cannot be read.
        StoreError: `stop` was set.
    """

    def step(status: int, left: int, total: int) -> None:
        if stop.is_set():
            raise StoreError("copying was stopped; nothing was kept of it")
        told(total - left, total)

    with _reading(path) as source, closing(sqlite3.connect(to)) as target:
        source.execute("BEGIN")
        source.execute("SELECT count(*) FROM kinds").fetchone()  # the transaction begins here
        source.backup(target, pages=_STEP, progress=step, sleep=0.001)
        # One file without neighbours, until somebody writes to it.
        target.execute("PRAGMA journal_mode = DELETE").fetchall()
        found = target.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found != "ok":
            raise StoreOpenError(
                str(path), f"its copy is damaged ({found})", "check the disk, and try again"
            )


def drivers(path: Path, *, now: float) -> int:
    """Return how many live drivers hold runs of a store at a time in seconds since 1970.

    Raises:
        StoreOpenError: It cannot be read.
    """
    with _reading(path) as connection:
        rows = connection.execute(
            "SELECT count(DISTINCT d.holder) FROM drivers d JOIN runs r USING (holder)"
            " WHERE d.until > ? AND r.status IN ('running', 'paused')",
            (now,),
        )
        return int(rows.fetchone()[0])


def vacuum(path: Path, *, stop: threading.Event) -> None:
    """Write the file anew without its free pages, in one transaction; as much room as it takes is needed beside it.

    Args:
        path: The store.
        stop: Set, it ends the work, and the file stays as it was.

    Raises:
        StoreError: `stop` was set.
        StoreBusyError: Somebody kept it locked.
        StoreFullError: There is no room for it.
        StoreOpenError: It is damaged, or may not be written.
    """
    check(path, newest=len(MIGRATIONS), read_only=False, busy_timeout=_BUSY)
    try:
        with closing(
            sqlite3.connect(path, timeout=_BUSY, isolation_level=None, check_same_thread=False)
        ) as connection:
            found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise StoreOpenError(
                    str(path), f"it is damaged ({found})", "restore it from a backup"
                )
            # Asked every 1,000 instructions of SQLite's machine, which is some microseconds.
            connection.set_progress_handler(lambda: int(stop.is_set()), 1000)
            # In a file of an older release, too, free pages can be given back in small steps from here on.
            connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
            connection.execute("VACUUM")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except sqlite3.Error as error:
        if stop.is_set():
            raise StoreError("vacuum was stopped; the file is as it was") from error
        raise translated(error, path, _BUSY) from error


@contextmanager
def _reading(path: Path) -> Generator[sqlite3.Connection, None, None]:
    check(path, newest=len(MIGRATIONS), read_only=True, busy_timeout=_BUSY)
    uri = f"{path.absolute().as_uri()}?mode=ro"
    try:
        with closing(
            sqlite3.connect(uri, uri=True, timeout=_BUSY, isolation_level=None)
        ) as connection:
            yield connection
    except sqlite3.Error as error:
        raise opening(error, path) from error
