"""The facts of tool calls: intent, outcome, and what is unknown after a crash."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.content import ResultPart
from midstream.events.effect import Effect
from midstream.events.fact import Fact


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
