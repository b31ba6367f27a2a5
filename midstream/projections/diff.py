"""Where two runs part, why, and what that made differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from midstream.events.envelope import Event
from midstream.projections.diff_steps import LEFT_OUT, StepDiff, Steps, counted, in_words
from midstream.projections.difference import NOTHING, Difference, differences


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
    steps: Sequence[StepDiff] = ()
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
    steps = Steps(left, right)
    alike = _alike(left, right) if not shared else 0
    sides = _side(left_id, left, shared), _side(right_id, right, shared)
    output = tuple(differences(sides[0].output, sides[1].output))
    cause = _cause(left, right, steps[0]) if steps else ""
    return RunDiff(*sides, shared or alike, bool(shared), cause, steps, output)


def _alike(left: Sequence[Event], right: Sequence[Event]) -> int:
    """Return how many events at the beginning are alike."""
    count = 0
    for ours, theirs in zip(left, right, strict=False):
        same = (ours.type, ours.address) == (theirs.type, theirs.address)
        if not same or (ours.type not in LEFT_OUT and counted(ours) != counted(theirs)):
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
        f"{side} run: {in_words(event)}"
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
