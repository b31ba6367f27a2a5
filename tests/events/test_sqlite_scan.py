"""Going through a whole log: pages as one row say what rows say, and nothing that is appended meanwhile is missed."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import CorruptLogError, StoreError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_page import PACKED, events_in
from midstream.events.sqlite_rows import COLUMNS, Kinds, events_of
from midstream.events.sqlite_scan import PAGE
from midstream.events.sqlite_squeeze import squeezed
from tests.events.stores import RUN, behind, created, filled, note, text

texts = st.text(st.characters(codec="utf-8"), max_size=8)
numbers = st.integers(-(2**63), 2**63 - 1)
bodies = st.dictionaries(texts, texts | numbers, max_size=3).map(orjson.dumps)
rows = st.lists(
    st.tuples(
        st.integers(1, 3),  # run
        numbers,  # seq
        numbers,  # at
        st.integers(1, 2),  # kind
        st.none() | texts,  # actor
        st.none() | numbers,  # cause
        st.none() | texts,  # address
        st.none() | numbers,  # epoch
        bodies | bodies.map(lambda body: squeezed(body + b" " * 2000)),
        st.binary(min_size=32, max_size=32),
    ),
    max_size=8,
)

_TABLE = "CREATE TABLE events (id INTEGER PRIMARY KEY, run, seq, at, kind, actor, cause, address, epoch, body, digest)"
_INTO = "INSERT INTO events (run, seq, at, kind, actor, cause, address, epoch, body, digest) VALUES"
_PAGE = f"SELECT {COLUMNS} FROM events ORDER BY id"
_NAMES = {number: RunId(f"r{number}") for number in (1, 2, 3)}
_KINDS = Kinds([(1, "note.added", 1), (2, "from.tomorrow", 7)])


def both(connection: sqlite3.Connection) -> tuple[list[Event], list[Event] | None]:
    """Return a page by rows, and as one row."""
    plain, _ = events_of(connection.execute(_PAGE).fetchall(), _NAMES, _KINDS, [])
    return plain, events_in(connection.execute(PACKED.format(_PAGE)).fetchone(), _NAMES, _KINDS)


@given(rows)
def test_a_page_as_one_row_says_what_its_rows_say(given_rows: list[tuple[Any, ...]]) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(_TABLE)
        connection.executemany(f"{_INTO} ({', '.join('?' * 10)})", given_rows)
        plain, packed = both(connection)
    assert packed == plain
    assert len(plain) == len(given_rows)


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("body", "{}"),
        ("body", b"no JSON"),
        ("body", b""),
        ("digest", b"short"),
        ("digest", b"x" * 33),
        ("at", float("inf")),
        ("run", 4),
        ("kind", 3),
    ],
)
def test_a_page_with_what_is_not_known_or_never_written_is_read_by_rows(
    column: str, value: object
) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(_TABLE)
        row = (1, 1, 1, 1, None, None, "a", 1, b"{}", b"d" * 32)
        connection.executemany(f"{_INTO} ({', '.join('?' * 10)})", [row, row])
        connection.execute(f"UPDATE events SET {column} = ? WHERE id = 2", (value,))
        assert both(connection)[1] is None


async def pages(store: SqliteStore, **options: Any) -> list[Sequence[Event]]:
    return [page async for page in store.scan(**options)]


async def long_log(store: SqliteStore, events: int) -> None:
    await store.append(RUN, [created()], expected=0)
    for after in range(1, events, 500):
        drafts = [note(number) for number in range(after, min(after + 500, events))]
        await store.append(RUN, drafts, expected=after)


@pytest.mark.parametrize("events", [1, PAGE - 1, PAGE, PAGE + 1, 3 * PAGE, 3 * PAGE + 7])
async def test_a_scan_is_all_events_in_order_by_full_pages(tmp_path: Path, events: int) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await long_log(store, events)
        found = await pages(store)
        assert [event async for event in store.read(RUN)] == [e for page in found for e in page]
        assert all(len(page) == PAGE for page in found[:-1])
        after = await pages(store, after=events - 1)
        assert [event.seq for page in after for event in page] == [events]


async def test_what_is_appended_during_a_scan_is_seen_by_it(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await long_log(store, PAGE + 10)
        seen: list[int] = []
        async for page in store.scan():
            if not seen:  # the next page is read by now
                await store.append(RUN, [note("late")], expected=PAGE + 10)
            seen += [event.seq for event in page]
        assert seen == list(range(1, PAGE + 12))


async def test_a_scan_that_nobody_ends_does_not_keep_the_store_from_closing(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "log.db")
    await long_log(store, 2 * PAGE)
    scan = store.scan()
    assert len(await anext(aiter(scan))) == PAGE
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await anext(aiter(scan))


async def test_compressed_and_put_aside_bodies_are_scanned_like_others(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        await filled(store, 9)
        await store.append(RunId("r2"), [created()], expected=0)
        await store.append(RunId("r2"), [note(text(900, 1) * 3)], expected=1)
        (page,) = await pages(store)
        assert [event.run_id for event in page] == [RUN] * 9 + [RunId("r2")] * 2
        kept = {
            (e.run_id, e.seq): e.body for run in (RUN, "r2") async for e in store.stored(RunId(run))
        }
        assert {(event.run_id, event.seq): event.body for event in page} == kept


async def test_a_type_that_another_process_numbered_meanwhile_is_found(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store, await SqliteStore.open(path) as other:
        await long_log(store, PAGE + 2)
        wanted = frozenset(("run.created", "note.added", "from.tomorrow"))
        seen = 0
        async for page in store.scan(types=wanted):
            if not seen:
                newer = note("n")._replace(type="from.tomorrow")
                await other.append(RUN, [newer], expected=PAGE + 2)
            seen += len(page)
        assert seen == PAGE + 3


async def test_damage_is_told_where_it_is_after_what_is_before_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await long_log(store, 2 * PAGE)
    with behind(path) as connection:
        connection.execute("UPDATE events SET body = CAST(body AS TEXT) WHERE seq = ?", (PAGE + 5,))
    async with await SqliteStore.open(path) as store:
        seen: list[int] = []

        async def go_through() -> None:
            async for page in store.scan():
                seen.extend(event.seq for event in page)

        with pytest.raises(CorruptLogError, match=f"event {PAGE + 5}"):
            await go_through()
        assert seen == list(range(1, PAGE + 5))
