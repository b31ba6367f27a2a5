"""The facts of keeping and forgetting, in the stream `system:keeping`: what is no longer in the store, and since when."""

from __future__ import annotations

from typing import Literal

from midstream.events.fact import Fact


class RunRemoved(Fact):
    """A run that had ended was removed with all its events; recorded in the transaction that hid it.

    Who removed it is the event's actor, and when, its time.

    Attributes:
        run: The run. Its id is not given to another one.
        graph: The name of its graph.
        status: How it had ended.
        seq: Its last event.
        digest: The digest of that event, in hex: an anchor that was kept elsewhere can be compared with it.
        reason: Why.
    """

    type: Literal["run.removed"] = "run.removed"
    run: str
    graph: str
    status: Literal["completed", "failed", "cancelled"]
    seq: int
    digest: str
    reason: str = ""


class RunErased(Fact):
    """The content of a run was erased: its keys were destroyed. It stands in the run itself, where everybody can read it.

    Attributes:
        id: Of this erasure.
        reason: Why.
        subject: Whether it was erased as one of all runs of its subject.
    """

    type: Literal["run.erased"] = "run.erased"
    id: str
    reason: str = ""
    subject: bool = False


class SubjectErased(Fact):
    """The content of all runs of a subject was erased.

    Attributes:
        subject: A digest of the subject's name.
        runs: How many runs that were.
        reason: Why.
    """

    type: Literal["subject.erased"] = "subject.erased"
    subject: str
    runs: int
    reason: str = ""
