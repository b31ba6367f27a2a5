"""The statements that write plain rows of events, each a transaction of its own.

Rows of one run that the engine has recorded have four columns in common, which are bound once: to bind a value takes
`sqlite3` as long as SQLite takes to store it, and it has the interpreter's lock meanwhile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from midstream.events.sqlite_beside import TAKEOVERS
from midstream.events.sqlite_rows import filled

EVENT = "(run, seq, kind, at, actor, cause, address, epoch, body, digest)"
_WIDTH = EVENT.count(",") + 1
_APART = _WIDTH - 4

TOGETHER = 64
"""Rows of one statement: larger ones take as long for each row, twice as long until they are prepared, and a megabyte for
each statement that is kept; with smaller ones, the interpreter's lock is given up and waited for more often."""


@dataclass(slots=True)
class Rows:
    """Rows of events to be written.

    Attributes:
        common: What all of them have in common: run, actor, cause, epoch. None where they have nothing in common.
        values: The values of all rows, one after the other: seq, kind, at, address, body, digest; where there is nothing
            in common, in the order of `EVENT`.
    """

    common: tuple[int, None, None, int | None] | None = None
    values: list[Any] = field(default_factory=list[Any])

    def statements(self, takeovers: int) -> list[tuple[str, Sequence[Any]]]:
        """Return the statements that write the rows, in order, and what is bound to each.

        Args:
            takeovers: How often any run had been taken over, as far as is known: where that is behind the file, a
                statement writes nothing.
        """
        width = _WIDTH if self.common is None else _APART
        step = TOGETHER * width
        return [
            self._statement(self.values[start : start + step], width, takeovers)
            for start in range(0, len(self.values), step)
        ]

    def _statement(
        self, values: list[Any], width: int, takeovers: int
    ) -> tuple[str, Sequence[Any]]:
        rows = len(values) // width
        of = filled(rows)
        empty = [None] * (width * (of - rows))
        if self.common is None:
            return _whole(of), [*values, *empty, takeovers]
        return _alike(of), [*self.common, *values, *empty, takeovers]


def _values(rows: int, width: int) -> str:
    marks = f"({', '.join('?' * width)})"
    return (
        f"FROM (VALUES {', '.join([marks] * rows)}) WHERE column1 IS NOT NULL AND {TAKEOVERS} = ?"
    )


@cache
def _whole(rows: int) -> str:
    return f"INSERT INTO events {EVENT} SELECT * {_values(rows, _WIDTH)}"


@cache
def _alike(rows: int) -> str:
    columns = "?1, column1, column2, column3, ?2, ?3, column4, ?4, column5, column6"
    return f"INSERT INTO events {EVENT} SELECT {columns} {_values(rows, _APART)}"
