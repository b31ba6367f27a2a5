"""What is recorded of secrets, and what a model is told of them: what the log has of them, so that a resumed run tells it the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from midstream.engine.requests.asking import Question
from midstream.events.codec import Prepared, Redact, prepare
from midstream.events.content import Message


class RedactedFields:
    """Fields that were prepared for many events, without secrets; each is looked at once."""

    def __init__(self) -> None:
        # By the field's id, with the field, so that the id stays its own.
        self._made: dict[int, tuple[Prepared, Prepared]] = {}

    def __call__(self, fields: Mapping[str, Prepared], redact: Redact) -> dict[str, Prepared]:
        """Return the fields as they are recorded."""
        return {name: self._of(field, redact) for name, field in fields.items()}

    def _of(self, field: Prepared, redact: Redact) -> Prepared:
        known = self._made.get(id(field))
        if known is None:
            value = redact(field.value)
            made = field if value is field.value else prepare(value)
            known = self._made[id(field)] = (field, made)
        return known[1]


def as_told(question: Question, redact: Redact | None) -> Question:
    """Return what is asked as it is recorded, and as its model is told it; settings are sent as they are given."""
    if redact is None:
        return question
    system = None if question.system is None else str(redact(question.system))
    return replace(question, messages=_messages(question.messages, redact), system=system)


def _messages(messages: Sequence[Message], redact: Redact) -> tuple[Message, ...]:
    made: list[Message] = []
    for message in messages:
        data = message.model_dump(mode="json", exclude_defaults=True)
        redacted = redact(data)
        made.append(message if redacted is data else Message.model_validate(redacted))
    return tuple(made)
