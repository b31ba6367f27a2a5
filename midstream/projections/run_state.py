"""Where a run stands: the state the engine decides from, folded from the run's events alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from midstream.errors import UnknownEventError
from midstream.events.envelope import Event
from midstream.events.ids import Address, activation, activation_of
from midstream.events.payloads import VERSIONS
from midstream.events.store import Status
from midstream.projections.fold import Handler
from midstream.projections.topology import Topology, shared_topology

Progress = Literal["running", "waiting", "completed", "failed", "skipped"]
CallStatus = Literal["open", "completed", "failed", "waiting", "unknown", "aborted"]


@dataclass(slots=True)
class Activation:
    """One execution of a node.

    Attributes:
        address: `plan#2`.
        node: Its node.
        status: `waiting` between two attempts.
        attempt: The newest attempt, from 1.
        inputs: For each parameter that takes a node's output, the activation it comes from.
        sources: The activations it waited for, in the order of the graph.
        since: The event that began its newest attempt.
        output: What it returned.
        retry_at: When the next attempt is due, while it waits; in seconds since 1970.
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


@dataclass(slots=True)
class Call:
    """One recorded thing that a node did: a call of a model or tool, a value, a timer.

    Attributes:
        address: `plan#2/tool:search:3fa9c2d1#1`.
        kind: The part of its event types before the dot: `model`, `tool`, `value`, `timer`.
        status: `waiting` between two attempts.
        lane: Which of the node's parallel branches made it.
        request: The data of the first request, with what later attempts changed.
        outcome: The data of the newest outcome.
        first_seq: The event of its first request.
        seq: The event of its newest outcome; 0 before there is one.
        epoch: The driver that made the newest request.
        attempt: The newest attempt, from 1.
    """

    address: str
    kind: str
    status: CallStatus
    lane: str
    request: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    first_seq: int
    seq: int
    epoch: int | None
    attempt: int = 1


@dataclass(slots=True)
class Switch:
    """A migration that was recorded."""

    seq: int
    scope: str
    source: str
    target: str
    now: bool


@dataclass(slots=True)
class RunState:
    """Where a run stands after event number `seq`.

    Attributes:
        seq: The newest event in it.
        status: As in `RunInfo`.
        graph: The graph's name.
        graph_digest: Of its definition.
        topology: What waits for what.
        inputs: Of the run.
        model: The run's default model, or empty.
        tags: Of the run.
        pending: For each node that has not been scheduled, how many nodes it still waits for.
        ready: Nodes that can be scheduled, in the order they became so.
        activations: By address.
        latest: Each node's newest activation.
        running: Activations whose newest attempt has not ended.
        waiting: Activations between two attempts.
        calls: By address.
        call_keys: For each call's address without its occurrence, the addresses recorded so far.
        switches: In order.
        failures: Addresses of activations that failed for good, in order.
        failed_data: The data of their last `node.failed`.
        cancelling: The `run.cancel_requested` that is to be obeyed, or None.
        epoch: The newest driver's.
        output: The run's output, once it completed.
        ended: The data of the event that ended it.
        heads: For each activation and lane, the newest model call that was answered.
        threads: For each named thread, the newest model call that was answered.
        open_calls: Addresses of calls that have not ended: open, of unknown outcome, or between two attempts.
        notes: The ids of the notes that were added.
    """

    seq: int = 0
    status: Status = "running"
    graph: str = ""
    graph_digest: str = ""
    code: str = ""
    topology: Topology = field(default_factory=lambda: Topology({}, {}, ()))
    inputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    pending: dict[str, int] = field(default_factory=dict[str, int])
    ready: dict[str, None] = field(default_factory=dict[str, None])
    activations: dict[str, Activation] = field(default_factory=dict[str, Activation])
    latest: dict[str, Activation] = field(default_factory=dict[str, Activation])
    running: dict[str, None] = field(default_factory=dict[str, None])
    waiting: dict[str, None] = field(default_factory=dict[str, None])
    calls: dict[str, Call] = field(default_factory=dict[str, Call])
    call_keys: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    switches: list[Switch] = field(default_factory=list[Switch])
    failures: list[str] = field(default_factory=list[str])
    failed_data: dict[str, Mapping[str, Any]] = field(default_factory=dict[str, Mapping[str, Any]])
    cancelling: Event | None = None
    epoch: int = 0
    output: Any = None
    ended: Mapping[str, Any] | None = None
    heads: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    threads: dict[str, str] = field(default_factory=dict[str, str])
    open_calls: dict[str, None] = field(default_factory=dict[str, None])
    notes: set[str] = field(default_factory=set[str])

    @property
    def over(self) -> bool:
        """The run has ended."""
        return self.status in ("completed", "failed", "cancelled")

    def model_for(self, asked: str, node: str, thread: str) -> str:
        """Return the model that a call goes to, after all migrations so far.

        Args:
            asked: The model that the code names, or empty for the run's default.
            node: The node that calls.
            thread: The thread it speaks in, or empty.
        """
        switches = self.switches_for(asked, node, thread)
        return switches[-1].target if switches else asked or self.model

    def switches_for(self, asked: str, node: str, thread: str) -> list[Switch]:
        """Return the migrations that such a call has been through, in order; see `model_for`."""
        model = asked or self.model
        scopes = ("run", f"node:{node}", f"thread:{thread}" if thread else "")
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
    state.topology = shared_topology(state.graph_digest, data["definition"])
    state.epoch = event.epoch or 0
    for name, node in state.topology.nodes.items():
        state.pending[name] = len(node.waits_for)
        if not node.waits_for:
            state.ready[name] = None


