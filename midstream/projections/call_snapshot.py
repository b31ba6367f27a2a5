"""Calls in few bytes, as snapshots keep them.

A call that was answered is needed again by its own activation, and only if that has to be performed anew. An activation may
have made thousands; most often it has ended when its run is taken over. So they are kept beside the rest of a snapshot, and
read where they are needed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import orjson

from midstream.events.ids import activation_of
from midstream.projections.records import Call
from midstream.projections.standing import RunState

NAME = "run.calls"
"""By which the store keeps those that stand beside a snapshot."""

FEW = 24
"""So many answered calls at most stay with the rest: to read them is less than to read a second snapshot."""

Row = Sequence[Any]


def call_data(call: Call) -> Row:
    """Return a call as data."""
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


def parted(calls: Iterable[Call]) -> tuple[list[Call], list[Call]]:
    """Return the calls that the facts to come may be about, and those that were answered, which no further fact changes."""
    going: list[Call] = []
    answered: list[Call] = []
    for call in calls:
        (answered if call.status == "completed" else going).append(call)
    if len(answered) > FEW:
        return going, answered
    return [*calls], []


def add_calls(state: RunState, rows: Iterable[Row]) -> None:
    """Give a state calls of a snapshot, in the order of their requests."""
    for row in rows:
        call = Call(*row)
        state.calls[call.address] = call
        if call.kind not in ("value", "memory"):  # these are found by their place
            state.call_keys.setdefault(call.address.rpartition("#")[0], []).append(call.address)


def add_answered(state: RunState, body: bytes, whose: Collection[str] | None = None) -> bool:
    """Give a state the calls that stood beside its snapshot, before those that came after them.

    Args:
        state: The run.
        body: The calls.
        whose: The activations whose calls are wanted; None for all.

    Returns:
        False where they are not of this state: one of them was recorded once more.
    """
    rows: list[Row] = orjson.loads(body)
    if whose is not None:
        rows = [row for row in rows if activation_of(row[0]) in whose]
    if any(row[0] in state.calls for row in rows):
        return False
    newer, state.calls = state.calls, {}
    keys, state.call_keys = state.call_keys, {}
    add_calls(state, rows)
    state.calls = dict(
        sorted((state.calls | newer).items(), key=lambda item: item[1].first_seq),
    )
    for place, addresses in keys.items():
        known = state.call_keys.setdefault(place, [])
        known += addresses
        known.sort(key=lambda address: state.calls[address].first_seq)
    return True
