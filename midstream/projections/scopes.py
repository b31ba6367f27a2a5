"""Graphs inside graphs: an activation whose node is a graph has a flow of its own, in which that graph runs.

The scope of a step is the activation whose graph it is in, or nothing: the graph of the run. Each scope has its own flow,
named by nothing but the names of its graph; only addresses say where it is. A scope begins with its activation, and is
gone when that has ended, unless something in it is to be undone if the run fails.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.events.ids import scope_of
from midstream.projections import flow
from midstream.projections.flow import Activation, Flow, last_output
from midstream.projections.reshaping import upgrade
from midstream.projections.sparse import new_dict
from midstream.projections.topology import Topology, nothing, shared_topology


@dataclass(slots=True)
class Nest(Flow):
    """The flow of a run, and those inside it.

    Attributes:
        graph_digest: Of the run's definition.
        graphs: The definitions of the graphs that its nodes may run, by name.
        activations: By address, of all scopes.
        scopes: The flows of the graphs that activations run, by the activation.
        active: Those in which something can begin, in the order they became so.
        idle: Those in which nothing is under way.
        limited: The data of the `limit.reached` that the run fails of, or None.
    """

    graph_digest: str = ""
    graphs: Mapping[str, Any] = field(default_factory=nothing)
    activations: dict[str, Activation] = field(default_factory=new_dict)
    scopes: dict[str, Flow] = field(default_factory=new_dict)
    active: dict[str, None] = field(default_factory=new_dict)
    idle: dict[str, None] = field(default_factory=new_dict)
    limited: Mapping[str, Any] | None = None

    @property
    def failing(self) -> bool:
        """Nothing new begins, but what undoes; when all has settled, the run fails."""
        return bool(self.failures) or self.limited is not None


def place(nest: Nest, address: str) -> tuple[Flow, str]:
    """Return the flow that an activation is in, and its node's name there."""
    name = address.rpartition("#")[0]
    if "#" not in name:
        return nest, name
    scope, node = scope_of(name)
    return nest.scopes[scope], node


def around(nest: Nest, made: Activation) -> Flow:
    """Return the flow that an activation is in."""
    return nest.scopes[made.scope] if made.scope else nest


def is_under_way(made: Activation) -> bool:
    """Say whether an activation has begun and not ended."""
    return made.status in ("running", "waiting")


def stir(nest: Nest, here: Flow) -> None:
    """Take in that a flow has changed: whether something can begin in it, and whether anything is under way."""
    if not here.scope:
        return
    goes_on = is_under_way(nest.activations[here.scope])
    _mark(nest.active, here.scope, goes_on and bool(here.ready or here.called or here.doomed))
    _mark(nest.idle, here.scope, goes_on and not here.live)


def _mark(marked: dict[str, None], scope: str, holds: bool) -> None:
    if holds:
        marked[scope] = None
    else:
        marked.pop(scope, None)


def enter(nest: Nest, made: Activation, graph: str) -> None:
    """Begin the graph of an activation."""
    inside = Flow(
        topology=inner_topology(nest, graph),
        scope=made.address,
        graph=graph,
        running=nest.running,
        waiting=nest.waiting,
        losers=nest.losers,
    )
    flow.begin(inside)
    nest.scopes[made.address] = inside
    around(nest, made).inner[made.address] = None
    stir(nest, inside)


def leave(nest: Nest, made: Activation) -> None:
    """End the graph of an activation that has ended, with what is inside it."""
    inside = nest.scopes.get(made.address)
    if inside is None:
        return
    made.ends = tuple(
        last.address
        for name in inside.topology.outputs
        if (last := last_output(inside, nest.activations, name)) is not None
    )
    _forget(nest, inside)
    around(nest, made).inner.pop(made.address, None)


def _forget(nest: Nest, inside: Flow) -> None:
    nest.active.pop(inside.scope, None)
    nest.idle.pop(inside.scope, None)
    for scope in tuple(inside.inner):
        _forget(nest, nest.scopes[scope])
    if not inside.undoes:
        del nest.scopes[inside.scope]


def keep_undo(nest: Nest, made: Activation) -> None:
    """Keep the flows around an activation that is undone if the run fails."""
    while made.scope:
        nest.scopes[made.scope].undoes = True
        made = nest.activations[made.scope]


def is_failing(nest: Nest, here: Flow) -> bool:
    """Say whether nothing new begins in a flow, because something failed in it or around it."""
    while here.scope:
        if here.failures:
            return True
        here = around(nest, nest.activations[here.scope])
    return nest.failing


def is_over(nest: Nest, scope: str) -> bool:
    """Say whether nothing is under way in a scope, and nothing will begin."""
    inside = nest.scopes[scope]
    if inside.live:
        return False
    return not (inside.ready or inside.called or inside.doomed) or is_failing(nest, inside)


def failed_in(nest: Nest, made: Activation) -> list[str]:
    """Return the list that takes the failure of an activation: that of its scope, or of the run where the scope has ended."""
    while made.scope:
        outer = nest.activations[made.scope]
        if is_under_way(outer):
            return nest.scopes[made.scope].failures
        made = outer
    return nest.failures


def reshape(nest: Nest) -> None:
    """Have every scope go on with the graphs of another definition."""
    for inside in nest.scopes.values():
        if inside.graph in nest.graphs:
            upgrade(inside, inner_topology(nest, inside.graph))


def inner_topology(nest: Nest, graph: str) -> Topology:
    """Return the topology of a graph that nodes of a run may run, as its definition has it."""
    return shared_topology(f"{nest.graph_digest}/{graph}", nest.graphs[graph])


def is_node(nest: Nest, way: str) -> bool:
    """Say whether a run has a node, given by the way to it: `research/plan` for one in the graph that `research` runs."""
    name, _, further = way.partition("/")
    topologies = [nest.topology]
    while True:
        shapes = [topology.nodes[name] for topology in topologies if name in topology.nodes]
        if not further or not shapes:
            return bool(shapes)
        name, _, further = further.partition("/")
        graphs = {shape.graph for shape in shapes if shape.graph}
        topologies = [inner_topology(nest, graph) for graph in graphs]
        topologies += [here.topology for here in nest.scopes.values() if here.graph in graphs]


def nodes_of(nest: Nest) -> list[str]:
    """Return the nodes of a run, and those of the graphs that these run, by the way to them."""
    found: list[str] = []
    for name, shape in nest.topology.nodes.items():
        found.append(name)
        if shape.graph:
            found += [f"{name}/{inner}" for inner in nest.graphs[shape.graph]["nodes"]]
    return found
