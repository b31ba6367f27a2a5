"""A run in hand: wait for it, follow it, and say what is wanted of it, from the process that drives it or any other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Mapping
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from midstream.adapters.base import Delta
from midstream.engine.debugging.looking_back import Debugging
from midstream.engine.driving.moments import Moment
from midstream.engine.models.continuing import parked
from midstream.engine.people.people import MISSING
from midstream.errors import (
    ConfigError,
    LeaseHeldError,
    MigrationError,
    NodeError,
    RunCancelledError,
    RunFailedError,
    StoreError,
)
from midstream.events import payloads
from midstream.events.catalog import ENDINGS
from midstream.events.content import Message, user
from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.events.payloads import (
    Fact,
    ModelSwitched,
    NoteAdded,
    RunCancelRequested,
    RunContinued,
    RunPaused,
)
from midstream.events.store import OPEN, RunQuery
from midstream.events.subscribe import subscribe
from midstream.events.values import plain
from midstream.projections.conversation import messages
from midstream.projections.run_state import RunState, apply

if TYPE_CHECKING:
    from midstream.engine.agents.events import AgentEvent
    from midstream.engine.people.answers import OpenQuestion
    from midstream.engine.policies.migrate import Handoff, MigrationPlan, When
    from midstream.engine.runs.run_view import RunView
    from midstream.events.experience_facts import FeedbackKind, FeedbackSource
    from midstream.projections.timeline import Line

_BUFFER = 1024


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer while a model writes it; shown once, never recorded.

    Attributes:
        step: The address of the model call.
        delta: The piece.
    """

    step: str
    delta: Delta


