"""Which nodes are still to come, and when one may run: the rules of control flow, folded event by event.

One rule carries all: *a node runs when nothing it depends on is still to come*. A node is to come while it waits, is ready,
was called, or runs. When control goes back to a node that has run, everything that depends on it is to come again, and
each edge is counted anew; what depends on none of that keeps its output. A change costs what it changes: nothing here looks
at the whole graph.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from midstream.events.ids import nested
from midstream.projections.sparse import A_DICT, Sparse, new_dict, new_list
from midstream.projections.topology import NodeShape, Topology, nowhere

Progress = Literal["running", "waiting", "completed", "failed", "skipped"]

LEFT_OUT: Any = object()
"""An output that a snapshot does not hold: it is in the log."""


@dataclass(slots=True)
class Activation:
    """One execution of a node.

    Attributes:
        address: `plan#2`, or `fetch#1[key]` for an item of a map.
        node: Its node.
        status: `waiting` between two attempts.
        attempt: The newest attempt, from 1.
        inputs: For each parameter that takes a node's output, the activation it comes from.
        sources: The activations that led to it, in the order of the graph.
        since: The event that began its newest attempt.
        output: What it returned.
        retry_at: When the next attempt is due, while it waits; in seconds since 1970.
        args: Values for its parameters from whoever called it, or None.
        index: The place of its item in a map, or None.
        began: When it was scheduled, in microseconds since 1970.
        scope: The activation whose graph it is in, or empty.
        ended: The event that completed it; 0 before that.
        ends: Once the graph that it ran has ended, the activations that gave its output.
    """

    address: str
    node: str
    status: Progress
    attempt: int
    inputs: Mapping[str, str]
    sources: tuple[str, ...]
    since: int
    output: Any = None
    retry_at: float | None = None
    args: Mapping[str, Any] | None = None
    index: int | None = None
    began: int = 0
    scope: str = ""
    ended: int = 0
    ends: tuple[str, ...] = ()


class Called(NamedTuple):
    """An activation that was called and has not been scheduled."""

    args: Mapping[str, Any]
    by: str


@dataclass(slots=True)
class Flow(Sparse):
    """Where control is.

    Attributes:
        topology: What waits for what.
        pending: For each node that waits, how many nodes it waits for are still to come.
        ready: Nodes that can be scheduled, in the order they became so.
        called: Nodes that something went to, with each call that was not scheduled yet.
        doomed: Nodes whose turn passes, and why.
        running: Activations whose newest attempt has not ended.
        waiting: Activations between two attempts.
        losers: Activations that nobody waits for any more, and why.
        latest: Each node's newest activation.
        crowded: Nodes of which several activations are under way, or were, and how many still are.
        met: For each waiting node that need not wait for all, those that have completed and are not to come anew.
        bypassed: For each waiting node, those it waits for that sent control elsewhere.
        irregular: Something was skipped or called: what a node waited for may be missing.
        failures: Addresses of activations that failed for good, in order.
        scope: The activation whose graph this is, or empty; `running`, `waiting` and `losers` are those of the whole run.
        graph: The name of that graph.
        live: How many activations are under way in this flow itself, items of maps not counted.
        inner: The scopes that began in this one and are not gone.
        undoes: Something in it is undone if the run fails.
    """

    topology: Topology = field(default_factory=nowhere)
    pending: dict[str, int] = field(default_factory=new_dict)
    ready: dict[str, None] = field(default_factory=new_dict)
    called: dict[str, list[Called]] = field(default_factory=new_dict)
    doomed: dict[str, str] = field(default_factory=new_dict)
    running: dict[str, None] = field(default_factory=new_dict)
    waiting: dict[str, None] = field(default_factory=new_dict)
    losers: dict[str, str] = field(default_factory=new_dict)
    latest: dict[str, Activation] = field(default_factory=new_dict)
    crowded: dict[str, int] = field(default_factory=new_dict)
    met: dict[str, dict[str, None]] = field(init=False, metadata=A_DICT)
    bypassed: dict[str, dict[str, None]] = field(init=False, metadata=A_DICT)
    irregular: bool = False
    failures: list[str] = field(default_factory=new_list)
    scope: str = ""
    graph: str = ""
    live: int = 0
    inner: dict[str, None] = field(init=False, metadata=A_DICT)
    undoes: bool = False


def is_live(flow: Flow, node: str) -> bool:
    """Say whether an activation of the node is under way."""
    made = flow.latest.get(node)
    return node in flow.crowded or (made is not None and made.status in ("running", "waiting"))


def to_come(flow: Flow, node: str) -> bool:
    """Say whether the node will yet have an output, or pass its turn, in this round."""
    return _awaited(flow, node) or is_live(flow, node)


def _awaited(flow: Flow, node: str) -> bool:
    return node in flow.pending or node in flow.ready or node in flow.called or node in flow.doomed


def begin(flow: Flow) -> None:
    """Have every node that starts by itself come."""
    for node, count in flow.topology.expected.items():
        if count:
            flow.pending[node] = count
        else:
            flow.ready[node] = None
    flow.irregular = not flow.topology.plain


def last_output(flow: Flow, made: Mapping[str, Activation], node: str) -> Activation | None:
    """Return the newest of the activations made of a node that has completed."""
    newest = flow.latest.get(node)
    name, _, place = ("", "", "0") if newest is None else newest.address.rpartition("#")
    number = int(place)
    while newest is not None and newest.status != "completed":
        number -= 1
        newest = made.get(f"{name}#{number}")
    return newest


def scheduled(flow: Flow, made: Activation) -> None:
    """Take in that an activation was scheduled."""
    node = made.node
    if node in flow.latest:
        _crowd(flow, node)
    flow.latest[node] = made
    flow.running[made.address] = None
    flow.live += 1
    joins = flow.topology.joins
    if joins and node in joins and made.args is None:
        _abandon(flow, flow.topology.nodes[node], made.address)


def passed(flow: Flow, made: Activation) -> None:
    """Take in that a node's turn has passed."""
    if made.node in flow.latest:
        _crowd(flow, made.node)
    flow.latest[made.node] = made
    flow.irregular = True
    settle(flow, made.node)


