"""Following an agent: its log, and in between what its models are writing in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator

from midstream.adapters.base import Delta
from midstream.engine.agents.events import (
    AgentEvent,
    ModelFailed,
    ModelFinished,
    ModelStarted,
    Teller,
    TextDelta,
)
from midstream.engine.driving.host import Host
from midstream.events.envelope import Event
from midstream.events.ids import RunId

BUFFER = 4096
"""Pieces that may wait for a consumer; of an answer that it is too slow for, it is shown the rest when it is whole."""

_Piece = tuple[str, int, str]
"""The address of a model call, the attempt, and text."""


class _Listener:
    """Takes pieces from the models of one run, and events from its log, into one line."""

    def __init__(self, host: Host, run_id: RunId) -> None:
        self.queue: asyncio.Queue[Event | _Piece | BaseException | None] = asyncio.Queue()
        self._host = host
        self._run_id = run_id
        self._left_out: set[tuple[str, int]] = set()

    def show(self, step: str, delta: Delta) -> None:
        """Take a piece."""
        live = self._host.live.get(self._run_id)
        call = None if live is None else live.runner.state.calls.get(step)
        if call is None or not delta.text:
            return
        if self.queue.qsize() >= BUFFER:
            self._left_out.add((step, call.attempt))
        if (step, call.attempt) not in self._left_out:
            self.queue.put_nowait((step, call.attempt, delta.text))

    def begin(self) -> None:
        """Take what has been written of answers under way, and from now on each piece; nothing is lost in between."""
        live = self._host.live.get(self._run_id)
        for flight in live.runner.models.flights.values() if live is not None else ():
            self.show(flight.address, Delta(text="".join(flight.pieces)))
        self._host.listeners.setdefault(self._run_id, []).append(self.show)

    def end(self) -> None:
        """Listen no more."""
        listeners = self._host.listeners[self._run_id]
        listeners.remove(self.show)
        if not listeners:
            del self._host.listeners[self._run_id]

    async def follow(self, events: AsyncIterator[Event]) -> None:
        """Take the events of the run, until there are no more."""
        try:
            async for event in events:
                self.queue.put_nowait(event)
            self.queue.put_nowait(None)
        except BaseException as error:  # noqa: BLE001  # whatever ends the following ends the stream
            self.queue.put_nowait(error)


class _Past:
    """Keeps back what a consumer has seen, but for answers that are still being written: those it is shown anew."""

    def __init__(self, after: int) -> None:
        self._after = after
        self._open: dict[str, list[AgentEvent]] = {}
        self._over = after <= 0

    def passed(self, told: Iterable[AgentEvent], seq: int) -> Iterator[AgentEvent]:
        """Let through what the consumer has not seen.

        Args:
            told: What was told of one event or piece.
            seq: Of that event, or 0 for a piece.
        """
        if not self._over and seq > self._after:
            yield from self._rest()
        if self._over:
            yield from told
            return
        for one in told:
            match one:
                case ModelStarted():
                    self._open[one.step] = [one]
                case TextDelta():
                    self._open.setdefault(one.step, []).append(one)
                case ModelFinished() | ModelFailed():
                    self._open.pop(one.step, None)
                case _:
                    pass
        if seq == self._after:
            yield from self._rest()

    def _rest(self) -> Iterator[AgentEvent]:
        self._over = True
        for shown in self._open.values():
            yield from shown


async def follow(
    host: Host, run_id: RunId, events: AsyncIterator[Event], *, after: int
) -> AsyncGenerator[AgentEvent, None]:
    """Iterate over what happens in a run, as typed events, until it has ended; see `Run.agent_events`.

    Args:
        host: Drives it, or another process does.
        run_id: The run.
        events: Its events, from the first one.
        after: What was told from events up to this one is not told again.
    """
    teller, past = Teller(), _Past(after)
    listener = _Listener(host, run_id)
    listener.begin()
    following = asyncio.create_task(listener.follow(events))
    try:
        while (item := await listener.queue.get()) is not None:
            if isinstance(item, BaseException):
                raise item
            if isinstance(item, Event):
                told, seq = teller.event(item), item.seq
            else:
                told, seq = teller.piece(*item), 0
            for one in past.passed(told, seq):
                yield one
    finally:
        listener.end()
        following.cancel()
        await asyncio.wait([following])
