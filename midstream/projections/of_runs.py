"""What facts about a run as a whole do to its state."""

from __future__ import annotations

from collections.abc import Mapping

from midstream.events.envelope import Event
from midstream.projections import flow
from midstream.projections.fold import Handler
from midstream.projections.records import Said, Switch
from midstream.projections.reshaping import upgrade
from midstream.projections.returned import returned
from midstream.projections.scopes import reshape
from midstream.projections.standing import RunState
from midstream.projections.topology import NOTHING, shared_topology


def _run_created(state: RunState, event: Event) -> None:
    data = event.data
    state.graph = data["graph"]
    state.graph_digest = data["graph_digest"]
    state.code = data.get("code", "")
    state.inputs = data.get("inputs", NOTHING)
    state.model = data.get("model", "")
    state.tags = data.get("tags", NOTHING)
    state.limits = data.get("limits", NOTHING)
    state.began = event.at
    state.subject = data.get("subject", "")
    state.parent, state.parent_step = data.get("parent") or "", data.get("parent_step", "")
    state.context = data.get("context", NOTHING)
    state.topology = shared_topology(state.graph_digest, data["definition"])
    state.graphs = data["definition"].get("graphs", NOTHING)
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
        state.graphs = data["definition"].get("graphs", NOTHING)
        reshape(state)


def _graph_upgraded(state: RunState, event: Event) -> None:
    data = event.data
    state.graph_digest, state.code = data["graph_digest"], data.get("code", "")
    state.inputs = {**data.get("inputs", {}), **state.inputs}
    if data.get("definition"):
        state.graphs = data["definition"].get("graphs", NOTHING)
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


def _message_added(state: RunState, event: Event) -> None:
    data = event.data
    if all(said.id != data["id"] for said in state.said):
        state.said.append(Said(data["id"], data.get("message")))


def _note_added(state: RunState, event: Event) -> None:
    if not isinstance(state.notes, set):  # most runs have none
        state.notes = set(state.notes)
    state.notes.add(event.data["id"])


OF_RUNS: Mapping[str, Handler[RunState]] = {
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
    "model.switched": _model_switched,
    "message.added": _message_added,
    "note.added": _note_added,
}
"""By type."""
