"""What is asked of a router in words, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from midstream.adapters.base import ModelResponse
from midstream.events.content import Message, user
from midstream.events.payloads import Change, Usage
from midstream.events.routing_facts import Tried

Accept = Callable[[ModelResponse], bool]
"""Says whether an answer is what the caller wants; where it is not, that is a `bad_output`."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back, and from whom.

    Attributes:
        text: What was said.
        response: The whole answer.
        endpoint: Who answered.
        model: Its model, as `openai:gpt-4o`.
        tried: The attempts that failed before.
        changes: What the conversation lost or needed to be repaired for this model.
        attempts: How many calls it took.
    """

    text: str
    response: ModelResponse
    endpoint: str
    model: str
    tried: tuple[Tried, ...]
    changes: tuple[Change, ...]
    attempts: int

    @property
    def message(self) -> Message:
        """What was said, with its calls of tools."""
        return self.response.message

    @property
    def usage(self) -> Usage:
        """Its tokens."""
        return self.response.usage


def messages_of(prompt: str | Message | Sequence[Message]) -> tuple[Message, ...]:
    """Return what is said as messages."""
    if isinstance(prompt, str):
        return (user(prompt),)
    return (prompt,) if isinstance(prompt, Message) else tuple(prompt)
