"""Which runs need which blobs: counted once in a file of an older release, and kept with each append since."""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Sequence
from contextlib import suppress

from midstream.events.codec import MARK, references
from midstream.events.sqlite_squeeze import SQUEEZED, unsqueezed

USED = "INSERT OR IGNORE INTO uses (blob, run) SELECT id, ? FROM blobs WHERE digest = ?"
"""Notes that a run needs a blob: the run's number, and the blob's digest."""

_PAGE = 1000


def count_uses(connection: sqlite3.Connection) -> None:
    """Note for all events of a file which blobs their runs need."""
    after = 0
    while True:
        rows = connection.execute(
            "SELECT id, run, body FROM events WHERE id > ? ORDER BY id LIMIT ?", (after, _PAGE)
        ).fetchall()
        connection.executemany(USED, _uses(rows))
        if len(rows) < _PAGE:
            return
        after = rows[-1][0]


def _uses(rows: Iterable[Sequence[object]]) -> list[tuple[object, bytes]]:
    found: dict[tuple[object, bytes], None] = {}
    for _, run, body in rows:
        if not isinstance(body, bytes):
            continue
        # An event that is damaged, or refers to nothing, needs no blob: `verify` is who says so.
        with suppress(zlib.error, ValueError):
            whole = unsqueezed(body) if body[:1] == bytes((SQUEEZED,)) else body
            if MARK in whole:
                found |= dict.fromkeys((run, bytes.fromhex(name)) for name in references(whole))
    return list(found)
