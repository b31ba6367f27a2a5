"""Asking people: a question is an event, waiting for it is nothing, and its answer is an event that anybody appends once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, overload

from pydantic import JsonValue, PydanticUserError, TypeAdapter, ValidationError

from midstream.engine.recording.calls import Desk
from midstream.engine.recording.claims import digest_of
from midstream.errors import ConfigError, QuestionExpiredError, WrongAnswerError
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.events.values import own, plain
from midstream.projections.run_state import Call

MISSING: Any = object()
"""Stands for a value that was not given, where None is one."""


@dataclass(frozen=True, slots=True)
class Answered:
    """How a question to confirm something ended.

    Attributes:
        approved: Yes, or no; no where nobody answered in time and there was no other default.
        remark: What the person added, or None.
        arguments: The arguments that were changed, with their new values.
        by: Who answered, or empty.
        expired: Nobody answered in time.
    """

    approved: bool
    remark: JsonValue = None
    arguments: Mapping[str, JsonValue] | None = None
    by: str = ""
    expired: bool = False


@dataclass(frozen=True, slots=True)
class Wish:
    """What a question says, but for its id and its place.

    Attributes:
        kind: As in `QuestionAsked`.
        text: The question.
        show: What it is about, plain.
        answer_schema: Of the value that is wanted, or of the arguments that may be changed.
        editable: The arguments that may be changed.
        timeout: Seconds from now; None where there is none.
        deadline: In seconds since 1970; None where there is none.
        default: What holds when nobody answers in time, or `MISSING`.
    """

    kind: Any
    text: str
    show: JsonValue = None
    answer_schema: Mapping[str, Any] | None = None
    editable: tuple[str, ...] = ()
    timeout: float | None = None
    deadline: float | None = None
    default: Any = MISSING

    def until(self, now: float) -> float | None:
        """Return until when it can be answered, in seconds since 1970, or None for ever."""
        limits = [] if self.timeout is None else [now + self.timeout]
        return min([*limits, *(() if self.deadline is None else (self.deadline,))], default=None)


def wish(
    kind: str,
    text: str,
    *,
    show: Any,
    timeout: float | None,
    deadline: float | datetime | None,
    default: Any,
    answer_schema: Mapping[str, Any] | None = None,
) -> Wish:
    """Return what is to be asked, checked.

    Raises:
        ConfigError: An option is wrong.
        NotRecordableError: What is shown, or the default, is not JSON.
    """
    if timeout is not None and timeout <= 0:
        raise ConfigError(
            f"question {text!r:.60}: timeout must be more than 0 seconds, not {timeout!r}"
        )
    ends = deadline is not None or timeout is not None
    if default is not MISSING and not ends:
        raise ConfigError(
            f"question {text!r:.60}: a default holds when nobody answers in time; give it a timeout or a deadline"
        )
    return Wish(
        kind,
        str(plain(text, "question")),
        plain(show, "what a question shows"),
        answer_schema,
        (),
        timeout,
        moment(deadline),
        MISSING if default is MISSING else plain(default, "default of a question"),
    )


@overload
def moment(given: float | datetime) -> float: ...


@overload
def moment(given: float | datetime | None) -> float | None: ...


def moment(given: float | datetime | None) -> float | None:
    """Return a moment as seconds since 1970.

    Raises:
        ConfigError: It says no time zone.
    """
    if not isinstance(given, datetime):
        return given
    if given.tzinfo is None:
        raise ConfigError(
            f"{given!r} says no time zone, and processes in several may read it; "
            "use datetime.now(UTC) + …, or seconds since 1970"
        )
    return given.timestamp()


def question_id(run_id: str, address: str) -> str:
    """Return the id of a question: short, and the same in every process."""
    return f"q-{sha256(f'{run_id}/{address}'.encode()).hexdigest()[:8]}"


def claim(desk: Desk, asked: Wish) -> tuple[Address, str]:
    """Return the address of a question of a node, and the branch that asks."""
    lane = desk.claims.lane()
    what = f"{asked.kind}:{digest_of([asked.text, asked.show])}"
    return desk.claims.claim(desk.state, what, lane), lane


def record(desk: Desk, asked: Wish, address: Address, lane: str) -> None:
    """Record that a question is asked."""
    has_default = asked.default is not MISSING
    desk.recorder.add(
        payloads.QuestionAsked(
            id=question_id(desk.recorder.run_id, address),
            kind=asked.kind,
            text=asked.text,
            show=asked.show,
            answer_schema=asked.answer_schema,
            editable=asked.editable,
            deadline=asked.until(desk.clock.now()),
            default=asked.default if has_default else None,
            has_default=has_default,
            lane=lane,
        ),
        address,
    )


async def ended(desk: Desk, asked: Wish, address: Address, lane: str) -> Call:
    """Ask, unless that was done, and return the record of the question once it has ended."""
    if desk.call(address) is None:
        await desk.turn(address)
        record(desk, asked, address, lane)
    while (call := desk.state.calls[address]).status == "open":
        await desk.intent()
        if desk.recorder.paced and await desk.recorder.outcome(address):
            continue
        if (answers := desk.recorder.answers) is not None:
            if answers.give(desk.recorder, address):
                continue
            await answers.halt(f"{address} would ask a person {asked.text!r:.60}")
        until = call.request.get("deadline")
        if until is not None and desk.clock.now() >= until:
            desk.recorder.add(payloads.QuestionExpired(), address)
            # A person may have been quicker: the log says which of the two came first.
            await desk.intent()
        else:
            await desk.wait(until, unless=lambda: not _open(desk, address))
    return call


def _open(desk: Desk, address: Address) -> bool:
    return desk.state.calls[address].status == "open"


async def confirm(desk: Desk, asked: Wish, address: Address, lane: str) -> Answered:
    """Ask yes or no, and return how it ended."""
    call = await ended(desk, asked, address, lane)
    outcome = call.outcome or {}
    if call.status != "completed":
        return Answered(bool(call.request.get("default")), expired=True)
    return Answered(
        bool(outcome.get("approved")),
        own(outcome.get("value")),
        own(dict(outcome.get("arguments", {}))) or None,  # type: ignore[arg-type]  # an object
        outcome.get("by", ""),
    )


async def value(desk: Desk, asked: Wish, address: Address, lane: str) -> JsonValue:
    """Ask for a value and return it, or the default where nobody answered in time.

    Raises:
        QuestionExpiredError: Nobody did, and there is no default.
    """
    call = await ended(desk, asked, address, lane)
    if call.status == "completed":
        return own((call.outcome or {}).get("value"))
    if call.request.get("has_default"):
        return own(call.request.get("default"))
    raise QuestionExpiredError(
        f"question {call.request['id']} of run {desk.recorder.run_id!r} ({asked.text!r:.60}) was not answered in time; "
        "give it a default, or catch this error",
        question=call.request["id"],
    )


class Form:
    """What an answer must be: a JSON Schema for whoever answers, and a Python type for whoever asked.

    Args:
        wanted: JSON Schema, a pydantic model or any other type that pydantic knows; None for any JSON.

    Raises:
        ConfigError: Pydantic knows no schema of it.
    """

    def __init__(self, wanted: Any) -> None:
        self._adapter: TypeAdapter[Any] | None = None
        self.schema: Mapping[str, Any] | None = None
        if isinstance(wanted, Mapping):
            self.schema = plain(wanted, "schema of a question")  # type: ignore[assignment]  # an object
        elif wanted is not None:
            try:
                self._adapter = TypeAdapter(wanted)
                self.schema = self._adapter.json_schema()
            except PydanticUserError as error:
                raise ConfigError(
                    f"a person cannot be asked for {wanted!r}: {error}; pass a pydantic model, a plain type or a JSON Schema"
                ) from error

    def made(self, run_id: str, question: str, answer: JsonValue) -> Any:
        """Return the answer as the Python type that was asked for.

        Raises:
            WrongAnswerError: The type refuses what its schema could not.
        """
        if self._adapter is None:
            return answer
        try:
            return self._adapter.validate_python(answer, strict=False)
        except ValidationError as error:
            wrong = tuple(item["msg"] for item in error.errors())
            raise WrongAnswerError(
                run_id,
                question,
                f"the answer to {question!r} does not fit: {'; '.join(wrong)}",
                wrong,
            ) from error
