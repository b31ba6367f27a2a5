"""Comparing what the code records today with what is in the log: which fields count, and when a driver heard of a wish."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midstream.events.codec import SEALED
from midstream.events.envelope import ENGINE, Draft, Event
from midstream.events.redaction import MARKED, as_recorded
from midstream.projections.difference import Difference, differences

_NONE: frozenset[str] = frozenset()

_DRAWN: Mapping[str, frozenset[str]] = {
    "tool.requested": frozenset(("key",)),
    "tool.unknown": frozenset(("reason",)),
    "timer.set": frozenset(("until",)),
    "subrun.requested": frozenset(("run", "model")),
    "question.asked": frozenset(("id", "deadline")),
    "value.recorded": frozenset(("value",)),
    "node.failed": frozenset(("traceback",)),
    "model.aborted": frozenset(("text",)),
}
"""What comes from the clock, from chance, or from the run's id: never compared."""

_TOLD: Mapping[str, frozenset[str]] = {
    "model.requested": frozenset(("view", "changes", "tools")),
    "tool.requested": frozenset(("effect",)),
    "tool.failed": frozenset(("message",)),
    "node.failed": frozenset(("message",)),
    "run.failed": frozenset(("failures",)),
}
"""How it is told, and not what was decided: compared in strict mode only."""

_VIEW = frozenset(("view", "changes"))
_ASKED = frozenset(("model", "view", "changes"))

_BEGINNINGS = frozenset(
    (
        "node.scheduled",
        "node.started",
        "model.requested",
        "tool.requested",
        "timer.set",
        "question.asked",
        "subrun.requested",
    )
)

OUTCOMES = frozenset(
    (
        "model.responded",
        "model.failed",
        "model.aborted",
        "tool.completed",
        "tool.failed",
        "tool.unknown",
        "tool.retried",
        "timer.fired",
        "subrun.completed",
        "subrun.failed",
        "question.answered",
        "question.expired",
        "question.withdrawn",
        "timer.cancelled",
    )
)
"""What the world answers; on replay, the log does."""


def foreign(event: Event) -> bool:
    """Say whether an event is a wish or a word of somebody else, or of the clock: taken from the log as it is."""
    by_the_clock = event.type == "limit.reached" and event.data["limit"] == "seconds"
    return event.epoch is None or event.actor != ENGINE or by_the_clock


def changed(
    event: Event, draft: Draft, *, strict: bool, unsent: bool = False, viewed: bool = True
) -> tuple[Difference, ...]:
    """Return where a recorded event and what the code would record today differ.

    Args:
        event: As recorded.
        draft: As the code would record it.
        strict: Also compare how things are told: views by digest, tool descriptions, messages of errors.
        unsent: The request was recorded before its driver heard of a migration, and was not sent.
        viewed: The adapter that rendered the recorded view is here.
    """
    if (event.type, event.address) != (draft.type, draft.address):
        was, now = (event.type, event.address), (draft.type, draft.address)
        return (Difference("", " ".join(filter(None, was)), " ".join(filter(None, now))),)
    left_out = _DRAWN.get(event.type, _NONE)
    if not strict:
        left_out |= _TOLD.get(event.type, _NONE)
    if event.type == "model.requested":
        left_out |= (_ASKED if unsent else _NONE) | (_NONE if viewed else _VIEW)
    if event.data.get("kind") == draft.data.get("kind") == "timeout":
        left_out |= {"message"}  # it says which of the limits, and no time passes today
    today = draft.data
    if MARKED.encode() in event.body or event.body.startswith(SEALED):
        today = as_recorded(event.data, today)  # the code gives true values, the log has marks
    return tuple(differences(_counted(event.data, left_out), _counted(today, left_out)))


def taken_back(event: Event, events: Iterable[Event]) -> bool:
    """Say whether a request was taken back before it was sent, as its driver heard of a migration; given what follows it."""
    if event.type != "model.requested":
        return False
    after = (one for one in events if one.address == event.address and one is not event)
    following = next(after, None)
    return (
        following is not None
        and following.type == "model.aborted"
        and following.data["reason"] == "migrated"
    )


def _counted(data: Mapping[str, Any], left_out: frozenset[str]) -> dict[str, Any]:
    kept = {name: value for name, value in data.items() if name not in left_out}
    if kept.get("retry_at") is not None:
        kept["retry_at"] = "later"
    return kept


def as_heard(events: Sequence[Event]) -> list[Event]:
    """Return the events of one driver in the order in which it heard of them.

    What somebody else appends stands in the log before its driver has read it. Where what the driver did next shows that
    it had not, the wish is moved to where it had.
    """
    heard = list(events)
    for place in range(len(heard) - 1, -1, -1):
        event = heard[place]
        wanted = _moved(heard, place) if foreign(event) else place
        if wanted > place:
            del heard[place]
            heard.insert(wanted - 1, event)
    return heard


def _moved(events: Sequence[Event], place: int) -> int:
    """Return before which event a wish was heard of."""
    after = range(place + 1, len(events))
    match events[place].type:
        case "run.cancel_requested":
            ended = next((i for i in after if events[i].type == "run.cancelled"), len(events))
            while ended > place + 1 and _closes(events[ended - 1]):
                ended -= 1
            return ended
        case "run.paused":
            until = next((i for i in after if events[i].type == "run.continued"), len(events))
            begun = [i for i in range(place + 1, until) if _begins(events[i])]
            return begun[-1] + 1 if begun else place
        case "run.continued":
            return next((i for i in after if _begins(events[i])), place)
        case _:
            return place


def _begins(event: Event) -> bool:
    return event.type in _BEGINNINGS and not foreign(event)


def _closes(event: Event) -> bool:
    if foreign(event):
        return True
    match event.type:
        case "model.aborted":
            return bool(event.data["reason"] == "cancelled")
        case "tool.failed":
            return bool(event.data["kind"] == "cancelled")
        case "timer.cancelled" | "question.withdrawn":
            return bool(event.data.get("reason") == "cancelled")
        case _:
            return False


def foreseen(events: Sequence[Event]) -> dict[str, dict[str, str]]:
    """Return, by key, the lanes of the calls that a log comes to, by address; see `Claims`."""
    found: dict[str, dict[str, str]] = {}
    for event in events:
        if event.address is not None and event.type.endswith((".requested", ".asked")):
            lanes = found.setdefault(event.address.rpartition("#")[0], {})
            lanes.setdefault(event.address, event.data.get("lane", ""))
    return found
