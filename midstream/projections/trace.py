"""The steps of a run: what each is, what led to it, when it began and ended, and what it used."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal

from midstream.events.envelope import ERASED, Event
from midstream.events.facts import VERSIONS
from midstream.events.ids import map_of, node_of, scope_of
from midstream.events.pause import no_collecting
from midstream.projections.run_state import RunState, apply

StepType = Literal[
    "node",
    "model_call",
    "tool_call",
    "question",
    "timer",
    "value",
    "note",
    "memory_read",
    "memory_write",
    "conclusion",
    "reflection",
    "plan",
    "feedback",
    "subrun",
]
StepStatus = Literal[
    "running", "waiting", "completed", "failed", "skipped", "unknown", "aborted", "cancelled"
]

_TYPES: Mapping[str, StepType] = {
    "node": "node",
    "model": "model_call",
    "tool": "tool_call",
    "question": "question",
    "timer": "timer",
    "subrun": "subrun",
    "value": "value",
    "note": "note",
    "memory.read": "memory_read",
    "memory.written": "memory_write",
    "agent.concluded": "conclusion",
    "reflection": "reflection",
    "plan": "plan",
    "feedback": "feedback",
}

_STATUS: Mapping[str, StepStatus] = {
    "node.scheduled": "running",
    "node.started": "running",
    "node.completed": "completed",
    "node.failed": "failed",
    "node.skipped": "skipped",
    "model.requested": "running",
    "model.responded": "completed",
    "model.failed": "failed",
    "model.aborted": "aborted",
    "tool.requested": "running",
    "tool.completed": "completed",
    "tool.failed": "failed",
    "tool.unknown": "unknown",
    "tool.retried": "waiting",
    "question.asked": "waiting",
    "question.answered": "completed",
    "question.expired": "failed",
    "subrun.requested": "running",
    "subrun.completed": "completed",
    "subrun.failed": "failed",
    "value.recorded": "completed",
    "timer.set": "waiting",
    "timer.fired": "completed",
    "note.added": "completed",
    "memory.read": "completed",
    "memory.written": "completed",
    "agent.concluded": "completed",
    "reflection.made": "completed",
    "plan.revised": "completed",
    "feedback.added": "completed",
}


UNREAD = frozenset(("tool.completed", "value.recorded", "timer.fired", "node.completed"))
"""Facts of which a trace needs no more than that they are there."""

_SHAPING = ("node.", "run.", "graph.", "edge.", "limit.", "plan.", "reflection.")
"""The kinds of facts that say which activations there are, and what they waited for."""


_OWN = frozenset(("reflection", "plan", "feedback"))
"""The kinds of facts that are about a step and are one of their own."""

_Meaning = tuple[str, bool, StepStatus | None]


def _meaning(type_: str) -> _Meaning:
    """Return the kind of a type, whether it says which activations there are, and how far its step has come with it."""
    return type_.partition(".")[0], type_.startswith(_SHAPING), _STATUS.get(type_)


_MEANINGS: Mapping[str, _Meaning] = {type_: _meaning(type_) for type_ in VERSIONS}


@dataclass(slots=True)
class Step:
    """One addressable thing that happened in a run.

    Attributes:
        id: Its address.
        type: What it is.
        name: The node, model, or tool; else the kind of its address.
        within: The step it is a part of: of a call its activation, of a tool call that a model made that model call; empty
            for an activation that is neither in the graph of another one nor an item of a map.
        parents: What led to it: of an activation those it waited for, of a model call those whose conversation it
            continues, of anything else the step it is a part of.
        status: How far it has come.
        seq: Its first event.
        ended: Its newest event that ended it or an attempt of it; 0 before there is one.
        began_at: When it began, in microseconds since 1970.
        ended_at: When that event was recorded; 0 before there is one.
        attempts: How often it was begun.
        input_tokens: Of a model call; of an activation, of all in it.
        output_tokens: Likewise.
        cost: In US dollars, likewise; calls of unknown price are left out.
        error: Its kind and message, where it failed.
    """

    id: str
    type: StepType
    name: str
    within: str
    parents: tuple[str, ...]
    status: StepStatus
    seq: int
    began_at: int
    ended: int = 0
    ended_at: int = 0
    attempts: int = 1
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    error: str = ""

    @property
    def seconds(self) -> float | None:
        """From its beginning to its end, waits included, or None before it has ended."""
        return (self.ended_at - self.began_at) / 1e6 if self.ended else None


@dataclass(slots=True)
class Trace:
    """The steps of a run, in the order in which they began.

    Attributes:
        run_id: The run; of a fork, the run that recorded its newest event.
        seq: The newest event in it.
        steps: By address.
    """

    run_id: str = ""
    seq: int = 0
    steps: dict[str, Step] = field(default_factory=dict[str, Step])
    _state: RunState = field(default_factory=RunState)
    _erased: bool = False

    def add(self, event: Event) -> None:
        """Take in the next event; what an erased run has beside them tells of no step."""
        type_ = event.type
        self.run_id, self.seq = event.run_id, event.seq
        if self._erased or type_ == ERASED:
            self._erased = True
            return
        kind, shapes, status = _MEANINGS.get(type_) or _meaning(type_)
        if shapes:
            apply(self._state, event)  # calls lead to no activation by themselves
        if status is None:
            return
        place = self._place(event, kind) if kind in _OWN else event.address
        if not place:
            return
        step = self.steps.get(place)
        if step is None:
            step = self.steps[place] = self._begun(event, kind, status)
            step.id = place
        elif status == "running":
            step.attempts = event.data.get("attempt", step.attempts)
        _tell(step, event, status)
        if type_ == "model.responded":
            self._used(step, event)

    def _place(self, event: Event, kind: str) -> str:
        """Return the step that a fact is about; what is said of a step is one of its own."""
        address = event.address or ""
        match kind:
            case "reflection":
                return f"{address}/reflection#{event.data['reflection_number']}"
            case "plan":
                return f"{address}/plan#{len(self._state.revisions)}"
            case "feedback":
                said = f"feedback:{event.data['id']}"
                return f"{address}/{said}" if address else said
            case _:
                return address

    def _begun(self, event: Event, kind: str, status: StepStatus) -> Step:
        address = event.address or ""
        activation = address.partition("/")[0]
        within = _around(activation) if address == activation else activation
        data = event.data
        if kind in _OWN:
            within = address
        if kind == "tool" and data.get("call_id"):
            within = address.rpartition("/call:")[0] or within
        parents: tuple[str, ...] = (within,) if within else ()
        if kind == "node":
            made = self._state.activations.get(address)
            parents = made.sources if made is not None else ()
        elif kind == "model" and data.get("parents"):
            parents = tuple(data["parents"])
        elif kind == "plan":
            parents = (f"{address}/reflection#{self._state.reflections}",)
        name = _name(data, address, kind)
        type_ = _TYPES.get(event.type) or _TYPES[kind]
        return Step(address, type_, name, within, parents, status, event.seq, event.at)

    def _used(self, step: Step, event: Event) -> None:
        usage, cost = event.data.get("usage", {}), event.data.get("cost")
        for one in (step, self.steps.get(step.within)):
            if one is not None:
                one.input_tokens += usage.get("input_tokens", 0)
                one.output_tokens += usage.get("output_tokens", 0)
                one.cost += Decimal(cost["amount"]) if cost else 0

    def within(self, step: str = "") -> tuple[Step, ...]:
        """Return the steps that are a part of a step, or those that are a part of none."""
        return tuple(one for one in self.steps.values() if one.within == step)

    def data(self) -> list[dict[str, Any]]:
        """Return the steps as plain data, for JSON."""
        return [
            {
                "id": step.id,
                "type": step.type,
                "name": step.name,
                "within": step.within,
                "parents": list(step.parents),
                "status": step.status,
                "seq": step.seq,
                "ended": step.ended,
                "began_at": step.began_at,
                "seconds": step.seconds,
                "attempts": step.attempts,
                "input_tokens": step.input_tokens,
                "output_tokens": step.output_tokens,
                "cost": format(step.cost, "f"),
                "error": step.error,
            }
            for step in self.steps.values()
        ]


def _tell(step: Step, event: Event, status: StepStatus) -> None:
    if status == "failed":
        data = event.data
        step.status = "failed" if data.get("retry_at") is None else "waiting"
        step.error = f"{data['kind']}: {data.get('message', '')}" if "kind" in data else ""
    else:
        step.status = status
        if status in ("running", "waiting"):
            return
        step.error = ""
    step.ended, step.ended_at = event.seq, event.at


def _around(activation: str) -> str:
    """Return what an activation is a part of: the one whose graph it is in, or the map of an item."""
    if activation.endswith("]"):
        return str(map_of(activation))
    return scope_of(activation.rpartition("#")[0])[0]


def _name(data: Mapping[str, Any], address: str, kind: str) -> str:
    for told in ("graph", "model", "name", "memory", "failure_type"):
        if data.get(told):
            return str(data[told])
    if kind in ("plan", "feedback"):
        return str(data.get("node") or data.get("kind") or "")
    if kind == "node":
        return str(node_of(address))
    return address.rpartition("/")[2].partition(":")[0].partition("#")[0]


def trace(events: Iterable[Event]) -> Trace:
    """Return the steps of a run's events."""
    found = Trace()
    for event in events:
        found.add(event)
    return found


async def trace_of(pages: AsyncIterable[Iterable[Event]]) -> Trace:
    """Return the steps of a run's events, page by page as they come."""
    found = Trace()
    with no_collecting():
        async for page in pages:
            for event in page:
                found.add(event)
    return found
