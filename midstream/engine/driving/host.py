"""What the runs of one process share: the store, the providers, who is being driven here, and who listens."""

from __future__ import annotations

import asyncio
import os
import socket
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from midstream.adapters.base import Delta
from midstream.engine.clock import Clock
from midstream.engine.driving.moments import Cut
from midstream.engine.driving.runner import Runner
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.versions import check_shape, upgrade_of
from midstream.engine.models.model_calls import Models, Pricing
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.nodes.subgraphs import graphs_in
from midstream.engine.on_change import OnChange
from midstream.engine.providers import Providers
from midstream.engine.recording.parking import PARK_AFTER, Lot, Parked, Place
from midstream.engine.recording.snapshots import load_run
from midstream.engine.requests.advice import Advisor
from midstream.engine.requests.redacting import RedactedFields
from midstream.engine.spending.spending import Ledger
from midstream.errors import (
    ConcurrencyError,
    GraphError,
    LeaseHeldError,
    LeaseLostError,
    MidstreamError,
    RunNotFoundError,
    StoreError,
)
from midstream.events.codec import Prepared, Redact, encode
from midstream.events.envelope import Draft, Event
from midstream.events.ids import Address, RunId
from midstream.events.patience import append_patiently
from midstream.events.payloads import Fact, RunResumed
from midstream.events.store import EventStore, Head, RunQuery
from midstream.projections.run_state import RunState, apply, fold_run

if TYPE_CHECKING:
    from midstream.engine.driving.rehearsal_cast import RehearsalCast
    from midstream.engine.planning.reflection import Reflector
    from midstream.engine.policies.policy import Policy
    from midstream.engine.spending.budget import Budget

Listener = Callable[[str, Delta], None]
"""Is given the address of a model call and a piece of its answer."""

