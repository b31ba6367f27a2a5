"""What the runs of one process share: the store, the providers, who is being driven here, and who listens."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any

from midstream.adapters.base import Delta
from midstream.engine.advice import Advisor
from midstream.engine.clock import Clock
from midstream.engine.graph import Graph
from midstream.engine.model_calls import Models, Pricing
from midstream.engine.providers import Providers
from midstream.engine.runner import Runner
from midstream.engine.snapshots import load_run
from midstream.errors import (
    ConcurrencyError,
    GraphError,
    LeaseHeldError,
    LeaseLostError,
    MidstreamError,
    RunNotFoundError,
    StoreError,
)
from midstream.events.codec import encode
from midstream.events.envelope import Draft, Event
from midstream.events.ids import Address, RunId
from midstream.events.patience import append_patiently
from midstream.events.payloads import Fact, RunResumed
from midstream.events.store import EventStore, Head, RunQuery
from midstream.projections.run_state import RunState, apply, fold_run

Listener = Callable[[str, Delta], None]
"""Is given the address of a model call and a piece of its answer."""


@dataclass(slots=True)
class Live:
    """A run that is being driven in this process."""

    runner: Runner
    task: asyncio.Task[None]


@dataclass
class Host:
    """Drives runs in this process, and appends to any run on behalf of whoever wants something of it.

    Attributes:
        store: Where the runs are.
        providers: Who answers.
        pricing: What answers cost.
        clock: Tells the time.
        model: The model of runs that name none, or empty.
        lease: Seconds after its last sign of life for which a driver keeps its runs.
        always_replay: Drop all state after each append; see `Engine`.
        advisor: Knows what earlier runs taught, or None.
        name: This driver's, unique among live ones.
        graphs: The code of graphs, by name.
        live: The runs that are driven here.
        listeners: Who is shown what models are writing, by run.
    """

    store: EventStore
    providers: Providers
    pricing: Pricing
    clock: Clock
    model: str = ""
    lease: float = 15.0
    always_replay: bool = False
    advisor: Advisor | None = None
    name: str = field(default_factory=lambda: _driver_name())
    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])
    live: dict[RunId, Live] = field(default_factory=dict[RunId, Live])
    listeners: dict[RunId, list[Listener]] = field(default_factory=dict[RunId, list[Listener]])

    def __post_init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []
        self._taking = asyncio.Lock()
        self._unwatch: Callable[[], None] = lambda: None

    @cached_property
    def _log(self) -> Any:
        import structlog  # it may take rich along, 0.1 s; most processes never have anything to say

        return structlog.get_logger("midstream")

    async def open(self, *, scan: bool) -> None:
        """Show a first sign of life, and go on showing it.

        Args:
            scan: Take over runs of known graphs whose lease runs out, for as long as this is open.
        """
        self._unwatch = self.store.watch(self._noticed)
        await self._beat()
        self._tasks.append(asyncio.create_task(self._every(self.lease / 3, self._beat)))
        if scan:
            self._tasks.append(asyncio.create_task(self._every(self.lease / 2, self._scan)))

    async def close(self) -> None:
        """Stop driving; every run can be resumed at once by whoever wants to. No task is left."""
        self._unwatch()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        driven = dict(self.live)
        for live in driven.values():
            live.task.cancel()
        if driven:
            await asyncio.wait([live.task for live in driven.values()])
        for run_id, live in driven.items():
            with suppress(StoreError):
                await self.store.release(run_id, epoch=live.runner.recorder.epoch)
        await self.providers.close()

    def register(self, graph: Graph) -> None:
        """Let runs of this graph be resumed here.

        Raises:
            GraphError: Another graph has the same name.
        """
        known = self.graphs.get(graph.name)
        if known is not None and known is not graph and known.digest != graph.digest:
            raise GraphError(
                f"two graphs are named {graph.name!r}; a run finds its code by that name, so rename one"
            )
        self.graphs[graph.name] = graph

    def draft(self, payload: Fact, address: str | None = None, *, actor: str) -> Draft:
        """Return a payload as a draft, recorded now."""
        at = int(self.clock.now() * 1_000_000)
        return encode(
            payload, at=at, actor=actor, address=None if address is None else Address(address)
        )

    def drive(self, run_id: RunId, graph: Graph, state: RunState, epoch: int) -> None:
        """Begin to drive a run in this process."""
        models = Models(
            self.providers,
            pricing=self.pricing,
            show=partial(self._show, run_id),
            listening=lambda: bool(self.listeners.get(run_id)),
            advisor=self.advisor,
        )
        runner = Runner(
            self.store,
            run_id,
            graph,
            state,
            epoch=epoch,
            clock=self.clock,
            models=models,
            always_replay=self.always_replay,
        )
        task = asyncio.create_task(self._driven(run_id, runner), name=f"midstream:run:{run_id}")
        self.live[run_id] = Live(runner, task)

    async def _driven(self, run_id: RunId, runner: Runner) -> None:
        try:
            await runner.drive()
        except LeaseLostError as error:
            self._log.warning("run taken over by another driver", run_id=run_id, error=str(error))
        except MidstreamError as error:
            self._log.error("driving stopped", run_id=run_id, error=str(error))
            self.live.pop(run_id, None)
            await self._give_up(run_id, runner.recorder.epoch)
            raise
        finally:
            self.live.pop(run_id, None)

    async def _give_up(self, run_id: RunId, epoch: int) -> None:
        """Let somebody else, or this driver later, take a run over that could not be driven on."""
        with suppress(StoreError):
            await self.store.release(run_id, epoch=epoch)

    async def load(self, run_id: RunId) -> RunState:
        """Return a run as it stands, with what driving it needs; see `load_run`.

        Raises:
            RunNotFoundError: There is no such run.
        """
        return await load_run(self.store, run_id)

    async def resume(self, run_id: RunId, graph: Graph | None = None) -> None:
        """Take a run over and drive it here; does nothing where it is driven here or has ended.

        Args:
            run_id: The run.
            graph: Its code; None takes the graph that is registered under its name.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            GraphError: Its code is not known here, or is not the code it was started with.
            RunNotFoundError: There is no such run.
        """
        async with self._taking:  # the scanner and a caller may want the same run at the same time
            if run_id not in self.live:
                await self._take_over(run_id, graph)

    async def _take_over(self, run_id: RunId, graph: Graph | None) -> None:
        state = await self.load(run_id)
        if state.over:
            return
        code = self._code(run_id, state, graph)
        epoch = await self.store.acquire(run_id, self.name, now=self.clock.now())
        try:
            state = await self._resumed(run_id, state, epoch)
        except BaseException:
            await self._give_up(run_id, epoch)
            raise
        self.drive(run_id, code, state, epoch)

    async def _resumed(self, run_id: RunId, state: RunState, epoch: int) -> RunState:
        """Record that the run was taken over, and return it as it stands then."""
        while True:
            resumed = self.draft(RunResumed(epoch=epoch, driver=self.name), actor="engine")
            try:
                head = await append_patiently(
                    self.store, run_id, [resumed], expected=state.seq, epoch=epoch
                )
            except ConcurrencyError:
                state = await self.load(run_id)
            else:
                apply(state, _placed(run_id, resumed, head, epoch))
                return state

    def _code(self, run_id: RunId, state: RunState, graph: Graph | None) -> Graph:
        if graph is not None:
            self.register(graph)
        code = graph or self.graphs.get(state.graph)
        if state.cancelling is not None and code is None:
            return Graph(state.graph)  # to close what is open, no code is needed
        if code is None:
            known = ", ".join(sorted(self.graphs)) or "none"
            raise GraphError(
                f"run {run_id!r} needs the code of graph {state.graph!r}; known here: {known}. "
                "Pass graphs=[…] to the engine, or the graph to resume"
            )
        if code.name != state.graph or code.digest != state.graph_digest:
            raise GraphError(
                f"run {run_id!r} was started with another shape of graph {state.graph!r} (digest "
                f"{state.graph_digest[:12]}, now {code.digest[:12]}): resume it with the code it was started with"
            )
        return code

    async def recover(self) -> tuple[RunId, ...]:
        """Take over every run of a known graph that has not ended and that no live driver holds."""
        taken: list[RunId] = []
        for info in await self.store.runs(RunQuery(orphaned_at=self.clock.now())):
            if info.graph not in self.graphs or info.run_id in self.live:
                continue
            try:
                await self.resume(info.run_id)
            except LeaseHeldError:
                continue  # another scanner was quicker
            except MidstreamError as error:  # this one cannot be had; the others can
                self._log.warning("cannot take over", run_id=info.run_id, error=str(error))
                continue
            taken.append(info.run_id)
        return tuple(taken)

    async def append(
        self, run_id: RunId, payload: Fact, address: str | None = None, *, actor: str
    ) -> None:
        """Append what somebody wants of a run, durable when this returns; the run's driver needs no lease for it.

        Raises:
            RunNotFoundError: There is no such run.
            NotRecordableError: A value in it is not JSON.
        """
        live = self.live.get(run_id)
        if live is not None and live.runner.recorder.error is None:
            live.runner.record(payload, address, actor=actor)
            with suppress(LeaseLostError):  # nothing was written; and this needs no lease
                await live.runner.recorder.durable()
                return
        draft = self.draft(payload, address, actor=actor)
        while True:
            head = await self.store.head(run_id)
            if head is None:
                raise RunNotFoundError(run_id)
            try:
                await append_patiently(self.store, run_id, [draft], expected=head.seq)
            except ConcurrencyError:
                continue
            return

    def _show(self, run_id: RunId, address: str, piece: Delta) -> None:
        for listener in self.listeners.get(run_id, ()):
            listener(address, piece)

    def _noticed(self, run_id: RunId, seq: int) -> None:
        live = self.live.get(run_id)
        if live is not None:
            live.runner.recorder.noticed(seq)

    async def _every(self, seconds: float, job: Callable[[], object]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                done = job()
                if asyncio.iscoroutine(done):
                    await done
            except Exception as error:  # noqa: BLE001  # a sign of life must not end for an error of any kind
                self._log.warning(
                    "will be tried again", job=getattr(job, "__name__", ""), error=str(error)
                )

    async def _beat(self) -> None:
        await self.store.beat(self.name, until=self.clock.now() + self.lease)

    async def _scan(self) -> None:
        await self.recover()


def _driver_name() -> str:
    return f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"


def fold_created(run_id: RunId, draft: Draft, head: Head) -> RunState:
    """Return the state after the first event of a run, without reading it back."""
    return fold_run((_placed(run_id, draft, head, 1),))


def _placed(run_id: RunId, draft: Draft, head: Head, epoch: int) -> Event:
    """Return the event that an append of one draft made."""
    return Event(
        run_id,
        head.seq,
        head.position,
        draft.at,
        draft.type,
        draft.version,
        draft.actor,
        draft.cause,
        draft.address,
        epoch,
        draft.body,
        head.digest,
        draft.data,
        (draft.type, draft.version),
    )
