"""What a store keeps in its list of runs, read off the drafts it appends: one small fold that all stores share."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.errors import StoreError
from midstream.events.envelope import Draft
from midstream.events.store import OPEN, Status

FORKED = "run.forked"
"""The type of the first event of its own of a run that begins with the events of another one."""

ENDINGS = frozenset(("run.completed", "run.failed", "run.cancelled"))
"""The types of events that end a run; others may still follow, such as notes."""

_STATUS_AFTER: dict[str, Status] = {
    "run.created": "running",
    "run.paused": "paused",
    "run.continued": "running",
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}


TURNS = frozenset((*_STATUS_AFTER, FORKED))
"""The types of events that may change the status of a run."""


def status_after(drafts: Sequence[Draft]) -> Status | None:
    """Return the status of a run that was open before these drafts, or None where they do not change it.

    A run that has ended stays so, whatever is still appended to it.
    """
    status: Status | None = None
    for draft in drafts:
        found: Status | None
        if draft.type == FORKED:
            found = draft.data.get("status", "running")
        else:
            found = _STATUS_AFTER.get(draft.type)
        if found is not None:
            status = found
            if found not in OPEN:
                return found
    return status


def check_origin(run_id: str, draft: Draft, digest: bytes | None) -> None:
    """Refuse a fork of an event that is not there, or not the one that its `run.forked` names.

    Args:
        run_id: The fork.
        draft: Its `run.forked`.
        digest: Of the event that it names, or None where there is no such event.

    Raises:
        StoreError: It is.
    """
    parent, seq = draft.data["parent"], draft.data["seq"]
    if digest is None:
        raise StoreError(f"run {run_id!r}: run {parent!r} has no event {seq} to be forked at")
    if digest.hex() != draft.data["digest"]:
        raise StoreError(
            f"run {run_id!r}: event {seq} of run {parent!r} is not the one that was forked: its digest is another one"
        )


def check_first(run_id: str, drafts: Sequence[Draft], expected: int) -> None:
    """Refuse a stream that does not begin with `run.created` or `run.forked`, or begins twice.

    Raises:
        StoreError: It does.
    """
    if drafts and drafts[0].type == FORKED:
        seq = drafts[0].data.get("seq", 0)
        if seq < 1 or seq != expected:
            raise StoreError(
                f"run {run_id!r}: a fork at event {seq} is appended with expected={seq}, not {expected}"
            )
        return
    begins = bool(drafts) and drafts[0].type == "run.created"
    if drafts and (expected == 0) != begins:
        wanted = "begin with" if expected == 0 else "have no other"
        raise StoreError(
            f"run {run_id!r}: a run must {wanted} 'run.created', found {drafts[0].type!r}"
        )
