"""Waiting for room: the more urgent first, then in the order of arrival."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import count

from midstream.adapters.routing.choose import Choice
from midstream.adapters.routing.ledger import Entry, Time
from midstream.errors import ConfigError

PRIORITIES = {"interactive": 0, "normal": 1, "batch": 2, "trial": 3}
"""The lowest first."""


def urgency(given: str | int) -> int:
    """Return a priority as a number.

    Raises:
        ConfigError: There is no such priority.
    """
    if isinstance(given, int):
        return given
    if given not in PRIORITIES:
        raise ConfigError(
            f"priority {given!r} is none of {', '.join(PRIORITIES)}, and no whole number"
        )
    return PRIORITIES[given]


Decide = Callable[[float], Choice]
"""From the time to a choice."""

Take = Callable[[Choice, int], Entry]
"""Takes the room of a choice, at a time in microseconds since 1970."""


@dataclass(slots=True, order=True)
class Waiter:
    """Somebody who waits for room.

    Attributes:
        priority: The lowest first.
        place: The order of arrival.
    """

    priority: int
    place: int
    decide: Decide = field(compare=False)
    take: Take = field(compare=False)
    deadline: float = field(compare=False)
    alike: object = field(compare=False)
    done: asyncio.Future[tuple[Choice, Entry | None]] = field(compare=False)
    last: Choice | None = field(compare=False, default=None)


class Line:
    """Who waits for room.

    Args:
        clock: Tells the time.
        at: The time in microseconds since 1970, in which events have it.
    """

    def __init__(self, clock: Time, at: Callable[[], int]) -> None:
        self._clock = clock
        self._at = at
        self._waiting: list[Waiter] = []
        self._places = count()
        self._timer: asyncio.TimerHandle | None = None
        self._wake: float | None = None
        self._looking = False
        self._again = False

    def __len__(self) -> int:
        return len(self._waiting)

    def place(self) -> int:
        """Return the next place in the order of arrival."""
        return next(self._places)

    async def wait(
        self,
        decide: Decide,
        take: Take,
        *,
        priority: int,
        place: int,
        deadline: float,
        alike: object = None,
    ) -> tuple[Choice, Entry | None]:
        """Return a choice with the room taken, or one of nobody, where waiting does not help within the deadline.

        Args:
            decide: See `Decide`.
            take: See `Take`.
            priority: The lowest is served first.
            place: The order of arrival.
            deadline: In seconds since 1970.
            alike: Where one waiter has no room, later ones with an equal value need not be looked at; None for none.
        """
        done: asyncio.Future[tuple[Choice, Entry | None]] = (
            asyncio.get_running_loop().create_future()
        )
        waiter = Waiter(priority, place, decide, take, deadline, alike, done)
        alone = alike is None or all(one.alike != alike for one in self._waiting)
        self._waiting.append(waiter)
        if alone or self._is_first(waiter):
            self.look((waiter,))
        try:
            async with asyncio.timeout(max(0.0, deadline - self._clock.now())):
                return await done
        except TimeoutError:
            if done.done() and not done.cancelled():
                return done.result()
            return waiter.last or decide(self._clock.now()), None
        finally:
            if waiter in self._waiting:
                self._waiting.remove(waiter)

    def _is_first(self, waiter: Waiter) -> bool:
        return not any(one < waiter for one in self._waiting if one.alike == waiter.alike)

    def look(self, whom: Sequence[Waiter] | None = None) -> None:
        """Serve whoever can be served now.

        Args:
            whom: Only these, since nothing has changed for the others; None for all.
        """
        if self._looking:
            self._again = True  # serving one has made room
            return
        self._looking = True
        try:
            wake = self._serve(self._waiting if whom is None else whom)
            while self._again:
                self._again = False
                wake = self._serve(self._waiting)
        finally:
            self._looking = False
        self._wake_at(wake)

    def _serve(self, whom: Sequence[Waiter]) -> float | None:
        blocked: set[object] = set()
        wakes: list[float] = [] if self._wake is None or whom is self._waiting else [self._wake]
        for waiter in sorted(whom):
            if waiter.done.done() or (waiter.alike is not None and waiter.alike in blocked):
                continue
            at = self._at()
            choice = waiter.last = waiter.decide(at / 1_000_000)
            if choice.candidate is not None:
                self._waiting.remove(waiter)
                waiter.done.set_result((choice, waiter.take(choice, at)))
            elif choice.hopeless(waiter.deadline):
                self._waiting.remove(waiter)
                waiter.done.set_result((choice, None))
            else:
                blocked.add(waiter.alike)
                wakes.append(choice.wake or waiter.deadline)
        return min(wakes, default=None)

    def _wake_at(self, moment: float | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._wake = moment
        if moment is not None:
            delay = max(0.001, moment - self._clock.now())
            self._timer = asyncio.get_running_loop().call_later(delay, self.look)

    def close(self) -> None:
        """Wake nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
