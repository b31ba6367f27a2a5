"""A snapshot and what came after it, read in one go, are what they are one after the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from midstream.errors import RunNotFoundError, RunRemovedError
from midstream.events import MemoryStore, Snapshot
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.payloads import NoteAdded, RunCancelled, RunCreated, RunForked
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_scan import PAGE
from midstream.events.tailing import Tailing

RUN, FORK = RunId("r"), RunId("f")


def drafts(count: int, size: int = 1) -> list[Draft]:
    """Return the first events of a run."""
    created = encode(RunCreated(graph="g", definition={"nodes": {}}, graph_digest=""), at=0)
    notes = (encode(NoteAdded(id=f"{n}", data={"n": "n" * size}), at=n) for n in range(1, count))
    return [created, *notes]


async def kept(store: SqliteStore, run_id: RunId, seq: int, name: str = "run") -> Snapshot:
    events = [event async for event in store.read(run_id, to=seq)]
    snapshot = Snapshot(seq, events[-1].digest, b"state")
    await store.save_snapshot(run_id, name, snapshot)
    return snapshot


@pytest.mark.parametrize("size", [1, 9000])
@pytest.mark.parametrize("to", [None, 5, 3, 2])
async def test_a_snapshot_comes_with_the_events_from_its_own_on(
    tmp_path: Path, to: int | None, size: int
) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        await store.append(RUN, drafts(7, size), expected=0)
        snapshot = await kept(store, RUN, 3)
        found = await store.latest(RUN, "run", to=to)
        assert found is not None
        assert found[0] == snapshot
        assert [event async for event in found[1]] == [
            event async for event in store.read(RUN, after=2, to=to)
        ]


async def test_all_of_a_long_tail_is_read(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        await store.append(RUN, drafts(2 * PAGE + 10), expected=0)
        await kept(store, RUN, 5)
        found = await store.latest(RUN, "run")
        assert found is not None
        assert [event.seq async for event in found[1]] == [*range(5, 2 * PAGE + 11)]


async def test_a_fork_has_its_own_snapshot_and_events_of_both(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        head = await store.append(RUN, drafts(4), expected=0)
        forked = RunForked(parent=RUN, seq=4, digest=head.digest.hex(), graph="g")
        await store.append(FORK, [encode(forked, at=9)], expected=4)
        await kept(store, RUN, 3)
        assert await store.latest(FORK, "run") is None
        for seq in (3, 4, 5):
            await kept(store, FORK, seq)
            found = await store.latest(FORK, "run")
            assert found is not None
            assert [event.seq async for event in found[1]] == [*range(seq, 6)]


async def test_where_there_is_no_snapshot_or_no_run_it_says_so(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        ended = encode(RunCancelled(reason=""), at=9)
        await store.append(RUN, [*drafts(4), ended], expected=0)
        await kept(store, RUN, 3, "another")
        assert await store.latest(RUN, "run") is None
        with pytest.raises(RunNotFoundError):
            await store.latest(RunId("nobody"), "run")
        await store.remove([RUN], at=1, actor="user:me")
        with pytest.raises(RunRemovedError):
            await store.latest(RUN, "another")


async def test_only_a_store_that_can_is_asked(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        assert isinstance(store, Tailing)
    assert not isinstance(MemoryStore(), Tailing)
