"""One turn of a model: recorded, sent, and sent again, until there is an answer; or moved to another model meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from midstream.adapters.base import Adapter, Delta, ModelRequest, ModelResponse
from midstream.adapters.estimate import tokens
from midstream.adapters.output import as_said
from midstream.adapters.view import Segment, View
from midstream.engine.advice import memory_of
from midstream.engine.asking import Pricing, Question
from midstream.engine.calls import Desk, shown
from midstream.engine.providers import Providers
from midstream.engine.room import Room
from midstream.engine.sending import Flight, Sender, ended, shielded
from midstream.engine.spending import Amounts
from midstream.engine.views import Views
from midstream.errors import (
    AdapterError,
    ContextWindowError,
    TransientError,
)
from midstream.events.content import Message
from midstream.events.ids import Address, node_of
from midstream.events.payloads import (
    ModelAborted,
    ModelFailed,
    ModelRequested,
    ModelResponded,
    Usage,
)
from midstream.projections.conversation import asked, parents_for, parents_of
from midstream.projections.run_state import Call


@dataclass(frozen=True, slots=True)
class Turn:
    """Which turn of which question.

    Attributes:
        address: Of the call.
        lane: The parallel branch that asks.
        parents: What it continues; None for what the question's thread says, with what the question says.
        said: What a later turn says, beside the results of tools.
        purpose: See `ModelRequested`.
    """

    address: Address
    lane: str
    parents: tuple[str, ...] | None = None
    said: tuple[Message, ...] = ()
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent, what it was made from, and what is recorded of it."""

    adapter: Adapter
    name: str
    view: View
    request: ModelRequest
    segment: Segment
    parents: tuple[str, ...]
    handoff: str


