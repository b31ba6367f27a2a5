"""Telling watchers of commits: this process's at once, other processes' by looking for them while somebody watches."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Mapping

import aiosqlite

from midstream.errors import StoreError
from midstream.events.ids import RunId
from midstream.events.sqlite_open import Found
from midstream.events.sqlite_reader import Reader
from midstream.events.store import Watcher

PAUSE = 0.05
"""Seconds between two looks for other processes' commits."""


class Watch:
    """The watchers of one store.

    Args:
        connection: Its `data_version` changes when another connection commits, and not when it does itself: the
            writer's. Source: https://www.sqlite.org/pragma.html#pragma_data_version
        reader: Finds the runs that grew.
        found: How the file stood when it was opened; of what comes after that, everything is reported.
    """

    def __init__(self, connection: aiosqlite.Connection, reader: Reader, found: Found) -> None:
        self._connection = connection
        self._reader = reader
        self._position = found.last
        self._version: int | None = found.data_version
        self._watchers: list[Watcher] = []
        self._task: asyncio.Task[None] | None = None

    def add(self, watcher: Watcher) -> Callable[[], None]:
        """See `EventStore.watch`."""
        self._watchers.append(watcher)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._look())

        def end() -> None:
            if watcher in self._watchers:
                self._watchers.remove(watcher)
            if not self._watchers and self._task is not None:
                self._task.cancel()
                self._task = None

        return end

    def committed(self, grown: Mapping[RunId, int], first: int, last: int) -> None:
        """Report a commit of this process."""
        if first == self._position + 1:
            # Otherwise another process committed in between, and the next look starts from before it.
            self._position = last
        self._tell(grown)

    async def close(self) -> None:
        """End all watches."""
        self._watchers.clear()
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    def _tell(self, grown: Mapping[RunId, int]) -> None:
        for watcher in tuple(self._watchers):
            for run_id, seq in grown.items():
                try:
                    watcher(run_id, seq)
                except Exception as error:  # noqa: BLE001  # a user's function; the others and the writer go on
                    context = {"message": f"watcher {watcher!r} raised", "exception": error}
                    asyncio.get_running_loop().call_exception_handler(context)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(PAUSE)
            try:
                if await self._others_committed():
                    grown, self._position = await self._reader.grown(self._position)
                    self._tell(grown)
            except (sqlite3.Error, StoreError):
                # A lock at the wrong moment; the next look finds what this one did not.
                self._version = None

    async def _others_committed(self) -> bool:
        rows = await self._connection.execute_fetchall("PRAGMA data_version")
        version = int(next(iter(rows))[0])
        changed = version != self._version
        self._version = version
        return changed
