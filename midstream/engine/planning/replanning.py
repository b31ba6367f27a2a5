"""What is to be done otherwise when a node has failed: a plan by a model or by rule, and what it changes in the run."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.rewiring import Changes
from midstream.engine.nodes.binding import Values
from midstream.engine.nodes.node import Continue, Node
from midstream.engine.nodes.validating import VALIDATE
from midstream.engine.planning.planning import Terms, drawn
from midstream.engine.requests.json_reading import json_in
from midstream.errors import PlanError
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.projections.flow import to_come

if TYPE_CHECKING:
    from midstream.events.payloads import PlanRevised
    from midstream.events.reflection_facts import FailureType

LONGEST = 3600.0
"""Seconds that no revised timeout exceeds."""

DELAY = 0.1
"""Seconds before an attempt that a plan has granted."""

MAX_NEW = 10
"""Nodes that one plan may add."""

_MOST_ATTEMPTS = 5
_GRAPH = ("nodes", "edges", "remove")
_SHOWN = 100

REPLAN = f"""A node of a workflow failed. Say what is to be done otherwise, so that the same run can go on. What has completed \
cannot be changed. Answer with JSON only: {{"node": "the node that failed", "timeout": seconds for one attempt up to \
{LONGEST:.0f} or null, "attempts": how many more, 0 to {_MOST_ATTEMPTS}, "on_failure": "continue" to go on without its output, \
else "", "nodes": [{{"name": "a new name", "use": "one of the functions", "args": {{values by parameter}}, "inputs": null}}], \
"edges": [{{"source": "a node", "target": "a new node, the node that failed, or one that has not begun", "to": "the parameter \
that takes the output, or empty"}}], "remove": ["nodes that have not begun"]}}. At most {MAX_NEW} new nodes. With an edge to it, \
the node that failed is done again when what it waits for is there."""


def plan_by_rule(
    failure: FailureType, fix: str, node: Node, validation: Mapping[str, Any]
) -> PlanRevised:
    """Return what a kind of failure comes to without a model; a plan that changes nothing lets the node fail.

    Args:
        failure: What kind it is.
        fix: What was suggested.
        node: Which failed.
        validation: The plan that puts a validation of what goes into the node before it, or nothing.
    """
    plan = payloads.PlanRevised(node=node.name, reason=fix)
    match failure:
        case "timeout" if node.timeout is not None:
            longer = min(node.timeout * 2, LONGEST)
            attempts = 2 if longer > node.timeout else 0
            return plan.model_copy(update={"timeout": longer, "attempts": attempts})
        case "timeout":
            return plan.model_copy(update={"attempts": 2})
        case "input_error":
            return plan.model_copy(update={"attempts": 2, "plan": validation})
        case "resource_error":
            return plan.model_copy(update={"on_failure": "continue"})
        case _:
            return plan


def read_plan(answer: str, node: str, model: str) -> PlanRevised | str:
    """Return the plan in a model's answer, or why it is refused."""
    from midstream.engine.ready.plan import Revision

    found = json_in(answer)
    if found is None:
        return "the answer holds no JSON object"
    if not found.keys() & {"node", "timeout", "attempts", "on_failure", *_GRAPH}:
        return f"it says nothing of node {node!r}"
    if found.get("node", node) != node:
        return f"only node {node!r} can be changed, not {found.get('node')!r:.80}"
    timeout, attempts = found.get("timeout"), found.get("attempts", 0)
    if timeout is not None and not _number(timeout, 0, LONGEST):
        return f"timeout must be more than 0 and at most {LONGEST:.0f} seconds, or null"
    if type(attempts) is not int or not 0 <= attempts <= _MOST_ATTEMPTS:
        return f"attempts must be 0 to {_MOST_ATTEMPTS}"
    on_failure = found.get("on_failure") or ""
    if on_failure not in ("", "continue"):
        return "on_failure must be 'continue' or empty"
    try:
        plan = Revision.model_validate({name: found[name] for name in _GRAPH if found.get(name)})
    except ValidationError as error:
        first = error.errors()[0]
        return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
    return payloads.PlanRevised(
        node=node,
        timeout=None if timeout is None else float(timeout),
        attempts=attempts,
        on_failure=on_failure,
        plan=plan.data(),
        by=model,
    )


