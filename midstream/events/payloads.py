"""The facts: what can have happened, past tense, one discriminated union.

A payload says what is not in its envelope: the node and the call stand in the event's `address`, the time in
`recorded_at`. Defaults are not written; a default is part of the payload's version. Add a fact here and both type checkers
list every `match` that must learn it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.events.agent_facts import AgentConcluded, AgentStarted, MemoryRead, MemoryWritten
from midstream.events.budget_facts import BudgetExceeded
from midstream.events.content import Message, ResultPart, ToolSpec
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
from midstream.events.fact import Fact as Fact  # exported from here, too
from midstream.events.flow_facts import (
    EdgeAdded,
    EdgeDecided,
    EdgeRemoved,
    GraphUpgraded,
    LimitReached,
    NodeAdded,
    NodeRemoved,
)
from midstream.events.fork_facts import RunForked
from midstream.events.keeping_facts import RunErased, RunRemoved, SubjectErased
from midstream.events.people_facts import (
    QuestionAnswered,
    QuestionAsked,
    QuestionExpired,
    QuestionWithdrawn,
)
from midstream.events.reflection_facts import PlanRevised, ReflectionMade
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
from midstream.events.subrun_facts import (
    SubrunClosing,
    SubrunCompleted,
    SubrunFailed,
    SubrunRequested,
)

Effect = Literal["read", "idempotent", "unsafe"]
"""What a tool does to the world: nothing, the same when repeated with its key, or something that must not be repeated."""


class Usage(BaseModel):
    """Tokens of one model call.

    Attributes:
        input_tokens: Read by the model, including those from the cache.
        output_tokens: Written by the model, including reasoning.
        cache_read_tokens: The part of the input that came from the provider's cache.
        cache_write_tokens: The part of the input that was written to the provider's cache.
        reasoning_tokens: The part of the output that was reasoning.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    input_tokens: int = 0
    output_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0


class Cost(BaseModel):
    """What a call cost, as computed when it was answered.

    Attributes:
        amount: A decimal number as text, in `currency`.
        currency: ISO 4217.
        source: Which price list, with its version.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    amount: str
    currency: str = "USD"
    source: str = ""


class Change(BaseModel):
    """One difference between the neutral conversation and what a provider was told.

    Attributes:
        kind: What was done, from a closed list per adapter, such as `reasoning_dropped` or `id_mapped`.
        severity: `loss` where the target cannot be told it, `repair` where it was told in another form.
        seq: The event whose content it concerns; 0 where it is not in the log yet.
        part: The place of the part among those of all messages of the event, from 0, what a tool's result holds being where
            the result is; None for what is no part.
        detail: For people.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    kind: str
    severity: Literal["loss", "repair"]
    seq: int = 0
    part: int | None = None
    detail: str = ""


class RunCreated(Fact):
    """A run was accepted; from here on it will be driven to an end.

    Attributes:
        graph: The name of the graph.
        definition: The graph as data: nodes, what each waits for, its policies.
        graph_digest: sha256 of the definition, in hex.
        code: The version of the code that was given to the engine, or empty.
        inputs: By name.
        model: The default model of the run, or empty.
        tags: For finding it again.
        id: Of this start; a start whose answer was lost is recognised by it.
        limits: What the run may not exceed: `activations`, `seconds`, `depth`.
        context: What is done where a conversation is too long for its model; empty where nothing is. See `ContextPolicy`.
        parent: The run that started this one, or None.
        parent_step: The address of its call that did.
        subject: Whom its content is about, so that it can be erased with all other runs of that; or empty.
    """

    type: Literal["run.created"] = "run.created"
    graph: str
    definition: Mapping[str, JsonValue]
    graph_digest: str
    code: str = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    model: str = ""
    tags: Mapping[str, str] = Field(default_factory=dict)
    parent: str | None = None
    id: str = ""
    limits: Mapping[str, float] = Field(default_factory=dict)
    context: Mapping[str, JsonValue] = Field(default_factory=dict)
    parent_step: str = ""
    subject: str = ""


class RunResumed(Fact):
    """A driver took the run over; every driver of an earlier epoch is refused from here on."""

    type: Literal["run.resumed"] = "run.resumed"
    epoch: int
    driver: str


class RunPaused(Fact):
    """No further node or call is started until `run.continued`; what is in flight is finished and recorded."""

    type: Literal["run.paused"] = "run.paused"
    id: str
    reason: str = ""


