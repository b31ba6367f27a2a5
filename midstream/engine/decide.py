"""What happens next: from where a run stands to what is to be done, pure and incremental.

The state knows which nodes became ready; nothing here looks at the rest of the graph, so a decision costs what it decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from midstream.events.ids import Address
from midstream.events.payloads import Failure
from midstream.projections.flow import Activation, last_output, to_come
from midstream.projections.run_state import RunState, next_address

_SHOWN = 5


@dataclass(frozen=True, slots=True)
class Schedule:
    """Start the first attempt of a new activation.

    Attributes:
        node: Whose.
        address: Its address.
        inputs: For each parameter that takes a node's output, the activation it comes from.
        called: Who called it, or whose effects it undoes; empty where it runs because of what it waited for.
        asks: Its `when` decides first.
    """

    node: str
    address: Address
    inputs: Mapping[str, str]
    called: str = ""
    asks: bool = False


@dataclass(frozen=True, slots=True)
class Skip:
    """Record that a node's turn passes."""

    node: str
    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Drop:
    """End an activation that nobody waits for any more."""

    address: Address
    reason: str


@dataclass(frozen=True, slots=True)
class Limit:
    """Record that the run came up against a limit."""

    limit: str
    message: str


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


Command = Schedule | Skip | Drop | Limit | Complete | Fail | Cancel


def decide(state: RunState) -> tuple[Command, ...]:
    """Return what is to be done now; empty where something is to be waited for."""
    if state.over:
        return ()
    if state.cancelling is not None:
        return (Cancel(state.cancelling.seq, state.cancelling.data.get("reason", "")),)
    if state.losers:
        return tuple(Drop(Address(address), reason) for address, reason in state.losers.items())
    if state.failing:
        return () if state.running or state.waiting else (_undo_or_fail(state),)
    if state.status == "paused":
        return ()
    if state.ready or state.doomed or state.called:
        return tuple(_begin(state))
    if state.running or state.waiting:
        return ()
    if state.pending:
        return (Fail((_deadlock(state),)),)
    return (Complete(_output(state)),)


def _begin(state: RunState) -> Iterator[Command]:
    limit = state.limits.get("activations")
    if limit is not None:
        coming = len(state.ready) + sum(len(calls) for calls in state.called.values())
        if len(state.activations) + coming > limit:
            yield Limit(
                "activations",
                f"the run would have more than {limit:.0f} activations; if that is no runaway loop, "
                "give it a higher Limits(activations=…)",
            )
            return
    for node, reason in state.doomed.items():
        yield Skip(node, next_address(state, node), reason)
    for node in state.ready:
        yield _schedule(state, node)
        if node in state.topology.joins:
            return  # it gives up what it no longer waits for, which may be what would come next here
    for node, calls in state.called.items():
        inputs = _any_inputs(state, node)
        for number, call in enumerate(calls):
            yield Schedule(node, next_address(state, node, number), inputs, call.by)


def _schedule(state: RunState, node: str) -> Schedule:
    shape = state.topology.nodes[node]
    if state.irregular:
        return Schedule(node, next_address(state, node), _inputs(state, node), "", shape.asks)
    latest = state.latest
    inputs = {parameter: latest[source].address for parameter, source in shape.values.items()}
    return Schedule(node, next_address(state, node), inputs, "", shape.asks)


def _inputs(state: RunState, node: str) -> Mapping[str, str]:
    """Return where a node's values come from, of those that are there; a join takes none that is to come anew."""
    found: dict[str, str] = {}
    shape = state.topology.nodes[node]
    for parameter, source in shape.values.items():
        if shape.join and to_come(state, source):
            continue
        made = _newest_output(state, source)
        if made is not None:
            found[parameter] = made.address
    return found


def _any_inputs(state: RunState, node: str) -> Mapping[str, str]:
    """Return the same for a node that was called: what there is, however old."""
    values = state.topology.nodes[node].values
    found = {parameter: _last_output(state, source) for parameter, source in values.items()}
    return {parameter: made.address for parameter, made in found.items() if made is not None}


def _newest_output(state: RunState, node: str) -> Activation | None:
    """Return the newest activation of a node, if that has completed."""
    made = state.latest.get(node)
    return made if made is not None and made.status == "completed" else None


def _undo_or_fail(state: RunState) -> Command:
    if not state.undo:
        return Fail(_failures(state))
    done = state.activations[state.undo[-1]]
    node = state.topology.nodes[done.node].undo
    values = state.topology.nodes[node].values
    inputs = {
        parameter: done.address if source == done.node else made.address
        for parameter, source in values.items()
        if (made := state.latest.get(source)) is not None and made.status == "completed"
    }
    return Schedule(node, next_address(state, node), inputs, done.address)


def _failures(state: RunState) -> tuple[Failure, ...]:
    found = [
        Failure(
            address=address,
            kind=state.failed_data[address]["kind"],
            message=state.failed_data[address].get("message", ""),
        )
        for address in state.failures
    ]
    if state.limited is not None:
        found.append(Failure(address="", kind="limit", message=state.limited["message"]))
    return tuple(found)


def _deadlock(state: RunState) -> Failure:
    """Name what waits for what, where nothing runs and something waits."""
    stuck: list[str] = []
    for node in tuple(state.pending)[:_SHOWN]:
        needs = state.topology.nodes[node].waits_for
        stuck.append(f"{node} waits for {', '.join(n for n in needs if to_come(state, n))}")
    more = len(state.pending) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    message = f"nothing can run any more: {'; '.join(stuck)}{rest}"
    return Failure(address="", kind="deadlock", message=message)


def _output(state: RunState) -> Any:
    outputs = state.topology.outputs
    if len(outputs) == 1:
        made = _last_output(state, outputs[0])
        return None if made is None else made.output
    found = {name: _last_output(state, name) for name in outputs}
    return {name: made.output for name, made in found.items() if made is not None}


def _last_output(state: RunState, node: str) -> Activation | None:
    return last_output(state, state.activations, node)
