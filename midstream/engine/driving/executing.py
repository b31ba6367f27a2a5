"""Carrying out what was decided: commands become events, and activations that begin.

Whatever the state asks for is done at once, until it asks for nothing more; what that begins goes to the workers. What is
not pure begins only when the log says so durably: all that one decision begins waits for that together.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from typing import Any

from midstream.engine.driving.attempts import Attempts
from midstream.engine.driving.drive import Drive
from midstream.engine.driving.workers import Workers
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
)
from midstream.engine.nesting.children import Children
from midstream.engine.nodes.binding import ask
from midstream.engine.recording.calls import shown
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.events.pause import no_collecting
from midstream.events.payloads import (
    NodeFailed,
    NodeScheduled,
    NodeSkipped,
    RunFailed,
)
from midstream.projections.flow import Activation
from midstream.projections.run_state import RunState
from midstream.projections.scopes import is_under_way

_TOGETHER = 16
"""Activations of one decision that are recorded together."""

_MANY = 256
"""Commands of one decision that make it worth it to let the garbage collector rest."""


class Executor:
    """Carries out what is decided of one run.

    Args:
        drive: The driving of that run.
        attempts: Performs activations.
        workers: Have them performed.
    """

    __slots__ = (
        "_attempts",
        "_awaited",
        "_begins",
        "_code",
        "_drive",
        "_recorder",
        "_to_begin",
        "_workers",
    )

    def __init__(self, drive: Drive, attempts: Attempts, workers: Workers) -> None:
        self._drive = drive
        self._recorder = drive.recorder
        self._code = drive.code
        self._attempts = attempts
        self._workers = workers
        self._awaited = False  # something begins once what was recorded is durable
        self._to_begin: list[Sequence[Address]] = []
        # The same method for each decision, which would make one for itself.
        self._begins = self._begin_durable

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    @property
    def children(self) -> Children:
        """Sees to the runs that this one has started."""
        return Children(self._recorder, self._drive.subruns)

    def advance(self) -> None:
        """Do what the state asks for; called whenever it has changed."""
        try:
            while not self._drive.closing and (commands := decide(self._recorder.state)):
                if len(commands) < _MANY or not gc.isenabled():
                    self._carry_out(commands)
                else:
                    with no_collecting():
                        self._carry_out(commands)
            state = self._recorder.state
            if state.idle:
                self._drive.nests.look()
            if state.open_calls and not (state.running or state.waiting or self._drive.closing):
                self.children.begin()
            if self._awaited:
                self._awaited = False
                self._recorder.send()
            else:
                self._recorder.send_soon()
        except Exception as error:  # noqa: BLE001  # nobody else awaits this: it ends the driving
            self._drive.end(error)

    def _carry_out(self, commands: Sequence[Command]) -> None:
        if len(commands) >= _TOGETHER:
            plain = [one for one in commands if isinstance(one, Schedule) and _is_plain(one)]
            if len(plain) == len(commands):
                self.begin(self._schedule_all(plain))
                return
        begun: list[Activation] = []
        for command in commands:
            made = self._one(command)
            if made is not None:
                begun.append(made)
        if begun:
            self.begin(begun)

    def _schedule_all(self, commands: Sequence[Schedule]) -> list[Activation]:
        """Schedule what is to begin in one go; of joins, which may make others superfluous, `decide` gives one, the last."""
        facts = [(one.address, {"inputs": one.inputs} if one.inputs else {}) for one in commands]
        self._recorder.add_each("node.scheduled", facts)
        activations = self._recorder.state.activations
        return [activations[one.address] for one in commands]

    def begin(self, activations: Sequence[Activation]) -> None:
        """Have activations performed that were scheduled."""
        now: list[Address] = []
        once_durable: list[Address] = []
        for made in activations:
            node = self._code.find(made.node, made.scope)
            assert node is not None
            waits = node.acts and node.graph is None and made.status != "waiting"
            (once_durable if waits else now).append(Address(made.address))
        if now:
            self._workers.put(now)
        if once_durable:
            # Not a task that waits until it is durable: of a thousand that begin together, each would be woken.
            self._workers.expect()
            self._to_begin.append(once_durable)
            self._recorder.when_durable(self._begins)
            self._awaited = True

    def _begin_durable(self, error: BaseException | None) -> None:
        addresses = self._to_begin.pop(0)  # what was recorded first is durable first
        if error is not None:
            self._drive.end(error)
        begins = error is None and not self._drive.closing
        self._workers.put(addresses if begins else (), durable=True, expected=True)

    def _one(self, command: Command) -> Activation | None:
        """Carry a command out, and return the activation that it scheduled and that is to be begun."""
        match command:
            case Schedule():
                return self._schedule(command)
            case Skip(_, address, reason):
                self._recorder.add(NodeSkipped(reason=reason), address)
            case Drop(address, reason):
                self._drop(address, reason)
            case Close(address, reason):
                self.children.close(address, reason)
            case Limit(limit, message):
                self._recorder.add(payloads.LimitReached(limit=limit, message=message))
            case Complete(output):
                data = {} if output is None else {"output": output}
                self._recorder.add_plain("run.completed", data, None, held=True)
                self._drive.end(None)
            case Fail(failures):
                self._recorder.add(RunFailed(failures=failures))
                self._drive.end(None)
            case Cancel(cause, reason):
                self._drive.cancel(cause, reason)
        return None

    def _schedule(self, command: Schedule) -> Activation | None:
        state, address = self._recorder.state, command.address
        here = state.scopes[command.scope] if command.scope else state
        if not command.called and command.node not in here.ready:
            return None  # what was scheduled before it has made it superfluous
        if command.asks and not self._wanted(command):
            return None
        data: dict[str, Any] = {"inputs": command.inputs} if command.inputs else {}
        if command.called:
            data["called"] = command.called
        self._recorder.add_plain("node.scheduled", data, address, held=True)
        return self._recorder.state.activations[address]

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
            self._recorder.add(NodeScheduled(inputs=command.inputs), address)
            failed = f"when= of node {node.name!r}: {shown(error)}"
            self._recorder.add(NodeFailed(kind=type(error).__name__, message=failed), address)
            return False
        self._recorder.add(NodeSkipped(reason="its when= said no"), address)
        return False

    def _drop(self, address: Address, reason: str) -> None:
        """End an activation that nobody waits for any more; its task ends by itself, and late results are refused."""
        made = self._state.activations[address]
        if not is_under_way(made):
            return  # it has ended with what it was in
        self.end_inside(address, reason)
        self._attempts.drop(address)
        self._recorder.add(NodeSkipped(reason=reason), address)
        self._workers.stop_at(address)

    def end_inside(self, address: Address, reason: str, retry_at: float | None = None) -> None:
        """End what is under way in the graph that an activation runs; where that is tried again, it is, too."""
        for inner in self._drive.nests.inside(address) if self._state.scopes else ():
            if not is_under_way(self._state.activations[inner]):
                continue  # an item has ended with its map
            self._attempts.drop(inner, retry_at)
            if retry_at is None:
                self._recorder.add(NodeSkipped(reason=reason), inner)
            else:
                attempt = self._state.activations[inner].attempt
                failed = NodeFailed(kind="cancelled", message=reason, attempt=attempt)
                self._recorder.add(failed, inner)
            self._workers.stop_at(inner)


def _is_plain(command: Schedule) -> bool:
    """Say whether nothing is asked before an activation is scheduled."""
    return not (command.called or command.asks)
