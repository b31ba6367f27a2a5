"""Closing a store, and opening it again."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

from pathlib import Path

import pytest

from midstream.errors import LeaseHeldError, StoreError
from midstream.events.store import EventStore, Snapshot
from midstream.events.verify import verify
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import NOW, RUN, created, events_of, note


class Reopening(Promises):
    """Closing a store, and opening it again."""

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
