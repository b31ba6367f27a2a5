"""Checking a log: whatever was changed behind the store's back is found, and named."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream.errors import RunNotFoundError
from midstream.events import MemoryStore, Verdict, verify
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.store import Head
from midstream.events.verify import anchors
from tests.events.stores import RUN, behind, created, filled, note

EVENTS = 10
COLUMNS = ["seq", "kind", "at", "actor", "cause", "address", "epoch", "body", "digest", "run"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with a sound run."""
    import asyncio

    path = tmp_path_factory.mktemp("sound") / "log.db"

    async def fill() -> None:
        async with await SqliteStore.open(path, synchronous="normal") as store:
            await filled(store, EVENTS)
            await filled(store, 3, RunId("other"))

    asyncio.run(fill())
    return path


async def verdict(path: Path, anchor: Head | None = None) -> Verdict:
    async with await SqliteStore.open(path, read_only=True) as store:
        return await verify(store, RUN, anchor=anchor)


def flipped(value: Any, place: int, bit: int) -> Any:
    """Return the value with one bit changed."""
    match value:
        case None:
            return 1 << bit
        case int():
            return value ^ (1 << bit)
        case str():
            place %= len(value)
            return value[:place] + chr(ord(value[place]) ^ 1) + value[place + 1 :]
        case _:
            place %= len(value)
            return value[:place] + bytes([value[place] ^ (1 << bit)]) + value[place + 1 :]


