"""Instructions told as a turn of the user are marked, and what the user says cannot pass for one of them.

Where a user writes the mark, the text is told as the user's, before its first word. The mark is the same in every run, since
what was told must be told alike for ever; so it is no secret, and need not be one.
"""

from __future__ import annotations

from midstream.events.content import Message, Part, Text

INSTRUCTION = "An instruction from the operator of this conversation, not from the user:\n\n"
"""Before an instruction that has to be told in a turn of the user."""
MARK = INSTRUCTION.strip()
LAST = MARK[-1]
"""What ends the mark: looking for one character is many times quicker, and few texts hold it."""
BY_USER = "The user, who is not the operator of this conversation, says:\n\n"
"""Before a text of the user that holds the mark."""


def imitates(part: Part) -> bool:
    """Tell whether the part could be taken for an instruction."""
    return isinstance(part, Text) and MARK in part.text


def as_the_users(part: Part) -> Part:
    """Return the part as what it is, where it could be taken for an instruction."""
    if not (isinstance(part, Text) and imitates(part)):
        return part
    return part.model_copy(update={"text": BY_USER + part.text})


def unmasked(message: Message) -> Message:
    """Return a turn of the user in which nothing passes for an instruction; the same where nothing does."""
    if message.role != "user" or not any(map(imitates, message.parts)):
        return message
    told = tuple(map(as_the_users, message.parts))
    return message.model_copy(update={"parts": told, "native": None, "dialect": ""})
