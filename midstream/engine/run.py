"""A run in hand: wait for it, follow it, and say what is wanted of it, from the process that drives it or any other."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Generator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any

from midstream.adapters.base import Delta
from midstream.adapters.view import View
from midstream.engine.experience.feedback import add_feedback
from midstream.engine.host import Host
from midstream.engine.migrate import MigrationPlan, When, plan_migration
from midstream.errors import (
    ConfigError,
    LeaseHeldError,
    MigrationError,
    NodeError,
    RunCancelledError,
    RunFailedError,
    StoreError,
    ToolError,
)
from midstream.events.content import Message
from midstream.events.envelope import Event
from midstream.events.experience_facts import FeedbackKind, FeedbackSource
from midstream.events.ids import RunId, node_of
from midstream.events.payloads import (
    ModelSwitched,
    NoteAdded,
    RunCancelRequested,
    RunContinued,
    RunPaused,
    ToolCompleted,
    ToolFailed,
    ToolRetried,
)
from midstream.events.store import OPEN, RunQuery
from midstream.events.subscribe import subscribe
from midstream.events.values import plain
from midstream.projections.conversation import messages, segments
from midstream.projections.fold import fold_async
from midstream.projections.run_state import RunState, apply
from midstream.projections.timeline import Line, line
from midstream.projections.usage import USAGE, UsageState

ENDINGS = frozenset(("run.completed", "run.failed", "run.cancelled"))
"""The types of events that end a run; others may still follow, such as notes."""

_BUFFER = 1024
_MISSING: Any = object()


@dataclass(frozen=True, slots=True)
class Piece:
    """A piece of an answer while a model writes it; shown once, never recorded.

    Attributes:
        step: The address of the model call.
        delta: The piece.
    """

    step: str
    delta: Delta


class Run:
    """A handle on one run; making one costs nothing, and many may be held on the same run.

    Attributes:
        id: The run's id.
    """

    def __init__(self, host: Host, run_id: RunId) -> None:
        self._host = host
        self.id = run_id

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
            await asyncio.wait([live.task])
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
                    NodeError(
                        f"{failure['address']}: {failure['kind']}: {failure['message']}",
                        node=node_of(failure["address"]),
                        kind=failure["kind"],
                    )
                    for failure in ended.get("failures", ())
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

    async def state(self, *, at: int | None = None) -> RunState:
        """Fold the run, up to event number `at` or as far as it is durable.

        Raises:
            RunNotFoundError: There is no such run.
        """
        state = RunState()
        async for event in self._host.store.read(self.id, to=at):
            apply(state, event)
        return state

    async def usage(self, *, at: int | None = None) -> UsageState:
        """Return tokens, money and calls, up to event number `at` or so far."""
        return await fold_async(USAGE, self._host.store.read(self.id, to=at))

    async def timeline(self, *, after: int = 0) -> tuple[Line, ...]:
        """Return what happened, one line an event."""
        return tuple([line(event) async for event in self._host.store.read(self.id, after=after)])

    async def messages(
        self, *, step: str | None = None, at: int | None = None
    ) -> tuple[Message, ...]:
        """Return a conversation of the run, neutral.

        Args:
            step: A model call, or an activation whose newest conversation is meant; None takes the run's newest.
            at: As it was after this event.

        Raises:
            ConfigError: No model was asked there.
        """
        state = await self.state(at=at)
        return messages(state, _conversation(state, step))

    async def view(self, model: str, *, step: str | None = None, at: int | None = None) -> View:
        """Return a conversation of the run as a model would be told it; see `messages`.

        Args:
            model: `provider:model`.
            step: See `messages`.
            at: See `messages`.
        """
        await self._host.providers.ready(model)
        adapter, name = self._host.providers.adapter(model)
        state = await self.state(at=at)
        view = adapter.begin(name)
        for segment in segments(state, _conversation(state, step)):
            view = adapter.render(view, segment)
        return view

    async def migrate(
        self,
        to: str,
        *,
        scope: str = "run",
        source: str = "",
        when: When = "next",
        dry_run: bool = False,
        by: str = "",
    ) -> MigrationPlan:
        """Go on with another model, from the next model call on.

        Args:
            to: `provider:model`.
            scope: `run`, `node:NAME` or `thread:NAME`.
            source: Only calls that would go to this model; empty for all in the scope.
            when: `next` waits for the call in flight; `now` abandons it, and its late answer is not recorded.
            dry_run: Only say what it means; `apply()` the plan to do it.
            by: Who wants it.

        Returns:
            What it means, and, unless it is a dry run, meant.

        Raises:
            MigrationError: The conversation does not fit the target, or the run has ended; nothing was recorded.
            ConfigError: Nobody answers for the target, or the scope names nothing of this run; nothing was recorded.
        """
        if when not in ("next", "now"):
            raise ConfigError(f"when must be 'next' or 'now', not {when!r}")
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
        )
        if not dry_run:
            await plan.apply()
        return plan

    async def _apply(self, plan: MigrationPlan, switch: str, by: str) -> None:
        if not plan.fits:
            raise MigrationError(
                self.id,
                plan.target,
                f"its conversation of about {plan.tokens} tokens does not fit the context window of "
                f"{plan.context_window}; choose a model with a larger one",
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
            await asyncio.wait([live.task])

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

    async def settle(
        self,
        step: str,
        *,
        result: Any = _MISSING,
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
            ToolError: There is no such call, or its outcome is known.
        """
        if (result is not _MISSING) + bool(error) + retry != 1:
            raise ConfigError("settle takes exactly one of result=, error= and retry=True")
        call = (await self.state()).calls.get(step)
        if call is None or call.status != "unknown":
            found = "there is no such call" if call is None else f"it is {call.status}"
            raise ToolError(
                f"{step!r} is not a call of unknown outcome: {found}",
                tool="",
                address=step,
                kind="settled",
            )
        payload = (
            ToolRetried(id=uuid.uuid4().hex)
            if retry
            else ToolFailed(kind="settled", message=error, attempt=call.attempt)
            if error
            else ToolCompleted(result=plain(result, "result"))
        )
        await self._host.append(self.id, payload, step, actor=_actor(by))


def _actor(by: str) -> str:
    return f"user:{by}" if by else "user"


def _conversation(state: RunState, step: str | None) -> str:
    """Return the model call that a step means.

    Raises:
        ConfigError: No model was asked there.
    """
    if step is not None and step in state.calls and state.calls[step].kind == "model":
        return step
    if step is None:
        asked = [call for call in state.calls.values() if call.kind == "model"]
        if asked:
            return max(asked, key=lambda call: call.first_seq).address
    elif heads := state.heads.get(step):
        return max(heads.values(), key=lambda address: state.calls[address].first_seq)
    asked_at = (
        ", ".join(dict.fromkeys(name.partition("/")[0] for name in state.heads)) or "no step yet"
    )
    raise ConfigError(f"step {step!r} asked no model; models were asked at {asked_at}")
