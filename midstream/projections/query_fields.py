"""What can be asked of runs in a query: each field, what its values are, and how they are read."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, get_args

from midstream.events.store import Status

Kind = Literal["status", "glob", "number", "span", "moment", "mark", "text"]

STATUSES: tuple[Status, ...] = get_args(Status)
"""Where a run may stand."""

LISTED_MARKS = ("fork", "driver")
"""What a run may have, as the list of runs tells."""

FOLDED_MARKS = (
    "error",
    "feedback",
    "lesson",
    "loss",
    "migration",
    "note",
    "question",
    "retry",
    "tool",
    "unknown",
)
"""What a run may have, as its events tell: something failed, somebody judged it, it was told a lesson, a model could not be
told something, it went on with another model, the host noted something, a question waits, something was tried again, a tool
was called, nobody knows what became of a tool call."""


@dataclass(frozen=True, slots=True)
class Field:
    """One thing that can be asked for.

    Attributes:
        kind: What its values are.
        says: What it is, for people.
        folded: It is told by the run's events, and not by the list of runs.
        keyed: It takes a key after a dot, as in `tag.team`.
    """

    kind: Kind
    says: str
    folded: bool = False
    keyed: bool = False


FIELDS: Mapping[str, Field] = {
    "id": Field("glob", "the run's id"),
    "status": Field("status", "running, paused, completed, failed or cancelled"),
    "graph": Field("glob", "the name of its graph"),
    "tag": Field("glob", "a tag, as in tag.team:blue", keyed=True),
    "parent": Field("glob", "the run it was forked from"),
    "events": Field("number", "how many events it has"),
    "started": Field("moment", "when it began"),
    "since": Field("moment", "it began then or later"),
    "until": Field("moment", "it began before that"),
    "ended": Field("moment", "when it ended", folded=True),
    "duration": Field("span", "how long it took, or has taken so far", folded=True),
    "model": Field("glob", "a model that was asked", folded=True),
    "node": Field("glob", "a node that ran", folded=True),
    "tool": Field("glob", "a tool that was called", folded=True),
    "cost": Field("number", "US dollars", folded=True),
    "tokens": Field("number", "read and written", folded=True),
    "calls": Field("number", "answered model calls", folded=True),
    "error": Field("glob", "the kind of something that failed, as rate_limit", folded=True),
    "event": Field("glob", "a type of event that it has, as tool.failed", folded=True),
    "feedback": Field("glob", "positive, negative, correction or score", folded=True),
    "score": Field("number", "the mean of the scores that it was given", folded=True),
    "has": Field("mark", ", ".join(sorted((*LISTED_MARKS, *FOLDED_MARKS)))),
    "text": Field("text", "something that is said in it; the same as the word alone", folded=True),
}
"""By name."""

SORTS = ("id", "graph", "status", "events", "started", "ended", "duration", "cost", "tokens", "calls")  # fmt: skip
"""What runs may be sorted by."""

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_NUMBER = re.compile(r"\$?(\d{1,15}(?:\.\d{1,15})?|\.\d{1,15})([km]?)", re.IGNORECASE | re.ASCII)
_SPAN = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)([smhdw]?)", re.ASCII)


def number_of(text: str) -> float | None:
    """Return the number that `0.10`, `$3`, `10k` or `2m` means; None for anything else."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return None
    return float(found[1]) * {"": 1.0, "k": 1e3, "m": 1e6}[found[2].lower()]


def span_of(text: str) -> float | None:
    """Return the seconds that `90`, `30s`, `5m`, `2h`, `7d` or `2w` mean; None for anything else."""
    found = _SPAN.fullmatch(text)
    return None if found is None else float(found[1]) * _UNITS.get(found[2], 1.0)


def moment_of(text: str, now: float) -> float | None:
    """Return the moment that a span ago (`7d`) or a date in UTC (`2026-11-01`, `2026-11-01T10:30`) means.

    Args:
        text: What was written.
        now: In seconds since 1970.

    Returns:
        Seconds since 1970; None for anything else.
    """
    if text[-1:] in _UNITS and (span := span_of(text)) is not None:
        return now - span
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()


def _status(text: str) -> bool:
    return text in STATUSES


def _mark(text: str) -> bool:
    return text in LISTED_MARKS or text in FOLDED_MARKS


READS: Mapping[Kind, tuple[Callable[[str], bool], str]] = {
    "status": (_status, f"one of {', '.join(STATUSES)}"),
    "mark": (_mark, f"one of {FIELDS['has'].says}"),
    "number": (lambda text: number_of(text) is not None, "a number, as 0.10 or 10k"),
    "span": (lambda text: span_of(text) is not None, "a span of time, as 30s, 5m or 2h"),
    "moment": (
        lambda text: moment_of(text, 0.0) is not None,
        "a span ago, as 7d, or a date, as 2026-11-01",
    ),
}
"""Of kinds that do not take any text: whether a text is one, and what is wanted."""

ORDERED: frozenset[Kind] = frozenset(("number", "span", "moment"))
"""Kinds that can be compared by more and less."""
