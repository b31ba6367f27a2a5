"""Appends are taken in the order of the calls, and a refusal reaches nobody else."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio

import pytest

from midstream.errors import ConcurrencyError
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import RUN, created, note, notes_of, outcomes


class Ordering(Promises):
    """Appends are taken in the order of the calls, and a refusal reaches nobody else."""

    async def test_appends_are_taken_in_the_order_of_the_calls(self, store: EventStore) -> None:
        first = store.append(RUN, [created()], expected=0)
        rest = [store.append(RUN, [note(i)], expected=i) for i in range(1, 60)]
        heads = await asyncio.gather(first, *rest)
        assert [head.seq for head in heads] == list(range(1, 61))
        assert await notes_of(store, RUN) == list(range(1, 60))
        positions = [head.position for head in heads]
        assert positions == sorted(positions)

    async def test_after_a_refused_append_those_that_continue_it_are_refused(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        found = await outcomes(*(store.append(RUN, [note(i)], expected=i) for i in (5, 6, 7)))
        assert [type(outcome) for outcome in found] == [ConcurrencyError] * 3
        assert await notes_of(store, RUN) == []

    async def test_an_append_that_continues_a_refused_one_is_refused_though_its_seq_fits(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        theirs = store.append(RUN, [note("theirs")], expected=1)
        intent = store.append(RUN, [note("intent")], expected=1)
        outcome = store.append(RUN, [note("outcome")], expected=2)
        after = store.append(RUN, [note("after")], expected=3)
        found = await outcomes(theirs, intent, outcome, after)
        assert [type(one) for one in found] == [
            Head,
            ConcurrencyError,
            ConcurrencyError,
            ConcurrencyError,
        ]
        assert await notes_of(store, RUN) == ["theirs"]

    async def test_a_writer_that_knows_of_the_refusal_may_append_again(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created(), note("theirs")], expected=0)
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, [note("mine")], expected=1)
        await store.append(RUN, [note("mine")], expected=2)
        assert await notes_of(store, RUN) == ["theirs", "mine"]

    async def test_a_refusal_reaches_no_other_run(self, store: EventStore) -> None:
        runs = [RunId(f"r{i}") for i in range(20)]
        await asyncio.gather(*(store.append(run, [created()], expected=0) for run in runs))
        found = await outcomes(
            *(store.append(run, [note(i)], expected=1 + i % 2) for i, run in enumerate(runs))
        )
        assert [isinstance(one, Head) for one in found] == [i % 2 == 0 for i in range(20)]
        for i, run in enumerate(runs):
            assert await notes_of(store, run) == ([i] if i % 2 == 0 else [])

    async def test_of_many_writers_who_have_seen_the_same_one_wins(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        found = await outcomes(
            *(store.append(RUN, [note(i), note(i)], expected=1) for i in range(20))
        )
        assert sum(isinstance(one, Head) for one in found) == 1
        first, second = await notes_of(store, RUN)
        assert first == second

    async def test_an_append_whose_caller_is_cancelled_is_whole_or_absent(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)

        async def append() -> None:
            await store.append(RUN, [note(1), note(2)], expected=1)

        task = asyncio.create_task(append())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        head = await store.head(RUN)
        assert head is not None
        assert (await store.append(RUN, [], expected=3 if head.seq == 1 else head.seq)).seq == 3
