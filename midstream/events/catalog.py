"""What a store keeps in its list of runs, read off the drafts it appends: one small fold that all stores share."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.errors import StoreError
from midstream.events.envelope import Draft
from midstream.events.store import OPEN, Status

_STATUS_AFTER: dict[str, Status] = {
    "run.created": "running",
    "run.paused": "paused",
    "run.continued": "running",
    "run.completed": "completed",
    "run.failed": "failed",
    "run.cancelled": "cancelled",
}


def status_after(drafts: Sequence[Draft]) -> Status | None:
    """Return the status of a run that was open before these drafts, or None where they do not change it.

    A run that has ended stays so, whatever is still appended to it.
    """
    status: Status | None = None
    for draft in drafts:
        found = _STATUS_AFTER.get(draft.type)
        if found is not None:
            status = found
            if found not in OPEN:
                return found
    return status


def check_first(run_id: str, drafts: Sequence[Draft], expected: int) -> None:
    """Refuse a stream that does not begin with `run.created`, or begins twice.

    Raises:
        StoreError: It does.
    """
    begins = bool(drafts) and drafts[0].type == "run.created"
    if drafts and (expected == 0) != begins:
        wanted = "begin with" if expected == 0 else "have no other"
        raise StoreError(
            f"run {run_id!r}: a run must {wanted} 'run.created', found {drafts[0].type!r}"
        )
