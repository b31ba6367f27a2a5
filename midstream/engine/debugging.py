"""What a run in hand says about its past: its state at any moment, its steps, forks of it, and what its code does today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from midstream.engine.fork import Changes, plan_fork
from midstream.engine.graph import Graph
from midstream.engine.host import Host
from midstream.engine.moments import Moment, cut_at, moment_seq
from midstream.engine.parting import diff_stored
from midstream.engine.replay import PATIENCE, ReplayReport, replay_run
from midstream.errors import ConcurrencyError, ConfigError, GraphError, RunExistsError
from midstream.events.ids import RUN_ID, RunId, new_run_id
from midstream.projections.diff import RunDiff
from midstream.projections.fold import fold_async
from midstream.projections.run_state import RunState
from midstream.projections.trace import Trace, trace_of
from midstream.projections.usage import USAGE, UsageState


class Debugging:
    """The part of `Run` that looks back; see there."""

    _host: Host
    id: RunId

    def __init__(self, host: Host, run_id: RunId) -> None:
        self._host = host
        self.id = run_id

    async def state(self, *, at: Moment | None = None) -> RunState:
        """Fold the run, up to a moment or as far as it is durable.

        Args:
            at: The number of an event, which is included, or the address of a step, which means just before it began.

        Raises:
            ConfigError: The run has no such event or step.
            RunNotFoundError: There is no such run.
        """
        return (await cut_at(self._host.store, self.id, at)).state

    async def usage(self, *, at: Moment | None = None) -> UsageState:
        """Return tokens, money and calls, up to a moment or so far; see `state`."""
        to = await moment_seq(self._host.store, self.id, at)
        return await fold_async(USAGE, self._host.store.read(self.id, to=to))

    async def trace(self, *, at: Moment | None = None) -> Trace:
        """Return the steps of the run, up to a moment or so far; see `state`."""
        to = await moment_seq(self._host.store, self.id, at)
        return await trace_of(self._host.store.read(self.id, to=to))

    async def fork(
        self,
        *,
        at: Moment | None = None,
        set: Mapping[str, Any] | None = None,  # what it is called for those who use it
        model: str = "",
        prompts: Mapping[str, str] | None = None,
        systems: Mapping[str, str] | None = None,
        settings: Mapping[str, Any] | None = None,
        graph: Graph | None = None,
        paused: bool = False,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        reason: str = "",
        by: str = "",
    ) -> Self:
        """Begin a new run with the events of this one up to a moment, and something changed from there on.

        The events are shared, not copied. What the log holds is not done again; what was in flight at that moment, and
        all that comes after it, is, `unsafe` tools included.

        Args:
            at: The number of the last event that is shared, or the address of the first step that is done anew. None:
                the last moment at which nobody had used what `set` changes, or, without it, the newest event.
            set: Values by path: `inputs.city` is an input, `research` or `research#2` what an activation returned, the
                address of a call what that returned; dots lead into a value, as in `research.0.title`.
            model: The model from there on.
            prompts: What is said to a model in place of what the code says, by node, activation or call.
            systems: The instruction in place of the code's, likewise.
            settings: Settings of every model call from there on, added to the code's.
            graph: Another version of the graph's code.
            paused: Wait until it is resumed; then its code need not be known here.
            run_id: The new run's id; None makes one from this run's.
            tags: For finding it again, added to this run's.
            reason: Recorded.
            by: Who wants it.

        Raises:
            ConfigError: There is no such moment or value, or the old value was used by then; nothing was recorded.
            GraphError: The code is not known here, or has no place for what is running; nothing was recorded.
            RunExistsError: There is a run of that id; nothing was recorded.
        """
        changes = Changes(
            set=set or {},
            model=model,
            prompts=prompts or {},
            systems=systems or {},
            settings=settings or {},
            graph=graph,
            paused=paused,
            tags=tags or {},
            reason=reason,
        )
        if run_id is not None and not RUN_ID.fullmatch(run_id):
            raise ConfigError(
                f"run_id {run_id!r}: must begin with a letter or digit and hold at most 128 letters, digits and _.:~-"
            )
        host = self._host
        if model:
            await host.providers.ready(model)
            host.providers.adapter(model)
        actor = f"user:{by}" if by else "user"
        codes = host.graphs if graph is None else {**host.graphs, graph.name: graph}
        while True:
            fork = await plan_fork(host.store, self.id, at, changes, codes)
            chosen = RunId(run_id) if run_id is not None else await self._free_id()
            try:
                await host.fork(chosen, fork.cut, fork.payloads, graph, actor=actor)
            except ConcurrencyError as error:
                if run_id is not None:
                    raise RunExistsError(chosen, "another beginning") from error
            else:
                return type(self)(host, chosen)

    async def _free_id(self) -> RunId:
        """Return an id that tells whose fork it is, as in `order-42~1`."""
        for number in range(1, 1000):
            name = RunId(f"{self.id}~{number}")
            if RUN_ID.fullmatch(name) and await self._host.store.head(name) is None:
                return name
        return new_run_id()

    async def replay(
        self,
        *,
        graph: Graph | None = None,
        strict: bool = True,
        at: Moment | None = None,
        patience: float = PATIENCE,
    ) -> ReplayReport:
        """Run today's code against the log: no model, tool, clock or network, answers come from the log.

        Of a fork, what happened since it was forked is replayed; the rest is its parent's.

        Args:
            graph: The code; None takes what is registered under the graph's name.
            strict: Compare how things are told, too: views by digest, tool descriptions, messages of errors, the graph's
                shape. Otherwise only what was decided, asked and returned.
            at: Only up to this moment.
            patience: Seconds to wait for code that does something of its own, such as a thread.

        Returns:
            `identical`, or the first divergence.

        Raises:
            GraphError: The code is not known here.
            RunNotFoundError: There is no such run.
        """
        host = self._host
        code = graph
        if code is None:
            name = (await cut_at(host.store, self.id, 1)).state.graph
            code = host.graphs.get(name)
            if code is None:
                known = ", ".join(sorted(host.graphs)) or "none"
                raise GraphError(
                    f"run {self.id!r} needs the code of graph {name!r}; known here: {known}. "
                    "Pass graphs=[…] to the engine, or graph= to replay"
                )
        upto = await moment_seq(host.store, self.id, at)
        return await replay_run(
            host.store,
            self.id,
            code,
            host.providers,
            strict=strict,
            upto=upto,
            patience=patience,
        )

    async def diff(
        self, other: Self | str, *, at: Moment | None = None, other_at: Moment | None = None
    ) -> RunDiff:
        """Return where this run and another one part, why, and what that made differ.

        Args:
            other: The other run, or its id.
            at: Of this run, only up to this moment.
            other_at: Of the other run, likewise.

        Raises:
            ConfigError: A run has no such moment.
            RunNotFoundError: One of them does not exist.
        """
        right = RunId(other) if isinstance(other, str) else other.id
        return await diff_stored(self._host.store, self.id, right, left_at=at, right_at=other_at)
