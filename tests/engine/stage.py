"""What tests of the engine are played on: clocks that tests move, stores that tell what they were asked, and doors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from midstream import Event, EventStore, Run
from midstream.engine.clock import Clock
from midstream.events.content import Message, Text, ToolCall
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.store import Head
from tests.stores import StoreAround

BEGINNING = 1_800_000_000.0
"""What the clocks of tests show at first, in seconds since 1970."""


class JumpingClock(Clock):
    """A clock on which no time passes but what is waited for, and that at once."""

    def __init__(self) -> None:
        self.time = BEGINNING
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep_until(self, moment: float) -> None:
        self.waits.append(moment - self.time)
        await asyncio.sleep(0)
        self.time = max(self.time, moment)


class HandClock(Clock):
    """A clock that a test moves by hand."""

    def __init__(self) -> None:
        self.time = BEGINNING
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    @property
    def sleepers(self) -> int:
        return sum(not done.done() for _, done in self._sleepers)

    async def sleep_until(self, moment: float) -> None:
        while moment > self.time:
            done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._sleepers.append((moment, done))
            await done

    def advance(self, seconds: float) -> None:
        self.time += seconds
        for moment, done in self._sleepers:
            if moment <= self.time and not done.done():
                done.set_result(None)


class TellingStore(StoreAround):
    """A store that remembers which types of events each append brought."""

    def __init__(self, inner: EventStore) -> None:
        super().__init__(inner)
        self.appends: list[tuple[str, ...]] = []

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        self.appends.append(tuple(draft.type for draft in drafts))
        return super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)


class RoundaboutStore(StoreAround):
    """A store that takes a few turns of the event loop for what a store in memory does at once."""

    async def _dawdle(self) -> None:
        for _ in range(3):
            await asyncio.sleep(0)

    async def read(
        self, run_id: RunId, *, after: int = 0, to: int | None = None
    ) -> AsyncIterator[Event]:
        async for event in super().read(run_id, after=after, to=to):
            yield event
        await self._dawdle()

    async def acquire(self, run_id: RunId, holder: str, *, now: float) -> int:
        await self._dawdle()
        epoch = await super().acquire(run_id, holder, now=now)
        await self._dawdle()
        return epoch


class Door:
    """Where code of a test waits, and the test sees that it has come."""

    def __init__(self) -> None:
        self._come = asyncio.Event()
        self._open = asyncio.Event()
        self.visits = 0

    async def __call__(self) -> None:
        self.visits += 1
        self._come.set()
        await self._open.wait()

    async def reached(self) -> None:
        async with asyncio.timeout(20):
            await self._come.wait()

    def open(self) -> None:
        self._open.set()


async def until(condition: Callable[[], bool]) -> None:
    """Let the event loop turn until the condition is true, 20 s at most."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0)


async def turns(number: int = 20) -> None:
    """Let the event loop turn so many times."""
    for _ in range(number):
        await asyncio.sleep(0)


async def history(run: Run) -> list[Event]:
    """Return every event of a run that has ended."""
    return [event async for event in run.events()]


def types(events: Sequence[Event]) -> list[str]:
    """Return the types of the events, in order."""
    return [event.type for event in events]


def place(events: Sequence[Event], type_: str, address: str = "") -> int:
    """Return the seq of the first event of a type at a step, or anywhere."""
    return next(
        event.seq
        for event in events
        if event.type == type_ and (not address or event.address == address)
    )


def calling(*calls: ToolCall, text: str = "") -> Message:
    """Return a model's turn that calls tools."""
    parts = (Text(text=text),) if text else ()
    return Message(role="assistant", parts=(*parts, *calls))


def call(id_: str, name: str, arguments: str = "{}") -> ToolCall:
    """Return a model's wish to call a tool."""
    return ToolCall(id=id_, name=name, arguments=arguments)
