"""The engine: opens a log, starts runs, and takes over those that nobody drives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from midstream.adapters.base import Adapter
from midstream.adapters.scripted import Script
from midstream.engine.clock import Clock
from midstream.engine.driving.beginning import chosen_id, created
from midstream.engine.driving.host import Host
from midstream.engine.driving.taking_over import fold_created
from midstream.engine.experience.advisor import LessonAdvisor
from midstream.engine.experience.embedding import Embedder, Trigrams
from midstream.engine.experience.ledger import Ledgers
from midstream.engine.experience.ranking import AdviceLimits
from midstream.engine.graphs.graph import Graph
from midstream.engine.limits import MAX_REPLANS, Limits
from midstream.engine.models.model_calls import Pricing
from midstream.engine.on_change import OnChange, checked_policy
from midstream.engine.planning.reflection import Reflector
from midstream.engine.providers import Providers
from midstream.engine.recording.parking import PARK_AFTER
from midstream.engine.requests.context_policy import ContextOption, context_policy
from midstream.engine.runs.agent_engine import AgentEngine
from midstream.engine.runs.agent_runs import Casts
from midstream.engine.runs.conversation_graph import DIALECT, TALK, conversation, facts
from midstream.engine.runs.conversation_graph import NAME as CONVERSATION
from midstream.engine.runs.run import Run
from midstream.engine.tools.tool import Tool
from midstream.engine.tools.toolbox import Toolbox
from midstream.errors import (
    ConcurrencyError,
    ConfigError,
    LeaseHeldError,
    LeaseLostError,
    RunExistsError,
    StoreError,
)
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.patience import append_patiently
from midstream.events.payloads import Cost, NodeScheduled, Usage
from midstream.events.store import OPEN, EventStore, Head, RunInfo, RunQuery
from midstream.events.verify import Verdict, verify

if TYPE_CHECKING:
    from midstream.adapters.routing import Router
    from midstream.engine.agents.agent import Agent
    from midstream.engine.experience.library import Experience
    from midstream.engine.keeping.erasing import Erased
    from midstream.engine.keeping.pruning import Pruned
    from midstream.engine.people.answers import OpenQuestion
    from midstream.engine.policies.configured import RouterConfig
    from midstream.engine.policies.policy import Policy
    from midstream.engine.spending.budget import Budget
    from midstream.events.redaction import Redaction
    from midstream.events.sealing import Encryption
    from midstream.projections.query import Query


class Engine(AgentEngine):
    """Starts, drives and resumes runs over one store; an asynchronous context manager.

    Args:
        store: Where the runs are, or how to open it; an engine closes what it opened.
        graphs: The code of graphs whose runs may be resumed here.
        agents: Kinds of agents by name, so that runs of them may be resumed here.
        tools: Tools of agents that were begun elsewhere without such a name.
        adapters: Adapters by provider, in place of the ones that are made from the environment.
        models: Scripted answers by model's name; with any, no provider is ever called.
        model: The model of runs that name none, as `provider:model`.
        lease: Seconds after its last sign of life for which a driver keeps its runs.
        recover: Take over runs of known graphs whose lease runs out, for as long as the engine is open.
        clock: Tells the time.
        pricing: What calls cost; None asks `genai-prices`, and nobody where answers are scripted.
        experience: Tell model calls what earlier runs taught, unless they say otherwise.
        advice: How much a call is told of it.
        reflector: The model that says why nodes with `on_failure="reflect"` failed; empty for rules.
        max_replans: How often a run may be planned anew.
        embedder: Compares lessons by meaning; by default, by trigrams of letters.
        budgets: What each run, or all runs with a tag, may spend.
        park_after: Seconds after which a run that only waits for people or distant moments is put aside: it has no task and
            no state in memory then, and is read again when something happens to it.
        context: What is done where a conversation is too long for its model; see `ContextPolicy`.
        config: Groups, pools and endpoints: a file or folder, plain data, what `midstream.adapters.routing.load` returned, or a
            router that stays the caller's to close; see `midstream.adapters.routing`.
        policies: When runs go on with another model, see `midstream.engine.policies.policy`; beside those of the configuration.
        redact: Keep secrets out of the log: True for keys of known vendors, tokens and fields with names such as `password`; a
            function of texts for that and its own; `midstream.events.redaction.Redaction` for more. None records what is said.
        on_change: What is done with runs whose code has changed since they were started, their graph or its version: `pin`
            refuses to resume them, `upgrade` goes on where nothing of what has begun was changed; see
            `midstream.engine.graphs.versions`. A graph may say it for its own runs.
        always_replay: Drop all state after each append and go through the log for it, to show that nothing else is needed;
            for tests.
    """

    def __init__(
        self,
        store: EventStore | Callable[[], Awaitable[EventStore]],
        *,
        graphs: Iterable[Graph] = (),
        agents: Iterable[Agent] = (),
        tools: Iterable[Tool | Callable[..., Any]] = (),
        adapters: Mapping[str, Adapter] | None = None,
        models: Mapping[str, Script] | None = None,
        model: str = "",
        lease: float = 15.0,
        recover: bool = True,
        clock: Clock | None = None,
        pricing: Pricing | None = None,
        experience: bool = False,
        advice: AdviceLimits | None = None,
        reflector: str = "",
        max_replans: int = MAX_REPLANS,
        embedder: Embedder | None = None,
        park_after: float = PARK_AFTER,
        budgets: Iterable[Budget] = (),
        context: ContextOption | None = None,
        config: RouterConfig | None = None,
        policies: Iterable[Policy] = (),
        redact: bool | Redaction | Callable[[str], str] | None = None,
        on_change: OnChange = "pin",
        always_replay: bool = False,
    ) -> None:

        if lease <= 0:
            raise ConfigError(f"lease must be more than 0 seconds, not {lease!r}")
        self._given = store
        self._graphs = tuple(graphs)
        self._casts = Casts(agents, Toolbox(tools, name="the engine's tools"))
        self._providers = Providers(adapters, scripts=models)
        self._model = model
        self._lease = lease
        self._recover = recover
        self._clock = clock or Clock()
        self._pricing = pricing or (_list_price if models is None else _no_price)
        self._park_after = park_after
        self._budgets = tuple(budgets)
        self._context = context_policy(context)
        self._config = config
        self._policies = tuple(policies)
        self._on_change: OnChange = checked_policy(on_change)
        self._router: Router | None = None
        self._redact = None if redact is None else _redaction(redact)
        self._always_replay = always_replay
        self._always_advise = experience
        self._advice = advice or AdviceLimits()
        self._reflector = Reflector(self._providers, reflector, max_replans)
        self._embedder = embedder or Trigrams()
        self._ledgers: Ledgers | None = None
        self._opened: EventStore | None = None
        self._host: Host | None = None

    @classmethod
    def open(
        cls,
        path: str | Path,
        *,
        synchronous: Literal["full", "normal"] = "full",
        busy_timeout: float = 30.0,
        encryption: Encryption | None = None,
        **options: Any,
    ) -> Engine:
        """Return an engine over an SQLite file, which is made when the engine is entered.

        Args:
            path: The file.
            synchronous: `full`: an event is on the disk when `append` returns. `normal`: some ten times the rate for lone
                events; the newest commits may be lost when the power fails, never when the process dies.
            busy_timeout: Seconds to wait for other processes' writes.
            encryption: Seals the content of runs, so that it can be erased, and with keys of yours is read by nobody else;
                see `midstream.events.sealing.Encryption`.
            **options: See `Engine`.
        """

        async def opened() -> EventStore:
            from midstream.events.sqlite import SqliteStore  # a driver only where it is used

            options: Any = {"synchronous": synchronous, "busy_timeout": busy_timeout}
            return await SqliteStore.open(path, encryption=encryption, **options)

        return cls(opened, **options)

    @classmethod
    def memory(cls, **options: Any) -> Engine:
        """Return an engine without files, for tests and for runs that need not outlive the process; see `Engine`."""
        return cls(MemoryStore(), **options)

    async def __aenter__(self) -> Self:
        """Open the store and show a first sign of life; with `recover`, take over what nobody drives."""
        if callable(self._given):
            store = self._opened = await self._given()
        else:
            store = self._given
        policies = self._policies
        if self._config is not None:
            policies = (*policies, *await self._open_router(self._config, store))
        self._host = Host(
            store,
            self._providers,
            self._pricing,
            self._clock,
            model=self._model or self._providers.default_model,
            lease=self._lease,
            park_after=self._park_after,
            on_change=self._on_change,
            budgets=self._budgets,
            always_replay=self._always_replay,
            redact=self._redact,
            policies=policies,
        )
        self._host.subruns.start = self._start_for
        self._ledgers = Ledgers(self._host, self._embedder)
        self._host.reflector = self._reflector
        self._host.advisor = LessonAdvisor(self._ledgers, self._advice, always=self._always_advise)
        try:
            self._know(self._host)
            for graph in self._graphs:
                self._host.register(graph)
            await self._host.open(scan=self._recover)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _open_router(self, config: RouterConfig, store: EventStore) -> tuple[Policy, ...]:
        """Open what chooses among endpoints, and return the policies of its configuration."""
        from midstream.engine.policies.configured import (  # only where it is used
            open_router,
            policies_in,
        )

        router = await open_router(
            config, store, self._providers, self._pricing, self._clock, self._redact
        )
        self._router = None if router is config else router
        self._providers.router = router
        return policies_in(router)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop driving, close what was opened; runs that have not ended can be resumed."""
        await self.close()

    async def close(self, *, drain: float = 0.0) -> None:
        """Stop driving, and close what was opened; the end of `async with` does it, too.

        What has not ended is handed over: another engine can take it over at once.

        Args:
            drain: First start nothing new, and give what is being driven so many seconds to end, or to wait for people
                or distant moments.
        """
        if self._host is not None and drain > 0:
            await self._host.drain(drain)
        host, self._host = self._host, None
        if host is not None:
            await host.close()
        router, self._router = self._router, None
        if router is not None:
            await router.close()
        self._providers.router = None
        ledgers, self._ledgers = self._ledgers, None
        if ledgers is not None:
            ledgers.close()
        opened, self._opened = self._opened, None
        if opened is not None:
            await opened.close()

    @property
    def store(self) -> EventStore:
        """The store; only while the engine is open."""
        return self._here().store

    @property
    def experience(self) -> Experience:
        """What runs have taught; only while the engine is open."""
        from midstream.engine.experience.library import Experience

        host = self._here()
        assert self._ledgers is not None  # made with the host
        return Experience(host, self._ledgers, self._advice)

    def _here(self) -> Host:
        if self._host is None:
            raise StoreError(
                "the engine is not open; use it inside `async with Engine.open(…) as engine:`"
            )
        return self._host

    async def start(
        self,
        graph: Graph,
        /,
        *,
        run_id: str | None = None,
        model: str = "",
        tags: Mapping[str, str] | None = None,
        context: ContextOption | None = None,
        policies: Iterable[Policy] = (),
        inputs: Mapping[str, Any] | None = None,
        limits: Limits | None = None,
        subject: str = "",
        **named: Any,
    ) -> Run:
        """Start a run; when this returns, it is in the log, and it will be driven to an end, here or elsewhere.

        Args:
            graph: What to run.
            run_id: Its id; the same id with the same graph and inputs is the same run. None makes a UUIDv7.
            model: The model of its calls that name none.
            tags: For finding it again.
            context: What is done where a conversation is too long for its model; None for what the graph says, or the engine.
            policies: When it goes on with another model, beside the engine's; while this process drives it. Another one that
                takes it over has its own engine's.
            inputs: Inputs by name, for those whose names are options here.
            limits: What it may not exceed; None takes the graph's.
            subject: Whom its content is about: `erase(subject=…)` erases it with all other runs of that.
            **named: Inputs by name.

        Raises:
            GraphError: The graph is wrong, or an input is missing or unknown; nothing was recorded.
            NotRecordableError: An input is not JSON; nothing was recorded.
            RunExistsError: The id is taken by another run.
        """
        given = {**(inputs or {}), **named}
        return await self._start(
            self._here(),
            graph,
            run_id=run_id,
            model=model,
            tags=tags,
            context=context,
            limits=limits,
            policies=policies,
            inputs=given,
            subject=subject,
        )

    async def _start(
        self,
        host: Host,
        graph: Graph,
        *,
        inputs: Mapping[str, Any],
        run_id: str | None = None,
        model: str = "",
        tags: Mapping[str, str] | None = None,
        context: ContextOption | None = None,
        limits: Limits | None = None,
        policies: Iterable[Policy] = (),
        extra: Mapping[str, Any] | None = None,
        subject: str = "",
    ) -> Run:
        if subject:
            from midstream.engine.keeping.erasing import check_sealed

            check_sealed(host.store)
        if host.draining:
            raise StoreError(
                "the engine is being closed and starts nothing new; start the run elsewhere"
            )
        policy = context_policy(context) or context_policy(graph.context) or self._context
        more: dict[str, Any] = {
            "limits": (limits or graph.limits).data(),
            "subject": subject,
            **(extra or {}),
        }
        fields = created(graph, inputs, policy, model or host.model, tags, **more)
        chosen = chosen_id(run_id)
        host.register(graph)
        if (own := tuple(policies)) or host.policies:
            host.patrol.police(chosen, own)
        draft = host.created(fields, graph.prepared)
        await host.appear()
        try:
            head = await append_patiently(
                host.store, chosen, [draft], expected=0, epoch=1, holder=host.name
            )
        except (ConcurrencyError, LeaseLostError):  # it exists; a later driver may have it by now
            await self._same(host, chosen, fields)
        else:
            host.drive(chosen, graph, fold_created(chosen, draft, head), 1)
        return Run(host, chosen)

    async def _start_for(
        self, graph: Graph, request: Mapping[str, Any], run_id: RunId, parent: RunId, step: str
    ) -> None:
        """Start a run that another one has asked for, unless it is there; see `Subruns`."""
        host = self._here()
        live = host.live.get(parent)
        started_by = await host.load(parent) if live is None else live.runner.state
        await self._start(
            host,
            graph,
            subject=started_by.subject,
            run_id=run_id,
            inputs=request.get("inputs", {}),
            model=request.get("model", ""),
            tags=request.get("tags"),
            extra={
                "parent": parent,
                "parent_step": step,
                "limits": request.get("limits", {}),
            },
        )

    async def import_conversation(
        self,
        request: Mapping[str, Any],
        *,
        source: str,
        response: Any = None,
        run_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        context: ContextOption | None = None,
    ) -> Run:
        """Make a run of a recorded conversation, so that it can be looked at, moved to another model, and continued.

        Nobody drives it yet: `await run.resume()` goes on where the recording ends, `run.say` says more. Its graph is
        `midstream.conversation()`, which takes the code of its tools; give that to the engine, or nothing for none.

        Args:
            request: A provider's request body.
            source: Its wire format, see `midstream.convert`.
            response: The answer to it; see `midstream.convert`.
            run_id: The run's id; None makes a UUIDv7.
            tags: For finding it again.
            context: See `start`.

        Raises:
            ConversionError: The request or the answer is not what its wire format says; nothing was recorded.
            RunExistsError: The id is taken.
        """
        from midstream.adapters.convert import read_answer, recorded

        host = self._here()
        found = recorded(request, source=source)
        model = f"{found.come.provider}:{found.read.model or found.come.model}"
        answer = None if response is None else read_answer(response, found.come, found.read.model)
        price: Cost | None = None
        if answer is not None:
            asked = found.read.model or found.come.model
            price = host.pricing(found.come.provider, asked, answer.usage, host.clock.now())
        graph = host.graphs.get(CONVERSATION) or conversation()
        marks = {DIALECT: source, **(tags or {})}
        policy = context_policy(context) or self._context
        fields = created(graph, {}, policy, model or host.model, marks, limits=graph.limits.data())
        chosen = chosen_id(run_id)
        drafts = [
            host.created(fields, graph.prepared),
            host.draft(NodeScheduled(), f"{TALK}#1", actor="engine"),
            *(
                host.draft(fact, at, actor="engine")
                for fact, at in facts(found, model, answer, price)
            ),
        ]
        host.register(graph)
        try:
            await append_patiently(
                host.store, chosen, drafts, expected=0, epoch=1, holder=host.name
            )
        except ConcurrencyError as error:
            raise RunExistsError(chosen, "other events") from error
        await host.store.release(chosen, epoch=1)
        return Run(host, chosen)

    async def _same(self, host: Host, run_id: RunId, wanted: Mapping[str, Any]) -> None:
        """See that a run which exists is the one that is wanted, and drive it where nobody does."""
        state = await host.load(run_id)
        if (state.graph, state.graph_digest) != (wanted["graph"], wanted["graph_digest"]):
            raise RunExistsError(run_id, f"another graph, {state.graph!r}")
        given = wanted.get("inputs", {})
        inputs = given if host.redact is None else host.redact(given)
        if dict(state.inputs) != inputs:
            raise RunExistsError(run_id, f"other inputs, {dict(state.inputs)!r:.200}")
        with suppress(LeaseHeldError):  # it is being driven elsewhere
            await host.resume(run_id)

    def run(self, run_id: str) -> Run:
        """Return a handle on a run; whether it exists shows when it is used."""
        return Run(self._here(), RunId(run_id))

    async def resume(
        self, run_id: str, graph: Graph | None = None, *, on_change: OnChange | None = None
    ) -> Run:
        """Take a run over and drive it here; see `Run.resume`.

        Args:
            run_id: The run.
            graph: Its code; None takes what was given to the engine.
            on_change: See `Engine`; None for what the graph says, or else the engine.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            GraphError: Its code is not known here.
            CodeChangedError: It is not the code it was started with, and that is not allowed.
            RunNotFoundError: There is no such run.
        """
        policy = None if on_change is None else checked_policy(on_change)
        await self._here().resume(RunId(run_id), graph, policy)
        return self.run(run_id)

    async def recover(self) -> tuple[Run, ...]:
        """Take over every run of a known graph that has not ended and that no live driver holds."""
        host = self._here()
        return tuple(Run(host, run_id) for run_id in await host.recover())

    async def runs(
        self,
        query: str | Query = "",
        *,
        status: str | None = None,
        graph: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int | None = None,
    ) -> Sequence[RunInfo]:
        """List runs, the newest first, or as the query sorts them.

        Args:
            query: As in `status:failed cost:>0.10 since:7d`; see `docs/cli.md`. What the list does not tell is read.
            status: `running`, `paused`, `completed`, `failed` or `cancelled`.
            graph: The graph's name.
            tags: All of these.
            limit: At most so many.

        Raises:
            QueryError: The query cannot be read.
        """
        from midstream.engine.debugging.finding import find_runs, query_of

        asked = query_of(query, status=status, graph=graph, tags=tags, limit=limit)
        host = self._here()
        found = await find_runs(host.store, asked, now=host.clock.now())
        return [one.info for one in found]

    async def questions(self) -> tuple[OpenQuestion, ...]:
        """Return every question that waits for an answer, in all runs that have not ended."""
        from midstream.engine.people.answers import open_questions

        host = self._here()
        found: list[OpenQuestion] = []
        for info in await host.store.runs(RunQuery(status=OPEN)):
            found += open_questions(info.run_id, await host.load(info.run_id))
        return tuple(found)

    async def prune(
        self,
        *,
        older_than: float,
        keep: Collection[str] = (),
        dry_run: bool = False,
        reason: str = "",
        by: str = "",
    ) -> Pruned:
        """Remove whole runs that have ended long ago, with their events, snapshots and blobs; others are not disturbed.

        A run goes once it has ended and nothing was recorded of it for so long; what it taught stays. A run whose events
        are the beginning of a fork that stays, stays too. Where each run stood is recorded in `system:keeping`, and
        its id is not given to another run.

        Args:
            older_than: Seconds since the newest event of a run.
            keep: Runs that are kept however old they are: `completed`, `failed`, `cancelled`, `graph:NAME`, `tag:KEY` or
                `tag:KEY=VALUE`.
            dry_run: Only say which runs would go.
            reason: Why; recorded.
            by: Who wants it; recorded.

        Raises:
            ConfigError: An option cannot be understood; nothing was removed.
        """
        from midstream.engine.keeping.pruning import prune

        if older_than < 0:
            raise ConfigError(f"older_than must not be less than 0 seconds, not {older_than!r}")
        host = self._here()
        now = host.clock.now()
        return await prune(
            host.store,
            before=now - older_than,
            keep=keep,
            dry_run=dry_run,
            at=now,
            actor=f"user:{by}" if by else "user",
            reason=reason,
        )

    async def erase(
        self,
        run_id: str | None = None,
        *,
        subject: str = "",
        subruns: bool | None = None,
        reason: str = "",
        by: str = "",
    ) -> Erased:
        """Erase the content of a run, or of all runs of a subject, for good: the keys that it was sealed with are destroyed.

        Events stay where they are, with type, time, actor and digest, so `verify` finds the log whole; what they said is gone,
        also from forks that begin with them, from snapshots, and from lessons that rest on nothing else. A run that had not
        ended is cancelled by it. Erasing again does what is left to do.

        Args:
            run_id: The run, with its forks.
            subject: All runs of this subject; those that they have started are of the same one.
            subruns: The runs that the run has started are erased, too, or not; None refuses where there are any.
            reason: Why; recorded, so it should not say what is to be erased.
            by: Who wants it; recorded.

        Raises:
            ConfigError: Not exactly one of the two is given, or the run has started others and `subruns` says nothing.
            RunNotFoundError: There is no such run; nothing was erased.
            StoreError: The run was recorded without encryption; nothing was erased.
        """
        from midstream.engine.keeping.erasing import erase

        host = self._here()
        actor = f"user:{by}" if by else "user"
        more: Any = {"at": host.clock.now(), "actor": actor, "reason": reason}
        more["subruns"] = subruns
        return await erase(host.store, self.experience, run_id, subject=subject, **more)

    async def verify(self, run_id: str, *, anchor: Head | None = None) -> Verdict:
        """Check that a run's log is what was written; see `midstream.events.verify`."""
        return await verify(self._here().store, RunId(run_id), anchor=anchor)


def _redaction(option: bool | Redaction | Callable[[str], str]) -> Redaction | None:
    from midstream.events.redaction import redaction_of  # its patterns take a while to make

    return redaction_of(option)


def _list_price(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    from midstream.adapters.prices import cost  # the price list is large: only where it is needed

    return cost(provider, model, usage, at)


def _no_price(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    return None
