"""What a run in hand says about its past: its state at any moment, its steps, forks of it, and what its code does today."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Self, overload

from midstream.engine.driving.host import Host
from midstream.engine.driving.moments import Moment, cut_at, moment_seq
from midstream.engine.graphs.graph import Graph
from midstream.errors import GraphError
from midstream.events.ids import RunId
from midstream.events.paging import pages
from midstream.projections.fold import fold_pages, needs
from midstream.projections.run_state import RunState
from midstream.projections.usage import USAGE, UsageState

if TYPE_CHECKING:
    from midstream.engine.debugging.replay import ReplayReport
    from midstream.engine.debugging.tries import Estimate, WhatIf
    from midstream.engine.debugging.what_if import Changed
    from midstream.engine.spending.costing import Caching, CostReport
    from midstream.projections.diff import RunDiff
    from midstream.projections.trace import Trace


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
        return await fold_pages(USAGE, pages(self._host.store, self.id, to=to, needed=needs(USAGE)))

    async def trace(self, *, at: Moment | None = None) -> Trace:
        """Return the steps of the run, up to a moment or so far; see `state`."""
        from midstream.projections.trace import UNREAD, trace_of

        to = await moment_seq(self._host.store, self.id, at)
        return await trace_of(pages(self._host.store, self.id, to=to, bare=UNREAD))

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
        from midstream.engine.debugging.forking import make_fork, ready
        from midstream.engine.driving.fork import Changes

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
        if model:
            await ready(self._host, model)
        actor = f"user:{by}" if by else "user"
        made = await make_fork(self._host, self.id, at, changes, run_id=run_id, actor=actor)
        return type(self)(self._host, made)

    async def cost(
        self,
        *,
        models: Mapping[str, str] | None = None,
        on: datetime | None = None,
        cache: Caching = "recorded",
        at: Moment | None = None,
    ) -> CostReport:
        """Return what the run has cost, by node and model; or what its tokens would cost by other prices, asking nobody.

        Args:
            models: Models to price calls by, by call, activation, node, the model that was asked, or `*` for all.
            on: Price them as of that day; prices change.
            cache: What is read from the provider's cache: what was (`recorded`); nothing (`none`); what a call repeats of the
                one that it continues (`read`); likewise, and what is new is written to it (`write`).
            at: Only what was spent up to a moment.

        Returns:
            A report that says whether it is an estimate, and by which price list: another model counts the same text as
            other tokens, and would have said something else.

        Raises:
            ConfigError: There is no such moment, or `models` names what is not in the run.
            RunNotFoundError: There is no such run.
        """
        from midstream.engine.spending.costing import cost_report, with_list
        from midstream.projections.answered import ANSWERED

        to = await moment_seq(self._host.store, self.id, at)
        found = await fold_pages(
            ANSWERED, pages(self._host.store, self.id, to=to, needed=needs(ANSWERED))
        )
        pricing = with_list(self._host.pricing)
        return cost_report(self.id, found.calls, pricing, models=models or {}, on=on, cache=cache)

    async def estimate(
        self,
        *,
        live: Sequence[str],
        models: Mapping[str, str] | None = None,
        times: int = 1,
        changed: Changed = "live",
    ) -> Estimate:
        """Return what `replay` with these steps live would cost, by the tokens that the log has; nobody is asked.

        Raises:
            ConfigError: There is no such step.
            RunNotFoundError: There is no such run.
        """
        from midstream.engine.debugging.what_if import Wanted, estimate_what_if

        wanted = Wanted(tuple(live), models or {}, times, changed)
        return await estimate_what_if(self._host, self.id, wanted)

    @overload
    async def replay(
        self,
        *,
        graph: Graph | None = ...,
        strict: bool = ...,
        at: Moment | None = ...,
        patience: float = ...,
    ) -> ReplayReport: ...

    @overload
    async def replay(
        self,
        *,
        live: Sequence[str],
        models: Mapping[str, str] | None = ...,
        times: int = ...,
        changed: Changed = ...,
        prompts: Mapping[str, str] | None = ...,
        systems: Mapping[str, str] | None = ...,
        limit: Decimal | float | None = ...,
        keep: bool = ...,
        graph: Graph | None = ...,
    ) -> WhatIf: ...

    async def replay(
        self,
        *,
        graph: Graph | None = None,
        strict: bool = True,
        at: Moment | None = None,
        patience: float = 10.0,
        live: Sequence[str] = (),
        models: Mapping[str, str] | None = None,
        times: int = 1,
        changed: Changed = "live",
        prompts: Mapping[str, str] | None = None,
        systems: Mapping[str, str] | None = None,
        limit: Decimal | float | None = None,
        keep: bool = True,
    ) -> ReplayReport | WhatIf:
        """Run today's code against the log: no model, tool, clock or network, answers come from the log.

        Of a fork, what happened since it was forked is replayed; the rest is its parent's.

        With `live`, these steps happen, in forks of the run, and the log answers for all others: what would have come of
        another model, another prompt, or the same once more? A step after them that is asked what it was asked then is
        answered from the log, too. Tools that only read happen with the step they belong to; others are called only
        where they are named. Clocks, chance, people and memories say what they said.

        Args:
            graph: The code; None takes what is registered under the graph's name.
            strict: Compare how things are told, too: views by digest, tool descriptions, messages of errors, the graph's
                shape. Otherwise only what was decided, asked and returned.
            at: Only up to this moment.
            patience: Seconds to wait for code that does something of its own, such as a thread.
            live: Nodes, activations, addresses of calls, or tools as in `tool:NAME`.
            models: Who is asked by what happens: by call, activation, node, the model that was asked, or `*`.
            times: How often it is tried.
            changed: What becomes of a later step that is asked something else: it happens (`live`), or the try stops there.
            prompts: What is said in place of what the code says, by node, activation or call.
            systems: The instruction in place of the code's, likewise.
            limit: US dollars that all tries together may cost; no call begins once a try has spent its share.
            keep: Record the tries as forks, so that they can be looked at; otherwise they are made in memory.

        Returns:
            `identical`, or the first divergence; with `live`, a table of what the tries came to.

        Raises:
            BudgetError: The estimate is above the limit; nothing was recorded.
            ConfigError: There is no such step, or nobody answers for a model; nothing was recorded.
            GraphError: The code is not known here.
            RunNotFoundError: There is no such run.
        """
        from midstream.engine.debugging.replay import replay_run
        from midstream.engine.debugging.what_if import Wanted, what_if

        host = self._host
        if live:
            money = None if limit is None else Decimal(str(limit))
            wanted = Wanted(
                tuple(live),
                models or {},
                times,
                changed,
                prompts or {},
                systems or {},
                graph,
                money,
                keep,
            )
            return await what_if(host, self.id, wanted)
        return await replay_run(
            host.store,
            self.id,
            graph or await self._registered(),
            host.providers,
            strict=strict,
            upto=await moment_seq(host.store, self.id, at),
            patience=patience,
            redact=host.redact,
        )

    async def _registered(self) -> Graph:
        """Return the code that is known here under the name of the run's graph."""
        name = (await cut_at(self._host.store, self.id, 1)).state.graph
        code = self._host.graphs.get(name)
        if code is None:
            known = ", ".join(sorted(self._host.graphs)) or "none"
            raise GraphError(
                f"run {self.id!r} needs the code of graph {name!r}; known here: {known}. "
                "Pass graphs=[…] to the engine, or graph= to replay"
            )
        return code

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
        from midstream.engine.debugging.parting import diff_stored

        right = RunId(other) if isinstance(other, str) else other.id
        return await diff_stored(self._host.store, self.id, right, left_at=at, right_at=other_at)
