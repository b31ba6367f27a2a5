"""Opening a file: what is not ours, newer than us or damaged is told apart before anything is written to it."""

from __future__ import annotations

import os
import sqlite3
import stat
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import aiosqlite

from midstream.errors import (
    CorruptLogError,
    StoreBusyError,
    StoreError,
    StoreFullError,
    StoreOpenError,
)
from midstream.events.sqlite_job import opened
from midstream.events.sqlite_schema import (
    APPLICATION_ID,
    PAGE_SIZE,
    Migration,
    is_current,
    migrate,
    tables_of,
    version,
)

_MAGIC = b"SQLite format 3\0"
_CHECKED = 512 * 1024
"""Files up to this many bytes are checked as a whole, which takes some 0.5 ms; of larger ones, the small tables are."""

_NEWEST = 64 * 1024
"""Bytes at the end of a file, where the newest events most often are; to ask for more takes longer than it saves."""

_FREED = 64
"""Pages that are given back at most when a file was migrated."""

_FULL = (sqlite3.SQLITE_FULL,)
_BUSY = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found in a file when it was opened.

    Attributes:
        kinds: Its types: number, type, version.
        data_version: What tells whether another connection has committed since.
        last: The position of its newest event, 0 where there is none.
    """

    kinds: Sequence[tuple[int, str, int]]
    data_version: int
    last: int


def _found(connection: sqlite3.Connection) -> Found:
    # In this order: a commit between the last two is looked at again, and none is overlooked.
    data_version = int(connection.execute("PRAGMA data_version").fetchone()[0])
    kinds = connection.execute("SELECT kind, type, version FROM kinds").fetchall()
    last = connection.execute("SELECT max(id) FROM events").fetchone()[0]
    return Found(kinds, data_version, last or 0)


def _uri(path: Path, mode: str, *, immutable: bool) -> str:
    return f"{path.absolute().as_uri()}?mode={mode}{'&immutable=1' if immutable else ''}"


def check(path: Path, *, newest: int, read_only: bool, busy_timeout: float) -> None:
    """Look at a file without changing it; an empty file, or none, is a place for a new store. Blocks for some 1 ms.

    Raises:
        StoreOpenError: It cannot be used: the message says why, and what to do.
    """
    if _is_ours(path, newest, read_only=read_only):
        _check_alone(path, newest, read_only=read_only, busy_timeout=busy_timeout)


def check_outside(path: Path, *, newest: int, busy_timeout: float) -> bool:
    """Look at a file that is to be written to, as far as it has to be done before it is opened for that.

    Where nothing stands beside the file, to open it and to read it changes nothing, and what is in it can be looked at by
    the connection that is going to write, before it does. To look at a log or a journal of somebody who died may bring the
    file up to date, so then a connection looks that cannot.

    Returns:
        Whether its content is still to be looked at.

    Raises:
        StoreOpenError: See `check`.
    """
    if not _is_ours(path, newest, read_only=False):
        return False
    if not any(Path(f"{path}{end}").exists() for end in ("-wal", "-journal")):
        return True
    _check_alone(path, newest, read_only=False, busy_timeout=busy_timeout)
    return False


def _is_ours(path: Path, newest: int, *, read_only: bool) -> bool:
    """Tell from outside whether there is a file with content, and that it is none that cannot be used."""
    if str(path) == ":memory:":
        raise StoreOpenError(str(path), "this store is a file", "use `MemoryStore`")
    if not _has_content(path, read_only=read_only):
        return False
    _check_header(path, newest)
    return True


def _check_alone(path: Path, newest: int, *, read_only: bool, busy_timeout: float) -> None:
    # Without a WAL, everything is in the file: then the look leaves no trace beside it either.
    uri = _uri(path, "ro", immutable=not _has_wal(path))
    try:
        with closing(sqlite3.connect(uri, uri=True, timeout=busy_timeout)) as connection:
            _check_content(connection, path, newest, read_only=read_only)
    except sqlite3.Error as error:
        raise opening(error, path) from error


def _has_content(path: Path, *, read_only: bool) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        found = None
    folder = path.absolute().parent
    if found is not None and stat.S_ISDIR(found.st_mode):
        raise StoreOpenError(str(path), "it is a directory", "give the path of a file in it")
    if found is None and not folder.is_dir():
        raise StoreOpenError(str(path), f"there is no directory {str(folder)!r}", "create it first")
    if read_only and (found is None or not found.st_size):
        raise StoreOpenError(
            str(path), "there is no store", "check the path, or open it without `read_only`"
        )
    if found is not None and not os.access(path, os.R_OK):
        raise StoreOpenError(str(path), "it may not be read", "change its permissions")
    if not read_only:
        _check_writable(path, folder, exists=found is not None)
    return found is not None and found.st_size > 0


def _check_writable(path: Path, folder: Path, *, exists: bool) -> None:
    is_writable = not exists or os.access(path, os.W_OK)
    if is_writable and os.access(folder, os.W_OK):
        return
    what = "its directory" if is_writable else "the file"
    raise StoreOpenError(
        str(path),
        f"{what} is read-only",
        "change the permissions, or open it with `read_only=True`",
    )


def _check_header(path: Path, newest: int) -> None:
    """Read the first 100 bytes; offsets from https://www.sqlite.org/fileformat2.html, section 1.3."""
    file = os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    try:
        header, length = os.read(file, 100), os.fstat(file).st_size
        _read_ahead(file, length)
    finally:
        os.close(file)
    if len(header) < 100 or not header.startswith(_MAGIC):
        raise StoreOpenError(
            str(path), "it is not an SQLite file", "give another path; it was left as it is"
        )
    pages, number, application = (
        struct.unpack_from(">I", header, place)[0] for place in (28, 60, 68)
    )
    if application != APPLICATION_ID:
        raise StoreOpenError(
            str(path),
            f"it is an SQLite file of another program (application_id {application:#x})",
            "give another path; it was left as it is",
        )
    if number > newest:
        raise _newer(path, number, newest)
    size = struct.unpack_from(">H", header, 16)[0]
    if not _has_wal(path) and length < pages * (65536 if size == 1 else size):
        raise _damaged(path, "the file is shorter than its header says")


