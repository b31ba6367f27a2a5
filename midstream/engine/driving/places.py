"""Places: how many items of a map may be under way at once."""

from __future__ import annotations

import asyncio


class Places:
    """So many places, taken by one who waits for them and left by many.

    A semaphore gives one place at a time; here whoever waits gets all that are free, so that as many items are
    scheduled in one go.

    Args:
        count: How many there are; at least one.
    """

    __slots__ = ("_waiter", "free")

    def __init__(self, count: int) -> None:
        self.free = count
        self._waiter: asyncio.Future[None] | None = None

    async def take(self, wanted: int) -> int:
        """Take up to so many places, once one is free, and return how many; only one task may wait here."""
        while not self.free:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        taken = min(self.free, wanted)
        self.free -= taken
        return taken

    def leave(self, count: int) -> None:
        """Leave so many places, for who waits."""
        self.free += count
        waiter = self._waiter
        if waiter is not None and count and not waiter.done():
            waiter.set_result(None)
