"""Asking models: one turn, with its attempts and its migrations, and the loop of turns and tools."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from pydantic import JsonValue

from midstream.adapters.base import Adapter, Delta, ModelRequest, ModelResponse, StreamingAdapter
from midstream.adapters.view import Segment, View
from midstream.engine.advice import Advice, Advisor, memory_of
from midstream.engine.calls import Desk, shown
from midstream.engine.claims import digest_of
from midstream.engine.providers import Providers
from midstream.engine.retry import MODEL_RETRY, Retry
from midstream.engine.tool_calls import call_tool, request_all
from midstream.engine.tools import Tool
from midstream.engine.views import Views
from midstream.errors import (
    AdapterError,
    CallTimeoutError,
    ConnectionFailedError,
    LimitError,
    MalformedAnswerError,
    NotRecordableError,
    ToolError,
    TransientError,
)
from midstream.events.content import Message, ToolCall
from midstream.events.ids import Address, node_of
from midstream.events.payloads import (
    Cost,
    FinishReason,
    ModelAborted,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Usage,
)
from midstream.projections.conversation import parents_for, tool_address
from midstream.projections.run_state import Call

DEADLINE = 600.0
"""Seconds for one attempt of a model call, from sending the request to the whole answer, unless told otherwise."""

Pricing = Callable[[str, str, Usage, float], Cost | None]
"""Provider, model, usage, seconds since 1970 → cost."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, after all turns of its tools.

    Attributes:
        text: Its last words.
        message: Its last message.
        model: Who said it, as `provider:model`.
        usage: Tokens of all turns.
        cost: Of all turns, in US dollars; None where a turn's price is not known.
        finish: Why it stopped.
        step: The address of the last turn.
        turns: How many turns it took.
    """

    text: str
    message: Message
    model: str
    usage: Usage
    cost: Decimal | None
    finish: FinishReason
    step: str
    turns: int


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks a model.

    Attributes:
        messages: What is said.
        model: As the code names it, or empty.
        system: The instruction, or None for what is in force.
        tools: What the model may call, by name.
        thread: See `Context.llm`.
        settings: See `midstream.adapters.base.Settings`.
        turns: At most so many.
        deadline: Seconds for one attempt.
        retry: How often a turn is tried.
        experience: See `Context.llm`; no part of what the call is recognised by.
        advice: What was looked up for it, once it was.
    """

    messages: tuple[Message, ...]
    model: str = ""
    system: str | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    thread: str | None = ""
    settings: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    turns: int = 10
    deadline: float = DEADLINE
    retry: Retry = MODEL_RETRY
    experience: bool | str | None = None
    advice: Advice | None = None

    def digest(self) -> str:
        """Return what the call is recognised by: everything but the model, so that a migration keeps its records.

        Raises:
            NotRecordableError: What is said is not JSON.
        """
        try:
            said = [
                message.model_dump(mode="json", exclude_defaults=True) for message in self.messages
            ]
            told = (said, self.system, sorted(self.tools), self.thread, dict(self.settings))
            return digest_of(told)
        except (TypeError, ValueError) as error:
            raise NotRecordableError(
                "what the model is asked", str(error), "pass text that UTF-8 can carry"
            ) from error


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent, and the view it was made from."""

    adapter: Adapter
    name: str
    view: View
    request: ModelRequest


@dataclass(slots=True)
class Flight:
    """A model call that is under way.

    Attributes:
        address: Of the call.
        asked: The model that the code named.
        thread: The thread it speaks in.
        model: Who is being asked.
        task: What to cancel to abandon it.
        since: The newest event when it began.
        abandoned: It was cancelled because of a migration.
        text: What was streamed so far.
    """

    address: str
    asked: str
    thread: str
    model: str
    task: asyncio.Task[ModelResponse]
    since: int
    abandoned: bool = False
    text: str = ""


class Models:
    """Asks models on behalf of a run.

    Args:
        providers: Who answers.
        pricing: What it costs.
        show: Is given what is streamed: the address of the call, and a piece of the answer.
        listening: Says whether anybody listens, so that streaming is worth it.
        advisor: Knows what earlier runs taught, or None.
    """

    def __init__(
        self,
        providers: Providers,
        *,
        pricing: Pricing,
        show: Callable[[str, Delta], None],
        listening: Callable[[], bool],
        advisor: Advisor | None = None,
    ) -> None:
        self.flights: dict[str, Flight] = {}
        self.views = Views()
        self._providers = providers
        self._pricing = pricing
        self._show = show
        self._listening = listening
        self._advisor = advisor

    async def ask(self, desk: Desk, question: Question) -> Reply:
        """Ask, let the model call its tools, and return its last answer.

        Raises:
            AdapterError: The provider refused or failed for good.
            LimitError: The model still calls tools after the last turn.
        """
        lane = desk.claims.lane()
        first = desk.claims.claim(desk.state, f"llm:{question.digest()}", lane)
        question = await self._advised(desk, question, first)
        address, parents = first, None
        answered: list[Call] = []
        for turn in range(1, question.turns + 1):
            if turn > 1:
                address, parents = Address(f"{first}/turn#{turn}"), (answered[-1].address,)
            call = await self._turn(desk, question, address, lane, parents)
            answered.append(call)
            calls = _tool_calls(call)
            if not calls or not question.tools:
                return _reply(answered)
            await self._use_tools(desk, question, calls, lane)
        raise LimitError(
            "turns",
            f"step {first}: the model still calls tools after {question.turns} turns; "
            "raise max_turns, or give it a clearer task",
        )

    async def _advised(self, desk: Desk, question: Question, first: Address) -> Question:
        """Look up what earlier runs taught; what is recorded has been looked up, and is not again."""
        if self._advisor is None or desk.call(first) is not None:
            return question
        advice = await self._advisor.advise(
            desk.state,
            run_id=desk.recorder.run_id,
            call=first,
            messages=question.messages,
            wanted=question.experience,
        )
        return replace(question, advice=advice)

    async def _use_tools(
        self, desk: Desk, question: Question, calls: Mapping[Address, ToolCall], lane: str
    ) -> None:
        await desk.gate()
        request_all(desk, question.tools, calls, lane=lane)

        async def use(address: Address, wanted: ToolCall) -> None:
            tool = question.tools.get(wanted.name)
            if tool is None:
                return  # refused, and the model is told so
            with suppress(ToolError):  # recorded, and the model is told so
                await call_tool(
                    desk, tool, wanted.parsed() or {}, address, lane=lane, call_id=wanted.id
                )

        if len(calls) == 1:
            await use(*next(iter(calls.items())))
            return
        async with asyncio.TaskGroup() as group:
            for address, wanted in calls.items():
                group.create_task(use(address, wanted))

    async def _turn(
        self,
        desk: Desk,
        question: Question,
        address: Address,
        lane: str,
        parents: tuple[str, ...] | None,
    ) -> Call:
        """Return the record of an answered turn, making as many attempts as that takes."""
        while True:
            call = desk.call(address)
            if call is not None and call.status == "completed":
                return call
            if call is not None and call.status == "failed" and not desk.again(call):
                raise _failure(call)
            if call is not None and call.status == "waiting" and call.outcome is not None:
                waited = call.request["model"]
                await desk.sleep_until(
                    call.outcome["retry_at"],
                    unless=lambda: self._model(desk, question) != waited,  # noqa: B023  # ends here
                )
            await desk.gate()
            await self._providers.ready(self._model(desk, question))
            prepared = None
            if call is None or call.status != "open" or call.epoch != desk.recorder.epoch:
                prepared = self._request(desk, question, address, lane, parents)
            await desk.intent()
            call = desk.state.calls[address]
            if self._model(desk, question) != call.request["model"]:
                desk.recorder.add(ModelAborted(reason="migrated"), address)
                continue
            await self._attempt(
                desk, question, call, prepared or self._prepared(desk, question, call)
            )
            await desk.recorded()

    def _prepared(self, desk: Desk, question: Question, call: Call) -> Prepared:
        """Render a recorded request again."""
        adapter, name = self._providers.adapter(call.request["model"])
        view = self.views.opening_of(desk.state, adapter, name, call)
        return Prepared(adapter, name, view, adapter.request(view, question.settings))

    def _model(self, desk: Desk, question: Question) -> str:
        return desk.state.model_for(question.model, node_of(desk.activation), question.thread or "")

    def _request(
        self,
        desk: Desk,
        question: Question,
        address: Address,
        lane: str,
        parents: tuple[str, ...] | None,
    ) -> Prepared:
        """Record the intent of the next attempt."""
        parents_given = parents
        model = self._model(desk, question)
        adapter, name = self._providers.adapter(model)
        call = desk.call(address)
        segment = Segment(0)
        if call is not None:
            view = self.views.opening_of(desk.state, adapter, name, call)
        else:
            if (
                parents is None
            ):  # the first turn; later ones add nothing but the results of the tools
                parents = parents_for(desk.state, desk.activation, lane, question.thread)
                segment = self._segment(desk, question, parents)
            before = desk.state.seq + 1
            view = self.views.opening(desk.state, adapter, name, parents, segment, before)
        request = adapter.request(view, question.settings)
        changes = (*view.changes, *request.changes)
        if call is not None:
            asked = ModelRequested(
                model=model, view=request.digest, changes=changes, attempt=call.attempt + 1
            )
        else:
            asked = ModelRequested(
                model=model,
                thread=question.thread or "",
                lane=lane,
                parents=parents or (),
                messages=segment.messages,
                system=segment.system,
                tools=segment.tools,
                settings=question.settings,
                view=request.digest,
                changes=changes,
            )
        if call is None and parents_given is None and question.advice is not None:
            # In one append with the request: either both are recorded, or it is looked up again.
            desk.recorder.add(question.advice.fact, memory_of(address))
        desk.recorder.add(asked, address)
        return Prepared(adapter, name, view, request)

    def _segment(self, desk: Desk, question: Question, parents: Sequence[str]) -> Segment:
        """Return what the first turn adds: what is said, and instruction and tools where they change."""
        system: str | None = None
        tools = tuple(tool.spec for tool in question.tools.values()) or None
        if parents:
            system, had = self.views.head(desk.state, parents[0])
            tools = None if (tools or ()) == (had or ()) else (tools or ())
        system = None if question.system == system else question.system
        messages = question.messages
        if question.advice is not None:
            messages = question.advice.added_to(messages)
        return Segment(0, messages, system, tools)

    async def _attempt(
        self, desk: Desk, question: Question, call: Call, prepared: Prepared
    ) -> None:
        """Send the request and record what comes of it."""
        adapter = prepared.adapter
        began = time.perf_counter()
        sending = self._send(adapter, prepared.request, question.deadline, call.address)
        task = asyncio.ensure_future(sending)
        model: str = call.request["model"]
        flight = Flight(
            call.address, question.model, question.thread or "", model, task, desk.state.seq
        )
        self.flights[call.address] = flight
        try:
            response = await desk.effect(_shielded(task))
        except asyncio.CancelledError:
            await _ended(task)
            waiter = asyncio.current_task()
            if not flight.abandoned or (waiter is not None and waiter.cancelling()):
                raise
        except AdapterError as error:
            if not flight.abandoned:
                self._failed(desk, question, call, error)
        else:
            if not flight.abandoned:
                self._responded(desk, prepared, call, response, time.perf_counter() - began)
        finally:
            del self.flights[call.address]
        if flight.abandoned:
            desk.recorder.add(ModelAborted(reason="migrated", text=flight.text), call.address)

    async def _send(
        self, adapter: Adapter, request: ModelRequest, deadline: float, address: str
    ) -> ModelResponse:
        """Send once, within the deadline; whatever goes wrong comes out as an `AdapterError`."""
        try:
            async with asyncio.timeout(deadline):
                if self._listening() and isinstance(adapter, StreamingAdapter):
                    return await self._streamed(adapter.stream(request), address)
                return await adapter.complete(request)
        except TimeoutError as error:
            message = f"no whole answer within {deadline} s"
            raise CallTimeoutError(
                message, provider=adapter.provider, model=request.model
            ) from error
        except OSError as error:
            raise ConnectionFailedError(
                shown(error), provider=adapter.provider, model=request.model
            ) from error

    async def _streamed(
        self, pieces: AsyncIterator[Delta | ModelResponse], address: str
    ) -> ModelResponse:
        try:
            async for piece in pieces:
                if isinstance(piece, ModelResponse):
                    return piece
                flight = self.flights.get(address)
                if flight is not None:
                    flight.text += piece.text
                self._show(address, piece)
        finally:  # now, not when somebody collects it: it holds a connection
            if isinstance(pieces, AsyncGenerator):
                await pieces.aclose()
        raise MalformedAnswerError("the stream ended without an answer")

    def _responded(
        self, desk: Desk, prepared: Prepared, call: Call, response: ModelResponse, seconds: float
    ) -> None:
        model: str = call.request["model"]
        adapter, name = prepared.adapter, prepared.name
        message = response.message
        if message.origin is None:
            message = message.model_copy(update={"origin": model})
        cost = self._pricing(adapter.provider, name, response.usage, desk.clock.now())
        desk.recorder.add(
            ModelResponded(
                message=message,
                usage=response.usage,
                cost=cost,
                finish=response.finish,
                response_id=response.response_id,
                served="" if response.served == name else response.served,
                seconds=round(seconds, 6),
            ),
            call.address,
        )
        self.views.answer(desk.state, adapter, name, call.address, prepared.view)

    def _failed(self, desk: Desk, question: Question, call: Call, error: AdapterError) -> None:
        retry_after = error.retry_after if isinstance(error, TransientError) else None
        retry_at = question.retry.due(
            error.kind,
            call.attempt,
            now=desk.clock.now(),
            seed=f"{desk.recorder.run_id}/{call.address}",
            retry_after=retry_after,
        )
        desk.recorder.add(
            ModelFailed(
                kind=error.kind,
                message=shown(error),
                status=error.status,
                request_id=error.request_id or "",
                retry_at=retry_at,
                attempt=call.attempt,
            ),
            call.address,
        )


async def _shielded(task: asyncio.Task[ModelResponse]) -> ModelResponse:
    """Await a task; if the waiter is cancelled, so is the task."""
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        task.cancel()
        raise


async def _ended(task: asyncio.Task[Any]) -> None:
    """Wait until a cancelled task has let go of its connection."""
    task.cancel()
    await asyncio.wait([task])


def _tool_calls(call: Call) -> dict[Address, ToolCall]:
    parts = (call.outcome or {})["message"].get("parts", ())
    wanted = [ToolCall.model_validate(part) for part in parts if part["type"] == "tool_call"]
    return {Address(tool_address(call.address, place)): one for place, one in enumerate(wanted)}


def _reply(answered: Sequence[Call]) -> Reply:
    outcomes = [call.outcome or {} for call in answered]
    message = Message.model_validate(outcomes[-1]["message"])
    costs = [outcome.get("cost") for outcome in outcomes]
    cost = (
        None if None in costs else sum((Decimal(one["amount"]) for one in costs if one), Decimal(0))
    )
    counted = [Usage.model_validate(outcome.get("usage", {})) for outcome in outcomes]
    usage = Usage(
        **{name: sum(getattr(one, name) for one in counted) for name in Usage.model_fields}
    )
    return Reply(
        message.text,
        message,
        answered[-1].request["model"],
        usage,
        cost,
        outcomes[-1].get("finish", "stop"),
        answered[-1].address,
        len(answered),
    )


_KINDS: dict[str, type[AdapterError]] = {}


def _failure(call: Call) -> AdapterError:
    """Return the recorded failure as the error it was."""
    if not _KINDS:
        pending: list[type[AdapterError]] = [AdapterError]
        while pending:
            kind = pending.pop()
            _KINDS[kind.kind] = kind
            pending += kind.__subclasses__()
    data = call.outcome or {}
    provider, _, model = call.request["model"].partition(":")
    made = _KINDS.get(data["kind"], AdapterError)
    return made(
        data.get("message", ""),
        provider=provider,
        model=model,
        status=data.get("status"),
        request_id=data.get("request_id") or None,
    )