class Run(Debugging):
    """A handle on one run; making one costs nothing, and many may be held on the same run.

    Attributes:
        id: The run's id.
    """

    def __repr__(self) -> str:
        return f"Run({self.id!r})"

    def __await__(self) -> Generator[Any, None, Any]:
        """Wait for the end, and return the run's output.

        Raises:
            RunFailedError: It failed.
            RunCancelledError: It was cancelled.
            StoreError: This process drove the run and could not write its log; it can be resumed.
        """
        return self._outcome().__await__()

    async def _outcome(self) -> Any:
        live = self._host.live.get(self.id)
        if live is not None:
            await live.ended()
            if live.task.cancelled():
                raise StoreError(
                    f"the engine was closed before run {self.id!r} ended; it goes on when it is resumed"
                )
            if (error := live.task.exception()) is not None:
                raise error
            if live.runner.state.over and live.runner.recorder.error is None:
                return self._result(live.runner.state)
        events = subscribe(self._host.store, self.id, until=lambda event: event.type in ENDINGS)
        state = RunState()
        async for event in events:
            apply(state, event)
        return self._result(state)

    def _result(self, state: RunState) -> Any:
        ended = state.ended or {}
        match state.status:
            case "completed":
                return state.output
            case "cancelled":
                raise RunCancelledError(self.id, ended.get("reason", ""))
            case _:
                failures = [
                    NodeError(_told(one), node=node_of(one["address"]), kind=one["kind"])
                    for one in ended.get("failures", ())
                ]
                story = "; ".join(str(failure) for failure in failures)
                raise RunFailedError(
                    self.id,
                    f"run {self.id!r} failed: {story}; see `midstream show {self.id}`",
                    failures,
                )

    async def events(self, *, after: int = 0) -> AsyncIterator[Event]:
        """Iterate over the run's events, those recorded and those to come, until the run has ended.

        Args:
            after: Only events with a greater seq; pass the last one seen to go on where one left off.

        Raises:
            RunNotFoundError: There is no such run.
        """
        store = self._host.store
        if not await self._open():
            async for event in store.read(self.id, after=after):
                yield event
            return
        ended = subscribe(store, self.id, after=after, until=lambda event: event.type in ENDINGS)
        async with aclosing(ended) as events:
            async for event in events:
                yield event

    async def _open(self) -> bool:
        """Say whether the run has not ended, or does not exist."""
        found = await self._host.store.runs(RunQuery(prefix=self.id))
        return not any(info.run_id == self.id and info.status not in OPEN for info in found)

    async def stream(self, *, after: int = 0) -> AsyncIterator[Event | Piece]:
        """Iterate over the run's events and, in between, what models are writing in this process.

        Pieces are shown while they come and never recorded; who reads too slowly misses pieces, never events. Models are
        asked for a stream only while somebody listens.
        """
        queue: asyncio.Queue[Event | Piece | BaseException | None] = asyncio.Queue()

        def show(step: str, delta: Delta) -> None:
            if queue.qsize() < _BUFFER:
                queue.put_nowait(Piece(step, delta))

        async def follow() -> None:
            try:
                async for event in self.events(after=after):
                    await queue.put(event)
                await queue.put(None)
            except BaseException as error:  # noqa: BLE001  # whatever ends the following ends the stream
                await queue.put(error)

        self._host.listeners.setdefault(self.id, []).append(show)
        following = asyncio.create_task(follow())
        try:
            while (item := await queue.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            self._host.listeners[self.id].remove(show)
            if not self._host.listeners[self.id]:
                del self._host.listeners[self.id]
            following.cancel()
            await asyncio.wait([following])

    async def agent_events(self, *, after: int = 0) -> AsyncGenerator[AgentEvent, None]:
        """Iterate over what agents and models do in this run, as typed events, until it has ended.

        The text of an answer comes in pieces while it is written, where that is in this process, and whole where it is
        not: the pieces of one attempt, one after the other, are always the text that is recorded.

        Args:
            after: What was told from events up to this one is not told again; an answer that is being written is, from
                its `ModelStarted` on.
        """
        from midstream.engine.runs.agent_stream import follow

        events = follow(self._host, self.id, self.events(), after=after)
        async with aclosing(events) as told:
            async for event in told:
                yield event

    async def timeline(self, *, after: int = 0) -> tuple[Line, ...]:
        """Return what happened, one line an event."""
        from midstream.projections.timeline import line

        return tuple([line(event) async for event in self._host.store.read(self.id, after=after)])

    async def messages(
        self,
        *,
        step: str | None = None,
        thread: str | None = None,
        node: str | None = None,
        at: Moment | None = None,
    ) -> tuple[Message, ...]:
        """Return a conversation of the run, neutral and whole; empty where no model was asked yet.

        Args:
            step: A model call, or an activation whose newest conversation is meant; None takes the run's newest.
            thread: The conversation of this name.
            node: The newest conversation of this node.
            at: As it was after this event.

        Raises:
            ConfigError: No model was asked there.
        """
        from midstream.engine.runs.run_view import conversation_head

        state = await self.state(at=at)
        head = conversation_head(state, step, thread, node)
        return messages(state, head) if head else ()

    async def view(
        self,
        model: str,
        *,
        step: str | None = None,
        thread: str | None = None,
        node: str | None = None,
        at: Moment | None = None,
    ) -> RunView:
        """Return a conversation of the run as a model would be told it, at any event; nothing is recorded or sent.

        Args:
            model: `provider:model`, or a provider, whose model is the one that the run asked last, or the usual one.
            step: See `messages`.
            thread: See `messages`.
            node: See `messages`.
            at: See `messages`.

        Raises:
            ConfigError: No model was asked there, or nobody answers for the model.
        """
        from midstream.engine.runs.run_view import conversation_head, model_meant, run_view

        state = await self.state(at=at)
        head = conversation_head(state, step, thread, node)
        providers = self._host.providers
        wanted = model_meant(model, state, providers)
        await providers.ready(wanted)
        adapter, name = providers.adapter(wanted)
        return run_view(
            state,
            adapter,
            name,
            head,
            run_id=self.id,
            pricing=self._host.pricing,
            now=self._host.clock.now(),
        )

    async def migrate(
        self,
        to: str,
        *,
        scope: str = "run",
        source: str = "",
        when: When = "next",
        handoff: Handoff = "none",
        dry_run: bool = False,
        by: str = "",
    ) -> MigrationPlan:
        """Go on with another model, from the next model call on.

        Args:
            to: `provider:model`.
            scope: `run`, `node:NAME` or `thread:NAME`.
            source: Only calls that would go to this model; empty for all in the scope.
            when: `next` waits for the call in flight; `now` abandons it, and its late answer is not recorded.
            handoff: `brief` tells the target where the run stands, after the conversation and before what comes next.
            dry_run: Only say what it means; `apply()` the plan to do it.
            by: Who wants it.

        Returns:
            What it means, and, unless it is a dry run, meant.

        Raises:
            MigrationError: The conversation does not fit the target, or the run has ended; nothing was recorded.
            ConfigError: Nobody answers for the target, or the scope names nothing of this run; nothing was recorded.
        """
        from midstream.engine.policies.migrate import plan_migration

        if when not in ("next", "now"):
            raise ConfigError(f"when must be 'next' or 'now', not {when!r}")
        if handoff not in ("none", "brief"):
            raise ConfigError(f"handoff must be 'none' or 'brief', not {handoff!r}")
        switch = uuid.uuid4().hex

        async def apply_plan(plan: MigrationPlan) -> None:
            await self._apply(plan, switch, by)

        await self._host.providers.ready(to)
        plan = plan_migration(
            await self.state(),
            self._host.providers,
            self._host.pricing,
            run_id=self.id,
            target=to,
            scope=scope,
            source=source,
            when=when,
            now=self._host.clock.now(),
            apply=apply_plan,
            handoff=handoff,
        )
        if not dry_run:
            await plan.apply()
        return plan

    async def _apply(self, plan: MigrationPlan, switch: str, by: str) -> None:
        if not plan.fits and not plan.cuts:
            raise MigrationError(
                self.id,
                plan.target,
                f"its conversation of about {plan.tokens} tokens does not fit the context window of "
                f"{plan.context_window}; choose a model with a larger one, or start runs with context='trim' or 'summarise'",
            )
        state = await self.state()
        if state.over:
            raise MigrationError(self.id, plan.target, f"it has ended ({state.status})")
        payload = ModelSwitched(
            id=switch,
            scope=plan.scope,
            source=plan.source,
            target=plan.target,
            when=plan.when,
            reason="user",
            changes=plan.changes,
            brief=plan.brief,
        )
        await self._host.append(self.id, payload, actor=_actor(by))

    async def cancel(self, reason: str = "", *, by: str = "", wait: bool = True) -> None:
        """End the run; when this returns, no task of it is left and every open call has a recorded end.

        A run that ends by itself before it hears of it is not cancelled; its state tells.

        Args:
            reason: Recorded.
            by: Who wants it.
            wait: Wait until the run's driver has ended it.
        """
        if (await self.state()).over:
            return
        payload = RunCancelRequested(id=uuid.uuid4().hex, reason=reason)
        await self._host.append(self.id, payload, actor=_actor(by))
        if not wait:
            return
        with suppress(LeaseHeldError):  # its driver is alive, and does it
            await self._host.resume(self.id)
        async for _event in self.events():
            pass
        live = self._host.live.get(self.id)
        if live is not None:
            await live.ended()

    async def pause(self, reason: str = "", *, by: str = "") -> None:
        """Start no further node and no further call; what is in flight ends and is recorded."""
        await self._host.append(
            self.id, RunPaused(id=uuid.uuid4().hex, reason=reason), actor=_actor(by)
        )

    async def resume(self, *, by: str = "") -> Run:
        """Let a paused run go on, and take the run over where nobody drives it.

        Raises:
            LeaseHeldError: Another driver holds it and is alive, and it was not paused.
            GraphError: Its code is not known to this engine.
        """
        paused = (await self.state()).status == "paused"
        if paused:
            await self._host.append(self.id, RunContinued(id=uuid.uuid4().hex), actor=_actor(by))
        try:
            await self._host.resume(self.id)
        except LeaseHeldError:
            if not paused:
                raise
        return self

    async def say(self, message: str | Message | None, *, by: str = "") -> None:
        """Say something in a conversation that goes on; its node hears it with `Context.listen`.

        Args:
            message: What is said; None says that nobody will say more.
            by: Who says it.

        Raises:
            ConfigError: The run has ended, so nobody would hear it.
        """
        state = await self.state()
        if state.over:
            raise ConfigError(
                f"run {self.id!r} has ended ({state.status}); nobody hears it any more"
            )
        said = user(message) if isinstance(message, str) else message
        payload = payloads.MessageAdded(id=uuid.uuid4().hex, message=said)
        await self._host.append(self.id, payload, actor=_actor(by))

    async def parked(self) -> RunState:
        """Wait until a conversation waits for somebody: for a message, for a call to be settled; or until the run has ended.

        Returns:
            The run as it stands then.
        """
        state = await self.state()
        if not parked(state):
            async with aclosing(subscribe(self._host.store, self.id, after=state.seq)) as events:
                async for event in events:
                    apply(state, event)
                    if parked(state):
                        break
        return state

    async def note(self, data: Any, *, by: str = "") -> None:
        """Record data of the host's own in the run's log, also after the run has ended.

        Raises:
            NotRecordableError: It is not JSON.
        """
        payload = NoteAdded(id=uuid.uuid4().hex, data=plain(data, "note"))
        await self._host.append(self.id, payload, actor=_actor(by))

    async def feedback(
        self,
        step: str | None = None,
        *,
        kind: FeedbackKind,
        text: str = "",
        score: float | None = None,
        by: str = "",
        source: FeedbackSource = "person",
        id: str = "",
    ) -> str:
        """Say how good a step or the whole run was, at any time; a run that goes on is not disturbed.

        Args:
            step: The address of a step, as in `plan#1`; None for the whole run.
            kind: `positive`, `negative`, `correction` or `score`.
            text: Why; of a correction, what would have been right.
            score: From 0 to 1.
            by: Who says so.
            source: `person`, or `program` for a test or a callback.
            id: The same id twice counts once; by default, so does the same feedback of the same author.

        Returns:
            The id under which it is recorded.

        Raises:
            StepNotFoundError: There is no such step; the message names the nearest ones.
            ConfigError: It says nothing that can be understood, or its id is taken by other feedback.
        """
        from midstream.engine.experience.feedback import add_feedback

        return await add_feedback(
            self._host,
            self.id,
            step=step,
            kind=kind,
            text=text,
            score=score,
            by=by,
            source=source,
            id=id,
        )

    async def questions(self) -> tuple[OpenQuestion, ...]:
        """Return what the run asks people and has not been told, in the order in which it was asked.

        Raises:
            RunNotFoundError: There is no such run.
        """
        from midstream.engine.people.answers import open_questions

        return open_questions(self.id, await self.state())

    async def answer(
        self,
        question: str,
        *,
        approved: bool | None = None,
        value: Any = MISSING,
        arguments: Mapping[str, Any] | None = None,
        by: str = "",
    ) -> None:
        """Answer a question, from any process; once, durable when this returns.

        Args:
            question: Its id, or its address.
            approved: Yes or no, where that is asked.
            value: The value that is asked for; beside yes or no, a remark.
            arguments: Arguments of the tool call that are to be other ones.
            by: Who answers.

        Raises:
            AnswerError: It is refused, and nothing was recorded: there is no such question, somebody was quicker, its time
                is over, or it is not what was asked for.
            RunNotFoundError: There is no such run.
        """
        from midstream.engine.people.answers import Given, check

        given = Given(approved, value, arguments, by)

        def make(state: RunState) -> tuple[str, Fact]:
            return check(self.id, state, question, given, now=self._host.clock.now())

        await self._host.append_checked(self.id, make, actor=_actor(by))

    async def settle(
        self,
        step: str,
        *,
        result: Any = MISSING,
        error: str = "",
        retry: bool = False,
        by: str = "",
    ) -> None:
        """Say what became of an unsafe tool call that was in flight when its process ended.

        Args:
            step: The address of the call.
            result: What it returned; the run goes on with it.
            error: How it failed.
            retry: It did nothing, and is to be called again.
            by: Who says so.

        Raises:
            ConfigError: Not exactly one of the three is given.
            ToolError: There is no such call, or its outcome is known, also where somebody was quicker; nothing was recorded.
        """
        from midstream.engine.people.settling import Settled, settled

        if (result is not MISSING) + bool(error) + retry != 1:
            raise ConfigError("settle takes exactly one of result=, error= and retry=True")
        given = Settled(None if result is MISSING else plain(result, "result"), error, retry)
        await self._host.append_checked(self.id, partial(settled, step, given), actor=_actor(by))


def _actor(by: str) -> str:
    return f"user:{by}" if by else "user"


def _told(one: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, (one["address"], one["kind"], one["message"])))
