"""What a store may do beyond its port: remove whole runs that have ended, and say afterwards where they stood.

Removing is done in two steps. The first hides the runs, all or none, and records that they are gone; it takes the time of
an append. The second, `sweep`, deletes what they leave, some at a time, so that nobody who appends waits for long; a store
whose process ended in between goes on with it the next time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol, runtime_checkable

from midstream.errors import RunNeededError, RunRemovedError
from midstream.events import payloads
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.store import OPEN, Status
from midstream.events.system import is_system

SWEPT = 1000
"""Rows that are deleted in one transaction; some 10 ms."""


class Tombstone(NamedTuple):
    """Where a run stood when it was removed.

    Attributes:
        run_id: The run.
        graph: The name of its graph.
        status: How it had ended.
        seq: Its last event.
        digest: The digest of that event.
        at: When it was removed, in microseconds since 1970.
        actor: Who removed it.
        reason: Why.
    """

    run_id: RunId
    graph: str
    status: Status
    seq: int
    digest: bytes
    at: int
    actor: str
    reason: str

    def error(self) -> RunRemovedError:
        """Return what whoever asks for the run is told."""
        return RunRemovedError(self.run_id, self.at, self.reason)

    def draft(self) -> Draft:
        """Return it as the fact that is recorded in `system:keeping`."""
        assert (
            self.status == "completed" or self.status == "failed" or self.status == "cancelled"
        )  # narrows the type
        fact = payloads.RunRemoved(
            run=self.run_id,
            graph=self.graph,
            status=self.status,
            seq=self.seq,
            digest=self.digest.hex(),
            reason=self.reason,
        )
        return encode(fact, at=self.at, actor=self.actor)


@runtime_checkable
class Removing(Protocol):
    """A store from which runs can be removed."""

    async def remove(
        self, run_ids: Sequence[RunId], *, at: int, actor: str, reason: str = ""
    ) -> Sequence[Tombstone]:
        """Remove runs, all or none; from here on nobody can read them or append to them, in any process.

        Args:
            run_ids: The runs; of a run and its forks, in any order.
            at: When, in microseconds since 1970.
            actor: Who wants it.
            reason: Why; recorded.

        Returns:
            Where they stood; durable, also as `run.removed` in `system:keeping`.

        Raises:
            RunNeededError: One has not ended, is a stream of the system's, or has forks that are not among them.
            RunNotFoundError: There is no such run.
        """
        ...

    async def sweep(self, *, limit: int = SWEPT) -> int:
        """Delete some of what removed runs have left, in one short transaction, then give back the space of some.

        Returns:
            How many rows and pages that were; 0 when nothing is left.
        """
        ...

    async def removed(self, run_id: RunId) -> Tombstone | None:
        """Return where a run stood that was removed, or None where none of this id was."""
        ...


@runtime_checkable
class Erasing(Protocol):
    """A store in which content can be erased, because it is sealed with keys that can be destroyed."""

    @property
    def encrypted(self) -> bool:
        """Whether the content of runs that begin now is sealed."""
        ...

    async def erase(
        self,
        run_ids: Sequence[RunId] = (),
        *,
        subject: str = "",
        at: int,
        actor: str,
        reason: str = "",
    ) -> Sequence[RunId]:
        """Destroy the keys of runs, and of the forks that begin with their events; all or none.

        Their events stay where they are, with their envelopes and digests. They are read with the type `erased` and without
        data, nothing is appended to the runs any more, and a run that had not ended is cancelled by it. In each run,
        `run.erased` says so; of a subject, `subject.erased` in `system:keeping`, too.

        Args:
            run_ids: The runs.
            subject: All runs of this subject, also those that were removed and from which something was learnt.
            at: When, in microseconds since 1970.
            actor: Who wants it.
            reason: Why; recorded.

        Returns:
            The runs whose content is gone, forks and those that were erased before among them.

        Raises:
            RunNotFoundError: There is no such run; nothing was erased.
            StoreError: A run was recorded without encryption; nothing was erased.
        """
        ...


def check_removable(
    run_id: RunId, status: Status, forks: Sequence[RunId], going: Sequence[RunId]
) -> None:
    """Refuse to remove a run that is still needed.

    Args:
        run_id: The run.
        status: Where it stands.
        forks: The runs that share its events.
        going: The runs that are to be removed together.

    Raises:
        RunNeededError: It is needed.
    """
    if is_system(run_id):
        raise RunNeededError(
            run_id, "it is about many runs", "only runs are removed, never streams of the system"
        )
    if status in OPEN:
        raise RunNeededError(
            run_id, f"it has not ended ({status})", "cancel it, or wait until it has ended"
        )
    staying = [fork for fork in forks if fork not in going]
    if staying:
        listed = ", ".join(map(repr, staying[:3])) + (", …" if len(staying) > 3 else "")
        raise RunNeededError(
            run_id,
            f"its events are the beginning of {listed}",
            "remove its forks first, or together with it",
            staying,
        )
