"""What happens next: from where a run stands to what is to be done, pure and incremental.

The state knows which nodes became ready; nothing here looks at the rest of the graph, so a decision costs what it decides.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from midstream.events.ids import Address
from midstream.events.payloads import Failure
from midstream.projections.run_state import RunState, next_address


@dataclass(frozen=True, slots=True)
class Schedule:
    """Start the first attempt of a new activation."""

    node: str
    address: Address
    inputs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Complete:
    """End the run with this output."""

    output: Any


@dataclass(frozen=True, slots=True)
class Fail:
    """End the run; every branch has settled."""

    failures: tuple[Failure, ...]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Close what is open and end the run."""

    cause: int
    reason: str


Command = Schedule | Complete | Fail | Cancel


def decide(state: RunState) -> tuple[Command, ...]:
    """Return what is to be done now; empty where something is to be waited for."""
    if state.over:
        return ()
    if state.cancelling is not None:
        return (Cancel(state.cancelling.seq, state.cancelling.data.get("reason", "")),)
    if state.failures:
        # What is running settles, nothing new begins.
        return () if state.running or state.waiting else (Fail(_failures(state)),)
    if state.status == "paused":
        return ()
    if state.ready:
        return tuple(_schedule(state, node) for node in state.ready)
    if state.running or state.waiting or state.pending:
        return ()
    return (Complete(_output(state)),)


def _schedule(state: RunState, node: str) -> Schedule:
    latest = state.latest
    values = state.topology.nodes[node].values
    inputs = {parameter: latest[source].address for parameter, source in values.items()}
    return Schedule(node, next_address(state, node), inputs)


def _failures(state: RunState) -> tuple[Failure, ...]:
    return tuple(
        Failure(
            address=address,
            kind=state.failed_data[address]["kind"],
            message=state.failed_data[address].get("message", ""),
        )
        for address in state.failures
    )


def _output(state: RunState) -> Any:
    outputs = state.topology.outputs
    if len(outputs) == 1:
        return state.latest[outputs[0]].output
    return {name: state.latest[name].output for name in outputs}
