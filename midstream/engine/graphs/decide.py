"""What happens next: from where a run stands to what is to be done, pure and incremental.

The state knows which nodes became ready; nothing here looks at the rest of the graph, so a decision costs what it decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from midstream.events.ids import Address, nested
from midstream.events.payloads import Failure
from midstream.projections.flow import Activation, Flow, last_output, to_come
from midstream.projections.run_state import Call, RunState, next_address
from midstream.projections.scopes import around, is_failing, is_over

_SHOWN = 5

DEPTH = 64
"""How deep graphs may be inside graphs, and runs inside runs, where nobody says otherwise."""


class Schedule(NamedTuple):
    """Start the first attempt of a new activation.

    Attributes:
        node: Whose.
        address: Its address.
        inputs: For each parameter that takes a node's output, the activation it comes from.
        scope: The activation whose graph the node is in, or empty.
        called: Who called it, or whose effects it undoes; empty where it runs because of what it waited for.
        asks: Its `when` decides first.
    """

    node: str
    address: Address
    inputs: Mapping[str, str]
    scope: str = ""
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
class Close:
    """Have a run that this one has started end, because this one does."""

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


BROKEN_OFF = "broken_off"
"""The kind of failure of what ended early because the graph around it fails; it is no reason of that."""

Command = Schedule | Skip | Drop | Close | Limit | Complete | Fail | Cancel


def decide(state: RunState) -> tuple[Command, ...]:
    """Return what is to be done now; empty where something is to be waited for."""
    begins = state.ready or state.doomed or state.called or state.active
    only_waits = state.running and not (begins or state.losers) and state.cancelling is None
    if only_waits or state.over:  # the first is so after most events
        return ()
    if state.cancelling is not None:
        return (Cancel(state.cancelling.seq, state.cancelling.data.get("reason", "")),)
    if state.losers:
        return tuple(Drop(Address(address), reason) for address, reason in state.losers.items())
    if state.failing:
        return () if state.running or state.waiting else _closing(state, _undo_or_fail(state))
    if state.status == "paused":
        return ()
    if begins:
        commands = _begin(state)
        if commands:
            return commands
    if state.running or state.waiting:
        return ()
    if state.pending:
        return (Fail((_deadlock(state),)),)
    return _closing(state, Complete(_output(state, state)))


def open_children(state: RunState) -> list[Call]:
    """Return the runs that a run has started, that have not ended, and that it does not end without."""
    calls = (state.calls[address] for address in state.open_calls)
    return [
        one
        for one in calls
        if one.kind == "subrun"
        and one.request.get("close") != "abandon"
        and one.epoch is not None  # those that were open in what a fork shares are another run's
    ]


def _closing(state: RunState, end: Command) -> tuple[Command, ...]:
    """Return how a run ends, or what has to be done before it may: its runs have to have ended."""
    children = open_children(state)
    if not children:
        return (end,)
    how = "failed" if state.failing else "completed"
    return tuple(
        Close(Address(one.address), f"the run that started it {how}")
        for one in children
        if one.request.get("close") == "cancel" and "closing" not in one.request
    )


def _begin(state: RunState) -> tuple[Command, ...]:
    flows = _stirred(state)
    if state.limits or state.graphs:
        exceeded = _exceeded(state, flows)
        if exceeded is not None:
            return (exceeded,)
    found: list[Command] = []
    for here in flows:
        found += _begin_in(state, here)
    return tuple(found)


def _stirred(state: RunState) -> list[Flow]:
    """Return the flows in which something can begin."""
    found: list[Flow] = [state] if state.ready or state.doomed or state.called else []
    for scope in state.active:
        here = state.scopes[scope]
        if not is_failing(state, here):
            found.append(here)
    return found


def _exceeded(state: RunState, flows: Iterable[Flow]) -> Limit | None:
    """Return the limit that what is to begin would exceed, if there is one."""
    limit = state.limits.get("activations")
    if limit is not None:
        coming = sum(
            len(here.ready) + sum(len(calls) for calls in here.called.values()) for here in flows
        )
        if coming and len(state.activations) + coming > limit:
            return Limit(
                "activations",
                f"the run would have more than {limit:.0f} activations; if that is no runaway loop, "
                "give it a higher Limits(activations=…)",
            )
    depth = state.limits.get("depth", DEPTH)
    for here in flows if state.graphs else ():
        if here.scope.count("#") < depth:
            continue
        for node in (*here.ready, *here.called):
            if here.topology.nodes[node].graph:
                return Limit("depth", too_deep(f"node {nested(here.scope, node)!r}", depth))
    return None


def _begin_in(state: RunState, here: Flow) -> list[Command]:
    found: list[Command] = []
    for node, reason in here.doomed.items():
        found.append(Skip(node, next_address(here, node), reason))
    joins = here.topology.joins
    for node in here.ready:
        found.append(_schedule(here, node))
        if node in joins:
            return found  # it gives up what it no longer waits for, which may be what would come next here
    for node, calls in here.called.items():
        inputs = _any_inputs(state, here, node)
        for number, call in enumerate(calls):
            address = next_address(here, node, number)
            found.append(Schedule(node, address, inputs, here.scope, call.by))
    return found


def _schedule(here: Flow, node: str) -> Schedule:
    shape, latest = here.topology.nodes[node], here.latest
    first = node not in latest and not here.scope
    address = here.topology.first(node) if first else next_address(here, node)
    if here.irregular:
        return Schedule(node, address, _inputs(here, node), here.scope, "", shape.asks)
    inputs: Mapping[str, str] = {
        parameter: latest[source].address for parameter, source in shape.values.items()
    }
    if first:
        inputs = here.topology.taken(node, inputs)
    return Schedule(node, address, inputs, here.scope, "", shape.asks)


def _inputs(here: Flow, node: str) -> Mapping[str, str]:
    """Return where a node's values come from, of those that are there; a join takes none that is to come anew."""
    found: dict[str, str] = {}
    shape = here.topology.nodes[node]
    for parameter, source in shape.values.items():
        if shape.join and to_come(here, source):
            continue
        made = _newest_output(here, source)
        if made is not None:
            found[parameter] = made.address
    return found


