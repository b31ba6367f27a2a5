"""What every event store must do, as tests: for whoever writes one.

Subclass both in a test module, with pytest and pytest-asyncio::

    class TestMyStore(StoreContract):
        persistent = True

        async def make_store(self, folder: Path) -> EventStore:
            return await MyStore.open(folder / "log")


    class MyMachine(StoreMachine):
        persistent = True

        async def make_store(self, folder: Path) -> EventStore:
            return await MyStore.open(folder / "log")


    TestMyMachine = MyMachine.TestCase

`pytest.register_assert_rewrite("midstream.testing.contract")` in `conftest.py` makes failures tell more.
"""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable, Sequence
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import pytest
import pytest_asyncio
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from midstream.errors import (
    ConcurrencyError,
    CorruptLogError,
    LeaseHeldError,
    LeaseLostError,
    NotRecordableError,
    RunNeededError,
    RunNotFoundError,
    RunRemovedError,
    StoreError,
    UnknownEventError,
)
from midstream.events.codec import INLINE, encode, references
from midstream.events.envelope import Draft, Event, genesis, link
from midstream.events.fork_facts import RunForked
from midstream.events.ids import Address, RunId
from midstream.events.keeping import Removing
from midstream.events.payloads import (
    NodeCompleted,
    NodeStarted,
    NoteAdded,
    RunCancelled,
    RunCompleted,
    RunContinued,
    RunCreated,
    RunFailed,
    RunPaused,
)
from midstream.events.store import EventStore, Head, RunQuery, Snapshot, Stretch
from midstream.events.subscribe import subscribe
from midstream.events.system import KEEPING, opening
from midstream.events.verify import verify

_T = TypeVar("_T")

RUN = RunId("r1")
OTHER = RunId("r2")
FORK = RunId("fork")
NOBODY = RunId("nobody")
NOW = 1_700_000_000.0


ODD: list[Any] = [
    "\0",
    "a\0b" * 3000,
    "\u2028\ufeff\uffff\U0010ffff",
    "'; DROP TABLE events; --",
    {"": {"": [[], {}]}},
    -(2**63),
]


def created(graph: str = "trip", at: int = 1, **tags: str) -> Draft:
    """Return the first event of a run."""
    return encode(RunCreated(graph=graph, definition={}, graph_digest="0", tags=tags), at=at)


def note(data: Any = None, at: int = 2) -> Draft:
    """Return an event that means nothing to a store."""
    return encode(NoteAdded(id="n", data=data), at=at)


def forked(parent: RunId, at: Head, **more: Any) -> Draft:
    """Return the first event of its own of a run that begins with the events of another one."""
    fields: dict[str, Any] = {"graph": "trip", **more}
    return encode(RunForked(parent=parent, seq=at.seq, digest=at.digest.hex(), **fields), at=3)


async def events_of(
    store: EventStore, run_id: RunId, after: int = 0, to: int | None = None
) -> list[Event]:
    """Read a run, or a part of it."""
    return [event async for event in store.read(run_id, after=after, to=to)]


async def notes_of(store: EventStore, run_id: RunId) -> list[Any]:
    """Read what was noted in a run."""
    return [event.data["data"] for event in await events_of(store, run_id, after=1)]


async def scanned(
    store: EventStore, after: int = 0, types: frozenset[str] | None = None
) -> list[Event]:
    """Read all runs by position."""
    return [event async for page in store.scan(after=after, types=types) for event in page]


async def outcomes(*appends: Awaitable[Head]) -> list[Head | BaseException]:
    """Wait for all appends, refused or not."""
    return await asyncio.gather(*appends, return_exceptions=True)


