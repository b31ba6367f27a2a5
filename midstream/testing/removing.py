"""What a store must do from which runs can be removed, as tests: see `midstream.events.keeping.Removing`.

Subclass it together with `StoreContract`, which opens the store::

    class TestMyStore(StoreContract, RemovingContract): ...
"""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
from hashlib import sha256
from pathlib import Path

import pytest

from midstream.errors import (
    CorruptLogError,
    RunNeededError,
    RunNotFoundError,
    RunRemovedError,
    StoreError,
)
from midstream.events.codec import references
from midstream.events.ids import RunId
from midstream.events.keeping import Removing, Tombstone
from midstream.events.store import EventStore, Snapshot
from midstream.events.system import KEEPING
from midstream.events.verify import verify
from midstream.testing.contract import (
    FORK,
    NOBODY,
    NOW,
    OTHER,
    RUN,
    created,
    created_end,
    events_of,
    forked,
    note,
    outcomes,
    scanned,
)

AT = 1_700_000_000_000_000


def removing(store: EventStore) -> Removing:
    """Return the store as one that runs can be removed from."""
    assert isinstance(store, Removing)
    return store


async def ended(store: EventStore, run: RunId, *data: object) -> None:
    """Make a run that has ended."""
    drafts = [created(owner="alice"), *map(note, data), created_end()]
    await store.append(run, drafts, expected=0)


async def swept(store: EventStore) -> None:
    """Delete all that removed runs have left."""
    while await removing(store).sweep(limit=7):
        pass


