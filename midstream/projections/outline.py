"""Which facts are about calls and which about nodes: where only nodes matter, a long run is read in no time."""

from __future__ import annotations

from midstream.events.payloads import PAYLOADS

_KINDS = frozenset(
    (
        "model",
        "tool",
        "value",
        "timer",
        "question",
        "memory",
        "agent",
        "context",
        "route",
        "breaker",
    )
)

OF_CALLS: frozenset[str] = frozenset(
    type_ for type_ in PAYLOADS if type_.partition(".")[0] in _KINDS
) - {"model.switched"}
"""Facts about calls: without them, a fold says where the nodes of a run stand, and nothing of what they did."""

OUTLINE: frozenset[str] = frozenset(PAYLOADS) - OF_CALLS
"""All other facts."""
