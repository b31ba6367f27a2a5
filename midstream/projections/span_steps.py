"""What facts say of the spans they belong to."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from midstream.events.envelope import Event
from midstream.projections import span_content
from midstream.projections.run_state import RunState
from midstream.projections.span import Span
from midstream.projections.span_names import Value, answered, asked, counted, flat
from midstream.projections.trace import Step


def name_of(step: Step) -> str:
    """Return the name of a step's span."""
    match step.type:
        case "model_call":
            return f"chat {step.name.partition(':')[2]}"
        case "tool_call":
            return f"execute_tool {step.name}"
        case "node":
            return step.name
        case _:
            return f"midstream.{step.type}"


def told_nothing(span: Span, event: Event) -> None:
    """Say nothing more of an event than that it happened."""


def _requested(span: Span, event: Event) -> None:
    if event.data.get("attempt", 1) == 1:
        span.attributes |= asked(event.data) | counted(event.data.get("changes", ()))


def _responded(span: Span, event: Event) -> None:
    span.attributes |= answered(event.data)
    span.attributes.setdefault(
        "gen_ai.response.model", span.attributes.get("gen_ai.request.model", "")
    )


def _called(span: Span, event: Event) -> None:
    span.attributes |= {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": event.data["name"],
        "gen_ai.tool.type": "function",
        "midstream.tool.effect": event.data.get("effect", "unsafe"),
    }
    if event.data.get("call_id"):
        span.attributes["gen_ai.tool.call.id"] = event.data["call_id"]


def _asked(span: Span, event: Event) -> None:
    span.attributes |= flat(event.data, "midstream.question", ("id", "kind", "deadline"))


def _answered(span: Span, event: Event) -> None:
    span.attributes |= flat(event.data, "midstream.question", ("approved", "by"))


TOLD: Mapping[str, Callable[[Span, Event], None]] = {
    "model.requested": _requested,
    "model.responded": _responded,
    "tool.requested": _called,
    "question.asked": _asked,
    "question.answered": _answered,
}
"""What facts add to the span of their step."""

WITHDRAWN = frozenset(("timer.cancelled", "question.withdrawn"))
"""Nobody waits any more."""

AGENTS = frozenset(("agent.started", "agent.concluded"))
"""The beginning and the end of an agent."""

HAPPENED: Mapping[str, tuple[str, Sequence[str]]] = {
    "run.resumed": ("midstream.resumed", ("epoch",)),
    "run.paused": ("midstream.paused", ()),
    "run.continued": ("midstream.continued", ()),
    "run.cancel_requested": ("midstream.cancel_requested", ()),
    "limit.reached": ("midstream.limit", ("limit",)),
    "model.switched": ("midstream.migration", ("source", "target", "scope", "when")),
    "route.decided": ("midstream.route", ("target", "endpoint", "stage", "model")),
    "budget.exceeded": ("midstream.budget", ("budget", "limit", "spent", "action")),
    "context.trimmed": ("midstream.context", ("model", "tokens", "left", "window")),
    "context.summarised": ("midstream.context", ("model", "tokens", "left", "window")),
    "reflection.made": ("midstream.reflection", ("failure_type", "failed_node", "by")),
    "plan.revised": ("midstream.plan", ("node", "timeout", "attempts", "on_failure", "by")),
    "node.added": ("midstream.node_added", ("name",)),
    "node.removed": ("midstream.node_removed", ("name",)),
    "value.recorded": ("midstream.value", ()),
    "note.added": ("midstream.note", ("id",)),
}
"""Events of spans: their names, and which fields are told; none of them holds what was said."""

BEFORE = frozenset(("route.decided", "context.trimmed", "context.summarised", "budget.exceeded"))
"""Facts that are recorded before the call that they are about."""


def content_of(event: Event, state: RunState) -> dict[str, Value]:
    """Return what was said, as attributes, of a run as it stands with this event."""
    match event.type:
        case "model.requested":
            return span_content.heard(state, event.address or "")
        case "model.responded":
            return span_content.said(event.data)
        case "tool.requested":
            return span_content.arguments(event.data)
        case "tool.completed":
            return span_content.result(event.data)
        case "node.failed" | "model.failed" | "tool.failed":
            return {"error.message": str(event.data.get("message", ""))}
        case _:
            return {}