class RunContinued(Fact):
    """A paused run goes on."""

    type: Literal["run.continued"] = "run.continued"
    id: str


class RunCompleted(Fact):
    """The run ended with an output."""

    type: Literal["run.completed"] = "run.completed"
    output: JsonValue = None


class Failure(BaseModel):
    """How one node failed for good."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    address: str
    kind: str
    message: str


class RunFailed(Fact):
    """The run ended without an output; several nodes may have failed side by side."""

    type: Literal["run.failed"] = "run.failed"
    failures: tuple[Failure, ...] = ()


class RunCancelRequested(Fact):
    """Somebody wants the run to end; its driver closes what is open and then records `run.cancelled`."""

    type: Literal["run.cancel_requested"] = "run.cancel_requested"
    id: str
    reason: str = ""


class RunCancelled(Fact):
    """The run was cancelled, and every call that was open has a recorded end."""

    type: Literal["run.cancelled"] = "run.cancelled"
    reason: str = ""


class NodeScheduled(Fact):
    """Everything an activation needs is there, and its first attempt starts.

    Attributes:
        inputs: For each parameter that takes the output of a node, the address of the activation it comes from. Parameters
            that take an input of the run are not listed: the graph says which they are.
        called: The activation that went to this node or triggered it, or whose effects it undoes; empty where it
            runs because of what it waited for. The arguments are in the `edge.decided` of that activation.
        index: The place of its item, for an activation of a map; None otherwise.
        item: Its item, where the log has it nowhere else.
    """

    type: Literal["node.scheduled"] = "node.scheduled"
    inputs: Mapping[str, str] = Field(default_factory=dict)
    called: str = ""
    index: int | None = None
    item: JsonValue = None


class NodeStarted(Fact):
    """A further attempt of an activation started; the first one starts with `node.scheduled`."""

    type: Literal["node.started"] = "node.started"
    attempt: int


class NodeCompleted(Fact):
    """An activation returned.

    Attributes:
        output: What it returned; of a map, nothing: its output is what its items have returned.
        local: What the node keeps for its later activations, where it changed.
    """

    type: Literal["node.completed"] = "node.completed"
    output: JsonValue = None
    local: Mapping[str, JsonValue] | None = None


class NodeFailed(Fact):
    """An attempt of an activation failed.

    Attributes:
        kind: The kind of error: the class of what was raised, `timeout`, or the kind of an adapter's error.
        message: Its text.
        attempt: Which attempt, from 1.
        retry_at: When the next attempt is due, in seconds since 1970; None where there is none.
        traceback: Where it was raised, innermost last; empty where that says nothing.
        handled: What the node's `on_failure` makes of it, so that the run goes on: `skip`, `continue` or `goto`; the
            fact that does so follows in the same append. `again`: the node is to come again, as a new activation. Empty
            where the run fails of it.
    """

    type: Literal["node.failed"] = "node.failed"
    kind: str
    message: str = ""
    attempt: int = 1
    retry_at: float | None = None
    traceback: str = ""
    handled: str = ""


class NodeSkipped(Fact):
    """An activation will not run, or will not be waited for: the node's turn has passed without an output."""

    type: Literal["node.skipped"] = "node.skipped"
    reason: str = ""


class ModelRequested(Fact):
    """A model is about to be asked; durable before the request leaves the process.

    Only what is new in the conversation is recorded here. The rest is what `parents` lead to: the exchanges before this
    one, each with the results of the tools it called. A further attempt records only what differs from the first one.

    Attributes:
        model: `provider:model` that is asked.
        thread: The named conversation, or empty for that of the node and its ancestors.
        lane: Which of the node's parallel branches asked; empty for the node's own.
        parents: The addresses of the model calls that this one continues, first the one whose instruction and tools it
            keeps.
        messages: What is new, in order.
        system: The instruction, where it differs from that of the first parent; None where it does not.
        tools: What the model may call, where it differs from the first parent; None where it does not.
        settings: Temperature, limits and so on, as asked for, before any mapping to the provider.
        view: Digest of what the provider is told, in hex.
        changes: What the rendering lost or repaired, that no earlier request of this lineage has listed.
        attempt: Which attempt of this call, from 1.
        handoff: The `model.switched` whose brief the model is told before what is new, or empty.
        purpose: What the call is for, where it is no part of a conversation: `summary`. Else empty.
        asked: The name that `model` was chosen for, as `group:fast`; empty where the model itself was named.
    """

    type: Literal["model.requested"] = "model.requested"
    model: str
    thread: str = ""
    lane: str = ""
    parents: tuple[str, ...] = ()
    messages: tuple[Message, ...] = ()
    system: str | None = None
    tools: tuple[ToolSpec, ...] | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)
    view: str = ""
    changes: tuple[Change, ...] = ()
    attempt: int = 1
    handoff: str = ""
    purpose: str = ""
    asked: str = ""


