"""Going through a whole log: the next page is read on the connection's thread while the one before is looked at."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Sequence
from contextvars import copy_context
from functools import partial
from typing import Any

import aiosqlite

from midstream.events.sqlite_job import hand_over
from midstream.events.sqlite_page import PACKED
from midstream.events.sqlite_rows import COLUMNS

PAGE = 1000
"""Rows of a page."""

_MOMENT = 0.001
"""Seconds that the event loop waits at most for the thread to have begun with the next page."""

Packed = Sequence[Any]
"""See `sqlite_page`."""


class Scan:
    """The pages of a scan, each as one row.

    The thread that has read a page goes on with the next one at once: were it asked to, it would wait for the interpreter's
    lock until the page before has been decoded. It keeps one page at most.

    Args:
        connection: Reads.
        types: Only events of these types; None for all.

    Attributes:
        sql: Selects the same pages by rows; `parameters` says what is bound to it.
    """

    def __init__(self, connection: aiosqlite.Connection, types: frozenset[str] | None) -> None:
        self._connection = connection
        self._wanted = [] if types is None else sorted(types)
        marks = ", ".join("?" * len(self._wanted))
        # Asked with each page: another process may have numbered a type meanwhile.
        of = f"AND kind IN (SELECT kind FROM kinds WHERE type IN ({marks}))" * (types is not None)
        self.sql = (
            f"SELECT {COLUMNS} FROM events WHERE id > ? {of} AND run NOT IN (SELECT run FROM sweep)"
            f" ORDER BY id LIMIT {PAGE}"
        )
        # Both are changed on the connection's thread alone.
        self._next: tuple[int, Packed] | None = None
        self._last: Packed = ()
        self._reading_on = threading.Lock()
        self._reading_on.acquire()

    def parameters(self, after: int) -> list[Any]:
        """Return what is bound to `sql` for the page after a position."""
        return [after, *self._wanted]

    async def page(self, after: int) -> tuple[Packed, bool]:
        """Return the page after a position, and whether it was read before it was asked for.

        Raises:
            sqlite3.Error: It could not be read, or is not what can be one row.
            ValueError: The store is closed.
        """
        answer: asyncio.Future[tuple[Packed, bool]] = asyncio.get_running_loop().create_future()
        work, then = partial(self._taken, after), partial(_tell, answer)
        hand_over(self._connection, work, then, copy_context(), self._read_on)
        packed, early = await answer
        if packed[0] == PAGE:
            # The thread needs the lock for another 30 µs before it reads without it; whoever decodes would keep it for 2 ms.
            self._reading_on.acquire(timeout=_MOMENT)
        return packed, early

    def _taken(self, after: int, there: sqlite3.Connection) -> tuple[Packed, bool]:
        kept, self._next, self._last = self._next, None, ()
        early = kept is not None and kept[0] == after
        self._last = kept[1] if kept is not None and early else self._read(there, after)
        return self._last, early

    def _read_on(self, there: sqlite3.Connection) -> None:
        if not self._last or self._last[0] < PAGE:
            return
        after = self._last[1]
        if self._reading_on.locked():
            self._reading_on.release()
        try:
            self._next = after, self._read(there, after)
        except sqlite3.Error:
            self._next = None  # it is raised where it is asked for

    def _read(self, there: sqlite3.Connection, after: int) -> Packed:
        found: Packed = there.execute(PACKED.format(self.sql), self.parameters(after)).fetchone()
        return found


def _tell(
    answer: asyncio.Future[tuple[Packed, bool]],
    found: tuple[Packed, bool] | None,
    error: BaseException | None,
) -> None:
    if answer.done():
        return  # whoever asked has gone
    if error is not None:
        answer.set_exception(error)
    elif found is not None:
        answer.set_result(found)
