"""Sending one request once, within its times: until the first token, between two pieces, and over all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass, field

from midstream.adapters.base import Adapter, Delta, ModelRequest, ModelResponse, StreamingAdapter
from midstream.adapters.headers import listening
from midstream.adapters.routing.config import TimeoutConfig
from midstream.adapters.routing.headers import NOTHING, Said, read_limits
from midstream.errors import CallTimeoutError, ConnectionFailedError, MalformedAnswerError


@dataclass(slots=True)
class Sending:
    """One call while it is under way, and what is known of it.

    Attributes:
        began: When, by the event loop.
        first_token: Seconds until the first piece, or None.
        said: What the headers said of limits.
        shown: Pieces were shown to somebody.
        first: Is set by the first piece.
    """

    began: float
    first_token: float | None = None
    said: Said = NOTHING
    shown: bool = False
    first: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def seconds(self) -> float:
        """Seconds so far."""
        return asyncio.get_running_loop().time() - self.began


def begin() -> Sending:
    """Return the notes of a call that begins now."""
    return Sending(asyncio.get_running_loop().time())


async def send(
    adapter: Adapter,
    request: ModelRequest,
    times: TimeoutConfig,
    notes: Sending,
    *,
    show: Callable[[Delta], None] | None = None,
    watch: bool = False,
) -> ModelResponse:
    """Send, and return the whole answer.

    Args:
        adapter: Who is asked.
        request: What.
        times: How long it may take.
        notes: Where to note what is seen.
        show: Is given the pieces of the answer; None where nobody wants them.
        watch: Ask for a stream also where nobody wants the pieces, to see the first one.

    Raises:
        AdapterError: It failed; a time that ran out is a `CallTimeoutError`.
    """
    pieces = show is not None or watch or times.first_token is not None or times.idle is not None
    with listening() as headers:
        try:
            async with asyncio.timeout(times.total):
                if pieces and isinstance(adapter, StreamingAdapter):
                    return await _streamed(
                        adapter.stream(request), adapter, request, times, notes, show
                    )
                return await adapter.complete(request)
        except TimeoutError as error:
            raise _late(f"no whole answer within {times.total} s", adapter, request) from error
        except OSError as error:
            raise ConnectionFailedError(
                str(error) or type(error).__name__, provider=adapter.provider, model=request.model
            ) from error
        finally:
            notes.said = read_limits(headers, time.time())


async def _streamed(
    pieces: AsyncIterator[Delta | ModelResponse],
    adapter: Adapter,
    request: ModelRequest,
    times: TimeoutConfig,
    notes: Sending,
    show: Callable[[Delta], None] | None,
) -> ModelResponse:
    try:
        while True:
            first = notes.first_token is None
            limit = times.first_token if first else times.idle
            what = "no first token" if first else "nothing further"
            within = asyncio.timeout(limit)
            try:
                async with within:
                    piece = await anext(pieces)
            except TimeoutError as error:
                if not within.expired():
                    raise
                raise _late(f"{what} within {limit} s", adapter, request) from error
            if first:
                notes.first_token = notes.seconds
                notes.first.set()
            if isinstance(piece, ModelResponse):
                return piece
            if show is not None:
                notes.shown = True
                show(piece)
    except StopAsyncIteration as error:
        raise MalformedAnswerError(
            "the stream ended without an answer", provider=adapter.provider, model=request.model
        ) from error
    finally:  # now, not when somebody collects it: it holds a connection
        if isinstance(pieces, AsyncGenerator):
            await pieces.aclose()


def _late(said: str, adapter: Adapter, request: ModelRequest) -> CallTimeoutError:
    return CallTimeoutError(
        f"{adapter.provider} for {request.model!r}: {said}",
        provider=adapter.provider,
        model=request.model,
    )
