"""A process that ends at a chosen moment, without a process: from then on nothing it does reaches the outside."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from midstream.engine.clock import Clock
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head
from tests.stores import StoreAround


class PowerCut(BaseException):  # no error of the engine's: it stands for the end of the process
    """Raised by everything that would leave a process which has ended."""


@dataclass
class Power:
    """What a process runs on.

    Attributes:
        cut_at: Says at which moment it ends.
        moments: Those that were passed, in order.
        dead: The process has ended.
        died: Is set when it ends.
    """

    cut_at: Callable[[str, int], bool] = lambda name, place: False
    moments: list[str] = field(default_factory=list[str])
    dead: bool = False
    died: asyncio.Event = field(default_factory=asyncio.Event)

    def point(self, name: str) -> None:
        """Pass a moment, or end at it."""
        self.check()
        self.moments.append(name)
        if self.cut_at(name, len(self.moments) - 1):
            self.dead = True
            self.died.set()
        self.check()

    def check(self) -> None:
        """Let nothing out of a process that has ended."""
        if self.dead:
            raise PowerCut


class PoweredStore(StoreAround):
    """What one process sees of a store: two moments for each append, and nothing after its end."""

    def __init__(self, inner: EventStore, power: Power) -> None:
        super().__init__(inner)
        self._power = power

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        answer: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
        types = ",".join(draft.type for draft in drafts)
        try:
            self._power.point(f"before append {types}")
        except PowerCut as cut:
            answer.set_exception(cut)
            return answer
        sent = super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)

        def answered(done: asyncio.Future[Head]) -> None:
            if answer.done():
                return
            try:
                self._power.point(f"after append {types}")
                answer.set_result(done.result())
            except BaseException as error:  # noqa: BLE001  # refusals are handed on like the cut
                answer.set_exception(error)

        asyncio.ensure_future(sent).add_done_callback(answered)
        return answer

    async def read(
        self, run_id: RunId, *, after: int = 0, to: int | None = None
    ) -> AsyncIterator[Event]:
        async for event in super().read(run_id, after=after, to=to):
            self._power.check()
            yield event

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        self._power.point("before acquire")
        epoch = await super().acquire(run_id, holder, now=now)
        self._power.point("after acquire")
        return epoch

    async def beat(self, holder: str, *, until: float) -> None:
        if not self._power.dead:
            await super().beat(holder, until=until)

    async def release(self, run_id: RunId, *, epoch: int) -> None:
        if not self._power.dead:
            await super().release(run_id, epoch=epoch)

    async def close(self) -> None:
        """Leave the store behind it open: other processes use it."""


class LateClock(Clock):
    """The wall clock, some seconds fast: the leases of those who died have run out."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def now(self) -> float:
        return super().now() + self._seconds
