"""What one turn of a model is made of, and reading back what was recorded of it."""

from __future__ import annotations

from dataclasses import dataclass

from midstream.adapters.base import Adapter, ModelRequest
from midstream.adapters.view import Segment, View
from midstream.errors import AdapterError
from midstream.events.content import Message
from midstream.events.ids import Address
from midstream.projections.run_state import Call

FAILOVER = "policy:failover"
"""Who records that a conversation went on with another provider because somebody failed or had no room."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Which turn of which question.

    Attributes:
        address: Of the call.
        lane: The parallel branch that asks.
        parents: What it continues; None for what the question's thread says, with what the question says.
        said: What a later turn says, beside the results of tools.
        purpose: See `ModelRequested`.
    """

    address: Address
    lane: str
    parents: tuple[str, ...] | None = None
    said: tuple[Message, ...] = ()
    purpose: str = ""


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request that is ready to be sent, what it was made from, and what is recorded of it."""

    adapter: Adapter
    name: str
    view: View
    request: ModelRequest
    segment: Segment
    parents: tuple[str, ...]
    handoff: str


def named(call: Call) -> str:
    """Return the name that a call was made for: a model's, or that of a group that the model was chosen from."""
    name: str = call.request.get("asked") or call.request["model"]
    return name


_KINDS: dict[str, type[AdapterError]] = {}


def failure(call: Call) -> AdapterError:
    """Return the recorded failure as the error it was."""
    if not _KINDS:
        pending: list[type[AdapterError]] = [AdapterError]
        while pending:
            kind = pending.pop()
            _KINDS[kind.kind] = kind
            pending += kind.__subclasses__()
    data = call.outcome or {}
    provider, _, model = call.request["model"].partition(":")
    made = _KINDS.get(data["kind"], AdapterError)
    return made(
        data.get("message", ""),
        provider=provider,
        model=model,
        status=data.get("status"),
        request_id=data.get("request_id") or None,
    )
