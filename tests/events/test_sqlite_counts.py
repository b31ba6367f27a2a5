"""What an append costs, exactly: commits, trips to the writer's thread, bytes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from midstream.events.codec import encode
from midstream.events.ids import Address, RunId
from midstream.events.payloads import NodeCompleted, NodeScheduled
from midstream.events.sqlite import SqliteStore
from tests.events.stores import RUN, created, note, turn


async def cost(store: SqliteStore, work: object) -> tuple[int, int, int]:
    """Return the commits, hops and events of some work."""
    before = store.stats.commits, store.stats.hops, store.stats.events
    await work  # type: ignore[misc]  # any awaitable
    after = store.stats.commits, store.stats.hops, store.stats.events
    commits, hops, events = (b - a for a, b in zip(before, after, strict=True))
    return commits, hops, events


async def test_an_append_awaited_alone_is_one_commit_and_one_hop(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0, holder="me")
        assert await cost(store, store.append(RUN, [note(), note()], expected=1, epoch=1)) == (
            1,
            1,
            2,
        )
        assert await cost(store, store.append(RUN, [note()], expected=3)) == (1, 1, 1)


@pytest.mark.parametrize("runs", [2, 17, 1000])
async def test_appends_of_many_runs_are_one_commit_and_one_hop(tmp_path: Path, runs: int) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        ids = [RunId(f"r{i}") for i in range(runs)]
        starts = asyncio.gather(
            *(store.append(run, [created()], expected=0, holder="me") for run in ids)
        )
        assert (await cost(store, starts))[::2] == (1, runs)
        appends = asyncio.gather(*(store.append(run, [note()], expected=1, epoch=1) for run in ids))
        assert await cost(store, appends) == (1, 1, runs)


async def test_pipelined_appends_of_one_run_share_a_commit(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        appends = asyncio.gather(*(store.append(RUN, [note()], expected=i) for i in range(1, 101)))
        assert await cost(store, appends) == (1, 1, 100)


async def test_while_a_commit_is_in_flight_the_next_batch_fills_up(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)

        async def late() -> None:
            first = store.append(RUN, [note()], expected=1)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            await asyncio.gather(
                first, *(store.append(RUN, [note()], expected=i) for i in range(2, 30))
            )

        assert await cost(store, late()) == (2, 2, 29)


async def test_an_append_is_on_its_way_at_once_where_nobody_else_appends(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        for seq in range(1, 6):
            await store.append(RUN, [note()], expected=seq)
        hops = store.stats.hops
        appended = store.append(RUN, [note()], expected=6)
        assert store.stats.hops == hops + 1  # without a turn of the loop
        await appended


async def test_two_that_append_in_turn_come_to_share_their_commits(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        runs = [RunId("a"), RunId("b")]

        async def writing(run: RunId) -> None:
            await store.append(run, [created()], expected=0)
            for seq in range(1, 41):
                await store.append(run, [note()], expected=seq)

        first = asyncio.create_task(writing(runs[0]))
        while store.stats.events < 7:  # noqa: ASYNC110  # until the first is used to being alone
            await asyncio.sleep(0)
        commits, _, events = await cost(store, asyncio.gather(first, writing(runs[1])))
        assert events >= 70
        assert commits <= 50


async def test_small_commits_write_over_the_same_write_ahead_log(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path, synchronous="normal") as store:
        await store.append(RUN, [created()], expected=0)
        for seq in range(1, 1500):
            await store.append(RUN, [note()], expected=seq)
        size = path.with_name("log.db-wal").stat().st_size
        assert size <= 3_000_000  # in one that only grew they would take 25 MB


async def test_a_batch_has_at_most_1024_rows(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        appends = asyncio.gather(*(store.append(RUN, [note()], expected=i) for i in range(1, 2050)))
        assert await cost(store, appends) == (3, 3, 2049)


async def test_leases_and_snapshots_share_the_commit_of_appends(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)

        async def work() -> None:
            first = store.append(RUN, [note()], expected=1)
            await asyncio.sleep(0)
            await asyncio.gather(
                first,
                store.append(RUN, [note("x" * 9000)], expected=2),
                store.beat("me", until=1.0),
                store.acquire(RUN, "me", now=0.0),
                store.append(RUN, [note()], expected=3),
            )

        commits, _, events = await cost(store, work())
        assert (commits, events) == (2, 3)


async def test_a_refused_append_commits_nothing(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created()], expected=0)
        before = store.stats.events
        await asyncio.gather(store.append(RUN, [note()], expected=5), return_exceptions=True)
        assert store.stats.events == before


async def test_reading_costs_the_writer_nothing(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await store.append(RUN, [created(), note()], expected=0)

        async def read() -> None:
            async for _ in store.read(RUN):
                pass
            async for _ in store.scan():
                pass
            await store.runs()
            await store.head(RUN)

        assert await cost(store, read()) == (0, 0, 0)


async def test_a_chat_takes_at_most_a_tenth_more_than_its_texts(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    turns = [turn(number) for number in range(200)]
    async with await SqliteStore.open(path):
        pass
    empty = path.stat().st_size  # a page for each table and index
    async with await SqliteStore.open(path) as store:
        await store.append(RUN, [created()], expected=0, holder="me")
        for number, drafts in enumerate(turns):
            await store.append(RUN, drafts[:1], expected=1 + 2 * number, epoch=1)
            await store.append(RUN, drafts[1:], expected=2 + 2 * number, epoch=1)
    assert path.stat().st_size - empty <= 1.1 * 200 * 2048


async def test_the_two_events_of_a_small_node_take_at_most_362_bytes(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path, synchronous="normal") as store:
        await store.append(RUN, [created()], expected=0, holder="me")
        empty = path.stat().st_size
        for number in range(2000):
            address = Address(f"step#{number}")
            drafts = [
                encode(
                    NodeScheduled(inputs={"x": f"step#{number - 1}"}),
                    at=1_700_000_000_000_000,
                    address=address,
                ),
                encode(NodeCompleted(output=number), at=1_700_000_000_000_000, address=address),
            ]
            await store.append(RUN, drafts, expected=1 + 2 * number, epoch=1)
    assert (path.stat().st_size - empty) / 2000 <= 362
