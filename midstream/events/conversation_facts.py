"""The facts of conversations: what is no longer told to a model, and what somebody added."""

from __future__ import annotations

from typing import Literal

from midstream.events.content import Message
from midstream.events.fact import Fact


class ContextTrimmed(Fact):
    """From this call on, some outputs of tools are told as a short notice: the conversation was too long for its model.

    Attributes:
        model: `provider:model` that it was too long for.
        lasting: Every model is told it like this from here on, and not only this one.
        results: The outputs that are left out, as `SEQ/ID`: the event that they are told with, and the model's id of the call.
        tokens: Of the conversation before, by estimate.
        left: Of the conversation after, by estimate.
        window: Tokens that it had to fit into, without those for the answer.
        refused: The provider had refused the conversation; it was not only an estimate.
    """

    type: Literal["context.trimmed"] = "context.trimmed"
    model: str
    lasting: bool = False
    results: tuple[str, ...] = ()
    tokens: int
    left: int
    window: int
    refused: bool = False


class ContextSummarised(Fact):
    """From this call on, the beginning of the conversation is told as a summary: it was too long for its model.

    Attributes:
        model: `provider:model` that it was too long for.
        lasting: Every model is told it like this from here on, and not only this one.
        by: The model call whose answer is the summary.
        since: The first model call of the conversation that is told as it was.
        sides: The summary stands for the other branches that this call continues, too.
        tokens: Of the conversation before, by estimate.
        left: Of the conversation after, by estimate.
        window: Tokens that it had to fit into, without those for the answer.
        refused: The provider had refused the conversation; it was not only an estimate.
    """

    type: Literal["context.summarised"] = "context.summarised"
    model: str
    lasting: bool = False
    by: str
    since: str
    sides: bool = False
    tokens: int
    left: int
    window: int
    refused: bool = False


class MessageAdded(Fact):
    """Somebody said something in a conversation that goes on; its node passes it to the model.

    Attributes:
        id: Of this message; one that is appended twice is said once.
        message: What was said; None where nobody will say more.
    """

    type: Literal["message.added"] = "message.added"
    id: str
    message: Message | None = None
