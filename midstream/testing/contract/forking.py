"""Runs that begin with the events of another one."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import pytest

from midstream.errors import ConcurrencyError, RunNotFoundError, StoreError
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head, Stretch
from midstream.events.verify import verify
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import (
    FORK,
    NOBODY,
    OTHER,
    RUN,
    created,
    events_of,
    forked,
    note,
    notes_of,
)


class Forking(Promises):
    """Runs that begin with the events of another one."""

    async def test_a_fork_begins_with_the_events_of_its_parent(self, store: EventStore) -> None:
        at = await self.trunk(store)
        head = await store.append(FORK, [forked(RUN, at), note("own")], expected=at.seq)
        shared, own = await events_of(store, RUN, to=at.seq), await events_of(store, FORK)
        assert own[: at.seq] == shared
        assert [event.seq for event in own] == [1, 2, 3, 4, 5]
        assert [event.run_id for event in own] == [RUN, RUN, RUN, FORK, FORK]
        assert head == await store.head(FORK) == Head(5, own[-1].position, own[-1].digest)

    async def test_what_a_parent_goes_on_with_is_not_in_its_fork(self, store: EventStore) -> None:
        at = await self.trunk(store)
        await store.append(FORK, [forked(RUN, at)], expected=at.seq)
        await store.append(RUN, [note("later")], expected=at.seq + 1)
        await store.append(FORK, [note("own")], expected=at.seq + 1)
        assert await notes_of(store, RUN) == [0, "", 2, "later"]
        assert [event.data.get("data") for event in await events_of(store, FORK, after=2)] == [
            "",
            None,
            "own",
        ]

    async def test_any_part_of_a_fork_is_read(self, store: EventStore) -> None:
        at = await self.trunk(store)
        await store.append(FORK, [forked(RUN, at), note(1), note(2)], expected=at.seq)
        whole = await events_of(store, FORK)
        for after in range(8):
            for to in (None, *range(8)):
                assert await events_of(store, FORK, after, to) == whole[after:to]

    async def test_a_fork_of_a_fork_shares_with_who_recorded_it(self, store: EventStore) -> None:
        at = await self.trunk(store)
        first = await store.append(FORK, [forked(RUN, at), note("first")], expected=at.seq)
        second, third = RunId("fork-2"), RunId("fork-3")
        await store.append(second, [forked(FORK, first)], expected=first.seq)
        await store.append(third, [forked(FORK, at), note("third")], expected=at.seq)
        assert [event.run_id for event in await events_of(store, second)] == [
            *[RUN] * 3,
            *[FORK] * 2,
            second,
        ]
        assert await store.lineage(second) == [
            Stretch(RUN, 0, 3),
            Stretch(FORK, 3, 5),
            Stretch(second, 5, None),
        ]
        assert await store.lineage(third) == [Stretch(RUN, 0, 3), Stretch(third, 3, None)]
        assert (await events_of(store, third))[-1].data == {"id": "n", "data": "third"}

    async def test_the_chain_of_a_fork_goes_on_from_its_parents(self, store: EventStore) -> None:
        at = await self.trunk(store)
        first = await store.append(FORK, [forked(RUN, at), note("a" * 9000)], expected=at.seq)
        second = RunId("fork-2")
        await store.append(second, [forked(FORK, first), note(1)], expected=first.seq)
        for run_id, events in ((FORK, 5), (second, 7)):
            verdict = await verify(store, run_id)
            assert (verdict.sound, verdict.events) == (True, events)

    async def test_a_fork_is_listed_with_its_parent(self, store: EventStore) -> None:
        at = await self.trunk(store)
        draft = forked(RUN, at, graph="trip", tags={"a": "b"}, status="paused")
        await store.append(FORK, [draft], expected=at.seq, holder="me", epoch=1)
        fork, trunk = await store.runs()
        assert (fork.run_id, fork.parent, fork.forked_at, fork.seq) == (FORK, RUN, 3, 4)
        assert (fork.graph, fork.tags, fork.status) == ("trip", {"a": "b"}, "paused")
        assert (fork.epoch, fork.holder) == (1, "me")
        assert (trunk.parent, trunk.forked_at, trunk.seq) == (None, 0, 4)

    async def test_a_fork_of_nothing_is_refused(self, store: EventStore) -> None:
        at = await self.trunk(store)
        beyond, other = at._replace(seq=9), at._replace(digest=b"\0" * 32)
        for parent, place in ((RUN, beyond), (RUN, other), (NOBODY, at)):
            with pytest.raises(StoreError, match="event"):
                await store.append(FORK, [forked(parent, place)], expected=place.seq)
        with pytest.raises(StoreError, match="expected=3"):
            await store.append(FORK, [forked(RUN, at)], expected=2)
        assert await store.head(FORK) is None
        with pytest.raises(RunNotFoundError):
            await store.lineage(FORK)

    async def test_a_run_is_forked_into_a_new_one_only(self, store: EventStore) -> None:
        at = await self.trunk(store)
        await store.append(OTHER, [created(), note(), note()], expected=0)
        for taken in (OTHER, RUN):
            with pytest.raises(ConcurrencyError):
                await store.append(taken, [forked(RUN, at)], expected=at.seq)
        await store.append(FORK, [forked(RUN, at)], expected=at.seq)
        with pytest.raises(ConcurrencyError):
            await store.append(FORK, [forked(RUN, at)], expected=at.seq)
        assert len(await events_of(store, OTHER)) == 3

    async def test_a_fork_of_a_long_run_is_read_whole(self, store: EventStore) -> None:
        head = await store.append(RUN, [created(), *map(note, range(2500))], expected=0)
        await store.append(FORK, [forked(RUN, head), *map(note, range(1200))], expected=head.seq)
        assert [event.seq for event in await events_of(store, FORK)] == list(range(1, 3703))

    async def trunk(self, store: EventStore) -> Head:
        """Make a run of four events, and return its third one as a head."""
        head = await store.append(RUN, [created(), note(0), note("")], expected=0)
        await store.append(RUN, [note(2)], expected=3)
        return head