def _run_resumed(state: RunState, event: Event) -> None:
    state.epoch = event.data["epoch"]


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


def _node_scheduled(state: RunState, event: Event) -> None:
    address = event.address
    assert address is not None
    node = address.rpartition("#")[0]
    shape = state.topology.nodes[node]
    latest = state.latest
    sources = tuple(latest[name].address for name in shape.waits_for)
    made = Activation(address, node, "running", 1, event.data.get("inputs", {}), sources, event.seq)
    state.activations[address] = latest[node] = made
    state.running[address] = None
    state.ready.pop(node, None)
    state.pending.pop(node, None)


def _node_started(state: RunState, event: Event) -> None:
    found = state.activations[event.address or ""]
    found.status = "running"
    found.attempt = event.data["attempt"]
    found.since = event.seq
    found.retry_at = None
    state.waiting.pop(found.address, None)
    state.running[found.address] = None


def _node_completed(state: RunState, event: Event) -> None:
    found = state.activations[event.address or ""]
    found.status = "completed"
    found.output = event.data.get("output")
    state.running.pop(found.address, None)
    pending = state.pending
    for successor in state.topology.successors[found.node]:
        left = pending.get(successor)
        if left is not None:
            pending[successor] = left - 1
            if left == 1:
                state.ready[successor] = None


def _node_failed(state: RunState, event: Event) -> None:
    found = state.activations[event.address or ""]
    state.running.pop(found.address, None)
    found.attempt = event.data.get("attempt", 1)
    found.retry_at = event.data.get("retry_at")
    if found.retry_at is not None:
        found.status = "waiting"
        state.waiting[found.address] = None
        return
    found.status = "failed"
    state.failures.append(found.address)
    state.failed_data[found.address] = event.data


def _node_skipped(state: RunState, event: Event) -> None:
    found = state.activations.get(event.address or "")
    if found is not None:
        found.status = "skipped"
        state.running.pop(found.address, None)
        state.waiting.pop(found.address, None)


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


def _attempt_failed(state: RunState, event: Event) -> None:
    call = state.calls[event.address or ""]
    waiting = event.data.get("retry_at") is not None
    call.status, call.outcome, call.seq = "waiting" if waiting else "failed", event.data, event.seq
    if not waiting:
        state.open_calls.pop(call.address, None)


def _model_responded(state: RunState, event: Event) -> None:
    _outcome("completed")(state, event)
    call = state.calls[event.address or ""]
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


def _memory_read(state: RunState, event: Event) -> None:
    address = event.address or ""
    state.calls[address] = Call(
        address, "memory", "completed", "", {}, event.data, event.seq, event.seq, event.epoch
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
        )
    )


def _note_added(state: RunState, event: Event) -> None:
    state.notes.add(event.data["id"])


_HANDLERS: Mapping[str, Handler[RunState]] = {
    "run.created": _run_created,
    "run.resumed": _run_resumed,
    "run.paused": _run_paused,
    "run.continued": _run_continued,
    "run.completed": _run_completed,
    "run.failed": _run_failed,
    "run.cancel_requested": _run_cancel_requested,
    "run.cancelled": _run_cancelled,
    "node.scheduled": _node_scheduled,
    "node.started": _node_started,
    "node.completed": _node_completed,
    "node.failed": _node_failed,
    "node.skipped": _node_skipped,
    "model.requested": _requested,
    "model.responded": _model_responded,
    "model.failed": _attempt_failed,
    "model.aborted": _outcome("aborted"),
    "tool.requested": _requested,
    "tool.completed": _outcome("completed"),
    "tool.failed": _attempt_failed,
    "tool.unknown": _tool_unknown,
    "tool.retried": _tool_retried,
    "value.recorded": _value_recorded,
    "timer.set": _requested,
    "timer.fired": _outcome("completed"),
    "model.switched": _model_switched,
    "memory.read": _memory_read,
    "note.added": _note_added,
}


def apply(state: RunState, event: Event) -> None:
    """Fold one event into the state, also one that it does not care about: `state.seq` counts them all.

    Raises:
        UnknownEventError: The event matters and is of a newer version than this release knows.
    """
    handler = _HANDLERS.get(event.type)
    if handler is not None:
        if event.version != VERSIONS[event.type]:
            raise UnknownEventError(event.type, event.version, VERSIONS[event.type])
        handler(state, event)
    state.seq = event.seq


def fold_run(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Return the state after the events of one run; a given state is changed and goes on from where it is."""
    state = RunState() if state is None else state
    for event in events:
        apply(state, event)
    return state


def next_address(state: RunState, node: str) -> Address:
    """Return the address that the next activation of a node will have."""
    latest = state.latest.get(node)
    return activation(node, 1 if latest is None else int(latest.address.rpartition("#")[2]) + 1)
