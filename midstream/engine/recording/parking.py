"""Runs that only wait: seen by their driver, put aside without task and state, and woken by an event or a moment.

A run rests when every branch of every activation that is under way waits for a person or for a distant moment, as far as
`ctx` knows of them. It is then let go of: its log has all there is to know, and what the code did before the wait is found
in the log when it is called again.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from midstream.engine.clock import Clock
from midstream.engine.recording.claims import Claims
from midstream.events.ids import RunId

PARK_AFTER = 1.0
"""Seconds of rest after which a run is parked: one that is answered at once is not loaded again for it."""

DISTANT = 30.0
"""Seconds from now for which it is worth it to park a run."""

_SHORTEST_LOOK = 0.01
_LONGEST_LOOK = 60.0

Moments = Sequence[float | None]
"""What branches wait for: moments in seconds since 1970, None for people."""


@dataclass(frozen=True, slots=True)
class Parked:
    """How driving a run ended: it waits.

    Attributes:
        until: The moment that wakes it, in seconds since 1970; None where only an event does.
        seq: Where the run stood when that was seen; what came after it may be what it waits for.
    """

    until: float | None
    seq: int


class Branches:
    """The branches of one activation, and which of them wait.

    Args:
        claims: Knows the branches that the node's code began.
    """

    def __init__(self, claims: Claims) -> None:
        self._claims = claims
        self._waits: dict[asyncio.Task[Any] | None, float | None] = {}
        self._parents: dict[asyncio.Task[Any] | None, asyncio.Task[Any] | None] = {}
        self._working = 0

    @contextmanager
    def waiting(self, moment: float | None) -> Generator[None]:
        """Say that the current branch waits for a person, or for a moment in seconds since 1970."""
        task = asyncio.current_task()
        self._waits[task] = moment
        try:
            yield
        finally:
            self._waits.pop(task, None)

    @contextmanager
    def working(self) -> Generator[None]:
        """Say that a tool is at work, whatever it waits for: it cannot be called again for nothing."""
        self._working += 1
        try:
            yield
        finally:
            self._working -= 1

    @contextmanager
    def branch_of(self, parent: asyncio.Task[Any] | None) -> Generator[None]:
        """Say that the current task is a branch that another one waits for."""
        task = asyncio.current_task()
        if task is parent:
            yield
            return
        self._parents[task] = parent
        try:
            yield
        finally:
            del self._parents[task]

    def moments(self) -> Moments | None:
        """Return what the branches wait for, or None while one of them does something else."""
        if not self._waits or self._working:
            return None
        lanes = self._claims.live()
        busy = {*lanes, *self._parents} - self._waits.keys()
        awaited = {*self._parents.values(), *(t for t, lane in lanes.items() if _has(lanes, lane))}
        return None if busy - awaited else tuple(self._waits.values())


def _has(lanes: dict[asyncio.Task[Any], str], lane: str) -> bool:
    """Say whether a branch has branches of its own, which it is taken to wait for."""
    below = f"{lane}." if lane else ""
    return any(other != lane and other.startswith(below) for other in lanes.values())


class Rest:
    """Looks whether a run rests, some time after one of its branches began to wait.

    Args:
        clock: Tells the time of the moments.
        after: Seconds of rest after which the run is parked.
        moments: Returns what the whole run waits for, or None while something is going on.
        park: Called with the moment that is to wake it, or None for none.
    """

    __slots__ = ("_after", "_clock", "_moments", "_park", "_timer")

    def __init__(
        self,
        clock: Clock,
        *,
        after: float,
        moments: Callable[[], Moments | None],
        park: Callable[[float | None], None],
    ) -> None:
        self._clock = clock
        self._after = after
        self._moments = moments
        self._park = park
        self._timer: asyncio.TimerHandle | None = None

    def begun(self) -> None:
        """Hear that a branch begins to wait."""
        if self._timer is None:
            self._look_in(self._after)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, seconds: float) -> None:
        self._timer = asyncio.get_running_loop().call_later(seconds, self._look, seconds)

    def _look(self, waited: float) -> None:
        moments = self._moments()
        near = self._clock.now() + DISTANT
        if moments is None or any(moment is not None and moment < near for moment in moments):
            # While something is going on, looking costs nothing that matters, and ever less.
            self._look_in(min(max(2 * waited, _SHORTEST_LOOK), _LONGEST_LOOK))
            return
        self._timer = None
        self._park(min((one for one in moments if one is not None), default=None))


@dataclass(frozen=True, slots=True)
class Place:
    """What is kept of a run that is parked.

    Attributes:
        until: The moment that wakes it, in seconds since 1970, or None.
        epoch: With which it is driven on.
    """

    until: float | None
    epoch: int


class Lot:
    """The runs that are parked in this process.

    Args:
        clock: Tells the time, and waits.
        wake: Called with a run whose moment has come.
    """

    def __init__(self, clock: Clock, wake: Callable[[RunId], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._places: dict[RunId, Place] = {}
        self._due: list[tuple[float, RunId]] = []
        self._alarm: asyncio.Task[None] | None = None

    def __contains__(self, run_id: RunId) -> bool:
        return run_id in self._places

    def __len__(self) -> int:
        return len(self._places)

    def park(self, run_id: RunId, place: Place) -> None:
        """Keep a run until it is taken."""
        self._places[run_id] = place
        if place.until is None:
            return
        sooner = not self._due or place.until < self._due[0][0]
        heapq.heappush(self._due, (place.until, run_id))
        if sooner:
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = asyncio.create_task(self._ring())

    def take(self, run_id: RunId) -> Place | None:
        """Return the place of a run, which is then free, or None where the run is not here."""
        return self._places.pop(run_id, None)

    def all(self) -> dict[RunId, Place]:
        """Return every run that is here."""
        return dict(self._places)

    async def close(self) -> None:
        """Wake nobody any more."""
        if self._alarm is not None:
            self._alarm.cancel()
            await asyncio.wait([self._alarm])

    async def _ring(self) -> None:
        """Wake runs when their moments come, while there are any; one task for all of them."""
        while self._due:
            await self._clock.sleep_until(self._due[0][0])
            now = self._clock.now()
            while self._due and self._due[0][0] <= now:
                moment, run_id = heapq.heappop(self._due)
                place = self._places.get(run_id)
                if place is not None and place.until == moment:  # not of an earlier stay
                    self._wake(run_id)
        self._alarm = None
