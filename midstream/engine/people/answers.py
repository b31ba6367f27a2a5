"""Taking an answer in: whether it is what was asked for, and whether it comes in time; pure, and without the run's code."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import JsonValue

from midstream.engine.fitting import misfits
from midstream.engine.people.people import MISSING
from midstream.errors import (
    AlreadyAnsweredError,
    AnswerTooLateError,
    QuestionNotFoundError,
    WrongAnswerError,
)
from midstream.events.people_facts import QuestionAnswered
from midstream.events.values import plain
from midstream.projections.run_state import Call, RunState


@dataclass(frozen=True, slots=True)
class OpenQuestion:
    """A question that waits for an answer.

    Attributes:
        id: By which it is answered.
        run_id: The run that asks.
        step: Its address.
        kind: `confirm`, `edit` or `free`.
        text: The question.
        show: What it is about.
        answer_schema: JSON Schema of the answer, or of the arguments that may be changed; None for any value.
        editable: The arguments that may be changed.
        deadline: Until when it can be answered, in seconds since 1970; None for ever.
    """

    id: str
    run_id: str
    step: str
    kind: str
    text: str
    show: JsonValue
    answer_schema: Mapping[str, Any] | None
    editable: tuple[str, ...]
    deadline: float | None


@dataclass(frozen=True, slots=True)
class Given:
    """What somebody answers.

    Attributes:
        approved: Yes or no.
        value: The value, or a remark.
        arguments: Arguments of the tool call, changed.
        by: Who answers.
        id: Of this answer.
    """

    approved: bool | None = None
    value: Any = MISSING
    arguments: Mapping[str, Any] | None = None
    by: str = ""
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def open_questions(run_id: str, state: RunState) -> tuple[OpenQuestion, ...]:
    """Return what a run asks people and has not been told, in the order in which it was asked."""
    if state.over:
        return ()
    calls = (state.calls[address] for address in state.open_calls)
    return tuple(_described(run_id, call) for call in calls if call.kind == "question")


def _described(run_id: str, call: Call) -> OpenQuestion:
    asked = call.request
    return OpenQuestion(
        asked["id"],
        run_id,
        call.address,
        asked["kind"],
        asked["text"],
        asked.get("show"),
        asked.get("answer_schema"),
        tuple(asked.get("editable", ())),
        asked.get("deadline"),
    )


def find(run_id: str, state: RunState, question: str) -> Call:
    """Return the record of a question, by its id or its address.

    Raises:
        QuestionNotFoundError: The run has asked no such question.
    """
    asked = [call for call in state.calls.values() if call.kind == "question"]
    for call in asked:
        if question in (call.request["id"], call.address):
            return call
    waiting = ", ".join(one.id for one in open_questions(run_id, state)) or "none"
    raise QuestionNotFoundError(
        run_id,
        question,
        f"run {run_id!r} has asked no question {question!r}; waiting for an answer: {waiting}",
    )


def check(
    run_id: str, state: RunState, question: str, given: Given, *, now: float
) -> tuple[str, QuestionAnswered]:
    """Return the address of a question and its answer as a fact.

    Args:
        run_id: The run.
        state: As it stands.
        question: The question's id or address.
        given: The answer.
        now: In seconds since 1970.

    Raises:
        AnswerError: It is refused; the class and the message say why.
        NotRecordableError: It is not JSON.
    """
    call = find(run_id, state, question)
    _in_time(run_id, state, question, call, now)
    value = None if given.value is MISSING else plain(given.value, "answer")
    changed: Any = plain(dict(given.arguments or {}), "changed arguments")
    wrong = _wrong(call, given, value, changed)
    if wrong:
        raise WrongAnswerError(
            run_id,
            question,
            f"the answer to question {question!r} of run {run_id!r} is not what was asked for: {'; '.join(wrong)}",
            wrong,
        )
    answered = QuestionAnswered(
        id=given.id, approved=given.approved, value=value, arguments=changed, by=given.by
    )
    return call.address, answered


def _in_time(run_id: str, state: RunState, question: str, call: Call, now: float) -> None:
    where = f"question {question!r} of run {run_id!r}"
    if call.status == "completed":
        by = (call.outcome or {}).get("by", "")
        raise AlreadyAnsweredError(
            run_id,
            question,
            f"{where} was answered{f' by {by}' if by else ''} at event {call.seq}; an answer counts once",
            by,
        )
    if call.status == "aborted":
        reason = (call.outcome or {}).get("reason", "")
        found = f"was withdrawn at event {call.seq} ({reason}): nobody waits for the answer"
    elif call.status == "failed":
        found = f"expired at event {call.seq}: its deadline had passed"
    elif state.over:
        found = f"is of a run that has ended ({state.status})"
    elif (deadline := call.request.get("deadline")) is not None and now >= deadline:
        found = f"expired {now - deadline:.0f} s ago"
    else:
        return
    raise AnswerTooLateError(run_id, question, f"{where} {found}; nothing was recorded")


def _wrong(call: Call, given: Given, value: Any, changed: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what is wrong with an answer, in words."""
    asked = call.request
    if asked["kind"] == "free":
        return _wrong_value(asked, given, value)
    if not isinstance(given.approved, bool):
        return ("it asks for yes or no; pass approved=True or approved=False",)
    if not changed:
        return ()
    if asked["kind"] != "edit":
        return ("it asks for yes or no, and takes no arguments",)
    if not given.approved:
        return ("arguments of a call that is refused say nothing; leave them away",)
    return _wrong_arguments(asked, changed)


def _wrong_value(asked: Mapping[str, Any], given: Given, value: Any) -> tuple[str, ...]:
    if given.approved is not None or given.arguments:
        return ("it asks for a value; pass value=…, and neither approved nor arguments",)
    if given.value is MISSING:
        return ("it asks for a value; pass value=…",)
    schema = asked.get("answer_schema")
    return () if schema is None else misfits(schema, value)


def _wrong_arguments(asked: Mapping[str, Any], changed: Mapping[str, Any]) -> tuple[str, ...]:
    editable = asked.get("editable", ())
    fixed = sorted(changed.keys() - set(editable))
    if fixed:
        may = ", ".join(editable) or "none"
        return (f"argument {fixed[0]!r} may not be changed; these may: {may}",)
    known: Mapping[str, Any] = asked.get("answer_schema") or {}
    schema: dict[str, Any] = {**known, "required": []}
    return misfits(schema, changed, "arguments")
