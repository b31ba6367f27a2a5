"""The one writer: takes what stands in line, commits it together, and lets the next batch fill up meanwhile.

It is no task. A batch that is nothing but events is handed to the connection's thread, which calls back; only what has to
be judged under the lock has a task, for as long as that takes.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from contextvars import copy_context
from functools import partial
from pathlib import Path

from midstream.errors import (
    MidstreamError,
    NotRecordableError,
    RunErasedError,
    SealedError,
    StoreBusyError,
    StoreError,
)
from midstream.events.ids import RunId
from midstream.events.pause import no_collecting
from midstream.events.sqlite_batch import Batch, Placed, Run
from midstream.events.sqlite_line import ROWS, Append, Command, settle
from midstream.events.sqlite_open import translated
from midstream.events.sqlite_quick import Quick
from midstream.events.sqlite_transaction import Overtaken, Transactions

KNOWN_RUNS = 20_000
"""How many runs' heads are kept, so that appending reads nothing; some 400 bytes each."""

_LONELY = 4
"""After so many batches of one command, the next command is not kept waiting for others of the same turn of the loop."""
_CROWD = 64
"""So many commands, or events, in line after a commit are a batch; fewer wait for a turn of the loop, for those that it has woken."""

_UNBINDABLE = (OverflowError, UnicodeEncodeError, sqlite3.DataError, sqlite3.InterfaceError)

Committed = Callable[[dict[RunId, int], int, int], None]
"""Called after a commit with the newest seq of each run that grew, and the positions of its first and last event."""


