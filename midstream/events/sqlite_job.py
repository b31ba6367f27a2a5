"""Several statements in one hop: a job runs on its connection's thread, from its first statement to its last.

aiosqlite hands each statement to its thread by itself. The way there and back takes as long as writing some thirty rows,
and a transaction of seven statements takes it seven times; as a job, once.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Coroutine, Iterator
from contextvars import Context
from threading import Lock
from typing import Any, TypeVar, cast

import aiosqlite

T = TypeVar("T")

_SOON = 0.001
"""Seconds that a loop waits at most until its thread has begun, which takes it some 0.05 ms unless it is at something else."""


class _Job:
    """Stands where a statement's parameters would; aiosqlite passes them on as they are."""

    def __init__(self, work: Callable[[sqlite3.Connection], Any]) -> None:
        self.work = work

    def __iter__(self) -> Iterator[Any]:
        raise TypeError("a job has no parameters")


class _Done:
    """What came of a job, in the shape of a cursor."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def fetchall(self) -> Any:
        """Return what the job returned."""
        return self._value


class JobConnection(sqlite3.Connection):
    """A connection that takes jobs."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Execute a statement, or a job."""
        if type(parameters) is _Job:
            return _Done(parameters.work(self))
        return super().execute(sql, parameters)


async def in_one_hop(
    connection: aiosqlite.Connection, work: Callable[[sqlite3.Connection], T]
) -> T:
    """Run a function on the connection's thread, where it may execute what it likes, and return what it returns.

    Args:
        connection: One that was opened by `opened`.
        work: What to do; it runs beside the event loop, so it changes nothing that the loop may be looking at.
    """
    # Not what aiosqlite says it returns: `_Done.fetchall` decides.
    return cast("T", await connection.execute_fetchall("", cast("Any", _Job(work))))


def hand_over(
    connection: aiosqlite.Connection,
    work: Callable[[sqlite3.Connection], T],
    then: Callable[[T | None, BaseException | None], object],
    context: Context,
    afterwards: Callable[[sqlite3.Connection], object] | None = None,
    *,
    large: bool = False,
) -> None:
    """Run a function on the connection's thread, and another one in the event loop with what came of it.

    What `in_one_hop` does for a task, without one: the work is on its way when this returns, and `then` is called in the
    same turn of the loop in which the thread is heard of, where a task would be woken two turns later.

    Args:
        connection: See `in_one_hop`.
        work: See `in_one_hop`.
        then: Is given what the work returned and None, or None and what it raised; it must not raise.
        context: What `then` is called in.
        afterwards: What the thread does once the loop was told; it must not raise.
        large: See that the thread begins at once. A loop that is busy keeps the interpreter's lock for 5 ms at a time
            (Source: `sys.setswitchinterval`), which is longer than the thread needs for hundreds of rows.
    """
    loop = asyncio.get_running_loop()
    begun = Lock()
    begun.acquire()

    def done(there: sqlite3.Connection) -> None:
        outcome: tuple[T | None, BaseException | None]
        begun.release()
        try:
            outcome = work(there), None
        except BaseException as error:  # noqa: BLE001  # it is told in the loop
            outcome = None, error
        loop.call_soon_threadsafe(then, *outcome, context=context)
        if afterwards is not None:
            afterwards(there)

    # A coroutine runs up to where it first waits, and this one waits for the thread: whoever would await it is told by
    # `done` already, so it is left there.
    waiting = connection.execute_fetchall("", cast("Any", _Job(done)))
    cast("Coroutine[Any, Any, object]", waiting).send(None)  # its own type says nothing of `send`
    if large:
        begun.acquire(timeout=_SOON)


async def opened(
    uri: str,
    *,
    busy_timeout: float,
    first: Callable[[], None],
    then: Callable[[sqlite3.Connection], T],
) -> tuple[aiosqlite.Connection, T]:
    """Open a connection in autocommit mode, all of it in one hop.

    Args:
        uri: The file. Source: https://www.sqlite.org/uri.html
        busy_timeout: How long to wait for a lock, in seconds.
        first: What to do before the file is opened.
        then: What to do with the connection before anybody else has it; where it raises, the connection is closed.

    Returns:
        The connection, and what `then` returned.
    """
    found: list[T] = []
    failed: list[BaseException] = []

    def made(*arguments: Any, **options: Any) -> sqlite3.Connection:
        try:
            first()
            connection = JobConnection(*arguments, **options)
            try:
                found.append(then(connection))
            except BaseException:
                connection.close()
                raise
        except BaseException as error:  # noqa: BLE001  # it is raised where the caller waits
            failed.append(error)
            # A thread that could not connect is not waited for by aiosqlite; one that is closed is.
            return sqlite3.Connection(":memory:")
        return connection

    connection = await aiosqlite.connect(
        uri,
        uri=True,
        timeout=busy_timeout,
        isolation_level=None,
        cached_statements=256,
        factory=made,
    )
    if failed:
        await connection.close()
        raise failed[0]
    return connection, found[0]
