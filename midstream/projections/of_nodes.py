"""What facts about nodes do to the state of a run: activations, their ends, and what changes the graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from midstream.events.envelope import Event
from midstream.events.ids import Address, map_of, nested
from midstream.projections import flow, rewire
from midstream.projections.flow import Activation, Flow
from midstream.projections.fold import Handler
from midstream.projections.scopes import (
    around,
    enter,
    failed_in,
    is_under_way,
    keep_undo,
    leave,
    place,
    stir,
)
from midstream.projections.standing import RunState
from midstream.projections.topology import NOTHING


def _node_scheduled(state: RunState, event: Event) -> None:
    address = event.address
    assert address is not None
    data = event.data
    if address[-1] == "]":
        _item_scheduled(state, event, address)
        return
    here, node = place(state, address)
    shape = here.topology.nodes[node]
    caller = data.get("called")
    args = None
    if caller is None:
        latest = here.latest
        waits_for = shape.waits_for
        if here.irregular:
            waits_for = tuple(
                name for name in waits_for if name in latest and latest[name].status == "completed"
            )
        sources = here.topology.led(node, tuple([latest[name].address for name in waits_for]))
        here.ready.pop(node, None)
    else:
        sources = (caller,)
        args = _taken(state, here, node, caller)
    if not sources and here.scope:
        sources = state.activations[here.scope].sources
    # fmt: off
    made = state.activations[address] = Activation(
        address, shape.name, "running", 1, data.get("inputs", NOTHING), sources, event.seq, None, None,
        args, None, event.at, here.scope,
    )
    # fmt: on
    flow.scheduled(here, made)
    if shape.graph and not shape.over:
        enter(state, made, shape.graph)
    stir(state, here)


def _taken(state: RunState, here: Flow, node: str, caller: str) -> Mapping[str, Any]:
    """Take a node's call, or what it is to undo."""
    if state.failing and state.undo and state.undo[-1] == caller:
        state.undo.pop()
        return {}
    taken = flow.take_call(here, node)
    return {} if taken is None else taken.args


def _item_scheduled(state: RunState, event: Event, address: Address) -> None:
    data = event.data
    item = data.get("item")
    parent = state.activations[map_of(address)]
    # fmt: off
    made = state.activations[address] = Activation(
        address, parent.node, "running", 1, NOTHING, parent.sources, event.seq, None, None,
        None if item is None else {"item": item}, data["index"], event.at, parent.scope,
    )
    # fmt: on
    state.running[address] = None
    if state.graphs:
        graph = around(state, made).topology.nodes[made.node].graph
        if graph:
            enter(state, made, graph)


def _node_started(state: RunState, event: Event) -> None:
    found = state.activations[event.address or ""]
    if found.status == "failed":
        _tried_again(state, found)
    found.status = "running"
    found.attempt = event.data["attempt"]
    found.since = event.seq
    found.retry_at = None
    state.waiting.pop(found.address, None)
    state.running[found.address] = None


def _tried_again(state: RunState, found: Activation) -> None:
    """Take in that the graph which an activation failed in is tried again, and it with that."""
    state.failed_data.pop(found.address, None)
    if found.address[-1] == "]":
        return
    here = around(state, found)
    here.failures.remove(found.address)
    here.live += 1
    stir(state, here)


def _node_completed(state: RunState, event: Event) -> None:
    address = event.address or ""
    found = state.activations[address]
    found.status, found.ended = "completed", event.seq
    found.output = event.data.get("output")
    state.running.pop(address, None)
    if state.losers:
        state.losers.pop(address, None)
    if state.scopes:
        leave(state, found)
    node = found.node
    if address[-1] == "]":
        state.items.setdefault(map_of(address), []).append(address)
        return
    here = around(state, found)
    here.live -= 1
    shape = here.topology.nodes[node]
    if shape.over:
        found.output = _gathered(state, address, shape.order)
    if shape.undo:
        state.undo.append(address)
        keep_undo(state, found)
    if "local" in event.data:
        state.locals[nested(here.scope, node)] = event.data["local"]
    if state.going and address in state.going:
        flow.leave(here, node, state.going.pop(address))
    else:
        flow.settle(here, node)
    if here.scope:
        stir(state, here)