def _number(value: Any, above: float, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and above < value <= most


def changes_something(plan: PlanRevised, earlier: list[Mapping[str, Any]]) -> bool:
    """Say whether a plan does anything, and something else than the plans before it for the same node did."""
    wanted = _changed(plan.model_dump())
    return any(wanted[2:]) and wanted not in [_changed(one) for one in earlier]


def _changed(plan: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        plan["node"],
        plan.get("timeout"),
        plan.get("attempts", 0),
        plan.get("on_failure", ""),
        plan.get("plan", {}),
    )


def revised(node: Node, plans: Iterable[Mapping[str, Any]]) -> Node:
    """Return a node as the plans of its run have it, of those that are about it."""
    for plan in plans:
        if plan["node"] != node.name:
            continue
        on_failure = Continue(None) if plan.get("on_failure") == "continue" else node.on_failure
        node = replace(node, timeout=plan.get("timeout", node.timeout), on_failure=on_failure)
    return node


def granted(node: str, activation: str, plans: Iterable[Mapping[str, Any]]) -> int:
    """Return up to which attempt the plans of a run let an activation be tried; 0 where none says so."""
    most = 0
    for plan in plans:
        if plan["node"] == node:
            before = plan["after"] if plan["activation"] == activation else 0
            most = before + plan.get("attempts", 0)
    return most


class Failing:
    """A node that has failed, and what may be changed in its run so that it goes on.

    Args:
        node: The node, as it was when it failed.
        address: Its activation.
        graph: The code.
        values: Returns what there is where it is.
        find: Finds the nodes of the run by name.
    """

    def __init__(
        self,
        node: Node,
        address: Address,
        graph: Graph,
        values: Callable[[], Values],
        find: Callable[[str], Node | None],
    ) -> None:
        self.node = node
        self._address = address
        self._graph = graph
        self._values = values
        self._find = find

    def changes(self, plan: PlanRevised) -> Changes:
        """Return what a plan changes in the graph.

        Raises:
            PlanError: It cannot be followed.
        """
        from midstream.engine.ready.plan import Revision

        rewires = self.is_done_again(plan)
        again = self.node.name if rewires else ""
        changes = Changes(self._graph, self._values, self._find, again=again)
        if not plan.plan:
            return changes
        self._check(plan, rewires=rewires)
        terms = Terms(self.node.name, max_nodes=MAX_NEW, rewires=True)
        return drawn(Revision.model_validate(plan.plan), changes, terms)

    def is_done_again(self, plan: PlanRevised) -> bool:
        """Say whether a plan puts something before the node, so that a new activation of it comes after that."""
        from midstream.engine.ready.plan import Revision

        edges = Revision.model_validate(plan.plan).edges
        return any(edge.target == self.node.name and not edge.rounds for edge in edges)

    def refusal(self, plan: PlanRevised) -> str:
        """Return why a plan cannot be followed, or nothing."""
        try:
            self.changes(plan)
        except PlanError as error:
            return "; ".join(error.reasons)
        return ""

    def possible(self, plan: PlanRevised, earlier: list[Mapping[str, Any]]) -> PlanRevised:
        """Return a plan, or what is left of it where its changes of the graph cannot be made."""
        if not changes_something(plan, earlier) or not self.refusal(plan):
            return plan
        return plan.model_copy(update={"plan": {}})

    def validation(self) -> Mapping[str, Any]:
        """Return the plan that puts a validation of what goes into the node before it, or nothing where none can be."""
        from midstream.engine.ready.plan import PlannedEdge, PlannedNode, Revision

        node, here = self.node, self._values().here
        shape = here.topology.nodes[node.name]
        check = f"{node.name}.check"
        there = [
            name
            for name in shape.waits_for
            if name != check and name in here.latest and here.latest[name].status == "completed"
        ]
        shared = any(here.topology.nodes[name].distributes for name in there)
        counted = (
            node.join != "all" or node.inputs == "completed"
        )  # by what ends, as the check itself would
        if self._obstacle() or not node.free or shared or counted:
            return {}
        taken = set(shape.values.values())
        edges = [
            *(
                PlannedEdge(source=s, target=check, to=to)
                for to, s in shape.values.items()
                if s in there
            ),
            *(PlannedEdge(source=name, target=check) for name in there if name not in taken),
            PlannedEdge(source=check, target=node.name),
        ]
        spread = None if node.inputs == "none" else node.inputs
        planned = PlannedNode(
            name=check,
            use=f"{VALIDATE}{node.code or node.name}",
            args=dict(node.args),
            inputs="merge"
            if spread == "completed"
            else spread,  # the same values, in another order
        )
        return Revision(nodes=(planned,), edges=tuple(edges)).data()

    def told(self) -> str:
        """Return what a model has to know of the run and of its functions."""
        here = self._values().here
        lines: list[str] = []
        for name, shape in [*here.topology.nodes.items()][:_SHOWN]:
            made = here.latest.get(name)
            how: str = "has not begun" if made is None else made.status
            if made is not None and to_come(here, name) and name != self.node.name:
                how = "is to come"
            lines.append(f"- {name}: {how}; waits for {', '.join(shape.waits_for) or 'nothing'}")
        functions = self._graph.told(self._graph.known_functions()[:_SHOWN])
        return "\n".join(("Nodes of the run:", *lines, "Functions:", functions))

    def _check(self, plan: PlanRevised, *, rewires: bool) -> None:
        name = self.node.name
        if rewires and plan.on_failure:
            problem = f"node {name!r} is either done again or gone on without, not both"
        elif rewires and self._obstacle():
            problem = f"nothing can come before node {name!r}: {self._obstacle()}"
        elif not (rewires or plan.attempts or plan.on_failure):
            problem = f"it does not say what becomes of node {name!r}: attempts, on_failure or an edge to it"
        else:
            return
        raise PlanError(name, [problem])

    def _obstacle(self) -> str:
        """Return why the node cannot be done again as a new activation, or nothing."""
        values, name = self._values(), self.node.name
        if self._address[-1] == "]":
            return "it is an item of a map"
        if values.state.activations[self._address].args is not None:
            return "it was called with what it takes"
        here = values.here
        comes = (here.pending, here.ready, here.called, here.doomed, here.crowded)
        return "another activation of it comes" if any(name in there for there in comes) else ""
