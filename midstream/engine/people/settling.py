"""Saying what became of a tool call of unknown outcome, checked against the log: once, like an answer."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from pydantic import JsonValue

from midstream.errors import ToolError
from midstream.events.payloads import Fact, ToolCompleted, ToolFailed, ToolRetried
from midstream.projections.run_state import RunState


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a call.

    Attributes:
        result: What it returned, where it neither failed nor is made again.
        error: How it failed, or empty.
        retry: It did nothing, and is to be made again.
        id: Of what is said.
    """

    result: JsonValue
    error: str = ""
    retry: bool = False
    id: str = field(default_factory=lambda: uuid.uuid4().hex)


def settled(step: str, given: Settled, state: RunState) -> tuple[str, Fact]:
    """Return the address of a call and what became of it, as a fact.

    Args:
        step: The address.
        given: What somebody says of it.
        state: Where the run stands.

    Raises:
        ToolError: There is no such call, or its outcome is known.
    """
    call = state.calls.get(step)
    if call is None or call.status != "unknown":
        found = "there is no such call" if call is None else f"it is {call.status}"
        raise ToolError(
            f"{step!r} is not a call of unknown outcome: {found}",
            tool="",
            address=step,
            kind="settled",
        )
    if given.retry:
        return step, ToolRetried(id=given.id)
    if given.error:
        return step, ToolFailed(kind="settled", message=given.error, attempt=call.attempt)
    return step, ToolCompleted(result=given.result)
