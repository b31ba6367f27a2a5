"""A process that has imported everything and forks: a child is at work after some milliseconds, and can be killed.

It reads one order a line and answers with one line: how the child ended. It has no threads and no event loop of its own,
so forking is safe.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
import traceback
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from subprocess import PIPE, Popen
from types import TracebackType
from typing import Any, Self

import orjson

from midstream import Engine

from .world import MODEL, World, expedition

DEAD = 9
"""The exit status of a child that ends at a moment it was told."""

_ROOT = Path(__file__).parents[2]
_START = (
    "import sys; sys.path.append(sys.argv[1]); from tests.durability.nursery import main; main()"
)


class Nursery:
    """Children that are started quickly; a context manager."""

    def __init__(self) -> None:
        self._process = Popen([sys.executable, "-c", _START, str(_ROOT)], stdin=PIPE, stdout=PIPE)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def run(self, job: str, *, kill_after: float | None = None, **order: Any) -> str:
        """Run a job in a child and return how it ended: `done`, `killed`, `exited` where it was told to, or `failed`.

        Args:
            job: The name of one of `JOBS`.
            kill_after: Seconds after which it is killed, or None.
            **order: What the job is told.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        line = orjson.dumps({"job": job, "kill_after": kill_after, **order})
        self._process.stdin.write(line + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()


async def drive(order: Mapping[str, Any]) -> None:
    """Start or take over a run of the expedition, and stay until it is over."""
    world = World(Path(order["effects"]), order["pace"])
    if order.get("exit_at") is not None:
        world.point = _counting(order["exit_at"])
    engine = Engine.open(
        order["file"],
        models={"walker": world.script()},
        model=MODEL,
        lease=order["lease"],
        synchronous=order.get("synchronous", "full"),
    )
    async with engine:
        run = await engine.start(expedition(world), run_id=order["run"], land="home")
        await run


def _counting(place: int) -> Callable[[str], None]:
    left = place

    def point(_name: str) -> None:
        nonlocal left
        if left == 0:
            os._exit(DEAD)
        left -= 1

    return point


JOBS: Mapping[str, Callable[[Mapping[str, Any]], Awaitable[None]]] = {"drive": drive}


def main() -> None:
    """Serve orders until there are no more."""
    for line in sys.stdin.buffer:
        order: dict[str, Any] = orjson.loads(line)
        child = os.fork()
        if child == 0:
            _work(order)
        sys.stdout.write(_ended(child, order["kill_after"]) + "\n")
        sys.stdout.flush()


def _work(order: Mapping[str, Any]) -> None:
    status = 1
    try:
        asyncio.run(JOBS[order["job"]](order))  # type: ignore[arg-type]  # every job is a coroutine function
        status = 0
    except BaseException:  # noqa: BLE001  # nothing may come back to the loop of the parent
        traceback.print_exc()
    finally:
        os._exit(status)


def _ended(child: int, kill_after: float | None) -> str:
    """Wait for a child, killing it when its time has come; it is not reaped before, so its id is its own."""
    until = None if kill_after is None else time.monotonic() + kill_after
    while True:
        pid, status = os.waitpid(child, 0 if until is None else os.WNOHANG)
        if pid:
            break
        assert until is not None
        if time.monotonic() >= until:
            os.kill(child, signal.SIGKILL)
            until = None
        else:
            time.sleep(0.001)
    if os.WIFSIGNALED(status):
        return "killed" if os.WTERMSIG(status) == signal.SIGKILL else "failed"
    return {0: "done", DEAD: "exited"}.get(os.WEXITSTATUS(status), "failed")
