"""What one turn of a model is made of, and reading back what was recorded of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from midstream.adapters.base import Adapter, ModelRequest
from midstream.adapters.estimate import tokens
from midstream.adapters.view import Segment, View
from midstream.engine.models.sending import Flight
from midstream.engine.recording.calls import Desk
from midstream.engine.requests.advice import memory_of
from midstream.engine.requests.asking import Pricing, Question
from midstream.engine.spending.spending import Amounts
from midstream.errors import AdapterError
from midstream.events.content import Message
from midstream.events.ids import Address, node_of
from midstream.events.payloads import ModelAborted, ModelRequested, Usage
from midstream.projections.conversation import parents_of
from midstream.projections.run_state import Call

if TYPE_CHECKING:
    from midstream.engine.models.routed import Chosen

ROUTER = "router"
"""Who records whom a call was given to."""

FAILOVER = "policy:failover"
"""Who records that a conversation went on with another provider because somebody failed or had no room."""


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


@dataclass(slots=True)
class Attempt:
    """The attempt that is waited for: who is asked may change while it is under way.

    Attributes:
        call: Its record.
        prepared: What is sent.
        chosen: Who was chosen, where the code names a group.
    """

    call: Call
    prepared: Prepared
    chosen: Chosen | None


async def affordable(desk: Desk, turn: Turn, prepared: Prepared, pricing: Pricing) -> bool:
    """Say whether the budgets of the run allow a call; if not, something has changed."""
    about = tokens(prepared.view)
    provider, now = prepared.adapter.provider, desk.clock.now()
    cost = pricing(provider, prepared.name, Usage(input_tokens=about), now)
    wanted = Amounts(about, Decimal(cost.amount if cost else 0), 1)
    return bool(await desk.guard.passes(desk, {turn.address: wanted}))


def is_other(desk: Desk, address: Address, told: ModelRequested) -> bool:
    """Say whether a call that the log of the run that is tried knows is not asked what it was asked there."""
    answers = desk.recorder.answers
    known = answers is not None and answers.known(address)
    return known and answers is not None and not answers.same(desk.state, address, told)


async def answered(desk: Desk, address: str) -> bool:
    """Say whether a log answers in place of the model; else it may be asked."""
    recorder = desk.recorder
    if recorder.paced:
        return await recorder.outcome(address)
    if recorder.answers is None:
        return False
    if recorder.answers.give(recorder, address):
        return True
    await recorder.answers.permit_model(recorder, address)
    return False


def as_routed(desk: Desk, turn: Turn, model: str) -> str:
    """Return the model that the log says was chosen for a name, where decisions come from the log."""
    decided = (desk.recorder.routed or {}).get(turn.address)
    if decided is None or decided["target"] != model:
        return model
    chosen: str = decided["model"]
    return chosen


def handoff_for(desk: Desk, question: Question, parents: Sequence[str]) -> str:
    """Return the migration whose brief the model has not been told in this conversation, or an empty text."""
    state = desk.state
    switches = state.switches_for(question.model, node_of(desk.activation), question.thread or "")
    if not switches or not switches[-1].brief or not parents:
        return ""
    wanted, address = switches[-1].id, parents[0]
    while state.calls[address].request.get("handoff", "") != wanted:
        before = parents_of(state.calls[address])
        if not before or state.calls[address].first_seq < switches[-1].seq:
            return wanted
        address = before[0]
    return ""


def intent(
    desk: Desk,
    question: Question,
    turn: Turn,
    prepared: Prepared,
    chosen: Chosen | None,
    name: str,
) -> ModelRequested:
    """Return the intent of the next attempt of a call that is made for this name."""
    call = desk.call(turn.address)
    model = as_routed(desk, turn, name) if chosen is None else chosen.model
    asked = name if model != name or (call and call.request.get("asked")) else ""
    changes = (*prepared.view.changes, *prepared.request.changes)
    if call is not None:
        known = call.request.get("handoff", "")
        return ModelRequested(
            model=model,
            view=prepared.request.digest,
            changes=changes,
            attempt=call.attempt + 1,
            handoff="" if prepared.handoff == known else prepared.handoff,
            asked=asked,
        )
    return ModelRequested(
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
        asked=asked,
    )


def record_intent(
    desk: Desk,
    question: Question,
    turn: Turn,
    prepared: Prepared,
    chosen: Chosen | None,
    told: ModelRequested,
) -> None:
    """Record the intent of the next attempt, with who was chosen for it."""
    if chosen is not None:
        record_choice(desk, turn, prepared, chosen)
    if desk.call(turn.address) is None and turn.parents is None and question.advice is not None:
        # In one append with the request: both are recorded, or it is looked up again.
        desk.recorder.add(question.advice.fact, memory_of(turn.address))
    desk.recorder.add(told, turn.address)


def record_choice(desk: Desk, turn: Turn, prepared: Prepared, chosen: Chosen) -> None:
    """Record who was chosen and why, and the migration where that is another provider than before."""
    if not chosen.beside_another:  # that was recorded before it was sent
        desk.recorder.add(chosen.leg.decided(chosen.target), turn.address, actor=ROUTER)
    call = desk.call(turn.address)
    before = call or (desk.call(prepared.parents[0]) if prepared.parents else None)
    if before is None:
        return
    model: str = before.request["model"]
    if model.partition(":")[0] != chosen.leg.candidate.endpoint.provider:
        changes = (*prepared.view.changes, *prepared.request.changes)
        switched = chosen.switched(turn.address, model, changes)
        desk.recorder.add(switched, turn.address, actor=FAILOVER)


def record_abandoned(desk: Desk, flight: Flight, chosen: Chosen | None) -> None:
    """Record that a call was abandoned because of a migration."""
    text = "".join(flight.pieces)
    desk.recorder.add(ModelAborted(reason="migrated", text=text), flight.address)
    if chosen is not None:
        chosen.abandon()


def named(call: Call) -> str:
    """Return the name that a call was made for: a model's, or that of a group that the model was chosen from."""
    name: str = call.request.get("asked") or call.request["model"]
    return name


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
