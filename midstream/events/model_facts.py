"""The facts of model calls: what was asked, what came back, what it used, and who is asked from then on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.events.content import Message, ToolSpec
from midstream.events.fact import Fact


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
