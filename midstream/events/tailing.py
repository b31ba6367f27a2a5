"""What a store may do beyond its port: read a snapshot and what came after it in one go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Protocol, runtime_checkable

from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import Snapshot


@runtime_checkable
class Tailing(Protocol):
    """A store that is asked once where a long run stands; another one is asked for the snapshot, then for the events."""

    async def latest(
        self, run_id: RunId, name: str, *, to: int | None = None
    ) -> tuple[Snapshot, AsyncIterator[Event]] | None:
        """Return the snapshot that is kept by this name, and the events of the run from its own, `Snapshot.seq`, on.

        Args:
            run_id: The run.
            name: See `EventStore.load_snapshot`.
            to: Only events up to this seq.

        Returns:
            None where there is no such snapshot.

        Raises:
            RunNotFoundError: There is no such run.
        """
        ...