class Writer:
    """Group commit over one connection.

    Args:
        transactions: The connection.
        path: The file, for errors.
        committed: See `Committed`.
    """

    def __init__(self, transactions: Transactions, path: Path, committed: Committed) -> None:
        self._transactions = transactions
        self._path = path
        self._committed = committed
        self._line: deque[Command] = deque()
        # The appends in line, by where they end, so that one which continues another is told apart from one which does not.
        self._ends: dict[tuple[RunId, int, int | None], Append] = {}
        self._known: dict[RunId, Run] = {}
        self._loop = asyncio.get_running_loop()
        self._context = copy_context()
        self._busy = False  # a batch is on its way, or about to be
        self._lonely = 0  # how many batches in a row were one command
        self._closing = False
        self._closed: asyncio.Future[None] = self._loop.create_future()
        self._task: asyncio.Task[None] | None = None

    def put(self, command: Command) -> None:
        """Put a command in line."""
        if self._closing:
            settle(command.future, StoreError("the store is closed; open it again to append"))
            return
        if isinstance(command, Append):
            run_id, epoch = command.run_id, command.epoch
            command.ahead = self._ends.get((run_id, command.expected, epoch))
            self._ends[run_id, command.end, epoch] = command
        self._line.append(command)
        if self._busy:
            return
        self._busy = True
        if self._lonely >= _LONELY and command.plain:
            self._begin()
        else:
            self._loop.call_soon(self._begin)

    def key(self, run_id: RunId) -> int | None:
        """Return the number of a run where it is known."""
        known = self._known.get(run_id)
        return None if known is None else known.key

    async def close(self) -> None:
        """Wait until the line is empty; nothing joins it any more."""
        self._closing = True
        if not self._busy and not self._closed.done():
            self._closed.set_result(None)
        await asyncio.shield(self._closed)

    def _begin(self) -> None:
        """Send the next batch off."""
        commands = self._take()
        self._lonely = self._lonely + 1 if len(commands) == 1 else 0
        try:
            if not self._at_once(commands):
                self._under_lock_soon(commands)
        except Exception as error:  # noqa: BLE001  # whatever it is: whoever waits must hear of it, the others go on
            self._unexpected(commands, error)
            self._go_on()

    def _go_on(self) -> None:
        """See to what has come into line meanwhile."""
        waiting = len(self._line)
        if not waiting:
            self._busy = False
            if self._closing and not self._closed.done():
                self._closed.set_result(None)
        elif waiting >= _CROWD or self._rows_in_line() >= _CROWD:
            self._loop.call_soon(self._begin)
        else:
            # Whoever was just told of a commit appends again in the next turn, and those two go together.
            self._loop.call_soon(self._loop.call_soon, self._begin)

    def _rows_in_line(self) -> int:
        return sum([len(one.drafts) for one in self._line if isinstance(one, Append)])

    def _take(self) -> list[Command]:
        """Take the next batch off the line, in order."""
        line = self._line
        if len(line) == 1:
            return [line.popleft()]
        batch: list[Command] = []
        rows = 0
        while line and len(batch) < ROWS:
            command = line[0]
            if isinstance(command, Append):
                rows += len(command.drafts)
                if batch and rows > ROWS:
                    break
            batch.append(line.popleft())
        return batch

    def _at_once(self, commands: Sequence[Command]) -> bool:
        """Write plain appends in one statement; return False where only the file can tell what to answer."""
        for command in commands:
            if not command.plain:
                return False
        quick = Quick()
        try:
            if quick.take(commands, self._known, self._transactions.kinds.number):
                then = partial(self._written, commands, quick, time.monotonic())
                self._transactions.at_once(quick, then, self._context)
                return True
        except NotRecordableError:
            pass  # the file is asked which of them it is
        self._drop(commands)
        return False

    def _written(
        self,
        commands: Sequence[Command],
        quick: Quick,
        began: float,
        first: int,
        error: BaseException | None,
    ) -> None:
        try:
            if error is not None:
                if not self._hopeless(commands, error, began):
                    self._under_lock_soon(commands)
                    return
            else:
                with no_collecting() if len(commands) >= _CROWD else nullcontext():
                    self._tell(quick, first)
        except Exception as unexpected:  # noqa: BLE001  # as in `_begin`
            self._unexpected(commands, unexpected)
        self._go_on()

    def _tell(self, quick: Quick, first: int) -> None:
        """Tell everybody whose events were written; of a crowd, each begins something that is kept."""
        grown: dict[RunId, int] = {}
        for command, head in quick.heads(first):
            grown[command.run_id] = head.seq
            self._end(command, head)
        self._committed(grown, first, first + quick.count - 1)

    def _hopeless(self, commands: Sequence[Command], error: BaseException, began: float) -> bool:
        """Say whether nothing else is tried with commands that were not written at once."""
        self._drop(commands)
        if isinstance(error, Overtaken):
            return False
        if not isinstance(error, (sqlite3.Error, *_UNBINDABLE)):
            self._unexpected(commands, error)
            return True
        meaning = self._meaning(error, time.monotonic() - began)
        if isinstance(meaning, StoreBusyError):
            self._fail(commands, meaning)
            return True
        return False

    def _under_lock_soon(self, commands: Sequence[Command]) -> None:
        self._task = self._loop.create_task(self._judged(commands), context=self._context)
        self._task.add_done_callback(partial(self._ended, commands))

    async def _judged(self, commands: Sequence[Command]) -> None:
        """Commit the commands under the lock; where they cannot be together, find out which of them cannot be."""
        try:
            if not await self._tried(commands) and len(commands) > 1:
                for command in commands:
                    await self._tried((command,))
        except Exception as error:  # noqa: BLE001  # as in `_begin`
            self._unexpected(commands, error)
        self._go_on()

    def _ended(self, commands: Sequence[Command], task: asyncio.Task[None]) -> None:
        """Refuse everything where the task was cancelled from outside: nobody may wait for ever."""
        if not task.cancelled():
            return
        self._closing = True
        ended = StoreError("the writer was stopped; open the store again and see what was recorded")
        self._fail((*commands, *self._line), ended)
        self._line.clear()
        self._go_on()

    async def _tried(self, commands: Sequence[Command]) -> bool:
        """Return whether every command has its answer; a command that is alone always gets one."""
        began = time.monotonic()
        try:
            batch, first = await self._transactions.under_lock(commands)
        except (SealedError, RunErasedError) as error:
            self._drop(commands)  # of one run; the others are written alone
            meaning: MidstreamError = error
        except (sqlite3.Error, *_UNBINDABLE) as error:
            self._drop(commands)
            meaning = self._meaning(error, time.monotonic() - began)
        else:
            self._judged_by(batch, first)
            return True
        if isinstance(meaning, StoreBusyError) or len(commands) == 1:
            self._fail(commands, meaning)
            return True
        return False

    def _judged_by(self, batch: Batch, first: int) -> None:
        if batch.takeovers != self._transactions.takeovers:
            # Another process took runs over: no epoch that is known can be trusted.
            self._known.clear()
        self._transactions.takeovers = batch.takeovers + batch.taken
        self._settle(batch, first)

    def _drop(self, commands: Iterable[Command]) -> None:
        for command in commands:
            if isinstance(command, Append):
                self._known.pop(command.run_id, None)

    def _settle(self, batch: Batch, first: int) -> None:
        """Remember the runs' new heads, then tell everybody."""
        grown: dict[RunId, int] = {}
        for command, answer in batch.answers:
            if isinstance(answer, Placed):
                answer = answer.head(first)
                if isinstance(command, Append) and command.drafts:
                    grown[command.run_id] = answer.seq
            self._end(command, answer)
        for run_id in grown:
            run = batch.runs[run_id]
            run.position, run.row = first + run.row, -1
        self._known.update(batch.runs)
        while len(self._known) > KNOWN_RUNS:
            self._known.pop(next(iter(self._known)))
        if grown:
            self._committed(grown, first, first + len(batch.rows) - 1)

    def _end(self, command: Command, answer: object) -> None:
        if isinstance(command, Append):
            command.ahead = None
            end = (command.run_id, command.end, command.epoch)
            if self._ends.get(end) is command:
                del self._ends[end]
        settle(command.future, answer)

    def _fail(self, commands: Sequence[Command], error: MidstreamError) -> None:
        for command in commands:
            if isinstance(command, Append):
                command.refused = True
            self._end(command, error)

    def _unexpected(self, commands: Sequence[Command], error: BaseException) -> None:
        self._known.clear()
        failed = StoreError(f"the append failed in an unexpected way: {error!r}")
        failed.__cause__ = error
        self._fail(commands, failed)

    def _meaning(self, error: Exception, waited: float) -> MidstreamError:
        meaning: MidstreamError = translated(error, self._path, waited)
        if isinstance(error, _UNBINDABLE):
            remedy = "pass texts, integers of 64 bits, and less than 1 GB"
            meaning = NotRecordableError("an event", str(error), remedy)
        meaning.__cause__ = error
        return meaning
