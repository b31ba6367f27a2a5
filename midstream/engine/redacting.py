"""What a model is told of secrets: what the log has of them, so that a resumed run tells it the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from midstream.engine.asking import Question
from midstream.events.codec import Redact
from midstream.events.content import Message


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
