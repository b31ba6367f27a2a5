"""One turn of a model: recorded, sent, and sent again, until there is an answer; or moved to another model meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.output import as_said
from midstream.adapters.view import Segment
from midstream.engine.models.room import Room
from midstream.engine.models.sending import Flight, Sender, ended, shielded
from midstream.engine.models.turn import (
    Attempt,
    Prepared,
    Turn,
    affordable,
    answered,
    as_routed,
    failure,
    handoff_for,
    intent,
    is_other,
    named,
    record_abandoned,
    record_intent,
)
from midstream.engine.models.views import Views
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Desk, shown
from midstream.engine.requests.asking import Pricing, Question, pinned
from midstream.engine.requests.redacting import as_told
from midstream.errors import (
    AdapterError,
    ContextWindowError,
    TransientError,
)
from midstream.events.ids import Address, node_of
from midstream.events.payloads import (
    ModelAborted,
    ModelFailed,
    ModelResponded,
)
from midstream.projections.conversation import asked, parents_for, parents_of
from midstream.projections.run_state import Call

if TYPE_CHECKING:
    from midstream.engine.models.hedging import Hedging
    from midstream.engine.models.routed import Chosen, Routing
    from midstream.engine.policies.policing import Policing


class Turns:
    """Takes turns of models on behalf of a run.

    Args:
        providers: Who answers.
        pricing: What it costs.
        show: Is given what is streamed: the address of the call, and a piece of the answer.
        listening: Says whether anybody listens, so that streaming is worth it.
        policing: Lets policies look before each attempt; None where there are none.
    """

    def __init__(
        self,
        providers: Providers,
        *,
        pricing: Pricing,
        show: Callable[[str, Delta], None],
        listening: Callable[[], bool],
        policing: Policing | None = None,
    ) -> None:
        self._policing = policing
        self._sender = Sender(show, listening)
        self.flights = self._sender.flights
        self.views = Views()
        self._providers = providers
        self._pricing = pricing
        self._routing: Routing | None = None
        if providers.router is not None:
            from midstream.engine.models.routed import Routing  # only where something is configured

            self._routing = Routing(providers.router)
        self._hedging: Hedging | None = None
        if self._routing is not None:
            from midstream.engine.models.hedging import Hedging

            self._hedging = Hedging(self._prepared, self._record, self._failed)
        self._room = Room(self.views, providers, self._summary)

    async def take(self, desk: Desk, question: Question, turn: Turn) -> Call:
        """Return the record of an answered turn, making as many attempts as that takes.

        Raises:
            AdapterError: The provider refused or failed for good.
            ContextWindowError: The conversation is too long, and no policy helps.
        """
        question = as_told(pinned(question, desk.state, turn.address), desk.recorder.redact)
        while True:
            call = desk.call(turn.address)
            if call is not None and call.status == "completed":
                return call
            if call is not None and call.status == "failed" and not desk.again(call):
                raise failure(call)
            if call is not None and call.status == "waiting" and call.outcome is not None:
                waited = named(call)
                await desk.wait(
                    call.outcome["retry_at"],
                    unless=lambda: self._model(desk, question) != waited,  # noqa: B023  # ends here
                )
            await desk.gate()
            if self._policing is not None and not turn.purpose:
                await self._policing.before_call(desk, question)
            if desk.recorder.answers is not None:
                desk.recorder.answers.wish(desk.recorder, turn.address)
            chosen = await self._chosen(desk, question, turn)
            try:
                await self._try(desk, question, turn, chosen)
            except BaseException:
                if chosen is not None:
                    chosen.abandon()  # does nothing where it has ended
                raise
            await desk.recorded()

    async def _chosen(self, desk: Desk, question: Question, turn: Turn) -> Chosen | None:
        """Return who is chosen for a name that is not a model's, or None where it is one."""
        model = self._model(desk, question)
        answers = desk.recorder.answers
        if desk.recorder.paced or (answers is not None and answers.known(turn.address)):
            return None  # the log says who was chosen
        if self._routing is not None and self._routing.handles(model):
            return await self._routing.choose(desk, question, turn.address, model)
        await self._providers.ready(model)
        return None

    async def _try(self, desk: Desk, question: Question, turn: Turn, chosen: Chosen | None) -> None:
        """Make one attempt: record it, send it, and record what comes of it; or find that it is not to be made."""
        call = desk.call(turn.address)
        prepared = None
        if chosen or call is None or call.status != "open" or call.epoch != desk.recorder.epoch:
            await desk.turn(turn.address)
            prepared = self._prepared(desk, question, turn, chosen)
            if await self._held_back(desk, question, turn, prepared):
                if chosen is not None:
                    chosen.abandon()
                return  # it took its time: somebody may want another model by now
            told = intent(desk, question, turn, prepared, chosen, self._model(desk, question))
            if is_other(desk, turn.address, told):
                return  # it is to happen, or to end the try
            record_intent(desk, question, turn, prepared, chosen, told)
        await desk.intent()
        call = desk.state.calls[turn.address]
        if self._model(desk, question) != named(call):
            await desk.turn(turn.address)
            desk.recorder.add(ModelAborted(reason="migrated"), turn.address)
            if chosen is not None:
                chosen.abandon()
            return
        made = prepared or self._prepared(desk, question, turn, None)
        await self._attempt(desk, question, turn, Attempt(call, made, chosen))

    def _model(self, desk: Desk, question: Question) -> str:
        thread = question.thread or ""
        return question.pinned or desk.state.model_for(
            question.model, node_of(desk.activation), thread
        )

    async def _held_back(
        self, desk: Desk, question: Question, turn: Turn, prepared: Prepared
    ) -> bool:
        """Say whether an attempt is not to be made as it was prepared: room was made for it, or a budget kept it back."""
        if await self._made_room(desk, question, turn, prepared):
            return True
        return desk.guard is not None and not await affordable(desk, turn, prepared, self._pricing)

    def _prepared(
        self, desk: Desk, question: Question, turn: Turn, chosen: Chosen | None
    ) -> Prepared:
        """Render the request of the next attempt, or that of an attempt which is recorded and was not sent."""
        state, call = desk.state, desk.call(turn.address)
        sent = call is not None and call.status == "open" and call.epoch == desk.recorder.epoch
        sent = sent and chosen is None
        model = call.request["model"] if call is not None and sent else self._model(desk, question)
        if chosen is not None:
            adapter, name = chosen.adapter, chosen.leg.candidate.endpoint.model
        else:
            adapter, name = self._providers.adapter(as_routed(desk, turn, model))
        if call is not None:
            parents = tuple(parents_of(call))
            segment, before = asked(call), call.first_seq
            handoff = call.request.get("handoff", "")
        else:
            parents, segment = self._new(desk, question, turn)
            before, handoff = state.seq + 1, ""
        if not sent:
            handoff = handoff_for(desk, question, parents) or handoff
        view = self.views.opening(
            state, adapter, name, parents, segment, before, address=turn.address, handoff=handoff
        )
        settings = question.settings if chosen is None else chosen.leg.manner.settings
        request = adapter.request(view, settings)
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

    def _record(
        self,
        desk: Desk,
        question: Question,
        turn: Turn,
        prepared: Prepared,
        chosen: Chosen | None,
    ) -> None:
        """Record the intent of a further request beside one that is on its way."""
        told = intent(desk, question, turn, prepared, chosen, self._model(desk, question))
        record_intent(desk, question, turn, prepared, chosen, told)

    async def _attempt(self, desk: Desk, question: Question, turn: Turn, attempt: Attempt) -> None:
        """Send the request and record what comes of it."""
        call = attempt.call
        if await answered(desk, call.address):
            self._heard(desk, call, attempt.prepared)
            return
        began = time.perf_counter()
        task = asyncio.ensure_future(self._sending(desk, question, turn, attempt))
        model = named(call)
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
                self._failed(desk, question, attempt, error)
        else:
            if not flight.abandoned:
                self._ended(desk, question, attempt, response, began)
        finally:
            del self.flights[call.address]
        if flight.abandoned:
            record_abandoned(desk, flight, attempt.chosen)

    def _heard(self, desk: Desk, call: Call, prepared: Prepared) -> None:
        """Take an outcome that came from elsewhere."""
        if desk.state.calls[call.address].status == "completed":
            adapter, name = prepared.adapter, prepared.name
            self.views.answer(desk.state, adapter, name, call.address, prepared.view)

    def _sending(
        self, desk: Desk, question: Question, turn: Turn, attempt: Attempt
    ) -> Coroutine[Any, Any, ModelResponse]:
        prepared, chosen, address = attempt.prepared, attempt.chosen, attempt.call.address
        if chosen is None:
            return self._sender.send(prepared.adapter, prepared.request, question.deadline, address)
        if chosen.hedged and self._hedging is not None:
            race = partial(self._hedging.race, desk, question, turn, attempt)
            return self._sender.routed(race, address)
        send = partial(chosen.send, prepared.adapter, prepared.request)
        return self._sender.routed(send, address)

    def _ended(
        self,
        desk: Desk,
        question: Question,
        attempt: Attempt,
        response: ModelResponse,
        began: float,
    ) -> None:
        """Record an answer, or that it counts as a failure by the rules of a group."""
        if attempt.chosen is not None:
            error = attempt.chosen.answered(response)
            if error is not None:
                self._failed(desk, question, attempt, error)
                return
            attempt.chosen.done()
        prepared = attempt.prepared
        said = as_said(response, prepared.request.output_tool)
        self._responded(desk, prepared, attempt.call, said, time.perf_counter() - began)

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

    def _failed(
        self, desk: Desk, question: Question, attempt: Attempt, error: AdapterError
    ) -> None:
        call, chosen = attempt.call, attempt.chosen
        retry_after = error.retry_after if isinstance(error, TransientError) else None
        now = desk.clock.now()
        retry_at = question.retry.due(
            error.kind,
            call.attempt,
            now=now,
            seed=f"{desk.recorder.run_id}/{call.address}",
            retry_after=retry_after,
        )
        if chosen is not None:  # the rules of its group say whether anybody is asked further
            retry_at = now if chosen.failed(error) else None
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
