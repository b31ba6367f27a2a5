"""Sending a request once, and what is known of it while it is under way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from midstream.adapters.base import Adapter, Delta, ModelRequest, ModelResponse, StreamingAdapter
from midstream.engine.recording.calls import shown
from midstream.errors import CallTimeoutError, ConnectionFailedError, MalformedAnswerError


@dataclass(slots=True)
class Flight:
    """A model call that is under way.

    Attributes:
        address: Of the call.
        asked: The model that the code named.
        thread: The thread it speaks in.
        model: Who is being asked.
        task: What to cancel to abandon it.
        since: The newest event when it began.
        abandoned: It was cancelled because of a migration.
        pieces: What was streamed so far.
    """

    address: str
    asked: str
    thread: str
    model: str
    task: asyncio.Task[ModelResponse]
    since: int
    pieces: list[str]
    abandoned: bool = False


class Sender:
    """Sends requests, and shows what comes of them while it comes.

    Args:
        show: Is given what is streamed: the address of the call, and a piece of the answer.
        listening: Says whether anybody listens, so that streaming is worth it.
    """

    def __init__(self, show: Callable[[str, Delta], None], listening: Callable[[], bool]) -> None:
        self.flights: dict[str, Flight] = {}
        self._show = show
        self._listening = listening

    async def send(
        self, adapter: Adapter, request: ModelRequest, deadline: float, address: str
    ) -> ModelResponse:
        """Send once, within the deadline; whatever goes wrong comes out as an `AdapterError`."""
        try:
            async with asyncio.timeout(deadline):
                if self._listening() and isinstance(adapter, StreamingAdapter):
                    return await self._streamed(adapter.stream(request), address)
                return await adapter.complete(request)
        except TimeoutError as error:
            message = f"no whole answer within {deadline} s"
            raise CallTimeoutError(
                message, provider=adapter.provider, model=request.model
            ) from error
        except OSError as error:
            raise ConnectionFailedError(
                shown(error), provider=adapter.provider, model=request.model
            ) from error

    async def routed(
        self,
        send: Callable[[Callable[[Delta], None] | None], Awaitable[ModelResponse]],
        address: str,
    ) -> ModelResponse:
        """Send once to whom a router chose, within its times; see `send`."""

        def show(piece: Delta) -> None:
            flight = self.flights.get(address)
            if flight is not None and piece.text:
                flight.pieces.append(piece.text)
            self._show(address, piece)

        return await send(show if self._listening() else None)

    async def _streamed(
        self, pieces: AsyncIterator[Delta | ModelResponse], address: str
    ) -> ModelResponse:
        try:
            async for piece in pieces:
                if isinstance(piece, ModelResponse):
                    return piece
                flight = self.flights.get(address)
                if flight is not None and piece.text:
                    flight.pieces.append(piece.text)
                self._show(address, piece)
        finally:  # now, not when somebody collects it: it holds a connection
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        raise MalformedAnswerError("the stream ended without an answer")


async def shielded(task: asyncio.Task[ModelResponse]) -> ModelResponse:
    """Await a task; if the waiter is cancelled, so is the task."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        raise


async def ended(task: asyncio.Task[Any]) -> None:
    """Wait until a cancelled task has let go of its connection."""
    task.cancel()
    await asyncio.wait([task])
