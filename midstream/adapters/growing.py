"""What only ever grows: longer versions share what shorter ones hold, and adding costs what is added."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson

BLOCK = 65_536
"""Bytes from which on a piece of text is left alone."""


class Unread:
    """Several JSON values, each after a comma; they are made into objects when somebody first looks at them."""

    __slots__ = ("_text", "_values")

    def __init__(self, text: bytes) -> None:
        self._text = text
        self._values: list[Any] | None = None

    def list(self) -> list[Any]:
        """Return the values."""
        values = self._values
        if values is None:
            values = self._values = orjson.loads(b"[%b]" % self._text[1:])
        return values


class Tape:
    """An append-only sequence; extending it leaves the old one as it was, and copies nothing on the main line."""

    __slots__ = ("_count", "_items", "_length")

    def __init__(
        self, items: list[Any] | None = None, length: int | None = None, count: int | None = None
    ) -> None:
        self._items: list[Any] = [] if items is None else items
        self._length = len(self._items) if length is None else length
        self._count = self._length if count is None else count  # with each of an `Unread`

    def extended(self, items: Iterable[Any], count: int | None = None) -> Tape:
        """Return a tape with the items at its end.

        Args:
            items: What is put there; a `Unread` stands for each that is in it.
            count: How many that are, or None where there is no `Unread`.
        """
        new = list(items)
        if not new:
            return self
        shared = self._items
        if len(shared) != self._length:  # another branch has grown from here
            shared = shared[: self._length]
        shared.extend(new)
        return Tape(shared, len(shared), self._count + (len(new) if count is None else count))

    def __len__(self) -> int:
        return self._count

    def list(self, start: int = 0) -> list[Any]:
        """Return the items from a place on as a new list; the cost does not depend on how many are before it."""
        missing, place = self._count - start, self._length
        found: list[list[Any]] = []
        while missing > 0:
            place -= 1
            item = self._items[place]
            found.append(item.list() if type(item) is Unread else [item])
            missing -= len(found[-1])
        told = [item for items in reversed(found) for item in items]
        return told[-missing:] if missing else told


class Spoken:
    """An append-only text of JSON values with commas between them, in few pieces however often it was extended.

    Small pieces are joined as they come, each byte a few times at most; large ones are never copied again.
    """

    __slots__ = ("_blocks", "_recent")

    def __init__(self, blocks: Tape | None = None, recent: tuple[bytes, ...] = ()) -> None:
        self._blocks = blocks  # made with the first of them
        self._recent = recent  # each more than twice as long as the next

    def extended(self, piece: bytes) -> Spoken:
        """Return the text with a piece at its end, which has a comma before each value."""
        if not piece:
            return self
        told = piece if self else piece[1:]
        recent = [*self._recent, told]
        while len(recent) > 1 and len(recent[-2]) <= 2 * len(recent[-1]) < 2 * BLOCK:
            recent[-2:] = [recent[-2] + recent[-1]]
        if len(recent[0]) < BLOCK and len(told) < BLOCK:
            return Spoken(self._blocks, tuple(recent))
        return Spoken((self._blocks or Tape()).extended(recent))

    def __bool__(self) -> bool:
        return bool(self._recent) or self._blocks is not None

    def pieces(self) -> list[bytes]:
        """Return the text in pieces, to be joined."""
        return [*(self._blocks.list() if self._blocks else ()), *self._recent]
