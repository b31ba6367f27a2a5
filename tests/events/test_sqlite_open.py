"""Opening a file: what cannot be used is refused with a reason and a remedy, and stays as it is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from midstream.errors import StoreBusyError, StoreError, StoreFullError, StoreOpenError
from midstream.events import sqlite as sqlite_module
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_open import begin_file
from midstream.events.sqlite_schema import APPLICATION_ID, MIGRATIONS, PAGE_SIZE
from midstream.testing.contract import events_of
from tests.events.stores import RUN, created, digest_of, filled, note


async def refused(path: Path, *, read_only: bool = False) -> str:
    """Open a file that cannot be used; return the message."""
    before = digest_of(path)
    with pytest.raises(StoreOpenError) as error:
        await SqliteStore.open(path, read_only=read_only)
    assert error.value.path == str(path)
    assert repr(str(path)) in str(error.value)
    assert digest_of(path) == before
    return str(error.value)


async def a_store(path: Path) -> None:
    async with await SqliteStore.open(path) as store:
        await filled(store)


async def test_a_file_that_is_not_sqlite_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("dear diary\n" * 100)
    assert "not an SQLite file" in await refused(path)
    path.write_bytes(b"SQLite")
    assert "not an SQLite file" in await refused(path)


@pytest.mark.parametrize("wal", [False, True])
async def test_a_file_of_another_program_is_refused(tmp_path: Path, wal: bool) -> None:
    path = tmp_path / "theirs.db"
    with closing(sqlite3.connect(path)) as connection:
        if wal:
            connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE events (id)")
    assert "another program" in await refused(path)


async def test_a_file_of_a_newer_release_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
    message = await refused(path)
    assert "newer release" in message
    assert "upgrade" in message
    assert "newer release" in await refused(path, read_only=True)


async def test_a_newer_release_that_died_is_told_by_its_log_which_stays_as_it_is(
    tmp_path: Path,
) -> None:
    path, wal = tmp_path / "log.db", tmp_path / "log.db-wal"
    await a_store(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS) + 1}")
        before, left = path.read_bytes(), wal.read_bytes()
    path.write_bytes(before)
    wal.write_bytes(left)  # as its process would leave them
    with pytest.raises(StoreOpenError, match="newer release"):
        await SqliteStore.open(path)
    assert (path.read_bytes(), wal.read_bytes()) == (before, left)


async def test_a_file_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    os.truncate(path, path.stat().st_size - PAGE_SIZE)
    assert "damaged" in await refused(path)


async def test_a_file_with_a_sound_header_and_damaged_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    with path.open("r+b") as file:
        file.seek(PAGE_SIZE)
        file.write(b"\xa5" * 3 * PAGE_SIZE)
    message = await refused(path)
    assert "damaged" in message
    assert "backup" in message


async def test_a_file_with_a_damaged_schema_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 500)
    assert "damaged" in await refused(path)


async def test_a_file_that_lost_a_table_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DROP TABLE blobs")
    assert "'blobs'" in await refused(path)


async def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert "directory" in await refused(tmp_path)


async def test_a_path_in_no_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="no directory"):
        await SqliteStore.open(tmp_path / "nowhere" / "log.db")


async def test_a_store_without_a_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="MemoryStore"):
        await SqliteStore.open(":memory:")


async def test_an_empty_file_becomes_a_store(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    path.touch()
    await a_store(path)
    header = path.read_bytes()[:100]
    assert int.from_bytes(header[16:18]) == PAGE_SIZE
    assert int.from_bytes(header[68:72]) == APPLICATION_ID
    assert int.from_bytes(header[60:64]) == len(MIGRATIONS)


async def test_opening_a_store_again_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    before = digest_of(path)
    async with await SqliteStore.open(path) as store:
        assert len(await events_of(store, RUN)) == 9
    assert digest_of(path) == before


async def test_a_path_may_have_any_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a ?#%41 ü"
    folder.mkdir()
    await a_store(folder / "log?mode=ro.db")
    assert (folder / "log?mode=ro.db").stat().st_size > 0


async def test_a_full_disk_leaves_no_half_store(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with pytest.raises(StoreFullError):
        await SqliteStore.open(path, max_bytes=3 * PAGE_SIZE)
    await a_store(path)


async def test_a_file_that_another_program_locks_is_busy(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(StoreBusyError, match="locked"):
            await SqliteStore.open(path, busy_timeout=0.05)
    await a_store(path)


# Migrations


async def test_an_old_file_becomes_a_new_one_and_keeps_its_events(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    second = ("ALTER TABLE runs ADD COLUMN colour TEXT", "CREATE TABLE colours (name TEXT)")
    monkeypatch.setattr(sqlite_module, "MIGRATIONS", (*MIGRATIONS, second))
    async with await SqliteStore.open(path) as store:
        assert len(await events_of(store, RUN)) == 9
        await store.append(RUN, [note()], expected=9, epoch=1)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS) + 1,)
        assert connection.execute("SELECT colour FROM runs").fetchall() == [(None,)]
    async with await SqliteStore.open(path) as store:
        assert len(await events_of(store, RUN)) == 10


async def test_an_old_file_is_not_looked_at_before_it_is_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    monkeypatch.setattr(sqlite_module, "MIGRATIONS", (*MIGRATIONS, ("CREATE TABLE more (a TEXT)",)))
    with pytest.raises(StoreOpenError, match="older release"):
        await SqliteStore.open(path, read_only=True)
    async with await SqliteStore.open(path):
        pass
    async with await SqliteStore.open(path, read_only=True) as store:
        assert len(await events_of(store, RUN)) == 9


async def test_a_migration_that_fails_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    second = ("CREATE TABLE colours (name TEXT)", "CREATE TABLE runs (nonsense)")
    with monkeypatch.context() as patch:
        patch.setattr(sqlite_module, "MIGRATIONS", (*MIGRATIONS, second))
        with pytest.raises(StoreOpenError):
            await SqliteStore.open(path)
    async with await SqliteStore.open(path) as store:
        assert len(await events_of(store, RUN)) == 9
    with closing(sqlite3.connect(path)) as connection:
        assert (
            connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'colours'").fetchall()
            == []
        )


# Reading only


async def test_a_store_that_is_only_read_never_writes_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await a_store(path)
    before = path.read_bytes()
    async with await SqliteStore.open(path, read_only=True) as store:
        assert len(await events_of(store, RUN)) == 9
        with pytest.raises(StoreError, match="read_only"):
            await store.append(RUN, [note()], expected=9)
        with pytest.raises(StoreError, match="read_only"):
            await store.acquire(RUN, "me", now=0)
        with pytest.raises(StoreError, match="read_only"):
            await store.beat("me", until=0)
    assert path.read_bytes() == before


async def test_a_store_that_is_only_read_sees_what_a_live_one_appends(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as writer:
        await writer.append(RUN, [created()], expected=0)
        async with await SqliteStore.open(path, read_only=True) as reader:
            await writer.append(RUN, [note(1)], expected=1)
            assert len(await events_of(reader, RUN)) == 2


async def test_there_must_be_a_store_to_be_read(tmp_path: Path) -> None:
    with pytest.raises(StoreOpenError, match="no store"):
        await SqliteStore.open(tmp_path / "log.db", read_only=True)
    assert digest_of(tmp_path / "log.db") == (None, [])


@pytest.fixture
def protected() -> Iterator[Path]:
    """A directory, in which the test is not root: root may write everywhere."""
    root = os.getuid() == 0
    if root:
        os.setresuid(65534, 65534, 0)
    folder = Path(tempfile.mkdtemp())
    try:
        yield folder
    finally:
        folder.chmod(0o777)
        shutil.rmtree(folder)
        if root:
            os.setresuid(0, 0, 0)


async def test_a_read_only_file_is_refused_and_can_be_read(protected: Path) -> None:
    path = protected / "log.db"
    await a_store(path)
    path.chmod(0o444)
    assert "the file is read-only" in await refused(path)
    async with await SqliteStore.open(path, read_only=True) as store:
        assert len(await events_of(store, RUN)) == 9


async def test_a_file_in_a_read_only_directory_is_refused_and_can_be_read(protected: Path) -> None:
    path = protected / "log.db"
    await a_store(path)
    protected.chmod(0o555)  # noqa: ASYNC240  # a test has nothing else to do
    message = await refused(path)
    assert "its directory is read-only" in message
    assert "read_only=True" in message
    before = digest_of(path)
    async with await SqliteStore.open(path, read_only=True) as store:
        assert len(await events_of(store, RUN)) == 9
    assert digest_of(path) == before


async def test_a_file_that_may_not_be_read_is_refused(protected: Path) -> None:
    path = protected / "log.db"
    await a_store(path)
    path.chmod(0o000)
    with pytest.raises(StoreOpenError, match="permissions"):
        await SqliteStore.open(path, read_only=True)


def test_a_new_file_is_empty_or_ours_whenever_another_process_looks(tmp_path: Path) -> None:
    path, seen = tmp_path / "log.db", list[bytes]()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.set_trace_callback(lambda statement: seen.append(path.read_bytes()[68:72]))
        begin_file(connection)
        connection.set_trace_callback(None)
        seen.append(path.read_bytes()[68:72])
        assert connection.execute("PRAGMA auto_vacuum").fetchone() == (2,)
    ours = APPLICATION_ID.to_bytes(4, "big")
    assert seen[-1] == ours
    assert set(seen) == {b"", ours}
