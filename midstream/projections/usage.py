"""What a run has used: tokens, money, calls, by model and by node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from midstream.events.envelope import Event
from midstream.events.ids import node_of
from midstream.projections.fold import Handler


@dataclass(slots=True)
class Tally:
    """Sums over model calls.

    Attributes:
        calls: Answered calls.
        failed: Attempts that failed or were abandoned; providers may charge for them, no answer says how much.
        input_tokens: Read, including from caches.
        output_tokens: Written, including reasoning.
        cost: In US dollars, of the calls whose price was known when they were answered.
        unpriced: Answered calls without a known price.
    """

    calls: int = 0
    failed: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: Decimal = Decimal(0)
    unpriced: int = 0


@dataclass(slots=True)
class UsageState:
    """What was used, in total and by model and node.

    Attributes:
        total: Of the run.
        by_model: By the model that was asked.
        by_node: By the node that asked.
        tools: Tool calls that ended.
    """

    total: Tally = field(default_factory=Tally)
    by_model: dict[str, Tally] = field(default_factory=dict[str, Tally])
    by_node: dict[str, Tally] = field(default_factory=dict[str, Tally])
    tools: int = 0
    _asked: dict[str, str] = field(default_factory=dict[str, str])

    def _tallies(self, address: str) -> tuple[Tally, Tally, Tally]:
        model, node = self._asked.get(address, ""), node_of(address)
        if model not in self.by_model:
            self.by_model[model] = Tally()
        if node not in self.by_node:
            self.by_node[node] = Tally()
        return self.total, self.by_model[model], self.by_node[node]


def _requested(state: UsageState, event: Event) -> None:
    state._asked[event.address or ""] = event.data["model"]  # pyright: ignore[reportPrivateUsage]  # its own fold


def _responded(state: UsageState, event: Event) -> None:
    usage = event.data.get("usage", {})
    cost = event.data.get("cost")
    for tally in state._tallies(event.address or ""):  # pyright: ignore[reportPrivateUsage]  # its own fold
        tally.calls += 1
        tally.input_tokens += usage.get("input_tokens", 0)
        tally.output_tokens += usage.get("output_tokens", 0)
        if cost is None:
            tally.unpriced += 1
        else:
            tally.cost += Decimal(cost["amount"])


def _failed(state: UsageState, event: Event) -> None:
    for tally in state._tallies(event.address or ""):  # pyright: ignore[reportPrivateUsage]  # its own fold
        tally.failed += 1


def _tool_ended(state: UsageState, event: Event) -> None:
    state.tools += 1


class UsageProjection:
    """The fold that gives a `UsageState`."""

    handlers: Mapping[str, Handler[UsageState]] = {
        "model.requested": _requested,
        "model.responded": _responded,
        "model.failed": _failed,
        "model.aborted": _failed,
        "tool.completed": _tool_ended,
        "tool.failed": _tool_ended,
    }

    def initial(self) -> UsageState:
        """See `Projection.initial`."""
        return UsageState()


USAGE = UsageProjection()
"""The one that everybody uses: it has no state of its own."""
