"""Driving one run: fold, decide, perform, append, until it has ended or this driver has lost it.

A fresh run, a resumed one and a migrated one go through the same loop. There is no step that all branches wait for: when
an activation ends, what it makes ready starts in the same append.
"""

from __future__ import annotations

import asyncio
import uuid
from contextvars import Context as ContextVars
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from midstream.engine.clock import Clock
from midstream.engine.driving.attempts import Attempts
from midstream.engine.driving.mapping import Items
from midstream.engine.graphs.decide import (
    Cancel,
    Close,
    Command,
    Complete,
    Drop,
    Fail,
    Limit,
    Schedule,
    Skip,
    decide,
    open_children,
)
from midstream.engine.graphs.graph import Graph
from midstream.engine.limits import MAX_REPLANS
from midstream.engine.models.model_calls import Models
from midstream.engine.nesting.nesting import Code, Nests
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.nodes.binding import ask
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Signal, shown
from midstream.engine.recording.claims import on_own_branch
from midstream.engine.recording.parking import PARK_AFTER, Moments, Parked, Rest
from midstream.engine.recording.recorder import Recorder
from midstream.events import payloads
from midstream.events.envelope import REPLAY
from midstream.events.ids import Address, RunId, node_of
from midstream.events.payloads import (
    Fact,
    NodeFailed,
    NodeScheduled,
    NodeSkipped,
    RunCancelled,
    RunCancelRequested,
    RunCompleted,
    RunFailed,
)
from midstream.events.store import EventStore
from midstream.projections.flow import LEFT_OUT, Activation
from midstream.projections.run_state import RunState, fold_run
from midstream.projections.scopes import is_under_way

if TYPE_CHECKING:
    from midstream.engine.planning.reflection import Reflector
    from midstream.engine.recording.rehearsal import Answers

