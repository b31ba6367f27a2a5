"""The policies that come with midstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fnmatch import fnmatchcase

from midstream.engine.policies.policy import Proposal, Situation, Terms
from midstream.events.payloads import Usage
from midstream.projections.run_state import Call

_ANSWER = 500
"""Tokens that an answer is taken to have when models are compared by price."""


@dataclass(frozen=True, slots=True)
class CostLimit:
    """Goes on with a cheaper model once so much is spent.

    Attributes:
        terms: See `Terms`.
        target: The model from then on.
        usd: US dollars.
        per: `run`, or `tag:NAME` for all runs with the same value of a tag.
    """

    target: str
    usd: Decimal
    per: str = "run"
    terms: Terms = field(default_factory=lambda: Terms("cost-limit", priority=50))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        kind, _, tag = self.per.partition(":")
        budget, spent = "run", situation.cost
        if kind == "tag":
            if tag not in situation.tags:
                return None
            budget = f"tag:{tag}={situation.tags[tag]}"
            spent = situation.world.spent.get(f"{tag}={situation.tags[tag]}", Decimal(0))
        if spent < self.usd:
            return None
        said = f"{budget} has spent ${spent}, which is not less than ${self.usd}"
        metrics = {"spent": str(spent), "limit": str(self.usd), "per": budget}
        return Proposal(
            self.target,
            said,
            metrics,
            budget=budget,
            limit=format(self.usd, "f"),
            spent=format(spent, "f"),
        )


@dataclass(frozen=True, slots=True)
class Cheapest:
    """Goes on with the cheapest model that can do what the coming call needs.

    Attributes:
        terms: See `Terms`.
        models: Those it chooses from.
        margin: By which part it must be cheaper than the present one; 0.2 for a fifth.
    """

    models: tuple[str, ...]
    margin: float = 0.2
    terms: Terms = field(default_factory=lambda: Terms("cheapest"))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        usage = Usage(input_tokens=max(situation.tokens, 1000), output_tokens=_ANSWER)
        prices: dict[str, Decimal] = {}
        for model in self.models:
            price = situation.world.price(model, usage)
            if price is not None and situation.capable(model):
                prices[model] = price
        if not prices:
            return None
        best = min(prices, key=lambda model: prices[model])
        now = situation.world.price(situation.model, usage)
        if now is not None and prices[best] > now * Decimal(str(1 - self.margin)):
            return None
        metrics = {"price": str(prices[best]), "now": None if now is None else str(now)}
        return Proposal(best, f"{best} is the cheapest that is capable", metrics)


@dataclass(frozen=True, slots=True)
class LatencyLimit:
    """Goes on with another model where answers take too long.

    Attributes:
        terms: See `Terms`.
        target: The model from then on.
        seconds: What the percentile must not exceed.
        percentile: From 0 to 1.
        window: The newest answers that count.
        at_least: How many there must be.
    """

    target: str
    seconds: float
    percentile: float = 0.95
    window: int = 20
    at_least: int = 5
    terms: Terms = field(default_factory=lambda: Terms("latency", priority=10))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        ended = [call for call in situation.calls(situation.model) if call.status == "completed"]
        times = sorted((call.outcome or {}).get("seconds", 0.0) for call in ended[-self.window :])
        if len(times) < self.at_least:
            return None
        found = times[min(len(times) - 1, int(self.percentile * len(times)))]
        if found <= self.seconds:
            return None
        said = f"answers of {situation.model} take {found:.1f} s"
        return Proposal(self.target, said, {"seconds": found, "calls": len(times)})


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """Goes on with another model where too many attempts fail.

    Attributes:
        terms: See `Terms`.
        target: The model from then on.
        share: The share of failed attempts that is too much.
        window: The newest calls that count.
        at_least: How many attempts there must be.
    """

    target: str
    share: float = 0.5
    window: int = 20
    at_least: int = 4
    terms: Terms = field(default_factory=lambda: Terms("error-rate", priority=20))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        calls = situation.calls(situation.model)[-self.window :]
        attempts = sum(call.attempt for call in calls)
        failed = sum(call.attempt - (call.status == "completed") for call in calls)
        if attempts < self.at_least or failed / attempts < self.share:
            return None
        said = f"{failed} of {attempts} attempts of {situation.model} failed"
        return Proposal(self.target, said, {"failed": failed, "attempts": attempts})


@dataclass(frozen=True, slots=True)
class Capable:
    """Goes on with a model that can do what the coming call needs, where the present one cannot.

    Attributes:
        terms: See `Terms`.
        models: The first one that is capable is taken.
        scope: `node` for this node only, or `run`.
    """

    models: tuple[str, ...]
    scope: str = "node"
    terms: Terms = field(default_factory=lambda: Terms("capable", priority=90, hold=0))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        if situation.moment != "before_call" or situation.capable(situation.model):
            return None
        found = next((model for model in self.models if situation.capable(model)), None)
        if found is None:
            return None
        needed = [*situation.needs, *(("structured",) if situation.structured else ())]
        said = f"{situation.model} cannot do what {situation.node} needs"
        scope = f"node:{situation.node}" if self.scope == "node" else "run"
        return Proposal(found, said, {"needs": [*needed], "tokens": situation.tokens}, scope)


@dataclass(frozen=True, slots=True)
class Rule:
    """Names the model of some nodes.

    Attributes:
        terms: See `Terms`.
        target: Their model.
        node: A pattern of nodes' names, such as `write*`; empty for any.
        phase: See `Situation.phase`; empty for any.
        tags: Tags of the run, all of them.
    """

    target: str
    node: str = ""
    phase: str = ""
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    terms: Terms = field(default_factory=lambda: Terms("rule", priority=30, hold=0))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        named = not self.node or fnmatchcase(situation.node, self.node)
        phased = self.phase in ("", situation.phase)
        tagged = all(situation.tags.get(name) == value for name, value in self.tags.items())
        if situation.moment != "before_call" or not (named and phased and tagged):
            return None
        said = f"the rule for {self.node or self.phase or 'these tags'}"
        return Proposal(self.target, said, {"node": situation.node}, f"node:{situation.node}")


@dataclass(frozen=True, slots=True)
class Load:
    """Goes on with another model where the present one has too many calls in flight.

    Attributes:
        terms: See `Terms`.
        target: The model from then on.
        most: Calls in flight, of all runs.
    """

    target: str
    most: int
    terms: Terms = field(default_factory=lambda: Terms("load", priority=5))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        load = situation.world.load(situation.model)
        if load <= self.most or situation.world.load(self.target) >= load:
            return None
        return Proposal(
            self.target, f"{situation.model} has {load} calls in flight", {"load": load}
        )


@dataclass(frozen=True, slots=True)
class Failover:
    """Goes on with another model when an attempt has failed.

    Attributes:
        terms: See `Terms`.
        models: The first one that is not the present one is taken.
        on: Kinds of errors that count.
    """

    models: tuple[str, ...]
    on: frozenset[str] = frozenset(
        ("overloaded", "unavailable", "connection", "timeout", "quota", "authentication")
    )
    terms: Terms = field(default_factory=lambda: Terms("failover", priority=80))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        failed = [call for call in situation.calls(situation.model) if call.status != "completed"]
        newest = failed[-1] if failed else None
        if newest is None or not self._counts(newest, situation.calls(situation.model)):
            return None
        found = next(
            (m for m in self.models if m != situation.model and situation.world.well(m)), None
        )
        if found is None:
            return None
        kind = (newest.outcome or {}).get("kind", "")
        return Proposal(
            found, f"{situation.model} failed: {kind}", {"kind": kind, "step": newest.address}
        )

    def _counts(self, newest: Call, calls: Sequence[Call]) -> bool:
        answered = [call for call in calls if call.status == "completed" and call.seq > newest.seq]
        return not answered and (newest.outcome or {}).get("kind") in self.on


@dataclass(frozen=True, slots=True)
class Preference:
    """Asks the first model of a list that is well and capable, and goes back to it when it is so again.

    Attributes:
        terms: See `Terms`.
        models: The one that is liked best comes first.
    """

    models: tuple[str, ...]
    terms: Terms = field(default_factory=lambda: Terms("preference", priority=-10))

    def propose(self, situation: Situation) -> Proposal | None:
        """See `Policy.propose`."""
        for model in self.models:
            if situation.world.well(model) and situation.capable(model):
                return Proposal(model, f"{model} is liked best of those that are well")
        return None
