"""What an append takes and returns, and what it refuses."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio

import pytest

from midstream.errors import ConcurrencyError, RunNotFoundError, StoreError
from midstream.events.codec import encode
from midstream.events.envelope import genesis, link
from midstream.events.ids import Address
from midstream.events.payloads import NodeCompleted, NodeStarted
from midstream.events.store import EventStore, Head
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import NOBODY, RUN, created, events_of, note, notes_of


class Appending(Promises):
    """What an append takes and returns, and what it refuses."""

    async def test_a_new_run_begins_at_event_1(self, store: EventStore) -> None:
        head = await store.append(RUN, [created()], expected=0)
        assert head.seq == 1
        assert await store.head(RUN) == head

    async def test_an_append_returns_the_place_and_digest_of_its_last_event(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        head = await store.append(RUN, [note(1), note(2)], expected=1)
        last = (await events_of(store, RUN))[-1]
        assert head == Head(last.seq, last.position, last.digest)

    async def test_events_come_back_as_they_were_appended(self, store: EventStore) -> None:
        drafts = [
            created(owner="alice"),
            encode(NodeStarted(attempt=1), at=5, actor="user:bob", cause=1, address=Address("a#1")),
            encode(
                NodeCompleted(output={"x": [1, 2.5, None, "é\0"]}), at=6, address=Address("a#1")
            ),
        ]
        await store.append(RUN, drafts, expected=0, holder="me", epoch=1)
        events = await events_of(store, RUN)
        assert [event.seq for event in events] == [1, 2, 3]
        for event, draft in zip(events, drafts, strict=True):
            assert (
                event.type,
                event.version,
                event.at,
                event.actor,
                event.cause,
                event.address,
            ) == draft[:2] + draft[2:6]
            assert (event.run_id, event.epoch, event.data) == (RUN, 1, draft.data)
            assert self.sealed or event.body == draft.body

    async def test_each_digest_follows_from_the_one_before(self, store: EventStore) -> None:
        await store.append(RUN, [created(), note(1)], expected=0)
        await asyncio.gather(*(store.append(RUN, [note(i)], expected=i) for i in range(2, 6)))
        digest = genesis(RUN)
        for event in await events_of(store, RUN):
            stored = event.stored, event.at, event.actor, event.cause, event.address, event.epoch
            digest = link(digest, event.seq, *stored, event.body)
            assert event.digest == digest

    async def test_a_writer_that_has_not_seen_the_last_event_is_refused(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created(), note(1)], expected=0)
        with pytest.raises(ConcurrencyError) as refused:
            await store.append(RUN, [note(2), note(3)], expected=1)
        assert (refused.value.run_id, refused.value.expected, refused.value.actual) == (RUN, 1, 2)
        assert await notes_of(store, RUN) == [1]

    async def test_a_writer_that_expects_events_that_are_not_there_is_refused(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        with pytest.raises(ConcurrencyError) as refused:
            await store.append(RUN, [note(2)], expected=2)
        assert refused.value.actual == 1
        assert await notes_of(store, RUN) == []

    async def test_a_run_is_created_once(self, store: EventStore) -> None:
        await store.append(RUN, [created("first")], expected=0)
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, [created("second")], expected=0)
        assert [info.graph for info in await store.runs()] == ["first"]

    async def test_a_run_begins_with_run_created(self, store: EventStore) -> None:
        with pytest.raises(StoreError, match="begin"):
            await store.append(RUN, [note()], expected=0)
        assert await store.head(RUN) is None

    async def test_run_created_stands_nowhere_else(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        with pytest.raises(StoreError, match=r"run\.created"):
            await store.append(RUN, [created()], expected=1)
        assert len(await events_of(store, RUN)) == 1

    async def test_appending_to_a_run_that_does_not_exist_is_refused(
        self, store: EventStore
    ) -> None:
        with pytest.raises(RunNotFoundError):
            await store.append(NOBODY, [note()], expected=3)
        assert await store.runs() == [] or not await store.runs()

    async def test_an_empty_append_records_nothing_and_returns_the_head(
        self, store: EventStore
    ) -> None:
        head = await store.append(RUN, [created()], expected=0)
        assert await store.append(RUN, [], expected=1) == head
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, [], expected=2)
        with pytest.raises(RunNotFoundError):
            await store.append(NOBODY, [], expected=0)

    async def test_an_append_of_thousands_of_events_is_whole(self, store: EventStore) -> None:
        drafts = [created(), *(note(i) for i in range(3000))]
        head = await store.append(RUN, drafts, expected=0)
        assert head.seq == 3001
        assert await notes_of(store, RUN) == list(range(3000))
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, drafts[1:], expected=1)
        assert (await store.append(RUN, drafts[1:], expected=3001)).seq == 6001

    async def test_drafts_that_the_caller_changes_later_are_recorded_as_they_were(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        drafts = [note(1)]
        appended = store.append(RUN, drafts, expected=1)
        drafts.append(note(2))
        assert (await appended).seq == 2
