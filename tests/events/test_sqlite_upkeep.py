"""Looking after a store's file, while others use it."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from pathlib import Path

import pytest

from midstream.errors import StoreError, StoreOpenError
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_upkeep import copy, drivers, measure, vacuum
from midstream.events.store import RunQuery, Snapshot
from midstream.events.verify import verify
from tests.events.stores import RUN, created, note


def names(folder: Path, pattern: str) -> list[str]:
    return sorted(file.name for file in folder.glob(pattern))


async def filled(path: Path, events: int) -> SqliteStore:
    store = await SqliteStore.open(path)
    await store.append(RUN, [created()], expected=0, holder="me")
    await store.append(RUN, [note() for _ in range(events - 1)], expected=1, epoch=1)
    return store


async def test_a_copy_that_is_made_while_others_write_holds_what_was_there_at_its_beginning(
    tmp_path: Path,
) -> None:
    path, to = tmp_path / "log.db", tmp_path / "copy.db"
    async with await filled(path, 4000) as store:
        stop, begun, loop = threading.Event(), asyncio.Event(), asyncio.get_running_loop()
        steps: list[tuple[int, int]] = []

        def told(done: int, total: int) -> None:
            steps.append((done, total))
            loop.call_soon_threadsafe(begun.set)

        task = asyncio.ensure_future(asyncio.to_thread(copy, path, to, stop=stop, told=told))
        seq = 4000
        while not task.done():
            seq = (await store.append(RUN, [note()], expected=seq, epoch=1)).seq
        await task
        assert steps[-1][0] == steps[-1][1]
        assert seq > 4000
    async with await SqliteStore.open(to, read_only=True) as copied:
        verdict = await verify(copied, RUN)
        assert verdict.sound
        assert 4000 <= verdict.events <= seq
    assert names(tmp_path, "copy*") == ["copy.db"]


async def test_a_copy_can_be_written_to_as_the_store_was(tmp_path: Path) -> None:
    path, to = tmp_path / "log.db", tmp_path / "copy.db"
    await (await filled(path, 10)).close()
    copy(path, to, stop=threading.Event())
    async with await SqliteStore.open(to) as copied:
        assert (await copied.append(RUN, [note()], expected=10, epoch=1)).seq == 11


async def test_a_copy_that_is_stopped_says_so(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await filled(path, 10)).close()
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoreError, match="stopped"):
        copy(path, tmp_path / "copy.db", stop=stop)


async def test_what_a_store_holds_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = await filled(path, 7)
    await store.save_snapshot(RUN, "state", Snapshot(7, b"d", b"12345"))
    await store.close()
    found = measure(path, by_type=True)
    assert (found.events, found.runs, found.forks) == (7, {"running": 1}, 0)
    assert (found.snapshots, found.snapshot_bytes) == (1, 5)
    assert found.bytes == path.stat().st_size
    assert {name: share.events for name, share in found.by_type.items()} == {
        "run.created": 1,
        "note.added": 6,
    }
    assert 0 < found.first_at <= found.last_at


async def test_a_vacuum_gives_free_pages_back_and_keeps_every_event(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    store = await filled(path, 100)
    await store.save_snapshot(RUN, "state", Snapshot(7, b"d", b"x" * 3_000_000))
    await store.save_snapshot(RUN, "state", Snapshot(8, b"d", b"x"))
    await store.close()
    before = measure(path)
    assert before.free_bytes > 2_000_000
    vacuum(path, stop=threading.Event())
    after = measure(path)
    assert (after.free_bytes, after.events) == (0, 100)
    assert after.bytes <= before.bytes - 2_000_000
    async with await SqliteStore.open(path) as again:
        assert (await verify(again, RUN)).sound
        assert (await again.append(RUN, [note()], expected=100, epoch=1)).seq == 101


async def test_a_vacuum_beside_an_open_store_disturbs_neither_reader_nor_writer(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with await filled(path, 500) as store:
        await asyncio.to_thread(vacuum, path, stop=threading.Event())
        assert (await store.append(RUN, [note()], expected=500, epoch=1)).seq == 501
        assert (await verify(store, RUN)).events == 501


async def test_a_vacuum_that_is_stopped_leaves_the_file_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await (await filled(path, 3000)).close()
    stop = threading.Event()
    stop.set()
    with pytest.raises(StoreError, match="the file is as it was"):
        vacuum(path, stop=stop)
    async with await SqliteStore.open(path, read_only=True) as store:
        assert (await verify(store, RUN)).sound


def test_a_file_that_is_no_store_is_neither_copied_nor_vacuumed(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE diary (day TEXT)")
    connection.close()
    before = path.read_bytes()
    with pytest.raises(StoreOpenError, match="another program"):
        vacuum(path, stop=threading.Event())
    with pytest.raises(StoreOpenError, match="another program"):
        copy(path, tmp_path / "copy.db", stop=threading.Event())
    assert path.read_bytes() == before


async def test_live_drivers_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await filled(path, 2) as store:
        await store.beat("me", until=2000.0)
        assert (drivers(path, now=1000.0), drivers(path, now=3000.0)) == (1, 0)
        assert len(await store.runs(RunQuery(prefix=RunId("r")))) <= 1
