"""One activation: its attempts, what each leaves behind, and what becomes of its failure."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Any

from midstream.engine.contexts.context import Context
from midstream.engine.contexts.steering import Steering
from midstream.engine.driving.deadlines import Deadlines, calling
from midstream.engine.driving.drive import Drive
from midstream.engine.driving.ends import Ends
from midstream.engine.driving.failures import Failures
from midstream.engine.nodes.binding import LeftOutError, bind
from midstream.engine.nodes.node import Node
from midstream.engine.recording.calls import Desk, Restart, shown
from midstream.engine.recording.leaving import Leaving
from midstream.engine.recording.raised import first_of, holds, kind_of_error
from midstream.errors import NodeError, StoreError
from midstream.events.ids import Address
from midstream.events.payloads import NodeStarted
from midstream.events.values import plain
from midstream.projections.flow import LEFT_OUT, Activation
from midstream.projections.run_state import RunState
from midstream.projections.scopes import around


class Attempts:
    """Performs activations of one run.

    Args:
        drive: The driving of that run.
    """

    __slots__ = ("_code", "_drive", "_models", "_recorder", "desks")

    def __init__(self, drive: Drive) -> None:
        self._drive = drive
        self._code = drive.code
        self._recorder = drive.recorder
        self._models = drive.models
        self.desks: dict[str, Desk] = {}
        """Where the activations that take a context are, by address."""

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    @property
    def leaving(self) -> Leaving:
        """Closes what an attempt has left open."""
        return Leaving(self._recorder)

    @property
    def _deadlines(self) -> Deadlines:
        return Deadlines(self._recorder, self._drive.clock)

    @property
    def _failures(self) -> Failures:
        drive = self._drive
        return Failures(
            self._code, self._recorder, drive.clock, self.leaving, drive.reflector, drive.end_inside
        )

    async def perform(
        self,
        node: Node,
        address: Address,
        body: Callable[[], Awaitable[Any]] | None = None,
        *,
        durable: bool = False,
    ) -> None:
        """Run an activation's attempts until it has ended.

        Args:
            node: Its node.
            address: The activation.
            body: What is done, in place of calling the node's function.
            durable: Its beginning is.
        """
        while True:
            activation = self._recorder.state.activations[address]
            if activation.status == "waiting":
                await self._until_due(activation)
            elif activation.status != "running":
                return  # nobody waits for it any more
            if not node.pure and not durable:
                await self._recorder.durable()
            durable = False
            try:
                planned = node
                if self._recorder.state.revisions:
                    from midstream.engine.planning.replanning import revised

                    planned = revised(node, self._state.plans_for(address))
                await self._attempt(planned, address, body)
            except Restart:
                continue
            except BaseExceptionGroup as group:
                if group.subgroup(Restart) is None:
                    raise
                continue
            if self._recorder.state.activations[address].status != "waiting":
                return

    async def _until_due(self, activation: Activation) -> None:
        """Wait until an activation's next attempt is due, and begin it."""
        address = Address(activation.address)
        self._drive.rest.begun()
        await self._drive.clock.sleep_until(activation.retry_at or 0.0)
        await self._drive.changed.wait_for(lambda: self._state.status != "paused")
        await self._turn(address)
        self._recorder.add(NodeStarted(attempt=activation.attempt + 1), address)

    async def present(self, address: Address) -> None:
        """See that what an activation takes is here."""
        inputs = self._state.activations[address].inputs.values()
        if any(self._state.activations[origin].output is LEFT_OUT for origin in inputs):
            await self._drive.recall()

    def drop(self, address: Address, retry_at: float | None = None) -> None:
        """Refuse whatever an activation still wants to do, and close what it has open."""
        desk = self.desks.get(address)
        if desk is not None:
            desk.claims.close()
        self.leaving.leave_all(address, retry_at)

    async def call(self, node: Node, activation: Activation, ends: Ends | None) -> None:
        """Run the first attempt of an activation that is no more than a call of its function; see `Node.bare`.

        What `perform` does, with as few coroutines below one another as may be: of a thousand activations that wait, each
        keeps all of them.

        Args:
            node: Its node.
            activation: It.
            ends: Takes the ends of many, or None where there are not many.
        """
        address = Address(activation.address)
        try:
            given = self._given(node, activation) or await self._bound_again(node, address, None)
            output = node.function(*given[0], **given[1])
            if node.is_async or inspect.isawaitable(output):
                output = await output
            output = plain(output, f"output of node {node.name!r}")
            if self._recorder.paced:
                await self._recorder.turn(address)
            if ends is None or not ends.takes(address, output):
                self._completed(node, address, output, None, held=True)
        except (Exception, asyncio.CancelledError) as error:  # a node is user code
            if not self._is_outcome(error):
                raise
            if ends is not None:
                ends.record()
            await self._failed(node, address, activation.attempt, error)

    async def _attempt(
        self, node: Node, address: Address, body: Callable[[], Awaitable[Any]] | None
    ) -> None:
        activation = self._recorder.state.activations[address]
        attempt = activation.attempt
        try:
            if node.bare and body is None:
                output, steering = await self.bare(node, activation), None
            else:
                output, steering = await self._outcome(node, address, attempt, body)
            if self._recorder.paced:
                await self._recorder.turn(address)
            self._completed(node, address, output, steering)
        except (Exception, asyncio.CancelledError) as error:  # a node is user code
            if not self._is_outcome(error):
                raise
            await self._failed(node, address, attempt, error)

    def _is_outcome(self, error: BaseException) -> bool:
        """Say whether what was raised is the node's outcome, and not the driver's end."""
        if isinstance(error, asyncio.CancelledError):
            # Where nobody cancelled this task, the node awaited something that somebody else had cancelled.
            current = asyncio.current_task()
            return not (self._drive.closing or (current is not None and current.cancelling()))
        return not holds(error, StoreError)

    async def _failed(
        self, node: Node, address: Address, attempt: int, error: BaseException
    ) -> None:
        """Record that an attempt ended with an error, whatever user code raised."""
        first = first_of(error)
        cancelled = isinstance(error, asyncio.CancelledError)
        kind = "cancelled" if cancelled else kind_of_error(first)
        await self._failures.failed(node, address, attempt, kind, shown(first), first)

    async def _outcome(
        self, node: Node, address: Address, attempt: int, body: Callable[[], Awaitable[Any]] | None
    ) -> tuple[Any, Steering | None]:
        if body is not None:
            return await body(), None
        if node.graph is not None:
            return await self._run_graph(node, address), None
        return await self._call(node, address, attempt)

    async def _turn(self, address: Address, *, closing: bool = False) -> None:
        """Wait until it is an activation's turn to go on or end, which is at once unless the log is played back."""
        if self._recorder.paced:
            await self._recorder.turn(address, closing=closing)

    def _completed(
        self,
        node: Node,
        address: Address,
        output: Any,
        steering: Steering | None,
        *,
        held: bool = False,
    ) -> None:
        """Record an activation's end, unless nobody waits for it, and let policies look at the run.

        Args:
            node: Its node.
            address: The activation.
            output: What it returned.
            steering: What else it wants.
            held: What comes of it is decided next, and sent together with that.
        """
        if self._recorder.state.activations[address].status in ("skipped", "failed"):
            return
        if node.bare:
            data = {} if output is None else {"output": output}
            self._recorder.add_plain("node.completed", data, address, held=held)
        else:
            self._complete(node, address, output, steering)
        if self._models.policing is not None:
            self._models.policing.after_node(self._recorder, address)

    def completed_each(self, outputs: Sequence[tuple[Address, Any]]) -> None:
        """Record the ends of activations that were no more than calls, as `perform` does that of each, together."""
        made = self._state.activations
        facts = [
            (address, {} if output is None else {"output": output})
            for address, output in outputs
            if made[address].status not in ("skipped", "failed")
        ]
        self._recorder.add_each("node.completed", facts)
        if self._models.policing is not None:
            for address, _ in facts:
                self._models.policing.after_node(self._recorder, address)

    def _complete(
        self, node: Node, address: Address, output: Any, steering: Steering | None
    ) -> None:
        """Record an activation's end with all that it wants, in one append."""
        if node.distributes:
            self._check_shares(node, address, output)
        back = self._back(node, address, output)
        if steering is None:
            data = {} if output is None else {"output": output}
            if back is not None:
                self._recorder.add_plain("edge.decided", back, address)
            self._recorder.add_plain("node.completed", data, address)
            return
        local = steering.kept()
        for type_, fact in tuple(steering.facts()):
            self._recorder.add_plain(type_, fact, address)
        for added in steering.added():
            self._code.keep(added, self._scope(address))
        decided = steering.decided() or back
        if decided is not None:
            self._recorder.add_plain("edge.decided", decided, address)
        done: dict[str, Any] = {} if output is None else {"output": output}
        if local is not None:
            done["local"] = local
        self._recorder.add_plain("node.completed", done, address)

    def _back(self, node: Node, address: Address, output: Any) -> dict[str, Any] | None:
        """Return where control goes back to, or None: there is no loop, it is done, or its beginning was removed."""
        if node.loop is None or self._code.find(node.loop.to, self._scope(address)) is None:
            return None
        return node.loop.decided(address, output)

    def _scope(self, address: str) -> str:
        return self._state.activations[address].scope

    def _check_shares(self, node: Node, address: Address, output: Any) -> None:
        here = around(self._state, self._state.activations[address])
        wanted = len(here.topology.successors[node.name])
        if not isinstance(output, list) or len(output) != wanted:  # pyright: ignore[reportUnknownArgumentType]  # JSON
            raise NodeError(
                f"node {node.name!r} distributes its output, so it must return a list of {wanted} items, one for each "
                f"successor, not {output!r:.200}",
                node=node.name,
                kind="bad_value",
            )

    async def bare(self, node: Node, activation: Activation) -> Any:
        """Return what a node returns that takes values and nothing else."""
        given = self._given(node, activation)
        if given is None:
            given = await self._bound_again(node, Address(activation.address), None)
        output = node.function(*given[0], **given[1])
        if node.is_async or inspect.isawaitable(output):
            output = await output
        return plain(output, f"output of node {node.name!r}")

    def _given(self, node: Node, activation: Activation) -> tuple[list[Any], dict[str, Any]] | None:
        """Return what a node's function is called with, or None where that has to be read from the log."""
        try:
            return bind(node, self._code.values(activation.scope), activation, None)
        except LeftOutError:
            return None

    async def _call(
        self, node: Node, address: Address, attempt: int
    ) -> tuple[Any, Steering | None]:
        activation = self._state.activations[address]
        if not node.wants_context:
            try:
                arguments = bind(node, self._code.values(activation.scope), activation, None)
            except LeftOutError:
                arguments = await self._bound_again(node, address, None)
            call = calling(node, arguments)
            output = await self._deadlines.keep(node, activation, None, call)
            return plain(output, f"output of node {node.name!r}"), None
        desk = Desk(
            self._recorder,
            address,
            self._drive.clock,
            self._drive.changed,
            always_replay=self._drive.always_replay,
            rest=self._drive.rest,
        )
        desk.subruns = self._drive.subruns
        scope = activation.scope
        find, values = self._code.finder(scope), partial(self._code.values, scope)
        steering = Steering(desk, self._code.graph_in(scope), node, find, values)
        model = self._code.model(node, scope)
        context = Context(desk, self._models, steering, attempt=attempt, model=model)
        try:
            arguments = bind(node, values(), activation, context)
        except LeftOutError:
            arguments = await self._bound_again(node, address, context)
        desk.claims.begin()
        self.desks[address] = desk
        strays = False
        try:
            call = calling(node, arguments)
            output = await self._deadlines.keep(node, activation, desk, call)
        except Exception:
            if desk.torn:
                raise Restart from None
            raise
        finally:
            del self.desks[address]
            desk.context = None  # they know one another: what nobody holds is freed at once
            strays = await desk.claims.end()
        if desk.torn:
            raise Restart
        if strays:
            await self._turn(address, closing=True)
            self.leaving.leave_all(address, None)
        return plain(output, f"output of node {node.name!r}"), steering

    async def _bound_again(
        self, node: Node, address: Address, context: Context | None
    ) -> tuple[list[Any], dict[str, Any]]:
        await self._drive.recall()
        made = self._state.activations[address]
        return bind(node, self._code.values(made.scope), made, context)

    async def _run_graph(self, node: Node, address: Address) -> Any:
        """Return the output of the graph that an activation runs."""
        activation = self._state.activations[address]
        try:
            self._code.values(address)
        except LeftOutError:
            await self._drive.recall()
            self._code.values(address)
        return await self._deadlines.keep(
            node, activation, None, partial(self._drive.nests.run, address)
        )
