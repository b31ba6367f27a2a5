"""Where two runs part, why, and what that made differ; steps are aligned by address, so branches may finish in any order."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from midstream.events.envelope import Event
from midstream.projections.difference import NOTHING, Difference, differences
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

_LEFT_OUT = frozenset(
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


@dataclass(frozen=True, slots=True)
class Side:
    """What one of the two runs came to since they parted.

    Attributes:
        run_id: The run.
        seq: Its newest event.
        status: The type of the event that ended it, without `run.`; `open` where it has not ended.
        output: Its output.
        cost: In US dollars, since they parted; calls of unknown price are left out.
        tokens: Read and written, since they parted.
        calls: Answered model calls, since they parted.
        seconds: From there to its last event.
    """

    run_id: str
    seq: int
    status: str = "open"
    output: Any = None
    cost: Decimal = Decimal(0)
    tokens: int = 0
    calls: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class RunDiff:
    """How two runs differ.

    Attributes:
        left: The first run.
        right: The second run.
        common: How many events they share, or have alike from the beginning.
        shared: They are the same events: one of the runs is a fork, or both are.
        cause: Why they part, in words; empty where they do not.
        steps: The steps that differ, in the order of the left run; the first one is where they part.
        output: Where their outputs differ.
    """

    left: Side
    right: Side
    common: int
    shared: bool
    cause: str = ""
    steps: tuple[StepDiff, ...] = ()
    output: tuple[Difference, ...] = field(default_factory=tuple[Difference, ...])

    @property
    def first(self) -> StepDiff | None:
        """Where they part, or None."""
        return self.steps[0] if self.steps else None

    def __bool__(self) -> bool:
        """They differ."""
        return bool(self.steps)


def diff_runs(
    left_id: str,
    right_id: str,
    left: Sequence[Event],
    right: Sequence[Event],
    *,
    shared: int = 0,
) -> RunDiff:
    """Return how two runs differ.

    Args:
        left_id: The first run.
        right_id: The second run.
        left: Its events after the shared ones.
        right: Likewise.
        shared: How many events before them are the same ones.
    """
    steps = tuple(_steps(left, right))
    alike = _alike(left, right) if not shared else 0
    sides = _side(left_id, left, shared), _side(right_id, right, shared)
    output = tuple(differences(sides[0].output, sides[1].output))
    cause = _cause(left, right, steps[0]) if steps else ""
    return RunDiff(*sides, shared or alike, bool(shared), cause, steps, output)


def _steps(left: Sequence[Event], right: Sequence[Event]) -> Iterable[StepDiff]:
    ours = _by_step(left)
    theirs = _paired(ours, _by_step(right))
    found: list[tuple[int, StepDiff]] = []
    for step in dict.fromkeys((*ours, *theirs)):
        one = _step(step, ours.get(step, []), theirs.get(step, []))
        if one is not None:
            found.append((one.left_seq or one.right_seq, one))
    return [one for _, one in sorted(found, key=lambda each: each[0])]


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
        if event.type not in _LEFT_OUT:
            found.setdefault(event.address or "", []).append(event)
    return found


def _step(step: str, ours: Sequence[Event], theirs: Sequence[Event]) -> StepDiff | None:
    for place in range(max(len(ours), len(theirs))):
        left = ours[place] if place < len(ours) else None
        right = theirs[place] if place < len(theirs) else None
        if left is None or right is None or left.type != right.type:
            return _step_diff(step, left, right, (), ours, theirs)
        found = tuple(differences(_counted(left), _counted(right)))
        if found:
            return _step_diff(step, left, right, found, ours, theirs)
    return None


def _step_diff(
    step: str,
    left: Event | None,
    right: Event | None,
    found: tuple[Difference, ...],
    ours: Sequence[Event],
    theirs: Sequence[Event],
) -> StepDiff:
    return StepDiff(
        step,
        0 if left is None else left.seq,
        0 if right is None else right.seq,
        "" if left is None else _words(left),
        "" if right is None else _words(right),
        found,
        tuple(_text_diff(_said(ours), _said(theirs))),
    )


def _counted(event: Event) -> dict[str, Any]:
    left_out = _INCIDENTAL.get(event.type, frozenset())
    return {name: value for name, value in event.data.items() if name not in left_out}


def _words(event: Event) -> str:
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


def _alike(left: Sequence[Event], right: Sequence[Event]) -> int:
    """Return how many events at the beginning are alike."""
    count = 0
    for ours, theirs in zip(left, right, strict=False):
        same = (ours.type, ours.address) == (theirs.type, theirs.address)
        if not same or (ours.type not in _LEFT_OUT and _counted(ours) != _counted(theirs)):
            break
        count += 1
    return count


def _side(run_id: str, events: Sequence[Event], shared: int) -> Side:
    status, output, cost, tokens, calls = "open", None, Decimal(0), 0, 0
    for event in events:
        if event.type == "model.responded":
            usage, price = event.data.get("usage", {}), event.data.get("cost")
            cost += Decimal(price["amount"]) if price else 0
            tokens += usage.get("input_tokens", 0) + usage.get("output_tokens", 0)
            calls += 1
        elif event.type in ("run.completed", "run.failed", "run.cancelled"):
            status, output = event.type.partition(".")[2], event.data.get("output")
    seconds = (events[-1].at - events[0].at) / 1e6 if events else 0.0
    seq = events[-1].seq if events else shared
    return Side(run_id, seq, status, output, cost, tokens, calls, seconds)


def _cause(left: Sequence[Event], right: Sequence[Event], first: StepDiff) -> str:
    """Say why two runs part: what somebody wanted of one of them, or who answered otherwise."""
    wanted = [
        f"{side} run: {_words(event)}"
        for side, events, until in (
            ("left", left, first.left_seq),
            ("right", right, first.right_seq),
        )
        for event in events
        if event.type in ("run.forked", "model.switched") and (not until or event.seq < until)
        if event.type != "run.forked" or _changes(event.data)
    ]
    if wanted:
        return "; ".join(wanted)
    return _kind_of_cause(first)


def _changes(data: Mapping[str, Any]) -> bool:
    return any(data.get(name) for name in ("inputs", "outputs", "overrides", "definition"))


def _kind_of_cause(first: StepDiff) -> str:
    kind = (first.left or first.right).partition(" ")[0]
    match kind:
        case "run.created":
            places = ", ".join(dict.fromkeys(one.path for one in first.differences))
            return f"they were started with other values: {places}"
        case (
            "model.responded"
            | "tool.completed"
            | "subrun.completed"
            | "value.recorded"
            | "question.answered"
        ):
            return f"{first.step} was answered otherwise"
        case "model.failed" | "tool.failed" | "node.failed":
            return f"{first.step} failed in one of them, or failed otherwise"
        case _ if not first.left or not first.right:
            return f"only one of them has gone on to {first.step or 'its end'}"
        case _:
            return f"the code did something else at {first.step or 'its end'}"


def plain_diff(found: RunDiff) -> dict[str, Any]:
    """Return a diff as plain data, for JSON."""
    return {
        "differs": bool(found),
        "common": found.common,
        "shared": found.shared,
        "cause": found.cause,
        "left": _plain_side(found.left),
        "right": _plain_side(found.right),
        "steps": [
            {
                "step": one.step,
                "left_seq": one.left_seq,
                "right_seq": one.right_seq,
                "left": one.left,
                "right": one.right,
                "differences": [_plain(place) for place in one.differences],
                "text": list(one.text),
            }
            for one in found.steps
        ],
        "output": [_plain(place) for place in found.output],
    }


def _plain_side(side: Side) -> dict[str, Any]:
    return {
        "run_id": side.run_id,
        "seq": side.seq,
        "status": side.status,
        "output": side.output,
        "cost": format(side.cost, "f"),
        "tokens": side.tokens,
        "calls": side.calls,
        "seconds": side.seconds,
    }


def _plain(one: Difference) -> dict[str, Any]:
    there = {"left": one.left, "right": one.right}
    return {"path": one.path, **{k: v for k, v in there.items() if v is not NOTHING}}
