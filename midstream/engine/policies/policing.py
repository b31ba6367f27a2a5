"""Letting policies look at a run while it goes on, and recording what they decide."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from midstream.adapters.view import Segment
from midstream.engine.clock import Clock
from midstream.engine.policies.migrate import MigrationPlan, plan_migration
from midstream.engine.policies.policy import (
    Decision,
    Policy,
    Proposal,
    Situation,
    Terms,
    World,
    decide,
    situation_of,
)
from midstream.engine.providers import Providers
from midstream.engine.recording.calls import Desk
from midstream.engine.recording.recorder import Recorder
from midstream.engine.requests.asking import Pricing, Question
from midstream.engine.spending.spending import Ledger
from midstream.errors import ConfigError
from midstream.events import payloads
from midstream.events.content import Message
from midstream.events.ids import Address, RunId
from midstream.events.payloads import Change, ModelSwitched, Usage
from midstream.projections.run_state import RunState

_CHARACTERS_PER_TOKEN = 4
_MEDIA = {"image": "images", "document": "documents", "audio": "audio"}


class Policing:
    """Lets policies look at one run.

    Args:
        policies: In the order of the configuration.
        providers: Who answers, for what models can and what they would be told.
        pricing: What calls cost.
        clock: Tells the time.
        flying: How many calls of a model are in flight in this process.
        spending: What runs with a tag have spent; None where no policy asks.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        providers: Providers,
        pricing: Pricing,
        clock: Clock,
        *,
        flying: Callable[[str], int] = lambda _: 0,
        spending: Ledger | None = None,
    ) -> None:
        self._policies = tuple(policies)
        self._providers = providers
        self._pricing = pricing
        self._clock = clock
        self._flying = flying
        self._spending = spending

    async def before_call(self, desk: Desk, question: Question) -> None:
        """Let the policies look before a model call."""
        if not self._policies:
            return
        if self._spending is not None:
            await self._spending.catch_up()
        self._look(desk.recorder, self._coming(desk.state, desk.activation, question), question)

    def after_node(self, recorder: Recorder, address: Address) -> None:
        """Let the policies look after a node has ended."""
        if self._policies and not recorder.state.over:
            situation = situation_of(
                "after_node", recorder.state, address, world=self.world(recorder.state)
            )
            self._look(recorder, situation, None)

    def _coming(self, state: RunState, address: Address, question: Question) -> Situation:
        thread = question.thread or ""
        base = situation_of(
            "before_call",
            state,
            address,
            asked=question.model,
            thread=thread,
            world=self.world(state),
        )
        parts = [part for message in question.messages for part in message.parts]
        needs = {_MEDIA[part.type] for part in parts if part.type in _MEDIA}
        if question.tools:
            needs.add("tools")
        said = sum(len(message.model_dump_json()) for message in question.messages)
        return replace(
            base,
            needs=tuple(sorted(needs)),
            structured=question.output is not None,
            tokens=_before(state, address) + said // _CHARACTERS_PER_TOKEN,
        )

    def world(self, state: RunState) -> World:
        """Return what policies may ask about models now."""
        spent: dict[str, Decimal] = {}
        if self._spending is not None:
            for tag, value in state.tags.items():
                spent[f"{tag}={value}"] = self._spending.counted(tag, value).money
        return World(self._can, self._price, self._load, self._well, spent)

    def _can(self, model: str) -> Any:
        adapter, name = self._providers.adapter(model)
        return adapter.capabilities(name)

    def _price(self, model: str, usage: Usage) -> Decimal | None:
        adapter, name = self._providers.adapter(model)
        found = self._pricing(adapter.provider, name, usage, self._clock.now())
        return None if found is None else Decimal(found.amount)

    def _load(self, model: str) -> int:
        router = self._providers.router
        if router is None or not router.table.handles(model):
            return self._flying(model)
        return sum(health.in_flight for health in router.health(model))

    def _well(self, model: str) -> bool:
        router = self._providers.router
        if router is None or not router.table.handles(model):
            return True
        return any(health.well for health in router.health(model))

    def _look(self, recorder: Recorder, situation: Situation, question: Question | None) -> None:
        plans: dict[Proposal, MigrationPlan] = {}

        def acceptable(terms: Terms, proposal: Proposal) -> bool:
            plan = self._plan(recorder, proposal)
            said = () if question is None else question.messages
            coming = lost_of(self._providers, proposal.target, said)
            if not terms.accepts((*plan.losses, *coming)) or not (plan.fits or plan.cuts):
                return False
            plans[proposal] = plan
            return True

        decision = decide(self._policies, situation, acceptable, _warn)
        if decision is not None:
            self._record(recorder, decision, plans[decision.proposal], situation)

    def _plan(self, recorder: Recorder, proposal: Proposal) -> MigrationPlan:
        async def never(_: MigrationPlan) -> None:
            raise AssertionError  # it is recorded here, with the policy's reasons

        return plan_migration(
            recorder.state,
            self._providers,
            self._pricing,
            run_id=recorder.run_id,
            target=proposal.target,
            scope=proposal.scope,
            source="",
            when="next",
            now=self._clock.now(),
            apply=never,
        )

    @staticmethod
    def _record(
        recorder: Recorder, decision: Decision, plan: MigrationPlan, situation: Situation
    ) -> None:
        proposal, actor = decision.proposal, f"policy:{decision.terms.name}"
        if proposal.budget:
            exceeded = payloads.BudgetExceeded(
                id=uuid.uuid4().hex,
                budget=actor,
                what="money",
                limit=proposal.limit,
                spent=proposal.spent,
                action="downgrade",
                metrics={"per": proposal.budget},
            )
            recorder.add(exceeded, actor=actor)
        switched = ModelSwitched(
            id=uuid.uuid4().hex,
            scope=proposal.scope,
            target=proposal.target,
            reason=proposal.reason,
            changes=plan.changes,
            metrics={**proposal.metrics, "from": situation.model, "at": situation.moment},
            estimate={
                "tokens": plan.tokens,
                "cost": None if plan.cost is None else format(plan.cost, "f"),
            },
        )
        recorder.add(switched, actor=actor)


