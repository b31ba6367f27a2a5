"""How endpoints, echelons, groups and pools have done: a projection of the stream `system:routing`, with resets in it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from midstream.adapters.routing.kinds import ABANDONED, OK

_STEP = 1.2
BOUNDS: tuple[float, ...] = tuple(round(0.01 * _STEP**place, 6) for place in range(64))
"""Upper bounds of the buckets of times, in seconds: 10 ms to some 970 s, each a fifth more than the one before."""

_HISTORY = 50


@dataclass(slots=True)
class Times:
    """Times by bucket; the last bucket holds what is longer than all bounds."""

    buckets: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS) + 1))
    total: float = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        place = next((n for n, bound in enumerate(BOUNDS) if seconds <= bound), len(BOUNDS))
        self.buckets[place] += 1
        self.total += seconds

    @property
    def count(self) -> int:
        """How many were counted."""
        return sum(self.buckets)

    def percentile(self, share: float) -> float | None:
        """Return the time that `share` of them do not exceed, to within a fifth; None where there is none.

        Args:
            share: From 0 to 1, such as 0.95.
        """
        wanted, seen = share * self.count, 0
        if not self.count:
            return None
        for place, number in enumerate(self.buckets):
            seen += number
            if seen >= wanted and number:
                return BOUNDS[min(place, len(BOUNDS) - 1)]
        return BOUNDS[-1]


@dataclass(slots=True)
class Tally:
    """What was counted under one name.

    Attributes:
        requests: Calls that were placed.
        ok: Those that were answered.
        failed: Those that failed, by kind.
        abandoned: Those that somebody no longer wanted, such as the slower one of two.
        fallbacks: Those that went to another endpoint than the first one.
        hedges: Those that raced another one.
        tokens: Of answers.
        input_tokens: The part of them that was read.
        cost: In US dollars, of the answers whose price is known.
        unpriced: Answers without a known price.
        seconds: How long answers took.
        first_token: How long their first pieces took.
    """

    requests: int = 0
    ok: int = 0
    failed: dict[str, int] = field(default_factory=dict[str, int])
    abandoned: int = 0
    fallbacks: int = 0
    hedges: int = 0
    tokens: int = 0
    input_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0
    seconds: Times = field(default_factory=Times)
    first_token: Times = field(default_factory=Times)

    @property
    def success_rate(self) -> float | None:
        """The share of ended calls that were answered; None before the first one."""
        ended = self.ok + sum(self.failed.values())
        return self.ok / ended if ended else None


@dataclass(slots=True)
class Turning:
    """One change of a breaker.

    Attributes:
        at: In microseconds since 1970.
        name: Whose breaker.
        status: What it became.
        reason: Why.
    """

    at: int
    name: str
    status: str
    reason: str


@dataclass(slots=True)
class StatisticsState:
    """What was counted.

    Attributes:
        tallies: By name: `endpoint:eu`, `echelon:fast.echelon1`, `group:fast`, `pool:all`.
        history: The newest changes of breakers.
        placed: For each call that has not ended, the names it counts under.
    """

    tallies: dict[str, Tally] = field(default_factory=dict[str, Tally])
    history: list[Turning] = field(default_factory=list[Turning])
    placed: dict[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])


_TURNS = {
    "breaker.opened": "open",
    "breaker.half_opened": "half_open",
    "breaker.closed": "closed",
}


def count(state: StatisticsState, type_: str, data: Mapping[str, Any], at: int) -> None:
    """Count one event; see `StatisticsState`."""
    if type_ == "route.reserved":
        _reserved(state, data)
    elif type_ == "route.settled":
        for name in state.placed.pop(data["id"], ()):
            _settled(state.tallies.setdefault(name, Tally()), data)
    elif type_ == "route.reset":
        _reset(state, data.get("target", ""))
    elif type_ in _TURNS:
        turning = Turning(at, data["name"], _TURNS[type_], data.get("reason", ""))
        state.history = [*state.history, turning][-_HISTORY:]


def _reserved(state: StatisticsState, data: Mapping[str, Any]) -> None:
    names = tuple(_names(data))
    state.placed[data["id"]] = names
    if len(state.placed) > 10_000:  # those whose process died
        del state.placed[next(iter(state.placed))]
    for name in names:
        tally = state.tallies.setdefault(name, Tally())
        tally.requests += 1
        tally.hedges += bool(data.get("hedge"))
        tally.fallbacks += bool(data.get("first"))


def _names(data: Mapping[str, Any]) -> Iterator[str]:
    target: str = data["target"]
    for scope in data.get("scopes", ()):
        kind, _, name = scope.partition(":")
        if kind == "stage":
            yield f"echelon:{name}"
        elif kind in ("endpoint", "pool"):
            yield scope
    if target.startswith("group:"):
        yield f"group:{target.partition(':')[2].partition('.')[0]}"


def _settled(tally: Tally, data: Mapping[str, Any]) -> None:
    outcome: str = data["outcome"]
    if outcome == ABANDONED:
        tally.abandoned += 1
        return
    if outcome != OK:
        tally.failed[outcome] = tally.failed.get(outcome, 0) + 1
        return
    tally.ok += 1
    tally.tokens += data.get("tokens") or 0
    tally.input_tokens += data.get("input_tokens", 0)
    tally.seconds.add(data.get("seconds", 0.0))
    if data.get("first_token") is not None:
        tally.first_token.add(data["first_token"])
    if data.get("cost") is None:
        tally.unpriced += 1
    else:
        tally.cost += Decimal(data["cost"])


def _reset(state: StatisticsState, target: str) -> None:
    for name in [target] if target else list(state.tallies):
        state.tallies.pop(name, None)
    if not target:
        state.history = []


def prometheus(state: StatisticsState, breakers: Mapping[str, str]) -> str:
    """Return what was counted in the text format of Prometheus.

    Source: https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format

    Args:
        state: What was counted.
        breakers: How each breaker is, by name.
    """
    rows = sorted(state.tallies.items())
    lines: list[str] = []
    for metric, kind, about, values in (
        ("requests_total", "counter", "Calls that were placed.", [t.requests for _, t in rows]),
        ("answers_total", "counter", "Calls that were answered.", [t.ok for _, t in rows]),
        (
            "fallbacks_total",
            "counter",
            "Calls that were not placed with the first choice.",
            [t.fallbacks for _, t in rows],
        ),
        ("hedges_total", "counter", "Calls that raced another one.", [t.hedges for _, t in rows]),
        ("tokens_total", "counter", "Tokens of answers.", [t.tokens for _, t in rows]),
        ("cost_dollars_total", "counter", "Known prices of answers.", [t.cost for _, t in rows]),
    ):
        lines += _head(metric, kind, about)
        lines += [
            f"midstream_route_{metric}{_labels(name)} {value}"
            for (name, _), value in zip(rows, values, strict=True)
        ]
    lines += _head("failures_total", "counter", "Calls that failed, by kind.")
    for name, tally in rows:
        lines += [
            f"midstream_route_failures_total{_labels(name, failure=kind)} {number}"
            for kind, number in sorted(tally.failed.items())
        ]
    lines += _times(
        "seconds", "How long answers took.", [(name, tally.seconds) for name, tally in rows]
    )
    lines += _times(
        "first_token_seconds",
        "How long first tokens took.",
        [(name, tally.first_token) for name, tally in rows],
    )
    lines += _head("breaker_open", "gauge", "1 where a breaker is open, 0.5 where it is half open.")
    lines += [
        f"midstream_route_breaker_open{_labels(name)} { ({'open': 1, 'half_open': 0.5}.get(status, 0)) }"
        for name, status in sorted(breakers.items())
    ]
    return "\n".join(lines) + "\n"


def _head(metric: str, kind: str, about: str) -> list[str]:
    return [f"# HELP midstream_route_{metric} {about}", f"# TYPE midstream_route_{metric} {kind}"]


def _times(metric: str, about: str, rows: Sequence[tuple[str, Times]]) -> list[str]:
    lines = _head(metric, "histogram", about)
    for name, times in rows:
        seen = 0
        for place, number in enumerate(times.buckets):
            seen += number
            if place % 4 == 3 and place < len(
                BOUNDS
            ):  # every fourth bound is fine enough to scrape
                lines.append(
                    f"midstream_route_{metric}_bucket{_labels(name, le=str(BOUNDS[place]))} {seen}"
                )
        lines.append(f"midstream_route_{metric}_bucket{_labels(name, le='+Inf')} {seen}")
        lines.append(f"midstream_route_{metric}_sum{_labels(name)} {times.total}")
        lines.append(f"midstream_route_{metric}_count{_labels(name)} {seen}")
    return lines


def _labels(name: str, **more: str) -> str:
    kind, _, rest = name.partition(":")
    pairs = {"kind": kind, "name": rest, **more}
    said = ",".join(f'{key}="{_escaped(value)}"' for key, value in pairs.items())
    return "{" + said + "}"


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
