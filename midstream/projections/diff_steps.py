"""The steps in which two runs differ, aligned by address, so branches may finish in any order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast, overload

from midstream.events.envelope import Event
from midstream.projections.difference import Difference, differences
from midstream.projections.timeline import line

_INCIDENTAL: Mapping[str, frozenset[str]] = {
    "run.created": frozenset(("id", "tags")),
    "model.responded": frozenset(("seconds", "response_id", "usage", "cost", "served")),
    "model.failed": frozenset(("request_id", "retry_at")),
    "tool.requested": frozenset(("key",)),
    "tool.failed": frozenset(("retry_at",)),
    "node.failed": frozenset(("retry_at", "traceback")),
    "timer.set": frozenset(("until",)),
    "subrun.requested": frozenset(("run",)),
    "question.asked": frozenset(("id", "deadline")),
}
"""What is another thing in each run, whatever it does."""

_DIGEST = re.compile(r":[0-9a-f]{10}(?=#|@)")
"""The digest of the arguments in the address of a call."""

LEFT_OUT = frozenset(
    (
        "run.resumed",
        "graph.upgraded",
        "run.forked",
        "run.paused",
        "run.continued",
        "model.switched",
        "note.added",
    )
)
"""Events that are causes or remarks, and no steps."""


@dataclass(frozen=True, slots=True)
class StepDiff:
    """A step that is not the same in both runs.

    Attributes:
        step: Its address; empty for the run as a whole.
        left_seq: The first event of the left run that differs; 0 where it has none.
        right_seq: Likewise.
        left: That event, in words; empty where there is none.
        right: Likewise.
        differences: Where their data differ.
        text: Lines of a unified diff of what a model said, where that differs.
    """

    step: str
    left_seq: int
    right_seq: int
    left: str
    right: str
    differences: tuple[Difference, ...]
    text: tuple[str, ...] = ()


class _Parted(NamedTuple):
    """A step that differs, before it is told in words."""

    step: str
    left: Event | None
    right: Event | None
    differences: tuple[Difference, ...]
    ours: Sequence[Event]
    theirs: Sequence[Event]

    @property
    def seq(self) -> int:
        """The first event that differs, of the left run where it has one."""
        first = self.left or self.right
        return 0 if first is None else first.seq

    def told(self) -> StepDiff:
        """Tell it in words."""
        left, right = self.left, self.right
        return StepDiff(
            self.step,
            0 if left is None else left.seq,
            0 if right is None else right.seq,
            "" if left is None else in_words(left),
            "" if right is None else in_words(right),
            self.differences,
            tuple(_text_diff(_said(self.ours), _said(self.theirs))),
        )


class Steps(Sequence[StepDiff]):
    """The steps that differ, in the order of the left run; each is told in words when it is first looked at.

    Args:
        left: The events of the left run after those that are the same.
        right: Likewise.
    """

    def __init__(self, left: Sequence[Event] = (), right: Sequence[Event] = ()) -> None:
        ours = _by_step(left)
        theirs = _paired(ours, _by_step(right))
        found = (
            _parted(step, ours.get(step, []), theirs.get(step, []))
            for step in dict.fromkeys((*ours, *theirs))
        )
        self._parted = sorted((one for one in found if one is not None), key=lambda one: one.seq)
        self._told: dict[int, StepDiff] = {}

    def __len__(self) -> int:
        return len(self._parted)

    @overload
    def __getitem__(self, place: int) -> StepDiff: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[StepDiff]: ...

    def __getitem__(self, place: int | slice) -> StepDiff | Sequence[StepDiff]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(*place.indices(len(self))))
        there = range(len(self))[place]
        told = self._told.get(there)
        if told is None:
            told = self._told[there] = self._parted[there].told()
        return told

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Steps | tuple) and tuple(self) == tuple(
            cast("Iterable[StepDiff]", other)
        )

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __repr__(self) -> str:
        return f"Steps({len(self)} that differ)"


def _paired(
    ours: Mapping[str, Sequence[Event]], theirs: Mapping[str, Sequence[Event]]
) -> dict[str, Sequence[Event]]:
    """Return the right run's steps under the left run's names, where they differ by what is called only.

    A call's address has a digest of its arguments, so a call with others is another step; its place is the same.
    """
    free: dict[str, list[str]] = {}
    for step in ours:
        if step not in theirs:
            free.setdefault(_DIGEST.sub("", step), []).append(step)
    found: dict[str, Sequence[Event]] = {}
    for step, events in theirs.items():
        places = [] if step in ours else free.get(_DIGEST.sub("", step), [])
        found[places.pop(0) if places else step] = events
    return found


def _by_step(events: Sequence[Event]) -> dict[str, list[Event]]:
    found: dict[str, list[Event]] = {}
    for event in events:
        if event.type not in LEFT_OUT:
            found.setdefault(event.address or "", []).append(event)
    return found


def _parted(step: str, ours: Sequence[Event], theirs: Sequence[Event]) -> _Parted | None:
    for place in range(max(len(ours), len(theirs))):
        left = ours[place] if place < len(ours) else None
        right = theirs[place] if place < len(theirs) else None
        if left is None or right is None or left.type != right.type:
            return _Parted(step, left, right, (), ours, theirs)
        found = tuple(differences(counted(left), counted(right)))
        if found:
            return _Parted(step, left, right, found, ours, theirs)
    return None


def counted(event: Event) -> dict[str, Any]:
    """Return the data of an event without what is another thing in each run."""
    left_out = _INCIDENTAL.get(event.type, frozenset())
    return {name: value for name, value in event.data.items() if name not in left_out}


def in_words(event: Event) -> str:
    """Return an event as its type and what it says."""
    told = line(event)
    return f"{told.type} {told.text}".strip()


def _said(events: Sequence[Event]) -> str:
    parts = (
        part.get("text", "")
        for event in events
        if event.type == "model.responded"
        for part in event.data["message"].get("parts", ())
    )
    return "\n".join(filter(None, parts))


def _text_diff(left: str, right: str) -> Iterable[str]:
    if not left or not right or left == right:
        return ()
    lines = difflib.unified_diff(left.splitlines(), right.splitlines(), lineterm="", n=2)
    return [text for text in lines if not text.startswith(("---", "+++"))]
