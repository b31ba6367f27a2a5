"""Where a run stands: the state the engine decides from, folded from the run's events alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.errors import RunErasedError, UnknownEventError
from midstream.events.envelope import ERASED, Event
from midstream.events.ids import Address, activation, activation_of, map_of, nested, node_of
from midstream.events.pause import no_collecting
from midstream.events.payloads import VERSIONS
from midstream.events.store import Status
from midstream.projections import flow, rewire
from midstream.projections.flow import Activation, Flow
from midstream.projections.fold import Handler
from midstream.projections.records import (  # exported from here, too
    Call as Call,
)
from midstream.projections.records import (
    CallStatus as CallStatus,
)
from midstream.projections.records import (
    Cut as Cut,
)
from midstream.projections.records import (
    Said as Said,
)
from midstream.projections.records import (
    Switch as Switch,
)
from midstream.projections.reshaping import upgrade
from midstream.projections.returned import returned
from midstream.projections.scopes import (
    Nest,
    around,
    enter,
    failed_in,
    is_under_way,
    keep_undo,
    leave,
    place,
    reshape,
    stir,
)
from midstream.projections.topology import shared_topology


@dataclass(slots=True)
class RunState(Nest):
    """Where a run stands after event number `seq`; where control is, `Nest` and `Flow` say.

    Attributes:
        seq: The newest event in it.
        status: As in `RunInfo`.
        graph: The graph's name.
        parent: The run that started it, or empty.
        parent_step: The address of the call that did.
        subject: Whom its content is about, or empty.
        began: When it was created, in microseconds since 1970.
        inputs: Of the run.
        model: The run's default model, or empty.
        tags: Of the run.
        limits: What it may not exceed, by name.
        items: For each activation of a map, those of its items that have completed, in that order.
        going: For each activation whose end sends control elsewhere, where to.
        locals: What nodes keep between their activations.
        undo: Completed activations whose effects are undone if the run fails, in the order they completed in.
        calls: By address.
        call_keys: For each call's address without its occurrence, the addresses recorded so far.
        switches: In order.
        failed_data: The data of their last `node.failed`.
        cancelling: The `run.cancel_requested` that is to be obeyed, or None.
        epoch: The newest driver's.
        output: The run's output, once it completed.
        ended: The data of the event that ended it.
        heads: For each activation and lane, the newest model call that was answered.
        threads: For each named thread, the newest model call that was answered.
        open_calls: Addresses of calls that have not ended: open, of unknown outcome, or between two attempts.
        notes: The ids of the notes that were added.
        overrides: What is asked in place of what the code says, since the run was forked.
        forked_at: The newest `run.forked`; 0 where the run is no fork.
        rehearsal: The data of that event, where the run answers a what-if, or None.
        context: What is done where a conversation is too long for its model.
        cuts: By the model call from which on they hold.
        said: Messages that were added, in order.
        reflections: How often somebody has said why a node failed.
        revisions: What was planned anew, in order: the data of each `plan.revised`, with its activation and the attempt
            that it came after.
    """

    seq: int = 0
    status: Status = "running"
    graph: str = ""
    code: str = ""
    parent: str = ""
    parent_step: str = ""
    subject: str = ""
    began: int = 0
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    limits: Mapping[str, float] = field(default_factory=dict[str, float])
    items: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    going: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    locals: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    undo: list[str] = field(default_factory=list[str])
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    call_keys: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    switches: list[Switch] = field(default_factory=list[Switch])
    failed_data: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    cancelling: Event | None = None
    epoch: int = 0
    output: Any = None
    ended: Mapping[str, Any] | None = None
    heads: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    threads: dict[str, str] = field(default_factory=dict[str, str])
    open_calls: dict[str, None] = field(default_factory=dict[str, None])
    notes: set[str] = field(default_factory=set[str])
    overrides: tuple[Mapping[str, Any], ...] = ()
    forked_at: int = 0
    rehearsal: Mapping[str, Any] | None = None
    context: Mapping[str, Any] = field(default_factory=dict[str, Any])
    cuts: dict[str, list[Cut]] = field(default_factory=dict[str, list[Cut]])
    said: list[Said] = field(default_factory=list[Said])
    reflections: int = 0
    revisions: list[Mapping[str, Any]] = field(default_factory=list[Mapping[str, Any]])

    @property
    def over(self) -> bool:
        """The run has ended."""
        return self.status in ("completed", "failed", "cancelled")

    def plans_for(self, address: str) -> list[Mapping[str, Any]]:
        """Return the plans that were made anew for the node of an activation, in order."""
        if not self.revisions:
            return []
        node = node_of(address)
        return [plan for plan in self.revisions if node_of(plan["activation"]) == node]

    def model_for(self, asked: str, node: str, thread: str) -> str:
        """Return the model that a call goes to, after all migrations so far.

        Args:
            asked: The model that the code names, or empty for the run's default.
            node: The node that calls, with the nodes whose graphs it is in, as in `research/plan`: what is said of one of
                these holds for it.
            thread: The thread it speaks in, or empty.
        """
        switches = self.switches_for(asked, node, thread)
        return switches[-1].target if switches else asked or self.model

    def switches_for(self, asked: str, node: str, thread: str) -> list[Switch]:
        """Return the migrations that such a call has been through, in order; see `model_for`."""
        model = asked or self.model
        scopes = {"run", f"node:{node}", f"thread:{thread}" if thread else ""}
        while "/" in node:
            node = node.rpartition("/")[0]
            scopes.add(f"node:{node}")
        found: list[Switch] = []
        for switch in self.switches:
            if switch.scope in scopes and switch.source in ("", model):
                model = switch.target
                found.append(switch)
        return found


def _run_created(state: RunState, event: Event) -> None:
    data = event.data
    state.graph = data["graph"]
    state.graph_digest = data["graph_digest"]
    state.code = data.get("code", "")
    state.inputs = data.get("inputs", {})
    state.model = data.get("model", "")
    state.tags = data.get("tags", {})
    state.limits = data.get("limits", {})
    state.began = event.at
    state.subject = data.get("subject", "")
    state.parent, state.parent_step = data.get("parent") or "", data.get("parent_step", "")
    state.context = data.get("context", {})
    state.topology = shared_topology(state.graph_digest, data["definition"])
    state.graphs = data["definition"].get("graphs", {})
    state.epoch = event.epoch or 0
    flow.begin(state)


def _run_resumed(state: RunState, event: Event) -> None:
    state.epoch = event.data["epoch"]


def _run_forked(state: RunState, event: Event) -> None:
    data = event.data
    state.forked_at = event.seq
    state.tags = data.get("tags", state.tags)
    state.rehearsal = data if data.get("rehearsal") else None
    state.epoch = event.epoch or 0
    state.cancelling = None  # what was wanted of the parent is not wanted of the fork
    for address in state.open_calls:
        state.calls[address].epoch = None  # the driver of the same number was another run's
    state.inputs = {**state.inputs, **data.get("inputs", {})}
    for address, output in data.get("outputs", {}).items():
        if address in state.activations:
            state.activations[address].output = output
        elif (call := state.calls.get(address)) is not None:  # a fold of nodes alone has no calls
            call.outcome = {**(call.outcome or {}), **returned(call.kind, output)}
    state.overrides = (*state.overrides, *data.get("overrides", ()))
    if data.get("definition") is not None:
        state.graph_digest, state.code = data["graph_digest"], data.get("code", "")
        upgrade(state, shared_topology(state.graph_digest, data["definition"]))
        state.graphs = data["definition"].get("graphs", {})
        reshape(state)


def _graph_upgraded(state: RunState, event: Event) -> None:
    data = event.data
    state.graph_digest, state.code = data["graph_digest"], data.get("code", "")
    state.inputs = {**data.get("inputs", {}), **state.inputs}
    if data.get("definition"):
        state.graphs = data["definition"].get("graphs", {})
        upgrade(state, shared_topology(state.graph_digest, data["definition"]))


def _run_paused(state: RunState, event: Event) -> None:
    if not state.over:
        state.status = "paused"


def _run_continued(state: RunState, event: Event) -> None:
    if not state.over:
        state.status = "running"


def _run_completed(state: RunState, event: Event) -> None:
    state.status = "completed"
    state.output = event.data.get("output")
    state.ended = event.data


def _run_failed(state: RunState, event: Event) -> None:
    state.status = "failed"
    state.ended = event.data


def _run_cancel_requested(state: RunState, event: Event) -> None:
    if state.cancelling is None and not state.over:
        state.cancelling = event


def _run_cancelled(state: RunState, event: Event) -> None:
    state.status = "cancelled"
    state.ended = event.data


def _limit_reached(state: RunState, event: Event) -> None:
    state.limited = event.data
    state.losers.update(dict.fromkeys((*state.running, *state.waiting), "the run is at its limit"))


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
        sources = tuple(latest[name].address for name in waits_for)
        here.ready.pop(node, None)
    else:
        sources = (caller,)
        args = _taken(state, here, node, caller)
    if not sources and here.scope:
        sources = state.activations[here.scope].sources
    made = Activation(address, node, "running", 1, data.get("inputs", {}), sources, event.seq)
    made.args, made.began, made.scope = args, event.at, here.scope
    state.activations[address] = made
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
    parent = state.activations[map_of(address)]
    item = event.data.get("item")
    made = Activation(address, parent.node, "running", 1, {}, parent.sources, event.seq)
    made.index, made.began, made.scope = event.data["index"], event.at, parent.scope
    made.args = None if item is None else {"item": item}
    state.activations[address] = made
    state.running[address] = None
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


def _requested(state: RunState, event: Event) -> None:
    address = event.address or ""
    kind = event.type.partition(".")[0]
    call = state.calls.get(address)
    if call is None:
        lane = event.data.get("lane", "")
        call = Call(address, kind, "open", lane, event.data, None, event.seq, 0, event.epoch)
        state.calls[address] = call
        state.call_keys.setdefault(address.rpartition("#")[0], []).append(address)
    else:
        # A further attempt records only what differs from the first one.
        call.request = {**call.request, **event.data}
        call.status, call.epoch = "open", event.epoch
        call.attempt = event.data.get("attempt", call.attempt)
    state.open_calls[address] = None


def _outcome(status: CallStatus) -> Handler[RunState]:
    def apply(state: RunState, event: Event) -> None:
        call = state.calls[event.address or ""]
        call.status, call.outcome, call.seq = status, event.data, event.seq
        state.open_calls.pop(call.address, None)

    return apply


def _first_end(status: CallStatus) -> Handler[RunState]:
    """Only the first end counts: a person and the clock may both have been in time, each for itself."""
    end = _outcome(status)

    def apply(state: RunState, event: Event) -> None:
        call = state.calls.get(event.address or "")  # a snapshot has left out what had ended
        if call is not None and call.status == "open":
            end(state, event)

    return apply


def _tool_completed(state: RunState, event: Event) -> None:
    """Only the first end counts: of a call of unknown outcome, its handler and a person may both have said it."""
    if not _has_ended(state, event):
        _outcome("completed")(state, event)


def _tool_failed(state: RunState, event: Event) -> None:
    if not _has_ended(state, event):
        _attempt_failed(state, event)


def _has_ended(state: RunState, event: Event) -> bool:
    return state.calls[event.address or ""].status in ("completed", "failed")


def _subrun_closing(state: RunState, event: Event) -> None:
    call = state.calls[event.address or ""]
    call.request = {**call.request, "closing": event.data.get("reason", "")}


def _attempt_failed(state: RunState, event: Event) -> None:
    call = state.calls[event.address or ""]
    waiting = event.data.get("retry_at") is not None
    call.status, call.outcome, call.seq = "waiting" if waiting else "failed", event.data, event.seq
    if not waiting:
        state.open_calls.pop(call.address, None)


def _model_responded(state: RunState, event: Event) -> None:
    _outcome("completed")(state, event)
    call = state.calls[event.address or ""]
    if call.request.get("purpose"):
        return  # it is no part of a conversation
    lanes = state.heads.setdefault(activation_of(call.address), {})
    parents = call.request.get("parents", ())
    for lane in [lane for lane, head in lanes.items() if head in parents]:
        del lanes[lane]
    lanes[call.lane] = call.address
    thread = call.request.get("thread", "")
    if thread:
        state.threads[thread] = call.address


def _tool_unknown(state: RunState, event: Event) -> None:
    call = state.calls[event.address or ""]
    call.status, call.outcome, call.seq = "unknown", event.data, event.seq


def _tool_retried(state: RunState, event: Event) -> None:
    call = state.calls[event.address or ""]
    if call.status == "unknown":
        call.status = "waiting"
        call.outcome = {"retry_at": 0.0}


def _value_recorded(state: RunState, event: Event) -> None:
    address = event.address or ""
    call = Call(
        address, "value", "completed", "", {}, event.data, event.seq, event.seq, event.epoch
    )
    state.calls[address] = call


def _reflection_made(state: RunState, event: Event) -> None:
    state.reflections += 1


def _plan_revised(state: RunState, event: Event) -> None:
    attempt = state.activations[event.address or ""].attempt
    state.revisions.append({**event.data, "after": attempt, "activation": event.address})


def _did(state: RunState, event: Event) -> None:
    """Keep what is recorded when it has happened, and needs no intent."""
    address = event.address or ""
    kind = event.type.partition(".")[0]
    state.calls[address] = Call(
        address, kind, "completed", "", {}, event.data, event.seq, event.seq, event.epoch
    )


def _model_switched(state: RunState, event: Event) -> None:
    data = event.data
    state.switches.append(
        Switch(
            event.seq,
            data.get("scope", "run"),
            data.get("source", ""),
            data["target"],
            data.get("when", "next") == "now",
            data["id"],
            data.get("brief", ""),
            event.actor,
        )
    )


def _context_cut(state: RunState, event: Event) -> None:
    data = event.data
    cut = Cut(
        event.seq,
        data["model"],
        data.get("lasting", False),
        frozenset(data.get("results", ())),
        data.get("by", ""),
        data.get("since", ""),
        data.get("refused", False),
        data.get("sides", False),
    )
    state.cuts.setdefault(event.address or "", []).append(cut)


def _message_added(state: RunState, event: Event) -> None:
    data = event.data
    if all(said.id != data["id"] for said in state.said):
        state.said.append(Said(data["id"], data.get("message")))


def _note_added(state: RunState, event: Event) -> None:
    state.notes.add(event.data["id"])


_HANDLERS: Mapping[str, Handler[RunState]] = {
    "run.created": _run_created,
    "run.resumed": _run_resumed,
    "run.forked": _run_forked,
    "graph.upgraded": _graph_upgraded,
    "run.paused": _run_paused,
    "run.continued": _run_continued,
    "run.completed": _run_completed,
    "run.failed": _run_failed,
    "run.cancel_requested": _run_cancel_requested,
    "run.cancelled": _run_cancelled,
    "limit.reached": _limit_reached,
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
    "model.requested": _requested,
    "model.responded": _model_responded,
    "model.failed": _attempt_failed,
    "model.aborted": _outcome("aborted"),
    "tool.requested": _requested,
    "tool.completed": _tool_completed,
    "tool.failed": _tool_failed,
    "tool.unknown": _tool_unknown,
    "tool.retried": _tool_retried,
    "value.recorded": _value_recorded,
    "agent.started": _did,
    "agent.concluded": _did,
    "memory.read": _did,
    "memory.written": _did,
    "subrun.requested": _requested,
    "subrun.completed": _first_end("completed"),
    "subrun.failed": _first_end("failed"),
    "subrun.closing": _subrun_closing,
    "timer.set": _requested,
    "timer.fired": _outcome("completed"),
    "timer.cancelled": _outcome("aborted"),
    "question.asked": _requested,
    "question.answered": _first_end("completed"),
    "question.expired": _first_end("failed"),
    "question.withdrawn": _first_end("aborted"),
    "model.switched": _model_switched,
    "reflection.made": _reflection_made,
    "plan.revised": _plan_revised,
    "context.trimmed": _context_cut,
    "context.summarised": _context_cut,
    "message.added": _message_added,
    "note.added": _note_added,
}


def apply(state: RunState, event: Event) -> None:
    """Fold one event into the state, also one that it does not care about: `state.seq` counts them all.

    Raises:
        UnknownEventError: The event matters and is of a newer version than this release knows.
        RunErasedError: Its content was erased.
    """
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        if event.version != VERSIONS[event.type]:
            raise UnknownEventError(event.type, event.version, VERSIONS[event.type])
        handler(state, event)
    elif event.type == ERASED:
        raise RunErasedError(event.run_id)
    state.seq = event.seq


def fold_run(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Return the state after the events of one run; a given state is changed and goes on from where it is."""
    state = RunState() if state is None else state
    with no_collecting():
        for event in events:
            apply(state, event)
    return state


def next_address(here: Flow, node: str, further: int = 0) -> Address:
    """Return the address that the next activation of a node of a flow will have, or one further on."""
    latest = here.latest.get(node)
    number = 1 if latest is None else int(latest.address.rpartition("#")[2]) + 1
    return activation(nested(here.scope, node), number + further)
