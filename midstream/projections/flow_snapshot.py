"""Where control is, in few bytes: the flow of a run and of each graph inside it, as snapshots keep them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import orjson

from midstream.projections.flow import Activation, Called, Flow, last_output
from midstream.projections.scopes import around, inner_topology
from midstream.projections.standing import RunState
from midstream.projections.topology import Topology, data_of, shared_topology, topology

PLAIN = (
    "pending",
    "doomed",
    "crowded",
    "met",
    "bypassed",
    "irregular",
    "failures",
    "live",
    "undoes",
)
"""Fields of a flow that are JSON as they are."""

NAMES = ("ready", "inner")
"""Fields of a flow that are dicts of names in order."""


def flow_data(flow: Flow) -> dict[str, Any]:
    """Return a flow as data, but for its topology and what is of the whole run."""
    return {
        **{name: getattr(flow, name) for name in PLAIN},
        **{name: list(getattr(flow, name)) for name in NAMES},
        "called": {
            node: [[call.args, call.by] for call in calls] for node, calls in flow.called.items()
        },
        "latest": [made.address for made in flow.latest.values()],
    }


def restore_flow(flow: Flow, data: Mapping[str, Any]) -> None:
    """Give a flow what `flow_data` has made data of, but for `latest`."""
    for name in PLAIN:
        setattr(flow, name, data[name])
    for name in NAMES:
        setattr(flow, name, dict.fromkeys(data[name]))
    flow.called = {
        node: [Called(args, by) for args, by in calls] for node, calls in data["called"].items()
    }


def find_latest(flow: Flow, data: Mapping[str, Any], made: Mapping[str, Activation]) -> None:
    """Give a flow the newest activations of its nodes, which are made before."""
    for address in data["latest"]:
        flow.latest[made[address].node] = made[address]


def scopes_data(state: RunState) -> dict[str, Any]:
    """Return the graphs inside a run, and their flows, as data."""
    if not (state.graphs or state.scopes):
        return {}
    shapes: dict[int, int] = {}
    found: list[Topology] = []
    scopes: list[dict[str, Any]] = []
    for here in state.scopes.values():
        own = here.topology
        data = {"scope": here.scope, "graph": here.graph, **flow_data(here)}
        if here.graph not in state.graphs or own is not inner_topology(state, here.graph):
            if id(own) not in shapes:
                shapes[id(own)] = len(found)
                found.append(own)
            data["shape"] = shapes[id(own)]
        scopes.append(data)
    return {
        "graphs": {name: topology_data(inner_topology(state, name)) for name in state.graphs},
        "shapes": [topology_data(own) for own in found],
        "scopes": scopes,
        "active": list(state.active),
        "idle": list(state.idle),
    }


def restore_scopes(state: RunState, data: Mapping[str, Any]) -> None:
    """Give a run the graphs inside it; its activations are there."""
    if "graphs" not in data:
        return
    state.graphs = data["graphs"]
    shapes = [_own_shape(shape) for shape in data["shapes"]]
    scopes: list[dict[str, Any]] = data["scopes"]
    for kept in scopes:
        place: int | None = kept.get("shape")
        here = Flow(
            topology=inner_topology(state, kept["graph"]) if place is None else shapes[place],
            scope=kept["scope"],
            graph=kept["graph"],
            running=state.running,
            waiting=state.waiting,
            losers=state.losers,
        )
        restore_flow(here, kept)
        find_latest(here, kept, state.activations)
        state.scopes[here.scope] = here
    state.active, state.idle = dict.fromkeys(data["active"]), dict.fromkeys(data["idle"])


def needed_in(state: RunState, here: Flow) -> Iterable[str]:
    """Return the activations whose output somebody in a flow may still take: its end, or a node to come.

    Where nothing that waits for a node has begun, that may be taken away, and the node's output is the graph's then. Control may go back to any node, which then takes what else it needs from the log; see `LEFT_OUT`.
    """
    latest = here.latest
    nodes = set(here.topology.outputs)
    for name, who in here.topology.successors.items():
        if name in latest and not any(one in latest for one in who):
            nodes.add(name)
    for name in (*here.pending, *here.ready, *here.called, *here.doomed):
        nodes.update(here.topology.nodes[name].waits_for)
    for shape in here.topology.nodes.values():
        if shape.asks:
            nodes.update(shape.waits_for)
    for name in nodes:
        made = last_output(here, state.activations, name)
        if made is not None:
            yield made.address


def undone_with(state: RunState, address: str) -> Iterable[str]:
    """Return the activations whose output is taken when one is undone."""
    made = state.activations[address]
    here = around(state, made)
    undo = here.topology.nodes[here.topology.nodes[made.node].undo]
    yield address
    yield from (here.latest[n].address for n in undo.values.values() if n in here.latest)


def topology_data(topology: Topology) -> dict[str, Any]:
    """Return a topology as data; of one that its run has changed, also what no definition says."""
    if not topology.own:
        topology.dumped = topology.dumped or _nodes(topology)
        return {"nodes": orjson.Fragment(topology.dumped)}
    return {
        "nodes": orjson.Fragment(_nodes(topology)),
        "added": {name: shape.data for name, shape in topology.nodes.items() if shape.data},
        "successors": {name: list(who) for name, who in topology.successors.items()},
    }


def _nodes(topology: Topology) -> bytes:
    return orjson.dumps({name: data_of(shape) for name, shape in topology.nodes.items()})


def root_shape(data: Mapping[str, Any]) -> Topology:
    """Return the topology of a run."""
    if "added" in data:
        return _own_shape(data)
    return shared_topology(data["graph_digest"], {"nodes": data["nodes"]})


def _own_shape(data: Mapping[str, Any]) -> Topology:
    found = topology({"nodes": data["nodes"]})
    if "added" not in data:
        return found
    found = found.copied()
    found.successors = {name: dict.fromkeys(who) for name, who in data["successors"].items()}
    for name, recorded in data["added"].items():
        found.nodes[name] = replace(found.nodes[name], data=recorded)
    return found
