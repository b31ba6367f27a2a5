"""What a run or a plan may not exceed, so that a loop that never ends does end."""

from __future__ import annotations

from dataclasses import dataclass

from midstream.errors import ConfigError

MAX_NODES = 20
"""Nodes that a plan may have, unless told otherwise."""

MAX_REPLANS = 3
"""How often a run is planned anew, unless told otherwise."""

MAX_ROUNDS = 10
"""How often a loop of a plan may go back, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run; None is no bound, but for `depth`, of which it is 64.

    Attributes:
        activations: So many activations, skipped ones and those of a map's items included.
        seconds: So much time since the run was created, on the wall, pauses and crashes included.
        depth: So deep are graphs inside its graph, and runs inside it, counted together: 1 is a graph with subgraphs and
            runs that have none of their own.
    """

    activations: int | None = None
    seconds: float | None = None
    depth: int | None = None

    def __post_init__(self) -> None:
        for name, value in self.data().items():
            if value <= 0:
                raise ConfigError(f"Limits({name}={value!r}): must be more than 0")

    def data(self) -> dict[str, float]:
        """Return the limits as data, without those that are None."""
        limits = {"activations": self.activations, "seconds": self.seconds, "depth": self.depth}
        return {name: value for name, value in limits.items() if value is not None}
