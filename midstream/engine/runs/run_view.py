"""A conversation of a run as a model would be told it: the request, and all that is known of it before it is sent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from midstream.adapters.base import Adapter
from midstream.adapters.dialect import default_model
from midstream.adapters.estimate import tokens
from midstream.adapters.view import View
from midstream.engine.providers import Providers
from midstream.engine.requests.asking import Pricing
from midstream.errors import ConfigError
from midstream.events.content import Message, Segment, Text
from midstream.events.ids import node_of
from midstream.events.payloads import Change, Usage
from midstream.projections.conversation import results
from midstream.projections.run_state import Call, RunState
from midstream.projections.told import told


@dataclass(frozen=True)
class Step:
    """What one event adds to a view.

    Attributes:
        seq: The event; 0 for what a request adds at its end.
        said: What is added, in neutral form.
        items: The same in wire form, as far as it is told there as messages.
        changes: What is not told, or told otherwise.
    """

    seq: int
    said: tuple[Message, ...]
    items: tuple[Any, ...]
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class RunView:
    """What a model would be told.

    Attributes:
        run_id: The run.
        model: `provider:model`.
        step: The newest model call of the conversation; empty where none was asked yet.
        at: The event after which it is so.
        request: The request in wire form that asks for the next answer, or for the one that is awaited.
        changes: What the model is not told, or told otherwise, in order; each names the event, and the part where it is one.
        tokens: By estimate.
        context_window: Of the model, in tokens; None where it is not known.
        cost: Estimated price of reading it once, in US dollars, without a cache; None where no price is known.
        digest: Of the request, in hex.
        view: The rendered conversation.
        steps: What it is made of, in order.
    """

    run_id: str
    model: str
    step: str
    at: int
    request: Mapping[str, Any]
    changes: tuple[Change, ...]
    tokens: int
    context_window: int | None
    cost: Decimal | None
    digest: str
    view: View
    steps: tuple[Step, ...] = ()

    @property
    def losses(self) -> tuple[Change, ...]:
        """What the model is not told; it stays in the log."""
        return tuple(change for change in self.changes if change.severity == "loss")

    @property
    def repairs(self) -> tuple[Change, ...]:
        """What the model is told in another form."""
        return tuple(change for change in self.changes if change.severity == "repair")

    @property
    def fits(self) -> bool:
        """The conversation fits the model's context window, as far as that is known."""
        return self.context_window is None or self.tokens <= self.context_window


def run_view(
    state: RunState,
    adapter: Adapter,
    name: str,
    head: str,
    *,
    run_id: str,
    pricing: Pricing,
    now: float,
) -> RunView:
    """Render a conversation; nothing is changed, and nobody is asked.

    Args:
        state: The run.
        adapter: Of the model.
        name: The model's name without its provider.
        head: The newest call of the conversation, or empty.
        run_id: The run's.
        pricing: What reading costs.
        now: In seconds since 1970; prices change.
    """
    model = f"{adapter.provider}:{name}"
    view = adapter.begin(name)
    steps: list[Step] = []
    call = state.calls.get(head)
    if call is not None:
        for segment in (*told(state, head, model), results(state, call, state.seq + 1)):
            before = len(view.tape)
            view = adapter.render(view, segment)
            if not segment.empty:
                items = tuple(view.tape.list(before))
                said = _said(segment)
                steps.append(Step(segment.seq, said, items, view.changes))
    request = adapter.request(view, {} if call is None else call.request.get("settings", {}))
    if request.changes:
        steps.append(Step(0, (), (), request.changes))
    changes = [change for step in steps for change in step.changes]
    size = tokens(view)
    cost = pricing(adapter.provider, name, Usage(input_tokens=size), now)
    return RunView(
        run_id,
        model,
        head,
        state.seq,
        request.body,
        tuple(_placed(change, call) for change in changes),
        size,
        adapter.capabilities(name).context_window,
        None if cost is None else Decimal(cost.amount),
        request.digest,
        view,
        tuple(steps),
    )


def _said(segment: Segment) -> tuple[Message, ...]:
    if segment.system is None:
        return segment.messages
    return (Message(role="system", parts=(Text(text=segment.system),)), *segment.messages)


def _placed(change: Change, call: Call | None) -> Change:
    """Return the change with its event: what concerns the request and no message is said of the newest call."""
    if change.seq or call is None:
        return change
    return change.model_copy(update={"seq": call.first_seq})


def model_meant(wanted: str, state: RunState, providers: Providers) -> str:
    """Return the model that a provider's name stands for: the one that the run asked last there, or its usual one.

    Args:
        wanted: `provider:model`, or a provider.
        state: The run.
        providers: Who answers.
    """
    if ":" in wanted or providers.scripted:
        return wanted
    asked = sorted(
        (call.first_seq, call.request["model"])
        for call in state.calls.values()
        if call.kind == "model" and call.request["model"].partition(":")[0] == wanted
    )
    return asked[-1][1] if asked else f"{wanted}:{default_model(wanted)}"


def conversation_head(
    state: RunState, step: str | None = None, thread: str | None = None, node: str | None = None
) -> str:
    """Return the newest model call of the conversation that is meant; empty where none is named and nobody was asked.

    Args:
        state: The run.
        step: A model call, or an activation.
        thread: A named thread.
        node: A node, or the way to it, as in `research/plan`; its newest activation is meant.

    Raises:
        ConfigError: More than one of them is given, or no model was asked there.
    """
    given = [name for name in (step, thread, node) if name is not None]
    if len(given) > 1:
        raise ConfigError("name a step, a thread or a node, not several of them")
    calls = [call for call in state.calls.values() if call.kind == "model"]
    if step is not None and step in state.calls and state.calls[step].kind == "model":
        return step
    found = [call for call in calls if not call.request.get("purpose")]
    if step is not None:
        found = [call for call in found if call.address.startswith(f"{step}/")]
    elif thread is not None:
        found = [call for call in found if call.request.get("thread", "") == thread]
    elif node is not None:
        of_node = (address for address in reversed(state.activations) if node_of(address) == node)
        latest = next(of_node, None)
        found = [call for call in found if latest and call.address.startswith(f"{latest}/")]
    if found:
        return max(found, key=lambda call: call.first_seq).address
    if not given:
        return ""
    steps = dict.fromkeys(call.address.partition("/")[0] for call in calls)
    what = "step" if step is not None else "thread" if thread is not None else "node"
    raise ConfigError(
        f"{what} {given[0]!r} asked no model; models were asked at {', '.join(steps) or 'no step yet'}"
    )
