"""The tables of a store in SQLite, what marks a file as ours, and how an older file becomes a newer one.

A file carries our `application_id` and the number of its last migration as `user_version`. Both are in the first 100 bytes
of the file. Source: https://www.sqlite.org/fileformat2.html, section 1.3.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence

from midstream.events.payloads import VERSIONS
from midstream.events.sqlite_lazy import drop_empty_indexes, loosen_blobs
from midstream.events.sqlite_uses import count_uses

APPLICATION_ID = 0x4D535452
"""`MSTR`."""

PAGE_SIZE = 8192
"""Bytes of a page: stores chat messages in a third fewer bytes than SQLite's 4,096, for the same rate of small events."""

Migration = Sequence[str | Callable[[sqlite3.Connection], None]]
"""Statements, and functions that execute some, that take a file from one version to the next, in one transaction."""

_FIRST: Migration = (
    # Integer keys inside, public ids outside: a UUID in the key of each event makes appending five times slower.
    """CREATE TABLE runs (
        run INTEGER PRIMARY KEY, uid TEXT NOT NULL UNIQUE, graph TEXT NOT NULL, status TEXT NOT NULL, tags TEXT NOT NULL,
        created_at INTEGER NOT NULL, epoch INTEGER NOT NULL, holder TEXT)""",
    # `id` is the position. In the order of appending, not clustered by run: a thousand runs that append in turn would
    # write a page each. `actor` is NULL for the engine.
    """CREATE TABLE events (
        id INTEGER PRIMARY KEY, run INTEGER NOT NULL, seq INTEGER NOT NULL, kind INTEGER NOT NULL, at INTEGER NOT NULL,
        actor TEXT, cause INTEGER, address TEXT, epoch INTEGER, body BLOB NOT NULL, digest BLOB NOT NULL,
        UNIQUE (run, seq))""",
    # A type and version that this release has never heard of has a number here too, and so stays readable.
    "CREATE TABLE kinds (kind INTEGER PRIMARY KEY, type TEXT NOT NULL, version INTEGER NOT NULL)",
    "CREATE TABLE blobs (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, body BLOB NOT NULL)",
    "CREATE TABLE drivers (holder TEXT PRIMARY KEY, until REAL NOT NULL) WITHOUT ROWID",
    """CREATE TABLE snapshots (
        run INTEGER NOT NULL, name TEXT NOT NULL, seq INTEGER NOT NULL, digest BLOB NOT NULL, body BLOB NOT NULL,
        PRIMARY KEY (run, name)) WITHOUT ROWID""",
    # How often any run was taken over. While the number stands, every epoch that a writer knows is in force: one
    # comparison per statement does what a trigger would do for each event, at a third of the cost of the whole append.
    "CREATE TABLE takeovers (count INTEGER NOT NULL)",
    "INSERT INTO takeovers (count) VALUES (0)",
    "CREATE TRIGGER events_stay BEFORE DELETE ON events BEGIN SELECT RAISE(ABORT, 'events are never deleted'); END",
    "CREATE TRIGGER events_hold BEFORE UPDATE ON events BEGIN SELECT RAISE(ABORT, 'events are never changed'); END",
    "CREATE TRIGGER blobs_stay BEFORE DELETE ON blobs BEGIN SELECT RAISE(ABORT, 'blobs are never deleted'); END",
    "CREATE TRIGGER blobs_hold BEFORE UPDATE ON blobs BEGIN SELECT RAISE(ABORT, 'blobs are never changed'); END",
)

_FORKS: Migration = (
    # A fork shares the events of `parent` up to `base`; the parent of a fork is always the run that recorded that event.
    "ALTER TABLE runs ADD COLUMN parent INTEGER",
    "ALTER TABLE runs ADD COLUMN base INTEGER NOT NULL DEFAULT 0",
)

