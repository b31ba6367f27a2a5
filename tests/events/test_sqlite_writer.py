"""The writer under trouble: locks, full disks, other writers."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest

from midstream.errors import (
    ConcurrencyError,
    CorruptLogError,
    LeaseLostError,
    NotRecordableError,
    StoreBusyError,
    StoreError,
    StoreFullError,
)
from midstream.events import Head, verify
from midstream.events import sqlite_writer as writer_module
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import events_of, notes_of, outcomes
from tests.events.stores import RUN, created, note, text

OTHER = RunId("r2")


async def test_a_lock_that_stays_is_reported_and_nothing_is_recorded(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path, busy_timeout=0.05) as store:
        await store.append(RUN, [created()], expected=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            found = await outcomes(
                store.append(RUN, [note(1)], expected=1), store.append(RUN, [note(2)], expected=2)
            )
            assert [type(one) for one in found] == [StoreBusyError, StoreBusyError]
            with pytest.raises(StoreBusyError, match="busy_timeout"):
                await store.append(OTHER, [created()], expected=0)
            assert len(await events_of(store, RUN)) == 1
        assert (await store.append(RUN, [note(1)], expected=1)).seq == 2


async def test_a_lock_that_goes_away_in_time_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await store.append(RUN, [created()], expected=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            appended = store.append(RUN, [note(1)], expected=1)
            await asyncio.sleep(0.05)
            other.execute("ROLLBACK")
            assert (await appended).seq == 2


async def test_a_full_disk_refuses_what_does_not_fit_and_takes_what_does(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db", max_bytes=400_000) as store:
        for run in (RUN, OTHER):
            await store.append(run, [created()], expected=0)
        large = note([text(4000, i) for i in range(200)])
        found = await outcomes(
            store.append(RUN, [large], expected=1), store.append(OTHER, [note(1)], expected=1)
        )
        assert [type(one) for one in found] == [StoreFullError, Head]
        assert await notes_of(store, RUN) == []
        assert (await store.append(RUN, [note("small")], expected=1)).seq == 2
        assert (await verify(store, RUN)).sound


async def fill(store: SqliteStore, taken: list[int]) -> None:
    while True:
        number = len(taken)
        drafts = [note(text(2000, number)), note(number)]
        await store.append(RUN, drafts, expected=1 + 2 * number)
        taken.append(number)


async def test_a_disk_that_fills_up_slowly_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    taken: list[int] = []
    async with await SqliteStore.open(path, max_bytes=300_000) as store:
        await store.append(RUN, [created()], expected=0)
        with pytest.raises(StoreFullError, match="nothing of this append"):
            await fill(store, taken)
        assert len(await events_of(store, RUN)) == 1 + 2 * len(taken)
    async with await SqliteStore.open(path) as store:
        await store.append(RUN, [note()], expected=1 + 2 * len(taken))
        assert (await verify(store, RUN)).sound


async def test_another_writer_of_the_same_file_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as mine, await SqliteStore.open(path) as theirs:
        await mine.append(RUN, [created()], expected=0)
        await theirs.append(RUN, [note("theirs")], expected=1)
        with pytest.raises(ConcurrencyError) as refused:
            await mine.append(RUN, [note("mine")], expected=1)
        assert refused.value.actual == 2
        await mine.append(RUN, [note("mine")], expected=2)
        await theirs.append(RUN, [note("again")], expected=3)
        assert await notes_of(mine, RUN) == ["theirs", "mine", "again"]
        assert (await verify(mine, RUN)).sound


async def test_pipelined_appends_of_a_writer_that_is_behind_are_all_refused(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as mine, await SqliteStore.open(path) as theirs:
        await mine.append(RUN, [created()], expected=0)
        await theirs.append(RUN, [note("theirs")], expected=1)
        found = await outcomes(*(mine.append(RUN, [note(i)], expected=i) for i in range(1, 5)))
        assert [type(one) for one in found] == [ConcurrencyError] * 4
        assert await notes_of(mine, RUN) == ["theirs"]


async def test_a_takeover_by_another_process_fences_the_first_append_after_it(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as mine, await SqliteStore.open(path) as theirs:
        for run in (RUN, OTHER):
            await mine.append(run, [created()], expected=0, holder="mine")
            await mine.append(run, [note(1)], expected=1, epoch=1)
        assert await theirs.acquire(RUN, "theirs", now=time.time()) == 2
        found = await outcomes(
            mine.append(RUN, [note("late")], expected=2, epoch=1),
            mine.append(OTHER, [note("fine")], expected=2, epoch=1),
        )
        assert [type(one) for one in found] == [LeaseLostError, Head]
        await theirs.append(RUN, [note("new")], expected=2, epoch=2)
        assert await notes_of(mine, RUN) == [1, "new"]
        hops = mine.stats.hops
        await mine.append(OTHER, [note("again")], expected=3, epoch=1)
        assert mine.stats.hops == hops + 1


async def test_a_takeover_is_noticed_by_a_writer_that_only_just_met_another_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as mine, await SqliteStore.open(path) as theirs:
        await mine.append(RUN, [created()], expected=0, holder="mine")
        await theirs.acquire(RUN, "theirs", now=time.time())
        # Starting a run reads the count of takeovers anew; what is known of the first run is no longer to be trusted.
        await mine.append(OTHER, [created()], expected=0, holder="mine")
        with pytest.raises(LeaseLostError):
            await mine.append(RUN, [note("late")], expected=1, epoch=1)


async def test_a_writer_that_is_cancelled_from_outside_tells_everybody_who_waits(
    tmp_path: Path,
) -> None:
    store = await SqliteStore.open(tmp_path / "log.db")
    before = asyncio.all_tasks()
    waits = [store.append(RunId(f"r{i}"), [created()], expected=0) for i in range(2)]
    await asyncio.sleep(0)
    late = store.append(RunId("late"), [created()], expected=0)
    (judging,) = asyncio.all_tasks() - before
    judging.cancel()
    found = await outcomes(*waits, late, store.append(RUN, [created()], expected=0))
    assert [type(one) for one in found] == [StoreError] * 4
    await store.close()


async def test_what_nobody_foresaw_is_told_to_whoever_appended_and_the_writer_goes_on(
    tmp_path: Path,
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        for whole in (note(), note("x" * 9000)):  # written at once, and under the lock
            broken = whole._replace(version=[1])  # type: ignore[arg-type]  # what no encoder makes
            with pytest.raises(StoreError, match="unexpected"):
                await store.append(RUN, [broken], expected=1)
        assert (await store.append(RUN, [note()], expected=1)).seq == 2


async def test_integers_that_the_file_cannot_hold_are_refused_alone(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        for run in (RUN, OTHER):
            await store.append(run, [created()], expected=0)
        found = await outcomes(
            store.append(RUN, [note()._replace(cause=2**63)], expected=1),
            store.append(OTHER, [note()], expected=1),
        )
        assert [type(one) for one in found] == [NotRecordableError, Head]


async def test_more_runs_than_are_kept_in_mind_can_be_appended_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "KNOWN_RUNS", 3)
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        runs = [RunId(f"r{i}") for i in range(10)]
        await asyncio.gather(*(store.append(run, [created()], expected=0) for run in runs))
        for expected in range(1, 4):
            await asyncio.gather(*(store.append(run, [note()], expected=expected) for run in runs))
        for run in runs:
            assert (await verify(store, run)).events == 4


async def test_a_watcher_that_raises_harms_nobody(tmp_path: Path) -> None:
    seen: list[object] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: seen.append(context["exception"])
    )
    heard: list[int] = []

    def broken(run: RunId, seq: int) -> None:
        raise ValueError(seq)

    async with await SqliteStore.open(tmp_path / "log.db") as store:
        store.watch(broken)
        store.watch(lambda _, seq: heard.append(seq))
        await store.append(RUN, [created()], expected=0)
        await store.append(RUN, [note()], expected=1)
    assert heard[:2] == [1, 2]
    assert {type(error) for error in seen} == {ValueError}


async def test_a_second_store_on_the_file_wakes_a_watcher(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as mine, await SqliteStore.open(path) as theirs:
        await mine.append(RUN, [created()], expected=0)
        heard: dict[RunId, int] = {}
        woken = asyncio.Event()

        def hear(run: RunId, seq: int) -> None:
            heard[run] = seq
            if seq == 3:
                woken.set()

        mine.watch(hear)
        await theirs.append(OTHER, [created()], expected=0)
        await theirs.append(RUN, [note(), note()], expected=1)
        await asyncio.wait_for(woken.wait(), 5)
        await asyncio.sleep(0.1)
        assert heard == {RUN: 3, OTHER: 1}


async def test_nothing_looks_for_other_processes_while_nobody_watches(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        before = asyncio.all_tasks()
        end = store.watch(lambda _run, _seq: None)
        assert len(asyncio.all_tasks()) == len(before) + 1
        end()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


async def test_a_damaged_row_is_reported_with_its_run_and_seq(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await store.append(RUN, [created(), note("x")], expected=0)
        with closing(sqlite3.connect(path, isolation_level=None)) as intruder:
            intruder.execute("DROP TRIGGER events_hold")
            intruder.execute("UPDATE events SET body = x'7801' WHERE seq = 2")
        with pytest.raises(CorruptLogError) as found:
            await events_of(store, RUN)
        assert (found.value.run_id, found.value.seq) == (RUN, 2)
        with pytest.raises(CorruptLogError):
            _ = [page async for page in store.scan()]
