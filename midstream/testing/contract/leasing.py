"""Who may drive a run, for how long, and who is refused."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio

import pytest

from midstream.errors import LeaseHeldError, LeaseLostError, RunNotFoundError
from midstream.events.store import EventStore, Head
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import NOBODY, NOW, OTHER, RUN, created, note, notes_of


class Leasing(Promises):
    """Who may drive a run, for how long, and who is refused."""

    async def test_a_new_run_may_have_a_driver_from_the_start(self, store: EventStore) -> None:
        await store.beat("me", until=NOW + 10)
        await store.append(RUN, [created()], expected=0, holder="me")
        await store.append(RUN, [note(1)], expected=1, epoch=1)
        (info,) = await store.runs()
        assert (info.epoch, info.holder, info.until) == (1, "me", NOW + 10)

    async def test_the_first_events_of_a_run_have_the_epoch_of_its_driver(
        self, store: EventStore
    ) -> None:
        with pytest.raises(LeaseLostError):
            await store.append(RUN, [created()], expected=0, epoch=1)
        with pytest.raises(LeaseLostError):
            await store.append(RUN, [created()], expected=0, epoch=2, holder="me")
        assert await store.head(RUN) is None
        assert (await store.append(RUN, [created()], expected=0, epoch=1, holder="me")).seq == 1

    async def test_a_run_that_nobody_holds_can_be_taken(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        assert await store.acquire(RUN, "me", now=NOW) == 1
        (info,) = await store.runs()
        assert (info.epoch, info.holder) == (1, "me")

    async def test_a_run_of_a_live_driver_cannot_be_taken(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        await store.beat("a", until=NOW + 10)
        with pytest.raises(LeaseHeldError) as held:
            await store.acquire(RUN, "b", now=NOW)
        assert (held.value.run_id, held.value.holder, held.value.until) == (RUN, "a", NOW + 10)
        await store.append(RUN, [note()], expected=1, epoch=1)

    async def test_a_run_whose_lease_ran_out_can_be_taken(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        await store.beat("a", until=NOW)
        assert await store.acquire(RUN, "b", now=NOW) == 2

    async def test_a_driver_without_a_sign_of_life_holds_nothing(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        assert await store.acquire(RUN, "b", now=NOW) == 2

    async def test_a_driver_may_take_its_own_run_again(self, store: EventStore) -> None:
        await store.beat("a", until=NOW + 10)
        await store.append(RUN, [created()], expected=0, holder="a")
        assert await store.acquire(RUN, "a", now=NOW) == 2

    async def test_a_sign_of_life_prolongs_every_lease_of_its_driver(
        self, store: EventStore
    ) -> None:
        for run in (RUN, OTHER):
            await store.append(run, [created()], expected=0, holder="a")
        await store.beat("a", until=NOW + 1)
        await store.beat("a", until=NOW + 100)
        for run in (RUN, OTHER):
            with pytest.raises(LeaseHeldError):
                await store.acquire(run, "b", now=NOW + 50)

    async def test_a_driver_that_was_deposed_is_refused(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        assert await store.acquire(RUN, "b", now=NOW) == 2
        with pytest.raises(LeaseLostError) as lost:
            await store.append(RUN, [note("old")], expected=1, epoch=1)
        assert (lost.value.run_id, lost.value.epoch, lost.value.actual) == (RUN, 1, 2)
        await store.append(RUN, [note("new")], expected=1, epoch=2)
        assert await notes_of(store, RUN) == ["new"]

    async def test_a_takeover_in_line_stands_between_the_appends_around_it(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        before = store.append(RUN, [note("before")], expected=1, epoch=1)
        taken = asyncio.ensure_future(store.acquire(RUN, "b", now=NOW))
        await asyncio.sleep(0)
        after = store.append(RUN, [note("after")], expected=2, epoch=1)
        found = await asyncio.gather(before, taken, after, return_exceptions=True)
        assert [type(one) for one in found] == [Head, int, LeaseLostError]
        assert await notes_of(store, RUN) == ["before"]

    async def test_what_needs_no_lease_is_not_refused_for_one(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        await store.acquire(RUN, "b", now=NOW)
        assert (await store.append(RUN, [note("feedback")], expected=1)).seq == 2

    async def test_a_released_run_can_be_taken_at_once(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        await store.beat("a", until=NOW + 100)
        await store.release(RUN, epoch=1)
        assert await store.acquire(RUN, "b", now=NOW) == 2

    async def test_a_release_with_an_old_epoch_does_nothing(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0, holder="a")
        await store.acquire(RUN, "b", now=NOW)
        await store.beat("b", until=NOW + 100)
        await store.release(RUN, epoch=1)
        with pytest.raises(LeaseHeldError):
            await store.acquire(RUN, "c", now=NOW)

    async def test_of_many_that_want_a_run_one_gets_it(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        for name in "abcdefgh":
            await store.beat(name, until=NOW + 10)
        found = await asyncio.gather(
            *(store.acquire(RUN, name, now=NOW) for name in "abcdefgh"), return_exceptions=True
        )
        assert sorted(type(one).__name__ for one in found) == ["LeaseHeldError"] * 7 + ["int"]

    async def test_a_run_that_does_not_exist_can_be_neither_taken_nor_released(
        self, store: EventStore
    ) -> None:
        with pytest.raises(RunNotFoundError):
            await store.acquire(NOBODY, "a", now=NOW)
        with pytest.raises(RunNotFoundError):
            await store.release(NOBODY, epoch=1)