def _crowd(flow: Flow, node: str) -> None:
    """Count an activation beside others of its node that are under way."""
    if node in flow.crowded:
        flow.crowded[node] += 1
    elif flow.latest[node].status in ("running", "waiting"):
        flow.crowded[node] = 2


def settle(flow: Flow, node: str) -> None:
    """Take in that an activation of a node has ended, and tell those who wait for it, if no other one is to come."""
    if flow.crowded and _still_crowded(flow, node):
        return
    pending, ready = flow.pending, flow.ready
    if node in pending or node in ready or node in flow.called or node in flow.doomed:
        return
    joins, irregular = flow.topology.joins, flow.irregular
    for successor in flow.topology.successors[node]:
        left = pending.get(successor)
        if left is None:
            continue
        if irregular or joins:
            _arrived(flow, successor, node)
        elif left > 1:
            pending[successor] = left - 1
        else:
            del pending[successor]
            ready[successor] = None


def leave(flow: Flow, node: str, targets: Iterable[str]) -> None:
    """Take in that an activation has ended and sent control to the targets, instead of to those who wait for it."""
    if (flow.crowded and _still_crowded(flow, node)) or _awaited(flow, node):
        return
    waiting = [name for name in flow.topology.successors[node] if name in flow.pending]
    if not waiting:
        return
    beyond = _reached(flow, targets, waiting)
    for successor in waiting:
        if successor not in beyond:
            flow.bypassed.setdefault(successor, {})[node] = None
        _arrived(flow, successor, node)


def call(flow: Flow, node: str, args: Mapping[str, Any], by: str) -> None:
    """Have a node run whatever it waits for; where it was still waiting, it no longer does."""
    was_to_come = to_come(flow, node)
    for record in (flow.pending, flow.ready, flow.doomed, flow.met, flow.bypassed):
        record.pop(node, None)
    flow.called.setdefault(node, []).append(Called(args, by))
    flow.irregular = True
    if not was_to_come:
        expect(flow, node)


def again(flow: Flow, node: str) -> None:
    """Have a node that has just failed come again, for all who wait for it."""
    count = sum(to_come(flow, name) for name in flow.topology.nodes[node].waits_for)
    if count:
        flow.pending[node] = count
    else:
        flow.ready[node] = None


def take_call(flow: Flow, node: str) -> Called | None:
    """Take the oldest call of a node that was not scheduled yet, if there is one."""
    calls = flow.called.get(node)
    if calls is None:
        return None
    taken = calls.pop(0)
    if not calls:
        del flow.called[node]
    return taken


def expect(flow: Flow, first: str) -> None:
    """Have everything that depends on a node wait for it, now that it is to come and was not before."""
    nodes, successors, pending = flow.topology.nodes, flow.topology.successors, flow.pending
    fresh = {first}
    stack = [first]
    joins: list[str] = []
    while stack:
        node = stack.pop()
        for successor in successors[node]:
            for record in (flow.bypassed, flow.met):
                if successor in record:
                    record[successor].pop(node, None)
            if successor in pending:
                pending[successor] += 1
                continue
            shape = nodes[successor]
            if not shape.start:
                continue
            was_to_come = to_come(flow, successor)
            flow.ready.pop(successor, None)
            flow.doomed.pop(successor, None)
            others = [name for name in shape.waits_for if name not in fresh]
            pending[successor] = 1 + sum(to_come(flow, name) for name in others)
            if shape.join:
                joins.append(successor)
            if not was_to_come:
                fresh.add(successor)
                stack.append(successor)
    for name in joins:
        _count(flow, nodes[name])


