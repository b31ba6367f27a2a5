"""A run's state in few bytes: what driving it on needs, so that a long run is not folded from its first event.

A snapshot is a cache. Completed activations are names; an output is kept while somebody may still take it, a call while
its activation goes on. What is left out is in the log. Conversations need every word of what led to them, which would be
a copy of the log: a run that has asked a model has no snapshot, and none that may run graphs inside its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple, replace
from typing import Any

import orjson

from midstream.events.ids import activation_of
from midstream.events.payloads import PAYLOADS
from midstream.projections.flow import LEFT_OUT, Activation, Called, last_output
from midstream.projections.run_state import Call, RunState, Said, Switch
from midstream.projections.topology import Topology, data_of, shared_topology, topology

NAME = "run"
"""By which the store keeps it."""

VERSION = 6
"""Of this form and of the fold behind it; a snapshot of another version is not used."""

_PLAIN = (
    "seq",
    "status",
    "graph",
    "graph_digest",
    "code",
    "inputs",
    "model",
    "tags",
    "context",
    "pending",
    "failures",
    "failed_data",
    "epoch",
    "output",
    "ended",
    "began",
    "parent",
    "parent_step",
    "subject",
    "limits",
    "limited",
    "doomed",
    "losers",
    "crowded",
    "met",
    "bypassed",
    "irregular",
    "items",
    "going",
    "locals",
    "undo",
    "live",
    "reflections",
    "revisions",
    "forked_at",
    "rehearsal",
)
"""Fields that are JSON as they are."""

_NAMES = ("ready", "running", "waiting", "open_calls")
"""Fields that are dicts of names in order."""


CALLS = frozenset(
    type_ for type_ in PAYLOADS if type_.partition(".")[0] in ("tool", "value", "timer")
)
"""The facts about calls that a completed activation takes with it, unless it asked a model."""


def with_calls(state: RunState, doubtful: Iterable[str] = ()) -> list[str]:
    """Return the activations whose calls are needed to drive a run on, told from a fold of all facts but `CALLS`.

    Those that go on, or may be tried again, find their calls recorded; of those that asked a model, the results of tools are part of what was
    said.

    Args:
        state: The run without those facts.
        doubtful: Activations with a call of unknown outcome, which may be settled at any time.
    """
    asked = [activation_of(address) for address in state.calls]
    return list(dict.fromkeys([*state.unsettled(), *asked, *doubtful]))


def in_order(state: RunState) -> None:
    """Put the calls of a state in the order in which they were first requested."""
    calls = sorted(state.calls.values(), key=lambda call: call.first_seq)
    state.calls = {call.address: call for call in calls}
    state.open_calls = {call.address: None for call in calls if call.address in state.open_calls}


def dump(state: RunState) -> bytes | None:
    """Return the state as a snapshot, or None for a run that has none: it has asked a model, or is to be cancelled."""
    if state.cancelling is not None or state.graphs:
        return None
    if any(call.kind == "model" for call in state.calls.values()):
        return None
    outputs = _needed(state)
    going = set(state.unsettled())
    data = {
        "version": VERSION,
        **{name: getattr(state, name) for name in _PLAIN},
        **{name: list(getattr(state, name)) for name in _NAMES},
        "notes": sorted(state.notes),
        "overrides": state.overrides,
        "switches": [astuple(switch) for switch in state.switches],
        "said": [astuple(said) for said in state.said],
        **_topology(state.topology),
        "called": {
            node: [[call.args, call.by] for call in calls] for node, calls in state.called.items()
        },
        "latest": [made.address for made in state.latest.values()],
        "activations": [
            _activation(made, with_output=made.address in outputs)
            for made in state.activations.values()
        ],
        "calls": [
            _call(call)
            for call in state.calls.values()
            if call.address in state.open_calls or activation_of(call.address) in going
        ],
    }
    return orjson.dumps(data)


def restore(body: bytes) -> RunState | None:
    """Return the state of a snapshot, or None where this release does not know its form."""
    try:
        data = orjson.loads(body)
        return _restored(data) if data["version"] == VERSION else None
    except (ValueError, KeyError, TypeError):
        return None


def _restored(data: Mapping[str, Any]) -> RunState:
    fields: dict[str, Any] = {name: data[name] for name in _PLAIN}
    fields |= {name: dict.fromkeys(data[name]) for name in _NAMES}
    state = RunState(
        **fields,
        notes=set(data["notes"]),
        overrides=tuple(data["overrides"]),
        switches=[Switch(*values) for values in data["switches"]],
        said=[Said(*values) for values in data["said"]],
        topology=_shape(data),
        called={
            node: [Called(args, by) for args, by in calls] for node, calls in data["called"].items()
        },
    )
    for address, status, attempt, inputs, sources, since, output, *more in data["activations"]:
        state.activations[address] = Activation(
            address,
            address.rpartition("#")[0],
            status,
            attempt,
            inputs,
            tuple(sources),
            since,
            output[0] if output else LEFT_OUT,
            *more,
        )
    for address in data["latest"]:
        made = state.activations[address]
        state.latest[made.node] = made
    for values in data["calls"]:
        call = Call(*values)
        state.calls[call.address] = call
        if call.kind not in ("value", "memory"):  # these are found by their place
            state.call_keys.setdefault(call.address.rpartition("#")[0], []).append(call.address)
    return state


def _needed(state: RunState) -> set[str]:
    """Return the activations whose output somebody may still take: the run, a node to come, one that goes on.

    Control may go back to any node, which then takes what else it needs from the log; see `LEFT_OUT`.
    """
    topology = state.topology
    nodes = set(topology.outputs)
    for name in (*state.pending, *state.ready, *state.called):
        nodes.update(topology.nodes[name].waits_for)
    for shape in topology.nodes.values():
        if shape.asks:
            nodes.update(shape.waits_for)
    needed = {
        made.address
        for name in nodes
        if (made := last_output(state, state.activations, name)) is not None
    }
    for address in (*state.running, *state.waiting):
        going = state.activations[address]
        needed.update(going.inputs.values())
        if state.topology.nodes[going.node].spread:
            needed.update(going.sources)
    for address in state.undo:
        needed.add(address)
        undo = topology.nodes[topology.nodes[state.activations[address].node].undo]
        needed.update(state.latest[n].address for n in undo.values.values() if n in state.latest)
    for items in state.items.values():
        needed.update(items)
    return needed


def _topology(topology: Topology) -> dict[str, Any]:
    """Return the topology as data; of a run that changed its own, also what no definition says."""
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


def _shape(data: Mapping[str, Any]) -> Topology:
    definition = {"nodes": data["nodes"]}
    if "added" not in data:
        return shared_topology(data["graph_digest"], definition)
    found = topology(definition).copied()
    found.successors = {name: dict.fromkeys(who) for name, who in data["successors"].items()}
    for name, recorded in data["added"].items():
        found.nodes[name] = replace(found.nodes[name], data=recorded)
    return found


def _activation(made: Activation, *, with_output: bool) -> tuple[Any, ...]:
    # A list of one, so that an output that is None differs from one that was left out.
    output = [made.output] if made.status != "completed" or with_output else []
    return (
        made.address,
        made.status,
        made.attempt,
        made.inputs,
        made.sources,
        made.since,
        output,
        made.retry_at,
        made.args,
        made.index,
        made.began,
        made.scope,
        made.ended,
    )


def _call(call: Call) -> tuple[Any, ...]:
    return (
        call.address,
        call.kind,
        call.status,
        call.lane,
        call.request,
        call.outcome,
        call.first_seq,
        call.seq,
        call.epoch,
        call.attempt,
    )
