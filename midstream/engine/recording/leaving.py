"""Calls that nobody waits for any more: what is known of them is recorded, so that every conversation stays valid."""

from __future__ import annotations

from midstream.engine.recording.recorder import Recorder
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.projections.run_state import Call


class Leaving:
    """Ends calls of one run.

    Args:
        recorder: Writes the run.
    """

    __slots__ = ("_recorder",)

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder

    def leave_all(self, address: Address, retry_at: float | None) -> None:
        """Record what is known of the calls that an attempt left behind."""
        for name in tuple(self._recorder.state.open_calls):
            if name.startswith((f"{address}/", f"{address}[")):
                self._leave(self._recorder.state.calls[name], retry_at)

    def _leave(self, call: Call, retry_at: float | None) -> None:
        """Record what is known of a call whose caller has ended; one that may be repeated is, with its node."""
        waits = call.kind in ("timer", "question") or call.status == "waiting"
        if retry_at is not None and waits:
            return  # its time or its answer comes all the same, and the next attempt waits for it
        if call.kind == "subrun":
            return  # a run of its own goes on; how it is closed is said where this one ends
        if call.status == "unknown":
            return  # that is said already
        if _doubtful(call):
            self._recorder.add(
                payloads.ToolUnknown(reason="abandoned when its node ended"), call.address
            )
        elif call.kind == "tool" and retry_at is not None:
            failed = payloads.ToolFailed(
                kind="failed", message="its node ended", retry_at=retry_at, attempt=call.attempt
            )
            self._recorder.add(failed, call.address)
        else:
            self.close(call, "failed", "its node ended")

    def close(self, call: Call, kind: str, reason: str, cause: int | None = None) -> None:
        """Record the end of a call that will get no other one, so that every provider accepts the conversation."""
        match call.kind:
            case "subrun":
                pass  # it was left to itself
            case "model":
                self._recorder.add(payloads.ModelAborted(reason=kind), call.address, cause=cause)
            case "tool":
                message = f"{kind}: {reason}" if reason else kind
                if _doubtful(call):
                    message += "; it may have had its effect"
                self._recorder.add(
                    payloads.ToolFailed(kind=kind, message=message), call.address, cause=cause
                )
            case "question":
                self._recorder.add(
                    payloads.QuestionWithdrawn(reason=kind), call.address, cause=cause
                )
            case _:
                self._recorder.add(payloads.TimerCancelled(reason=kind), call.address, cause=cause)


def _doubtful(call: Call) -> bool:
    """Say whether nobody knows what a call did that is to be ended now."""
    unsafe = call.kind == "tool" and call.request.get("effect", "unsafe") == "unsafe"
    return unsafe and call.status in ("open", "unknown")