async def test_a_log_that_nobody_touched_is_sound(sound: Path) -> None:
    found = await verdict(sound)
    assert (found.sound, found.events, found.anchored) == (True, EVENTS, False)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    seq=st.integers(1, EVENTS),
    column=st.sampled_from(COLUMNS),
    place=st.integers(0, 10_000),
    bit=st.integers(0, 7),
)
async def test_a_bit_that_was_flipped_in_any_column_is_found(
    sound: Path, tmp_path: Path, seq: int, column: str, place: int, bit: int
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        (value,) = connection.execute(
            f"SELECT {column} FROM events WHERE run = 1 AND seq = {seq}"
        ).fetchone()
        try:
            connection.execute(
                f"UPDATE OR REPLACE events SET {column} = ? WHERE run = 1 AND seq = {seq}",
                (flipped(value, place, bit),),
            )
        except sqlite3.OperationalError:
            return
    if column in ("seq", "run") and seq == EVENTS:
        # The newest event was cut off, which only an anchor can tell.
        found = await verdict(path, Head(EVENTS, 0, b""))
    else:
        found = await verdict(path)
    assert not found.sound
    assert found.run_id == RUN
    assert found.seq is not None
    assert found.seq <= seq


@pytest.mark.parametrize(
    "column", ["body", "digest", "at", "actor", "cause", "address", "epoch", "kind"]
)
async def test_the_event_that_was_changed_is_the_one_that_is_named(
    sound: Path, tmp_path: Path, column: str
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        (value,) = connection.execute(
            f"SELECT {column} FROM events WHERE run = 1 AND seq = 5"
        ).fetchone()
        connection.execute(
            f"UPDATE events SET {column} = ? WHERE run = 1 AND seq = 5", (flipped(value, 9, 1),)
        )
    found = await verdict(path)
    assert (found.sound, found.run_id, found.seq, found.events) == (False, RUN, 5, 4)


@pytest.mark.parametrize("value", [None, 7, 7.5, "{}", b"", b"{}", b"[]", b"x", "x"], ids=repr)
@pytest.mark.parametrize("column", [*COLUMNS[1:-1]])
async def test_a_value_of_another_kind_is_damage(
    sound: Path, tmp_path: Path, column: str, value: Any
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        old = connection.execute(
            f"SELECT {column} FROM events WHERE run = 1 AND seq = 5"
        ).fetchone()
        with suppress(sqlite3.IntegrityError):
            connection.execute(
                f"UPDATE events SET {column} = ? WHERE run = 1 AND seq = 5", (value,)
            )
        new = connection.execute(
            f"SELECT {column} FROM events WHERE run = 1 AND seq = 5"
        ).fetchone()
    found = await verdict(path)
    assert found.sound == (old == new)
    assert found.seq == (None if found.sound else 5)


@pytest.mark.parametrize("seq", range(1, EVENTS))
async def test_an_event_that_was_deleted_is_missed(sound: Path, tmp_path: Path, seq: int) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        connection.execute(f"DELETE FROM events WHERE run = 1 AND seq = {seq}")
    found = await verdict(path)
    assert (found.sound, found.seq) == (False, seq)


@pytest.mark.parametrize(
    "columns", [("seq",), ("id",), ("body",), ("body", "digest"), ("at", "kind", "body")]
)
async def test_two_events_that_were_swapped_are_found(
    sound: Path, tmp_path: Path, columns: tuple[str, ...]
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        rows = [
            connection.execute(
                f"SELECT {', '.join(columns)} FROM events WHERE run = 1 AND seq = {seq}"
            ).fetchone()
            for seq in (4, 7)
        ]
        names = ", ".join(f"{column} = ?" for column in columns)
        away = {"seq": 1000, "id": 1000}
        if columns[0] in away:
            connection.execute(f"UPDATE events SET {columns[0]} = 1000 WHERE run = 1 AND seq = 4")
            connection.execute(f"UPDATE events SET {names} WHERE run = 1 AND seq = 7", rows[0])
            key = "seq = 1000" if columns == ("seq",) else "id = 1000"
            connection.execute(f"UPDATE events SET {names} WHERE run = 1 AND {key}", rows[1])
        else:
            connection.execute(f"UPDATE events SET {names} WHERE run = 1 AND seq = 4", rows[1])
            connection.execute(f"UPDATE events SET {names} WHERE run = 1 AND seq = 7", rows[0])
    found = await verdict(path)
    assert (found.sound, found.run_id) == (False, RUN)
    assert found.seq in (4, 5)


async def test_events_that_were_moved_to_another_run_are_found(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        connection.execute("UPDATE runs SET uid = 'gone' WHERE uid = 'r1'")
        connection.execute("UPDATE runs SET uid = 'r1' WHERE uid = 'other'")
    found = await verdict(path)
    assert (found.sound, found.seq) == (False, 1)


async def test_a_blob_that_was_changed_is_found_at_the_event_that_refers_to_it(
    sound: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        (body,) = connection.execute("SELECT body FROM blobs WHERE id = 1").fetchone()
        connection.execute("UPDATE blobs SET body = ? WHERE id = 1", (flipped(body, 700, 3),))
    found = await verdict(path)
    assert (found.sound, found.run_id, found.seq) == (False, RUN, 3)


@pytest.mark.parametrize("value", [7, "text", b"", b"x"], ids=repr)
async def test_a_blob_of_another_kind_is_damage(sound: Path, tmp_path: Path, value: Any) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        connection.execute("UPDATE blobs SET body = ? WHERE id = 1", (value,))
    found = await verdict(path)
    assert (found.sound, found.seq) == (False, 3)


async def test_a_blob_that_was_deleted_is_missed(sound: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with behind(path) as connection:
        connection.execute("DELETE FROM blobs WHERE id = 2")
    found = await verdict(path)
    assert (found.sound, found.seq) == (False, 6)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET at = 0",
        "DELETE FROM events",
        "UPDATE blobs SET body = x'00'",
        "DELETE FROM blobs",
        "DELETE FROM events WHERE seq = 9",
    ],
)
async def test_the_file_itself_refuses_to_change_what_was_recorded(
    sound: Path, tmp_path: Path, statement: str
) -> None:
    path = Path(shutil.copy(sound, tmp_path / "log.db"))
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.IntegrityError, match="never"),
    ):
        connection.execute(statement)


async def test_a_tail_that_was_cut_off_is_found_with_an_anchor_only() -> None:
    long, short = MemoryStore(), MemoryStore()
    for store, events in ((long, 5), (short, 3)):
        await store.append(RUN, [created(), *(note(i) for i in range(events))], expected=0)
    anchor = await long.head(RUN)
    assert (await verify(short, RUN)).sound
    found = await verify(short, RUN, anchor=anchor)
    assert (found.sound, found.anchored, found.seq) == (False, False, 5)
    assert (await verify(long, RUN, anchor=anchor)).anchored


async def test_another_history_of_the_same_length_is_found_with_an_anchor() -> None:
    mine, theirs = MemoryStore(), MemoryStore()
    for store, word in ((mine, "mine"), (theirs, "theirs")):
        await store.append(RUN, [created(), note(word), note(1)], expected=0)
    found = await verify(theirs, RUN, anchor=await mine.head(RUN))
    assert (found.sound, found.seq) == (False, 3)


async def test_the_heads_of_sound_runs_are_anchors() -> None:
    store = MemoryStore()
    head = await store.append(RUN, [created()], expected=0)
    assert anchors({RUN: await verify(store, RUN)}) == {
        RUN: {"seq": 1, "digest": head.digest.hex()}
    }


async def test_a_run_that_does_not_exist_cannot_be_checked() -> None:
    with pytest.raises(RunNotFoundError):
        await verify(MemoryStore(), RUN)
