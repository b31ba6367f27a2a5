"""Planning a migration: what the target would be told, and what not, before anything is recorded."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Literal

from midstream.adapters.view import View
from midstream.engine.providers import Providers
from midstream.engine.requests.asking import Pricing
from midstream.errors import ConfigError
from midstream.events.payloads import Change, Usage
from midstream.projections.brief import brief
from midstream.projections.conversation import parents_for, results
from midstream.projections.run_state import RunState
from midstream.projections.scopes import is_node, nodes_of
from midstream.projections.told import told

CHARACTERS_PER_TOKEN = 4
"""How a rendered conversation is counted where no tokenizer is at hand: a rule of thumb for English text and JSON."""

When = Literal["next", "now"]
Handoff = Literal["none", "brief"]
"""What a target is told beside the conversation: nothing, or where the run stands."""


@dataclass(frozen=True)
class MigrationPlan:
    """What moving a run to another model means.

    Attributes:
        run_id: The run.
        target: `provider:model` it would go on with.
        scope: `run`, `node:NAME` or `thread:NAME`.
        source: Only calls that would go to this model; empty for all in the scope.
        when: `next` waits for the call in flight, `now` abandons it.
        changes: What the target's views lose or repair, with the events concerned.
        conversations: How many conversations were rendered for it.
        tokens: Estimated tokens of the longest one.
        context_window: Of the target, in tokens; None where it is not known.
        cost: Estimated price, in US dollars, of the target reading all of them once: what the caches of the model until
            now no longer save. None where no price is known.
        brief: Where the run stands, as the target is told it before it goes on; empty where it is not.
        cuts: The run has a policy that makes a conversation fit which does not.
    """

    run_id: str
    target: str
    scope: str
    source: str
    when: When
    changes: tuple[Change, ...]
    conversations: int
    tokens: int
    context_window: int | None
    cost: Decimal | None
    _apply: Callable[[MigrationPlan], Awaitable[None]] = field(repr=False, compare=False)
    brief: str = ""
    cuts: bool = False

    @property
    def losses(self) -> tuple[Change, ...]:
        """What the target cannot be told; it stays in the log."""
        return tuple(change for change in self.changes if change.severity == "loss")

    @property
    def repairs(self) -> tuple[Change, ...]:
        """What the target is told in another form."""
        return tuple(change for change in self.changes if change.severity == "repair")

    @property
    def fits(self) -> bool:
        """The longest conversation fits the target's context window, as far as that is known."""
        return self.context_window is None or self.tokens <= self.context_window

    async def apply(self) -> None:
        """Record the migration; it takes effect at the next model call.

        Raises:
            MigrationError: The conversation does not fit, or the run has ended.
        """
        await self._apply(self)


def plan_migration(
    state: RunState,
    providers: Providers,
    pricing: Pricing,
    *,
    run_id: str,
    target: str,
    scope: str,
    source: str,
    when: When,
    now: float,
    apply: Callable[[MigrationPlan], Awaitable[None]],
    handoff: Handoff = "none",
) -> MigrationPlan:
    """Render the run's live conversations for the target and say what comes of it; nothing is recorded.

    Raises:
        ConfigError: Nobody answers for the target, or the scope names nothing of this run.
    """
    check_scope(state, scope)
    adapter, model = providers.adapter(target)
    said = brief(state, target) if handoff == "brief" else ""
    views: list[View] = []
    changes: dict[Change, None] = {}
    for head in live_conversations(state, scope):
        view = adapter.begin(model)
        for segment in (
            *told(state, head, target),
            results(state, state.calls[head], state.seq + 1),
        ):
            view = adapter.render(view, segment)
            changes.update(dict.fromkeys(view.changes))
        request = adapter.request(view, {})
        changes.update(dict.fromkeys(request.changes))
        for passing in _passing(state, head, changes):
            del changes[passing]
        views.append(view)
    more = len(said) // CHARACTERS_PER_TOKEN
    tokens = [view.size // CHARACTERS_PER_TOKEN + more for view in views]
    cost = pricing(adapter.provider, model, Usage(input_tokens=sum(tokens)), now)
    return MigrationPlan(
        run_id,
        target,
        scope,
        source,
        when,
        tuple(changes),
        len(views),
        max(tokens, default=0),
        adapter.capabilities(model).context_window,
        None if cost is None else Decimal(cost.amount),
        apply,
        said,
        cuts=state.context.get("how", "fail") != "fail",
    )


def _passing(state: RunState, head: str, changes: Iterable[Change]) -> tuple[Change, ...]:
    """Return the changes that say no more than that a tool is in flight: its result will be there when the target is asked."""
    in_flight = any(
        call.status in ("open", "waiting", "unknown")
        for address, call in state.calls.items()
        if address.startswith(f"{head}/call:")
    )
    seqs = (0, state.calls[head].seq) if in_flight else ()
    return tuple(
        change for change in changes if change.kind == "result_synthesised" and change.seq in seqs
    )


def check_scope(state: RunState, scope: str) -> None:
    """Refuse a scope that is not one.

    Raises:
        ConfigError: It is not `run`, `node:NAME` of a node of this run, `node:NAME/NAME` of one in the graph that a node
            runs, or `thread:NAME`.
    """
    kind, _, name = scope.partition(":")
    if scope == "run" or (kind == "thread" and name):
        return
    if kind == "node" and is_node(state, name):
        return
    nodes = ", ".join(f"node:{known}" for known in nodes_of(state))
    raise ConfigError(
        f"scope {scope!r} names nothing of this run; use 'run', 'thread:NAME', or one of {nodes}"
    )


def live_conversations(state: RunState, scope: str = "run") -> Sequence[str]:
    """Return the model calls whose conversations may be continued: one address for each conversation."""
    kind, _, name = scope.partition(":")
    if kind == "thread":
        head = state.threads.get(name)
        return () if head is None else (head,)
    found: dict[str, None] = {}
    for address in (*state.running, *state.waiting):
        if kind != "node" or state.activations[address].node == name:
            found.update(dict.fromkeys(parents_for(state, address, "", "")))
    if kind == "run":
        found.update(dict.fromkeys(state.threads.values()))
    if not found and kind == "run":
        answered = [
            call
            for call in state.calls.values()
            if call.kind == "model" and call.status == "completed"
        ]
        found.update(
            {call.address: None for call in sorted(answered, key=lambda call: call.seq)[-1:]}
        )
    return tuple(found)