class Turns:
    """Takes turns of models on behalf of a run.

    Args:
        providers: Who answers.
        pricing: What it costs.
        show: Is given what is streamed: the address of the call, and a piece of the answer.
        listening: Says whether anybody listens, so that streaming is worth it.
    """

    def __init__(
        self,
        providers: Providers,
        *,
        pricing: Pricing,
        show: Callable[[str, Delta], None],
        listening: Callable[[], bool],
    ) -> None:
        self._sender = Sender(show, listening)
        self.flights = self._sender.flights
        self.views = Views()
        self._providers = providers
        self._pricing = pricing
        self._room = Room(self.views, providers, self._summary)

    async def take(self, desk: Desk, question: Question, turn: Turn) -> Call:
        """Return the record of an answered turn, making as many attempts as that takes.

        Raises:
            AdapterError: The provider refused or failed for good.
            ContextWindowError: The conversation is too long, and no policy helps.
        """
        while True:
            call = desk.call(turn.address)
            if call is not None and call.status == "completed":
                return call
            if call is not None and call.status == "failed" and not desk.again(call):
                raise failure(call)
            if call is not None and call.status == "waiting" and call.outcome is not None:
                waited = call.request["model"]
                await desk.wait(
                    call.outcome["retry_at"],
                    unless=lambda: self._model(desk, question) != waited,  # noqa: B023  # ends here
                )
            await desk.gate()
            await self._providers.ready(self._model(desk, question))
            prepared = None
            if call is None or call.status != "open" or call.epoch != desk.recorder.epoch:
                await desk.turn(turn.address)
                prepared = self._prepared(desk, question, turn)
                if await self._made_room(desk, question, turn, prepared):
                    continue  # it took its time: somebody may want another model by now
                if desk.guard is not None and not await self._affordable(desk, turn, prepared):
                    continue
                self._record(desk, question, turn, prepared)
            await desk.intent()
            call = desk.state.calls[turn.address]
            if self._model(desk, question) != call.request["model"]:
                await desk.turn(turn.address)
                desk.recorder.add(ModelAborted(reason="migrated"), turn.address)
                continue
            await self._attempt(
                desk, question, call, prepared or self._prepared(desk, question, turn)
            )
            await desk.recorded()

    def _model(self, desk: Desk, question: Question) -> str:
        return desk.state.model_for(question.model, node_of(desk.activation), question.thread or "")

    async def _affordable(self, desk: Desk, turn: Turn, prepared: Prepared) -> bool:
        """Say whether the budgets of the run allow the call; if not, something has changed."""
        about = tokens(prepared.view)
        provider, now = prepared.adapter.provider, desk.clock.now()
        cost = self._pricing(provider, prepared.name, Usage(input_tokens=about), now)
        wanted = Amounts(about, Decimal(cost.amount if cost else 0), 1)
        return bool(await desk.guard.passes(desk, {turn.address: wanted}))

    def _prepared(self, desk: Desk, question: Question, turn: Turn) -> Prepared:
        """Render the request of the next attempt, or that of an attempt which is recorded and was not sent."""
        state, call = desk.state, desk.call(turn.address)
        sent = call is not None and call.status == "open" and call.epoch == desk.recorder.epoch
        model = call.request["model"] if call is not None and sent else self._model(desk, question)
        adapter, name = self._providers.adapter(model)
        if call is not None:
            parents = tuple(parents_of(call))
            segment, before = asked(call), call.first_seq
            handoff = call.request.get("handoff", "")
        else:
            parents, segment = self._new(desk, question, turn)
            before, handoff = state.seq + 1, ""
        if not sent:
            handoff = self._handoff(desk, question, parents) or handoff
        view = self.views.opening(
            state, adapter, name, parents, segment, before, address=turn.address, handoff=handoff
        )
        request = adapter.request(view, question.settings)
        return Prepared(adapter, name, view, request, segment, parents, handoff)

    def _new(self, desk: Desk, question: Question, turn: Turn) -> tuple[tuple[str, ...], Segment]:
        """Return what a call that is not recorded yet continues, and what it adds."""
        if turn.parents is not None:  # a later turn adds nothing but the results of the tools
            return turn.parents, Segment(0, turn.said)
        parents = parents_for(desk.state, desk.activation, turn.lane, question.thread)
        return parents, self._segment(desk, question, parents)

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

    def _handoff(self, desk: Desk, question: Question, parents: Sequence[str]) -> str:
        """Return the migration whose brief the model has not been told in this conversation, or an empty text."""
        state = desk.state
        switches = state.switches_for(
            question.model, node_of(desk.activation), question.thread or ""
        )
        if not switches or not switches[-1].brief or not parents:
            return ""
        wanted, address = switches[-1].id, parents[0]
        while state.calls[address].request.get("handoff", "") != wanted:
            before = parents_of(state.calls[address])
            if not before or state.calls[address].first_seq < switches[-1].seq:
                return wanted
            address = before[0]
        return ""

    async def _made_room(
        self, desk: Desk, question: Question, turn: Turn, prepared: Prepared
    ) -> bool:
        """Cut the conversation down where it is too long and the policy says how; say whether that was done."""
        if turn.purpose:
            return False
        call = desk.call(turn.address)
        outcome = call.outcome if call is not None and call.status == "waiting" else None
        refused = (outcome or {}).get("kind") == ContextWindowError.kind
        return await self._room.make(
            desk,
            question,
            turn.address,
            turn.lane,
            prepared.parents,
            prepared.adapter,
            prepared.view,
            refused=refused,
        )

    async def _summary(self, desk: Desk, question: Question, address: Address, lane: str) -> Call:
        return await self.take(
            desk, question, Turn(address, lane, (), question.messages, "summary")
        )

    def _record(self, desk: Desk, question: Question, turn: Turn, prepared: Prepared) -> None:
        """Record the intent of the next attempt."""
        call = desk.call(turn.address)
        model = self._model(desk, question)
        changes = (*prepared.view.changes, *prepared.request.changes)
        if call is not None:
            known = call.request.get("handoff", "")
            told = ModelRequested(
                model=model,
                view=prepared.request.digest,
                changes=changes,
                attempt=call.attempt + 1,
                handoff="" if prepared.handoff == known else prepared.handoff,
            )
        else:
            told = ModelRequested(
                model=model,
                thread=question.thread or "",
                lane=turn.lane,
                parents=prepared.parents,
                messages=prepared.segment.messages,
                system=prepared.segment.system,
                tools=prepared.segment.tools,
                settings=question.settings,
                view=prepared.request.digest,
                changes=changes,
                handoff=prepared.handoff,
                purpose=turn.purpose,
            )
        if call is None and turn.parents is None and question.advice is not None:
            # In one append with the request: both are recorded, or it is looked up again.
            desk.recorder.add(question.advice.fact, memory_of(turn.address))
        desk.recorder.add(told, turn.address)

    async def _attempt(
        self, desk: Desk, question: Question, call: Call, prepared: Prepared
    ) -> None:
        """Send the request and record what comes of it."""
        adapter = prepared.adapter
        if desk.recorder.paced and await desk.recorder.outcome(call.address):
            if desk.state.calls[call.address].status == "completed":
                self.views.answer(desk.state, adapter, prepared.name, call.address, prepared.view)
            return
        began = time.perf_counter()
        sending = self._sender.send(adapter, prepared.request, question.deadline, call.address)
        task = asyncio.ensure_future(sending)
        model: str = call.request["model"]
        flight = Flight(
            call.address, question.model, question.thread or "", model, task, desk.state.seq, []
        )
        self.flights[call.address] = flight
        try:
            response = await desk.effect(shielded(task))
        except asyncio.CancelledError:
            await ended(task)
            waiter = asyncio.current_task()
            if not flight.abandoned or (waiter is not None and waiter.cancelling()):
                raise
        except AdapterError as error:
            if not flight.abandoned:
                self._failed(desk, question, call, error)
        else:
            if not flight.abandoned:
                said = as_said(response, prepared.request.output_tool)
                self._responded(desk, prepared, call, said, time.perf_counter() - began)
        finally:
            del self.flights[call.address]
        if flight.abandoned:
            text = "".join(flight.pieces)
            desk.recorder.add(ModelAborted(reason="migrated", text=text), call.address)

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
        now = desk.clock.now()
        retry_at = question.retry.due(
            error.kind,
            call.attempt,
            now=now,
            seed=f"{desk.recorder.run_id}/{call.address}",
            retry_after=retry_after,
        )
        if isinstance(error, ContextWindowError) and self._room.helps(desk, question, call):
            retry_at = now  # with less, as the policy says
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


_KINDS: dict[str, type[AdapterError]] = {}


def failure(call: Call) -> AdapterError:
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