class RemovingContract:
    """The promises of `Removing`, one test each."""

    async def make_store(self, folder: Path) -> EventStore:
        """See `StoreContract.make_store`."""
        raise NotImplementedError

    async def test_a_removed_run_is_not_there_any_more(self, store: EventStore) -> None:
        await ended(store, RUN, 1, 2)
        await ended(store, OTHER)
        head = await store.head(RUN)
        assert head is not None
        await store.save_snapshot(RUN, "state", Snapshot(1, head.digest, b"x"))
        (stone,) = await removing(store).remove([RUN], at=AT, actor="user:ann", reason="too old")
        assert stone == Tombstone(
            RUN, "trip", "completed", head.seq, head.digest, AT, "user:ann", "too old"
        )
        for _ in range(2):
            assert await store.head(RUN) is None
            assert [info.run_id for info in await store.runs()] == [OTHER]
            for asked in (
                events_of(store, RUN),
                store.newest_of(RUN, "a#1"),
                store.from_others(RUN, frozenset(("note.added",))),
                store.lineage(RUN),
                store.load_snapshot(RUN, "state"),
                store.save_snapshot(RUN, "state", Snapshot(1, b"", b"")),
                store.acquire(RUN, "me", now=NOW),
                store.append(RUN, [note()], expected=head.seq),
            ):
                with pytest.raises(RunRemovedError, match="too old"):
                    await asked
            assert {event.run_id for event in await scanned(store)} == {OTHER, KEEPING}
            assert await removing(store).removed(RUN) == stone
            assert await removing(store).removed(OTHER) is None
            await swept(store)

    async def test_the_id_of_a_removed_run_is_given_to_nobody(self, store: EventStore) -> None:
        await ended(store, RUN)
        await removing(store).remove([RUN], at=AT, actor="user")
        await swept(store)
        with pytest.raises(RunRemovedError):
            await store.append(RUN, [created()], expected=0)
        with pytest.raises(RunRemovedError):
            await removing(store).remove([RUN], at=AT, actor="user")

    async def test_what_was_removed_is_recorded(self, store: EventStore) -> None:
        await ended(store, RUN, "x")
        head = await store.head(RUN)
        assert head is not None
        await removing(store).remove([RUN], at=AT, actor="user:ann", reason="too old")
        event = (await events_of(store, KEEPING))[-1]
        assert (event.type, event.actor, event.at) == ("run.removed", "user:ann", AT)
        assert (event.data["run"], event.data["seq"]) == (RUN, head.seq)
        assert (event.data["digest"], event.data["reason"]) == (head.digest.hex(), "too old")
        await ended(store, OTHER)
        await removing(store).remove([OTHER], at=AT, actor="user")
        assert (await verify(store, KEEPING)).sound

    async def test_a_run_that_is_needed_is_not_removed(self, store: EventStore) -> None:
        await ended(store, OTHER)
        head = await store.append(RUN, [created(), note(1)], expected=0)
        with pytest.raises(RunNeededError, match="not ended"):
            await removing(store).remove([OTHER, RUN], at=AT, actor="user")
        await store.append(FORK, [forked(RUN, head)], expected=head.seq)
        await store.append(RUN, [created_end()], expected=head.seq)
        with pytest.raises(RunNeededError, match="'fork'") as refused:
            await removing(store).remove([OTHER, RUN], at=AT, actor="user")
        assert refused.value.forks == (FORK,)
        with pytest.raises(RunNotFoundError):
            await removing(store).remove([OTHER, NOBODY], at=AT, actor="user")
        assert len(await store.runs()) == 3
        assert await store.head(KEEPING) is None
        assert len(await events_of(store, FORK)) == head.seq + 1
        assert not await removing(store).remove([], at=AT, actor="user")

    async def test_a_stream_of_the_system_is_not_removed(self, store: EventStore) -> None:
        await ended(store, RUN)
        await removing(store).remove([RUN], at=AT, actor="user")
        with pytest.raises(RunNeededError, match="many runs"):
            await removing(store).remove([KEEPING], at=AT, actor="user")

    async def test_a_run_goes_with_its_forks_or_after_them(self, store: EventStore) -> None:
        await ended(store, RUN)
        head = await store.head(RUN)
        assert head is not None
        second = RunId("fork-2")
        for fork in (FORK, second):
            await store.append(fork, [forked(RUN, head, status="completed")], expected=head.seq)
        await removing(store).remove([FORK], at=AT, actor="user")
        await swept(store)
        assert len(await events_of(store, second)) == head.seq + 1
        await removing(store).remove([RUN, second], at=AT, actor="user")
        await swept(store)
        assert await store.runs() == []

    async def test_a_removed_run_is_not_forked(self, store: EventStore) -> None:
        await ended(store, RUN)
        head = await store.head(RUN)
        assert head is not None
        await removing(store).remove([RUN], at=AT, actor="user")
        with pytest.raises(StoreError, match="no event"):
            await store.append(FORK, [forked(RUN, head)], expected=head.seq)

    async def test_positions_are_never_given_twice(self, store: EventStore) -> None:
        await ended(store, OTHER)
        await ended(store, RUN, *range(50))
        before = (await scanned(store))[-1].position
        await removing(store).remove([RUN], at=AT, actor="user")
        await swept(store)
        head = await store.append(OTHER, [note()], expected=2)
        assert head.position > before
        found = await scanned(store, after=before)
        assert [event.type for event in found] == [
            "run.created",
            "run.completed",
            "run.removed",
            "note.added",
        ]

    async def test_a_blob_goes_with_the_last_run_that_needs_it(self, store: EventStore) -> None:
        shared, own = "s" * 9000, "o" * 9000
        await ended(store, RUN, shared, own)
        await ended(store, OTHER, shared)
        (kept,) = references((await events_of(store, OTHER))[1].body)
        (gone,) = references((await events_of(store, RUN))[2].body)
        await removing(store).remove([RUN], at=AT, actor="user")
        await swept(store)
        assert sha256(await store.blob(kept)).hexdigest() == kept
        with pytest.raises(CorruptLogError):
            await store.blob(gone)
        assert (await verify(store, OTHER)).sound
        await removing(store).remove([OTHER], at=AT, actor="user")
        await swept(store)
        with pytest.raises(CorruptLogError):
            await store.blob(kept)

    async def test_appending_goes_on_while_runs_are_swept(self, store: EventStore) -> None:
        await ended(store, RUN, *range(300))
        await store.append(OTHER, [created()], expected=0)
        appends = [store.append(OTHER, [note(i)], expected=i) for i in range(1, 20)]
        await removing(store).remove([RUN], at=AT, actor="user")
        later = [store.append(OTHER, [note(i)], expected=i) for i in range(20, 40)]
        await asyncio.gather(swept(store), *appends, *later)
        assert len(await events_of(store, OTHER)) == 40
        assert (await verify(store, OTHER)).sound

    async def test_of_removing_and_appending_one_is_refused(self, store: EventStore) -> None:
        await ended(store, RUN)
        removal = asyncio.ensure_future(_removed(store))
        appended = store.append(RUN, [note("late")], expected=2)
        found = await outcomes(appended)
        await removal
        assert not isinstance(found[0], BaseException) or isinstance(found[0], RunRemovedError)
        assert await store.head(RUN) is None
        stone = await removing(store).removed(RUN)
        assert stone is not None
        assert stone.seq == (2 if isinstance(found[0], BaseException) else 3)

    async def test_whoever_watches_hears_of_it(self, store: EventStore) -> None:
        heard: list[RunId] = []
        await ended(store, RUN)
        end = store.watch(lambda run, seq: heard.append(run))
        await removing(store).remove([RUN], at=AT, actor="user")
        await asyncio.sleep(0.01)
        end()
        assert KEEPING in heard

    async def test_a_closed_store_removes_nothing(self, store: EventStore) -> None:
        await ended(store, RUN)
        await store.close()
        with pytest.raises(StoreError, match="closed"):
            await removing(store).remove([RUN], at=AT, actor="user")


async def _removed(store: EventStore) -> None:
    await removing(store).remove([RUN], at=AT, actor="user")
