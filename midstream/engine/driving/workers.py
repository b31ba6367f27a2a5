"""Tasks that perform activations: one goes on with the next, until an activation waits for something.

A task costs as much as a small node. So there is a line of activations that may begin, and a task takes one after the
other. None waits for another one: as soon as an activation waits (for a model, a timer, a commit), its task is its own,
and others take what is behind it in the line. A task that finds nothing in the line waits where more is on its way, as what
is to begin once a commit is durable.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from contextvars import copy_context

from midstream.engine.recording.claims import on_own_branch
from midstream.events.ids import Address

BREATH = 64
"""Activations that a task performs before it lets others have the loop."""

_SHORT = 16
"""How long the line may be as a list; of more activations, it becomes what is quick at any length."""

_AT_ONCE = 8
"""Tasks that are begun in one turn of the loop before it is known whether the first one waits."""


class Workers:
    """Performs activations in tasks of its own.

    Args:
        work: Performs one; of an activation, and whether its beginning is durable.
        failed: Is given what `work` raises: nobody else awaits it.
    """

    def __init__(
        self,
        work: Callable[[Address, bool], Awaitable[None]],
        failed: Callable[[BaseException], None],
    ) -> None:
        self._work = work
        self._failed = failed
        # An empty deque takes 760 bytes, and most runs have one activation at a time.
        self._line: list[tuple[Address, bool]] | deque[tuple[Address, bool]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._at: dict[str, asyncio.Task[None]] = {}
        self._coming = 0  # tasks that were begun and have not come to the line yet
        self._breathing = 0  # tasks that come back to the line in the next turn of the loop
        self._more = _AT_ONCE
        self._looking = False
        self._stopped = False
        self._expected = 0  # how often something will be put yet
        self._resting: list[asyncio.Future[None]] = []  # tasks that wait for that
        self._idle: asyncio.Future[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._context.run(on_own_branch)

    def has_more(self) -> bool:
        """Say whether any activation is in the line."""
        return bool(self._line)

    def expect(self) -> None:
        """Say that something will be put, as `expected`: `done` waits for it, and so may a task that has nothing to do."""
        self._expected += 1

    def put(
        self, addresses: Iterable[Address], *, durable: bool = False, expected: bool = False
    ) -> None:
        """Have activations performed, in this order.

        Args:
            addresses: The activations; none, where what was expected does not come.
            durable: Their beginning is.
            expected: They are what `expect` spoke of.
        """
        self._expected -= expected
        if self._stopped:
            return
        put = [(address, durable) for address in addresses]
        if isinstance(self._line, list) and len(self._line) + len(put) > _SHORT:
            self._line = deque(self._line)
        self._line.extend(put)
        while len(self._resting) > self._expected:
            self._wake()
        if self._looking:
            return
        if asyncio.current_task() in self._tasks:
            self._look_soon()  # that task takes the next one itself, most often
        elif self._line:
            self._begin()

    def stop_at(self, address: str) -> None:
        """Cancel an activation's task, if it has one."""
        task = self._at.get(address)
        if task is not None:
            task.cancel()

    async def done(self) -> None:
        """Wait until nothing is left to do."""
        while self._tasks or self._line or self._expected:
            self._idle = self._loop.create_future()
            await self._idle

    async def stop(self) -> None:
        """Take on nothing any more, and cancel every task but the current one; when this returns, none is left."""
        self._stopped = True
        self._line.clear()
        current = asyncio.current_task()
        tasks = [task for task in self._tasks if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._tasks.difference_update(tasks)  # one that never began has not said so

    def _begin(self) -> None:
        """Begin tasks for what is in the line, and look again once they have taken what they can."""
        wanted = min(len(self._line) - self._coming, self._more)
        for _ in range(wanted):
            if self._resting:
                self._wake()
                continue
            self._coming += 1
            address, _durable = self._line[0]
            made = self._loop.create_task(
                self._tread(), name=f"midstream:{address}", context=self._context.copy()
            )
            self._tasks.add(made)
        if len(self._line) > self._coming:
            self._look_soon()

    def _wake(self) -> None:
        """Have a task that waits come to the line."""
        self._coming += 1
        self._resting.pop().set_result(None)

    def _look_soon(self) -> None:
        if not self._looking:
            self._looking = True
            self._loop.call_soon(self._look)

    def _look(self) -> None:
        """Begin tasks for what nobody has taken: those who could have, wait. The more of them do, the more it takes."""
        self._looking = False
        if self._line and self._breathing:
            self._look_soon()
        elif self._line:
            self._begin()
            self._more *= 2
        else:
            self._more = _AT_ONCE

    async def _tread(self) -> None:
        self._coming -= 1
        task = asyncio.current_task()
        assert task is not None
        try:
            await self._take(task)
        except asyncio.CancelledError:
            raise
        except BaseException as error:
            self._failed(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            self._tasks.discard(task)
            if self._line:
                self._look_soon()
            elif not self._tasks and self._idle is not None and not self._idle.done():
                self._idle.set_result(None)

    async def _take(self, task: asyncio.Task[None]) -> None:
        """Perform what is in the line, one after the other."""
        at, left = self._at, BREATH
        while self._line:
            address, durable = self._next()
            at[address] = task
            try:
                await self._work(address, durable)
            finally:
                if at.get(address) is task:  # another task may be at its next attempt by now
                    del at[address]
            rests = not self._line and len(self._resting) < self._expected
            if not (self._line or rests) or task.cancelling() or not self._as_found():
                return  # what one has left behind is not for the next one to find
            if rests:
                await self._rest()
            left -= 1
            if not left:
                left = BREATH
                await self._breathe()

    def _next(self) -> tuple[Address, bool]:
        line = self._line
        return line.pop(0) if isinstance(line, list) else line.popleft()

    async def _rest(self) -> None:
        """Wait for what will be put: to wake a task costs half as much as to begin one."""
        waiter: asyncio.Future[None] = self._loop.create_future()
        self._resting.append(waiter)
        try:
            await waiter
        finally:
            if waiter in self._resting:  # the task was cancelled
                self._resting.remove(waiter)
            else:
                self._coming -= 1

    async def _breathe(self) -> None:
        """Let others have the loop for a turn; meanwhile no further task is begun, since this one does not wait."""
        self._more = 1
        self._breathing += 1
        try:
            await asyncio.sleep(0)
        finally:
            self._breathing -= 1

    def _as_found(self) -> bool:
        """Say whether the context is as the activations of this task found it."""
        try:
            return copy_context() == self._context
        except Exception:  # noqa: BLE001  # what user code has put there may refuse to be compared
            return False
