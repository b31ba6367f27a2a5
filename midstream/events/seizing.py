"""What a store may do beyond its port: take a run over in one commit, and keep signs of life in line without a wait."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.store import Head


@runtime_checkable
class Seizing(Protocol):
    """A store that takes a run over in one commit; another one is asked for its parts, one after the other."""

    async def seize(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int,
        holder: str,
        now: float,
        until: float,
    ) -> Head:
        """Show a sign of life, take a run over and append to it, all or nothing; see `beat`, `acquire` and `append`.

        Args:
            run_id: The run.
            drafts: What its new driver records first.
            expected: The seq of the last event that the driver has read.
            epoch: What the run's new epoch is expected to be; the drafts have it.
            holder: The name of the driver.
            now: In seconds since 1970.
            until: Until when the leases of all runs of this driver hold.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            LeaseLostError: Its new epoch would be another one.
            ConcurrencyError: It is not at `expected`.
            RunNotFoundError: There is no such run.
        """
        ...

    def live(self, holder: str, *, until: float) -> asyncio.Future[None]:
        """Show a sign of life; whatever is asked of the store after this call is committed with it, or later."""
        ...
