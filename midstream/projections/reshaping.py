"""Another version of a graph under a run: what has begun is the same in both, what is to come is waited for anew.

Of an upgrade the engine records only versions that are sound, see `midstream.engine.graphs.versions`; a fork may go on with any.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from midstream.projections.flow import Flow, expect, fire, missing, to_come
from midstream.projections.rewire import consider
from midstream.projections.topology import NodeShape, Topology


def upgrade(flow: Flow, topology: Topology) -> None:
    """Go on with another version of the graph; nodes that the run itself has added stay."""
    old = flow.topology
    if old.own:
        topology = _with_added(topology, old)
    fresh = [name for name, shape in topology.nodes.items() if old.nodes.get(name) != shape]
    gone = [name for name in old.nodes if name not in topology.nodes]
    came = {name for name in (*fresh, *gone) if name in old.nodes and to_come(flow, name)}
    for name in (*fresh, *gone):
        for record in (flow.pending, flow.ready, flow.doomed, flow.met, flow.bypassed):
            record.pop(name, None)
    flow.topology = topology
    flow.irregular = flow.irregular or not topology.plain
    begun = {*flow.latest, *flow.called}
    for shape in _in_order(topology, (name for name in fresh if name not in begun)):
        if shape.start:
            consider(flow, shape)
            if to_come(flow, shape.name) and shape.name not in came:
                expect(flow, shape.name)
    for name in tuple(flow.pending):
        shape = topology.nodes[name]
        flow.pending[name] = sum(to_come(flow, needed) for needed in shape.waits_for)
        if not flow.pending[name]:
            fire(flow, name, missing(flow, shape))


def _with_added(topology: Topology, old: Topology) -> Topology:
    found = topology.copied()
    for name, shape in old.nodes.items():
        if shape.data:
            found.add(name, shape.data)
    return found


def _in_order(topology: Topology, names: Iterable[str]) -> Iterator[NodeShape]:
    """Iterate over nodes, each after those of them that it waits for."""
    left = dict.fromkeys(names)
    while left:
        for name in tuple(left):
            shape = topology.nodes[name]
            if not any(needed in left for needed in shape.waits_for):
                del left[name]
                yield shape
