"""Files of older releases: each opens, with all that is in it, and whatever was under way in it goes on."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from midstream.errors import LeaseHeldError, LeaseLostError, RunErasedError, RunRemovedError
from midstream.events import verify
from midstream.events.ids import RunId
from midstream.events.sealing import Encryption
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_schema import MIGRATIONS, PAGE_SIZE, tables_of
from midstream.testing.contract import created, events_of, forked, note
from tests.events.stores import behind, digest_of, text
from tests.events.test_sqlite_keeping import raw, swept

FILES = Path(__file__).parents[1] / "histories"
OPEN, FORK, GONE, SEALED, ERASED = map(RunId, ("open", "fork", "gone", "sealed", "erased"))


def made(path: Path, name: str) -> Path:
    """Make the file that an older release had written; its content is kept as statements."""
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript((FILES / name).read_text())
    return path


def names(path: Path, kind: str) -> set[str]:
    """Return the tables, indexes or views of a file that its statements made."""
    sql = "SELECT name FROM sqlite_schema WHERE type = ? AND sql IS NOT NULL"
    with closing(sqlite3.connect(path)) as connection:
        return {name for (name,) in connection.execute(sql, (kind,))}


async def told(store: SqliteStore, run: RunId) -> list[object]:
    """Return what the notes of a run say."""
    return [e.data["data"] for e in await events_of(store, run) if e.type == "note.added"]


async def test_a_file_of_version_5_opens_with_all_that_is_in_it(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", "store-5.sql")
    async with await SqliteStore.open(path) as store:
        for run in (OPEN, FORK, SEALED, ERASED):
            assert (await verify(store, run)).sound
        mine = [1, "words " * 2000, "mine", "theirs"]
        assert await told(store, OPEN) == mine
        assert await told(store, FORK) == [*mine, "own"]
        assert (await told(store, SEALED))[0] == "the moon is made of cheese"
        assert [event.type for event in await events_of(store, ERASED)][:2] == ["erased"] * 2
        kept = await store.load_snapshot(OPEN, "state")
        assert kept is not None
        assert kept.body == b"kept"
        with pytest.raises(RunRemovedError):
            await events_of(store, GONE)
        with pytest.raises(RunErasedError):
            await store.append(ERASED, [note()], expected=4)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert names(path, "table") == frozenset().union(*tables_of(len(MIGRATIONS)))
    assert names(path, "view") == {"drivers", "keys", "kinds", "sweep", "takeovers"}
    before = digest_of(path)
    async with await SqliteStore.open(path):
        pass
    assert digest_of(path) == before


async def test_leases_in_a_file_of_version_5_are_in_force(tmp_path: Path) -> None:
    async with await SqliteStore.open(made(tmp_path / "log.db", "store-5.sql")) as store:
        with pytest.raises(LeaseHeldError):
            await store.acquire(FORK, "you", now=99.0)
        with pytest.raises(LeaseLostError):
            await store.append(FORK, [note("late")], expected=8, epoch=1)
        assert (await store.append(FORK, [note("in time")], expected=8, epoch=2)).seq == 9
        assert await store.acquire(FORK, "you", now=101.0) == 3


async def test_what_was_removed_in_a_file_of_version_5_is_swept(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", "store-5.sql")
    async with await SqliteStore.open(path) as store:
        await swept(store)
        assert (await verify(store, OPEN)).sound
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sweep").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM events WHERE run = 3").fetchone() == (0,)
        assert connection.execute("SELECT count(*) FROM blobs").fetchone() == (2,)
        assert connection.execute("PRAGMA freelist_count").fetchone() == (0,)


async def test_keys_in_a_file_of_version_5_are_destroyed(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", "store-5.sql")
    with closing(sqlite3.connect(path)) as connection:
        keys = [key for (key,) in connection.execute("SELECT kept FROM keys")]
    assert len(keys) == 2
    async with await SqliteStore.open(path, encryption=Encryption()) as store:
        assert await store.erase(subject="alice", at=9, actor="user") == [SEALED]
        await swept(store)
    assert not any(key in raw(tmp_path) for key in keys)


async def test_a_file_of_version_3_learns_which_run_needs_which_blob(tmp_path: Path) -> None:
    path = made(tmp_path / "log.db", "store-5.sql")
    with behind(path) as connection:
        wanted = set(connection.execute("SELECT blob, run FROM uses WHERE run < 4"))
        assert len(wanted) == 2
        for run, table in ((4, "uses"), (4, "events"), (4, "runs")):  # it knew nothing of seals
            connection.execute(f"DELETE FROM {table} WHERE run >= ?", (run,))
        for name in ("sweep", "uses", "keys"):
            connection.execute(f"DROP TABLE {name}")
        for name in ("runs_of_parent", "runs_of_subject"):
            connection.execute(f"DROP INDEX {name}")
        for name in ("removed", "sealed", "subject", "erased"):
            connection.execute(f"ALTER TABLE runs DROP COLUMN {name}")
        for table, name in (("events", "events_stay"), ("blobs", "blobs_stay")):
            connection.execute(
                f"CREATE TRIGGER {name} BEFORE DELETE ON {table} BEGIN SELECT RAISE(ABORT, 'x'); END"
            )
        connection.execute("PRAGMA user_version = 3")
    async with await SqliteStore.open(path) as store:
        with closing(sqlite3.connect(path)) as connection:
            assert set(connection.execute("SELECT blob, run FROM uses")) == wanted
        assert (await verify(store, OPEN)).sound
        await store.remove([GONE], at=1, actor="user")
        await swept(store)
        assert (await verify(store, OPEN)).sound


async def test_a_new_file_has_a_page_only_for_what_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path):
        pass
    assert names(path, "index") == {"events_of_others"}
    assert path.stat().st_size <= 11 * PAGE_SIZE
    async with await SqliteStore.open(path, encryption=Encryption()) as store:
        first = await store.append(OPEN, [created(), note(text(9000, 1))], expected=0)
        assert names(path, "index") == {"events_of_others", "blobs_of_digest"}
        await store.append(FORK, [forked(OPEN, first), note(text(9000, 2))], expected=first.seq)
        await store.erase([FORK], at=1, actor="user")
        await store.remove([FORK], at=1, actor="user")
        await swept(store)
        await store.erase(subject="nobody", at=1, actor="user")
    assert names(path, "index") == {
        "events_of_others",
        "blobs_of_digest",
        "runs_of_parent",
        "runs_of_subject",
        "uses_of_run",
    }
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("SELECT count(*) FROM blobs").fetchone() == (1,)


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("UPDATE beside SET name = 'other' WHERE what = 'takeovers'", "never changed"),
        ("UPDATE beside SET what = 'sweep'", "never changed"),
        ("INSERT INTO beside (what, name) VALUES ('sweep', 1)", "after it was removed"),
        ("INSERT INTO blobs (digest, body) SELECT digest, body FROM blobs", "UNIQUE"),
    ],
)
async def test_lines_beside_the_log_stay_what_they_are(
    tmp_path: Path, statement: str, message: str
) -> None:
    path = tmp_path / "log.db"
    async with await SqliteStore.open(path) as store:
        await store.append(OPEN, [created(), note(text(9000, 1))], expected=0, holder="me")
    with (
        closing(sqlite3.connect(path, isolation_level=None)) as connection,
        pytest.raises(sqlite3.IntegrityError, match=message),
    ):
        connection.execute(statement)
