"""What was told becomes text: encoded once, put into the digest, and never changed again."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Any

from midstream.adapters.changes import Note, told_of
from midstream.adapters.growing import Unread
from midstream.adapters.pictures import TOKENS
from midstream.adapters.view import Running, View
from midstream.adapters.wire import encode, quick, without_surrogates
from midstream.events.content import ToolCall
from midstream.events.payloads import Change

CHARACTERS_PER_TOKEN = 4
"""Of English text and of JSON, by both vendors' own rule of thumb."""


class Sealing:
    """What was told since a view, and how it becomes part of the next one.

    The digest is over the text and over each head where it came. So it says the same however often things are sealed, as
    long as it is done after each segment with a new head.

    Args:
        view: What was told before.
        seq: The event that is told.
    """

    __slots__ = (
        "_count",
        "_pieces",
        "_running",
        "_sealed_head",
        "_size",
        "_spoken",
        "_written",
        "head",
        "images",
        "items",
        "media",
        "noted",
        "open",
        "remembers",
        "seq",
        "state",
        "view",
    )

    def __init__(self, view: View, seq: int) -> None:
        self.view = view
        self.seq = seq
        self.begin()

    def begin(self) -> None:
        """Forget what was told since the view."""
        view = self.view
        self.items: list[Any] = []  # objects, and `Unread` for what was written at once
        self.noted: list[Note | Change] = []
        self.head = view.head
        self.state: dict[str, Any] = view.state
        self.open: tuple[ToolCall, ...] = view.open
        self.remembers = False  # the state is one's own, and not the view's
        self.media = 0  # characters of images, which say nothing about their tokens
        self.images = 0
        self._written = 0  # how many items are JSON already
        self._pieces: list[bytes] = []  # those that are no part of the text yet
        self._count = 0  # of what was told, with each of an `Unread`
        self._sealed_head = view.head
        self._spoken = view.spoken
        self._size = view.size
        self._running: Running | None = None  # made when something is sealed

    @property
    def changes(self) -> tuple[Change, ...]:
        """What was lost or repaired since the view."""
        return told_of(self.noted)

    @property
    def new_head(self) -> bool:
        """The head has changed since it was sealed."""
        return self.head is not self._sealed_head

    def seal_quickly(self) -> None:
        """Seal what was told since the last time.

        Raises:
            TypeError: The quick encoder takes it not; nothing was sealed.
        """
        self._seal(quick)

    def seal(self) -> None:
        """Seal one segment, whatever it holds; half characters are replaced, which is said."""
        try:
            self._seal(encode)
        except UnicodeEncodeError:
            said = "half a character became U+FFFD"
            self.noted.append(("unicode_repaired", "repair", self.seq, None, said))
            self.items[self._written :] = without_surrogates(self.items[self._written :])
            if self.new_head:
                self.head = without_surrogates(dict(self.head))
            self._seal(encode)

    def speaks_of(self, word: bytes) -> bool:
        """Tell whether a word, in small letters, stands anywhere in what is told."""
        left = encode(self.items[self._written :])
        pieces = (*self.view.spoken.pieces(), *self._pieces, left)
        return any(word in piece.lower() for piece in pieces)

    def whole_view(self) -> View:
        """Return the view with everything that was sealed."""
        view = self.view
        running = self._running
        return View(
            view.model,
            self.head,
            view.tape.extended(self.items, self._count),
            self.open,
            self.state,
            tuple(self.noted),
            view.digest if running is None else running.digest(),
            self._size,
            self._spoken,
            view.running if running is None else running,
        )

    def _digested(self) -> Running:
        """Return the digest of what was sealed, to go on with."""
        if self._running is None:
            before = self.view.running
            self._running = sha256(self.view.digest) if before is None else before.copy()
        return self._running

    def write(self, told: list[bytes]) -> None:
        """Tell what is JSON already, one by one.

        Raises:
            TypeError: See `seal_quickly`; of what was told before.
        """
        if not told:
            return
        self._write(quick)
        text = b",".join((b"", *told))
        self.items.append(Unread(text))
        self._pieces.append(text)
        self._count += len(told)
        self._written = len(self.items)

    def _write(self, encoded: Callable[[Any], bytes]) -> None:
        items = self.items[self._written :] if self._written else self.items
        if items:
            self._pieces.append(b",".join((b"", memoryview(encoded(items))[1:-1])))
            self._count += len(items)
            self._written = len(self.items)

    def _seal(self, encoded: Callable[[Any], bytes]) -> None:
        self._write(encoded)
        head = b"\n" + encoded(self.head) + b"\n" if self.new_head else b""
        pieces = self._pieces
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if piece or head:
            self._digested().update(piece + head)
        self._size += len(piece) + len(head) - self.media
        self._size += self.images * TOKENS * CHARACTERS_PER_TOKEN
        self._spoken = self._spoken.extended(piece)
        self._pieces, self._sealed_head = [], self.head
        self.images = self.media = 0
