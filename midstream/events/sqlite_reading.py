"""Which connection reads: at first the one that writes, then one of its own.

To open a second connection starts a thread and reads the file's tables once more, as long as all else that a store needs to
be opened. Who opens one to take a single run over, or to append a few events, reads three or four times.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import aiosqlite

AT_FIRST = 16
"""So many reads share the writer's connection, where each of them waits for the commit that is under way."""

Opener = Callable[[], Awaitable[aiosqlite.Connection]]


class Reading:
    """Reads of one store.

    Args:
        connection: What reads at first.
        opener: Opens a connection that cannot write; None where `connection` is one.
    """

    def __init__(self, connection: aiosqlite.Connection, opener: Opener | None) -> None:
        self._connection = connection
        self._own: aiosqlite.Connection | None = None
        self._opener = opener
        self._reads = 0
        self._opening: asyncio.Task[None] | None = None

    async def connection(self) -> aiosqlite.Connection:
        """Return what the next read is done by.

        Raises:
            sqlite3.Error: A second connection could not be opened.
        """
        if self._opener is not None:
            self._reads += 1
            # Whoever reads while it is being opened reads as before.
            if self._reads > AT_FIRST and not self._under_way:
                await self._open(self._opener)
        return self._connection

    async def own(self) -> aiosqlite.Connection:
        """Return a connection that nobody writes by, for much to read.

        Raises:
            sqlite3.Error: It could not be opened.
        """
        if self._opener is not None:
            await self._open(self._opener)
        return self._connection

    async def close(self) -> None:
        """Close the connection that was opened here."""
        self._opener = None
        if self._opening is not None:
            await asyncio.wait([self._opening])
        if self._own is not None:
            await self._own.close()

    @property
    def _under_way(self) -> bool:
        return self._opening is not None and not self._opening.done()

    async def _open(self, opener: Opener) -> None:
        if self._opening is None or self._opening.done():
            # A task, so that it ends as a whole where whoever reads is cancelled.
            self._opening = asyncio.create_task(self._opened(opener), name="midstream:reader")
        await asyncio.shield(self._opening)

    async def _opened(self, opener: Opener) -> None:
        self._connection = self._own = await opener()
        self._opener = None
