"""The facts: what can have happened, past tense, one discriminated union.

A payload says what is not in its envelope: the node and the call stand in the event's `address`, the time in
`recorded_at`. Defaults are not written; a default is part of the payload's version. Add a fact to its family (`run_facts`,
`node_facts`, …), to `facts.FACTS` and to `Payload`, and both type checkers list every `match` that must learn it.

Every fact is found here by its name, and its family is imported then: who only looks at a log folds plain data, and needs
none of the classes.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, Union, cast

from midstream.events.facts import FACTS, PAYLOADS, VERSIONS

if TYPE_CHECKING:
    from pydantic import Field

    from midstream.events.agent_facts import (
        AgentConcluded,
        AgentStarted,
        MemoryRead,
        MemoryWritten,
    )
    from midstream.events.budget_facts import (
        BudgetExceeded,
    )
    from midstream.events.conversation_facts import (
        ContextSummarised,
        ContextTrimmed,
        MessageAdded,
    )
    from midstream.events.effect import Effect
    from midstream.events.experience_facts import (
        ExperienceDistilled,
        ExperienceErased,
        FeedbackAdded,
        LessonContradicted,
        LessonCredited,
        LessonDrafted,
        LessonMoved,
        LessonSupported,
        LessonTried,
    )
    from midstream.events.fact import (
        Fact,
    )
    from midstream.events.flow_facts import (
        EdgeAdded,
        EdgeDecided,
        EdgeRemoved,
        GraphUpgraded,
        LimitReached,
        NodeAdded,
        NodeRemoved,
    )
    from midstream.events.fork_facts import (
        RunForked,
    )
    from midstream.events.keeping_facts import (
        RunErased,
        RunRemoved,
        SubjectErased,
    )
    from midstream.events.model_facts import (
        Change,
        Cost,
        FinishReason,
        ModelAborted,
        ModelFailed,
        ModelRequested,
        ModelResponded,
        ModelSwitched,
        Usage,
    )
    from midstream.events.node_facts import (
        NodeCompleted,
        NodeFailed,
        NodeScheduled,
        NodeSkipped,
        NodeStarted,
    )
    from midstream.events.people_facts import (
        QuestionAnswered,
        QuestionAsked,
        QuestionExpired,
        QuestionWithdrawn,
    )
    from midstream.events.reflection_facts import (
        PlanRevised,
        ReflectionMade,
    )
    from midstream.events.routing_facts import (
        BreakerClosed,
        BreakerHalfOpened,
        BreakerOpened,
        EndpointDrained,
        EndpointRestored,
        RouteDecided,
        RouteReserved,
        RouteReset,
        RouteSettled,
    )
    from midstream.events.run_facts import (
        Failure,
        NoteAdded,
        RunCancelled,
        RunCancelRequested,
        RunCompleted,
        RunContinued,
        RunCreated,
        RunFailed,
        RunPaused,
        RunResumed,
    )
    from midstream.events.subrun_facts import (
        SubrunClosing,
        SubrunCompleted,
        SubrunFailed,
        SubrunRequested,
    )
    from midstream.events.tool_facts import (
        ToolCompleted,
        ToolFailed,
        ToolRequested,
        ToolRetried,
        ToolUnknown,
    )
    from midstream.events.value_facts import (
        TimerCancelled,
        TimerFired,
        TimerSet,
        ValueRecorded,
    )

    Payload = Annotated[
        RunCreated
        | RunResumed
        | RunForked
        | RunPaused
        | RunContinued
        | RunCompleted
        | RunFailed
        | RunCancelRequested
        | RunCancelled
        | RunRemoved
        | GraphUpgraded
        | RunErased
        | SubjectErased
        | LimitReached
        | NodeScheduled
        | NodeStarted
        | NodeCompleted
        | NodeFailed
        | NodeSkipped
        | EdgeDecided
        | NodeAdded
        | NodeRemoved
        | EdgeAdded
        | EdgeRemoved
        | ModelRequested
        | ModelResponded
        | ModelFailed
        | ModelAborted
        | ToolRequested
        | ToolCompleted
        | ToolFailed
        | ToolUnknown
        | ToolRetried
        | ValueRecorded
        | TimerSet
        | TimerFired
        | TimerCancelled
        | QuestionAsked
        | QuestionAnswered
        | QuestionExpired
        | QuestionWithdrawn
        | AgentStarted
        | AgentConcluded
        | MemoryRead
        | MemoryWritten
        | BudgetExceeded
        | ModelSwitched
        | RouteDecided
        | RouteReserved
        | RouteSettled
        | RouteReset
        | BreakerOpened
        | BreakerHalfOpened
        | BreakerClosed
        | EndpointDrained
        | EndpointRestored
        | ReflectionMade
        | PlanRevised
        | SubrunRequested
        | SubrunCompleted
        | SubrunFailed
        | SubrunClosing
        | FeedbackAdded
        | LessonDrafted
        | LessonSupported
        | LessonMoved
        | LessonContradicted
        | LessonCredited
        | LessonTried
        | ExperienceDistilled
        | ExperienceErased
        | ContextTrimmed
        | ContextSummarised
        | MessageAdded
        | NoteAdded,
        Field(discriminator="type"),
    ]
    """Any fact that this release knows."""

__all__ = [
    "FACTS",
    "PAYLOADS",
    "VERSIONS",
    "AgentConcluded",
    "AgentStarted",
    "BreakerClosed",
    "BreakerHalfOpened",
    "BreakerOpened",
    "BudgetExceeded",
    "Change",
    "ContextSummarised",
    "ContextTrimmed",
    "Cost",
    "EdgeAdded",
    "EdgeDecided",
    "EdgeRemoved",
    "Effect",
    "EndpointDrained",
    "EndpointRestored",
    "ExperienceDistilled",
    "ExperienceErased",
    "Fact",
    "Failure",
    "FeedbackAdded",
    "FinishReason",
    "GraphUpgraded",
    "LessonContradicted",
    "LessonCredited",
    "LessonDrafted",
    "LessonMoved",
    "LessonSupported",
    "LessonTried",
    "LimitReached",
    "MemoryRead",
    "MemoryWritten",
    "MessageAdded",
    "ModelAborted",
    "ModelFailed",
    "ModelRequested",
    "ModelResponded",
    "ModelSwitched",
    "NodeAdded",
    "NodeCompleted",
    "NodeFailed",
    "NodeRemoved",
    "NodeScheduled",
    "NodeSkipped",
    "NodeStarted",
    "NoteAdded",
    "Payload",
    "PlanRevised",
    "QuestionAnswered",
    "QuestionAsked",
    "QuestionExpired",
    "QuestionWithdrawn",
    "ReflectionMade",
    "RouteDecided",
    "RouteReserved",
    "RouteReset",
    "RouteSettled",
    "RunCancelRequested",
    "RunCancelled",
    "RunCompleted",
    "RunContinued",
    "RunCreated",
    "RunErased",
    "RunFailed",
    "RunForked",
    "RunPaused",
    "RunRemoved",
    "RunResumed",
    "SubjectErased",
    "SubrunClosing",
    "SubrunCompleted",
    "SubrunFailed",
    "SubrunRequested",
    "TimerCancelled",
    "TimerFired",
    "TimerSet",
    "ToolCompleted",
    "ToolFailed",
    "ToolRequested",
    "ToolRetried",
    "ToolUnknown",
    "Usage",
    "ValueRecorded",
    "type_of",
]

_PLACES = {
    **{name: family for family, _, name in (place.partition(":") for place in FACTS.values())},
    "Fact": "fact",
    "Change": "model_facts",
    "Cost": "model_facts",
    "Effect": "effect",
    "Failure": "run_facts",
    "FinishReason": "model_facts",
    "Usage": "model_facts",
}
"""The module of each name."""


if not TYPE_CHECKING:  # a checker would take any name for one that exists

    def __getattr__(name: str) -> Any:
        """Import what is asked for."""
        if name == "Payload":
            from pydantic import Field

            found: Any = Annotated[Union[tuple(PAYLOADS.values())], Field(discriminator="type")]  # noqa: UP007  # of a tuple
        elif name in _PLACES:
            found = getattr(import_module(f"midstream.events.{_PLACES[name]}"), name)
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        globals()[name] = found
        return found


def type_of(payload: Fact) -> str:
    """Return the type tag of a payload."""
    tag = cast("object", payload.type)  # type: ignore[attr-defined]  # every member of the union has it
    return str(tag)
