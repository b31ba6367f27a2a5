"""Migration policies: who looks at a run before each model call and after each node, and may propose another model.

A policy is a pure function of what it is shown. What is decided is recorded as `model.switched`, so a replay repeats the
decision and not the computation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal, Protocol

from pydantic import JsonValue

from midstream.adapters.base import Capabilities
from midstream.events.ids import node_of
from midstream.events.payloads import Change, Usage
from midstream.projections.run_state import Call, RunState

Moment = Literal["before_call", "after_node"]

HOLD = 3
"""Answers after a policy's switch before another one of no higher priority may switch again, unless told otherwise."""


@dataclass(frozen=True, slots=True)
class World:
    """What a policy may ask about models; pure where a run is looked at again.

    Attributes:
        can: What a model can be told and asked.
        price: What tokens of a model cost, in US dollars, or None where no price is known.
        load: Calls of a model in flight, in all runs.
        well: Whether anybody who serves a model may be asked.
        spent: What all runs with a tag have spent, in US dollars, by `name=value`.
    """

    can: Callable[[str], Capabilities] = lambda _: Capabilities()
    price: Callable[[str, Usage], Decimal | None] = lambda model, usage: None
    load: Callable[[str], int] = lambda _: 0
    well: Callable[[str], bool] = lambda _: True
    spent: Mapping[str, Decimal] = field(default_factory=dict[str, Decimal])


@dataclass(frozen=True, slots=True)
class Situation:
    """What a policy is shown.

    Attributes:
        moment: Before a model call, or after a node has ended.
        state: The run.
        node: The node that calls, or has ended.
        thread: The thread that the call speaks in, or empty.
        asked: The model that the code names, or empty.
        model: The model that would be asked.
        needs: What the coming call needs: `images`, `documents`, `audio`, `tools`.
        structured: Its answer must be of a given form.
        tokens: Of its conversation, by estimate.
        world: What can be asked about models.
    """

    moment: Moment
    state: RunState
    node: str
    model: str
    thread: str = ""
    asked: str = ""
    needs: tuple[str, ...] = ()
    structured: bool = False
    tokens: int = 0
    world: World = field(default_factory=World)

    @property
    def phase(self) -> str:
        """The node's name up to its first dot or dash: `reasoning` of `reasoning.plan`."""
        return self.node.replace("-", ".").partition(".")[0]

    @property
    def tags(self) -> Mapping[str, str]:
        """The run's."""
        return self.state.tags

    def calls(self, model: str = "") -> Sequence[Call]:
        """Return the model calls that have ended, in order; of one model only, where it is named."""
        found = [
            call
            for call in self.state.calls.values()
            if call.kind == "model" and call.outcome is not None
            if model in ("", call.request["model"], call.request.get("asked", ""))
        ]
        return sorted(found, key=lambda call: call.seq)

    @property
    def cost(self) -> Decimal:
        """What the run has spent, in US dollars, as far as prices are known."""
        costs = ((call.outcome or {}).get("cost") for call in self.calls())
        return sum((Decimal(cost["amount"]) for cost in costs if cost), Decimal(0))

    def capable(self, model: str) -> bool:
        """Say whether a model can do what the coming call needs."""
        can = self.world.can(model)
        fits = can.context_window is None or self.tokens <= can.context_window
        needed = all(getattr(can, need) for need in self.needs)
        return fits and needed and (can.tools or not self.structured)


@dataclass(frozen=True, slots=True, eq=False)
class Proposal:
    """What a policy wants.

    Attributes:
        target: The model to go on with.
        reason: In words.
        metrics: What it looked at.
        scope: `run`, `node:NAME` or `thread:NAME`.
        budget: Whose budget was exceeded, as in `budget.exceeded`; empty where none was.
        limit: Of that budget, in US dollars, as text.
        spent: Of that budget, in US dollars, as text.
    """

    target: str
    reason: str
    metrics: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    scope: str = "run"
    budget: str = ""
    limit: str = ""
    spent: str = ""


