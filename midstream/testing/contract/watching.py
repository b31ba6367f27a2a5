"""Hearing of what was appended."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream.errors import ConcurrencyError
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.events.subscribe import subscribe
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import OTHER, RUN, created, created_end, note, until


class Watching(Promises):
    """Hearing of what was appended."""

    async def test_a_watcher_hears_of_each_run_that_grew(self, store: EventStore) -> None:
        heard: dict[RunId, int] = {}
        end = store.watch(heard.__setitem__)
        await store.append(RUN, [created()], expected=0)
        await asyncio.gather(
            store.append(RUN, [note(), note()], expected=1),
            store.append(OTHER, [created()], expected=0),
        )
        await until(lambda: heard == {RUN: 3, OTHER: 1})
        end()
        end()
        await store.append(RUN, [note()], expected=3)
        await asyncio.sleep(0.01)
        assert heard == {RUN: 3, OTHER: 1}

    async def test_a_watcher_does_not_hear_of_what_was_refused(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        await asyncio.sleep(0.2)
        heard: list[tuple[RunId, int]] = []
        end = store.watch(lambda run, seq: heard.append((run, seq)))
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, [note()], expected=9)
        await store.append(RUN, [], expected=1)
        end()
        assert (RUN, 10) not in heard
        assert all(seq == 1 for _, seq in heard)

    async def test_a_watcher_may_end_the_watch_while_it_is_told(self, store: EventStore) -> None:
        ends: list[Any] = []
        heard: list[int] = []

        def once(run: RunId, seq: int) -> None:
            heard.append(seq)
            ends[0]()

        ends.append(store.watch(once))
        await store.append(RUN, [created()], expected=0)
        await store.append(RUN, [note()], expected=1)
        await asyncio.sleep(0.01)
        assert heard == [1]

    async def test_following_a_run_misses_nothing_while_many_append(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)

        async def follow() -> list[int]:
            return [
                e.seq
                async for e in subscribe(store, RUN, until=lambda e: e.type == "run.completed")
            ]

        followers = [asyncio.create_task(follow()) for _ in range(3)]

        async def write(number: int) -> None:
            for i in range(20):
                while True:
                    head = await store.head(RUN)
                    assert head is not None
                    try:
                        await store.append(RUN, [note([number, i])], expected=head.seq)
                    except ConcurrencyError:
                        await asyncio.sleep(0)
                        continue
                    break

        await asyncio.gather(*(write(number) for number in range(4)))
        await store.append(RUN, [created_end()], expected=81)
        for seen in await asyncio.wait_for(asyncio.gather(*followers), 20):
            assert seen == list(range(1, 83))
