"""Several processes on one file, and what is left when one of them is killed."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from midstream.events import Event, subscribe, verify
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_schema import PAGE_SIZE
from midstream.testing.contract import events_of, scanned
from tests.events import writer_process
from tests.events.stores import RUN, created, note, text

FRAME = 24 + PAGE_SIZE
"""Bytes of a frame in the WAL, after its header of 32. Source: https://www.sqlite.org/fileformat2.html, section 4.1."""


def started(path: Path, name: str, count: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, str(writer_process.__file__), str(path), name, str(count)],
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(Path.cwd()), *filter(None, sys.path)]),
        },
    )


async def ended(process: subprocess.Popen[bytes]) -> bytes:
    printed, _ = await asyncio.to_thread(process.communicate)
    return printed


async def test_processes_that_write_to_one_file_lose_and_double_and_reorder_nothing(
    tmp_path: Path,
) -> None:
    path, names, count = tmp_path / "log.db", ["a", "b", "c"], 25
    processes = [started(path, name, count) for name in names]
    for process in processes:
        await ended(process)
        assert process.returncode == 0
    async with await SqliteStore.open(path) as store:
        shared = [
            event.data["data"] for event in await events_of(store, writer_process.SHARED, after=1)
        ]
        for name in names:
            assert [number for writer, number in shared if writer == name] == list(range(count))
            own = await events_of(store, RunId(f"{name}-own"), after=1)
            assert [event.data["data"] for event in own] == list(range(3 * count))
            assert (await verify(store, RunId(f"{name}-own"))).sound
        assert len(shared) == len(names) * count
        assert (await verify(store, writer_process.SHARED)).sound
        positions = [event.position for event in await scanned(store)]
        assert positions == sorted(set(positions))


async def test_another_process_s_events_are_followed_as_they_come(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await store.append(writer_process.SHARED, [created()], expected=0)

        async def follow() -> list[int]:
            def last(event: Event) -> bool:
                return event.seq == 31

            return [
                event.seq async for event in subscribe(store, writer_process.SHARED, until=last)
            ]

        follower = asyncio.create_task(follow())
        process = started(path, "a", 30)
        assert await asyncio.wait_for(follower, 20) == list(range(1, 32))
        await ended(process)


@pytest.mark.parametrize("milliseconds", [40, 120, 300])
async def test_a_process_that_is_killed_leaves_all_it_was_told_of_and_no_half(
    tmp_path: Path, milliseconds: int
) -> None:
    path = tmp_path / "log.db"
    process = started(path, "a", 0)
    assert process.stdout is not None
    lines = [await asyncio.to_thread(process.stdout.readline)]
    await asyncio.sleep(milliseconds / 1000)
    process.kill()
    rest = await ended(process)
    durable: dict[int, int] = {}
    for line in [*lines, *rest.splitlines(keepends=True)]:
        if line.endswith(b"\n"):
            number, seq = map(int, line.split())
            durable[number] = seq
    async with await SqliteStore.open(path) as store:
        for info in await store.runs():
            found = await verify(store, info.run_id)
            assert found.sound
            assert found.events % 3 == 1
            assert found.events >= durable.get(int(info.run_id[1:]), 1)
        assert len(await store.runs()) >= len(durable)
        head = await store.head(RunId("r0"))
        assert head is not None
        await store.append(RunId("r0"), [note()], expected=head.seq)


async def test_a_log_that_was_cut_off_between_any_two_frames_is_a_prefix(tmp_path: Path) -> None:
    live, cut = tmp_path / "live", tmp_path / "cut"
    live.mkdir()
    async with await SqliteStore.open(live / "log.db") as store:
        heads = [0]
        for seq in range(12):
            large = text(9000, seq) if seq % 4 == 0 else seq
            drafts = [created()] if seq == 0 else [note(large), note(), note()]
            heads.append((await store.append(RUN, drafts, expected=heads[-1])).seq)
        whole = await events_of(store, RUN)
        frames = ((live / "log.db-wal").stat().st_size - 32) // FRAME
        shutil.copytree(live, cut)
    assert frames > 20
    found: set[int] = set()
    for frame in range(frames, -1, -1):
        place = tmp_path / f"at{frame}"
        place.mkdir()
        shutil.copy(cut / "log.db", place)
        wal = (cut / "log.db-wal").read_bytes()[: 32 + frame * FRAME + (frame % 3) * 1000]
        (place / "log.db-wal").write_bytes(wal)
        async with await SqliteStore.open(place / "log.db") as store:
            events = await events_of(store, RUN) if await store.head(RUN) else []
            assert events == whole[: len(events)]
            assert len(events) in heads
            found.add(len(events))
            if events:
                assert (await verify(store, RUN)).sound
    assert found == set(heads)