def _read_ahead(file: int, length: int) -> None:
    """Have the system read the newest events, which are looked at first, if they are not in memory."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        advise(file, max(0, length - _NEWEST), _NEWEST, os.POSIX_FADV_WILLNEED)


def _newer(path: Path, number: int, newest: int) -> StoreOpenError:
    return StoreOpenError(
        str(path),
        f"a newer release wrote it (version {number}, this one knows {newest})",
        "upgrade midstream; it was left as it is",
    )


def _check_content(
    connection: sqlite3.Connection, path: Path, newest: int, *, read_only: bool
) -> None:
    number = version(connection)
    if number > newest:
        raise _newer(path, number, newest)
    if read_only and number < newest:
        raise StoreOpenError(
            str(path),
            f"an older release wrote it (version {number}, this one reads {newest})",
            "open it once for writing, which makes it a newer one; it was left as it is",
        )
    names = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    large, small = tables_of(number)
    if number and (missing := (large | small) - {row[0] for row in names}):
        raise _damaged(path, f"it has no table {min(missing)!r}")
    checks = [f"quick_check('{name}')" for name in sorted(small)]
    for check_ in ("quick_check(1)",) if _size(path) <= _CHECKED else checks:
        found = connection.execute(f"PRAGMA {check_}").fetchone()[0]
        if found != "ok":
            raise _damaged(path, found)


async def open_reader(
    path: Path, *, busy_timeout: float, first: Callable[[], None] = lambda: None
) -> tuple[aiosqlite.Connection, Found]:
    """Open a connection that cannot write.

    Where the directory is read-only too, SQLite cannot make the files that readers and writers share; then nobody
    writes, and the file is read as it stands. Source: https://www.sqlite.org/wal.html#readonly

    Args:
        path: The file.
        busy_timeout: How long to wait for a lock, in seconds.
        first: What to do before the file is opened, on the connection's thread.
    """

    def begun(connection: sqlite3.Connection) -> Found:
        # 64 MiB: runs are interleaved, and to read one of them again and again from the file takes twice as long.
        connection.execute("PRAGMA cache_size = -65536")
        return _found(connection)

    alone = not _has_wal(path) and not _may_write_beside(path)
    uri = _uri(path, "ro", immutable=alone)
    return await opened(uri, busy_timeout=busy_timeout, first=first, then=begun)


async def open_writer(
    path: Path,
    migrations: Sequence[Migration],
    synchronous: str,
    *,
    busy_timeout: float,
    max_bytes: int | None,
) -> tuple[aiosqlite.Connection, Found]:
    """Open the connection that writes, and make the tables where they are missing.

    Args:
        path: The file.
        migrations: The way to the tables of this release.
        synchronous: See `SqliteStore.open`.
        busy_timeout: How long to wait for a lock, in seconds.
        max_bytes: See `SqliteStore.open`.

    Raises:
        StoreOpenError: It cannot be used, and was left as it is.
    """
    newest = len(migrations)
    unseen = False

    def first() -> None:
        nonlocal unseen
        unseen = check_outside(path, newest=newest, busy_timeout=busy_timeout)

    def begun(connection: sqlite3.Connection) -> Found:
        if unseen:
            _check_content(connection, path, newest, read_only=False)
        if _size(path) == 0:
            begin_file(connection)
        if max_bytes is not None:
            connection.execute(f"PRAGMA max_page_count = {max(1, max_bytes // PAGE_SIZE)}")
        _use_wal(connection, busy_timeout)
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        # 32 MiB: moving the log into the file less often takes the worst commits from 6 ms to 2 ms.
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA journal_size_limit = 67108864")
        # 1 MiB: appends come to the same few pages; what else it reads is in the cache of the system.
        connection.execute("PRAGMA cache_size = -1024")
        if version(connection) == newest and is_current((found := _found(connection)).kinds):
            return found
        migrate(connection, migrations)
        # What earlier versions had and this one has not leaves free pages; in a large file they are used again.
        connection.executescript(f"PRAGMA incremental_vacuum({_FREED})")
        return _found(connection)

    uri = _uri(path, "rwc", immutable=False)
    return await opened(uri, busy_timeout=busy_timeout, first=first, then=begun)


def begin_file(connection: sqlite3.Connection) -> None:
    """Write the first page of an empty file.

    What stands in it comes before the first table and before there is a WAL, and in one write: another process that looks
    at the file meanwhile finds nothing, or a file of ours.
    """
    connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
    connection.execute("BEGIN")
    # What removed runs leave can be given back in small steps, and not only by writing the file anew.
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.execute("COMMIT")


def _use_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Switch to WAL, which SQLite refuses without waiting while another process is doing the same."""
    give_up = time.monotonic() + busy_timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF not in _BUSY or time.monotonic() > give_up:
                raise
            time.sleep(0.01)
        else:
            return


def _size(path: Path) -> int:
    return path.stat().st_size


def _may_write_beside(path: Path) -> bool:
    return os.access(path.absolute().parent, os.W_OK)


def _has_wal(path: Path) -> bool:
    try:
        return Path(f"{path}-wal").stat().st_size > 0
    except FileNotFoundError:
        return False


def opening(error: sqlite3.Error, path: Path) -> StoreError:
    """Return what an error of SQLite means while a file is opened."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _BUSY or code in _FULL:
        return translated(error, path, 0.0)
    if code in _DAMAGED:
        return _damaged(path, str(error))
    return StoreOpenError(str(path), str(error), "check the path and its permissions")


def translated(error: Exception, path: Path, waited: float) -> StoreError:
    """Return what an error of SQLite means, by its code."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL:
        return StoreFullError(str(path))
    if code in _BUSY:
        return StoreBusyError(str(path), waited)
    if code in _DAMAGED:
        return CorruptLogError(None, None, f"{str(path)!r}: {error}")
    return StoreError(f"{str(path)!r} could not be read or written: {error}")


def _damaged(path: Path, found: str) -> StoreOpenError:
    return StoreOpenError(
        str(path), f"it is damaged ({found})", "restore it from a backup; it was left as it is"
    )
