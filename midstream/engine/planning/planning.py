"""Plans become changes of a running graph: all of a plan or nothing of it, and every reason where it is nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from midstream.engine.graphs.rewiring import Changes
from midstream.engine.limits import MAX_NODES, MAX_ROUNDS
from midstream.engine.nodes.checking import cycle
from midstream.engine.nodes.loop import Loop
from midstream.engine.nodes.node import Continue
from midstream.engine.nodes.tool_node import as_function
from midstream.engine.nodes.validating import VALIDATE
from midstream.engine.signature import Parameter, is_async, parameters_of
from midstream.errors import GraphError, PlanError
from midstream.projections.flow import last_output, to_come

if TYPE_CHECKING:
    from midstream.engine.ready.plan import Plan, PlannedEdge, PlannedNode

_SHOWN = 8


@dataclass(frozen=True, slots=True)
class Terms:
    """What a plan must keep to.

    Attributes:
        of: The node whose plan it is, for errors.
        functions: What its nodes may use; None for all that the graph registers.
        max_nodes: So many nodes at most.
        max_rounds: So many rounds of a loop at most.
        into: The node that waits for what the plan comes to, or empty.
        rewires: Its edges may lead to nodes of the run that have not begun.
        on_failure: Of its nodes; None for what the graph says.
    """

    of: str
    functions: frozenset[str] | None = None
    max_nodes: int = MAX_NODES
    max_rounds: int = MAX_ROUNDS
    into: str = ""
    rewires: bool = False
    on_failure: str | Continue | None = None


def drawn(plan: Plan, changes: Changes, terms: Terms) -> Changes:
    """Return the changes with a plan on top of them; those that were given stay as they are.

    Raises:
        PlanError: The plan cannot be followed.
    """
    return _Draft(plan, changes.tried(), terms).changes()


class _Draft:
    def __init__(self, plan: Plan, changes: Changes, terms: Terms) -> None:
        from midstream.engine.ready.plan import Revision

        self._plan = plan
        self._changes = changes
        self._terms = terms
        self._nodes = {node.name: node for node in plan.nodes}
        self._removed = plan.remove if isinstance(plan, Revision) else ()
        self._reasons: list[str] = []
        self._needed: dict[str, dict[str, None]] = {}
        self._into: dict[str, list[PlannedEdge]] = {name: [] for name in self._nodes}
        for edge in plan.edges:
            if edge.target in self._into and not edge.rounds:
                self._into[edge.target].append(edge)

    def changes(self) -> Changes:
        order = self._checked_order()
        self._refuse()
        failed: set[str] = set()
        for name in order:
            waits_for_failed = any(needed in failed for needed in self._needs(name))
            if waits_for_failed or not self._tried(partial(self._add, self._nodes[name])):
                failed.add(name)
        self._refuse()
        changes = self._changes
        for edge in self._outward():
            self._tried(partial(changes.add_edge, edge.source, edge.target, edge.to))
        for name in self._removed:
            self._tried(partial(changes.remove_node, name))
        for name in self._plan.outputs() if self._terms.into else ():
            self._tried(partial(changes.add_edge, name, self._terms.into, ""))
        self._refuse()
        return changes

    def _refuse(self) -> None:
        if self._reasons:
            more = len(self._reasons) - _SHOWN
            rest = [f"and {more} more"] if more > 0 else []
            raise PlanError(self._terms.of, [*self._reasons[:_SHOWN], *rest])

    def _tried(self, change: Callable[[], object]) -> bool:
        try:
            change()
        except GraphError as error:
            self._reasons.append(str(error))
            return False
        return True

    # What can be said before anything is added

    def _checked_order(self) -> list[str]:
        """Return the nodes so that each comes after those it waits for."""
        self._reasons += self._sizes()
        for node in self._plan.nodes:
            self._check_use(node)
        for edge in self._plan.edges:
            self._reasons += self._ends(edge)
        for name in self._nodes:
            self._reasons += self._lacks(name)
        for name in self._plan.output:
            if name not in self._nodes:
                self._reasons.append(f"output {name!r} is no node of the plan")
        if self._reasons:
            return []
        order = self._ordered()
        for edge in self._plan.edges:
            if edge.rounds:
                self._reasons += self._loop_problems(edge)
        return order

    def _sizes(self) -> Iterator[str]:
        most = self._terms.max_nodes
        if len(self._plan.nodes) > most:
            yield f"it has {len(self._plan.nodes)} nodes, and {most} are the most there may be"
        if not self._plan.nodes and self._terms.into:
            yield "it has no nodes"
        if len(self._plan.edges) > most * most:
            yield f"it has {len(self._plan.edges)} edges, and {most * most} are the most there may be"
        seen: set[str] = set()
        for node in self._plan.nodes:
            if node.name in seen:
                yield f"two nodes are named {node.name!r}"
            seen.add(node.name)

    def _check_use(self, node: PlannedNode) -> None:
        known = self._terms.functions
        if known is not None and node.use not in known:
            there_are = ", ".join(sorted(known))
            self._reasons.append(
                f"node {node.name!r} uses {node.use!r}, which it cannot; there are {there_are}"
            )
        elif known is None:
            self._tried(partial(self._changes.graph.function_named, node.use))

    def _ends(self, edge: PlannedEdge) -> Iterator[str]:
        arrow = f"edge {edge.source} → {edge.target}"
        if edge.source not in self._nodes:
            problem = self._foreign_source(edge.source)
            if problem:
                yield f"{arrow}: {problem}"
        if edge.target in self._nodes:
            return
        if not self._terms.rewires:
            yield f"{arrow}: {edge.target!r} is no node of the plan"
        elif self._changes.find(edge.target) is None:
            yield f"{arrow}: there is no node {edge.target!r}"

    def _foreign_source(self, name: str) -> str:
        """Return why a node that is not the plan's cannot be waited for, or nothing."""
        values = self._changes.values
        here = values.here
        if self._changes.find(name) is None or name in self._removed:
            return f"there is no node {name!r}"
        if name not in here.topology.nodes or name == self._changes.again:
            return ""  # what it is about to become is checked when the edge is added
        made = values.state.activations
        if to_come(here, name) or last_output(here, made, name) is not None:
            return ""
        return f"node {name!r} has no output and will have none"

    def _lacks(self, name: str) -> Iterator[str]:
        """Return what a node would take from nodes of the run, which have nothing to give."""
        there = self._changes.values.here.topology.nodes
        for parameter in self._implied(name):
            source = parameter.source
            if parameter.required and source in there and source not in self._nodes:
                problem = self._foreign_source(source)
                if problem:
                    yield f"parameter {parameter.name!r} of node {name!r}: {problem}"

    # Order and loops

    def _needs(self, name: str) -> dict[str, None]:
        """Return the nodes of the plan that one of them waits for."""
        found = self._needed.get(name)
        if found is None:
            named = {edge.source: None for edge in self._into[name]}
            named |= {parameter.source: None for parameter in self._implied(name)}
            found = self._needed[name] = {one: None for one in named if one in self._nodes}
        return found

    def _implied(self, name: str) -> Iterator[Parameter]:
        """Return the parameters of a node that take what they are named after."""
        node = self._nodes[name]
        given = {*node.args, *self._take(name)}
        try:
            parameters = self._parameters(name)
        except GraphError:
            return  # said when it is added
        for parameter in parameters:
            if parameter.name not in given and (node.inputs is None or parameter.named):
                yield parameter

    def _parameters(self, name: str) -> tuple[Parameter, ...]:
        function = as_function(self._changes.graph.function_named(self._nodes[name].use))
        return parameters_of(function, f"node {name!r}", rest=True)

    def _ordered(self) -> list[str]:
        needs = {name: self._needs(name) for name in self._nodes}
        order: list[str] = []
        left = dict.fromkeys(self._nodes, 0)
        while left:
            free = [name for name in left if not any(needed in left for needed in needs[name])]
            if not free:
                self._reasons.append(
                    f"{cycle(needs, left)} is a loop without a bound: give the edge that leads back rounds from 1 to "
                    f"{self._terms.max_rounds}"
                )
                return []
            order += free
            for name in free:
                del left[name]
        return order

    def _loop_problems(self, edge: PlannedEdge) -> Iterator[str]:
        where = f"loop {edge.source} → {edge.target}"
        if edge.rounds > self._terms.max_rounds:
            yield f"{where}: {edge.rounds} rounds, and {self._terms.max_rounds} are the most there may be"
        for end in (edge.source, edge.target):
            if end not in self._nodes:
                yield f"{where}: {end!r} is no node of the plan"
                return
        if not self._leads(edge.target, edge.source):
            yield f"{where}: {edge.target!r} does not lead to {edge.source!r}, so control would not come back"
        if sum(bool(one.rounds) and one.source == edge.source for one in self._plan.edges) > 1:
            yield f"{where}: a node goes back to one node only"

    def _leads(self, first: str, last: str) -> bool:
        seen, stack = {last}, [last]
        while stack:
            name = stack.pop()
            if name == first:
                return True
            fresh = [one for one in self._needs(name) if one not in seen]
            seen.update(fresh)
            stack += fresh
        return False

    # Changes

    def _take(self, name: str) -> dict[str, str]:
        return {edge.to: edge.source for edge in self._into[name] if edge.to}

    def _add(self, node: PlannedNode) -> None:
        edges = self._into[node.name]
        taken = [e.to for e in edges if e.to]
        for parameter in taken:
            if parameter in node.args or taken.count(parameter) > 1:
                raise GraphError(f"parameter {parameter!r} of node {node.name!r} is given twice")
        after = dict.fromkeys(e.source for e in edges if not e.to)
        options: dict[str, Any] = {"take": self._take(node.name), "after": [*after]}
        options |= {"args": node.args, "inputs": node.inputs, "loop": self._loop(node.name)}
        if self._terms.on_failure is not None:
            options["on_failure"] = self._terms.on_failure
        if node.use.startswith(VALIDATE):
            options["on_failure"] = (
                "fail"  # what it says is final: nothing that it takes would be another one
            )
        self._changes.add_node(node.name, node.use, options)

    def _loop(self, source: str) -> Loop | None:
        found = next((e for e in self._plan.edges if e.source == source and e.rounds), None)
        if found is None:
            return None
        where = f"loop {source} → {found.target}"
        when = self._asked(where, found.when) if found.when else None
        if found.to and found.to not in {p.name for p in self._parameters(found.target)}:
            raise GraphError(f"{where}: node {found.target!r} has no parameter {found.to!r}")
        return Loop(found.target, found.rounds, found.to, when, found.when)

    def _asked(self, where: str, name: str) -> Callable[..., Any]:
        """Return the function that decides whether a loop goes back."""
        known = self._terms.functions
        if known is not None and name not in known:
            raise GraphError(
                f"{where}: {name!r} cannot be asked; there are {', '.join(sorted(known))}"
            )
        function = as_function(self._changes.graph.function_named(name))
        needed = [p for p in parameters_of(function, f"{where}: {name!r}") if p.required]
        if is_async(function) or len(needed) != 1 or not needed[0].source:
            raise GraphError(f"{where}: {name!r} must be a plain function of one value")
        return function

    def _outward(self) -> Iterator[PlannedEdge]:
        return (e for e in self._plan.edges if e.target not in self._nodes and not e.rounds)