def _any_inputs(state: RunState, here: Flow, node: str) -> Mapping[str, str]:
    """Return the same for a node that was called: what there is, however old."""
    values = here.topology.nodes[node].values
    found = {
        parameter: last_output(here, state.activations, source)
        for parameter, source in values.items()
    }
    return {parameter: made.address for parameter, made in found.items() if made is not None}


def _newest_output(here: Flow, node: str) -> Activation | None:
    """Return the newest activation of a node, if that has completed."""
    made = here.latest.get(node)
    return made if made is not None and made.status == "completed" else None


def _undo_or_fail(state: RunState) -> Command:
    if not state.undo:
        return Fail(_failures(state))
    done = state.activations[state.undo[-1]]
    here = around(state, done)
    node = here.topology.nodes[done.node].undo
    values = here.topology.nodes[node].values
    inputs = {
        parameter: done.address if source == done.node else made.address
        for parameter, source in values.items()
        if (made := here.latest.get(source)) is not None and made.status == "completed"
    }
    return Schedule(node, next_address(here, node), inputs, done.scope, done.address)


def _failures(state: RunState) -> tuple[Failure, ...]:
    found = list(failures_of(state, state))
    if state.limited is not None:
        limit = Failure(address="", kind="limit", message=state.limited["message"])
        found.append(limit)
    return tuple(found)


def failures_of(state: RunState, here: Flow) -> tuple[Failure, ...]:
    """Return what failed for good in a flow, in order, without what was broken off for that."""
    return tuple(
        Failure(
            address=address,
            kind=state.failed_data[address]["kind"],
            message=state.failed_data[address].get("message", ""),
        )
        for address in here.failures
        if state.failed_data[address]["kind"] != BROKEN_OFF
    )


def _deadlock(here: Flow) -> Failure:
    """Name what waits for what, where nothing runs and something waits."""
    stuck: list[str] = []
    for node in tuple(here.pending)[:_SHOWN]:
        needs = here.topology.nodes[node].waits_for
        stuck.append(f"{node} waits for {', '.join(n for n in needs if to_come(here, n))}")
    more = len(here.pending) - _SHOWN
    rest = f" and {more} more" if more > 0 else ""
    message = f"nothing can run any more: {'; '.join(stuck)}{rest}"
    return Failure(address=here.scope, kind="deadlock", message=message)


def _output(state: RunState, here: Flow) -> Any:
    outputs = here.topology.outputs
    if len(outputs) == 1:
        made = last_output(here, state.activations, outputs[0])
        return None if made is None else made.output
    found = {name: last_output(here, state.activations, name) for name in outputs}
    return {name: made.output for name, made in found.items() if made is not None}


def too_deep(what: str, depth: float) -> str:
    """Return what is said of a graph or a run that would be too deep inside others."""
    return (
        f"{what} would be more than {depth:.0f} deep inside other graphs and runs; if that is no runaway recursion, "
        "give the run a higher Limits(depth=…)"
    )


def settled(state: RunState, scope: str) -> Complete | Fail | Drop | None:
    """Return what has become of the graph of an activation, or None while something in it is under way or will begin."""
    if not is_over(state, scope):
        return None
    here = state.scopes[scope]
    if found := failures_of(state, here):
        return Fail(found)
    left = here.failures or here.ready or here.called or here.doomed or here.pending
    if left and is_failing(state, here):
        return Drop(Address(scope), "what it is a part of fails")
    if here.pending:
        return Fail((_deadlock(here),))
    return Complete(_output(state, here))
