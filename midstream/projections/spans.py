"""A run as spans of OpenTelemetry: the tree of `trace`, with ids that follow from the run and the seq of what began.

So whoever exports a run twice sends the same spans twice, and what was exported live is the same as what is exported
afterwards.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from midstream.errors import RunErasedError
from midstream.events.envelope import ERASED, Event
from midstream.projections.run_state import RunState, apply
from midstream.projections.span import Link, Span, SpanEvent, span_id, trace_id
from midstream.projections.span_names import (
    Edition,
    Value,
    counted,
    flat,
    named,
)
from midstream.projections.span_steps import (
    AGENTS,
    BEFORE,
    HAPPENED,
    TOLD,
    WITHDRAWN,
    content_of,
    name_of,
    told_nothing,
)
from midstream.projections.trace import Step, Trace

CONVERSATION_TAGS = ("conversation", "thread", "session")
"""Tags of a run that name a real conversation, the first one first; an id made up for a run is none."""

_ENDS = {"run.completed", "run.failed", "run.cancelled"}
_SPANNED = {"node", "model_call", "tool_call", "question", "timer"}


class Spans:
    """Turns the events of a run into spans, one after the other.

    Args:
        run_id: The run; of what it shares with the run it was forked from, only what was open becomes spans of it.
        content: Tell what was said, too. It leaves the store then, and may be anything that people wrote.
        edition: Whose names.
    """

    def __init__(self, run_id: str, *, content: bool = False, edition: Edition = "1.41") -> None:
        self._run_id = run_id
        self._content = content
        self._edition: Edition = edition
        self._trace = Trace()
        self._state = RunState()
        self._open: dict[str, Span] = {}
        self._root: Span | None = None
        self._early: dict[str, list[SpanEvent]] = {}
        self._ids: dict[str, str] = {}
        self._agents: dict[str, Span] = {}
        self._common: dict[str, Value] = {}
        self._ended = 0
        self._newest = 0

    @property
    def open(self) -> tuple[Span, ...]:
        """Those that have begun and not ended; the root last."""
        inner = tuple(one for one in self._open.values() if one is not self._root)
        return (*inner, *([] if self._root is None or self._root.ended_at else [self._root]))

    def cut(self) -> list[Span]:
        """Return those that have not ended as if they had ended with the newest event; they say so."""
        cut: list[Span] = []
        for span in self.open:
            attributes: dict[str, Value] = {
                **named(span.attributes, self._edition),
                "midstream.unfinished": True,
            }
            cut.append(replace(span, ended_at=self._newest, attributes=attributes))
        return cut

    def add(self, event: Event) -> list[Span]:
        """Take in the next event, and return the spans that ended with it.

        Raises:
            RunErasedError: What the event says was erased.
        """
        if event.type == ERASED:
            raise RunErasedError(event.run_id)
        self._newest = event.at
        self._trace.add(event)
        if self._content:  # otherwise nobody asks what was said
            apply(self._state, event)
        return [span for span in self._told(event) if span.trace_id == trace_id(self._run_id)]

    def _told(self, event: Event) -> list[Span]:
        if event.type in ("run.created", "run.forked"):
            self._begin_run(event)
            return []
        if event.type in _ENDS:
            return self._end_run(event)
        if event.type == "feedback.added":
            return [self._judged(event)]
        if event.address is not None and event.type in AGENTS:
            return self._agent(event)
        if event.type == "memory.read":
            return [self._remembered(event)]
        step = self._trace.steps.get(event.address or "")
        if event.type not in HAPPENED and step is not None and step.type in _SPANNED:
            return self._step(event, step)
        self._happened(event)
        return []

    def _begin_run(self, event: Event) -> None:
        """Begin a trace; of a fork, anew, with what was open at that moment."""
        data = event.data
        before, parent = list(self._open.items()), self._root
        self._ended = 0
        root = self._new(f"invoke_workflow {data['graph']}", "internal", event, "")
        root.attributes |= {
            "gen_ai.operation.name": "invoke_workflow",
            "gen_ai.workflow.name": data["graph"],
            **flat(data, "midstream", ("code", "graph_digest", "parent")),
        }
        tags: Mapping[str, str] = data.get("tags") or {}
        names = (tags[tag] for tag in CONVERSATION_TAGS if tag in tags)
        conversation = next(names, "")
        self._common = {"gen_ai.conversation.id": conversation} if conversation else {}
        root.attributes |= self._common
        if data.get("parent") and event.type == "run.created":
            started = data["parent"]  # the run inside of which this one began
            root.links = (Link(trace_id(started), span_id(started, 1)),)
        if event.type == "run.forked" and parent is not None:
            root.links = (Link(parent.trace_id, parent.span_id),)
            root.attributes["midstream.fork.seq"] = data["seq"]
        self._root, self._open, self._agents, self._ids = root, {}, {}, {}
        for address, span in before:
            again = self._new(span.name, span.kind, event, root.span_id, key=address)
            again.attributes = dict(span.attributes) | {"midstream.run.id": event.run_id}
            self._open[address], self._ids[address] = again, again.span_id

    def _new(
        self,
        name: str,
        kind: Literal["internal", "client"],
        event: Event,
        parent: str,
        *,
        key: str = "",
    ) -> Span:
        seed = f"{event.run_id}/{key}" if key else event.run_id
        made = Span(trace_id(event.run_id), span_id(seed, event.seq), parent, name, kind, event.at)
        made.attributes = {
            "midstream.run.id": event.run_id,
            "midstream.seq": event.seq,
            **flat({"step": event.address}, "midstream", ("step",)),
        }
        return made

    def _end_run(self, event: Event) -> list[Span]:
        left = [self._closed(span, event) for span in self._open.values()]
        self._open, self._agents = {}, {}
        root = self._root
        assert root is not None  # the first event of a run began it
        root.attributes["midstream.status"] = event.type.removeprefix("run.")
        if event.type == "run.failed":
            failures: Sequence[Mapping[str, Any]] = event.data.get("failures") or ()
            root.error = next((one["kind"] for one in failures), "failed")
        self._ended = event.seq
        return [*left, self._closed(root, event)]

    def _closed(self, span: Span, event: Event) -> Span:
        span.ended_at = event.at
        if span.error:
            span.attributes["error.type"] = span.error
        span.attributes = named(span.attributes, self._edition)
        return span

    def _parent_of(self, step: Step) -> str:
        agent = self._agents.get(step.within)
        if agent is not None and step.type == "model_call":
            return agent.span_id
        found = self._ids.get(step.within) or self._ids.get(step.within.partition("/")[0])
        return found or (self._root.span_id if self._root is not None else "")

    def _step(self, event: Event, step: Step) -> list[Span]:
        span = self._open.get(step.id)
        if span is None:
            span = self._begin_step(event, step)
        TOLD.get(event.type, told_nothing)(span, event)
        if self._content:
            span.attributes |= content_of(event, self._state)
        if event.type in ("node.failed", "model.failed", "tool.failed"):
            tried = flat(event.data, "midstream", ("attempt", "retry_at", "status"))
            span.events.append(
                SpanEvent(
                    "midstream.attempt", event.at, {**tried, "error.type": event.data["kind"]}
                )
            )
        span.attributes["midstream.attempts"] = step.attempts
        withdrawn = event.type in WITHDRAWN
        if step.status in ("running", "waiting", "unknown") and not withdrawn:
            return []
        span.attributes["midstream.status"] = "cancelled" if withdrawn else step.status
        if step.status == "failed":
            span.error = str(event.data.get("kind", "failed"))
        del self._open[step.id]
        return [self._closed(span, event)]

    def _begin_step(self, event: Event, step: Step) -> Span:
        kind: Literal["internal", "client"] = "client" if step.type == "model_call" else "internal"
        span = self._new(name_of(step), kind, event, self._parent_of(step))
        span.attributes |= self._common if step.type == "model_call" else {}
        span.events += self._early.pop(step.id, [])
        self._open[step.id] = span
        self._ids[step.id] = span.span_id
        return span

    def _agent(self, event: Event) -> list[Span]:
        address = event.address or ""
        activation = address.partition("/")[0]
        if event.type == "agent.concluded":
            span = self._open.pop(address.rpartition("/")[0], None)
            if span is None:
                return []
            if self._agents.get(activation) is span:
                del self._agents[activation]
            span.attributes["midstream.turns"] = event.data.get("turns", 1)
            return [self._closed(span, event)]
        name = event.data.get("agent_type") or ""
        span = self._new(f"invoke_agent {name}".strip(), "internal", event, self._ids[activation])
        span.attributes |= {"gen_ai.operation.name": "invoke_agent"}
        span.attributes |= {"gen_ai.agent.name": name} if name else {}
        span.attributes |= self._common
        self._open[address], self._agents[activation] = span, span
        return []

    def _remembered(self, event: Event) -> Span:
        items: Mapping[str, Any] = event.data.get("items") or {}
        offers: Sequence[Any] = items.get("offers") or event.data.get("messages") or ()
        return self._instant(
            event,
            f"search_memory {event.data['memory']}",
            {
                "gen_ai.operation.name": "search_memory",
                "gen_ai.memory.store.id": event.data["memory"],
                "gen_ai.memory.record.count": len(offers),
            },
            (event.address or "").partition("/")[0],
        )

    def _judged(self, event: Event) -> Span:
        data = event.data
        attributes: dict[str, Value] = {
            "gen_ai.evaluation.name": str(data.get("source", "person")),
            "gen_ai.evaluation.score.label": data["kind"],
        }
        if data.get("score") is not None:
            attributes["gen_ai.evaluation.score.value"] = float(data["score"])
        if self._content and data.get("text"):
            attributes["gen_ai.evaluation.explanation"] = data["text"]
        return self._instant(event, "gen_ai.evaluation.result", attributes, event.address or "")

    def _instant(
        self, event: Event, name: str, attributes: Mapping[str, Value], within: str
    ) -> Span:
        root = "" if self._root is None else self._root.span_id
        span = self._new(name, "internal", event, self._ids.get(within, root))
        span.attributes |= attributes
        return self._closed(span, event)

    def _happened(self, event: Event) -> None:
        """Keep something that is no step, at the span that it belongs to."""
        told = HAPPENED.get(event.type)
        if told is None or self._ended:
            return
        name, names = told
        attributes = flat(event.data, "midstream", names)
        if event.data.get("changes") is not None:
            attributes |= counted(event.data["changes"])
        made = SpanEvent(name, event.at, attributes)
        address = event.address or ""
        span = self._open.get(address)
        if span is None and address and event.type in BEFORE:
            self._early.setdefault(address, []).append(made)
            return
        span = span or self._open.get(address.partition("/")[0]) or self._root
        if span is not None:
            span.events.append(made)


def spans_of(made: Spans, events: Iterable[Event], *, unfinished: bool = False) -> list[Span]:
    """Return the spans of a run's events, in the order in which they ended.

    Args:
        made: Of the run, without any event yet.
        events: All of them; of a fork, with those that it shares.
        unfinished: Those that are open, too, as if they had ended with the newest event; they say so.
    """
    found = [span for event in events for span in made.add(event)]
    return [*found, *(made.cut() if unfinished else ())]


async def read_spans(
    made: Spans, events: AsyncIterable[Event], *, unfinished: bool = False
) -> list[Span]:
    """Return the spans of a run's events, as they come; see `spans_of`."""
    found: list[Span] = []
    async for event in events:
        found += made.add(event)
    return [*found, *(made.cut() if unfinished else ())]
