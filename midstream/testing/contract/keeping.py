"""Large bodies, and snapshots."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

from hashlib import sha256
from typing import Any

import pytest

from midstream.errors import ConcurrencyError, CorruptLogError, RunNotFoundError
from midstream.events.codec import INLINE, references
from midstream.events.store import EventStore, Snapshot
from midstream.events.verify import verify
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import (
    NOBODY,
    OTHER,
    RUN,
    created,
    events_of,
    note,
    notes_of,
    scanned,
)


class Keeping(Promises):
    """Large bodies, and snapshots."""

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
