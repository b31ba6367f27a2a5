"""What each part of the contract needs: a store."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio

from midstream.events.store import EventStore


class Promises:
    """What each part of the contract needs: a store.

    Attributes:
        persistent: Whether a store that is made again in the same folder has what the closed one had.
        sealed: Whether it seals content, so that what is stored is not what was given.
    """

    persistent = False
    sealed = False

    async def make_store(self, folder: Path) -> EventStore:
        """Open a store.

        Args:
            folder: An empty directory for it, or the one it was in before.
        """
        raise NotImplementedError

    @pytest_asyncio.fixture
    async def store(self, tmp_path: Path) -> AsyncIterator[EventStore]:
        """A new store, closed after the test."""
        store = await self.make_store(tmp_path)
        yield store
        await store.close()
