"""Driving one run: fold, decide, perform, append, until it has ended or this driver has lost it.

A fresh run, a resumed one and a migrated one go through the same loop. There is no step that all branches wait for: when
an activation ends, what it makes ready starts in the same append.
"""

from __future__ import annotations

import asyncio
import inspect
import traceback
from contextvars import Context as ContextVars
from contextvars import copy_context
from typing import Any

from midstream.engine.binding import bind
from midstream.engine.calls import Desk, Restart, Signal, shown
from midstream.engine.claims import on_own_branch
from midstream.engine.clock import Clock
from midstream.engine.context import Context
from midstream.engine.decide import Cancel, Command, Complete, Fail, Schedule, decide
from midstream.engine.graph import Graph, Node
from midstream.engine.model_calls import Models
from midstream.engine.parking import PARK_AFTER, Moments, Parked, Rest
from midstream.engine.recorder import Recorder
from midstream.errors import AdapterError, NodeError, NotRecordableError, StoreError, ToolError
from midstream.events.ids import Address, RunId, node_of
from midstream.events.payloads import (
    Fact,
    ModelAborted,
    NodeFailed,
    NodeStarted,
    RunCancelled,
    RunCompleted,
    RunFailed,
    TimerCancelled,
    ToolFailed,
    ToolUnknown,
)
from midstream.events.people_facts import QuestionWithdrawn
from midstream.events.store import EventStore
from midstream.events.values import plain
from midstream.projections.run_state import Activation, Call, RunState