def lost_of(providers: Providers, target: str, messages: tuple[Message, ...]) -> tuple[Change, ...]:
    """Return what a model could not be told of what is about to be said."""
    if not messages:
        return ()
    adapter, name = providers.adapter(target)
    changes = adapter.render(adapter.begin(name), Segment(0, messages)).changes
    return tuple(change for change in changes if change.severity == "loss")


class Patrol:
    """The policies of a host, for all runs and for single ones.

    Args:
        policies: For all runs.
        spending: What runs with a tag have spent.
        providers: See `Policing`.
        pricing: See `Policing`.
        clock: See `Policing`.
        flying: See `Policing`.
    """

    def __init__(
        self,
        policies: Sequence[Policy],
        spending: Ledger,
        providers: Providers,
        pricing: Pricing,
        clock: Clock,
        flying: Callable[[str], int],
    ) -> None:
        self._policies = tuple(policies)
        self._spending = spending
        self._shared = (providers, pricing, clock)
        self._flying = flying
        self._own: dict[RunId, tuple[Policy, ...]] = {}

    def police(self, run_id: RunId, policies: Iterable[Policy]) -> None:
        """Let these policies look at a run too, for as long as this process drives it.

        Raises:
            ConfigError: One of them, or of those for all runs, is no policy.
        """
        own = tuple(policies)
        check_policies((*own, *self._policies))
        if own:
            self._own[run_id] = own

    def of(self, run_id: RunId) -> Policing:
        """Return what looks at a run."""
        policies = (*self._own.get(run_id, ()), *self._policies)
        tags = tags_of(policies)
        self._spending.count(tags)
        spending = self._spending if tags else None
        return Policing(policies, *self._shared, flying=self._flying, spending=spending)

    def forget(self, run_id: RunId) -> None:
        """Forget the policies of a run that has ended."""
        self._own.pop(run_id, None)


def _warn(terms: Terms, error: Exception) -> None:
    import structlog  # see `Host`

    structlog.get_logger("midstream").warning(
        "a policy is passed over", policy=terms.name, error=f"{type(error).__name__}: {error}"
    )


def _before(state: RunState, address: Address) -> int:
    """Return about how many tokens the conversation of an activation has, by its newest answers."""
    most = 0
    for head in state.heads.get(address, {}).values():
        usage = (state.calls[head].outcome or {}).get("usage", {})
        most = max(most, usage.get("input_tokens", 0) + usage.get("output_tokens", 0))
    return most


def tags_of(policies: Sequence[Policy]) -> frozenset[str]:
    """Return the tags of which a policy asks what all runs with them have spent."""
    asked = (str(getattr(policy, "per", "run")) for policy in policies)
    return frozenset(per.removeprefix("tag:") for per in asked if per.startswith("tag:"))


def check_policies(policies: Sequence[Policy]) -> None:
    """Refuse what is no policy.

    Raises:
        ConfigError: It has no terms, or cannot propose.
    """
    for policy in policies:
        if not callable(getattr(policy, "propose", None)) or not isinstance(
            getattr(policy, "terms", None), Terms
        ):
            raise ConfigError(
                f"{policy!r} is no policy: it needs `terms` and `propose`; see midstream.engine.policies.policy"
            )
