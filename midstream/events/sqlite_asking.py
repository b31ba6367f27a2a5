"""Asking a file of SQLite: statements give rows, and ids of runs their numbers."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import aiosqlite

from midstream.errors import RunNotFoundError, StoreError
from midstream.events.ids import RunId
from midstream.events.keeping import Tombstone
from midstream.events.sqlite_job import T
from midstream.events.sqlite_keeping import tombstone_of
from midstream.events.sqlite_open import translated
from midstream.events.sqlite_reading import Reading

KNOWN = 10_000
"""How many runs' numbers are kept."""


class Asking:
    """Asks a file, and knows which runs it has met there.

    Args:
        reading: What is asked.
        path: The file, for errors.
    """

    def __init__(self, reading: Reading, path: Path) -> None:
        self._reading = reading
        self._path = path
        self._keys: dict[RunId, int] = {}

    async def key(self, run_id: RunId) -> int:
        """Return the number of a run.

        Raises:
            RunNotFoundError: There is no such run.
        """
        known = self._keys.get(run_id)
        if known is not None:
            return known
        sql = "SELECT run, removed FROM runs WHERE uid = ?"
        for key, removed in await self._rows(sql, (run_id,)):
            if removed is not None:
                raise tombstone_of(run_id, removed).error()
            self._learn(run_id, key)
            return int(key)
        raise RunNotFoundError(run_id)

    async def tombstone(self, run_id: RunId) -> Tombstone | None:
        """See `Removing.removed`."""
        sql = "SELECT removed FROM runs WHERE uid = ? AND removed IS NOT NULL"
        for (removed,) in await self._rows(sql, (run_id,)):
            return tombstone_of(run_id, removed)
        return None

    async def _still_there(self, run_id: RunId) -> None:
        """Refuse a run whose number was known and that is no longer there."""
        if (found := await self.tombstone(run_id)) is not None:
            self._keys.pop(run_id, None)
            raise found.error()

    def _learn(self, run_id: RunId, key: int) -> None:
        if len(self._keys) >= KNOWN:
            self._keys.clear()
        self._keys[run_id] = key

    async def _rows(self, sql: str, parameters: Iterable[Any] = ()) -> list[Any]:
        return list(await self._asked(lambda there: there.execute_fetchall(sql, parameters)))

    async def _asked(self, ask: Callable[[aiosqlite.Connection], Awaitable[T]]) -> T:
        try:
            return await ask(await self._reading.connection())
        except sqlite3.Error as error:
            raise translated(error, self._path, 0.0) from error
        except ValueError as error:
            raise StoreError("the store is closed; open it again to read") from error