_FRAMES = 5
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
    ) -> None:
        self.graph = graph
        self.models = models
        self._clock = clock
        self._always_replay = always_replay
        self._changed = Signal()
        self._cancelling: asyncio.Task[None] | None = None
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._desks: dict[str, Desk] = {}
        self._rest = Rest(clock, after=park_after, moments=self._moments, park=self._end)
        self._ended: asyncio.Future[Parked | None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._driving = False
        self.recorder = Recorder(
            store,
            run_id,
            state,
            epoch=epoch,
            clock=clock.now,
            changed=self.others_appended,
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
        try:
            begun = (*self.state.running, *self.state.waiting)
            self._advance()
            for address in begun if not self._closing else ():
                self._begin(self.state.activations[address])
            outcome = await self._ended
            if outcome is None:
                await self.recorder.durable()
            return outcome
        finally:
            # Before anything else is waited for: nothing may begin any more.
            self._rest.stop()
            self._closing = True  # what was to begin once it is durable does not
            await self._stop_tasks()
            await self.recorder.settle()
            await self.recorder.let_go()

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
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self._end(error)
            return None
        return kept

    def _perform(self, command: Command) -> Activation | None:
        """Carry a command out, and return the activation that it scheduled and that is to be begun."""
        match command:
            case Schedule(_, address, inputs):
                self.recorder.add_plain(
                    "node.scheduled", {"inputs": inputs} if inputs else {}, address
                )
                return self.state.activations[address]
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

    async def _cancel(self, cause: int, reason: str) -> None:
        """End every task, close what is open, and say so, in one append."""
        try:
            await self._stop_tasks()
            for address in tuple(self.state.open_calls):
                self._close(self.state.calls[address], "cancelled", reason, cause)
            self.recorder.add(RunCancelled(reason=reason), cause=cause)
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self._end(error)
        else:
            self._end(None)

    def _close(self, call: Call, kind: str, reason: str, cause: int | None = None) -> None:
        """Record the end of a call that will get no other one, so that every provider accepts the conversation."""
        match call.kind:
            case "model":
                self.recorder.add(ModelAborted(reason=kind), call.address, cause=cause)
            case "tool":
                message = f"{kind}: {reason}" if reason else kind
                if _doubtful(call):
                    message += "; it may have had its effect"
                self.recorder.add(ToolFailed(kind=kind, message=message), call.address, cause=cause)
            case "question":
                self.recorder.add(QuestionWithdrawn(reason=kind), call.address, cause=cause)
            case _:
                self.recorder.add(TimerCancelled(reason=kind), call.address, cause=cause)

    def _begin(self, activation: Activation) -> None:
        address = Address(activation.address)
        if self.graph.nodes[activation.node].pure or activation.status == "waiting":
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

    def _end(self, outcome: BaseException | Parked | None) -> None:
        if self._ended.done():
            return
        self._closing = True
        if isinstance(outcome, BaseException):
            self._ended.set_exception(outcome)
        else:
            self._ended.set_result(outcome)

    def _moments(self) -> Moments | None:
        """Return what all activations that are under way wait for, or None while one of them does something else."""
        if self.models.flights or self._cancelling is not None:
            return None
        paused = self.state.status == "paused"
        waiting = [self.state.activations[address].retry_at for address in self.state.waiting]
        found: list[float | None] = [None if paused else due for due in waiting]
        for address in self.state.running:
            desk = self._desks.get(address)
            node = self.graph.nodes[self.state.activations[address].node]
            # A node's own time limit runs in this process.
            moments = None if desk is None or node.timeout else desk.branches.moments()
            if moments is None:
                return None
            found += moments
        return found if found or paused else None

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
            node = self.graph.nodes[self.state.activations[following].node]
            await self._attempts(node, following, durable=durable)
            durable = False
            # What a node has left in its context is not for the next one to find.
            kept = self._next(keep=copy_context() == found)
            following = None if kept is None else Address(kept.address)

    async def _attempts(self, node: Node, address: Address, *, durable: bool) -> None:
        """Run an activation's attempts until it has ended."""
        while True:
            activation = self.state.activations[address]
            if activation.status == "waiting":
                self._rest.begun()
                await self._clock.sleep_until(activation.retry_at or 0.0)
                await self._changed.wait_for(lambda: self.state.status != "paused")
                self.recorder.add(NodeStarted(attempt=activation.attempt + 1), address)
            if not node.pure and not durable:
                await self.recorder.durable()
            durable = False
            try:
                await self._attempt(node, address)
            except Restart:
                continue
            except BaseExceptionGroup as group:
                if group.subgroup(Restart) is None:
                    raise
                continue
            if self.state.activations[address].status != "waiting":
                return

    async def _attempt(self, node: Node, address: Address) -> None:
        attempt = self.state.activations[address].attempt
        try:
            output = await self._call(node, address, attempt)
            data = {} if output is None else {"output": output}
            self.recorder.add_plain("node.completed", data, address)
            if self.models.policing is not None:
                self.models.policing.after_node(self.recorder, address)
        except StoreError:
            raise
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if self._closing or (current is not None and current.cancelling()):
                raise
            # Nobody cancelled this task: the node awaited something that somebody else had cancelled.
            self._failed(node, address, attempt, "cancelled", shown(error), error)
        except TimeoutError as error:
            limit = f"took longer than {node.timeout} s" if node.timeout else shown(error)
            self._failed(node, address, attempt, "timeout", limit, error)
        except ExceptionGroup as group:
            if group.subgroup(StoreError) is not None:
                raise
            first = _first(group)
            self._failed(node, address, attempt, _kind(first), shown(first), first)
        except Exception as error:  # noqa: BLE001  # a node is user code: whatever it raises is its outcome
            self._failed(node, address, attempt, _kind(error), shown(error), error)

    async def _call(self, node: Node, address: Address, attempt: int) -> Any:
        activation = self.state.activations[address]
        if not node.wants_context:
            output = await self._invoke(node, bind(node, self.state, activation, None))
            return plain(output, f"output of node {node.name!r}")
        desk = Desk(
            self.recorder,
            address,
            self._clock,
            self._changed,
            always_replay=self._always_replay,
            rest=self._rest,
        )
        context = Context(desk, self.models, attempt=attempt, model=node.model)
        arguments = bind(node, self.state, activation, context)
        desk.claims.begin()
        self._desks[address] = desk
        strays = False
        try:
            output = await self._invoke(node, arguments)
        except Exception:
            if desk.torn:
                raise Restart from None
            raise
        finally:
            del self._desks[address]
            strays = await desk.claims.end()
        if desk.torn:
            raise Restart
        if strays:
            self._leave_all(address, None)
        return plain(output, f"output of node {node.name!r}")

    async def _invoke(self, node: Node, arguments: dict[str, Any]) -> Any:
        if node.timeout is None:
            return await self._result(node, arguments)
        async with asyncio.timeout(node.timeout):
            return await self._result(node, arguments)

    async def _result(self, node: Node, arguments: dict[str, Any]) -> Any:
        if not node.is_async and not node.pure:
            return await asyncio.to_thread(node.function, **arguments)
        made = node.function(**arguments)
        return await made if inspect.isawaitable(made) else made

    def _failed(
        self,
        node: Node,
        address: Address,
        attempt: int,
        kind: str,
        message: str,
        error: BaseException,
    ) -> None:
        """Close what the attempt left open, and record its failure."""
        retry_at = node.retry.due(
            kind, attempt, now=self._clock.now(), seed=f"{self.recorder.run_id}/{address}"
        )
        self._leave_all(address, retry_at)
        self.recorder.add(
            NodeFailed(
                kind=kind,
                message=message,
                attempt=attempt,
                retry_at=retry_at,
                traceback=_traceback(error),
            ),
            address,
        )

    def _leave_all(self, address: Address, retry_at: float | None) -> None:
        """Record what is known of the calls that an attempt left behind."""
        for name in tuple(self.state.open_calls):
            if name.startswith(f"{address}/"):
                self._leave(self.state.calls[name], retry_at)

    def _leave(self, call: Call, retry_at: float | None) -> None:
        """Record what is known of a call whose caller has ended; one that may be repeated is, with its node."""
        waits = call.kind in ("timer", "question") or call.status == "waiting"
        if retry_at is not None and waits:
            return  # its time or its answer comes all the same, and the next attempt waits for it
        if call.status == "unknown":
            return  # that is said already
        if _doubtful(call):
            self.recorder.add(ToolUnknown(reason="abandoned when its node ended"), call.address)
        elif call.kind == "tool" and retry_at is not None:
            failed = ToolFailed(
                kind="failed", message="its node ended", retry_at=retry_at, attempt=call.attempt
            )
            self.recorder.add(failed, call.address)
        else:
            self._close(call, "failed", "its node ended")


def _doubtful(call: Call) -> bool:
    """Say whether nobody knows what a call did that is to be ended now."""
    unsafe = call.kind == "tool" and call.request.get("effect", "unsafe") == "unsafe"
    return unsafe and call.status in ("open", "unknown")


def _first(group: BaseExceptionGroup[Any]) -> BaseException:
    """Return the first single exception of a group."""
    first: Any = group.exceptions[0]
    # Not isinstance(): the checkers would take the group's type parameter for unknown.
    found: BaseException = _first(first) if issubclass(type(first), BaseExceptionGroup) else first
    return found


def _kind(error: BaseException) -> str:
    match error:
        case AdapterError():
            return error.kind
        case NodeError():
            return error.kind
        case ToolError():
            return f"tool_{error.kind}"
        case NotRecordableError():
            return "not_recordable"
        case TimeoutError():
            return "timeout"
        case _:
            return type(error).__name__


def _traceback(error: BaseException) -> str:
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    own = [
        frame for frame in frames if "midstream/engine/" not in frame.filename.replace("\\", "/")
    ]
    return "".join(traceback.format_list(own)).encode("utf-8", "replace").decode()
