"""A clock for tests, on which days take milliseconds."""

from __future__ import annotations

import asyncio
import heapq
from itertools import count

from midstream.engine.clock import Clock

BEGINNING = 1_800_000_000.0
"""What a fake clock shows at first, in seconds since 1970."""

_IDLE_TURNS = 50


class FakeClock(Clock):
    """A clock that a test moves, or that moves by itself to the next moment that anybody waits for.

    Pass it to `Engine(clock=…)`. What passes is the time of timers, deadlines, retries and leases; limits of calls and of
    nodes (`timeout=`) bound real work and are measured in real time.

    Args:
        start: What it shows at first, in seconds since 1970.
        auto: Move on by itself when nothing else happens in the event loop. A test in which somebody answers before a
            deadline moves it by hand: `auto=False` and `advance`.
    """

    def __init__(self, start: float = BEGINNING, *, auto: bool = True) -> None:
        self._now = start
        self._auto = auto
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._pumping: asyncio.Task[None] | None = None

    def now(self) -> float:
        """See `Clock.now`."""
        return self._now

    @property
    def next(self) -> float | None:
        """The next moment that anybody waits for, in seconds since 1970, or None."""
        self._forget()
        return self._sleepers[0][0] if self._sleepers else None

    async def sleep_until(self, moment: float) -> None:
        """See `Clock.sleep_until`."""
        while moment > self._now:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            heapq.heappush(self._sleepers, (moment, next(self._order), done))
            if self._auto and (self._pumping is None or self._pumping.done()):
                self._pumping = asyncio.create_task(self._pump())
            await done

    async def advance(self, seconds: float) -> None:
        """Let time pass, moment by moment, so that whatever is due in it happens in order."""
        until = self._now + seconds
        while (moment := self.next) is not None and moment <= until:
            self.jump(max(0.0, moment - self._now))
            await _turns()
        self.jump(until - self._now)
        await _turns()

    def jump(self, seconds: float) -> None:
        """Set the clock, forward or back, as an administrator does; who waits for a moment that is past is woken."""
        self._now += seconds
        while self._sleepers and self._sleepers[0][0] <= self._now:
            _, _, done = heapq.heappop(self._sleepers)
            if not done.done():
                done.set_result(None)

    def _forget(self) -> None:
        while self._sleepers and self._sleepers[0][2].done():
            heapq.heappop(self._sleepers)

    async def _pump(self) -> None:
        """Move on while somebody waits; give what was woken its turns first."""
        while True:
            await _turns()
            moment = self.next
            if moment is None:
                return
            self.jump(moment - self._now)


async def _turns() -> None:
    for _ in range(_IDLE_TURNS):
        await asyncio.sleep(0)
    await asyncio.sleep(0.001)  # a store writes in a thread of its own
