"""What a model call is told from earlier runs: the port through which it is asked for, once, before the first turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from midstream.events.content import Message, Text, user
from midstream.projections.run_state import RunState

if TYPE_CHECKING:
    from midstream.events.payloads import MemoryRead


@dataclass(frozen=True, slots=True)
class Advice:
    """What was looked up for a call.

    Attributes:
        fact: What was offered, to be recorded together with the request.
        text: What the model is told, or empty.
    """

    fact: MemoryRead
    text: str

    def added_to(self, messages: Sequence[Message]) -> tuple[Message, ...]:
        """Return the messages with the text at their end: after all that a prompt cache may hold."""
        if not self.text:
            return tuple(messages)
        if not messages or messages[-1].role != "user":
            return (*messages, user(self.text))
        last = messages[-1]
        told = last.model_copy(update={"parts": (*last.parts, Text(text=self.text))})
        return (*messages[:-1], told)


class Advisor(Protocol):
    """Knows what earlier runs taught."""

    async def advise(
        self,
        state: RunState,
        *,
        run_id: str,
        call: str,
        messages: Sequence[Message],
        wanted: bool | str | None,
    ) -> Advice | None:
        """Return what fits a call that is about to be made, or None where nothing is to be looked up.

        Args:
            state: The run.
            run_id: Its id.
            call: The address of the call.
            messages: What it says.
            wanted: Whether, or by which words; None leaves it to the engine's option.
        """
        ...


def memory_of(call: str) -> str:
    """Return the address of what was looked up for a model call."""
    return f"{call}/memory#1"