FinishReason = Literal[
    "stop", "tool_calls", "length", "content_filter", "refusal", "paused", "other"
]


class ModelResponded(Fact):
    """A model answered.

    Attributes:
        message: The answer.
        usage: Its tokens.
        cost: What it cost, or None where no price is known.
        finish: Why the model stopped.
        response_id: The provider's id of the answer, or empty.
        served: The model as the provider names it, where that is not the one that was asked for.
        seconds: From the request to the whole answer.
    """

    type: Literal["model.responded"] = "model.responded"
    message: Message
    usage: Usage = Field(default_factory=Usage)
    cost: Cost | None = None
    finish: FinishReason = "stop"
    response_id: str = ""
    served: str = ""
    seconds: float = 0.0


class ModelFailed(Fact):
    """An attempt of a model call failed.

    Attributes:
        kind: The kind of the adapter's error, such as `rate_limit`.
        message: Its text.
        status: The HTTP status, or None.
        request_id: The provider's id of the request, or empty.
        retry_at: When the next attempt is due, in seconds since 1970; None where there is none.
        attempt: Which attempt, from 1.
    """

    type: Literal["model.failed"] = "model.failed"
    kind: str
    message: str = ""
    status: int | None = None
    request_id: str = ""
    retry_at: float | None = None
    attempt: int = 1


class ModelAborted(Fact):
    """A model call was abandoned; its late answer is not recorded.

    Attributes:
        reason: `migrated`, `cancelled`, `failed` (the node that asked has failed) or `hedged` (somebody else who was asked
            too came first, and is the next attempt).
        text: What had been streamed until then.
    """

    type: Literal["model.aborted"] = "model.aborted"
    reason: str
    text: str = ""


class ToolRequested(Fact):
    """A tool is about to be called; durable before the call.

    Attributes:
        name: The tool's name.
        arguments: What it is called with.
        effect: What it does to the world; decides what happens after a crash.
        key: The idempotency key, the same for every attempt.
        call_id: The model's id of the call, or empty where the node called it.
        lane: Which of the node's parallel branches called it.
        attempt: Which attempt, from 1.
        edited: The arguments that a person has changed; the model is told so with the result.
    """

    type: Literal["tool.requested"] = "tool.requested"
    name: str
    arguments: Mapping[str, JsonValue] = Field(default_factory=dict)
    effect: Effect = "unsafe"
    key: str
    call_id: str = ""
    lane: str = ""
    attempt: int = 1
    edited: tuple[str, ...] = ()


class ToolCompleted(Fact):
    """A tool returned.

    Attributes:
        result: What it returned, as JSON.
        parts: What it returned, where that was text, images or documents as content.
    """

    type: Literal["tool.completed"] = "tool.completed"
    result: JsonValue = None
    parts: tuple[ResultPart, ...] = ()


class ToolFailed(Fact):
    """A tool raised, or could not be called.

    Attributes:
        kind: `exception`, `timeout`, `bad_arguments`, `unknown_tool`, `not_recordable`, `cancelled`, `settled`,
            `refused` (by a person).
        message: What the caller or the model is told.
        retry_at: When the next attempt is due, in seconds since 1970; None where there is none.
        attempt: Which attempt, from 1.
    """

    type: Literal["tool.failed"] = "tool.failed"
    kind: str
    message: str = ""
    retry_at: float | None = None
    attempt: int = 1


class ToolUnknown(Fact):
    """An unsafe tool was in flight when its process ended: it may have run or not. Somebody has to settle it."""

    type: Literal["tool.unknown"] = "tool.unknown"
    reason: str = ""


class ToolRetried(Fact):
    """Somebody decided that a tool whose outcome was unknown may be called again."""

    type: Literal["tool.retried"] = "tool.retried"
    id: str


class ValueRecorded(Fact):
    """A node read the clock, drew a random number or made a UUID."""

    type: Literal["value.recorded"] = "value.recorded"
    value: JsonValue