class StoreContract:
    """The promises of `EventStore`, one test each.

    Attributes:
        persistent: Whether a store that is made again in the same folder has what the closed one had.
        sealed: Whether it seals content, so that what is stored is not what was given.
    """

    persistent = False
    sealed = False

    async def make_store(self, folder: Path) -> EventStore:
        """Open a store.

        Args:
            folder: An empty directory for it, or the one it was in before.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[EventStore]:
        """A new store, closed after the test."""
        store = await self.make_store(tmp_path)
        yield store
        await store.close()

    # Appending

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

    # The order of appends

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

    # Reading

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

    # Forks

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

    # Leases

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

    # The list of runs

    async def test_runs_are_listed_the_newest_first(self, store: EventStore) -> None:
        for number in range(5):
            await store.append(RunId(f"r{number}"), [created(at=number), note()], expected=0)
        infos = await store.runs()
        assert [info.run_id for info in infos] == ["r4", "r3", "r2", "r1", "r0"]
        assert [info.created_at for info in infos] == [4, 3, 2, 1, 0]
        assert {info.seq for info in infos} == {2}
        assert [info.run_id for info in await store.runs(RunQuery(limit=2))] == ["r4", "r3"]
        assert not await store.runs(RunQuery(limit=0))
        assert [info.created_at for info in await store.runs(RunQuery(since=2, until=4))] == [3, 2]

    async def test_the_list_is_narrowed_by_each_condition(self, store: EventStore) -> None:
        await store.append(RunId("a1"), [created("x", owner="alice", team="red")], expected=0)
        await store.append(RunId("a2"), [created("x", owner="bob", team="red")], expected=0)
        await store.append(RunId("b_1"), [created("y", owner="alice")], expected=0)
        await store.append(RunId("b_1"), [created_end()], expected=1)

        async def ids(**query: Any) -> list[str]:
            return [info.run_id for info in await store.runs(RunQuery(**query))]

        assert await ids(graph="x") == ["a2", "a1"]
        assert await ids(tags={"owner": "alice"}) == ["b_1", "a1"]
        assert await ids(tags={"owner": "alice", "team": "red"}) == ["a1"]
        assert await ids(tags={"owner": "al"}) == []
        assert await ids(prefix="b_") == ["b_1"]
        assert await ids(prefix="_") == []
        assert await ids(prefix="%") == []
        assert await ids(status=frozenset(("completed",))) == ["b_1"]
        assert await ids(status=frozenset(("running", "completed")), graph="y") == ["b_1"]
        assert await ids(status=frozenset()) == []

    @pytest.mark.parametrize(
        ("payload", "status"),
        [
            (RunPaused(id="p"), "paused"),
            (RunContinued(id="p"), "running"),
            (RunCompleted(), "completed"),
            (RunFailed(), "failed"),
            (RunCancelled(), "cancelled"),
            (NoteAdded(id="n", data=1), "running"),
        ],
    )
    async def test_the_status_follows_the_events(
        self, store: EventStore, payload: Any, status: str
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        await store.append(RUN, [encode(payload, at=2), note()], expected=1)
        assert [info.status for info in await store.runs()] == [status]

    async def test_the_newest_event_of_a_step_is_found_by_its_address(
        self, store: EventStore
    ) -> None:
        step = Address("plan#1")
        told = [encode(NodeStarted(attempt=place), at=2, address=step) for place in (2, 3)]
        await store.append(RUN, [created(), *told, note()], expected=0)
        await store.append(OTHER, [created(), note(), *told], expected=0)
        assert await store.newest_of(RUN, "plan#1") == 3
        assert await store.newest_of(OTHER, "plan#1") == 4
        assert await store.newest_of(RUN, "plan#") is None
        with pytest.raises(RunNotFoundError):
            await store.newest_of(NOBODY, "plan#1")

    async def test_what_others_recorded_is_found_by_type(self, store: EventStore) -> None:
        others = [
            encode(NoteAdded(id="a", data="x" * (INLINE + 1)), at=2, actor="user:ann"),
            encode(RunPaused(id="b"), at=2, actor="user"),
            note("the engine's"),
            encode(NoteAdded(id="c", data=1), at=2, actor="program"),
        ]
        await store.append(RUN, [created(), *others], expected=0)
        await store.append(OTHER, [created(), others[0]], expected=0)
        found = await store.from_others(RUN, frozenset(("note.added",)))
        assert [(event.seq, event.data["id"]) for event in found] == [(2, "a"), (5, "c")]
        assert found[0].data["data"] == "x" * (INLINE + 1)
        assert await store.from_others(RUN, frozenset(("run.cancelled", "no.such"))) == []
        with pytest.raises(RunNotFoundError):
            await store.from_others(NOBODY, frozenset(("note.added",)))

    async def test_streams_about_many_runs_are_listed_where_they_are_asked_for(
        self, store: EventStore
    ) -> None:
        stream = RunId("system:x")
        await store.append(stream, opening(stream, 1), expected=0)
        await store.append(RUN, [created()], expected=0)
        assert [info.run_id for info in await store.runs()] == [RUN]
        assert [info.run_id for info in await store.runs(RunQuery(prefix="s"))] == []
        assert [info.run_id for info in await store.runs(RunQuery(prefix="system:"))] == [stream]

    async def test_orphans_are_open_runs_without_a_live_driver(self, store: EventStore) -> None:
        await store.beat("alive", until=NOW + 1)
        await store.beat("dead", until=NOW)
        await store.append(RunId("held"), [created()], expected=0, holder="alive")
        await store.append(RunId("late"), [created()], expected=0, holder="dead")
        await store.append(RunId("silent"), [created()], expected=0, holder="never seen")
        await store.append(RunId("free"), [created(), encode(RunPaused(id="p"), at=2)], expected=0)
        await store.append(RunId("ended"), [created(), created_end()], expected=0)
        orphans = await store.runs(RunQuery(orphaned_at=NOW))
        assert {info.run_id for info in orphans} == {"late", "silent", "free"}
        await store.release(RunId("held"), epoch=1)
        assert len(await store.runs(RunQuery(orphaned_at=NOW))) == 4

    # Blobs

    async def test_large_texts_come_back_in_place(self, store: EventStore) -> None:
        long = "ü" * (INLINE + 1)
        data = {"text": long, "list": [long, "short"], "own": {"$blob": "mine", "more": long}}
        await store.append(RUN, [created(), note(data)], expected=0)
        assert await notes_of(store, RUN) == [data]
        assert (await verify(store, RUN)).sound

    async def test_a_field_that_is_long_without_long_texts_comes_back(
        self, store: EventStore
    ) -> None:
        data = {"numbers": list(range(5000)), "own": {"$blob": "0" * 64}}
        await store.append(RUN, [created(), note(data)], expected=0)
        assert await notes_of(store, RUN) == [data]
        assert (await verify(store, RUN)).sound

    async def test_what_looks_like_a_reference_is_the_users_own(self, store: EventStore) -> None:
        data: list[Any] = [
            {"$blob": "0" * 64},
            {"$blob": ""},
            {"$blob": "", "value": {}},
            {"$blob": None},
            '{"$blob":"x"}',
        ]
        await store.append(RUN, [created(), note(data)], expected=0)
        assert await notes_of(store, RUN) == [data]
        assert (await verify(store, RUN)).sound

    async def test_a_blob_is_found_by_its_digest(self, store: EventStore) -> None:
        await store.append(RUN, [created(), note("x" * 9000)], expected=0)
        await store.append(OTHER, [created(), note("x" * 9000)], expected=0)
        (event,) = await events_of(store, RUN, after=1)
        (digest,) = references(event.body)
        body = await store.blob(digest)
        assert sha256(body).hexdigest() == digest
        assert self.sealed or body == b"x" * 9000

    async def test_a_blob_that_is_not_there_is_damage(self, store: EventStore) -> None:
        for digest in ("0" * 64, "", "no digest"):
            with pytest.raises(CorruptLogError):
                await store.blob(digest)

    async def test_a_scan_leaves_references_to_blobs_as_they_are(self, store: EventStore) -> None:
        await store.append(RUN, [created(), note("x" * 9000)], expected=0)
        event = (await scanned(store))[-1]
        (name,) = note("x" * 9000).blobs[0][:1] if self.sealed else references(event.body)
        assert event.data["data"] == {"$blob": name}

    async def test_a_refused_append_leaves_no_blob(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        draft = note("y" * 9000)
        with pytest.raises(ConcurrencyError):
            await store.append(RUN, [draft], expected=7)
        with pytest.raises(CorruptLogError):
            await store.blob(draft.blobs[0][0])

    # Snapshots

    async def test_the_last_saved_snapshot_of_each_name_is_kept(self, store: EventStore) -> None:
        head = await store.append(RUN, [created()], expected=0)
        body = bytes(range(256)) * 100
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, b"old"))
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, body))
        await store.save_snapshot(RUN, "cost", Snapshot(1, head.digest, b""))
        assert await store.load_snapshot(RUN, "state") == Snapshot(1, head.digest, body)
        assert await store.load_snapshot(RUN, "cost") == Snapshot(1, head.digest, b"")
        assert await store.load_snapshot(RUN, "other") is None

    async def test_a_run_that_does_not_exist_has_no_snapshots(self, store: EventStore) -> None:
        with pytest.raises(RunNotFoundError):
            await store.save_snapshot(NOBODY, "state", Snapshot(1, b"", b""))
        with pytest.raises(RunNotFoundError):
            await store.load_snapshot(NOBODY, "state")

    # Watching

    async def test_a_watcher_hears_of_each_run_that_grew(self, store: EventStore) -> None:
        heard: dict[RunId, int] = {}
        end = store.watch(heard.__setitem__)
        await store.append(RUN, [created()], expected=0)
        await asyncio.gather(
            store.append(RUN, [note(), note()], expected=1),
            store.append(OTHER, [created()], expected=0),
        )
        await _until(lambda: heard == {RUN: 3, OTHER: 1})
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

    # Closing

    async def test_closing_waits_for_what_is_in_line(self, store: EventStore) -> None:
        first = store.append(RUN, [created()], expected=0)
        second = store.append(RUN, [note()], expected=1)
        await store.close()
        assert [(await first).seq, (await second).seq] == [1, 2]

    async def test_a_closed_store_refuses_to_append(self, store: EventStore) -> None:
        await store.append(RUN, [created()], expected=0)
        await store.close()
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await store.append(RUN, [note()], expected=1)

    async def test_a_store_that_is_opened_again_has_everything(self, tmp_path: Path) -> None:
        if not self.persistent:
            pytest.skip("this store ends with its process")
        store = await self.make_store(tmp_path)
        await store.beat("a", until=NOW + 10)
        head = await store.append(
            RUN, [created(owner="alice"), note("x" * 9000)], expected=0, holder="a"
        )
        await store.save_snapshot(RUN, "state", Snapshot(2, head.digest, b"s"))
        before = await events_of(store, RUN), await store.runs()
        await store.close()
        store = await self.make_store(tmp_path)
        assert (await events_of(store, RUN), await store.runs()) == before
        assert await store.load_snapshot(RUN, "state") == Snapshot(2, head.digest, b"s")
        with pytest.raises(LeaseHeldError):
            await store.acquire(RUN, "b", now=NOW)
        assert (await store.append(RUN, [note(2)], expected=2, epoch=1)).seq == 3
        assert (await verify(store, RUN, anchor=head)).sound
        await store.close()

    # What is newer, and what is hostile

    async def test_events_of_a_newer_release_stay_readable(self, store: EventStore) -> None:
        newer = Draft(
            "dream.had", 7, 5, "engine", None, None, b'{"about":"sheep"}', (), {"about": "sheep"}
        )
        again = newer._replace(version=8)
        await store.append(RUN, [created(), newer, note()], expected=0)
        await store.append(RUN, [again], expected=3)
        event = (await events_of(store, RUN))[1]
        assert (event.type, event.version, event.data) == ("dream.had", 7, {"about": "sheep"})
        with pytest.raises(UnknownEventError):
            _ = event.payload
        found = await scanned(store, types=frozenset(("dream.had",)))
        assert [(one.type, one.version) for one in found] == [("dream.had", 7), ("dream.had", 8)]
        assert (await verify(store, RUN)).sound

    @pytest.mark.parametrize(
        "data",
        ODD,
        ids=["nul", "long nul", "odd", "sql", "empty", "integer"],
    )
    async def test_odd_data_comes_back_unchanged(self, store: EventStore, data: Any) -> None:
        await store.append(RUN, [created(), note(data)], expected=0)
        assert await notes_of(store, RUN) == [data]
        assert (await verify(store, RUN)).sound

    async def test_a_text_of_ten_million_characters_comes_back_unchanged(
        self, store: EventStore
    ) -> None:
        text = "0123456789" * 1_000_000
        await store.append(RUN, [created(), note([text])], expected=0)
        assert await notes_of(store, RUN) == [[text]]

    @pytest.mark.parametrize(
        "data",
        ["\ud800", {"\udfff": 1}, float("nan"), [float("inf")], 2**64],
        ids=["surrogate", "key", "nan", "inf", "integer"],
    )
    async def test_what_is_not_json_is_refused_before_it_is_recorded(
        self, store: EventStore, data: Any
    ) -> None:
        with pytest.raises(NotRecordableError):
            note(data)

    async def test_an_envelope_that_cannot_be_written_is_refused_alone_and_whole(
        self, store: EventStore
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        await store.append(OTHER, [created()], expected=0)
        bad = note("bad")._replace(actor="\ud800")
        found = await outcomes(
            store.append(OTHER, [note("other")], expected=1),
            store.append(RUN, [note("good"), bad], expected=1),
        )
        assert [type(one) for one in found] == [Head, NotRecordableError]
        assert await notes_of(store, RUN) == []
        assert (await store.append(RUN, [note("good")], expected=1)).seq == 2


def created_end() -> Draft:
    """Return the event that a run ends with."""
    return encode(RunCompleted(output=1), at=9)


async def _until(condition: Any, seconds: float = 5.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what it waits for is any condition
            await asyncio.sleep(0.005)


RUNS = st.sampled_from([RunId(name) for name in "abc"])
DRIVERS = st.sampled_from(["x", "y"])
DATA = st.one_of(st.integers(0, 9), st.text(max_size=5), st.just("z" * 6000), st.just("w" * 700))


class StoreMachine(RuleBasedStateMachine):
    """Appends rightly and wrongly, takes and loses leases, and agrees with a dict of lists after every step.

    Attributes:
        persistent: Whether a store that is made again in the same folder has what the closed one had.
    """

    persistent = False

    async def make_store(self, folder: Path) -> EventStore:
        """Open a store; see `StoreContract.make_store`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.log: dict[RunId, list[Any]] = {}
        self.epochs: dict[RunId, int] = {}
        self.holders: dict[RunId, str | None] = {}
        self.alive: dict[str, float] = {}
        self.gone: dict[RunId, None] = {}
        self.ended: dict[RunId, None] = {}
        self.now = NOW

    def do(self, work: Awaitable[_T]) -> _T:
        """Run something in the machine's event loop."""

        async def wait() -> _T:
            return await work

        return self.runner.run(wait())

    @initialize()
    def open(self) -> None:
        self.store = self.do(self.make_store(self.folder))

    @precondition(lambda self: self.persistent)
    @rule()
    def open_again(self) -> None:
        self.do(self.store.close())
        self.store = self.do(self.make_store(self.folder))

    @rule(run=RUNS, holder=st.none() | DRIVERS, data=st.lists(DATA, max_size=2))
    def create(self, run: RunId, holder: str | None, data: list[Any]) -> None:
        found = self.appended([(run, [created(), *map(note, data)], 0, None, holder)])
        if run in self.log:
            assert isinstance(found[0], ConcurrencyError)
            return
        if run in self.gone:
            assert isinstance(found[0], RunRemovedError)
            return
        assert isinstance(found[0], Head)
        self.log[run] = [None, *data]
        self.epochs[run] = int(holder is not None)
        self.holders[run] = holder

    @rule(
        steps=st.lists(
            st.tuples(
                RUNS,
                st.lists(DATA, max_size=3),
                st.sampled_from([0, 0, 0, 0, -1, 1]),
                st.sampled_from([None, 0, 0, -1, 1]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def append_in_a_row(self, steps: list[tuple[RunId, list[Any], int, int | None]]) -> None:
        """Append without waiting in between, each as if those before it had been taken."""
        believed = {run: len(log) for run, log in self.log.items()}
        doubtful: set[tuple[RunId, int, int | None]] = set()
        appends: list[Any] = []
        wanted: list[type] = []
        for run, data, off, epoch_off in steps:
            expected = max(1, believed.get(run, 1) + off)
            epoch = None if epoch_off is None else self.epochs.get(run, 0) + epoch_off
            appends.append((run, [note(item) for item in data], expected, epoch, None))
            outcome = self.outcome(run, expected, epoch)
            if outcome is Head and (run, expected, epoch) in doubtful:
                outcome = ConcurrencyError
            wanted.append(outcome)
            end = (run, expected + len(data), epoch)
            if outcome is Head:
                doubtful.discard(end)
                self.log[run] += data
            else:
                doubtful.add(end)
            believed[run] = expected + len(data)
        assert [type(one) for one in self.appended(appends)] == wanted

    def outcome(self, run: RunId, expected: int, epoch: int | None) -> type:
        """Return what the dict of lists says of an append."""
        if run not in self.log:
            return RunRemovedError if run in self.gone else RunNotFoundError
        if epoch is not None and epoch != self.epochs[run]:
            return LeaseLostError
        return Head if expected == len(self.log[run]) else ConcurrencyError

    def appended(self, appends: Sequence[Any]) -> list[Head | BaseException]:
        """Append all without waiting in between."""

        async def all_of_them() -> list[Head | BaseException]:
            return await outcomes(
                *[
                    self.store.append(run, drafts, expected=expected, epoch=epoch, holder=holder)
                    for run, drafts, expected, epoch, holder in appends
                ]
            )

        return self.do(all_of_them())

    @rule(run=RUNS, driver=DRIVERS)
    def take(self, run: RunId, driver: str) -> None:
        holder = self.holders.get(run)
        try:
            epoch = self.do(self.store.acquire(run, driver, now=self.now))
        except RunNotFoundError:
            assert run not in self.log
        except LeaseHeldError:
            assert holder not in (None, driver)
            assert self.alive.get(str(holder), 0.0) > self.now
        else:
            assert holder in (None, driver) or self.alive.get(str(holder), 0.0) <= self.now
            self.epochs[run] += 1
            self.holders[run] = driver
            assert epoch == self.epochs[run]

    @rule(driver=DRIVERS, seconds=st.integers(0, 3))
    def beat(self, driver: str, seconds: int) -> None:
        self.do(self.store.beat(driver, until=self.now + seconds))
        self.alive[driver] = self.now + seconds

    @rule()
    def wait(self) -> None:
        self.now += 1

    @precondition(lambda self: self.log)
    @rule(run=RUNS, off=st.sampled_from([0, -1]))
    def release(self, run: RunId, off: int) -> None:
        if run not in self.log:
            return
        self.do(self.store.release(run, epoch=self.epochs[run] + off))
        if off == 0:
            self.holders[run] = None

    @precondition(lambda self: isinstance(getattr(self, "store", None), Removing))
    @rule(run=RUNS, end=st.booleans(), limit=st.integers(1, 9))
    def remove(self, run: RunId, end: bool, limit: int) -> None:
        assert isinstance(self.store, Removing)
        if run not in self.log:
            return
        if end:
            self.appended([(run, [created_end()], len(self.log[run]), None, None)])
            self.log[run].append(None)
            self.ended[run] = None
        try:
            self.do(self.store.remove([run], at=1, actor="user"))
        except RunNeededError:
            assert run not in self.ended
        else:
            assert run in self.ended
            del self.log[run]
            self.gone[run] = None
        self.do(self.store.sweep(limit=limit))

    @invariant()
    def agrees_with_a_dict_of_lists(self) -> None:
        if not hasattr(self, "store"):
            return
        self.do(self._agree())

    async def _agree(self) -> None:
        infos = {info.run_id: info for info in await self.store.runs()}
        assert infos.keys() == self.log.keys()
        for run, log in self.log.items():
            info = infos[run]
            assert (info.seq, info.epoch, info.holder) == (
                len(log),
                self.epochs[run],
                self.holders[run],
            )
            events = await events_of(self.store, run)
            assert [event.seq for event in events] == list(range(1, len(log) + 1))
            assert [event.data.get("data") for event in events] == log
            last = events[-1]
            assert await self.store.head(run) == Head(last.seq, last.position, last.digest)
            assert (await verify(self.store, run)).sound
        positions = [event.position for event in await scanned(self.store)]
        assert positions == sorted(set(positions))
        kept = len(await events_of(self.store, KEEPING)) if self.gone else 0
        assert len(positions) == sum(map(len, self.log.values())) + kept

    def teardown(self) -> None:
        """Close the store and remove its files."""
        if hasattr(self, "store"):
            self.do(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)
