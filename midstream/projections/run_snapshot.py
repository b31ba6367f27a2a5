"""A run's state in few bytes: what driving it on needs, so that a long run is not folded from its first event.

A snapshot is a cache. Completed activations are names; an output is kept while somebody may still take it, a call while
its activation goes on. What is left out is in the log. Conversations need every word of what led to them, which would be
a copy of the log: a run that has asked a model has no snapshot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple
from typing import Any

import orjson

from midstream.events.ids import activation_of
from midstream.projections.run_state import Activation, Call, RunState, Switch
from midstream.projections.topology import Topology, shared_topology

NAME = "run"
"""By which the store keeps it."""

VERSION = 1
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
    "pending",
    "failures",
    "failed_data",
    "epoch",
    "output",
    "ended",
)
"""Fields that are JSON as they are."""

_NAMES = ("ready", "running", "waiting", "open_calls")
"""Fields that are dicts of names in order."""


def dump(state: RunState) -> bytes | None:
    """Return the state as a snapshot, or None for a run that has none: it has asked a model, or is to be cancelled."""
    if state.cancelling is not None or any(call.kind == "model" for call in state.calls.values()):
        return None
    outputs = _needed(state)
    going = {*state.running, *state.waiting}
    data = {
        "version": VERSION,
        **{name: getattr(state, name) for name in _PLAIN},
        **{name: list(getattr(state, name)) for name in _NAMES},
        "notes": sorted(state.notes),
        "switches": [astuple(switch) for switch in state.switches],
        "nodes": _nodes(state.topology),
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
        switches=[Switch(*values) for values in data["switches"]],
        topology=shared_topology(data["graph_digest"], {"nodes": data["nodes"]}),
    )
    for address, status, attempt, inputs, sources, since, output, retry_at in data["activations"]:
        node = address.rpartition("#")[0]
        state.activations[address] = Activation(
            address, node, status, attempt, inputs, tuple(sources), since, output, retry_at
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
    """Return the activations whose output somebody may still take: the run, a node to come, one that goes on."""
    nodes = set(state.topology.outputs)
    for name in state.pending:
        nodes.update(state.topology.nodes[name].values.values())
    needed = {state.latest[name].address for name in nodes if name in state.latest}
    for address in (*state.running, *state.waiting):
        needed.update(state.activations[address].inputs.values())
    return needed


def _nodes(topology: Topology) -> dict[str, Any]:
    """Return what `topology()` reads of a graph's definition."""
    return {
        name: {
            "values": shape.values,
            "after": [needed for needed in shape.waits_for if needed not in shape.values.values()],
            "output": shape.output,
        }
        for name, shape in topology.nodes.items()
    }


def _activation(made: Activation, *, with_output: bool) -> tuple[Any, ...]:
    output = made.output if with_output else None
    return (
        made.address,
        made.status,
        made.attempt,
        made.inputs,
        made.sources,
        made.since,
        output,
        made.retry_at,
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
