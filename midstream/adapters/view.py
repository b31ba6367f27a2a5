"""A conversation rendered for one model: append-only, shared between branches, with a running digest.

A view grows by segments and never changes what it has said. Two views that share a beginning share its memory, so the cost
of a turn is that of what it adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any

import orjson

from midstream.events.content import Segment, ToolCall
from midstream.events.payloads import Change

__all__ = ["Segment", "Tape", "View"]


class Tape:
    """An append-only sequence; extending it leaves the old one as it was, and copies nothing on the main line."""

    __slots__ = ("_items", "_length")

    def __init__(self, items: list[Any] | None = None, length: int | None = None) -> None:
        self._items: list[Any] = [] if items is None else items
        self._length = len(self._items) if length is None else length

    def extended(self, items: Iterable[Any]) -> Tape:
        """Return a tape with the items at its end."""
        new = list(items)
        if not new:
            return self
        shared = self._items
        if len(shared) != self._length:  # another branch has grown from here
            shared = shared[: self._length]
        shared.extend(new)
        return Tape(shared, len(shared))

    def __len__(self) -> int:
        return self._length

    def list(self) -> list[Any]:
        """Return the items as a new list."""
        return self._items[: self._length]


@dataclass(frozen=True, slots=True)
class View:
    """A conversation as one provider is told it.

    Attributes:
        model: The model's name without its provider.
        head: What is sent once, in wire form: instructions and tools.
        tape: The messages, in wire form.
        open: The calls of the last answer that have no result yet.
        state: What the adapter remembers from segment to segment, such as mapped ids; never changed in place.
        changes: What the last extension lost or repaired.
        digest: Over everything that was ever put into the view.
        size: Characters of text in it, for estimates.
        spoken: The messages as JSON, each piece with a comma before it; what is sent need not be encoded again.
    """

    model: str
    head: Mapping[str, Any] = field(default_factory=dict[str, Any])
    tape: Tape = field(default_factory=Tape)
    open: tuple[ToolCall, ...] = ()
    state: Mapping[str, Any] = field(default_factory=dict[str, Any])
    changes: tuple[Change, ...] = ()
    digest: bytes = b""
    size: int = 0
    spoken: Tape = field(default_factory=Tape)

    @property
    def empty(self) -> bool:
        """Nothing has been said in it."""
        return not len(self.tape)

    def unchanged(self) -> View:
        """Return the view after a segment that adds nothing."""
        return replace(self, changes=()) if self.changes else self

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
            self.state if state is None else state,
            changes,
            sha256(self.digest + told).digest(),
            self.size + len(told) + weight,
        )