class TimerSet(Fact):
    """A node sleeps.

    Attributes:
        until: In seconds since 1970.
    """

    type: Literal["timer.set"] = "timer.set"
    until: float
    lane: str = ""


class TimerFired(Fact):
    """The time of a timer has come."""

    type: Literal["timer.fired"] = "timer.fired"


class TimerCancelled(Fact):
    """Nobody waits for a timer any more; it has not fired.

    Attributes:
        reason: `cancelled`, or `failed` (the node that slept has ended).
    """

    type: Literal["timer.cancelled"] = "timer.cancelled"
    reason: str


class ModelSwitched(Fact):
    """From the next model call on, another model is asked.

    Attributes:
        id: Of this switch; a switch that is appended twice has one effect.
        scope: `run`, `node:NAME` or `thread:NAME`; `step:ADDRESS` where a router chose another provider for that call.
        source: Only calls that would go to this model are concerned; empty for all calls in the scope.
        target: The model from now on.
        when: `next` waits for the call in flight; `now` abandons it.
        reason: Who or what wanted it: `user`, a policy's words, `failover`, `route`.
        changes: What the target's first view loses or repairs, as planned.
        metrics: What a policy looked at when it decided.
        estimate: What it means by estimate: `tokens` to be read anew, and what that costs, in US dollars as text.
        brief: Where the run stands, for the target to read before it goes on; empty where it is not told.
    """

    type: Literal["model.switched"] = "model.switched"
    id: str
    scope: str = "run"
    source: str = ""
    target: str
    when: Literal["next", "now"] = "next"
    reason: str = "user"
    changes: tuple[Change, ...] = ()
    brief: str = ""
    metrics: Mapping[str, JsonValue] = Field(default_factory=dict)
    estimate: Mapping[str, JsonValue] = Field(default_factory=dict)


class ContextTrimmed(Fact):
    """From this call on, some outputs of tools are told as a short notice: the conversation was too long for its model.

    Attributes:
        model: `provider:model` that it was too long for.
        lasting: Every model is told it like this from here on, and not only this one.
        results: The outputs that are left out, as `SEQ/ID`: the event that they are told with, and the model's id of the call.
        tokens: Of the conversation before, by estimate.
        left: Of the conversation after, by estimate.
        window: Tokens that it had to fit into, without those for the answer.
        refused: The provider had refused the conversation; it was not only an estimate.
    """

    type: Literal["context.trimmed"] = "context.trimmed"
    model: str
    lasting: bool = False
    results: tuple[str, ...] = ()
    tokens: int
    left: int
    window: int
    refused: bool = False


class ContextSummarised(Fact):
    """From this call on, the beginning of the conversation is told as a summary: it was too long for its model.

    Attributes:
        model: `provider:model` that it was too long for.
        lasting: Every model is told it like this from here on, and not only this one.
        by: The model call whose answer is the summary.
        since: The first model call of the conversation that is told as it was.
        sides: The summary stands for the other branches that this call continues, too.
        tokens: Of the conversation before, by estimate.
        left: Of the conversation after, by estimate.
        window: Tokens that it had to fit into, without those for the answer.
        refused: The provider had refused the conversation; it was not only an estimate.
    """

    type: Literal["context.summarised"] = "context.summarised"
    model: str
    lasting: bool = False
    by: str
    since: str
    sides: bool = False
    tokens: int
    left: int
    window: int
    refused: bool = False


class MessageAdded(Fact):
    """Somebody said something in a conversation that goes on; its node passes it to the model.

    Attributes:
        id: Of this message; one that is appended twice is said once.
        message: What was said; None where nobody will say more.
    """

    type: Literal["message.added"] = "message.added"
    id: str
    message: Message | None = None


class NoteAdded(Fact):
    """The embedding service's own data."""

    type: Literal["note.added"] = "note.added"
    id: str
    data: JsonValue


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

PAYLOADS: Mapping[str, type[Fact]] = {
    cls.model_fields["type"].default: cls for cls in get_args(get_args(Payload)[0])
}
"""Each payload's class by its type tag."""

VERSIONS: Mapping[str, int] = {tag: cls.version for tag, cls in PAYLOADS.items()}
"""The version that this release writes, by type tag."""


def type_of(payload: Fact) -> str:
    """Return the type tag of a payload."""
    tag = cast("object", payload.type)  # type: ignore[attr-defined]  # every member of the union has it
    return str(tag)
