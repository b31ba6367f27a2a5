"""Drafts that a driver appends together, and who waits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from midstream.events.envelope import Draft
from midstream.events.store import Head
from midstream.projections.run_snapshot import Dump

Hear = Callable[[BaseException | None], None]
"""Is told that something is durable, or the error because of which it is not."""


class Group:
    """Drafts that are appended together.

    Attributes:
        drafts: They, in order.
        expected: The event that they follow, once they were sent.
        sent: Their append, once they were sent.
        snapshot: What is kept once they are durable, or None.
    """

    __slots__ = ("_afterwards", "_hear", "_waiters", "drafts", "expected", "sent", "snapshot")

    def __init__(self) -> None:
        self.drafts: list[Draft] = []
        self.expected = 0
        self.sent: asyncio.Future[Head] | None = None
        self.snapshot: Dump | None = None
        # Most groups have one who waits, or one who is told.
        self._waiters: list[asyncio.Future[None]] | None = None
        self._hear: Hear | None = None
        self._afterwards: list[Hear] | None = None

    def waiter(self) -> asyncio.Future[None]:
        """Return what is done once they are durable, or cannot be."""
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._waiters is None:
            self._waiters = [waiter]
        else:
            self._waiters.append(waiter)
        return waiter

    def tell(self, hear: Hear) -> None:
        """Have somebody told, after those who wait."""
        if self._hear is None:
            self._hear = hear
        elif self._afterwards is None:
            self._afterwards = [hear]
        else:
            self._afterwards.append(hear)

    def settle(self, error: BaseException | None = None) -> None:
        """Tell everybody who waits what became of it."""
        for waiter in self._waiters or ():
            if waiter.done():
                continue  # its task was cancelled
            if error is None:
                waiter.set_result(None)
            else:
                waiter.set_exception(error)
        if self._hear is not None:
            self._hear(error)
        for hear in self._afterwards or ():
            hear(error)
