"""What tries of a run came to: a line for each, beside what the run itself came to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from midstream.events.envelope import REPLAY, Event
from midstream.events.ids import RunId
from midstream.projections.diff import RunDiff, plain_diff
from midstream.projections.timeline import shortened

_HAPPENED = frozenset(("model.responded", "model.failed", "tool.completed", "tool.failed"))
_SHOWN = 60


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a what-if would cost, by the tokens that the log has; nobody was asked.

    Attributes:
        times: How many tries.
        calls: Model calls that happen, in all tries.
        later: Model calls after them that happen if what they are asked becomes something else.
        input_tokens: Of the calls that happen, as they were recorded.
        output_tokens: Likewise.
        least: US dollars, if nothing else happens.
        most: US dollars, if everything after them happens as well.
        unpriced: Calls that happen and whose price is not known.
        sources: The price lists that were used, with their versions.
    """

    times: int
    calls: int
    later: int
    input_tokens: int
    output_tokens: int
    least: Decimal
    most: Decimal
    unpriced: int
    sources: tuple[str, ...]

    def __str__(self) -> str:
        prices = ", ".join(self.sources) or "no price list"
        least, most = f"${self.least:.4f}", f"${self.most:.4f}"
        span = least if least == most else f"{least} to {most}"
        unknown = f" + {self.unpriced} calls without a price" if self.unpriced else ""
        return (
            f"{self.times} tries: about {self.calls} model calls, at most {self.later} after them; "
            f"{span}{unknown} (an estimate by {prices})"
        )

    def data(self) -> dict[str, Any]:
        """Return it as plain data, for JSON; money as text."""
        return {
            "times": self.times,
            "calls": self.calls,
            "later": self.later,
            "input_tokens": self.input_tokens,
            "output_tokens": self.output_tokens,
            "least": f"{self.least:f}",
            "most": f"{self.most:f}",
            "unpriced": self.unpriced,
            "sources": list(self.sources),
        }


@dataclass(frozen=True, slots=True)
class Try:
    """What one try came to; the run itself, since where its tries leave it, is number 0.

    Attributes:
        number: From 1.
        run_id: The fork; forgotten by now where tries are not kept.
        status: `completed`, `failed`, `cancelled`; `stopped` where it was not allowed to go on; `open` for a run that goes on.
        output: Of the run.
        stopped: Why it was stopped.
        live: Calls of models and tools that happened.
        from_log: Calls that the log answered.
        cost: US dollars of the model calls that happened and whose price is known.
        tokens: Read and written by the calls that happened.
        unpriced: Model calls that happened and whose price is not known.
        seconds: From its beginning to its end.
        diff: How it differs from the run; None for the run itself.
    """

    number: int
    run_id: RunId
    status: str
    output: Any
    stopped: str
    live: int
    from_log: int
    cost: Decimal
    tokens: int
    unpriced: int
    seconds: float
    diff: RunDiff | None

    @property
    def same(self) -> bool:
        """It ended as the run did, with the same output."""
        return self.diff is not None and not self.diff.output and self._ended_alike

    @property
    def _ended_alike(self) -> bool:
        return self.diff is None or self.diff.left.status == self.diff.right.status

    def data(self) -> dict[str, Any]:
        """Return it as plain data, for JSON; money as text."""
        return {
            "number": self.number,
            "run_id": self.run_id,
            "status": self.status,
            "same": self.same,
            "output": self.output,
            "stopped": self.stopped,
            "live": self.live,
            "from_log": self.from_log,
            "cost": f"{self.cost:f}",
            "tokens": self.tokens,
            "unpriced": self.unpriced,
            "seconds": self.seconds,
            "diff": None if self.diff is None else plain_diff(self.diff),
        }


@dataclass(frozen=True, slots=True)
class WhatIf:
    """What tries came to.

    Attributes:
        run_id: The run.
        live: The steps that happened.
        models: Who was asked, as it was wanted.
        estimate: What was expected.
        original: What the run itself came to.
        tries: In order.
    """

    run_id: RunId
    live: tuple[str, ...]
    models: Mapping[str, str]
    estimate: Estimate
    original: Try
    tries: tuple[Try, ...]

    @property
    def cost(self) -> Decimal:
        """What the tries have cost, in US dollars, of calls whose price is known."""
        return sum((one.cost for one in self.tries), Decimal(0))

    def data(self) -> dict[str, Any]:
        """Return it as plain data, for JSON."""
        return {
            "run_id": self.run_id,
            "live": list(self.live),
            "models": dict(self.models),
            "estimate": self.estimate.data(),
            "cost": f"{self.cost:f}",
            "original": self.original.data(),
            "tries": [one.data() for one in self.tries],
        }

    def rows(self) -> list[tuple[str, ...]]:
        """Return a table: a heading, the run, and its tries."""
        return [
            ("", "run", "outcome", "differs", "live", "from log", "cost", "seconds", "output"),
            *(_row(one) for one in (self.original, *self.tries)),
        ]

    def __str__(self) -> str:
        rows = self.rows()
        widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
        lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
        return "\n".join((*lines, f"cost ${self.cost:.4f}, estimated {self.estimate}"))


def _row(one: Try) -> tuple[str, ...]:
    first = None if one.diff is None else one.diff.first
    differs = "" if first is None else (first.step or "the run")
    unknown = f" + {one.unpriced}?" if one.unpriced else ""
    return (
        str(one.number) if one.number else "log",
        one.run_id,
        one.status,
        differs,
        str(one.live) if one.number else "",
        str(one.from_log) if one.number else "",
        f"${one.cost:.4f}{unknown}",
        f"{one.seconds:.1f}",
        shortened(one.stopped or str(one.output), _SHOWN),
    )


def tried(
    number: int,
    run_id: RunId,
    events: Sequence[Event],
    cut: int,
    diff: RunDiff | None = None,
) -> Try:
    """Return what a try came to, or, as number 0, the run itself since the cut."""
    own = [event for event in events if event.seq > cut]
    status, output, stopped = _end(own)
    ended = [
        event for event in own if event.type in _HAPPENED and event.data.get("retry_at") is None
    ]
    happened = [event for event in ended if event.actor != REPLAY]
    answers = [event for event in happened if event.type == "model.responded"]
    costs = [event.data.get("cost") for event in answers]
    usage = [event.data.get("usage", {}) for event in answers]
    return Try(
        number,
        run_id,
        status,
        output,
        stopped,
        len(happened),
        len(ended) - len(happened),
        sum((Decimal(cost["amount"]) for cost in costs if cost), Decimal(0)),
        sum(one.get("input_tokens", 0) + one.get("output_tokens", 0) for one in usage),
        costs.count(None),
        (own[-1].at - own[0].at) / 1e6 if own else 0.0,
        diff,
    )


def _end(events: Sequence[Event]) -> tuple[str, Any, str]:
    """Return the status, the output, and why it was stopped."""
    by_us = any(event.type == "run.cancel_requested" and event.actor == REPLAY for event in events)
    for event in events:
        match event.type:
            case "run.completed":
                return "completed", event.data.get("output"), ""
            case "run.failed":
                return "failed", None, ""
            case "run.cancelled":
                reason = event.data.get("reason", "")
                return ("stopped", None, reason) if by_us else ("cancelled", None, "")
            case _:
                pass
    return "open", None, ""