def _count(flow: Flow, shape: NodeShape) -> None:
    """Count what a join has already; one more has to come, or nothing would be new."""
    flow.met[shape.name] = dict.fromkeys(counting(flow, shape)[: shape.join - 1])


def counting(flow: Flow, shape: NodeShape) -> list[str]:
    """Return those a node waits for that have completed and are not to come anew."""
    return [name for name in shape.waits_for if _has_value(flow, name) and not to_come(flow, name)]


def _has_value(flow: Flow, node: str) -> bool:
    made = flow.latest.get(node)
    return made is not None and made.status == "completed"


def _still_crowded(flow: Flow, node: str) -> bool:
    left = flow.crowded.get(node)
    if left is None:
        return False
    if left > 1:
        flow.crowded[node] = left - 1
        return True
    del flow.crowded[node]
    return False


def _arrived(flow: Flow, node: str, source: str) -> None:
    """Count one edge of a waiting node as settled."""
    left = flow.pending[node] - 1
    enough = flow.topology.joins.get(node)
    if enough and _has_value(flow, source) and source not in flow.bypassed.get(node, ()):
        met = flow.met.setdefault(node, {})
        met[source] = None
        if len(met) >= enough:
            fire(flow, node, "")
            return
    if left:
        flow.pending[node] = left
    elif enough:
        fire(flow, node, too_few(flow, node, enough))
    else:
        fire(flow, node, missing(flow, flow.topology.nodes[node]) if flow.irregular else "")


def too_few(flow: Flow, node: str, enough: int) -> str:
    """Return why a join cannot run, though nothing it waits for is still to come."""
    return f"only {len(flow.met.get(node, ()))} of {enough} it needs have completed"


def fire(flow: Flow, node: str, reason: str) -> None:
    """Make a waiting node ready, or, for a reason, have its turn pass."""
    for record in (flow.pending, flow.met, flow.bypassed):
        record.pop(node, None)
    if reason:
        flow.doomed[node] = reason
    else:
        flow.ready[node] = None


def missing(flow: Flow, shape: NodeShape) -> str:
    """Return why a node cannot run though nothing it waits for is still to come, or nothing where it can."""
    bypassed = flow.bypassed.get(shape.name, {})
    led = not shape.waits_for
    taken = shape.values.values()
    for name in shape.waits_for:
        made = flow.latest.get(name)
        if made is None:
            if name in taken and name not in shape.optional:
                return f"nothing went to {name!r}"
        elif name in bypassed:
            if name not in shape.optional:
                return f"{made.address} went elsewhere"
        elif made.status == "completed":
            led = True
        elif name not in shape.optional:
            return f"{made.address} was skipped"
    return "" if led else "nothing it waits for has completed"


def _reached(flow: Flow, targets: Iterable[str], wanted: Sequence[str]) -> set[str]:
    """Return those of the wanted nodes that depend on a target."""
    left = set(wanted)
    seen = set(targets)
    stack = list(seen)
    while stack and left:
        for name in flow.topology.successors[stack.pop()]:
            left.discard(name)
            if name not in seen:
                seen.add(name)
                stack.append(name)
    return set(wanted) - left


def _abandon(flow: Flow, shape: NodeShape, winner: str) -> None:
    """Give up what a join that has enough no longer waits for, and what only led to that."""
    reason = f"{winner} has enough without it"
    given_up: set[str] = set()
    stack = list(shape.waits_for)
    while stack:
        node = stack.pop()
        if node in given_up or not to_come(flow, node) or _needed(flow, node):
            continue
        given_up.add(node)
        if _awaited(flow, node):
            for record in (flow.pending, flow.ready, flow.called, flow.met, flow.bypassed):
                record.pop(node, None)
            flow.doomed[node] = reason
        name = nested(flow.scope, node)
        for address in (*flow.running, *flow.waiting) if is_live(flow, node) else ():
            if address.rpartition("#")[0] == name and address[-1] != "]":
                flow.losers[address] = reason
        stack += flow.topology.nodes[node].waits_for


def _needed(flow: Flow, node: str) -> bool:
    topology = flow.topology
    if node in topology.declared:
        return True
    return any(name in flow.pending for name in topology.successors[node])
