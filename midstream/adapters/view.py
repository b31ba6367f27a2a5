"""A conversation rendered for one model: append-only, shared between branches, with a running digest.

A view grows by segments and never changes what it has said. Two views that share a beginning share its memory, so the cost
of a turn is that of what it adds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Protocol, Self

import orjson

from midstream.adapters.changes import Note, told_of
from midstream.adapters.growing import Spoken, Tape
from midstream.events.content import Segment, ToolCall
from midstream.events.payloads import Change

__all__ = ["Segment", "Tape", "View"]


class Running(Protocol):
    """A digest that can be gone on with; what `hashlib` makes."""

    def update(self, told: bytes, /) -> None:
        """Put bytes into it."""
        ...

    def copy(self) -> Self:
        """Return one that has the same in it."""
        ...

    def digest(self) -> bytes:
        """Return it as it is now."""
        ...


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as one provider is told it.

    Attributes:
        model: The model's name without its provider.
        head: What is sent once, in wire form: instructions and tools.
        tape: The messages, in wire form.
        open: The calls of the last answer that have no result yet.
        state: What the adapter remembers from segment to segment, such as mapped ids; never changed in place.
        noted: What the last extension lost or repaired; see `changes`.
        digest: Over everything that was ever put into the view.
        size: Characters of text in it, for estimates.
        spoken: The messages as JSON; what is sent need not be encoded again.
        running: The digest before it was ended, to go on with; None where it was ended each time.
    """

    model: str
    head: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tape: Tape = field(default_factory=Tape)
    open: tuple[ToolCall, ...] = ()
    state: dict[str, Any] = field(default_factory=dict[str, Any])
    noted: tuple[Note | Change, ...] = ()
    digest: bytes = b""
    size: int = 0
    spoken: Spoken = field(default_factory=Spoken, compare=False)
    running: Running | None = field(default=None, compare=False, repr=False)

    @property
    def changes(self) -> tuple[Change, ...]:
        """What the last extension lost or repaired."""
        return told_of(self.noted)

    @property
    def empty(self) -> bool:
        """Nothing has been said in it."""
        return not len(self.tape)

    def unchanged(self) -> View:
        """Return the view after a segment that adds nothing."""
        return replace(self, noted=()) if self.noted else self

    def grown(
        self,
        items: Sequence[Any],
        *,
        encoded: bytes | None = None,
        head: Mapping[str, Any] | None = None,
        open_calls: tuple[ToolCall, ...] = (),
        state: Mapping[str, Any] | None = None,
        changes: tuple[Change, ...] = (),
        weight: int = 0,
    ) -> View:
        """Return the view with the items at its end.

        Args:
            items: Wire messages.
            encoded: The bytes they are digested by; None encodes them as JSON.
            head: The new head, or None where it stays.
            open_calls: The calls that have no result after this.
            state: What the adapter remembers, or None where it stays.
            changes: What this extension lost or repaired.
            weight: Characters to add to its size beside those of its bytes.
        """
        told = orjson.dumps(list(items)) if encoded is None else encoded
        if head is not None:
            told += orjson.dumps(head, option=orjson.OPT_SORT_KEYS)
        return View(
            self.model,
            self.head if head is None else head,
            self.tape.extended(items),
            open_calls,
            self.state if state is None else dict(state),
            changes,
            sha256(self.digest + told).digest(),
            self.size + len(told) + weight,
        )