Check = Callable[[RunId, Mapping[str, Any]], object]
"""Is given a run and its inputs."""


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
        reflector: Says why nodes failed; None for the rules alone.
        park_after: Seconds of rest after which a run that only waits is put aside; see `Engine`.
        on_change: What is done where the code of a run has changed and its graph says nothing; see `Engine`.
        policies: When runs go on with another model.
        redact: Takes secrets out of what is recorded.
        budgets: What each run, or all runs with a tag, may spend.
        checks: By graph: sees that what a run needs beside its graph is known here, or raises `GraphError`.
        forget: Called with each run that has ended here.
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
    reflector: Reflector | None = None
    park_after: float = PARK_AFTER
    on_change: OnChange = "pin"
    policies: Sequence[Policy] = ()
    redact: Redact | None = None
    budgets: Sequence[Budget] = ()
    checks: dict[str, Check] = field(default_factory=dict[str, Check])
    forget: Callable[[RunId], object] = lambda run_id: None
    name: str = field(default_factory=lambda: _driver_name())
    graphs: dict[str, Graph] = field(default_factory=dict[str, Graph])
    live: dict[RunId, Live] = field(default_factory=dict[RunId, Live])
    listeners: dict[RunId, list[Listener]] = field(default_factory=dict[RunId, list[Listener]])

    def __post_init__(self) -> None:
        from midstream.engine.policies.policing import Patrol

        self._tasks: list[asyncio.Task[None]] = []
        self._fields = RedactedFields()
        self._taking = asyncio.Lock()
        self.lot = Lot(self.clock, self._wake_soon)
        self.ledger = Ledger(
            self.store,
            {budget.tag for budget in self.budgets if budget.tag},
            {budget.tag for budget in self.budgets if budget.window is not None},
        )
        self.draining = False
        """It is being closed, and takes on nothing any more."""
        self.woken = 0
        """Parked runs that were driven on."""
        self._waking: set[asyncio.Task[None]] = set()
        self.subruns = Subruns(
            self, lambda told: self._log.warning("a run was not heard of", error=told)
        )
        self.patrol = Patrol(
            self.policies, self.ledger, self.providers, self.pricing, self.clock, self._flying
        )
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

    async def drain(self, seconds: float) -> None:
        """Take nothing over any more, and wait until what is driven here has ended or waits, or the time is up."""
        self.draining = True
        try:
            async with asyncio.timeout(seconds):
                while self.live:
                    await asyncio.wait([live.task for live in self.live.values()])
        except TimeoutError:
            self._log.info("handing over", runs=len(self.live))

    async def close(self, *, providers: bool = True) -> None:
        """Stop driving; every run can be resumed at once by whoever wants to. No task is left.

        Args:
            providers: Close them, too.
        """
        self._unwatch()
        await self.lot.close()
        await self.subruns.close()
        own = (*self._tasks, *self._waking)
        for task in own:
            task.cancel()
        if own:
            await asyncio.wait(own)
        driven = dict(self.live)
        for live in driven.values():
            live.task.cancel()
        if driven:
            await asyncio.wait([live.task for live in driven.values()])
        held = {run_id: live.runner.recorder.epoch for run_id, live in driven.items()}
        held |= {run_id: place.epoch for run_id, place in self.lot.all().items()}
        await asyncio.gather(*(self._give_up(run_id, epoch) for run_id, epoch in held.items()))
        if providers:
            await self.providers.close()

    def _flying(self, model: str) -> int:
        """Return how many calls of a model are in flight here."""
        flights = [f for live in self.live.values() for f in live.runner.models.flights.values()]
        return sum(flight.model == model for flight in flights)

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
        if known is not graph:
            self.graphs[graph.name] = graph
            for inner in graphs_in(graph).values():  # they may be run by themselves, too
                if isinstance(inner, Graph):
                    self.graphs.setdefault(inner.name, inner)

    def has(self, run_id: RunId) -> bool:
        """Say whether a run is driven or parked here."""
        return run_id in self.live or run_id in self.lot

    def draft(
        self,
        payload: Fact,
        address: str | None = None,
        *,
        actor: str,
        prepared: Mapping[str, Prepared] | None = None,
    ) -> Draft:
        """Return a payload as a draft, recorded now."""
        at = int(self.clock.now() * 1_000_000)
        step = None if address is None else Address(address)
        if self.redact is not None and prepared is not None:
            prepared = self._fields(prepared, self.redact)
        redact = self.redact
        return encode(payload, at=at, actor=actor, address=step, prepared=prepared, redact=redact)

    async def _go(self, run_id: RunId, graph: Graph, state: RunState, epoch: int) -> None:
        """Begin to drive a run in this process, or, where it tries a what-if, by what its parent's log answers."""
        from midstream.engine.driving.rehearsal_cast import rehearsal_cast

        if state.rehearsal is None:
            self.drive(run_id, graph, state, epoch)
            return
        cast = await rehearsal_cast(self.store, run_id, state, self.providers)
        for model in cast.models:
            await cast.providers.ready(model)
        self.drive(run_id, graph, state, epoch, cast)

    def drive(
        self,
        run_id: RunId,
        graph: Graph,
        state: RunState,
        epoch: int,
        cast: RehearsalCast | None = None,
    ) -> None:
        """Begin to drive a run in this process.

        Args:
            run_id: The run.
            graph: Its code.
            state: The run as it stands.
            epoch: This driver's.
            cast: Who answers in place of the world, where the run tries a what-if.
        """
        from midstream.engine.spending.budget import Guard

        models = Models(
            self.providers if cast is None else cast.providers,
            policing=self.patrol.of(run_id) if cast is None else None,
            pricing=self.pricing,
            show=partial(self._show, run_id),
            listening=lambda: bool(self.listeners.get(run_id)),
            advisor=self.advisor if cast is None else cast.advisor,
        )
        if self.budgets:
            models.guard = Guard(self.ledger, self.budgets)
        runner = Runner(
            self.store,
            run_id,
            graph,
            state,
            epoch=epoch,
            clock=self.clock,
            models=models,
            always_replay=self.always_replay,
            park_after=self.park_after,
            reflector=self.reflector if cast is None else cast.reflector,
            answers=None if cast is None else cast.answers,
            subruns=self.subruns if cast is None else None,  # a try starts no runs
        )
        runner.recorder.redact = self.redact
        task = asyncio.create_task(self._driven(run_id, runner), name=f"midstream:run:{run_id}")
        self.live[run_id] = Live(runner, task)

    async def _driven(self, run_id: RunId, runner: Runner) -> None:
        parked: Parked | None = None
        try:
            parked = await runner.drive()
        except LeaseLostError as error:
            self._log.warning("run taken over by another driver", run_id=run_id, error=str(error))
        except MidstreamError as error:
            self._log.error("driving stopped", run_id=run_id, error=str(error))
            self.live.pop(run_id, None)
            await self._give_up(run_id, runner.recorder.epoch)
            raise
        finally:
            self.live.pop(run_id, None)
            if runner.state.over:
                self.patrol.forget(run_id)
        if runner.state.over:
            self.forget(run_id)
            self.subruns.forget(run_id)
            self.subruns.ended(run_id, runner.state)
        if parked is not None:
            await self._park(run_id, parked, runner.recorder.epoch)

    async def _park(self, run_id: RunId, parked: Parked, epoch: int) -> None:
        """Put a run aside; what was appended since its driver looked wakes it again at once."""
        self.lot.park(run_id, Place(parked.until, epoch))
        head = await self.store.head(run_id)
        if head is not None and head.seq > parked.seq:
            self._wake_soon(run_id)

    def _wake_soon(self, run_id: RunId) -> None:
        task = asyncio.create_task(self._wake(run_id))
        self._waking.add(task)
        task.add_done_callback(self._waking.discard)

    async def _wake(self, run_id: RunId) -> None:
        async with self._taking:
            await self._wake_now(run_id)

    async def _wake_now(self, run_id: RunId) -> None:
        """Drive a parked run on, with the epoch that it has."""
        if self.draining:
            return
        place = self.lot.take(run_id)
        if place is None:
            return
        try:
            state = await self.load(run_id)
            code = self._code(run_id, state, None)
            await upgrade_of(self.store, run_id, state, code, "pin")
        except MidstreamError as error:  # it can be taken over like any other
            self._log.error("cannot go on", run_id=run_id, error=str(error))
            await self._give_up(run_id, place.epoch)
            return
        if state.epoch == place.epoch:
            self.woken += 1
            await self._go(run_id, code, state, place.epoch)

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

    async def resume(
        self, run_id: RunId, graph: Graph | None = None, on_change: OnChange | None = None
    ) -> None:
        """Take a run over and drive it here; does nothing where it is driven here or has ended.

        Args:
            run_id: The run.
            graph: Its code; None takes the graph that is registered under its name.
            on_change: What is done where that is not the code it was started with; None for what the graph says, or the engine.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            GraphError: Its code is not known here.
            CodeChangedError: It is not the code it was started with, and that is not allowed.
            RunNotFoundError: There is no such run.
        """
        async with self._taking:  # the scanner and a caller may want the same run at the same time
            if run_id in self.lot:
                await self._wake_now(run_id)
            elif run_id not in self.live:
                await self._take_over(run_id, graph, on_change)

    async def _take_over(self, run_id: RunId, graph: Graph | None, wanted: OnChange | None) -> None:
        state = await self.load(run_id)
        if state.over:
            return
        code = self._code(run_id, state, graph)
        on_change = wanted or code.on_change or self.on_change
        await upgrade_of(self.store, run_id, state, code, on_change)  # it may be refused
        epoch = await self.store.acquire(run_id, self.name, now=self.clock.now())
        try:
            state = await self._resumed(run_id, state, epoch, code, on_change)
        except BaseException:
            await self._give_up(run_id, epoch)
            raise
        await self._go(run_id, code, state, epoch)

    async def _resumed(
        self, run_id: RunId, state: RunState, epoch: int, code: Graph, on_change: OnChange
    ) -> RunState:
        """Record that the run was taken over, by which code, and return it as it stands then."""
        while True:
            facts: list[Fact] = [RunResumed(epoch=epoch, driver=self.name)]
            upgraded = await upgrade_of(self.store, run_id, state, code, on_change)
            if upgraded is not None:
                facts.append(upgraded)
            drafts = [self.draft(fact, actor="engine") for fact in facts]
            try:
                await append_patiently(self.store, run_id, drafts, expected=state.seq, epoch=epoch)
            except ConcurrencyError:
                state = await self.load(run_id)
            else:
                for draft in drafts:
                    apply(state, _placed(run_id, draft, Head(state.seq + 1, 0, b""), epoch))
                return state

    async def fork(
        self, run_id: RunId, cut: Cut, payloads: Sequence[Fact], graph: Graph | None, *, actor: str
    ) -> None:
        """Make a run that begins with the events of another one up to a cut, and drive it, unless it is paused or over.

        Args:
            run_id: The new run.
            cut: Where the other one is cut off; its state becomes the new one's.
            payloads: `run.forked`, and what else is wanted.
            graph: Its code; None takes the graph that is registered under its name.
            actor: Who wants it.

        Raises:
            GraphError: It is to be driven, and its code is not known here; nothing was recorded.
            ConcurrencyError: There is a run of this id.
        """
        state, head = cut
        drafts = [self.draft(payload, actor=actor) for payload in payloads]
        for draft in drafts:
            apply(state, _placed(run_id, draft, Head(state.seq + 1, 0, b""), 1))
        driven = not state.over and state.status != "paused"
        code = self._code(run_id, state, graph, register=False) if driven else None
        if code is not None:
            check_shape(run_id, state, code)
        lease: Any = {"epoch": 1, "holder": self.name} if driven else {}
        await append_patiently(self.store, run_id, drafts, expected=head.seq, **lease)
        if code is not None:
            await self._go(run_id, code, state, 1)

    def _code(
        self, run_id: RunId, state: RunState, graph: Graph | None, *, register: bool = True
    ) -> Graph:
        if graph is not None and register:
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
        if code.name != state.graph:
            raise GraphError(
                f"run {run_id!r} is of graph {state.graph!r}, not {code.name!r}; pass that graph's code"
            )
        check = self.checks.get(code.name)
        if check is not None and state.cancelling is None:
            check(run_id, state.inputs)
        return code

    async def recover(self) -> tuple[RunId, ...]:
        """Take over every run of a known graph that has not ended and that no live driver holds."""
        taken: list[RunId] = []
        if self.draining:
            return ()
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

    async def append_checked(
        self,
        run_id: RunId,
        make: Callable[[RunState], tuple[str, Fact]],
        *,
        actor: str,
    ) -> None:
        """Append what depends on where the run stands, after nothing else than what was looked at.

        Never through the driver: its state is ahead of the log, and somebody elsewhere may be quicker.

        Args:
            run_id: The run.
            make: Returns an address and a fact for a state, or raises; asked again whenever the run has moved on.
            actor: Who wants it.

        Raises:
            RunNotFoundError: There is no such run.
        """
        state = RunState()
        while True:
            async for event in self.store.read(run_id, after=state.seq):
                apply(state, event)
            address, payload = make(state)
            draft = self.draft(payload, address, actor=actor)
            with suppress(ConcurrencyError):
                await append_patiently(self.store, run_id, [draft], expected=state.seq)
                return

    def _show(self, run_id: RunId, address: str, piece: Delta) -> None:
        for listener in self.listeners.get(run_id, ()):
            listener(address, piece)

    def _noticed(self, run_id: RunId, seq: int) -> None:
        live = self.live.get(run_id)
        if live is not None:
            live.runner.recorder.noticed(seq)
        elif run_id in self.lot:
            self._wake_soon(run_id)
        else:
            self.subruns.noticed(run_id)

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
