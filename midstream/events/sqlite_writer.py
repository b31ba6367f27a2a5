"""The one writer: takes what stands in line, commits it together, and lets the next batch fill up meanwhile."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
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
from midstream.events.sqlite_batch import Batch, Placed, Run
from midstream.events.sqlite_line import ROWS, Append, Command, settle
from midstream.events.sqlite_open import translated
from midstream.events.sqlite_quick import Quick
from midstream.events.sqlite_transaction import Overtaken, Transactions

KNOWN_RUNS = 20_000
"""How many runs' heads are kept, so that appending reads nothing; some 400 bytes each."""

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
        self._filled = asyncio.Event()
        self._closing = False
        self._task = asyncio.get_running_loop().create_task(self._work())

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
        self._filled.set()

    def key(self, run_id: RunId) -> int | None:
        """Return the number of a run where it is known."""
        known = self._known.get(run_id)
        return None if known is None else known.key

    async def close(self) -> None:
        """Wait until the line is empty; nothing joins it any more."""
        self._closing = True
        self._filled.set()
        await asyncio.shield(self._task)

    async def _work(self) -> None:
        taken: Sequence[Command] = ()
        try:
            while self._line or not self._closing:
                if self._line:
                    taken = self._take()
                    await self._commit_or_fail(taken)
                else:
                    self._filled.clear()
                    await self._filled.wait()
        finally:
            # Cancelled from outside: nobody may wait for ever.
            self._closing = True
            ended = StoreError(
                "the writer was stopped; open the store again and see what was recorded"
            )
            self._fail((*taken, *self._line), ended)

    def _take(self) -> list[Command]:
        """Take the next batch off the line, in order."""
        batch: list[Command] = []
        rows = 0
        line = self._line
        while line and len(batch) < ROWS:
            command = line[0]
            if isinstance(command, Append):
                rows += len(command.drafts)
                if batch and rows > ROWS:
                    break
            batch.append(line.popleft())
        return batch

    async def _commit_or_fail(self, commands: Sequence[Command]) -> None:
        try:
            await self._commit(commands)
        except Exception as error:  # noqa: BLE001  # whatever it is: whoever waits must hear of it, the others go on
            self._known.clear()
            failed = StoreError(f"the append failed in an unexpected way: {error!r}")
            failed.__cause__ = error
            self._fail(commands, failed)

    async def _commit(self, commands: Sequence[Command]) -> None:
        """Commit the commands together; where that fails, find out which of them cannot be."""
        if all(command.plain for command in commands) and await self._tried(
            commands, self._at_once
        ):
            return
        if await self._tried(commands, self._under_lock) or len(commands) == 1:
            return
        for command in commands:
            await self._tried((command,), self._under_lock)

    async def _at_once(self, commands: Sequence[Command]) -> bool:
        """Write plain appends in one statement; return False where only the file can tell what to answer."""
        quick = Quick()
        try:
            if not quick.take(commands, self._known, self._transactions.kinds.number):
                self._drop(commands)
                return False
            first = await self._transactions.at_once(quick)
        except (Overtaken, NotRecordableError):
            self._drop(commands)
            return False
        grown: dict[RunId, int] = {}
        for command, head in quick.heads(first):
            grown[command.run_id] = head.seq
            self._end(command, head)
        self._committed(grown, first, first + quick.rows - 1)
        return True

    async def _under_lock(self, commands: Sequence[Command]) -> bool:
        batch, first = await self._transactions.under_lock(commands)
        if batch.takeovers != self._transactions.takeovers:
            # Another process took runs over: no epoch that is known can be trusted.
            self._known.clear()
        self._transactions.takeovers = batch.takeovers + batch.taken
        self._settle(batch, first)
        return True

    async def _tried(
        self, commands: Sequence[Command], write: Callable[[Sequence[Command]], Awaitable[bool]]
    ) -> bool:
        """Return whether every command has its answer; a command that is alone always gets one under the lock."""
        began = time.monotonic()
        try:
            return await write(commands)
        except (SealedError, RunErasedError) as error:
            self._drop(commands)  # of one run; the others are written alone
            meaning: MidstreamError = error
        except (sqlite3.Error, *_UNBINDABLE) as error:
            self._drop(commands)
            meaning = self._meaning(error, time.monotonic() - began)
            meaning.__cause__ = error
        hopeless = isinstance(meaning, StoreBusyError)
        if hopeless or (len(commands) == 1 and write == self._under_lock):
            self._fail(commands, meaning)
            return True
        return False

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

    def _meaning(self, error: Exception, waited: float) -> MidstreamError:
        if isinstance(error, _UNBINDABLE):
            return NotRecordableError(
                "an event", str(error), "pass texts, integers of 64 bits, and less than 1 GB"
            )
        return translated(error, self._path, waited)
