"""One span of OpenTelemetry, as data, and ids that follow from the log."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Literal

from midstream.projections.span_names import Value


def trace_id(run_id: str) -> str:
    """Return the id of a run's trace: 16 bytes in hex."""
    return sha256(run_id.encode()).hexdigest()[:32]


def span_id(run_id: str, seq: int) -> str:
    """Return the id of the span that began with an event of a run: 8 bytes in hex."""
    return sha256(f"{run_id}:{seq}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class SpanEvent:
    """Something that happened during a span.

    Attributes:
        name: What.
        at: When, in microseconds since 1970.
        attributes: What there is to say about it.
    """

    name: str
    at: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Link:
    """A span of another trace that led to this one."""

    trace_id: str
    span_id: str


@dataclass(slots=True)
class Span:
    """One span.

    Attributes:
        trace_id: In hex.
        span_id: In hex.
        parent_id: In hex; empty for the root.
        name: As the conventions want it.
        kind: `client` for model calls.
        began_at: In microseconds since 1970.
        ended_at: Likewise; 0 while it is open.
        attributes: By name.
        events: In order.
        links: To other traces.
        error: The kind of error it ended with, or empty.
    """

    trace_id: str
    span_id: str
    parent_id: str
    name: str
    kind: Literal["internal", "client"]
    began_at: int
    ended_at: int = 0
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])
    events: list[SpanEvent] = field(default_factory=list[SpanEvent])
    links: tuple[Link, ...] = ()
    error: str = ""