class Policy(Protocol):
    """Proposes another model, or nothing."""

    @property
    def terms(self) -> Terms:
        """What holds for every proposal of it."""
        ...

    def propose(self, situation: Situation) -> Proposal | None:
        """Return what it wants; pure."""
        ...


@dataclass(frozen=True, slots=True)
class Terms:
    """What holds for every proposal of a policy.

    Attributes:
        name: Recorded as the actor, `policy:NAME`.
        priority: The highest is heard first, and may overrule a lower one at once.
        max_losses: What may be lost at most by the migration, in number; None for any.
        keep: Kinds of losses that are never accepted, such as `image` or `image_dropped`.
        hold: Answers after a policy's switch before this one may switch again, unless its priority is higher.
    """

    name: str
    priority: int = 0
    max_losses: int | None = None
    keep: tuple[str, ...] = ()
    hold: int = HOLD

    def accepts(self, losses: Sequence[Change]) -> bool:
        """Say whether a migration with these losses is acceptable."""
        kinds = [loss.kind for loss in losses if loss.severity == "loss"]
        kept = any(
            kind == kept or kind.startswith(f"{kept}_") for kind in kinds for kept in self.keep
        )
        return not kept and (self.max_losses is None or len(kinds) <= self.max_losses)


@dataclass(frozen=True, slots=True)
class Decision:
    """A proposal that is to be acted on, and whose it is."""

    terms: Terms
    proposal: Proposal


def decide(
    policies: Sequence[Policy],
    situation: Situation,
    acceptable: Callable[[Terms, Proposal], bool] = lambda terms, proposal: True,
    broken: Callable[[Terms, Exception], None] = lambda terms, error: None,
) -> Decision | None:
    """Return the first acceptable proposal, the highest priority first; pure where `acceptable` is.

    Args:
        policies: In the order of the configuration.
        situation: What they are shown.
        acceptable: Says whether a proposal may be acted on: by what would be lost, and whether the conversation fits.
        broken: Is told of a policy that raised, which is passed over.
    """
    ranked = sorted(policies, key=lambda policy: -policy.terms.priority)
    for policy in ranked:
        terms = policy.terms
        if _held(policies, terms, situation):
            continue
        try:
            proposal = policy.propose(situation)
            if proposal is None or not _changes(situation, proposal):
                continue
            if acceptable(terms, proposal):
                return Decision(terms, proposal)
        except Exception as error:  # noqa: BLE001  # the user's policy; no run may fail because of it
            broken(terms, error)
    return None


def _changes(situation: Situation, proposal: Proposal) -> bool:
    """Say whether a proposal changes anything: its target may be in force in its scope already."""
    kind, _, name = proposal.scope.partition(":")
    concerned = {"run": True, "node": name == situation.node, "thread": name == situation.thread}
    if concerned.get(kind, False):
        return proposal.target != situation.model
    newest = [switch for switch in situation.state.switches if switch.scope == proposal.scope]
    return not newest or newest[-1].target != proposal.target


def _held(policies: Sequence[Policy], terms: Terms, situation: Situation) -> bool:
    """Say whether another policy has switched so lately that this one must wait; else two could take turns for ever."""
    switches = [one for one in situation.state.switches if one.actor.startswith("policy:")]
    switches = [one for one in switches if not one.scope.startswith("step:")]
    if not switches:
        return False
    last = switches[-1]
    known = {f"policy:{policy.terms.name}": policy.terms.priority for policy in policies}
    if terms.priority > known.get(last.actor, terms.priority):
        return False
    answers = sum(call.seq > last.seq for call in situation.calls())
    return answers < terms.hold


def situation_of(
    moment: Moment,
    state: RunState,
    address: str,
    *,
    asked: str = "",
    thread: str = "",
    world: World,
) -> Situation:
    """Return what a policy is shown of a step; see `Situation`.

    Args:
        moment: See `Situation`.
        state: The run.
        address: Of the activation, or a step in it.
        asked: The model that the code names.
        thread: The thread it speaks in.
        world: See `World`.
    """
    node = node_of(address)
    return Situation(
        moment, state, node, state.model_for(asked, node, thread), thread, asked, world=world
    )
