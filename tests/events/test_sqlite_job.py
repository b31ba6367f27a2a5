"""Jobs on a connection's thread: the loop sees that a large one begins, and does not wait for a thread that is busy."""

from __future__ import annotations

import asyncio
import sqlite3
from contextvars import copy_context
from pathlib import Path
from threading import Event

from midstream.events.sqlite_job import hand_over, opened


async def test_a_large_job_waits_behind_what_its_thread_is_at_and_the_loop_does_not(
    tmp_path: Path,
) -> None:
    connection, _ = await opened(
        str(tmp_path / "a.db"), busy_timeout=1.0, first=lambda: None, then=lambda there: None
    )
    go_on, told = Event(), asyncio.Queue[object]()

    def slow(_: sqlite3.Connection) -> str:
        go_on.wait(20)
        return "first"

    def hear(value: str | None, error: BaseException | None) -> None:
        told.put_nowait(value or error)

    hand_over(connection, slow, hear, copy_context())
    hand_over(connection, lambda _: "second", hear, copy_context(), large=True)
    assert told.empty()
    go_on.set()  # nobody else does
    assert [await told.get(), await told.get()] == ["first", "second"]
    await connection.close()


async def test_what_a_large_job_raises_is_told_like_anything_else(tmp_path: Path) -> None:
    connection, _ = await opened(
        str(tmp_path / "a.db"), busy_timeout=1.0, first=lambda: None, then=lambda there: None
    )
    told = asyncio.Queue[object]()

    def fails(_: sqlite3.Connection) -> None:
        raise sqlite3.OperationalError("no such table")

    hand_over(
        connection,
        fails,
        lambda value, error: told.put_nowait(error),
        copy_context(),
        large=True,
    )
    assert isinstance(await told.get(), sqlite3.OperationalError)
    await connection.close()
