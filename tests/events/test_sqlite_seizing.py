"""Taking a run over in one commit: all or nothing, and only from who does not live."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from midstream.errors import (
    ConcurrencyError,
    LeaseHeldError,
    LeaseLostError,
    RunErasedError,
    RunNotFoundError,
)
from midstream.events.ids import RunId
from midstream.events.sealing import Encryption
from midstream.events.seizing import Seizing
from midstream.events.sqlite import SqliteStore
from midstream.events.store import RunQuery
from midstream.testing.contract import created, events_of, note
from tests.events.stores import RUN

NOW = 1000.0
LEASE: dict[str, Any] = {"holder": "b", "now": NOW, "until": NOW + 10}


async def held(store: SqliteStore, until: float) -> None:
    """Have a run of two events whose driver `a` lives until then."""
    await store.beat("a", until=until)
    await store.append(RUN, [created()], expected=0, holder="a")
    await store.append(RUN, [note(1)], expected=1, epoch=1)


async def standing(store: SqliteStore) -> tuple[int, str | None, float | None, int]:
    (info,) = await store.runs(RunQuery())
    return info.epoch, info.holder, info.until, len(await events_of(store, RUN))


async def test_a_free_run_is_taken_with_a_sign_of_life_and_its_first_events_in_one_commit(
    tmp_path: Path,
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        assert isinstance(store, Seizing)
        await held(store, until=NOW)
        before = store.stats.commits
        head = await store.seize(RUN, [note(2), note(3)], expected=2, epoch=2, **LEASE)
        assert (head.seq, store.stats.commits - before) == (4, 1)
        assert await standing(store) == (2, "b", NOW + 10, 4)
        assert [event.epoch for event in await events_of(store, RUN)] == [None, 1, 2, 2]
        await store.append(RUN, [note(4)], expected=4, epoch=2)
        with pytest.raises(LeaseLostError):
            await store.append(RUN, [note(5)], expected=5, epoch=1)


async def test_the_run_of_a_live_driver_is_not_taken_and_nothing_is_written(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await held(store, until=NOW + 1)
        before = await standing(store)
        with pytest.raises(LeaseHeldError) as error:
            await store.seize(RUN, [note(2)], expected=2, epoch=2, **LEASE)
        assert error.value.holder == "a"
        assert await standing(store) == before
        await store.append(RUN, [note(2)], expected=2, epoch=1)


@pytest.mark.parametrize(
    ("expected", "epoch", "refusal"),
    [
        (1, 2, ConcurrencyError),
        (3, 2, ConcurrencyError),
        (2, 1, LeaseLostError),
        (2, 3, LeaseLostError),
    ],
)
async def test_a_run_that_is_not_as_it_was_read_is_not_taken_and_nothing_is_written(
    tmp_path: Path, expected: int, epoch: int, refusal: type[Exception]
) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await held(store, until=NOW)
        before = await standing(store)
        with pytest.raises(refusal):
            await store.seize(RUN, [note(2)], expected=expected, epoch=epoch, **LEASE)
        assert await standing(store) == before
        await store.append(RUN, [note(2)], expected=2, epoch=1)


async def test_a_run_that_is_not_there_is_not_taken(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        with pytest.raises(RunNotFoundError):
            await store.seize(RUN, [note(2)], expected=2, epoch=2, **LEASE)


async def test_of_many_who_seize_at_once_in_two_processes_one_has_the_run(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as one, await SqliteStore.open(path) as other:
        await held(one, until=NOW)
        answers = await asyncio.gather(
            *(
                store.seize(
                    RUN, [note(n)], expected=2, epoch=2, holder=f"d{n}", now=NOW, until=NOW + 10
                )
                for n, store in enumerate((one, other) * 5)
            ),
            return_exceptions=True,
        )
        assert sum(not isinstance(answer, BaseException) for answer in answers) == 1
        epoch, holder, _, events = await standing(one)
        assert (epoch, events) == (2, 3)
        assert holder in {f"d{n}" for n in range(10)}


async def test_an_epoch_that_another_process_raised_is_refused_to_who_held_the_run(
    tmp_path: Path,
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as one, await SqliteStore.open(path) as other:
        await held(one, until=NOW)
        await other.seize(RUN, [note(2)], expected=2, epoch=2, **LEASE)
        with pytest.raises(LeaseLostError):
            await one.append(RUN, [note(3)], expected=3, epoch=1)


async def test_what_is_sealed_is_seized_sealed_and_what_is_erased_is_not(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "log.db", encryption=Encryption())
    async with store:
        await held(store, until=NOW)
        await store.seize(RUN, [note("secret")], expected=2, epoch=2, **LEASE)
        kept = [event.body async for event in store.stored(RUN)]
        assert not any(b"secret" in body for body in kept)
        assert (await events_of(store, RUN))[2].data["data"] == "secret"
        await store.erase([RUN], at=1, actor="user:me")
        seq = len(await events_of(store, RUN))
        with pytest.raises(RunErasedError):
            await store.seize(RUN, [note(1)], expected=seq, epoch=3, **LEASE)


async def test_a_sign_of_life_is_in_the_commit_of_what_is_asked_next(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        before = store.stats.commits
        shown = store.live("a", until=NOW + 5)
        await store.append(RunId("new"), [created()], expected=0, holder="a")
        assert store.stats.commits - before == 1
        assert shown.done()
        (info,) = await store.runs(RunQuery())
        assert (info.holder, info.until) == ("a", NOW + 5)