def _gathered(state: RunState, address: str, order: str) -> list[Any]:
    """Return what the items of a map have returned."""
    made = [state.activations[item] for item in state.items.pop(address, ())]
    if order != "completed":
        made.sort(key=lambda item: item.index or 0)
    return [item.output for item in made]


def _node_failed(state: RunState, event: Event) -> None:
    found = state.activations[event.address or ""]
    found.attempt = event.data.get("attempt", 1)
    handled = event.data.get("handled")
    if handled and handled != "again":
        return  # what ends it follows in the same append
    state.running.pop(found.address, None)
    if handled:
        found.status = "failed"
        leave(state, found)
        here = around(state, found)
        here.live -= 1
        flow.again(here, found.node)
        stir(state, here)
        return
    found.retry_at = event.data.get("retry_at")
    if found.retry_at is not None:
        found.status = "waiting"
        state.waiting[found.address] = None
        return
    found.status = "failed"
    state.failed_data[found.address] = event.data
    if found.address[-1] != "]":  # an item's map fails of it
        failed_in(state, found).append(found.address)
        here = around(state, found)
        here.live -= 1
        stir(state, here)


def _node_skipped(state: RunState, event: Event) -> None:
    address = event.address or ""
    found = state.activations.get(address)
    if found is None:
        _turn_passed(state, event, address)
        return
    was_under_way = is_under_way(found)
    found.status = "skipped"
    for record in (state.running, state.waiting, state.losers, state.going, state.items):
        record.pop(address, None)
    leave(state, found)
    if address[-1] != "]":
        for record in (state.running, state.waiting):  # what is left of a map's items
            for name in [name for name in record if name.startswith(f"{address}[")]:
                state.activations[name].status = "skipped"
                del record[name]
                state.losers.pop(name, None)
                leave(state, state.activations[name])
        here = around(state, found)
        here.live -= was_under_way
        here.irregular = True
        flow.settle(here, found.node)
        stir(state, here)


def _turn_passed(state: RunState, event: Event, address: str) -> None:
    here, node = place(state, address)
    here.ready.pop(node, None)
    here.doomed.pop(node, None)
    made = Activation(address, node, "skipped", 0, {}, (), event.seq, scope=here.scope)
    state.activations[address] = made
    flow.passed(here, made)
    stir(state, here)


def _edge_decided(state: RunState, event: Event) -> None:
    address = event.address or ""
    here, _ = place(state, address)
    goto = event.data.get("goto", ())
    if goto:
        state.going[address] = [target["node"] for target in goto]
    for target in (*goto, *event.data.get("trigger", ())):
        flow.call(here, target["node"], target.get("args", {}), address)
    stir(state, here)


def _rewired(change: Callable[[Flow, Mapping[str, Any]], None]) -> Handler[RunState]:
    """Change the graph that the activation in the address is in."""

    def apply(state: RunState, event: Event) -> None:
        here, _ = place(state, event.address or "")
        change(here, event.data)
        stir(state, here)

    return apply


def _reflection_made(state: RunState, event: Event) -> None:
    state.reflections += 1


def _plan_revised(state: RunState, event: Event) -> None:
    attempt = state.activations[event.address or ""].attempt
    plan = {**event.data, "after": attempt, "activation": event.address}
    state.revisions = (*state.revisions, plan)


OF_NODES: Mapping[str, Handler[RunState]] = {
    "node.scheduled": _node_scheduled,
    "node.started": _node_started,
    "node.completed": _node_completed,
    "node.failed": _node_failed,
    "node.skipped": _node_skipped,
    "edge.decided": _edge_decided,
    "node.added": _rewired(
        lambda here, data: rewire.add_node(here, data["name"], data.get("definition", {}))
    ),
    "node.removed": _rewired(lambda here, data: rewire.remove_node(here, data["name"])),
    "edge.added": _rewired(
        lambda here, data: rewire.add_edge(here, data["source"], data["target"], data.get("to", ""))
    ),
    "edge.removed": _rewired(
        lambda here, data: rewire.remove_edge(here, data["source"], data["target"])
    ),
    "reflection.made": _reflection_made,
    "plan.revised": _plan_revised,
}
"""By type."""
