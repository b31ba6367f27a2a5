"""A world without waiting: an event loop whose time jumps, and endpoints whose troubles are written down beforehand."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from midstream.adapters.base import Capabilities, Delta, ModelRequest, ModelResponse, Settings
from midstream.adapters.scripted import ScriptedAdapter
from midstream.adapters.view import Segment, View
from midstream.errors import (
    AdapterError,
    AuthenticationError,
    ContextWindowError,
    OverloadedError,
    QuotaError,
    RateLimitError,
    UnavailableError,
)
from midstream.events.content import assistant
from midstream.events.payloads import Usage

T = TypeVar("T")

START = 1_800_000_000.0


class _Jumping(selectors.SelectSelector):
    """Waits for nothing: lets the loop's time jump instead."""

    def __init__(self) -> None:
        super().__init__()
        self.time = 0.0

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise AssertionError("everybody waits for something that never comes")
        self.time += max(0.0, timeout)
        return super().select(0)


class JumpingLoop(asyncio.SelectorEventLoop):
    """An event loop in which a day takes as long as what is done in it."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.time


class LoopClock:
    """Tells the loop's time as if it had begun in 2027."""

    def now(self) -> float:
        return START + asyncio.get_running_loop().time()

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(max(0.0, moment - self.now()))


def played(work: Coroutine[Any, Any, T]) -> T:
    """Run something to its end in a loop whose time jumps."""
    loop = JumpingLoop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


Trouble = Callable[[float], AdapterError | float | None]
"""From the seconds since the start to an error to raise, seconds to take longer, or nothing."""


@dataclass
class FakeEndpoint:
    """An endpoint that answers after a while, unless it has troubles; it counts what a provider would count.

    Attributes:
        latency: Seconds for an answer.
        first: Seconds until its first piece.
        trouble: What goes wrong, and when.
        calls: When each call came, in seconds since 1970, and its tokens.
        most: The most calls at the same time.
        window: Of its model.
        images: Its model takes images.
    """

    provider: str = "fake"
    latency: float = 1.0
    first: float = 0.2
    trouble: Trouble = lambda _: None
    calls: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    most: int = 0
    window: int | None = None
    images: bool = True
    answers: str = "fine"
    output: int = 100
    finish: Any = "stop"
    flying: int = 0
    closed: bool = False
    requests: list[ModelRequest] = field(default_factory=list[ModelRequest])
    _told: ScriptedAdapter = field(default_factory=lambda: ScriptedAdapter({}))

    def capabilities(self, model: str) -> Capabilities:
        return Capabilities(context_window=self.window, images=self.images)

    def begin(self, model: str) -> View:
        return self._told.begin(model)

    def render(self, view: View, segment: Segment) -> View:
        return self._told.render(view, segment)

    def request(self, view: View, settings: Settings) -> ModelRequest:
        return self._told.request(view, settings)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        wait, error = self._came(request)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(wait)
        finally:
            self.flying -= 1
        if error is not None:
            raise error
        return self._answer(request)

    async def stream(self, request: ModelRequest) -> Any:
        wait, error = self._came(request)
        self.flying += 1
        self.most = max(self.most, self.flying)
        try:
            await asyncio.sleep(wait if error else self.first + wait - self.latency)
            if error is not None:
                raise error
            yield Delta(text=self.answers[:2])
            await asyncio.sleep(max(0.0, self.latency - self.first))
            yield Delta(text=self.answers[2:])
            yield self._answer(request)
        finally:
            self.flying -= 1

    async def close(self) -> None:
        self.closed = True

    def _came(self, request: ModelRequest) -> tuple[float, AdapterError | None]:
        now = LoopClock().now()
        self.requests.append(request)
        self.calls.append((now, request.size // 4 + self.output))
        found = self.trouble(now - START)
        if isinstance(found, AdapterError):
            return min(self.latency, 0.05), found
        return self.latency + (found or 0.0), None

    def _answer(self, request: ModelRequest) -> ModelResponse:
        usage = Usage(input_tokens=request.size // 4, output_tokens=self.output)
        return ModelResponse(assistant(self.answers), usage, self.finish)


def during(spans: Sequence[tuple[float, float]], error: Callable[[], AdapterError]) -> Trouble:
    """Fail while one of the spans lasts."""

    def trouble(now: float) -> AdapterError | None:
        return error() if any(start <= now < end for start, end in spans) else None

    return trouble


def down() -> AdapterError:
    return UnavailableError("it is down", status=500)


def overloaded() -> AdapterError:
    return OverloadedError("too much", status=529)


def limited(after: float | None = 5.0) -> AdapterError:
    return RateLimitError("too many", status=429, retry_after=after)


def denied() -> AdapterError:
    return AuthenticationError("no", status=401)


def broke() -> AdapterError:
    return QuotaError("no credit", status=402)


def too_long() -> AdapterError:
    return ContextWindowError("too long", status=400)


def brown(seed: int, share: float, spans: Sequence[tuple[float, float]]) -> Trouble:
    """Fail now and then while one of the spans lasts."""
    chance = random.Random(seed)

    def trouble(now: float) -> AdapterError | None:
        inside = any(start <= now < end for start, end in spans)
        return overloaded() if inside and chance.random() < share else None

    return trouble


def slow(spans: Sequence[tuple[float, float]], most: float) -> Trouble:
    """Take longer and longer while one of the spans lasts."""

    def trouble(now: float) -> float | None:
        for start, end in spans:
            if start <= now < end:
                return most * (now - start) / (end - start)
        return None

    return trouble


def most_in_a_minute(calls: Sequence[tuple[float, int]]) -> tuple[int, int]:
    """Return the most requests, and the most tokens, in any 60 seconds."""
    requests = tokens = 0
    start = held = 0
    for place, (at, size) in enumerate(calls):
        held += size
        while calls[start][0] <= at - 60.0:
            held -= calls[start][1]
            start += 1
        requests, tokens = max(requests, place - start + 1), max(tokens, held)
    return requests, tokens


def config(**sections: Any) -> Mapping[str, Any]:
    """Return a configuration of endpoints `a`, `b`, … of a provider `fake`, where it is not said otherwise."""
    return sections
