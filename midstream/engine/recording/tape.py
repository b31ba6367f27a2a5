"""A recorder that writes nothing: it plays the log back, and compares what the code records with what is there.

The code may act when it is its turn in the log, and is answered when the answer's turn has come. So it sees at each step
what it saw then, whatever finishes first today.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from midstream.engine.recording.compared import (
    OUTCOMES,
    as_heard,
    changed,
    foreign,
    foreseen,
    taken_back,
)
from midstream.engine.recording.mismatch import Diverged, EndOfTape, Mismatch, place_of_code
from midstream.engine.recording.recorder import Recorder
from midstream.errors import StoreError
from midstream.events.codec import encode, encode_plain
from midstream.events.envelope import ENGINE, Draft, Event
from midstream.events.ids import Address, RunId, activation_of
from midstream.events.payloads import Fact
from midstream.projections.difference import Difference
from midstream.projections.run_state import RunState, apply

_TURNS = 50
"""Turns of the event loop without anything to do that make it worth asking whether the code waits for something else."""

_GRACE = 0.1
"""Seconds after which code that waits for its turn is taken to wait for nothing else."""


@dataclass(slots=True, eq=False)
class _Turn:
    address: str
    closing: bool
    granted: asyncio.Future[None]
    task: asyncio.Task[Any] | None


class Tape(Recorder):
    """Plays the events of one driver back.

    Args:
        run_id: The run.
        state: The run as it stood before them; changed.
        events: Of one driver and of others meanwhile, in order.
        strict: See `changed`.
        patience: Seconds to wait for code that does something of its own, such as a thread.
        viewed: Says of a model whether views for it can be compared.
    """

    paced = True

    def __init__(
        self,
        run_id: RunId,
        state: RunState,
        events: Sequence[Event],
        *,
        strict: bool,
        patience: float,
        viewed: Callable[[str], bool],
    ) -> None:
        self.state = state
        self.run_id = run_id
        self.epoch = state.epoch
        self.error: BaseException | None = None
        self.changed: Callable[[], None] = lambda: None
        """Called after events of others were folded."""
        self.mismatch: Mismatch | None = None
        self.compared = 0
        """How many events of the driver were compared and found equal."""
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when there is no more to play, or the code has diverged."""
        self.now = events[0].at / 1e6 if events else 0.0
        self._events = as_heard(events)
        self.foreseen = foreseen(self._events)
        recorded = (one for one in self._events if one.type == "value.recorded")
        self.marks = frozenset(one.address for one in recorded if one.address is not None)
        self._routes: dict[str, Mapping[str, Any]] = {}
        self.routed = self._routes
        self._strict = strict
        self._patience = patience
        self._viewed = viewed
        self._turns: list[_Turn] = []
        self._waits: dict[str, list[asyncio.Future[None]]] = {}
        self._deadlines: dict[str, asyncio.Timeout] = {}
        self._granted: asyncio.Task[Any] | None = None
        self._released: str | None = None
        self._quiet = 0
        self._kicked = False
        self._timer: asyncio.TimerHandle | None = None

    # What a recorder does

    def add(
        self,
        payload: Fact,
        address: Address | str | None = None,
        *,
        cause: int | None = None,
        actor: str = ENGINE,
    ) -> None:
        """Compare a fact with the log, and fold what the log says; see `Recorder.add`."""
        step = None if address is None else Address(address)
        self._compare(encode(payload, at=int(self.now * 1e6), actor=actor, address=step))

    def add_plain(
        self, type_: str, data: dict[str, Any], address: Address | None, *, held: bool = False
    ) -> None:
        """See `Recorder.add_plain`."""
        self._compare(encode_plain(type_, data, at=int(self.now * 1e6), address=address))

    def add_each(self, type_: str, facts: Iterable[tuple[Address, dict[str, Any]]]) -> None:
        """See `Recorder.add_each`."""
        for address, data in facts:
            self.add_plain(type_, data, address)

    def when_durable(self, act: Callable[[BaseException | None], None]) -> None:
        """See `Recorder.when_durable`."""
        act(self.error)

    def _compare(self, draft: Draft) -> None:
        if self.error is not None:
            raise self.error
        self._granted = None
        self._play_foreign()
        event = self._matching(draft)
        if event is None:
            raise self._end(EndOfTape("the log ends here"))
        unsent = taken_back(event, self._events)
        asks = event.type == "model.requested"
        viewed = not asks or self._viewed(str(event.data["model"]))
        found = changed(event, draft, strict=self._strict, unsent=unsent, viewed=viewed)
        if found:
            raise self._diverge(event, draft, found)
        self.compared += 1
        self._play(event)
        self._kick()

    def flush(self) -> None:
        """See `Recorder.flush`."""

    def send(self) -> None:
        """See `Recorder.send`."""

    def send_soon(self) -> None:
        """See `Recorder.send_soon`."""

    async def durable(self) -> None:
        """See `Recorder.durable`."""
        if self.error is not None:
            raise self.error

    def noticed(self, seq: int) -> None:
        """See `Recorder.noticed`."""

    async def rest(self) -> None:
        """Play what others said after the end, and see whether the driver should have done more."""
        if self.error is None:
            self._play_foreign()
            if self._events:
                self._diverge(self._events[0], None, ())
            else:
                self._end(None)

    async def settle(self) -> None:
        """See `Recorder.settle`."""

    async def let_go(self) -> None:
        """See `Recorder.let_go`."""

    async def turn(self, address: str, *, closing: bool = False) -> None:
        """Wait until it is the turn of this step in the log; see `Recorder.turn`."""
        if self.error is not None:
            raise self.error
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        made = _Turn(address, closing, waiter, asyncio.current_task())
        self._turns.append(made)
        self._gives_up()
        self._kick()
        try:
            await made.granted
        finally:
            if made in self._turns:
                self._turns.remove(made)

    async def outcome(self, address: str) -> bool:
        """Wait until the log has the next outcome of a call; see `Recorder.outcome`."""
        if self.error is not None:
            raise self.error
        wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waits.setdefault(address, []).append(wait)
        self._gives_up()
        self._kick()
        try:
            await wait
        finally:
            self._waits[address].remove(wait)
        return True

    def deadline(self, address: str, seconds: float | None) -> asyncio.Timeout:
        """Return a deadline that passes where the log says that it did; see `Recorder.deadline`."""
        made = self._deadlines[address] = asyncio.timeout(None)
        return made

    # Playing

    def _gives_up(self) -> None:
        """Take the turn from a task that waits for something else before it used it."""
        if self._granted is not None and self._granted is asyncio.current_task():
            self._granted = None

    def _kick(self) -> None:
        self._quiet = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._soon()

    def _soon(self) -> None:
        if not self._kicked:
            self._kicked = True
            asyncio.get_running_loop().call_soon(self._pump)

    def _pump(self) -> None:
        """Let happen what the log says happened next."""
        self._kicked = False
        if self.error is not None:
            return
        if self._play_foreign():
            self.changed()
            self._soon()
            return
        if not self._events:
            self._end(None)
        elif self._granted is None and (
            self._answer(self._events[0]) or self._grant(self._events[0])
        ):
            self._quiet = 0
            self._soon()
        else:
            self._wait_on(self._events[0])

    def _play_foreign(self) -> bool:
        played = False
        while self._events and not self._waited_for(event := self._events[0]):
            if not foreign(event) and not self._too_late(event):
                break
            self._play(event)
            played = True
        return played

    def _too_late(self, event: Event) -> bool:
        """Say whether an outcome came when the call had one already, as where a person answers at the last moment."""
        call = self.state.calls.get(event.address or "")
        return (
            event.type in OUTCOMES
            and call is not None
            and call.status in ("completed", "failed", "aborted")
        )

    def _waited_for(self, event: Event) -> bool:
        return event.type in OUTCOMES and bool(self._waits.get(event.address or ""))

    def _play(self, event: Event) -> None:
        self._events.remove(event)
        self.now = event.at / 1e6
        if event.type == "route.decided":
            self._routes[event.address or ""] = event.data
        apply(self.state, event)

    def _answer(self, event: Event) -> bool:
        """Give an outcome to whoever waits for it."""
        if not self._waited_for(event):
            return False
        self._play(event)
        for wait in self._waits[event.address or ""]:
            if not wait.done():
                wait.set_result(None)
        if foreign(event):
            self.changed()
        return True

    def _grant(self, event: Event) -> bool:
        """Let whoever waits for this turn have it."""
        for made in self._turns:
            if not made.granted.done() and _fits(made, event):
                self._granted = made.task
                made.granted.set_result(None)
                return True
        return False

    def _wait_on(self, event: Event) -> None:
        """Wait for code that still does something; if none does, it does not do what the log says."""
        self._quiet += 1
        if self._quiet < _TURNS:
            self._soon()
        elif self._timer is None:
            seconds = self._patience if self._busy() else _GRACE
            self._timer = asyncio.get_running_loop().call_later(seconds, self._stuck, event)

    def _busy(self) -> bool:
        """Say whether an activation waits for nothing that the log could give."""
        known = {activation_of(made.address) for made in self._turns}
        known |= {activation_of(address) for address, waits in self._waits.items() if waits}
        return any(address not in known for address in self.state.running)

    def _stuck(self, event: Event) -> None:
        """Nobody does what the log says: let a deadline pass, or have the code say what it does instead."""
        self._timer = None
        if self.error is not None or not self._events or self._events[0] is not event:
            return
        self._granted = None
        passed = self._deadlines.pop(event.address or "", None)
        if passed is not None and event.data.get("kind") == "timeout":
            passed.reschedule(asyncio.get_running_loop().time())
            self._kick()
            return
        culprit = self._culprit(event)
        if culprit is None and self._in_tool(event):
            self._play(event)
            self._kick()
            return
        if culprit is None or self._released == culprit.address:
            self._diverge(event, None, ())
            return
        self._released = culprit.address
        self._granted = culprit.task
        culprit.granted.set_result(None)
        self._kick()

    def _in_tool(self, event: Event) -> bool:
        """Say whether an event can be what a tool did with its context: tools are not called, their effects are in the log."""
        here = activation_of(event.address or "")
        return event.type not in ("node.completed", "node.failed") and any(
            waits and activation_of(address) == here and self.state.calls[address].kind == "tool"
            for address, waits in self._waits.items()
        )

    def _culprit(self, event: Event) -> _Turn | None:
        """Return who acts in place of what the log says: of the same activation, and better something unheard of."""
        there = {one.address for one in self._events}
        here = activation_of(event.address or "")
        waiting = [made for made in self._turns if not made.granted.done()]
        near = [made for made in waiting if activation_of(made.address) == here]
        unheard = [made for made in near or waiting if made.address not in there]
        return next(iter((*unheard, *near)), None)

    # Comparing

    def _matching(self, draft: Draft) -> Event | None:
        """Return what the log says of this: the next event, or, of parallel branches, a later one of the same step."""
        if not self._events:
            return None
        first = self._events[0]
        if (first.type, first.address) == (draft.type, draft.address) or self._released:
            return first
        same = (
            event
            for event in self._events
            if (event.type, event.address) == (draft.type, draft.address) and not foreign(event)
        )
        return next(same, first)

    def _diverge(
        self, event: Event, draft: Draft | None, found: tuple[Difference, ...]
    ) -> Diverged:
        file, line = place_of_code() if draft is not None else ("", 0)
        self.mismatch = Mismatch(event, draft, found, file, line)
        error = Diverged(f"event {event.seq} is not what the code does today")
        self._end(error)
        return error

    def _end(self, error: StoreError | None) -> StoreError:
        ended = error or EndOfTape("the log ends here")
        self.error = ended
        if self._timer is not None:
            self._timer.cancel()
        if not self.finished.done():
            self.finished.set_result(None)
        return ended


def _fits(made: _Turn, event: Event) -> bool:
    if made.closing:
        return activation_of(event.address or "") == made.address
    address = event.address or ""
    return address == made.address or address.startswith(f"{made.address}/")
