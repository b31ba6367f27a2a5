"""Where each fact is, and the version that this release writes: by type tag, with none of the classes imported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from midstream.events.fact import Fact

FACTS: Mapping[str, str] = {
    "run.created": "run_facts:RunCreated",
    "run.resumed": "run_facts:RunResumed",
    "run.forked": "fork_facts:RunForked",
    "run.paused": "run_facts:RunPaused",
    "run.continued": "run_facts:RunContinued",
    "run.completed": "run_facts:RunCompleted",
    "run.failed": "run_facts:RunFailed",
    "run.cancel_requested": "run_facts:RunCancelRequested",
    "run.cancelled": "run_facts:RunCancelled",
    "run.removed": "keeping_facts:RunRemoved",
    "graph.upgraded": "flow_facts:GraphUpgraded",
    "run.erased": "keeping_facts:RunErased",
    "subject.erased": "keeping_facts:SubjectErased",
    "limit.reached": "flow_facts:LimitReached",
    "node.scheduled": "node_facts:NodeScheduled",
    "node.started": "node_facts:NodeStarted",
    "node.completed": "node_facts:NodeCompleted",
    "node.failed": "node_facts:NodeFailed",
    "node.skipped": "node_facts:NodeSkipped",
    "edge.decided": "flow_facts:EdgeDecided",
    "node.added": "flow_facts:NodeAdded",
    "node.removed": "flow_facts:NodeRemoved",
    "edge.added": "flow_facts:EdgeAdded",
    "edge.removed": "flow_facts:EdgeRemoved",
    "model.requested": "model_facts:ModelRequested",
    "model.responded": "model_facts:ModelResponded",
    "model.failed": "model_facts:ModelFailed",
    "model.aborted": "model_facts:ModelAborted",
    "tool.requested": "tool_facts:ToolRequested",
    "tool.completed": "tool_facts:ToolCompleted",
    "tool.failed": "tool_facts:ToolFailed",
    "tool.unknown": "tool_facts:ToolUnknown",
    "tool.retried": "tool_facts:ToolRetried",
    "value.recorded": "value_facts:ValueRecorded",
    "timer.set": "value_facts:TimerSet",
    "timer.fired": "value_facts:TimerFired",
    "timer.cancelled": "value_facts:TimerCancelled",
    "question.asked": "people_facts:QuestionAsked",
    "question.answered": "people_facts:QuestionAnswered",
    "question.expired": "people_facts:QuestionExpired",
    "question.withdrawn": "people_facts:QuestionWithdrawn",
    "agent.started": "agent_facts:AgentStarted",
    "agent.concluded": "agent_facts:AgentConcluded",
    "memory.read": "agent_facts:MemoryRead",
    "memory.written": "agent_facts:MemoryWritten",
    "budget.exceeded": "budget_facts:BudgetExceeded",
    "model.switched": "model_facts:ModelSwitched",
    "route.decided": "routing_facts:RouteDecided",
    "route.reserved": "routing_facts:RouteReserved",
    "route.settled": "routing_facts:RouteSettled",
    "route.reset": "routing_facts:RouteReset",
    "breaker.opened": "routing_facts:BreakerOpened",
    "breaker.half_opened": "routing_facts:BreakerHalfOpened",
    "breaker.closed": "routing_facts:BreakerClosed",
    "endpoint.drained": "routing_facts:EndpointDrained",
    "endpoint.restored": "routing_facts:EndpointRestored",
    "reflection.made": "reflection_facts:ReflectionMade",
    "plan.revised": "reflection_facts:PlanRevised",
    "subrun.requested": "subrun_facts:SubrunRequested",
    "subrun.completed": "subrun_facts:SubrunCompleted",
    "subrun.failed": "subrun_facts:SubrunFailed",
    "subrun.closing": "subrun_facts:SubrunClosing",
    "feedback.added": "experience_facts:FeedbackAdded",
    "lesson.drafted": "experience_facts:LessonDrafted",
    "lesson.supported": "experience_facts:LessonSupported",
    "lesson.moved": "experience_facts:LessonMoved",
    "lesson.contradicted": "experience_facts:LessonContradicted",
    "lesson.credited": "experience_facts:LessonCredited",
    "lesson.tried": "experience_facts:LessonTried",
    "experience.distilled": "experience_facts:ExperienceDistilled",
    "experience.erased": "experience_facts:ExperienceErased",
    "context.trimmed": "conversation_facts:ContextTrimmed",
    "context.summarised": "conversation_facts:ContextSummarised",
    "message.added": "conversation_facts:MessageAdded",
    "note.added": "run_facts:NoteAdded",
}
"""Where each fact is, as `family:Class`, by its type tag."""

VERSIONS: Mapping[str, int] = dict.fromkeys(FACTS, 1)
"""The version that this release writes, by type tag."""


class _Classes(Mapping[str, "type[Fact]"]):
    """The classes of facts by type tag, each imported when it is asked for."""

    def __init__(self) -> None:
        self._found: dict[str, type[Fact]] = {}

    def __getitem__(self, tag: str) -> type[Fact]:
        found = self._found.get(tag)
        if found is None:
            family, _, name = FACTS[tag].partition(":")
            found = self._found[tag] = getattr(import_module(f"midstream.events.{family}"), name)
        return found

    def __iter__(self) -> Iterator[str]:
        return iter(FACTS)

    def __len__(self) -> int:
        return len(FACTS)

    def __contains__(self, tag: object) -> bool:
        return tag in FACTS


PAYLOADS: Mapping[str, type[Fact]] = _Classes()
"""Each payload's class by its type tag."""
