"""What a node may ask people: the part of `Context` that is about them."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from midstream.engine.people.people import (
    MISSING,
    Answered,
    Form,
    claim,
    confirm,
    question_id,
    value,
    wish,
)
from midstream.engine.recording.calls import Desk


class PeopleContext:
    """Questions for a node; see `Context`."""

    _desk: Desk

    async def confirm(
        self,
        question: str,
        *,
        show: Any = None,
        timeout: float | None = None,
        deadline: float | datetime | None = None,
        default: bool | None = None,
    ) -> Answered:
        """Ask a person for yes or no, and wait for it, however long that takes; a wait survives restarts.

        Args:
            question: What is asked.
            show: What it is about; JSON.
            timeout: Seconds after which nobody can answer any more.
            deadline: The moment, in seconds since 1970 or with a time zone, after which nobody can.
            default: What holds then; None means no.

        Raises:
            ConfigError: An option is wrong.
            NotRecordableError: What is shown is not JSON.
        """
        asked = wish(
            "confirm",
            question,
            show=show,
            timeout=timeout,
            deadline=deadline,
            default=MISSING if default is None else default,
        )
        return await confirm(self._desk, asked, *claim(self._desk, asked))

    async def ask(
        self,
        question: str,
        *,
        schema: Any = None,
        show: Any = None,
        timeout: float | None = None,
        deadline: float | datetime | None = None,
        default: Any = MISSING,
    ) -> Any:
        """Ask a person for a value, and wait for it; a wait survives restarts.

        Args:
            question: What is asked.
            schema: What the answer must be: a pydantic model, any type that pydantic knows, or JSON Schema. None takes
                any JSON. An answer that does not fit is refused before it is recorded.
            show: What it is about; JSON.
            timeout: See `confirm`.
            deadline: See `confirm`.
            default: What holds when nobody answers in time.

        Returns:
            The answer, as the type that was asked for.

        Raises:
            QuestionExpiredError: Nobody answered in time, and there is no default.
            WrongAnswerError: The type refuses what its JSON Schema could not.
            ConfigError: An option is wrong.
            NotRecordableError: What is shown, or the default, is not JSON.
        """
        form = Form(schema)
        asked = wish(
            "free",
            question,
            show=show,
            timeout=timeout,
            deadline=deadline,
            default=default,
            answer_schema=form.schema,
        )
        run_id = self._desk.recorder.run_id
        address, lane = claim(self._desk, asked)
        answer = await value(self._desk, asked, address, lane)
        return form.made(run_id, question_id(run_id, address), answer)
