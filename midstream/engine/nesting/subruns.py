"""Runs that a run starts: started once, heard of when they end, and closed with it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Protocol

from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.shelf import Shelf
from midstream.errors import MidstreamError, RunExistsError, RunNotFoundError
from midstream.events import payloads
from midstream.events.ids import RunId
from midstream.events.payloads import Fact, RunCancelRequested
from midstream.events.store import OPEN, EventStore, RunQuery
from midstream.projections.run_state import Call, RunState

if TYPE_CHECKING:
    from midstream.events.payloads import SubrunCompleted, SubrunFailed

_LONGEST = 128


def child_id(run_id: str, address: str, attempt: int) -> RunId:
    """Return the id of a run that a step starts: the same in every process."""
    seed = f"{run_id}/{address}" if attempt == 1 else f"{run_id}/{address}@{attempt}"
    digest = sha256(seed.encode()).hexdigest()
    made = f"{run_id}~{digest[:12]}"
    return RunId(made if len(made) <= _LONGEST else digest[:40])


class Starts(Protocol):
    """Starts a run, or finds it started; see `Engine.start`."""

    def __call__(
        self, graph: Graph, request: Mapping[str, Any], run_id: RunId, parent: RunId, step: str
    ) -> Awaitable[object]:
        """Return once it is in the log."""
        ...


class Drives(Protocol):
    """What starting and hearing of runs needs of a host; see `Host`."""

    store: EventStore
    graphs: Shelf

    async def load(self, run_id: RunId) -> RunState:
        """Return a run as it stands."""
        ...

    async def append(
        self, run_id: RunId, payload: Fact, address: str | None = None, *, actor: str
    ) -> None:
        """Append what somebody wants of a run."""
        ...

    def register(self, graph: Graph) -> None:
        """Let runs of this graph be resumed here."""
        ...

    def has(self, run_id: RunId) -> bool:
        """Say whether a run is driven or parked here."""
        ...


class Subruns:
    """The runs that runs of one process have started.

    Args:
        host: Drives runs.
        warn: Called with what went wrong where nobody waits for it.
    """

    def __init__(self, host: Drives, warn: Callable[[str], None]) -> None:
        self._host = host
        self._warn = warn
        self.start: Starts | None = None
        """Starts runs; the engine's."""
        self._awaited: dict[RunId, tuple[RunId, str]] = {}
        self._beginning: dict[RunId, asyncio.Task[None]] = {}
        self._codeless: dict[str, list[tuple[RunId, Call]]] = {}
        self._looking: set[RunId] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def register(self, graph: Graph) -> None:
        """Let runs of this graph be started here.

        Raises:
            GraphError: Another graph has the same name.
        """
        self._host.register(graph)
        for parent, call in self._codeless.pop(graph.name, ()):
            self.errand(partial(self.attach, parent, call))

    def attach(self, parent: RunId, call: Call) -> Awaitable[None]:
        """Start the run that a call has asked for, unless it is there, and see that its end will be told.

        Whoever waits for it may be cancelled: what was begun is done, so that the run is there or was never asked for.

        Raises:
            GraphError: The code of another graph is known under the name of its graph.
        """
        child = RunId(call.request["run"])
        self._awaited[child] = (parent, call.address)
        task = self._beginning.get(child)
        if task is None:
            task = asyncio.get_running_loop().create_task(self._attach(parent, call, child))
            self._beginning[child] = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._beginning.pop(child, None))
        return asyncio.shield(task)

    def hears_of(self, call: Call) -> bool:
        """Say whether the run of a call was begun here, or found, so that its end will be told."""
        return RunId(call.request["run"]) in self._awaited

    async def _attach(self, parent: RunId, call: Call, child: RunId) -> None:
        request = call.request
        graph = self._host.graphs.get(request["graph"])
        if graph is None:
            self._codeless.setdefault(request["graph"], []).append((parent, call))
        elif self.start is not None:
            try:
                await self.start(graph, request, child, parent, call.address)
            except RunExistsError as error:  # what was asked for cannot be: that is its outcome
                told = payloads.SubrunFailed(kind="refused", message=str(error))
                await self._host.append(parent, told, call.address, actor=f"run:{parent}")
                return
        await self._look(child)

    async def rejoin(self, parent: RunId, call: Call) -> None:
        """Do that again for a run that an earlier driver has started, and cancel it again where it was to be."""
        if "closing" not in call.request or await self.cancel(
            parent, call, call.request["closing"]
        ):
            await self.attach(parent, call)

    async def cancel(self, parent: RunId, call: Call, reason: str) -> bool:
        """Have a run that was to be started end, because the one that started it does, and say whether it is there."""
        child = RunId(call.request["run"])
        beginning = self._beginning.get(child)
        if beginning is not None:
            await asyncio.wait([beginning])
        wish = RunCancelRequested(id=uuid.uuid4().hex, reason=reason)
        try:
            await self._host.append(child, wish, actor=f"run:{parent}")
        except RunNotFoundError:  # its parent ended between the intent and the start
            told = payloads.SubrunFailed(kind="cancelled", message=f"{reason}; it was not started")
            await self._host.append(parent, told, call.address, actor=f"run:{parent}")
            return False
        return True

    def forget(self, parent: RunId) -> None:
        """Tell a run no more: it has ended."""
        for child in [child for child, (run_id, _) in self._awaited.items() if run_id == parent]:
            del self._awaited[child]

    def ended(self, child: RunId, state: RunState) -> None:
        """Hear that a run which was driven here has ended."""
        if child in self._awaited:
            self._later(partial(self._tell, child, state))

    def noticed(self, child: RunId) -> None:
        """Hear that a run which is not driven here has changed."""
        if child in self._awaited and child not in self._looking:
            self._looking.add(child)
            self._later(partial(self._look, child))

    def errand(self, job: Callable[[], Awaitable[object]]) -> None:
        """Do something that nobody waits for, and warn of what goes wrong."""
        self._later(job)

    async def close(self) -> None:
        """Tell nobody any more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    def _later(self, job: Callable[[], Awaitable[object]]) -> None:
        task = asyncio.get_running_loop().create_task(self._warned(job))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _warned(self, job: Callable[[], Awaitable[object]]) -> None:
        try:
            await job()
        except MidstreamError as error:
            self._warn(str(error))

    async def _look(self, child: RunId) -> None:
        """Tell of a run that has ended meanwhile."""
        self._looking.discard(child)
        found = await self._host.store.runs(RunQuery(prefix=child))
        if any(info.run_id == child and info.status not in OPEN for info in found):
            await self._tell(child, await self._host.load(child))

    async def _tell(self, child: RunId, state: RunState) -> None:
        """Record the end of a run in the log of the one that started it, if that is driven here."""
        parent, address = self._awaited.get(child, (None, ""))
        if parent is None or not self._host.has(parent):
            return  # whoever drives it next looks for itself
        del self._awaited[child]  # before anything is waited for: it is told once
        try:
            await self._host.append(parent, outcome_of(state), address, actor=f"run:{child}")
        except BaseException:
            self._awaited[child] = (parent, address)
            raise


def outcome_of(state: RunState) -> SubrunCompleted | SubrunFailed:
    """Return how a run has ended, as the one that started it is told."""
    ended = state.ended or {}
    match state.status:
        case "completed":
            return payloads.SubrunCompleted(output=state.output)
        case "cancelled":
            return payloads.SubrunFailed(kind="cancelled", message=ended.get("reason", ""))
        case _:
            failures = ended.get("failures", ())
            told = (f"{one['address']}: {one['kind']}: {one['message']}" for one in failures)
            return payloads.SubrunFailed(kind="failed", message="; ".join(told))
