"""What a run's state keeps of the facts in its log: calls, migrations, cuts of conversations, messages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

GRAPH_OF_IMPORTED = "midstream.conversation"
"""The name of the graph of conversations that were imported."""

CallStatus = Literal["open", "completed", "failed", "waiting", "unknown", "aborted"]


@dataclass(slots=True)
class Call:
    """One recorded thing that a node did: a call of a model or tool, a value, a timer.

    Attributes:
        address: `plan#2/tool:search:3fa9c2d1#1`.
        kind: The part of its event types before the dot: `model`, `tool`, `value`, `timer`, `question`,
            `agent`, `memory`.
        status: `waiting` between two attempts.
        lane: Which of the node's parallel branches made it.
        request: The data of the first request, with what later attempts changed.
        outcome: The data of the newest outcome.
        first_seq: The event of its first request.
        seq: The event of its newest outcome; 0 before there is one.
        epoch: The driver that made the newest request.
        attempt: The newest attempt, from 1.
    """

    address: str
    kind: str
    status: CallStatus
    lane: str
    request: Mapping[str, Any]
    outcome: Mapping[str, Any] | None
    first_seq: int
    seq: int
    epoch: int | None
    attempt: int = 1


@dataclass(slots=True)
class Switch:
    """A migration that was recorded."""

    seq: int
    scope: str
    source: str
    target: str
    now: bool
    id: str = ""
    brief: str = ""
    actor: str = ""


@dataclass(slots=True)
class Cut:
    """What a model is no longer told from a call on, because the conversation was too long for it.

    Attributes:
        seq: The event that says so.
        model: `provider:model` that it was too long for.
        lasting: It holds for every model.
        results: The outputs of tools that are left out, as `SEQ/ID`.
        by: The model call whose answer stands for the beginning, or empty.
        since: The first model call after that beginning, or empty.
        refused: The provider had refused the conversation.
        sides: The summary stands for the other branches that the first call after it continues, too.
    """

    seq: int
    model: str
    lasting: bool
    results: frozenset[str] = frozenset()
    by: str = ""
    since: str = ""
    refused: bool = False
    sides: bool = False


@dataclass(slots=True)
class Said:
    """A message that somebody added to a conversation.

    Attributes:
        id: Of the message.
        message: As it was recorded; None where nobody will say more.
    """

    id: str
    message: Any