_BREATH = 64  # pure nodes that one task runs before it lets others have the loop


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
        from midstream.engine.planning.reflection import Reflector

        self.graph = graph
        self.models = models
        self._store = store
        self._clock = clock
        self._changed = Signal()
        self._subruns = subruns
        self._cancelling: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._at: dict[str, Address] = {}  # what each of these tasks is at
        self._rest = Rest(clock, after=park_after, moments=self._moments, park=self._park)
        self._ended: asyncio.Future[Parked | None] = asyncio.get_running_loop().create_future()
        self._closing = False
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
        self._code = Code(graph, lambda: self.recorder.state)
        self._nests = Nests(self.recorder, self._begin_at, self._advance)
        self._attempts = Attempts(
            self._code,
            self.recorder,
            nests=self._nests,
            end=self._end_inside,
            clock=clock,
            models=models,
            changed=self._changed,
            closing=lambda: self._closing,
            recall=self._recall,
            rest=self._rest,
            subruns=subruns,
            reflector=reflector or Reflector(Providers(), "", MAX_REPLANS),
            always_replay=always_replay,
        )

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
            self._rejoin()
            self._advance()
            for address in begun if not self._closing else ():
                if address[-1] != "]":  # an item's activation is part of its map's
                    self._begin(self.state.activations[address])
            outcome = await self._ended
            if outcome is None:
                await self.recorder.durable()
            return outcome
        finally:
            # Before anything else is waited for: nothing may begin any more.
            self._rest.stop()
            self._closing = True  # what was to begin once it is durable does not
            if self._cancelling is not None and not self._cancelling.done():
                self._cancelling.cancel()
                await asyncio.wait([self._cancelling])
            if watch is not None:
                watch.cancel()
                await asyncio.wait([watch])
            await self._stop_tasks()
            await self.recorder.settle()
            await self.recorder.let_go()

    def _watch_time(self) -> asyncio.Task[None] | None:
        """Have the run fail when its time is up, if it has a limit."""
        seconds = self.state.limits.get("seconds")
        if seconds is None or self.state.limited is not None or self.recorder.paced:
            return None
        return asyncio.create_task(self._time_out(seconds), name="midstream:limit")

    async def _time_out(self, seconds: float) -> None:
        await self._clock.sleep_until(self.state.began / 1_000_000 + seconds)
        if not self.state.over and self.state.limited is None and not self._closing:
            reached = f"the run took longer than {seconds:g} s; give it a higher Limits(seconds=…)"
            self.recorder.add(payloads.LimitReached(limit="seconds", message=reached))
            self._changed.notify()
            self._advance()

    async def _recall(self) -> None:
        """Read the outputs that a snapshot left out."""
        await self.recorder.durable()
        whole = fold_run([event async for event in self._store.read(self.recorder.run_id)])
        for address, made in self.state.activations.items():
            if made.output is LEFT_OUT and address in whole.activations:
                made.output = whole.activations[address].output

    def others_appended(self) -> None:
        """Take in what others appended: abandon calls that were migrated, wake who waits, decide again."""
        if self.recorder.error is not None:
            self._end(self.recorder.error)
            return
        self._abandon_migrated()
        self._changed.notify()
        self._advance()
        if self.state.status == "paused":
            self._rest.begun()

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
            self._next(keep=False)

    def _next(self, *, keep: bool) -> Activation | None:
        """Do what the state asks for, but where `keep`, leave one activation to the task that has just ended one.

        A chain of nodes is then one task, not one a node, and one turn of the loop shorter for each.
        """
        kept: Activation | None = None
        try:
            while not self._closing and (commands := decide(self.state)):
                for command in commands:
                    scheduled = self._perform(command)
                    if scheduled is None:
                        continue
                    if keep and kept is None:
                        kept = scheduled
                    else:
                        self._begin(scheduled)
            if self.state.idle:
                self._nests.look()
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self._end(error)
            return None
        return kept

    def _perform(self, command: Command) -> Activation | None:
        """Carry a command out, and return the activation that it scheduled and that is to be begun."""
        match command:
            case Schedule():
                return self._schedule(command)
            case Skip(_, address, reason):
                self.recorder.add(NodeSkipped(reason=reason), address)
            case Drop(address, reason):
                self._drop(address, reason)
            case Close(address, reason):
                self._close(address, reason)
            case Limit(limit, message):
                self.recorder.add(payloads.LimitReached(limit=limit, message=message))
            case Complete(output):
                self.recorder.add(RunCompleted(output=output))
                self._end(None)
            case Fail(failures):
                self.recorder.add(RunFailed(failures=failures))
                self._end(None)
            case Cancel(cause, reason):
                self._closing = True
                self._cancelling = asyncio.ensure_future(self._cancel(cause, reason))
        return None

    def _schedule(self, command: Schedule) -> Activation | None:
        node, address = command.node, command.address
        here = self.state.scopes[command.scope] if command.scope else self.state
        if not command.called and node not in here.ready:
            return None  # what was scheduled before it has made it superfluous
        if command.asks and not self._wanted(command):
            return None
        data: dict[str, Any] = {"inputs": command.inputs} if command.inputs else {}
        if command.called:
            data["called"] = command.called
        self.recorder.add_plain("node.scheduled", data, address)
        return self.state.activations[address]

    def _wanted(self, command: Schedule) -> bool:
        """Ask a node's `when`, and record what comes of a no."""
        node, address = self._code.find(command.node, command.scope), command.address
        assert node is not None
        assert node.when is not None
        try:
            values = self._code.values(command.scope)
            if ask(node.when, values, command.inputs, node.name):
                return True
        except Exception as error:  # noqa: BLE001  # a predicate is user code: its failure is the node's
            self.recorder.add(NodeScheduled(inputs=command.inputs), address)
            failed = f"when= of node {node.name!r}: {shown(error)}"
            self.recorder.add(NodeFailed(kind=type(error).__name__, message=failed), address)
            return False
        self.recorder.add(NodeSkipped(reason="its when= said no"), address)
        return False

    def _drop(self, address: Address, reason: str) -> None:
        """End an activation that nobody waits for any more; its task ends by itself, and late results are refused."""
        made = self.state.activations[address]
        if made.scope and not is_under_way(made):
            return  # it has ended with what it was in
        self._end_inside(address, reason)
        self._attempts.drop(address)
        self.recorder.add(NodeSkipped(reason=reason), address)
        self._stop_at(address)

    def _end_inside(self, address: Address, reason: str, retry_at: float | None = None) -> None:
        """End what is under way in the graph that an activation runs; where that is tried again, it is, too."""
        for inner in self._nests.inside(address) if self.state.scopes else ():
            self._attempts.drop(inner, retry_at)
            if retry_at is None:
                self.recorder.add(NodeSkipped(reason=reason), inner)
            else:
                attempt = self.state.activations[inner].attempt
                failed = NodeFailed(kind="cancelled", message=reason, attempt=attempt)
                self.recorder.add(failed, inner)
            self._stop_at(inner)

    def _stop_at(self, address: str) -> None:
        for first, at in self._at.items():
            if at == address and first in self._tasks:
                self._tasks[first].cancel()

    def _close(self, address: Address, reason: str) -> None:
        """Have a run that this one has started end."""
        self.recorder.add(payloads.SubrunClosing(reason=reason), address)
        if self._subruns is not None:
            call = self.state.calls[address]
            self._subruns.errand(self._subruns.cancel(self.recorder.run_id, call, reason))

    def _rejoin(self) -> None:
        """See that the ends of runs that this one has started before will be told."""
        if self._subruns is None:
            return
        for call in open_children(self.state):
            self._subruns.errand(self._subruns.rejoin(self.recorder.run_id, call))

    def _begin_at(self, address: str) -> None:
        if address[-1] != "]":
            self._begin(self.state.activations[address])

    async def _cancel(self, cause: int, reason: str) -> None:
        """End every task, close what is open, and say so, in one append."""
        try:
            await self._stop_tasks()
            for child in open_children(self.state):
                if "closing" not in child.request:
                    told = f"the run that started it was cancelled{f': {reason}' if reason else ''}"
                    self._close(Address(child.address), told)
            await self.recorder.durable()
            await self._changed.wait_for(lambda: not open_children(self.state))
            for address in tuple(self.state.open_calls):
                self._attempts.leaving.close(self.state.calls[address], "cancelled", reason, cause)
            self.recorder.add(RunCancelled(reason=reason), cause=cause)
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self._end(error)
        else:
            self._end(None)

    def _begin(self, activation: Activation) -> None:
        address = Address(activation.address)
        node = self._code.node(address)
        if node.pure or node.graph is not None or activation.status == "waiting":
            self._spawn(address)
            return
        context = copy_context()

        def spawn(error: BaseException | None) -> None:
            if error is not None:
                self._end(error)
            elif not self._closing:
                self._spawn(address, context, durable=True)

        # Not a task that waits until it is durable: of a thousand that begin together, each would be woken.
        self.recorder.when_durable(spawn)

    def _spawn(
        self, address: Address, context: ContextVars | None = None, *, durable: bool = False
    ) -> None:
        self._tasks[address] = asyncio.get_running_loop().create_task(
            self._task(address, durable=durable), name=f"midstream:{address}", context=context
        )

    async def _task(self, address: Address, *, durable: bool) -> None:
        try:
            await self._activate(address, durable=durable)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # nobody else awaits this: it ends the driving
            self._end(error)
            if isinstance(error, KeyboardInterrupt | SystemExit):
                raise
        finally:
            if self._tasks.get(address) is asyncio.current_task():
                del self._tasks[address]
                self._at.pop(address, None)

    def _end(self, outcome: BaseException | Parked | None) -> None:
        if self._ended.done():
            return
        self._closing = True
        if isinstance(outcome, BaseException):
            self._ended.set_exception(outcome)
        else:
            self._ended.set_result(outcome)

    def _park(self, until: float | None) -> None:
        self._end(Parked(until, self.state.seq))

    def _moments(self) -> Moments | None:
        """Return what all activations that are under way wait for, or None while one of them does something else."""
        if self.models.flights or self._cancelling is not None:
            return None
        paused = self.state.status == "paused"
        waiting = [self.state.activations[address].retry_at for address in self.state.waiting]
        found: list[float | None] = [None if paused else due for due in waiting]
        for address in self.state.running:
            moments = self._moments_of(address)
            if moments is None:
                return None
            found += moments
        seconds = self.state.limits.get("seconds")
        if seconds is not None:
            found.append(self.state.began / 1_000_000 + seconds)
        if not self.state.running and open_children(self.state):
            found.append(None)  # for the ends of runs that it has started
        return found if found or paused else None

    def _moments_of(self, address: str) -> Moments | None:
        node = self._code.node(address)
        if node.over is not None and address[-1] != "]":
            # Its items are under way by themselves; what gives them one by one is not known to wait.
            return None if node.over.items is not None else ()
        limited = node.timeout or node.total_timeout or node.idle_timeout
        if node.graph is not None:
            return None if limited else ()  # what is inside it is under way by itself
        desk = self._attempts.desks.get(address)
        # A node's own time limit runs in this process.
        return None if desk is None or limited else desk.branches.moments()

    async def _stop_tasks(self) -> None:
        current = asyncio.current_task()
        tasks = [task for task in self._tasks.values() if task is not current]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _activate(self, address: Address, *, durable: bool) -> None:
        """Run an activation, of which `durable` says whether its beginning is, and what is left to its task after it."""
        following: Address | None = address
        run = 0
        on_own_branch()
        found = copy_context()
        while following is not None:
            run += 1
            if run % _BREATH == 0:
                await asyncio.sleep(0)
            self._at[address] = following
            await self._perform_one(following, durable=durable)
            durable = False
            # What a node has left in its context is not for the next one to find.
            kept = self._next(keep=copy_context() == found)
            following = None if kept is None else Address(kept.address)

    async def _perform_one(self, address: Address, *, durable: bool) -> None:
        node = self._code.node(address)
        if node.over is None:
            await self._attempts.perform(node, address, durable=durable)
            return
        items = Items(self._attempts, self.recorder, self._code, address, self._going_on)
        await self._attempts.perform(node, address, items.run, durable=durable)

    async def _going_on(self) -> None:
        if self.state.status == "paused":
            await self._changed.wait_for(lambda: self.state.status != "paused")
