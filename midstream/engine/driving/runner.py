"""Driving one run: fold, decide, perform, append, until it has ended or this driver has lost it.

A fresh run, a resumed one and a migrated one go through the same loop. There is no step that all branches wait for: when
an activation ends, what it makes ready starts in the same append.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from midstream.engine.clock import Clock
from midstream.engine.driving.attempts import Attempts
from midstream.engine.driving.ends import Ends
from midstream.engine.driving.executing import Executor
from midstream.engine.driving.mapping import Items
from midstream.engine.driving.resting import moments
from midstream.engine.driving.workers import Workers
from midstream.engine.graphs.graph import Graph
from midstream.engine.limits import MAX_REPLANS
from midstream.engine.models.model_calls import Models
from midstream.engine.nesting.nesting import Code, Nests
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.nodes.node import Node
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Signal
from midstream.engine.recording.parking import PARK_AFTER, Moments, Parked, Rest
from midstream.engine.recording.recorder import Recorder
from midstream.events import payloads
from midstream.events.envelope import REPLAY
from midstream.events.ids import Address, RunId, node_of
from midstream.events.payloads import (
    Fact,
    RunCancelled,
    RunCancelRequested,
)
from midstream.events.store import EventStore
from midstream.projections.flow import LEFT_OUT, Activation
from midstream.projections.run_state import RunState, fold_run
from midstream.projections.scopes import is_under_way

if TYPE_CHECKING:
    from midstream.engine.planning.reflection import Reflector
    from midstream.engine.recording.rehearsal import Answers


class Runner:
    """Drives one run in this process.

    Args:
        store: Where the run is.
        run_id: The run.
        graph: Its code.
        state: The run as it stands.
        epoch: This driver's.
        clock: Tells the time.
        models: Asks models.
        always_replay: See `Engine`.
        park_after: See `Engine`.
        reflector: Says why nodes failed; None for the rules alone.
        subruns: Starts runs for it, and hears of their ends; None where there are none.
        recorder: Writes its events; None makes one that does.
        answers: Who answers in place of the world, where a what-if is tried.
    """

    def __init__(
        self,
        store: EventStore,
        run_id: RunId,
        graph: Graph,
        state: RunState,
        *,
        epoch: int,
        clock: Clock,
        models: Models,
        always_replay: bool = False,
        park_after: float = PARK_AFTER,
        reflector: Reflector | None = None,
        subruns: Subruns | None = None,
        recorder: Recorder | None = None,
        answers: Answers | None = None,
    ) -> None:
        self.graph = graph
        self.models = models
        self.clock = clock
        self.changed = Signal()
        self.subruns = subruns
        self.always_replay = always_replay
        self.closing = False
        self._store = store
        self._park_after = park_after
        self._reflector = reflector
        self._cancelling: asyncio.Task[None] | None = None
        self._nests: Nests | None = None
        self._rest: Rest | None = None
        self._ends: Ends | None = None
        self._ended: asyncio.Future[Parked | None] = asyncio.get_running_loop().create_future()
        self._ending = False
        self._driving = False
        self.recorder = recorder or Recorder(
            store,
            run_id,
            state,
            epoch=epoch,
            clock=clock.now,
            changed=self.others_appended,
            always_replay=always_replay,
        )
        if answers is not None:
            self.recorder.answers, answers.stop = answers, self._stop
            self.recorder.foreseen, self.recorder.routed = answers.foreseen, answers.routed
        self.code = Code(graph, self.recorder)
        self._attempts = Attempts(self)
        self._workers = Workers(self._perform, self.end)
        self._executor = Executor(self, self._attempts, self._workers)

    @property
    def nests(self) -> Nests:
        """See `Drive.nests`."""
        if self._nests is None:
            self._nests = Nests(self.recorder, self._begin_at, self._advance)
        return self._nests

    @property
    def rest(self) -> Rest:
        """See `Drive.rest`."""
        if self._rest is None:
            self._rest = Rest(
                self.clock, after=self._park_after, moments=self._moments, park=self._park
            )
        return self._rest

    @property
    def reflector(self) -> Reflector:
        """See `Drive.reflector`."""
        if self._reflector is None:
            from midstream.engine.planning.reflection import Reflector

            self._reflector = Reflector(Providers(), "", MAX_REPLANS)
        return self._reflector

    @property
    def state(self) -> RunState:
        """The run as it stands."""
        return self.recorder.state

    async def drive(self) -> Parked | None:
        """Drive the run until it has ended or only waits; when this returns or raises, no task of it is left.

        Returns:
            Until when it waits, or None where it has ended.

        Raises:
            StoreError: The log could not be written, or another driver took the run over.
            CancelledError: The host stops driving; the run can be resumed from its log.
        """
        self._driving = True
        watch = self._watch_time()
        try:
            begun = (*self.state.running, *self.state.waiting)
            if self.state.open_calls:
                self._executor.children.rejoin()
            self._advance()
            for address in begun if not self.closing else ():
                self._begin_at(address)  # an item's activation is part of its map's
            return await self._ended
        finally:
            # Before anything else is waited for: nothing may begin any more.
            if self._rest is not None:
                self._rest.stop()
            self.closing = True  # what was to begin once it is durable does not
            if self._cancelling is not None and not self._cancelling.done():
                self._cancelling.cancel()
                await asyncio.wait([self._cancelling])
            if watch is not None:
                watch.cancel()
                await asyncio.wait([watch])
            await self._workers.stop()
            if self._ends is not None:
                self._ends.record()
            await self.recorder.settle()
            await self.recorder.let_go()

    def _watch_time(self) -> asyncio.Task[None] | None:
        """Have the run fail when its time is up, if it has a limit."""
        seconds = self.state.limits.get("seconds")
        if seconds is None or self.state.limited is not None or self.recorder.paced:
            return None
        return asyncio.create_task(self._time_out(seconds), name="midstream:limit")

    async def _time_out(self, seconds: float) -> None:
        await self.clock.sleep_until(self.state.began / 1_000_000 + seconds)
        if not self.state.over and self.state.limited is None and not self.closing:
            reached = f"the run took longer than {seconds:g} s; give it a higher Limits(seconds=…)"
            self.recorder.add(payloads.LimitReached(limit="seconds", message=reached))
            self.changed.notify()
            self._advance()

    async def recall(self) -> None:
        """See `Drive.recall`."""
        await self.recorder.durable()
        whole = fold_run([event async for event in self._store.read(self.recorder.run_id)])
        for address, made in self.state.activations.items():
            if made.output is LEFT_OUT and address in whole.activations:
                made.output = whole.activations[address].output

    def others_appended(self) -> None:
        """Take in what others appended: abandon calls that were migrated, wake who waits, decide again."""
        if self.recorder.error is not None:
            self.end(self.recorder.error)
            return
        self._abandon_migrated()
        self.changed.notify()
        self._advance()
        if self.state.status == "paused":
            self.rest.begun()

    def record(self, payload: Fact, address: str | None = None, *, actor: str) -> None:
        """Record what somebody wants of this run, in line with what the driver records."""
        self.recorder.add(payload, address, actor=actor)
        self.others_appended()

    def _stop(self, reason: str) -> None:
        """End a try that cannot go on."""
        self.record(RunCancelRequested(id=uuid.uuid4().hex, reason=reason), actor=REPLAY)

    def _abandon_migrated(self) -> None:
        for flight in self.models.flights.values():
            node = node_of(flight.address)
            switches = self.state.switches_for(flight.asked, node, flight.thread)
            if not any(switch.now and switch.seq > flight.since for switch in switches):
                continue
            if switches[-1].target != flight.model and not flight.abandoned:
                flight.abandoned = True
                flight.task.cancel()

    def _advance(self) -> None:
        """Do what the state asks for; called whenever it has changed."""
        if self._driving:  # before that, somebody may record a wish, but nothing begins
            self._executor.advance()

    def _begin_at(self, address: str) -> None:
        if address[-1] != "]":
            self._executor.begin((self.state.activations[address],))

    def end_inside(self, address: Address, reason: str, retry_at: float | None) -> None:
        """See `Drive.end_inside`."""
        self._executor.end_inside(address, reason, retry_at)

    def cancel(self, cause: int, reason: str) -> None:
        """See `Drive.cancel`."""
        self.closing = True
        self._cancelling = asyncio.ensure_future(self._cancelled(cause, reason))

    async def _cancelled(self, cause: int, reason: str) -> None:
        """End every task, close what is open, and say so, in one append."""
        try:
            await self._workers.stop()
            if self._ends is not None:
                self._ends.record()
            self._executor.children.cancel_all(reason)
            await self.recorder.durable()
            await self.changed.wait_for(self._executor.children.ended)
            for address in tuple(self.state.open_calls):
                self._attempts.leaving.close(self.state.calls[address], "cancelled", reason, cause)
            self.recorder.add(RunCancelled(reason=reason), cause=cause)
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self.end(error)
        else:
            self.end(None)

    async def _perform(self, address: Address, durable: bool) -> None:  # called by `Workers`
        """Perform an activation, and do what its end asks for."""
        state = self.recorder.state
        made = state.activations[address]
        if not is_under_way(made):
            return  # given up before it was begun, and the graph that it is in may be gone
        node = self.code.node(address)
        if node.over is not None:
            items = Items(
                self._attempts, self.recorder, self.code, address, self._going_on, self.end
            )
            begins = durable or not node.acts
            await self._attempts.perform(node, address, items.run, durable=begins)
        elif self._is_plain_call(node, made, durable):
            await self._attempts.call(node, made, self._ends_of_many())
            status = self.recorder.state.activations[address].status
            if status == "running":
                return  # its end is recorded with others
            if status == "waiting":
                await self._attempts.perform(node, address)  # it has another attempt
        else:
            await self._attempts.perform(node, address, durable=durable)
        self._executor.advance()

    def _is_plain_call(self, node: Node, made: Activation, durable: bool) -> bool:
        """Say whether an activation may begin at once, for the first time, and is but a call of its function."""
        begins = made.status == "running" and made.attempt == 1
        return begins and node.bare and (durable or node.pure) and not self.state.revisions

    def _ends_of_many(self) -> Ends | None:
        """Return what takes the ends of activations, once there were many at a time."""
        if self._ends is None and self._workers.has_more() and not self.recorder.paced:
            self._ends = Ends(self._complete_each, self.end, self._workers.has_more)
        return self._ends

    def _complete_each(self, ended: Sequence[tuple[Address, Any]]) -> None:
        self._attempts.completed_each(ended)
        self._executor.advance()

    async def _going_on(self) -> None:
        await self.changed.wait_for(lambda: self.state.status != "paused")

    def end(self, outcome: BaseException | Parked | None) -> None:
        """See `Drive.end`."""
        if self._ending:
            return
        self._ending = self.closing = True
        if outcome is None:
            # Not a task that waits until it is durable: whoever drives is woken once.
            self.recorder.flush()
            self.recorder.when_durable(self._settle)
        else:
            self._settle(outcome)

    def _settle(self, outcome: BaseException | Parked | None) -> None:
        if self._ended.done():
            return  # the driving was cancelled
        if isinstance(outcome, BaseException):
            self._ended.set_exception(outcome)
        else:
            self._ended.set_result(outcome)

    def _park(self, until: float | None) -> None:
        self.end(Parked(until, self.state.seq))

    def _moments(self) -> Moments | None:
        """Return what all activations that are under way wait for, or None while something is going on."""
        if self._cancelling is not None:
            return None
        return moments(self.state, self.code, self._attempts, self.models)
