"""Removing runs from a file: nothing but they is deleted, also where a process ends in between, and space comes back."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from midstream.errors import RunRemovedError, StoreError
from midstream.events import verify
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_schema import PAGE_SIZE
from midstream.events.system import KEEPING
from midstream.testing.contract import created, created_end, events_of, note
from tests.events import remover_process
from tests.events.stores import RUN, behind, text

OTHER = RunId("r2")
SECRET = "the moon is made of cheese"


async def ended(store: SqliteStore, run: RunId, *data: object) -> None:
    await store.append(run, [created(), *map(note, data), created_end()], expected=0)


async def swept(store: SqliteStore, limit: int = 1000) -> None:
    while await store.sweep(limit=limit):
        pass


def raw(folder: Path) -> bytes:
    """Return all that stands in the file, its log, and beside them."""
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM events WHERE run = 1", "never deleted"),
        ("DELETE FROM events WHERE run = 2", ""),
        ("UPDATE events SET seq = 9 WHERE run = 2", "never changed"),
        ("DELETE FROM uses WHERE run = 1", "needs its blobs"),
        ("DELETE FROM blobs", "while a run needs"),
        ("UPDATE blobs SET body = 'x'", "never changed"),
        ("INSERT INTO beside (what, name) VALUES ('sweep', 1)", "after it was removed"),
        ("UPDATE runs SET removed = NULL WHERE run = 2", "stays removed"),
        ("DELETE FROM runs WHERE run = 2", "lines of runs stay"),
    ],
)
async def test_the_file_itself_refuses_to_lose_anything_else(
    tmp_path: Path, statement: str, message: str
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, RUN, text(9000, 1))
        await ended(store, OTHER, text(9000, 2))
        await store.remove([OTHER], at=1, actor="user")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        if not message:
            assert connection.execute(statement).rowcount == 3
            return
        with pytest.raises(sqlite3.IntegrityError, match=message):
            connection.execute(statement)


async def test_a_store_whose_process_ended_in_between_goes_on_with_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, RUN, *range(50), text(9000, 1))
        await ended(store, OTHER, text(9000, 2))
        await store.remove([RUN], at=1, actor="user")
        await store.sweep(limit=10)
    for _ in range(9):
        async with await SqliteStore.open(path) as store:
            assert [info.run_id for info in await store.runs()] == [OTHER]
            with pytest.raises(RunRemovedError):
                await events_of(store, RUN)
            assert (await verify(store, OTHER)).sound
            if not await store.sweep(limit=10):
                break
    with behind(path) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("events WHERE run = 1", "sweep", "uses", "blobs", "snapshots")
        ]
    assert counts == [0, 0, 1, 1, 0]


async def test_a_removal_that_is_not_committed_has_not_happened(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path, busy_timeout=0.2) as store:
        await ended(store, RUN)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StoreError, match="locked"):
                await store.remove([RUN], at=1, actor="user")
            other.execute("ROLLBACK")
        assert len(await events_of(store, RUN)) == 2
        assert await store.removed(RUN) is None
        await store.remove([RUN], at=1, actor="user")


async def test_another_process_that_knows_the_run_by_heart_cannot_append_to_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as one, await SqliteStore.open(path) as two:
        await ended(two, RUN)
        await two.append(RUN, [note(1)], expected=2)
        assert len(await events_of(two, RUN)) == 3
        await one.remove([RUN], at=1, actor="user")
        for _ in range(2):
            with pytest.raises(RunRemovedError):
                await two.append(RUN, [note(2)], expected=3)
            with pytest.raises(RunRemovedError):
                await events_of(two, RUN)
            await swept(one)


async def test_who_reads_a_run_while_it_goes_is_told(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await ended(store, RUN, *range(2500))
        reading = store.read(RUN)
        assert (await anext(reading)).seq == 1
        await store.remove([RUN], at=1, actor="user")
        with pytest.raises(RunRemovedError):
            async for _ in reading:
                pass


async def test_what_was_removed_cannot_be_read_in_the_file_any_more(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, OTHER, "kept")
        await ended(store, RUN, SECRET, SECRET + text(9000, 1))
        assert SECRET.encode() in raw(tmp_path)
        await store.remove([RUN], at=1, actor="user")
        await swept(store)
        assert SECRET.encode() not in raw(tmp_path)
        assert (await verify(store, OTHER)).sound


async def test_space_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, OTHER)
        for number in range(20):
            await ended(store, RunId(f"old{number}"), *[text(900, i) for i in range(100)])
        await swept(store)  # the log is moved into the file
        before = path.stat().st_size
        assert before > 1_000_000
        await store.remove([RunId(f"old{i}") for i in range(20)], at=1, actor="user")
        await swept(store)
        assert path.stat().st_size < before / 5
        assert (await verify(store, OTHER)).sound


async def test_an_append_does_not_wait_long_for_a_large_run_to_go(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db", synchronous="normal") as store:
        await ended(store, RUN, *range(30_000))
        await store.append(OTHER, [created()], expected=0)
        slowest, number = 0.0, 1

        async def sweep() -> None:
            await store.remove([RUN], at=1, actor="user")
            await swept(store)

        sweeping = asyncio.create_task(sweep())
        while not sweeping.done():
            began = time.monotonic()
            await store.append(OTHER, [note(number)], expected=number)
            slowest, number = max(slowest, time.monotonic() - began), number + 1
        await sweeping
        assert number > 10
        assert slowest < 1.0  # a step takes some 10 ms; this machine may be busy


async def test_the_pages_of_a_removed_run_are_given_back_many_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, RUN, *(text(7000, number) for number in range(40)))
        await ended(store, OTHER)
        await store.remove([RUN], at=1, actor="user")
        steps = 1
        while await store.sweep():
            steps += 1
        assert steps <= 4
    assert path.stat().st_size <= 16 * PAGE_SIZE


async def test_a_store_that_is_only_read_removes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await ended(store, RUN)
    async with await SqliteStore.open(path, read_only=True) as store:
        with pytest.raises(StoreError, match="read_only"):
            await store.remove([RUN], at=1, actor="user")
        with pytest.raises(StoreError, match="read_only"):
            await store.sweep()


def removing(path: Path, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(remover_process.__file__), str(path), str(count)],
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)]),
        },
    )


@pytest.mark.parametrize("dots", [1, 4, 9])
async def test_a_process_that_is_killed_while_it_removes_leaves_whole_runs_only(
    tmp_path: Path, dots: int
) -> None:
    path, count = tmp_path / "log.db", 20
    async with await SqliteStore.open(path, synchronous="normal") as store:
        for number in range(count):
            await ended(store, RunId(f"r{number}"), *range(20), text(9000, number))
    process = removing(path, count)
    assert process.stdout is not None
    await asyncio.to_thread(process.stdout.read, dots)
    process.kill()
    await asyncio.to_thread(process.wait)
    process.stdout.close()
    async with await SqliteStore.open(path) as store:
        left = {info.run_id for info in await store.runs()}
        removed = [run for n in range(count) if (run := RunId(f"r{n}")) not in left]
        assert len(removed) >= dots
        for run in left:
            assert len(await events_of(store, run)) == 23
            assert (await verify(store, run)).sound
        for run in removed:
            assert await store.removed(run) is not None
        told = [event for event in await events_of(store, KEEPING) if event.type == "run.removed"]
        assert [event.data["run"] for event in told] == removed
        await swept(store)
        for run in left:
            assert (await verify(store, run)).sound
    with behind(path) as connection:
        counts = [
            connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
            for table in ("sweep", "blobs", "uses")
        ]
    assert counts == [0, len(left), len(left)]
