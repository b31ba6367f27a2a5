"""Runs as lines: what is exported and imported is the same run, digest by digest."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.errors import ConfigError, CorruptLogError, RunExistsError, RunNotFoundError
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines, import_runs, read_lines
from midstream.events.memory import MemoryStore
from midstream.events.sqlite import SqliteStore
from midstream.events.store import EventStore
from midstream.events.verify import verify
from midstream.testing.contract import FORK, NOBODY, RUN, created, events_of, forked, note

NOW = 1_700_000_000.0


async def lines(store: EventStore, *run_ids: RunId) -> list[bytes]:
    return [line async for line in export_lines(store, run_ids)]


async def eventful_store() -> MemoryStore:
    """Return a store with a run of several drivers and a large body, and a fork of it."""
    store = MemoryStore()
    await store.append(
        RUN, [created(owner="a"), note("x" * 9000)], expected=0, holder="me", epoch=1
    )
    await store.append(RUN, [note("by nobody")], expected=2)
    await store.release(RUN, epoch=1)
    for _ in range(2):
        await store.acquire(RUN, "other", now=NOW)
    head = await store.append(RUN, [note(3)], expected=3, epoch=3)
    await store.append(FORK, [forked(RUN, head), note("x" * 9000)], expected=4, holder="f", epoch=1)
    await store.append(RUN, [note(5)], expected=4, epoch=3)
    return store


@pytest.fixture(params=("memory", "sqlite"))
async def empty(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[EventStore]:
    if request.param == "memory":
        yield MemoryStore()
        return
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        yield store


async def test_what_comes_back_is_the_same_run(empty: EventStore) -> None:
    store = await eventful_store()
    file = await lines(store, FORK)
    found = await import_runs(empty, read_lines(file), now=NOW)
    assert [(one.run_id, one.events, one.added) for one in found] == [(RUN, 5, 5), (FORK, 2, 2)]
    for run_id in (RUN, FORK):
        ours, theirs = await events_of(store, run_id), await events_of(empty, run_id)
        assert [event.digest for event in ours] == [event.digest for event in theirs]
        assert [event.data for event in ours] == [event.data for event in theirs]
        assert (await verify(empty, run_id)).sound
    assert await lines(empty, FORK) == file
    assert [(info.status, info.holder) for info in await empty.runs()] == [("running", None)] * 2


async def test_importing_again_adds_only_what_is_new(empty: EventStore) -> None:
    store = await eventful_store()
    await import_runs(empty, read_lines(await lines(store, RUN)), now=NOW)
    (again,) = await import_runs(empty, read_lines(await lines(store, RUN)), now=NOW)
    assert again.added == 0
    await store.append(RUN, [note("later")], expected=5)
    await store.append(RUN, [note("driven")], expected=6, epoch=3)
    (more,) = await import_runs(empty, read_lines(await lines(store, RUN)), now=NOW)
    assert (more.events, more.added) == (7, 2)
    assert (await verify(empty, RUN)).sound


async def test_another_run_of_the_same_id_is_left_as_it_is(empty: EventStore) -> None:
    store = await eventful_store()
    await empty.append(RUN, [created(owner="b")], expected=0)
    with pytest.raises(RunExistsError, match="other events from event 1 on"):
        await import_runs(empty, read_lines(await lines(store, RUN)), now=NOW)
    assert len(await events_of(empty, RUN)) == 1


async def test_what_was_changed_is_found() -> None:
    file = await lines(await eventful_store(), FORK)
    events = [place for place, line in enumerate(file) if b'"seq"' in line]
    for place in events:
        row: dict[str, Any] = orjson.loads(file[place])
        for field, value in (("at", row["at"] + 1), ("actor", "user:x"), ("epoch", 9)):
            changed = [*file]
            changed[place] = orjson.dumps({**row, field: value})
            with pytest.raises(CorruptLogError, match="digest"):
                read_lines(changed)
    with pytest.raises(CorruptLogError):
        read_lines([line for place, line in enumerate(file) if place != events[1]])


async def test_what_is_no_log_is_refused() -> None:
    for file in ([], [b"{}"], [b"no json"], [b'{"format":"midstream-log","version":1}', b"[]"]):
        with pytest.raises(ConfigError):
            read_lines(file)
    with pytest.raises(ConfigError, match="newer release"):
        read_lines([b'{"format":"midstream-log","version":99}'])
    with pytest.raises(RunNotFoundError):
        await lines(MemoryStore(), NOBODY)


DATA = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(DATA, st.booleans(), st.integers(0, 2)), max_size=8))
async def test_any_run_goes_through(steps: list[tuple[Any, bool, int]]) -> None:
    store, seq, epoch = MemoryStore(), 1, 1
    await store.append(RUN, [created()], expected=0, holder="a", epoch=1)
    for data, driven, takeovers in steps:
        for _ in range(takeovers):
            epoch = await store.acquire(RUN, "a", now=NOW)
        await store.append(RUN, [note(data)], expected=seq, epoch=epoch if driven else None)
        seq += 1
    other = MemoryStore()
    await import_runs(other, read_lines(await lines(store, RUN)), now=NOW)
    assert await lines(other, RUN) == await lines(store, RUN)
