"""The facts of waiting for people: what was asked, who answered what, and how a question ended without an answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.fact import Fact

QuestionKind = Literal["confirm", "edit", "free"]
"""What is asked for: yes or no, the same for a tool call whose arguments may be changed, or a value."""


class QuestionAsked(Fact):
    """A person is asked, and the activation waits.

    Attributes:
        id: By which the question is answered; unique in the run, and short enough to be typed.
        kind: `confirm`, `edit` or `free`.
        text: The question.
        show: What it is about; for a tool call, `tool` and `arguments`.
        answer_schema: JSON Schema of the value that is wanted, or of the arguments that may be changed; None for any value.
        editable: The arguments that may be changed.
        deadline: Until when it can be answered, in seconds since 1970; None for ever.
        default: What counts as answered when the deadline has passed, if there is such a value.
        has_default: There is one.
        lane: Which of the node's parallel branches asked.
    """

    type: Literal["question.asked"] = "question.asked"
    id: str
    kind: QuestionKind
    text: str
    show: JsonValue = None
    answer_schema: Mapping[str, JsonValue] | None = None
    editable: tuple[str, ...] = ()
    deadline: float | None = None
    default: JsonValue = None
    has_default: bool = False
    lane: str = ""


class QuestionAnswered(Fact):
    """A person answered; only the first end of a question counts.

    Attributes:
        id: Of this answer; an answer that is appended twice has one effect.
        approved: Yes or no, where that was asked.
        value: The value that was asked for, or a remark.
        arguments: The arguments that were changed, with their new values.
        by: Who answered, or empty.
    """

    type: Literal["question.answered"] = "question.answered"
    id: str
    approved: bool | None = None
    value: JsonValue = None
    arguments: Mapping[str, JsonValue] = Field(default_factory=dict)
    by: str = ""


class QuestionExpired(Fact):
    """The deadline of a question passed without an answer; its default holds, where it has one."""

    type: Literal["question.expired"] = "question.expired"


class QuestionWithdrawn(Fact):
    """Nobody waits for the answer any more.

    Attributes:
        reason: `cancelled`, or `failed` (the node that asked has ended).
    """

    type: Literal["question.withdrawn"] = "question.withdrawn"
    reason: str
