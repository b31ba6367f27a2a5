"""Indexes that are made when something is first found by them: each takes a page, and most files never need one."""

from __future__ import annotations

import sqlite3

OF_PARENT = "CREATE INDEX IF NOT EXISTS runs_of_parent ON runs (parent) WHERE parent IS NOT NULL"
"""Finds the forks of a run."""

OF_SUBJECT = (
    "CREATE INDEX IF NOT EXISTS runs_of_subject ON runs (subject) WHERE subject IS NOT NULL"
)
"""Finds the runs of a subject."""

OF_RUN = "CREATE INDEX IF NOT EXISTS uses_of_run ON uses (run)"
"""Finds the blobs that a run needs."""

_ENTRIES = {
    "runs_of_parent": "SELECT 1 FROM runs WHERE parent IS NOT NULL LIMIT 1",
    "runs_of_subject": "SELECT 1 FROM runs WHERE subject IS NOT NULL LIMIT 1",
    "uses_of_run": "SELECT 1 FROM uses LIMIT 1",
}
"""By index: finds out whether it has an entry."""

_BLOBS = (
    "DROP TABLE blobs",
    "CREATE TABLE blobs (id INTEGER PRIMARY KEY, digest BLOB NOT NULL, body BLOB NOT NULL)",
    """CREATE TRIGGER blobs_stay BEFORE DELETE ON blobs WHEN EXISTS (SELECT 1 FROM uses WHERE blob = OLD.id)
        BEGIN SELECT RAISE(ABORT, 'blobs are never deleted while a run needs them'); END""",
    "CREATE TRIGGER blobs_hold BEFORE UPDATE ON blobs BEGIN SELECT RAISE(ABORT, 'blobs are never changed'); END",
)


def drop_empty_indexes(connection: sqlite3.Connection) -> None:
    """Drop those of the indexes of an older file that have no entry."""
    for name, found in _ENTRIES.items():
        if connection.execute(found).fetchone() is None:
            connection.execute(f"DROP INDEX IF EXISTS {name}")


def loosen_blobs(connection: sqlite3.Connection) -> None:
    """Let blobs be indexed once there is one; where there is, they are already."""
    if connection.execute("SELECT 1 FROM blobs LIMIT 1").fetchone() is None:
        for statement in _BLOBS:
            connection.execute(statement)


def index_blobs(connection: sqlite3.Connection) -> None:
    """See that blobs are found by their digests, and each is kept once; called before one is added."""
    found = "SELECT 1 FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'blobs'"
    if connection.execute(found).fetchone() is None:
        connection.execute("CREATE UNIQUE INDEX blobs_of_digest ON blobs (digest)")
