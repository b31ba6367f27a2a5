"""A run's state in few bytes: what driving it on needs, so that a long run is not folded from its first event.

A snapshot is a cache. Completed activations are names; an output is kept while somebody may still take it, a call while
its activation goes on. What is left out is in the log. Conversations need every word of what led to them, which would be
a copy of the log: a run that has asked a model has no snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple
from typing import Any, NamedTuple

import orjson

from midstream.events.ids import activation_of
from midstream.events.pause import no_collecting
from midstream.events.payloads import PAYLOADS
from midstream.projections.call_snapshot import add_calls, call_data, parted
from midstream.projections.flow import LEFT_OUT, Activation
from midstream.projections.flow_snapshot import (
    find_latest,
    flow_data,
    needed_in,
    restore_flow,
    restore_scopes,
    root_shape,
    scopes_data,
    topology_data,
    undone_with,
)
from midstream.projections.run_state import Call, RunState, Said, Switch
from midstream.projections.scopes import around

NAME = "run"
"""By which the store keeps it."""

VERSION = 8
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
    "losers",
    "items",
    "going",
    "locals",
    "undo",
    "reflections",
    "revisions",
    "forked_at",
    "rehearsal",
)
"""Fields that are JSON as they are."""

_NAMES = ("running", "waiting", "open_calls")
"""Fields that are dicts of names in order."""


CALLS = frozenset(
    type_ for type_ in PAYLOADS if type_.partition(".")[0] in ("tool", "value", "timer")
)
"""The facts about calls that a completed activation takes with it, unless it asked a model."""


def with_calls(state: RunState, doubtful: Iterable[str] = ()) -> list[str]:
    """Return the activations whose calls are needed to drive a run on, told from a fold of all facts but `CALLS`.

    Those that go on, or may be tried again, find their calls recorded; of those that asked a model, the results of tools
    are part of what was said.

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


class Dump(NamedTuple):
    """A snapshot in two parts.

    Attributes:
        body: The state.
        calls: Answered calls that are not in it; empty where it has all.
        kept: How many calls there are in both.
    """

    body: bytes
    calls: bytes
    kept: int


class Restored(NamedTuple):
    """The state of a snapshot.

    Attributes:
        state: It.
        apart: The activations that have calls beside the snapshot.
    """

    state: RunState
    apart: Sequence[str]


def dump(state: RunState) -> bytes | None:
    """Return the state as a snapshot, or None for a run that has none: it has asked a model, or is to be cancelled."""
    data = _data(state)
    if data is None:
        return None
    return orjson.dumps(data | {"calls": [call_data(call) for call in _calls(state)]})


def dump_apart(state: RunState) -> Dump | None:
    """Return the state as `dump` does, with calls that were answered beside it where they are many."""
    data = _data(state)
    if data is None:
        return None
    going, answered = parted(_calls(state))
    data["apart"] = list(dict.fromkeys(activation_of(call.address) for call in answered))
    data["calls"] = [call_data(call) for call in going]
    calls = orjson.dumps([call_data(call) for call in answered]) if answered else b""
    return Dump(orjson.dumps(data), calls, len(going) + len(answered))


def _data(state: RunState) -> dict[str, Any] | None:
    if state.cancelling is not None:
        return None
    if any(call.kind == "model" for call in state.calls.values()):
        return None
    outputs = _needed(state)
    return {
        "version": VERSION,
        **{name: getattr(state, name) for name in _PLAIN},
        **{name: list(getattr(state, name)) for name in _NAMES},
        "notes": sorted(state.notes),
        "overrides": state.overrides,
        "switches": [astuple(switch) for switch in state.switches],
        "said": [astuple(said) for said in state.said],
        **topology_data(state.topology),
        **flow_data(state),
        **scopes_data(state),
        "activations": [
            _activation(made, with_output=made.address in outputs)
            for made in state.activations.values()
        ],
        "apart": (),
    }


def _calls(state: RunState) -> list[Call]:
    """Return the calls that driving the run on needs."""
    going = set(state.unsettled())
    return [
        call
        for call in state.calls.values()
        if call.address in state.open_calls or activation_of(call.address) in going
    ]


def restore(body: bytes) -> RunState | None:
    """Return the state of a snapshot that has all of it, or None where this release does not know its form."""
    found = restored(body)
    return None if found is None or found.apart else found.state


def restored(body: bytes) -> Restored | None:
    """Return what a snapshot holds, or None where this release does not know its form."""
    try:
        with no_collecting():
            data = orjson.loads(body)
            if data["version"] == VERSION:
                return Restored(_restored(data), data["apart"])
    except (ValueError, KeyError, TypeError):
        pass
    return None


def _restored(data: Mapping[str, Any]) -> RunState:
    state = RunState(topology=root_shape(data), notes=set(data["notes"]))
    for name in _PLAIN:
        setattr(state, name, data[name])
    for name in _NAMES:
        setattr(state, name, dict.fromkeys(data[name]))
    state.revisions = tuple(data["revisions"])
    state.overrides = tuple(data["overrides"])
    state.switches = [Switch(*values) for values in data["switches"]]
    state.said = [Said(*values) for values in data["said"]]
    restore_flow(state, data)
    for address, status, attempt, inputs, sources, since, output, *more in data["activations"]:
        made = state.activations[address] = Activation(
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
        if made.scope:
            made.node = made.node[len(made.scope) + 1 :]
        made.ends = tuple(made.ends)
    find_latest(state, data, state.activations)
    restore_scopes(state, data)
    add_calls(state, data["calls"])
    return state


def _needed(state: RunState) -> set[str]:
    """Return the activations whose output somebody may still take: the run, a node to come, one that goes on.

    What has failed inside another activation may be tried again, and then takes what it took.
    """
    needed = {
        address for here in (state, *state.scopes.values()) for address in needed_in(state, here)
    }
    for address in state.unsettled():
        made = state.activations[address]
        needed.update(made.inputs.values())
        if around(state, made).topology.nodes[made.node].spread:
            needed.update(made.sources)
    for address in state.undo:
        needed.update(undone_with(state, address))
    for items in state.items.values():
        needed.update(items)
    return needed


def _activation(made: Activation, *, with_output: bool) -> tuple[Any, ...]:
    # A list of one, so that an output that is None differs from one that was left out, perhaps by the snapshot before.
    is_kept = made.status != "completed" or with_output
    output = [made.output] if is_kept and made.output is not LEFT_OUT else []
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
        made.ends,
    )
