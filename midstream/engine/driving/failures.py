"""What becomes of a failure: another attempt, what the node says is done then, or a plan by which the run goes on."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from pydantic import JsonValue

from midstream.engine.clock import Clock
from midstream.engine.nesting.nesting import Code
from midstream.engine.nodes.node import Continue, Node
from midstream.engine.recording.leaving import Leaving
from midstream.engine.recording.raised import traceback_of
from midstream.engine.recording.recorder import Recorder
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.events.payloads import NodeCompleted, NodeFailed, NodeSkipped
from midstream.projections.flow import Activation
from midstream.projections.run_state import RunState
from midstream.projections.scopes import around, is_failing

if TYPE_CHECKING:
    from midstream.engine.graphs.rewiring import Changes
    from midstream.engine.planning.reflection import Reflector
    from midstream.events.payloads import EdgeDecided, PlanRevised

End = Callable[[Address, str, float | None], None]
"""Is given an activation that runs a graph, why what is under way inside it ends, and when it is tried again."""


class Failures:
    """Records the failures of one run's activations, and what is made of them.

    Args:
        code: Of the run.
        recorder: Writes the run.
        clock: Tells the time.
        leaving: Closes what an attempt has left open.
        reflector: Says why activations failed, and what to do otherwise.
        end: Ends what is under way inside an activation that runs a graph.
    """

    __slots__ = ("_clock", "_code", "_end_inside", "_leaving", "_recorder", "_reflector")

    def __init__(
        self,
        code: Code,
        recorder: Recorder,
        clock: Clock,
        leaving: Leaving,
        reflector: Reflector,
        end: End,
    ) -> None:
        self._code = code
        self._recorder = recorder
        self._clock = clock
        self._leaving = leaving
        self._reflector = reflector
        self._end_inside = end

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    def _is_failing(self, activation: Activation) -> bool:
        """Say whether nothing new begins where an activation is."""
        return is_failing(self._state, around(self._state, activation))

    async def failed(
        self,
        node: Node,
        address: Address,
        attempt: int,
        kind: str,
        message: str,
        error: BaseException,
    ) -> None:
        """Close what the attempt left open, and record its failure and what the node makes of it."""
        if self._recorder.paced:
            await self._recorder.turn(address, closing=True)
        activation = self._state.activations[address]
        if activation.status == "skipped":
            return  # nobody waits for it any more
        is_map = node.over is not None and address[-1] != "]"  # its options are those of its items
        retry_at = None if is_map else self._again_at(node, activation, kind, attempt)
        policy = "fail" if is_map or retry_at is not None else node.on_failure
        if node.graph is not None:
            self._end_inside(address, f"{address} ended: {kind}", retry_at)
        if policy == "reflect" and self._is_failing(activation):
            policy = "fail"  # nothing that could be planned would be begun
        if policy == "reflect":
            failed = NodeFailed(
                kind=kind, message=message, attempt=attempt, traceback=traceback_of(error)
            )
            await self._reflect(node, address, failed)
            return
        self._leaving.leave_all(address, retry_at)
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
        from midstream.engine.planning.replanning import DELAY, Failing

        number, plans = self._state.reflections + 1, list(self._state.revisions)
        scope = self._state.activations[address].scope
        graph, find = self._code.graph_in(scope), self._code.finder(scope)
        failing = Failing(node, address, graph, partial(self._code.values, scope), find)
        made, plan = await self._reflector.reflect(failing, failed, number, plans)
        state = self._state
        if state.activations[address].status == "skipped":
            return  # nobody waits for it any more
        activation = state.activations[address]
        if self._is_failing(activation) or len(state.revisions) >= self._reflector.max_replans:
            plan = None  # others have failed meanwhile
        goes_on = plan is not None and plan.on_failure == "continue"
        anew = plan is not None and failing.is_done_again(plan)
        retry_at = self._clock.now() + DELAY if plan and not (goes_on or anew) else None
        changes = None if plan is None else failing.changes(plan)
        self._leaving.leave_all(address, retry_at)
        handled = "continue" if goes_on else "again" if anew else ""
        update = {"retry_at": retry_at, "handled": handled}
        self._recorder.add(failed.model_copy(update=update), address)
        numbered = made.model_copy(update={"reflection_number": state.reflections + 1})
        self._recorder.add(numbered, address)
        if plan is not None and changes is not None:
            self._follow(plan, changes, address)
        if goes_on:
            self._recorder.add(NodeCompleted(output=None), address)

    def _follow(self, plan: PlanRevised, changes: Changes, address: Address) -> None:
        """Record a plan, and what it changes in the graph."""
        facts, added = tuple(changes.facts()), tuple(changes.added())
        self._recorder.add(plan, address)
        for type_, fact in facts:
            self._recorder.add_plain(type_, fact, address)
        for node in added:
            self._code.keep(node, self._state.activations[address].scope)

    def _again_at(
        self, node: Node, activation: Activation, kind: str, attempt: int
    ) -> float | None:
        """Return when the next attempt is due, or None where there is none, or none in time."""
        from midstream.engine.planning.replanning import DELAY, granted

        seed = f"{self._recorder.run_id}/{activation.address}"
        retry_at = node.retry.due(kind, attempt, now=self._clock.now(), seed=seed)
        if retry_at is None and attempt < granted(
            node.name, activation.address, self._state.plans_for(activation.address)
        ):
            retry_at = self._clock.now() + DELAY
        if retry_at is None or node.total_timeout is None:
            return retry_at
        return retry_at if retry_at < activation.began / 1_000_000 + node.total_timeout else None

    def _handler(self, name: str, failed: NodeFailed, address: Address) -> EdgeDecided:
        from midstream.events.flow_facts import Call as NodeCall

        handler = self._code.find(name, self._state.activations[address].scope)
        takes = handler is not None and any(p.name == "error" for p in handler.free)
        story: dict[str, JsonValue] = {
            "step": str(address),
            "kind": failed.kind,
            "message": failed.message,
            "attempt": failed.attempt,
        }
        return payloads.EdgeDecided(
            goto=(NodeCall(node=name, args={"error": story} if takes else {}),)
        )


def _handled(policy: str | Continue) -> str:
    if isinstance(policy, Continue):
        return "continue"
    return {"fail": "", "skip": "skip"}.get(policy, "goto")
