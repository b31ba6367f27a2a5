"""Which connection reads: the writer's at first, then one of its own, which cannot write."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import suppress
from pathlib import Path

import aiosqlite
import pytest

from midstream.errors import StoreError
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_open import open_reader
from midstream.events.sqlite_reading import AT_FIRST, Reading
from midstream.testing.contract import events_of
from tests.events.stores import RUN, created, note


@pytest.fixture
def before() -> int:
    """How many threads there were, once those of the test before have ended."""
    time.sleep(0.05)
    return threading.active_count()


async def ended(before: int) -> bool:
    """Say whether there are as many threads as before; a connection answers a moment before its thread ends."""
    for _ in range(200):
        if threading.active_count() == before:
            return True
        await asyncio.sleep(0.01)
    return False


async def test_a_store_that_reads_little_has_one_thread_and_one_that_reads_more_two(
    tmp_path: Path,
    before: int,
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        for _ in range(AT_FIRST):
            assert await store.head(RUN) is not None
        assert threading.active_count() == before + 1
        assert await store.head(RUN) is not None
        assert threading.active_count() == before + 2
        assert len(await events_of(store, RUN)) == 1
        assert threading.active_count() == before + 2
    assert await ended(before)


async def test_each_reader_sees_what_was_appended_whichever_connection_reads(
    tmp_path: Path,
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        for seq in range(1, 3 * AT_FIRST):
            head = await store.append(RUN, [note()], expected=seq)
            assert await store.head(RUN) == head


async def test_many_readers_at_once_open_one_connection(tmp_path: Path, before: int) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        heads = await asyncio.gather(*(store.head(RUN) for _ in range(5 * AT_FIRST)))
        assert {head and head.seq for head in heads} == {1}
        assert threading.active_count() == before + 2
    assert await ended(before)


async def test_a_store_that_is_only_read_never_opens_another_connection(
    tmp_path: Path, before: int
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await store.append(RUN, [created()], expected=0)
    assert await ended(before)
    async with await SqliteStore.open(path, read_only=True) as store:
        for _ in range(2 * AT_FIRST):
            assert await store.head(RUN) is not None
        assert threading.active_count() == before + 1
    assert await ended(before)


async def test_a_store_is_closed_while_its_second_connection_is_being_opened(
    tmp_path: Path,
    before: int,
) -> None:
    store = await SqliteStore.open(tmp_path / "log.db")
    await store.append(RUN, [created()], expected=0)
    for _ in range(AT_FIRST):
        await store.head(RUN)
    reading = asyncio.create_task(store.head(RUN))
    await asyncio.sleep(0)
    await store.close()
    assert await ended(before)
    with suppress(StoreError):  # it may have been answered before
        assert await reading is not None
    with pytest.raises(StoreError, match="closed"):
        await store.head(RUN)


async def test_a_second_connection_that_cannot_be_opened_is_told_and_tried_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    await (await SqliteStore.open(path)).close()
    first, _ = await open_reader(path, busy_timeout=1.0)
    tries = 0

    async def opener() -> aiosqlite.Connection:
        nonlocal tries
        tries += 1
        if tries == 1:
            raise sqlite3.OperationalError("unable to open database file")
        return (await open_reader(path, busy_timeout=1.0))[0]

    reading = Reading(first, opener)
    for _ in range(AT_FIRST):
        assert await reading.connection() is first
    with pytest.raises(sqlite3.OperationalError, match="unable"):
        await reading.connection()
    second = await reading.connection()
    assert second is not first
    assert await reading.connection() is second
    await reading.close()
    await first.close()
    assert tries == 2


async def test_whoever_reads_and_is_cancelled_leaves_the_opening_to_the_next(
    tmp_path: Path,
    before: int,
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        for _ in range(AT_FIRST):
            await store.head(RUN)
        reading = asyncio.create_task(store.head(RUN))
        await asyncio.sleep(0)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        for _ in range(3):
            assert await store.head(RUN) is not None
    assert await ended(before)
