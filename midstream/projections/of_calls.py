"""What facts about calls do to the state of a run: models, tools, values, timers, people, and runs that it starts."""

from __future__ import annotations

from collections.abc import Mapping

from midstream.events.envelope import Event
from midstream.projections.fold import Handler
from midstream.projections.records import Call, CallStatus, Cut
from midstream.projections.standing import RunState


def _requested(kind: str) -> Handler[RunState]:
    def apply(state: RunState, event: Event) -> None:
        address, data = event.address or "", event.data
        call = state.calls.get(address)
        if call is None:
            lane = data.get("lane", "")
            seq, epoch = event.seq, event.epoch
            state.calls[address] = Call(address, kind, "open", lane, data, None, seq, 0, epoch)
            place = address.rpartition("#")[0]
            known = state.call_keys.get(place)
            if known is None:
                state.call_keys[place] = [address]
            else:
                known.append(address)
        else:
            # A further attempt records only what differs from the first one.
            call.request = {**call.request, **data}
            call.status, call.epoch = "open", event.epoch
            call.attempt = data.get("attempt", call.attempt)
        state.open_calls[address] = None

    return apply


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
    call = state.calls[event.address or ""]
    if call.status not in ("completed", "failed"):
        call.status, call.outcome, call.seq = "completed", event.data, event.seq
        state.open_calls.pop(call.address, None)


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
    address = event.address or ""
    call = state.calls[address]
    call.status, call.outcome, call.seq = "completed", event.data, event.seq
    state.open_calls.pop(address, None)
    request = call.request
    if request.get("purpose"):
        return  # it is no part of a conversation
    of = address.partition("/")[0]
    lanes = state.heads.get(of)
    if lanes is None:
        lanes = state.heads[of] = {}
    elif parents := request.get("parents"):
        for lane in [lane for lane, head in lanes.items() if head in parents]:
            del lanes[lane]
    lanes[call.lane] = address
    thread = request.get("thread")
    if thread:
        state.threads[thread] = address


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


def _did(state: RunState, event: Event) -> None:
    """Keep what is recorded when it has happened, and needs no intent."""
    address = event.address or ""
    kind = event.type.partition(".")[0]
    state.calls[address] = Call(
        address, kind, "completed", "", {}, event.data, event.seq, event.seq, event.epoch
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


OF_CALLS: Mapping[str, Handler[RunState]] = {
    "model.requested": _requested("model"),
    "model.responded": _model_responded,
    "model.failed": _attempt_failed,
    "model.aborted": _outcome("aborted"),
    "tool.requested": _requested("tool"),
    "tool.completed": _tool_completed,
    "tool.failed": _tool_failed,
    "tool.unknown": _tool_unknown,
    "tool.retried": _tool_retried,
    "value.recorded": _value_recorded,
    "agent.started": _did,
    "agent.concluded": _did,
    "memory.read": _did,
    "memory.written": _did,
    "subrun.requested": _requested("subrun"),
    "subrun.completed": _first_end("completed"),
    "subrun.failed": _first_end("failed"),
    "subrun.closing": _subrun_closing,
    "timer.set": _requested("timer"),
    "timer.fired": _outcome("completed"),
    "timer.cancelled": _outcome("aborted"),
    "question.asked": _requested("question"),
    "question.answered": _first_end("completed"),
    "question.expired": _first_end("failed"),
    "question.withdrawn": _first_end("aborted"),
    "context.trimmed": _context_cut,
    "context.summarised": _context_cut,
}
"""By type."""
