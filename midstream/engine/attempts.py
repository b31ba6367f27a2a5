"""One activation: its attempts, what each leaves behind, and what becomes of its failure."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from pydantic import JsonValue

from midstream.engine.binding import LeftOutError, bind
from midstream.engine.calls import Desk, Restart, Signal, shown
from midstream.engine.clock import Clock
from midstream.engine.context import Context
from midstream.engine.deadlines import Deadlines, calling
from midstream.engine.leaving import Leaving
from midstream.engine.model_calls import Models
from midstream.engine.nesting import Code, Nests
from midstream.engine.node import Continue, Node
from midstream.engine.parking import Rest
from midstream.engine.raised import first_of, kind_of_error, traceback_of
from midstream.engine.recorder import Recorder
from midstream.engine.reflection import DELAY, Reflector, granted, revised
from midstream.engine.steering import Steering
from midstream.errors import NodeError, StoreError
from midstream.events.flow_facts import Call as NodeCall
from midstream.events.flow_facts import EdgeDecided
from midstream.events.ids import Address
from midstream.events.payloads import NodeCompleted, NodeFailed, NodeSkipped, NodeStarted
from midstream.events.values import plain
from midstream.projections.flow import LEFT_OUT, Activation
from midstream.projections.run_state import RunState
from midstream.projections.scopes import around


class Attempts:
    """Performs activations of one run.

    Args:
        code: Of the run.
        recorder: Writes the run.
        nests: Performs activations that run graphs.
        end: Ends what is under way inside one of these: its address, why, and when it is tried again.
        clock: Tells the time.
        models: Asks models.
        changed: Is notified when somebody else's events were folded.
        closing: Says whether the driving is about to end.
        recall: Reads the outputs that a snapshot left out.
        rest: Is told when an activation begins to wait.
        reflector: Says why activations failed, and what to do otherwise.
        always_replay: See `Engine`.
    """

    def __init__(
        self,
        code: Code,
        recorder: Recorder,
        *,
        nests: Nests,
        end: Callable[[Address, str, float | None], None],
        clock: Clock,
        models: Models,
        changed: Signal,
        closing: Callable[[], bool],
        recall: Callable[[], Awaitable[None]],
        rest: Rest,
        reflector: Reflector,
        always_replay: bool,
    ) -> None:
        self._code = code
        self._nests = nests
        self._end_inside = end
        self._recorder = recorder
        self._clock = clock
        self._models = models
        self._changed = changed
        self._closing = closing
        self._recall = recall
        self._rest = rest
        self._reflector = reflector
        self._always_replay = always_replay
        self._deadlines = Deadlines(recorder, clock)
        self.leaving = Leaving(recorder)
        self.desks: dict[str, Desk] = {}
        """Where the activations that take a context are, by address."""

    @property
    def _state(self) -> RunState:
        return self._recorder.state

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
            activation = self._state.activations[address]
            if activation.status not in ("running", "waiting"):
                return  # nobody waits for it any more
            if activation.status == "waiting":
                self._rest.begun()
                await self._clock.sleep_until(activation.retry_at or 0.0)
                await self._changed.wait_for(lambda: self._state.status != "paused")
                await self._turn(address)
                self._recorder.add(NodeStarted(attempt=activation.attempt + 1), address)
            if not node.pure and not durable:
                await self._recorder.durable()
            durable = False
            try:
                planned = revised(node, self._state.revisions)
                await self._attempt(planned, address, body)
            except Restart:
                continue
            except BaseExceptionGroup as group:
                if group.subgroup(Restart) is None:
                    raise
                continue
            if self._state.activations[address].status != "waiting":
                return

    async def present(self, address: Address) -> None:
        """See that what an activation takes is here."""
        inputs = self._state.activations[address].inputs.values()
        if any(self._state.activations[origin].output is LEFT_OUT for origin in inputs):
            await self._recall()

    def drop(self, address: Address, retry_at: float | None = None) -> None:
        """Refuse whatever an activation still wants to do, and close what it has open."""
        desk = self.desks.get(address)
        if desk is not None:
            desk.claims.close()
        self.leaving.leave_all(address, retry_at)

    async def _attempt(
        self, node: Node, address: Address, body: Callable[[], Awaitable[Any]] | None
    ) -> None:
        attempt = self._state.activations[address].attempt
        try:
            output, steering = await self._outcome(node, address, attempt, body)
            await self._turn(address)
            if self._state.activations[address].status != "skipped":
                self._complete(node, address, output, steering)
                self._looked_at(address)
        except (StoreError, Restart):
            raise
        except asyncio.CancelledError as error:
            current = asyncio.current_task()
            if self._closing() or (current is not None and current.cancelling()):
                raise
            # Nobody cancelled this task: the node awaited something that somebody else had cancelled.
            await self._failed(node, address, attempt, "cancelled", shown(error), error)
        except TimeoutError as error:
            await self._failed(node, address, attempt, "timeout", shown(error), error)
        except ExceptionGroup as group:
            if group.subgroup(StoreError) is not None:
                raise
            first = first_of(group)
            await self._failed(node, address, attempt, kind_of_error(first), shown(first), first)
        except Exception as error:  # noqa: BLE001  # a node is user code: whatever it raises is its outcome
            await self._failed(node, address, attempt, kind_of_error(error), shown(error), error)

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

    def _looked_at(self, address: Address) -> None:
        """Let policies look at the run after an activation has ended."""
        if self._models.policing is not None:
            self._models.policing.after_node(self._recorder, address)

    def _complete(
        self, node: Node, address: Address, output: Any, steering: Steering | None
    ) -> None:
        """Record an activation's end with all that it wants, in one append."""
        if node.distributes:
            self._check_shares(node, address, output)
        if steering is None:
            data = {} if output is None else {"output": output}
            self._recorder.add_plain("node.completed", data, address)
            return
        local = steering.kept()
        for fact in tuple(steering.facts()):
            self._recorder.add(fact, address)
        for added in steering.added():
            self._code.keep(added, self._scope(address))
        decided = steering.decided()
        if decided is not None:
            self._recorder.add_plain("edge.decided", decided, address)
        done: dict[str, Any] = {} if output is None else {"output": output}
        if local is not None:
            done["local"] = local
        self._recorder.add_plain("node.completed", done, address)

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

    async def _call(
        self, node: Node, address: Address, attempt: int
    ) -> tuple[Any, Steering | None]:
        activation = self._state.activations[address]
        if not node.wants_context:
            try:
                arguments = bind(node, self._code.values(activation.scope), activation, None)
            except LeftOutError:
                arguments = await self._bound_again(node, address, None)
            output = await self._deadlines.keep(node, activation, None, calling(node, arguments))
            return plain(output, f"output of node {node.name!r}"), None
        desk = Desk(
            self._recorder,
            address,
            self._clock,
            self._changed,
            always_replay=self._always_replay,
            rest=self._rest,
        )
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
            output = await self._deadlines.keep(node, activation, desk, calling(node, arguments))
        except Exception:
            if desk.torn:
                raise Restart from None
            raise
        finally:
            del self.desks[address]
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
        await self._recall()
        made = self._state.activations[address]
        return bind(node, self._code.values(made.scope), made, context)

    async def _run_graph(self, node: Node, address: Address) -> Any:
        """Return the output of the graph that an activation runs."""
        activation = self._state.activations[address]
        try:
            self._code.values(address)
        except LeftOutError:
            await self._recall()
            self._code.values(address)
        return await self._deadlines.keep(node, activation, None, partial(self._nests.run, address))

    async def _failed(
        self,
        node: Node,
        address: Address,
        attempt: int,
        kind: str,
        message: str,
        error: BaseException,
    ) -> None:
        """Close what the attempt left open, and record its failure and what the node makes of it."""
        await self._turn(address, closing=True)
        activation = self._state.activations[address]
        if activation.status == "skipped":
            return  # nobody waits for it any more
        is_map = node.over is not None and address[-1] != "]"  # its options are those of its items
        retry_at = None if is_map else self._again_at(node, activation, kind, attempt)
        policy = "fail" if is_map or retry_at is not None else node.on_failure
        if node.graph is not None:
            self._end_inside(address, f"{address} ended: {kind}", retry_at)
        if policy == "reflect":
            failed = NodeFailed(
                kind=kind, message=message, attempt=attempt, traceback=traceback_of(error)
            )
            await self._reflect(node, address, failed)
            return
        self.leaving.leave_all(address, retry_at)
        failed = NodeFailed(
            kind=kind,
            message=message,
            attempt=attempt,
            retry_at=retry_at,
            traceback=traceback_of(error),
            handled=_handled(policy),
        )
        self._recorder.add(failed, address)
        match policy:
            case "fail":
                pass
            case Continue(value):
                self._recorder.add(NodeCompleted(output=value), address)
            case _:
                if policy != "skip":
                    self._recorder.add(self._handler(policy, failed, address), address)
                self._recorder.add(NodeSkipped(reason=f"failed: {kind}: {message}"), address)

    async def _reflect(self, node: Node, address: Address, failed: NodeFailed) -> None:
        """Ask why an activation failed, and record that with its failure and what is done about it, in one append."""
        number, plans = self._state.reflections + 1, list(self._state.revisions)
        made, plan = await self._reflector.reflect(node, failed, number, plans)
        state = self._state
        if state.activations[address].status == "skipped":
            return  # nobody waits for it any more
        if len(state.revisions) >= self._reflector.max_replans:
            plan = None  # others have failed meanwhile, and were planned anew
        goes_on = plan is not None and plan.on_failure == "continue"
        again = plan is not None and not goes_on
        retry_at = self._clock.now() + DELAY if again else None
        self.leaving.leave_all(address, retry_at)
        update = {"retry_at": retry_at, "handled": "continue" if goes_on else ""}
        self._recorder.add(failed.model_copy(update=update), address)
        numbered = made.model_copy(update={"reflection_number": state.reflections + 1})
        self._recorder.add(numbered, address)
        if plan is not None:
            self._recorder.add(plan, address)
        if goes_on:
            self._recorder.add(NodeCompleted(output=None), address)

    def _again_at(
        self, node: Node, activation: Activation, kind: str, attempt: int
    ) -> float | None:
        """Return when the next attempt is due, or None where there is none, or none in time."""
        seed = f"{self._recorder.run_id}/{activation.address}"
        retry_at = node.retry.due(kind, attempt, now=self._clock.now(), seed=seed)
        if retry_at is None and attempt < granted(
            node.name, activation.address, self._state.revisions
        ):
            retry_at = self._clock.now() + DELAY
        if retry_at is None or node.total_timeout is None:
            return retry_at
        return retry_at if retry_at < activation.began / 1_000_000 + node.total_timeout else None

    def _handler(self, name: str, failed: NodeFailed, address: Address) -> EdgeDecided:
        handler = self._code.find(name, self._scope(address))
        takes = handler is not None and any(p.name == "error" for p in handler.free)
        story: dict[str, JsonValue] = {
            "step": str(address),
            "kind": failed.kind,
            "message": failed.message,
            "attempt": failed.attempt,
        }
        return EdgeDecided(goto=(NodeCall(node=name, args={"error": story} if takes else {}),))


def _handled(policy: str | Continue) -> str:
    if isinstance(policy, Continue):
        return "continue"
    return {"fail": "", "skip": "skip"}.get(policy, "goto")