_OTHERS: Migration = (
    # What others than the engine recorded of a run is found without its other events. The engine's have no entry here,
    # so that they are appended as quickly as before.
    "CREATE INDEX events_of_others ON events (run, kind) WHERE actor IS NOT NULL",
)

_KEEPING: Migration = (
    # A run that was removed keeps its line: neither its id nor its number is given to another one. The line says where it
    # stood, as JSON. Its events are deleted afterwards, some at a time; while its number is in `sweep` they are not read.
    "ALTER TABLE runs ADD COLUMN removed TEXT",
    "CREATE TABLE sweep (run INTEGER PRIMARY KEY)",
    "CREATE INDEX runs_of_parent ON runs (parent) WHERE parent IS NOT NULL",
    # Which runs need a blob. Written with their events, so that a blob is deleted with the last of them and not sooner.
    "CREATE TABLE uses (blob INTEGER NOT NULL, run INTEGER NOT NULL, PRIMARY KEY (blob, run)) WITHOUT ROWID",
    "CREATE INDEX uses_of_run ON uses (run)",
    count_uses,
    # Each step needs the one before: an event goes only if its run is being swept, a run is swept only if its line says
    # where it stood, and a line that says so is not changed back.
    "DROP TRIGGER events_stay",
    "DROP TRIGGER blobs_stay",
    """CREATE TRIGGER events_stay BEFORE DELETE ON events WHEN NOT EXISTS (SELECT 1 FROM sweep WHERE run = OLD.run)
        BEGIN SELECT RAISE(ABORT, 'events are never deleted, unless their run was removed'); END""",
    """CREATE TRIGGER uses_stay BEFORE DELETE ON uses WHEN NOT EXISTS (SELECT 1 FROM sweep WHERE run = OLD.run)
        BEGIN SELECT RAISE(ABORT, 'a run needs its blobs until it was removed'); END""",
    """CREATE TRIGGER blobs_stay BEFORE DELETE ON blobs WHEN EXISTS (SELECT 1 FROM uses WHERE blob = OLD.id)
        BEGIN SELECT RAISE(ABORT, 'blobs are never deleted while a run needs them'); END""",
    """CREATE TRIGGER sweep_last BEFORE INSERT ON sweep
        WHEN NOT EXISTS (SELECT 1 FROM runs WHERE run = NEW.run AND removed IS NOT NULL)
        BEGIN SELECT RAISE(ABORT, 'a run is swept after it was removed'); END""",
    """CREATE TRIGGER removed_stay BEFORE UPDATE OF removed ON runs WHEN OLD.removed IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'a run that was removed stays removed'); END""",
    "CREATE TRIGGER runs_stay BEFORE DELETE ON runs BEGIN SELECT RAISE(ABORT, 'the lines of runs stay'); END",
)

_KEYS: Migration = (
    # Keys by name: `run:ID`, `subject:DIGEST`; `master` names the key that each is sealed with, or is empty.
    "CREATE TABLE keys (name TEXT PRIMARY KEY, kept BLOB NOT NULL, master TEXT NOT NULL) WITHOUT ROWID",
    # Whether a run's content is sealed, what stands for its subject, and when it was erased, as JSON.
    "ALTER TABLE runs ADD COLUMN sealed INTEGER NOT NULL DEFAULT 0",
    "ALTER TABLE runs ADD COLUMN subject TEXT",
    "ALTER TABLE runs ADD COLUMN erased TEXT",
    "CREATE INDEX runs_of_subject ON runs (subject) WHERE subject IS NOT NULL",
)

