"""Answering a fork from its parent's log: which of its steps happen, which are answered, and where a try stops.

A step is answered from the log if it is asked what it was asked then. What was told before it counts: an answer that has
become another one makes the calls after it in the same conversation others, too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NoReturn, Protocol

from midstream.engine.recording.compared import foreseen
from midstream.events.codec import encode
from midstream.events.envelope import ENGINE, REPLAY, Event
from midstream.events.fork_facts import Rehearsal
from midstream.events.ids import Address, RunId, activation_of, node_of
from midstream.events.payloads import PAYLOADS, Fact, ModelRequested
from midstream.events.store import EventStore
from midstream.projections.conversation import tool_address
from midstream.projections.run_state import Call, RunState, apply

TOOL = "tool:"
"""How a tool is named in place of a step."""

_WISHES = frozenset(("model.switched", "message.added"))
"""What others wanted of the run, and is done again where it was done."""

_OUTCOMES: Mapping[tuple[str, str], str] = {
    ("model", "completed"): "model.responded",
    ("model", "failed"): "model.failed",
    ("tool", "completed"): "tool.completed",
    ("tool", "failed"): "tool.failed",
    ("question", "completed"): "question.answered",
    ("question", "failed"): "question.expired",
    ("timer", "completed"): "timer.fired",
    ("subrun", "completed"): "subrun.completed",
    ("subrun", "failed"): "subrun.failed",
    ("memory", "completed"): "memory.read",
    ("value", "completed"): "value.recorded",
}
"""The fact that says how a call ended, by its kind and status."""

_CONTINUES = frozenset(("attempt", "view", "changes", "cause"))


def is_live(step: str, live: Sequence[str]) -> bool:
    """Say whether a step is one of those named, belongs to one, or is a turn or tool call of one."""
    return any(
        name in (node_of(step), activation_of(step), step) or step.startswith(f"{name}/")
        for name in live
        if not name.startswith(TOOL)
    )


class Writer(Protocol):
    """What a `Recorder` does, as far as it is needed here."""

    @property
    def state(self) -> RunState:
        """The run as it stands."""
        ...

    def add(
        self, payload: Fact, address: Address | str | None = None, *, actor: str = ENGINE
    ) -> None:
        """Record a fact."""
        ...


@dataclass(frozen=True, slots=True)
class Told:
    """What the log of a parent says from where a fork leaves it.

    Attributes:
        state: The parent as it stood in the end.
        events: What happened after the fork left it, in order.
    """

    state: RunState
    events: Sequence[Event]


async def read_parent(store: EventStore, forked: Mapping[str, Any]) -> Told:
    """Return what the parent of a fork says, by the data of its `run.forked`."""
    plan = Rehearsal.model_validate(forked["rehearsal"])
    state, tail = RunState(), list[Event]()
    async for event in store.read(RunId(forked["parent"]), to=plan.upto):
        apply(state, event)
        if event.seq > forked["seq"]:
            tail.append(event)
    return Told(state, tail)


class Answers:
    """Answers the calls of a fork; held by its `Recorder`.

    Args:
        plan: What is to happen.
        told: What the parent's log says.
        own: What has been recorded of the fork itself, by an earlier driver.
        viewed: Says of a model whether views for it can be compared.
    """

    def __init__(
        self, plan: Rehearsal, told: Told, own: Sequence[Event], viewed: Callable[[str], bool]
    ) -> None:
        self.plan = plan
        self.foreseen = foreseen(told.events)
        self.routed = {
            event.address or "": event.data
            for event in told.events
            if event.type == "route.decided"
        }
        self.stop: Callable[[str], None] = lambda reason: None
        """Ends the try; set by whoever drives it."""
        self._calls = told.state.calls
        self._wishes = [
            event for event in told.events if event.type in _WISHES and event.actor != ENGINE
        ]
        self._viewed = viewed
        self._other = {
            event.address or ""
            for event in own
            if event.type in _OUTCOMES.values() and event.actor != REPLAY
        }
        wished = sum(event.type in _WISHES for event in own)
        del self._wishes[:wished]

    # What the log knows

    def known(self, address: str) -> bool:
        """Say whether the log has an answer for a call that does not happen, as far as has been seen."""
        return address not in self._other and self._recorded(address) is not None

    def _recorded(self, address: str) -> Call | None:
        found = self._calls.get(address)
        if found is None or self._happens(found):
            return None
        return found if (found.kind, found.status) in _OUTCOMES else None

    def _happens(self, call: Call) -> bool:
        """Say whether a call of the parent was chosen to happen; what only reads does with the step that it belongs to."""
        if call.kind == "model":
            return is_live(call.address, self.plan.live)
        if call.kind != "tool":
            return False  # clocks, chance, people and memories say what they said
        if self._named(call.request.get("name", ""), call.address):
            return True
        only_reads = call.request.get("effect", "unsafe") == "read"
        return only_reads and is_live(call.address, self.plan.live)

    def _named(self, tool: str, address: str) -> bool:
        return f"{TOOL}{tool}" in self.plan.live or address in self.plan.live

    def same(self, state: RunState, address: str, asked: ModelRequested) -> bool:
        """Say whether a model is asked what it was asked then; if it is not, the call is none that the log knows."""
        found = self._recorded(address)
        if found is not None and self._alike(state, found, asked):
            return True
        self._other.add(address)
        return False

    def _alike(self, state: RunState, found: Call, asked: ModelRequested) -> bool:
        if found.request["model"] != asked.model:
            return False
        if self._viewed(asked.model):
            return bool(found.request.get("view", "") == asked.view)
        said = encode(asked, at=0).data
        before = {name: found.request.get(name) for name in found.request.keys() - _CONTINUES}
        now = {name: said.get(name) for name in said.keys() - _CONTINUES}
        return before == now and all(self._as_then(state, one) for one in asked.parents)

    def _as_then(self, state: RunState, address: str) -> bool:
        """Say whether what a call continues, with the results of its tools, is what it was then."""
        parts: Sequence[Mapping[str, Any]]
        parts = (state.calls[address].outcome or {}).get("message", {}).get("parts", ())
        wanted = [part for part in parts if part["type"] == "tool_call"]
        tools = [tool_address(address, place) for place in range(len(wanted))]
        return all(
            one in self._calls and state.calls[one].outcome == self._calls[one].outcome
            for one in (address, *tools)
            if one in state.calls
        )

    # What is done in a try

    def wish(self, recorder: Writer, address: str) -> None:
        """Record what others had wanted of the parent before it came to this step."""
        found = self._calls.get(address)
        if found is None:
            return
        while self._wishes and self._wishes[0].seq < found.first_seq:
            self._again(recorder, self._wishes.pop(0))

    def say(self, recorder: Writer) -> bool:
        """Record the next message that somebody added to the parent, and what was wanted before it, if there is one."""
        place = next(
            (n for n, event in enumerate(self._wishes) if event.type == "message.added"), None
        )
        for event in self._wishes[: 0 if place is None else place + 1]:
            self._again(recorder, event)
        del self._wishes[: 0 if place is None else place + 1]
        return place is not None

    def _again(self, recorder: Writer, event: Event) -> None:
        recorder.add(event.payload, event.address, actor=event.actor)

    def give(self, recorder: Writer, address: str) -> bool:
        """Record what the log says came of a call, if it does not happen and the log knows; say whether it was."""
        found = self._recorded(address)
        if found is None or address in self._other:
            return False
        data = dict(found.outcome or {})
        if found.status == "failed":
            data.pop("retry_at", None)  # what it was in the end
        fact = PAYLOADS[_OUTCOMES[found.kind, found.status]].model_validate(data)
        recorder.add(fact, address, actor=REPLAY)
        return True

    def give_tool(self, recorder: Writer, address: str, asked: Mapping[str, Any]) -> bool:
        """Record what the log says came of a tool call, if it is called with what it was called with then."""
        found = self._recorded(address)
        if found is not None:
            then = found.request.get("name"), found.request.get("arguments", {})
            if then != (asked.get("name"), asked.get("arguments", {})):
                self._other.add(address)
        return self.give(recorder, address)

    # What may happen

    async def permit_model(self, recorder: Writer, address: str) -> None:
        """Return if a model may be asked; else the try stops, and this does not return."""
        if self.plan.limit and self._cost(recorder) >= Decimal(self.plan.limit):
            await self.halt(f"{address}: its limit of ${self.plan.limit} is spent")
        model = recorder.state.calls[address].request["model"]
        if not self._viewed(model):
            await self.halt(f"{address}: nobody answers for {model!r} here")
        if self.plan.changed == "stop" and not is_live(address, self.plan.live):
            await self.halt(f"{address} is not asked what it was asked then")

    async def permit_tool(self, name: str, effect: str, address: str) -> None:
        """Return if a tool may be called; else the try stops, and this does not return."""
        if self._named(name, address):
            return
        if effect != "read":
            await self.halt(
                f"{address} would call {name!r}, whose effect is {effect!r}; name it to have it called: live='{TOOL}{name}'"
            )
        if self.plan.changed == "stop" and not is_live(address, self.plan.live):
            await self.halt(f"{address} is not called with what it was called with then")

    async def halt(self, reason: str) -> NoReturn:
        """End the try; does not return, but is cancelled."""
        self.stop(reason)
        await asyncio.get_running_loop().create_future()
        raise AssertionError  # nobody sets what was waited for

    def _cost(self, recorder: Writer) -> Decimal:
        """Return what the calls that happened in this try have cost so far."""
        calls = recorder.state.calls.values()
        own = [one for one in calls if one.seq > recorder.state.forked_at and one.kind == "model"]
        costs = [(one.outcome or {}).get("cost") for one in own if not self.known(one.address)]
        return sum((Decimal(cost["amount"]) for cost in costs if cost), Decimal(0))
