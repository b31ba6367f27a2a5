"""Parts of runs, and scans over all of them."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from midstream.errors import RunNotFoundError
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import (
    NOBODY,
    OTHER,
    RUN,
    created,
    created_end,
    events_of,
    note,
    scanned,
)


class Reading(Promises):
    """Parts of runs, and scans over all of them."""

    async def test_a_part_of_a_run_is_read(self, store: EventStore) -> None:
        await store.append(RUN, [created(), *(note(i) for i in range(2, 11))], expected=0)
        assert [event.seq for event in await events_of(store, RUN, after=3, to=6)] == [4, 5, 6]
        assert [event.seq for event in await events_of(store, RUN, after=8, to=99)] == [9, 10]
        assert await events_of(store, RUN, after=10) == []
        assert await events_of(store, RUN, after=5, to=5) == []

    async def test_runs_that_do_not_exist_are_told_from_empty_parts(
        self, store: EventStore
    ) -> None:
        assert await store.head(NOBODY) is None
        with pytest.raises(RunNotFoundError):
            await events_of(store, NOBODY)

    async def test_appending_goes_on_while_a_run_is_read(self, store: EventStore) -> None:
        await store.append(RUN, [created(), *(note(i) for i in range(2500))], expected=0)
        seen = 0
        async for event in store.read(RUN, to=2501):
            seen += 1
            assert event.seq == seen
            if seen % 500 == 0:
                await store.append(
                    OTHER, [created() if seen == 500 else note()], expected=seen // 500 - 1
                )
        assert seen == 2501

    async def test_a_scan_yields_every_event_once_by_position(self, store: EventStore) -> None:
        for number in range(3):
            run = RunId(f"r{number}")
            await store.append(run, [created(), *(note(i) for i in range(700))], expected=0)
        await asyncio.gather(
            *(store.append(RunId(f"r{i}"), [note()], expected=701) for i in range(3))
        )
        events = await scanned(store)
        assert len(events) == 3 * 702
        assert all(before.position < after.position for before, after in pairwise(events))
        for number in range(3):
            run = RunId(f"r{number}")
            assert [e for e in events if e.run_id == run] == await events_of(store, run)

    async def test_a_scan_goes_on_where_another_ended(self, store: EventStore) -> None:
        await store.append(RUN, [created(), *(note(i) for i in range(10))], expected=0)
        events = await scanned(store)
        assert await scanned(store, after=events[4].position) == events[5:]
        assert await scanned(store, after=events[-1].position) == []

    async def test_a_scan_by_type_leaves_out_the_others(self, store: EventStore) -> None:
        await store.append(
            RUN, [created(), *(note(i) for i in range(1500)), created_end()], expected=0
        )
        found = await scanned(store, types=frozenset(("run.created", "run.completed")))
        assert [event.type for event in found] == ["run.created", "run.completed"]
        assert await scanned(store, types=frozenset(("no.such.type",))) == []
        assert await scanned(store, types=frozenset()) == []
