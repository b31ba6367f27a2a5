"""What a run has cost, and what its tokens would cost on other models, at another time, or with another use of caches.

Nobody is asked. Another model counts the same text as other tokens, and would have said something else: what is not
recorded is an estimate, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal

from midstream.errors import ConfigError
from midstream.events.ids import activation_of, node_of
from midstream.events.payloads import Cost, Usage
from midstream.projections.answered import Answered

if TYPE_CHECKING:
    from midstream.engine.requests.asking import Pricing

Caching = Literal["recorded", "none", "read", "write"]
"""What is read from a provider's cache: what was; nothing; what a call repeats of the one that it continues; likewise, and
what is new is written to it."""

EVERY = "*"
"""Stands for every step where models are named by step."""


@dataclass(frozen=True, slots=True)
class CostLine:
    """What the calls of one node to one model cost.

    Attributes:
        node: The node.
        model: Whom it asked.
        priced_as: By whose prices the cost is told: the same model, or the one that was put in its place.
        calls: Answered calls.
        input_tokens: Read, including from caches.
        output_tokens: Written, including reasoning.
        cache_read_tokens: Read from a cache, as priced.
        cache_write_tokens: Written to a cache, as priced.
        recorded: What they cost when they were answered, in US dollars.
        cost: What they cost as priced; as recorded where nothing was put in its place.
        unpriced: Calls of which no price is known, and which the cost leaves out.
    """

    node: str
    model: str
    priced_as: str
    calls: int
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    recorded: Decimal
    cost: Decimal
    unpriced: int


@dataclass(frozen=True, slots=True)
class CostReport:
    """What a run cost, or would have cost.

    Attributes:
        run_id: The run.
        lines: By node and model, in the order in which they were first used.
        estimate: It is not what was recorded, but the recorded tokens by other prices.
        sources: The price lists that were used, with their versions.
    """

    run_id: str
    lines: tuple[CostLine, ...]
    estimate: bool
    sources: tuple[str, ...]

    @property
    def cost(self) -> Decimal:
        """In US dollars, of all calls with a known price."""
        return sum((line.cost for line in self.lines), Decimal(0))

    @property
    def recorded(self) -> Decimal:
        """What the same calls cost when they were answered."""
        return sum((line.recorded for line in self.lines), Decimal(0))

    @property
    def unpriced(self) -> int:
        """Calls of which no price is known."""
        return sum(line.unpriced for line in self.lines)

    def data(self) -> dict[str, Any]:
        """Return it as plain data, for JSON; money as text."""
        rows = [
            {**asdict(line), "recorded": f"{line.recorded:f}", "cost": f"{line.cost:f}"}
            for line in self.lines
        ]
        return {
            "run_id": self.run_id,
            "estimate": self.estimate,
            "cost": f"{self.cost:f}",
            "recorded": f"{self.recorded:f}",
            "unpriced": self.unpriced,
            "sources": list(self.sources),
            "lines": rows,
        }

    def __str__(self) -> str:
        said = [
            f"{line.node}  {line.priced_as}  {line.calls} call{'s' * (line.calls != 1)}  "
            f"{line.input_tokens}+{line.output_tokens} tokens  ${line.cost:.6f}"
            f"{f'  {line.unpriced} without a price' if line.unpriced else ''}"
            for line in self.lines
        ]
        prices = ", ".join(self.sources) or "no price list"
        total = f"total  ${self.cost:.6f}"
        if self.unpriced:
            total += f" + {self.unpriced} calls without a price"
        if self.estimate:
            total += f"  an estimate by {prices}; recorded: ${self.recorded:.6f}"
        return "\n".join((*said, total))


def with_list(pricing: Pricing) -> Pricing:
    """Return what asks the price list where an engine knows no price: that of scripted answers, for one."""

    def priced(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
        from midstream.adapters.prices import cost  # it is large: only where it is needed

        return pricing(provider, model, usage, at) or cost(provider, model, usage, at)

    return priced


def model_at(step: str, model: str, models: Mapping[str, str]) -> str:
    """Return whom a what-if puts in the place of a model at a step: the narrowest name of it counts.

    Args:
        step: The address of a model call.
        model: Whom it asked.
        models: Models by call, activation, node, model, or `*` for every call.
    """
    names = (step, activation_of(step), node_of(step), model, EVERY)
    return next((models[name] for name in names if name in models), model)


def check_models(models: Mapping[str, str], calls: Mapping[str, Answered]) -> None:
    """See that each name of a what-if means something in the run.

    Raises:
        ConfigError: A name is no step or model of it.
    """
    known = {EVERY}
    for step, call in calls.items():
        known.update((step, activation_of(step), node_of(step), call.model))
    for name in models:
        if name not in known:
            there = ", ".join(sorted(one for one in known if "/" not in one))
            raise ConfigError(
                f"models: {name!r} is no step and no model of the run; it has {there}"
            )


def cost_report(
    run_id: str,
    calls: Mapping[str, Answered],
    pricing: Pricing,
    *,
    models: Mapping[str, str],
    on: datetime | None,
    cache: Caching,
) -> CostReport:
    """Return what calls cost; see `Run.cost`."""
    check_models(models, calls)
    estimate = bool(models) or on is not None or cache != "recorded"
    lines: dict[tuple[str, str, str], _Sum] = {}
    sources: dict[str, None] = {}
    for call in calls.values():
        priced_as = model_at(call.step, call.model, models) if models else call.model
        key = node_of(call.step), call.model, priced_as
        used = _used(call, calls, cache)
        recorded = Decimal(call.cost or 0)
        amount: Decimal | None = None if call.cost is None else recorded
        source = call.source
        if estimate:
            amount, source = priced(pricing, priced_as, call, used, on)
        if source:
            sources[source] = None
        line = lines.get(key)
        if line is None:
            line = lines[key] = _Sum()
        line.add(used, recorded, amount)
    told = tuple(line.told(*key) for key, line in lines.items())
    return CostReport(run_id, told, estimate, tuple(sources))


class _Sum:
    """What the calls of one line come to so far."""

    def __init__(self) -> None:
        self.calls = self.input = self.output = self.read = self.written = self.unpriced = 0
        self.recorded = self.cost = Decimal(0)

    def add(self, used: Usage, recorded: Decimal, amount: Decimal | None) -> None:
        """Take in a call, of which `amount` is the price, or None."""
        self.calls += 1
        self.input += used.input_tokens
        self.output += used.output_tokens
        self.read += used.cache_read_tokens
        self.written += used.cache_write_tokens
        self.recorded += recorded
        self.cost += amount or 0
        self.unpriced += amount is None

    def told(self, node: str, model: str, priced_as: str) -> CostLine:
        """Return it as a line of a report."""
        return CostLine(
            node,
            model,
            priced_as,
            self.calls,
            self.input,
            self.output,
            self.read,
            self.written,
            self.recorded,
            self.cost,
            self.unpriced,
        )


def priced(
    pricing: Pricing, model: str, call: Answered, usage: Usage, on: datetime | None
) -> tuple[Decimal | None, str]:
    """Return what tokens cost on a model, and by which price list; None where no price is known."""
    provider, _, name = model.partition(":")
    if model == call.model and call.served:
        name = call.served
    at = call.at if on is None else on.timestamp()
    found = pricing(provider, name, usage, at)
    return (None, "") if found is None else (Decimal(found.amount), found.source)


def _used(call: Answered, calls: Mapping[str, Answered], cache: Caching) -> Usage:
    usage = Usage.model_validate(call.usage)
    if cache == "recorded":
        return usage
    repeated = 0
    if cache in ("read", "write"):
        before = [calls[one] for one in call.parents if one in calls]
        known = sum(_tokens(one) for one in before if one.model == call.model)
        repeated = min(known, usage.input_tokens)
    written = usage.input_tokens - repeated if cache == "write" else 0
    return usage.model_copy(update={"cache_read_tokens": repeated, "cache_write_tokens": written})


def _tokens(call: Answered) -> int:
    return call.usage.get("input_tokens", 0) + call.usage.get("output_tokens", 0)
