"""What policies would have done on a recorded run: it is folded anew, and they are shown it step by step; nobody is asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from midstream.adapters.base import Capabilities
from midstream.engine.policies.migrate import MigrationPlan, plan_migration
from midstream.engine.policies.policing import lost_of
from midstream.engine.policies.policy import (
    Decision,
    Moment,
    Policy,
    Proposal,
    Situation,
    Terms,
    World,
    decide,
    situation_of,
)
from midstream.engine.providers import Providers
from midstream.events.content import Message
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.payloads import Change, Cost, Usage
from midstream.events.store import EventStore
from midstream.projections.run_state import RunState, Switch, apply

_MEDIA = {"image": "images", "document": "documents", "audio": "audio"}


@dataclass(frozen=True, slots=True)
class Would:
    """What a policy would have decided.

    Attributes:
        seq: After which event.
        step: At which step.
        policy: Its name.
        source: The model that was asked.
        target: The model that would have been.
        scope: Of the migration.
        reason: In the policy's words.
        losses: What the target could not have been told, of what had been said and of what was about to be.
        tokens: Estimated tokens of the longest conversation that it would have been told.
        cost: Estimated price of reading it, in US dollars, or None where no price is known.
    """

    seq: int
    step: str
    policy: str
    source: str
    target: str
    scope: str
    reason: str
    losses: tuple[Change, ...] = ()
    tokens: int = 0
    cost: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Trial:
    """What policies would have done.

    Attributes:
        run_id: The run.
        decisions: In order.
        calls: Model calls of the run.
        moved: Those that would have gone to another model.
    """

    run_id: str
    decisions: tuple[Would, ...]
    calls: int
    moved: int


async def try_policies(
    store: EventStore,
    run_id: str,
    policies: Sequence[Policy],
    *,
    providers: Providers | None = None,
) -> Trial:
    """Return what policies would have done on a recorded run.

    What each migration would have lost is found by rendering, as in a run, and a policy's `max_losses` and `keep` hold. Costs,
    times and failures are those that were recorded: what calls would have cost elsewhere is not known.

    Args:
        store: Where the run is.
        run_id: The run.
        policies: In the order of their configuration.
        providers: Who would be told; None for those that come with midstream. Nobody is asked.

    Raises:
        RunNotFoundError: There is no such run.
    """
    trial = _Trying(RunId(run_id), policies, providers or Providers())
    async for event in store.read(RunId(run_id)):
        trial.see(event)
    return Trial(run_id, tuple(trial.decisions), trial.calls, trial.moved)


class _Trying:
    def __init__(self, run_id: RunId, policies: Sequence[Policy], providers: Providers) -> None:
        self._run_id = run_id
        self.decisions: list[Would] = []
        self.calls = self.moved = 0
        self._policies = policies
        self._providers = providers
        self._world = World(self._can, self._price)
        self._state = RunState()
        self._now = 0.0

    def see(self, event: Event) -> None:
        self._now = event.at / 1_000_000
        if event.type == "model.requested" and event.address is not None:
            self._before(event, event.address)
        if event.type == "model.switched" and event.actor.startswith("policy:"):
            return  # what other policies did then does not count
        apply(self._state, event)
        if event.type == "node.completed" and event.address is not None:
            self._look(event, self._situation("after_node", event.address), ())

    def _before(self, event: Event, address: str) -> None:
        asked: str = event.data.get("asked") or event.data["model"]
        base = self._situation("before_call", address, asked, event.data.get("thread", ""))
        coming = tuple(map(Message.model_validate, event.data.get("messages", ())))
        parts = [part for message in coming for part in message.parts]
        needs = {_MEDIA[part.type] for part in parts if part.type in _MEDIA}
        if event.data.get("tools"):
            needs.add("tools")
        situation = replace(base, needs=tuple(sorted(needs)))
        self._look(event, situation, coming)
        first = event.data.get("attempt", 1) == 1
        self.calls += first
        now = self._state.model_for(asked, situation.node, situation.thread)
        self.moved += first and now != asked

    def _situation(
        self, moment: Moment, address: str, asked: str = "", thread: str = ""
    ) -> Situation:
        return situation_of(
            moment, self._state, address, asked=asked, thread=thread, world=self._world
        )

    def _look(self, event: Event, situation: Situation, coming: tuple[Message, ...]) -> None:
        plans: dict[Proposal, tuple[MigrationPlan, tuple[Change, ...]]] = {}

        def acceptable(terms: Terms, proposal: Proposal) -> bool:
            plan = self._plan(proposal)
            losses = (*plan.losses, *lost_of(self._providers, proposal.target, coming))
            plans[proposal] = (plan, losses)
            return terms.accepts(losses) and (plan.fits or plan.cuts)

        decision = decide(self._policies, situation, acceptable)
        if decision is not None:
            self._take(event, situation, decision, *plans[decision.proposal])

    def _plan(self, proposal: Proposal) -> MigrationPlan:
        async def never(_: MigrationPlan) -> None:
            raise AssertionError  # nothing is recorded

        return plan_migration(
            self._state,
            self._providers,
            self._pricing,
            run_id=self._run_id,
            target=proposal.target,
            scope=proposal.scope,
            source="",
            when="next",
            now=self._now,
            apply=never,
        )

    def _take(
        self,
        event: Event,
        situation: Situation,
        decision: Decision,
        plan: MigrationPlan,
        losses: tuple[Change, ...],
    ) -> None:
        proposal, name = decision.proposal, decision.terms.name
        self.decisions.append(
            Would(
                event.seq,
                event.address or "",
                name,
                situation.model,
                proposal.target,
                proposal.scope,
                proposal.reason,
                losses,
                plan.tokens,
                plan.cost,
            )
        )
        switch = Switch(
            self._state.seq, proposal.scope, "", proposal.target, now=False, actor=f"policy:{name}"
        )
        self._state.switches.append(switch)

    def _can(self, model: str) -> Capabilities:
        adapter, name = self._providers.adapter(model)
        return adapter.capabilities(name)

    def _price(self, model: str, usage: Usage) -> Decimal | None:
        provider, _, name = model.partition(":")
        found = self._pricing(provider, name, usage, self._now)
        return None if found is None else Decimal(found.amount)

    @staticmethod
    def _pricing(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
        from midstream.adapters.prices import (
            cost,
        )  # the price list is large: only where it is needed

        return cost(provider, model, usage, at)
