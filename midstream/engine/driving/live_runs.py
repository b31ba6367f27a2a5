"""The runs that are driven in this process: each by a runner, or parked until something wakes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from midstream.engine.driving.process import Live, Process
from midstream.engine.driving.runner import Runner
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.versions import upgrade_of
from midstream.engine.models.model_calls import Models
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.nodes.subgraphs import graphs_in
from midstream.engine.recording.parking import Lot, Parked, Place
from midstream.engine.recording.snapshots import load_run
from midstream.errors import (
    GraphError,
    LeaseLostError,
    MidstreamError,
)
from midstream.events.ids import RunId
from midstream.projections.run_state import RunState

if TYPE_CHECKING:
    from midstream.engine.driving.rehearsal_cast import RehearsalCast
    from midstream.engine.policies.policing import Patrol, Policing


class LiveRuns(Process):
    """Drives runs in this process; see `Host`."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self._taking = asyncio.Lock()
        self.lot = Lot(self.clock, self._wake_soon)
        self._waking: set[asyncio.Task[None]] = set()
        self.subruns = Subruns(
            self, lambda told: self._log.warning("a run was not heard of", error=told)
        )
        self._patrol: Patrol | None = None

    @property
    def patrol(self) -> Patrol:
        """The policies of all runs and of single ones; made when there is one."""
        if self._patrol is None:
            from midstream.engine.policies.policing import Patrol

            self._patrol = Patrol(
                self.policies, self.ledger, self.providers, self.pricing, self.clock, self._flying
            )
        return self._patrol

    def _policing(self, run_id: RunId) -> Policing | None:
        """Return what looks at a run, or None where nothing does."""
        if not self.policies and self._patrol is None:
            return None
        return self.patrol.of(run_id)

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

    def _flying(self, model: str) -> int:
        """Return how many calls of a model are in flight here."""
        flights = [f for live in self.live.values() for f in live.runner.models.flights.values()]
        return sum(flight.model == model for flight in flights)

    async def _go(self, run_id: RunId, graph: Graph, state: RunState, epoch: int) -> None:
        """Begin to drive a run in this process, or, where it tries a what-if, by what its parent's log answers."""
        if state.rehearsal is None:
            self.drive(run_id, graph, state, epoch)
            return
        from midstream.engine.driving.rehearsal_cast import rehearsal_cast

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
        models = Models(
            self.providers if cast is None else cast.providers,
            policing=self._policing(run_id) if cast is None else None,
            pricing=self.pricing,
            run_id=run_id,
            listeners=self.listeners,
            advisor=self.advisor if cast is None else cast.advisor,
        )
        if self.budgets:
            from midstream.engine.spending.budget import Guard

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
            if runner.state.over and self._patrol is not None:
                self._patrol.forget(run_id)
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

    async def load(self, run_id: RunId) -> RunState:
        """Return a run as it stands, with what driving it needs; see `load_run`.

        Raises:
            RunNotFoundError: There is no such run.
        """
        return await load_run(self.store, run_id)

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
