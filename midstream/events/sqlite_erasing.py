"""Erasing content in an SQLite file: the keys go, and what is kept of content beside the log."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from midstream.errors import RunNotFoundError, StoreError
from midstream.events import payloads
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.sqlite_beside import TAKEN_OVER
from midstream.events.sqlite_keeping import Recorded, append_to, tombstone_of, writing
from midstream.events.sqlite_keys import DESTROY
from midstream.events.sqlite_lazy import OF_PARENT, OF_SUBJECT
from midstream.events.sqlite_rows import Kinds
from midstream.events.system import KEEPING

_RUN = "SELECT run, uid, sealed, erased, removed FROM runs WHERE uid = ?"
_OF_SUBJECT = "SELECT run, uid, sealed, erased, removed FROM runs WHERE subject = ?"
_FORKS = "SELECT run, uid, sealed, erased, removed FROM runs WHERE parent = ? AND removed IS NULL"


class Erasure(NamedTuple):
    """What is to be erased, and how it is recorded.

    Attributes:
        run_ids: These runs, and their forks.
        subject: All runs of this subject, by what stands for it; empty for none.
        id: Of this erasure.
        at: When, in microseconds since 1970.
        actor: Who wants it.
        reason: Why.
    """

    run_ids: Sequence[RunId]
    subject: str
    id: str
    at: int
    actor: str
    reason: str

    def fact(self) -> Draft:
        """Return what is recorded in each run."""
        fact = payloads.RunErased(id=self.id, reason=self.reason, subject=bool(self.subject))
        return encode(fact, at=self.at, actor=self.actor)


def erase(
    connection: sqlite3.Connection, kinds: Kinds, wanted: Erasure
) -> tuple[list[RunId], dict[RunId, Recorded]]:
    """Destroy the keys of runs, and record it in each; what is erased already is left alone.

    Returns:
        The runs whose content is gone, and what was appended to which.

    Raises:
        RunNotFoundError: There is no such run; nothing was erased.
        StoreError: A run is not sealed; nothing was erased.
    """
    connection.execute("PRAGMA secure_delete = ON").fetchall()
    with writing(connection):
        connection.execute(OF_PARENT)
        if wanted.subject:
            connection.execute(OF_SUBJECT)
        rows = _rows(connection, wanted)
        for row in rows:
            _check(row)
        grown: dict[RunId, Recorded] = {}
        for key, uid, _, erased, removed in rows:
            connection.execute(DESTROY, (f"run:{uid}",))
            if erased is None and removed is None:
                grown[RunId(uid)] = _erase_run(connection, kinds, key, uid, wanted)
        if wanted.subject:
            connection.execute(DESTROY, (f"subject:{wanted.subject}",))
            fact = payloads.SubjectErased(
                subject=wanted.subject, runs=len(rows), reason=wanted.reason
            )
            draft = encode(fact, at=wanted.at, actor=wanted.actor)
            grown[KEEPING] = append_to(connection, kinds, KEEPING, [draft], wanted.at)
        # Writers of other processes have the keys by heart; this makes them look.
        connection.execute(TAKEN_OVER, (1,))
    return [RunId(row[1]) for row in rows], grown


def _rows(connection: sqlite3.Connection, wanted: Erasure) -> list[Any]:
    """Return the lines of the runs, and of all runs whose events begin with theirs."""
    found: dict[int, Any] = {}
    todo: list[Any] = []
    if wanted.subject:
        todo += connection.execute(_OF_SUBJECT, (wanted.subject,)).fetchall()
    for run_id in wanted.run_ids:
        row = connection.execute(_RUN, (run_id,)).fetchone()
        if row is None:
            raise RunNotFoundError(run_id)
        if row[4] is not None:
            raise tombstone_of(run_id, row[4]).error()
        todo.append(row)
    while todo:
        row = todo.pop(0)
        if row[0] not in found:
            found[row[0]] = row
            todo += connection.execute(_FORKS, (row[0],)).fetchall()
    return list(found.values())


def _check(row: Sequence[Any]) -> None:
    _, uid, sealed, _, _ = row
    if not sealed:
        raise StoreError(
            f"run {uid!r} was recorded without encryption: its content cannot be erased while its log stays; "
            "remove the whole run (`midstream db prune`), and open the store with `encryption=` before the next one begins"
        )


def _erase_run(
    connection: sqlite3.Connection, kinds: Kinds, key: int, uid: str, wanted: Erasure
) -> Recorded:
    note = {"at": wanted.at, "actor": wanted.actor, "reason": wanted.reason}
    connection.execute(
        "UPDATE runs SET erased = ?, tags = '{}', holder = NULL,"
        " status = CASE WHEN status IN ('running', 'paused') THEN 'cancelled' ELSE status END WHERE run = ?",
        (orjson.dumps(note).decode(), key),
    )
    connection.execute("DELETE FROM snapshots WHERE run = ?", (key,))
    return append_to(connection, kinds, RunId(uid), [wanted.fact()], wanted.at)
