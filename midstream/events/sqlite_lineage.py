"""Forks in SQLite: which run recorded which part of a run's events.

A fork has rows only for its own events. Its parent is the run that recorded the event it was forked at, so the way to the
first event is one step for each fork of a fork, whatever was forked in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from midstream.events.ids import RunId
from midstream.events.store import Stretch

_ANCESTORS = """WITH RECURSIVE line (run, uid, parent, base) AS (
        SELECT run, uid, parent, base FROM runs WHERE {}
        UNION ALL SELECT r.run, r.uid, r.parent, r.base FROM line l JOIN runs r ON r.run = l.parent)"""

LINEAGE = f"{_ANCESTORS.format('run = ?')} SELECT run, uid, base FROM line"
"""The runs that a run's events come from, by its number; itself first."""

ORIGIN = f"""{_ANCESTORS.format("uid = ?")}
    SELECT l.run, e.digest, (SELECT subject FROM runs WHERE run = l.run)
    FROM line l JOIN events e ON e.run = l.run AND e.seq = ?
    WHERE l.base < ? AND NOT EXISTS (SELECT 1 FROM runs WHERE run = l.run AND removed IS NOT NULL)"""
"""Who recorded an event of a run, by the run's id and the seq, twice; the event's digest, and the run's subject."""


class Part(NamedTuple):
    """A part of a run's events: the run that recorded it, by number and id, and where it begins and ends."""

    key: int
    run_id: RunId
    after: int
    to: int | None

    @property
    def stretch(self) -> Stretch:
        """The part as the port tells it."""
        return Stretch(self.run_id, self.after, self.to)


def parts_of(rows: Sequence[Sequence[Any]]) -> tuple[Part, ...]:
    """Return the parts of a run, the oldest first, from the rows of `LINEAGE`."""
    parts: list[Part] = []
    to: int | None = None
    for key, uid, base in rows:
        parts.append(Part(key, uid, base, to))
        to = base
    return tuple(reversed(parts))
