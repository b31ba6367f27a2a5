"""How long an attempt of an activation may take."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from midstream.engine.clock import Clock
from midstream.engine.nodes.node import Node
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.recorder import Recorder
from midstream.projections.flow import Activation


class Deadlines:
    """Ends attempts that take too long.

    Args:
        recorder: Writes the run.
        clock: Tells the time.
    """

    __slots__ = ("_clock", "_recorder")

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock

    async def keep(
        self,
        node: Node,
        activation: Activation,
        desk: Desk | None,
        call: Callable[[], Awaitable[Any]],
    ) -> Any:
        """Return what a call of an activation returns.

        Args:
            node: The activation's.
            activation: Whose attempt it is.
            desk: Of the activation, where it gives signs of life; or None.
            call: What is called.

        Raises:
            TimeoutError: It takes too long.
        """
        if node.timeout is None and node.total_timeout is None and node.idle_timeout is None:
            return await call()
        seconds, which = self._time_left(node, activation)
        if seconds is not None and seconds <= 0 and not self._recorder.paced:
            raise TimeoutError(which)
        whole = self._recorder.deadline(activation.address, seconds)
        idle = asyncio.timeout(None if self._recorder.paced else node.idle_timeout)
        if desk is not None and node.idle_timeout is not None:
            desk.touched = _postponing(idle, node.idle_timeout)
        try:
            async with whole, idle:
                return await call()
        except TimeoutError as error:
            if whole.expired():
                raise TimeoutError(which) from error
            if idle.expired():
                raise TimeoutError(f"gave no sign of life for {node.idle_timeout} s") from error
            raise

    def _time_left(self, node: Node, activation: Activation) -> tuple[float | None, str]:
        """Return how long an attempt may take, and what is said where it takes longer."""
        which = f"took longer than {node.timeout} s"
        if node.total_timeout is None:
            return node.timeout, which
        left = activation.began / 1_000_000 + node.total_timeout - self._clock.now()
        if node.timeout is not None and node.timeout < left:
            return node.timeout, which
        return left, f"took longer than {node.total_timeout} s with all its attempts"


def calling(
    node: Node, arguments: tuple[list[Any], dict[str, Any]]
) -> Callable[[], Awaitable[Any]]:
    """Return what calls a node's function with its arguments."""
    rest, named = arguments

    async def call() -> Any:
        if not node.is_async and not node.pure:
            return await asyncio.to_thread(node.function, *rest, **named)
        made = node.function(*rest, **named) if rest else node.function(**named)
        return await made if inspect.isawaitable(made) else made

    return call


def _postponing(idle: asyncio.Timeout, seconds: float) -> Callable[[], None]:
    """Return what is called at each sign of life."""
    loop = asyncio.get_running_loop()

    def touched() -> None:
        if not idle.expired() and idle.when() is not None:
            idle.reschedule(loop.time() + seconds)

    return touched
