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
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE, Popen
from threading import Timer
from types import TracebackType
from typing import Any, Self

import orjson

from midstream import Engine
from midstream.errors import ConcurrencyError, RunCancelledError
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.patience import append_patiently
from midstream.events.payloads import NoteAdded
from midstream.events.sqlite import SqliteStore
from midstream.events.store import EventStore, Head
from midstream.events.subscribe import subscribe
from tests.stores import StoreAround

from .agent import model as asked_of
from .agent import tools_of
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
        """Run a job in a child and return how it ended; see `wait`."""
        return self.wait(self.begin(job, **order), kill_after=kill_after)

    def begin(self, job: str, **order: Any) -> int:
        """Begin a job in a child and return its process id, which is its own until it was waited for.

        Args:
            job: The name of one of `JOBS`.
            **order: What the job is told.
        """
        return int(self._tell({"job": job, **order}))

    def wait(self, child: int, *, kill_after: float | None = None) -> str:
        """Wait for a child: `done`, `killed`, `exited` where it was told to, or `failed`.

        Args:
            child: Its process id.
            kill_after: Seconds after which it is killed, or None.
        """
        return self._tell({"wait": child, "kill_after": kill_after})

    def _tell(self, order: Mapping[str, Any]) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(orjson.dumps(order) + b"\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().decode().strip()


class Noting(StoreAround):
    """A store that writes the names of the errors of its appends into a file.

    Args:
        inner: The store behind it.
        file: Where to write them.
        killed: At which append of a driver this process is killed, and how many seconds after it; or None. A place in
            the run, and not a time since its start, so that a busy machine is killed at as many places as an idle one.
    """

    def __init__(self, inner: EventStore, file: Path, killed: tuple[int, float] | None) -> None:
        super().__init__(inner)
        self._file = file
        self._killed = killed
        self._appends = 0

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        self._appends += epoch is not None
        if self._killed is not None and self._appends == self._killed[0]:
            Timer(self._killed[1], os.kill, (os.getpid(), signal.SIGKILL)).start()
        sent = super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        future = asyncio.ensure_future(sent)
        future.add_done_callback(self._note)
        return future

    def _note(self, done: asyncio.Future[Head]) -> None:
        if not done.cancelled() and (error := done.exception()) is not None:
            with self._file.open("a") as file:
                file.write(type(error).__name__ + "\n")


async def drive(order: Mapping[str, Any]) -> None:
    """Start or take over a run of the expedition, and stay until it is over."""
    world = World(Path(order["effects"]), order["pace"])
    if order.get("exit_at") is not None:
        world.point = _counting(order["exit_at"])

    async def opened() -> EventStore:
        store = await SqliteStore.open(order["file"])
        return Noting(store, Path(order["effects"] + ".errors"), order.get("killed"))

    models = {"walker": world.script(), "other": world.script()}
    async with Engine(opened, models=models, model=MODEL, lease=order["lease"]) as engine:
        run = await engine.start(expedition(world), run_id=order["run"], land="home")
        with suppress(RunCancelledError):
            await run


async def agent(order: Mapping[str, Any]) -> None:
    """Start or take over the run of an agent, and stay until it has come to its end."""
    world = World(Path(order["effects"]), order["pace"])

    async def opened() -> EventStore:
        store = await SqliteStore.open(order["file"])
        return Noting(store, Path(order["effects"] + ".errors"), order.get("killed"))

    models = {"m": asked_of(world)}
    async with Engine(opened, models=models, model="p:m", lease=order["lease"]) as engine:
        await engine.agent("go", tools=tools_of(world), run_id=order["run"])


async def write(order: Mapping[str, Any]) -> None:
    """Append notes to a run that others write to as well, each after what was read."""
    store = await SqliteStore.open(order["file"])
    run_id, name = RunId(order["run"]), order["name"]
    for number in range(order["count"]):
        draft = encode(NoteAdded(id=f"{name}-{number}", data="x" * (number * 50)), at=number)
        while True:
            head = await store.head(run_id)
            assert head is not None
            try:
                await append_patiently(store, run_id, [draft], expected=head.seq)
            except ConcurrencyError:
                continue
            break
    await store.close()


async def follow(order: Mapping[str, Any]) -> None:
    """Follow a run until it has so many events, and write down each seq and what came with it."""
    store = await SqliteStore.open(order["file"], read_only=order["read_only"])
    last = order["until"]
    events = subscribe(store, RunId(order["run"]), until=lambda event: event.seq >= last)
    seen = [(event.seq, event.data.get("id", "")) async for event in events]
    await store.close()
    Path(order["report"]).write_bytes(orjson.dumps(seen))  # noqa: ASYNC240  # nothing else runs here


def _counting(place: int) -> Callable[[str], None]:
    left = place

    def point(_name: str) -> None:
        nonlocal left
        if left == 0:
            os._exit(DEAD)
        left -= 1

    return point


JOBS: Mapping[str, Callable[[Mapping[str, Any]], Coroutine[Any, Any, None]]] = {
    "drive": drive,
    "agent": agent,
    "write": write,
    "follow": follow,
}


def main() -> None:
    """Serve orders until there are no more."""
    for line in sys.stdin.buffer:
        order: dict[str, Any] = orjson.loads(line)
        if "wait" in order:
            answer = _ended(order["wait"], order["kill_after"])
        else:
            child = os.fork()
            if child == 0:
                _work(order)
            answer = str(child)
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()


def _work(order: Mapping[str, Any]) -> None:
    status = 1
    os.dup2(2, 1)  # answers go to the standard output, and nothing else
    try:
        asyncio.run(JOBS[order["job"]](order))
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