_BESIDE: Migration = (
    # A table has a page of 8 KB at least: five of a few lines each are one. They are read by the names that they had.
    """CREATE TABLE beside (what TEXT NOT NULL, name NOT NULL, value, extra, PRIMARY KEY (what, name)) WITHOUT ROWID""",
    "INSERT INTO beside SELECT 'driver', holder, until, NULL FROM drivers",
    "INSERT INTO beside SELECT 'key', name, kept, master FROM keys",
    "INSERT INTO beside SELECT 'sweep', run, NULL, NULL FROM sweep",
    "INSERT INTO beside SELECT 'takeovers', '', count, NULL FROM takeovers",
    "INSERT INTO beside SELECT 'type', kind, type, version FROM kinds",
    "DROP TABLE drivers",
    "DROP TABLE keys",
    "DROP TABLE kinds",
    "DROP TABLE sweep",
    "DROP TABLE takeovers",
    "CREATE VIEW drivers AS SELECT name AS holder, value AS until FROM beside WHERE what = 'driver'",
    "CREATE VIEW keys AS SELECT name, value AS kept, extra AS master FROM beside WHERE what = 'key'",
    "CREATE VIEW kinds AS SELECT name AS kind, value AS type, extra AS version FROM beside WHERE what = 'type'",
    """CREATE TRIGGER kinds_grow INSTEAD OF INSERT ON kinds BEGIN
        INSERT INTO beside SELECT 'type', coalesce(max(kind), 0) + 1, NEW.type, NEW.version FROM kinds; END""",
    "CREATE VIEW sweep AS SELECT name AS run FROM beside WHERE what = 'sweep'",
    "CREATE VIEW takeovers AS SELECT value AS count FROM beside WHERE what = 'takeovers'",
    """CREATE TRIGGER sweep_last BEFORE INSERT ON beside
        WHEN NEW.what = 'sweep' AND NOT EXISTS (SELECT 1 FROM runs WHERE run = NEW.name AND removed IS NOT NULL)
        BEGIN SELECT RAISE(ABORT, 'a run is swept after it was removed'); END""",
    """CREATE TRIGGER beside_stays BEFORE UPDATE OF what, name ON beside
        BEGIN SELECT RAISE(ABORT, 'what a line is about is never changed'); END""",
    # What only removing and erasing look for is indexed by whoever first does: `runs_of_parent`, `runs_of_subject`,
    # `uses_of_run`. A file in which that has happened keeps its indexes.
    drop_empty_indexes,
    loosen_blobs,
)

MIGRATIONS: tuple[Migration, ...] = (_FIRST, _FORKS, _OTHERS, _KEEPING, _KEYS, _BESIDE)
"""The way from an empty file to the tables of this release; only ever add to it."""

_ALWAYS = frozenset(("runs", "events", "blobs", "snapshots"))
_BESIDE_VERSION = 6


def tables_of(version: int) -> tuple[frozenset[str], frozenset[str]]:
    """Return the large tables that a file of a version has at least, and the small ones."""
    if version < _BESIDE_VERSION:
        return _ALWAYS, frozenset(("kinds", "drivers", "takeovers"))
    return _ALWAYS | {"uses"}, frozenset(("beside",))


def migrate(connection: sqlite3.Connection, migrations: Sequence[Migration]) -> None:
    """Bring the file to the newest version, all in one transaction; what is there already is skipped."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        # Read under the lock: another process may have opened the same file at the same time.
        for number, statements in enumerate(
            migrations[version(connection) :], version(connection) + 1
        ):
            for statement in statements:
                if callable(statement):
                    statement(connection)
                else:
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number}")
        _add_kinds(connection, VERSIONS)
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def is_current(kinds: Sequence[tuple[int, str, int]]) -> bool:
    """Return whether a file of the newest version has nothing to learn, so that opening it writes nothing."""
    return {kind[1:] for kind in kinds} >= VERSIONS.items()


def version(connection: sqlite3.Connection) -> int:
    """Return the number of the file's last migration."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _add_kinds(connection: sqlite3.Connection, versions: Mapping[str, int]) -> None:
    """Number the payloads of this release beforehand, so that the first of a type needs no transaction of its own."""
    connection.executemany(
        "INSERT INTO kinds (type, version) SELECT ?1, ?2"
        " WHERE NOT EXISTS (SELECT 1 FROM kinds WHERE type = ?1 AND version = ?2)",
        tuple(versions.items()),
    )
