"""What the calls of one activation share: the recorder, the claims, and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from midstream.engine.clock import Clock
from midstream.engine.recording.claims import Claims
from midstream.engine.recording.parking import Branches, Rest
from midstream.engine.recording.recorder import Recorder
from midstream.events.ids import Address
from midstream.projections.run_state import Call, RunState

T = TypeVar("T")


class Restart(
    BaseException
):  # no error: it tears an execution down so that it is made again from the log
    """Raised into a node in always-replay mode; not an `Exception`, so that no node catches it by accident."""


class Signal:
    """Wakes everybody who waits for something that others append."""

    __slots__ = ("_waiters",)

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] | None = None

    def notify(self) -> None:
        """Have every waiter look again."""
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            if not waiter.done():
                waiter.set_result(None)

    async def wait_for(self, condition: Callable[[], bool]) -> None:
        """Return once the condition is true; it is looked at after each notification."""
        while not condition():
            waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            if self._waiters is None:
                self._waiters = set()
            waiters = self._waiters
            waiters.add(waiter)
            try:
                await waiter
            finally:
                waiters.discard(waiter)


class Desk:
    """Where the calls of one activation are made.

    Args:
        recorder: Writes the run.
        activation: The activation.
        clock: Tells the time.
        changed: Is notified when somebody else's events were folded.
        always_replay: Tear the activation down after each outcome.
        rest: Is told when a branch of the activation begins to wait.
    """

    def __init__(
        self,
        recorder: Recorder,
        activation: Address,
        clock: Clock,
        changed: Signal,
        *,
        always_replay: bool,
        rest: Rest | None = None,
    ) -> None:
        self.recorder = recorder
        self.activation = activation
        self.clock = clock
        self.claims = Claims(activation, recorder.foreseen)
        self.branches = Branches(self.claims)
        self._changed = changed
        self._rest = rest
        self._always_replay = always_replay
        self._flying = 0
        self.subruns: Any = None
        """The `Subruns` that start runs, or None where no host drives this one."""
        self.guard: Any = None
        """The `Guard` that stands before its calls, or None."""
        self.touched: Callable[[], None] = _nothing
        """Called at each sign of life of the activation."""
        self.context: Any = None
        """The `Context` that stands at this desk."""
        self.patching = asyncio.Lock()
        """Held while it is decided whether the activation takes a newer path; see `Context.patched`."""
        self.torn = False
        """Always-replay mode has torn the execution down, whatever its code made of that."""

    @property
    def state(self) -> RunState:
        """The run as it stands."""
        return self.recorder.state

    def call(self, address: str) -> Call | None:
        """Return the record of a call, or None."""
        return self.state.calls.get(address)

    def takes_new_path(self, address: str) -> bool:
        """Say whether an activation that has no mark at this address takes the newer path; see `Context.patched`."""
        recorder = self.recorder
        if recorder.marks is not None:
            return address in recorder.marks
        made = self.state.activations[self.activation]
        if made.attempt == 1 and made.since > recorder.begun:
            return True  # it began with this driver
        return not self.claims.behind(self.state)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that others append makes the condition true."""
        await self._changed.wait_for(condition)

    async def sleep_until(self, moment: float, *, unless: Callable[[], bool]) -> None:
        """Wait until a moment, in seconds since 1970, or until what others append makes the condition true."""
        waits = [
            asyncio.ensure_future(self.clock.sleep_until(moment)),
            asyncio.ensure_future(self.until(unless)),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for waiting in waits:
                waiting.cancel()
            await asyncio.wait(waits)

    async def wait(self, moment: float | None, *, unless: Callable[[], bool] | None) -> None:
        """Wait for a person, or for a moment in seconds since 1970; the run may be parked meanwhile.

        Args:
            moment: Until then at the longest; None for ever.
            unless: What others append ends the wait by making this true; None where nothing does.
        """
        with self.branches.waiting(moment):
            if self._rest is not None:
                self._rest.begun()
            if unless is None:
                await self.clock.sleep_until(moment or 0.0)
            elif moment is None:
                await self.until(unless)
            else:
                await self.sleep_until(moment, unless=unless)

    async def turn(self, address: str) -> None:
        """Wait until it is the turn of a step to act, which is at once unless the log is played back."""
        if self.recorder.paced:
            await self.recorder.turn(address)

    async def gate(self) -> None:
        """Wait while the run is paused."""
        if self.state.status == "paused":
            await self.wait(None, unless=lambda: self.state.status != "paused")

    async def intent(self) -> None:
        """Wait until everything recorded so far is durable: only then may an effect begin."""
        self.touched()
        await self.recorder.durable()

    async def effect(self, effect: Awaitable[T]) -> T:
        """Await an effect; in always-replay mode the execution is not torn down while one is under way."""
        self._flying += 1
        try:
            return await effect
        finally:
            self._flying -= 1

    async def recorded(self) -> None:
        """Let an outcome be known; in always-replay mode, go through the log for it."""
        self.touched()
        if self._always_replay and self._flying == 0:
            await self.recorder.durable()
            await self.recorder.settle()
            if self._flying == 0:
                self.torn = True
                raise Restart

    def again(self, call: Call, *, told: bool = False) -> bool:
        """Say whether a failed call is made again: it failed in an earlier attempt of this activation.

        An unsafe tool is not called again without being asked for, and no tool whose failure a model was told of.

        Args:
            call: The record.
            told: A model was told of its failure.
        """
        if call.seq > self.state.activations[self.activation].since:
            return False
        request = call.request
        return call.kind in ("model", "subrun") or (
            call.kind == "tool" and request.get("effect", "unsafe") != "unsafe" and not told
        )


def _nothing() -> None:
    pass


def shown(error: BaseException) -> str:
    """Return an exception's text for the log: what JSON cannot carry is replaced."""
    text = str(error) or type(error).__name__
    return text.encode("utf-8", "replace").decode()
