"""The port: what every event store does, whoever writes it.

The stores of midstream stand beside it (`memory`, `sqlite`). Whoever writes another one runs
`midstream.testing.StoreContract` against it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId

Status = Literal["running", "paused", "completed", "failed", "cancelled"]

OPEN: frozenset[Status] = frozenset(("running", "paused"))
"""The states of a run that has not ended."""


class Head(NamedTuple):
    """The newest event of a run; kept elsewhere, it is an anchor that shows whether the tail was cut off.

    Attributes:
        seq: Its number in the run.
        position: Its place in the store.
        digest: Its digest.
    """

    seq: int
    position: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class RunInfo:
    """One line about a run, kept with the events and derived from them.

    Attributes:
        run_id: Its id.
        graph: The name of its graph.
        status: Where it stands.
        tags: As given at its start.
        created_at: In microseconds since 1970.
        seq: The number of its events.
        epoch: The epoch of its newest driver; 0 before the first one.
        holder: The driver that holds it, or None.
        until: When that driver's lease runs out unless it shows a sign of life, in seconds since 1970; 0 without a holder.
        parent: The run whose events it begins with, or None; of a fork of a fork's shared part, the one that recorded it.
        forked_at: The last event that it shares with that run; 0 without a parent.
        erased: Its content was erased.
    """

    run_id: RunId
    graph: str
    status: Status
    tags: Mapping[str, str]
    created_at: int
    seq: int
    epoch: int
    holder: str | None
    until: float
    parent: RunId | None = None
    forked_at: int = 0
    erased: bool = False


class Stretch(NamedTuple):
    """A part of a run's events, and the run that recorded it.

    Attributes:
        run_id: That run.
        after: The event before the first one of this part.
        to: The last event of this part, or None for the run's own, which may still grow.
    """

    run_id: RunId
    after: int
    to: int | None


@dataclass(frozen=True, slots=True)
class RunQuery:
    """Which runs to list; what is not given does not matter.

    Attributes:
        status: Any of these.
        graph: The graph's name.
        tags: All of these.
        prefix: How the id begins.
        orphaned_at: Runs that have not ended and that no live driver holds at this time, in seconds since 1970.
        since: Runs that were created then or later, in microseconds since 1970.
        until: Runs that were created before that.
        limit: At most so many, the newest first.
    """

    status: frozenset[Status] | None = None
    graph: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    prefix: str = ""
    orphaned_at: float | None = None
    since: int | None = None
    until: int | None = None
    limit: int | None = None


class Snapshot(NamedTuple):
    """A folded state, kept to fold less; never the truth.

    Attributes:
        seq: The last event in it.
        digest: The digest of that event; a snapshot of another history is not used.
        body: The state, in whatever form its projection wrote.
    """

    seq: int
    digest: bytes
    body: bytes


class Answer(asyncio.Future[Head]):
    """The outcome of an append, as a store may return it: whoever set `hear` is told at once, not a turn of the loop later.

    Attributes:
        hear: Called with this future once it has its outcome; must be quick and must not raise.
    """

    __slots__ = ("hear",)

    def __init__(self, *, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop=loop)
        self.hear: Callable[[asyncio.Future[Head]], None] | None = None


def refuse(answer: asyncio.Future[Any], error: Exception) -> None:
    """Give an answer its error, unless whoever waited for it has gone.

    Who waits may be cancelled in the same turn of the loop, and asyncio would then report an error that nobody has missed.
    """
    if not answer.done():
        answer.set_exception(error)
        answer.exception()  # it counts as seen


Watcher = Callable[[RunId, int], None]
"""Called with a run and its newest seq after a commit; must be quick and must not raise."""


class EventStore(Protocol):
    """An append-only log of many runs.

    Of one store object, appends are taken in the order of the calls, so a writer may append again before the first append
    is durable. An append that continues one whose outcome is not known yet stands or falls with it: where the first is
    refused the second is too, even if somebody else's events happen to have brought the run to the `seq` it expects. Once
    the first is answered, its writer is the one to know; it looks before it appends again.
    """

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        """Record the drafts after event number `expected`, all or none.

        The append is in line when this returns; what it returns is awaited for the outcome. Both conditions are checked
        in the transaction that writes.

        Args:
            run_id: The run to append to; a run exists once it has an event.
            drafts: What happened, in order; empty records nothing and returns the head.
            expected: The `seq` of the last event the writer has read; 0 for a new run, whose first draft is
                `run.created`. A run whose first draft is `run.forked` begins with the events of its parent up to the
                one that this names, which is the last one the writer has read.
            epoch: The epoch of the driver, where the event is a driver's; None checks no lease.
            holder: Of a new run: the driver that holds it from the start, with epoch 1.

        Returns:
            The new head, durable.

        Raises:
            ConcurrencyError: The run is not at `expected`.
            LeaseLostError: The run is driven with another epoch.
            RunNotFoundError: There is no such run, and `expected` is not 0.
            StoreError: A new run begins with neither of the two, or its parent has no such event. Or it could not be written. Whether it was is not known where the connection broke in the middle:
                append again with the same `expected` and see (`midstream.events.patience`).
        """
        ...

    def read(self, run_id: RunId, *, after: int = 0, to: int | None = None) -> AsyncIterator[Event]:
        """Iterate over the events of a run in order, blobs in place; no lock is held while the caller works.

        A fork begins with the events of its parent; their `run_id` is that of the run that recorded them.

        Args:
            run_id: The run.
            after: Only events with a greater seq.
            to: Only events up to this seq; None for all that are durable when they are reached.

        Raises:
            RunNotFoundError: There is no such run.
            CorruptLogError: An event cannot be decoded.
        """
        ...

    def scan(
        self, *, after: int = 0, types: frozenset[str] | None = None
    ) -> AsyncIterator[Sequence[Event]]:
        """Iterate over the events of all runs by position, in pages; blobs stay references.

        Args:
            after: Only events with a greater position.
            types: Only these stored types, or None for all.
        """
        ...

    async def head(self, run_id: RunId) -> Head | None:
        """Return the newest event's place and digest, or None where there is no such run."""
        ...

    async def newest_of(self, run_id: RunId, step: str) -> int | None:
        """Return the seq of the newest event of a step that the run itself recorded, or None; nothing is decoded.

        Raises:
            RunNotFoundError: There is no such run.
        """
        ...

    async def from_others(self, run_id: RunId, types: frozenset[str]) -> Sequence[Event]:
        """Return what others than the engine recorded of these stored types in the run, in order, blobs in place.

        They are few beside the engine's, and a store finds them without looking at those.

        Raises:
            RunNotFoundError: There is no such run.
        """
        ...

    async def lineage(self, run_id: RunId) -> Sequence[Stretch]:
        """Return which run recorded which part of a run's events, the oldest part first, the run's own last.

        Raises:
            RunNotFoundError: There is no such run.
        """
        ...

    async def runs(self, query: RunQuery = ...) -> Sequence[RunInfo]:
        """List runs, the newest first; streams of `midstream.events.system` only where the prefix asks for them."""
        ...

    async def blob(self, digest: str) -> bytes:
        """Return a body that was put aside, by its sha256 in hex.

        Raises:
            CorruptLogError: It is not there, or it is not what its digest says.
        """
        ...

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        """Take a run over and return its new epoch; the driver appends `run.resumed` with it before all else.

        A run is free when it has no holder, when its holder's lease has run out, or when the holder is the caller.

        Args:
            run_id: The run.
            holder: The name of the driver, unique among live ones.
            now: In seconds since 1970.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            RunNotFoundError: There is no such run.
        """
        ...

    async def beat(self, holder: str, *, until: float) -> None:
        """Show a sign of life: the leases of all runs of this driver hold until then, in seconds since 1970."""
        ...

    async def release(self, run_id: RunId, *, epoch: int) -> None:
        """Give a run up, so that it can be taken over at once; does nothing when the epoch is an old one."""
        ...

    async def save_snapshot(self, run_id: RunId, name: str, snapshot: Snapshot) -> None:
        """Keep the newest snapshot of a projection of a run, by the name of the projection."""
        ...

    async def load_snapshot(self, run_id: RunId, name: str) -> Snapshot | None:
        """Return the snapshot kept by this name, or None."""
        ...

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher` in the event loop after each commit to the store, this process's or another's.

        Commits may be reported together: what is passed is a run that changed and its newest seq. A process that
        watches looks for other processes' commits; within a process nothing polls.

        Returns:
            A function that ends it.
        """
        ...

    async def close(self) -> None:
        """Wait for what is in line, then let go of everything; appends after that raise `StoreError`."""
        ...


@runtime_checkable
class Sealable(Protocol):
    """A store whose content may be sealed, and that can be looked at without any key."""

    def stored(self, run_id: RunId, *, after: int = 0) -> AsyncIterator[Event]:
        """Iterate over the events of a run as they are stored: blobs as references, and what is sealed as it is.

        Raises:
            RunNotFoundError: There is no such run.
            CorruptLogError: An event cannot be decoded.
        """
        ...


def as_stored(store: EventStore, run_id: RunId, *, after: int = 0) -> AsyncIterator[Event]:
    """Iterate over the events of a run as they are stored, where the store can tell them so; see `Sealable.stored`."""
    if isinstance(store, Sealable):
        return store.stored(run_id, after=after)
    return store.read(run_id, after=after)


@runtime_checkable
class Selective(Protocol):
    """What a store may do beyond its port: leave events of a run out where nobody needs them."""

    def select(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        to: int | None = None,
        without: frozenset[str],
        within: Sequence[str] | None = None,
        bare: frozenset[str] = frozenset(),
    ) -> AsyncIterator[Sequence[Event]]:
        """Iterate over some events of a run, in order and in pages, blobs in place.

        Args:
            run_id: The run.
            after: Only events with a greater seq.
            to: Only events up to this seq.
            without: Stored types that are left out.
            within: The opposite: only those of the types in `without` that belong to a step inside of these activations.
            bare: Types of which only the envelope is needed: their data is empty, and not read.

        Raises:
            RunNotFoundError: There is no such run.
            CorruptLogError: An event cannot be decoded.
        """
        ...


@runtime_checkable
class Counting(Protocol):
    """What a store may do beyond its port: count events without handing them out."""

    async def counted(
        self, run_id: RunId, types: frozenset[str], *, to: int | None = None
    ) -> Mapping[str, int]:
        """Return how many events of these stored types each activation of a run has, by its address.

        Args:
            run_id: The run.
            types: Which events.
            to: Only events up to this seq.

        Raises:
            RunNotFoundError: There is no such run.
        """
        ...
