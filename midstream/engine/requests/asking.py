"""What is asked of a model, and what comes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import JsonValue

from midstream.engine.recording.claims import digest_of
from midstream.engine.requests.advice import Advice
from midstream.engine.requests.context_policy import ContextPolicy
from midstream.engine.requests.structured import Output
from midstream.engine.retry import MODEL_RETRY, Retry
from midstream.engine.tools.tool import Tool
from midstream.errors import NotRecordableError
from midstream.events.content import Message, ToolCall, user
from midstream.events.ids import activation_of, node_of
from midstream.events.payloads import Cost, FinishReason, Usage
from midstream.projections.run_state import Call, RunState

Value = TypeVar("Value")

DEADLINE = 600.0
"""Seconds for one attempt of a model call, from sending the request to the whole answer, unless told otherwise."""

Pricing = Callable[[str, str, Usage, float], Cost | None]
"""Provider, model, usage, seconds since 1970 → cost."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a model answered, after all turns of its tools.

    Attributes:
        text: Its last words.
        message: Its last message.
        model: Who said it, as `provider:model`.
        usage: Tokens of all turns.
        cost: Of all turns, in US dollars; None where a turn's price is not known.
        finish: Why it stopped.
        step: The address of the last turn.
        turns: How many turns it took.
        run_id: The run that it was asked in.
    """

    text: str
    message: Message
    model: str
    usage: Usage
    cost: Decimal | None
    finish: FinishReason
    step: str
    turns: int
    run_id: str

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The calls that the model wants to have made, where they are not made here."""
        return self.message.tool_calls


@dataclass(frozen=True, slots=True)
class TypedReply(Reply, Generic[Value]):
    """What a model answered in the form that was asked for.

    Attributes:
        output: The answer as a value of that form, validated.
    """

    output: Value


@dataclass(frozen=True, slots=True)
class Question:
    """What a node asks a model.

    Attributes:
        messages: What is said.
        model: As the code names it, or empty.
        system: The instruction, or None for what is in force.
        tools: What the model may call, by name.
        thread: See `Context.llm`.
        settings: See `midstream.adapters.base.Settings`.
        turns: At most so many.
        deadline: Seconds for one attempt.
        retry: How often a turn is tried.
        output: What the answer must be, or None.
        context: What is done where the conversation is too long; None for what the run says.
        execute: The tools that the model calls are called; else its calls are handed back.
        experience: See `Context.llm`; no part of what the call is recognised by.
        advice: What was looked up for it, once it was.
        pinned: Who is asked, whatever the code and migrations say; empty for whoever they say.
    """

    messages: tuple[Message, ...]
    model: str = ""
    system: str | None = None
    tools: Mapping[str, Tool] = field(default_factory=dict[str, Tool])
    thread: str | None = ""
    settings: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    turns: int = 10
    deadline: float = DEADLINE
    retry: Retry = MODEL_RETRY
    output: Output[Any] | None = None
    context: ContextPolicy | None = None
    execute: bool = True
    experience: bool | str | None = None
    advice: Advice | None = None
    pinned: str = ""

    def digest(self) -> str:
        """Return what the call is recognised by: everything but the model, so that a migration keeps its records.

        Raises:
            NotRecordableError: What is said is not JSON.
        """
        try:
            said = [
                message.model_dump(mode="json", exclude_defaults=True) for message in self.messages
            ]
            told = (said, self.system, sorted(self.tools), self.thread, dict(self.settings))
            return digest_of(told)
        except (TypeError, ValueError) as error:
            raise NotRecordableError(
                "what the model is asked", str(error), "pass text that UTF-8 can carry"
            ) from error


def overridden(question: Question, state: RunState, call: str) -> Question:
    """Return the question as a fork of the run wants it asked; it is still recognised by what the code says."""
    asked = question
    for one in _overrides(state, call):
        said, system = one.get("prompt"), one.get("system")
        asked = replace(
            asked,
            messages=asked.messages if said is None else (user(said), *asked.messages[1:]),
            system=asked.system if system is None else system,
            settings={**asked.settings, **one.get("settings", {})},
        )
    return asked


def pinned(question: Question, state: RunState, call: str) -> Question:
    """Return the question as it is put in one of its turns, where a fork has another model answer that one."""
    model = next((one["model"] for one in _overrides(state, call)[::-1] if one.get("model")), "")
    return question if model == question.pinned else replace(question, pinned=model)


def _overrides(state: RunState, call: str) -> list[Mapping[str, Any]]:
    """Return what is asked in place of what the code says at a call, in order."""
    places = ("", node_of(call), activation_of(call), call)
    return [one for one in state.overrides if one.get("step", "") in places]


def reply_of(run_id: str, answered: Sequence[Call]) -> Reply:
    """Return what the recorded turns of a question come to."""
    outcomes = [call.outcome or {} for call in answered]
    message = Message.model_validate(outcomes[-1]["message"])
    costs = [outcome.get("cost") for outcome in outcomes]
    cost = (
        None if None in costs else sum((Decimal(one["amount"]) for one in costs if one), Decimal(0))
    )
    counted = [Usage.model_validate(outcome.get("usage", {})) for outcome in outcomes]
    usage = Usage(
        **{name: sum(getattr(one, name) for one in counted) for name in Usage.model_fields}
    )
    return Reply(
        message.text,
        message,
        answered[-1].request["model"],
        usage,
        cost,
        outcomes[-1].get("finish", "stop"),
        answered[-1].address,
        len(answered),
        run_id,
    )


def typed(reply: Reply, output: Value) -> TypedReply[Value]:
    """Return the reply with its value."""
    return TypedReply(
        reply.text,
        reply.message,
        reply.model,
        reply.usage,
        reply.cost,
        reply.finish,
        reply.step,
        reply.turns,
        reply.run_id,
        output,
    )
