"""What a change of a run's own topology does to its flow: who has to wait for what from then on.

The engine records only changes that are sound; see `midstream.engine.graphs.rewiring`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.projections.flow import Flow, counting, expect, fire, missing, to_come, too_few
from midstream.projections.topology import NodeShape, Topology


def add_node(flow: Flow, name: str, data: Mapping[str, Any]) -> None:
    """Add a node that nobody waits for yet."""
    shape = _own(flow).add(name, data)
    if shape.start:
        consider(flow, shape)


def remove_node(flow: Flow, name: str) -> None:
    """Take a node out that has not begun; who waited for it waits for one less."""
    came = to_come(flow, name)
    for record in (flow.pending, flow.ready, flow.doomed, flow.met, flow.bypassed):
        record.pop(name, None)
    for follower in _own(flow).remove(name):
        _waits_for_less(flow, follower, name, came=came)


def add_edge(flow: Flow, source: str, target: str, to: str) -> None:
    """Have a node that has not begun wait for another one."""
    if not _own(flow).connect(source, target, to) or not to_come(flow, source):
        return
    if target in flow.pending:
        flow.pending[target] += 1
    elif flow.topology.nodes[target].start and target not in flow.called:
        came = to_come(flow, target)
        flow.ready.pop(target, None)
        flow.doomed.pop(target, None)
        flow.pending[target] = 1
        if not came:
            expect(flow, target)


def remove_edge(flow: Flow, source: str, target: str) -> None:
    """Have a node that has not begun no longer wait for another one."""
    _own(flow).disconnect(source, target)
    _waits_for_less(flow, target, source, came=to_come(flow, source))


def _waits_for_less(flow: Flow, node: str, source: str, *, came: bool) -> None:
    shape = flow.topology.nodes[node]
    left = flow.pending.get(node)
    flow.met.get(node, {}).pop(source, None)
    if left is None:
        if shape.start and not shape.waits_for and node not in flow.latest:
            was_to_come = to_come(flow, node)
            flow.doomed.pop(node, None)
            flow.ready[node] = None
            if not was_to_come:
                expect(flow, node)
    elif came and left == 1:
        reason = too_few(flow, node, shape.join) if shape.join else missing(flow, shape)
        fire(flow, node, reason)
    elif came:
        flow.pending[node] = left - 1


def consider(flow: Flow, shape: NodeShape) -> None:
    """Have a new node wait, run, or pass its turn; one that waits for nodes to be called waits until they are."""
    count = sum(to_come(flow, name) for name in shape.waits_for)
    if shape.join:
        done = counting(flow, shape)
        if len(done) >= shape.join:
            flow.ready[shape.name] = None
            return
        flow.met[shape.name] = dict.fromkeys(done)
    if count:
        flow.pending[shape.name] = count
    elif not shape.waits_for or any(name in flow.latest for name in shape.waits_for):
        fire(flow, shape.name, missing(flow, shape))


def _own(flow: Flow) -> Topology:
    if not flow.topology.own:
        flow.topology = flow.topology.copied()
    return flow.topology
