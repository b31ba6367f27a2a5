"""Rows of a store in SQLite, and the events they hold: numbers for types, small bodies for large ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from midstream.errors import CorruptLogError
from midstream.events.codec import decode
from midstream.events.envelope import ENGINE, Draft, Event
from midstream.events.ids import RunId
from midstream.events.sqlite_squeeze import SQUEEZED, squeezed, unsqueezed
from midstream.events.upcast import upcast

COLUMNS = "seq, id, at, kind, actor, cause, address, epoch, body, digest"
"""What is read of an event, in the order of `event_of`."""


_UNREADABLE = (zlib.error, TypeError, IndexError, ValueError)


class Kinds:
    """The numbers of types and versions in one file."""

    def __init__(self, rows: Iterable[Sequence[Any]]) -> None:
        self.of: dict[int, tuple[str, int]] = {}
        self.number: dict[tuple[str, int], int] = {}
        self.learn(rows)

    def learn(self, rows: Iterable[Sequence[Any]]) -> None:
        """Take what stands in the table `kinds`: number, type, version."""
        for kind, type_, version in rows:
            self.of[kind] = (type_, version)
            self.number[type_, version] = kind

    def forget(self) -> None:
        """Drop all numbers, before those in the file are learnt again."""
        self.of.clear()
        self.number.clear()

    def current(self) -> Mapping[int, tuple[str, int]]:
        """Return the types that are read as they are stored, with no upcaster in between."""
        return {kind: stored for kind, stored in self.of.items() if not upcast.concerns(*stored)}

    def numbers(self, types: frozenset[str]) -> list[int]:
        """Return the numbers of all versions of these types."""
        return [kind for kind, (type_, _) in self.of.items() if type_ in types]


def row_of(seq: int, kind: int, draft: Draft, epoch: int | None, digest: bytes) -> tuple[Any, ...]:
    """Return what is written of an event, without its run: seq, kind, at, actor, cause, address, epoch, body, digest."""
    actor = None if draft.actor == ENGINE else draft.actor
    body = squeezed(draft.body)
    return (seq, kind, draft.at, actor, draft.cause, draft.address, epoch, body, digest)


def event_of(
    run_id: RunId, row: Sequence[Any], kinds: Kinds, blobs: Mapping[str, bytes] | None
) -> Event:
    """Return the event of a row.

    Raises:
        CorruptLogError: The row is not what was written.
    """
    seq, position, at, kind, actor, cause, address, epoch, body, digest = row
    try:
        type_, version = kinds.of[kind]
    except (KeyError, TypeError):
        raise CorruptLogError(run_id, seq, f"no type has the number {kind!r}") from None
    try:
        if body[0] == SQUEEZED:
            body = unsqueezed(body)
        return decode(
            (
                run_id,
                seq,
                position,
                at,
                type_,
                version,
                actor or ENGINE,
                cause,
                address,
                epoch,
                body,
                digest,
            ),
            blobs,
        )
    except _UNREADABLE as error:
        raise CorruptLogError(run_id, seq, f"its body cannot be read ({error})") from error


def events_of(
    run_ids: Mapping[int, RunId], rows: Sequence[Sequence[Any]], kinds: Kinds
) -> list[Event]:
    """Return the events of a page, as `event_of` does of one row, at a third of the cost; blobs stay references.

    Args:
        run_ids: The runs by their numbers.
        rows: See `COLUMNS`; each ends with the number of its run.
        kinds: The numbers of types.

    Raises:
        CorruptLogError: A row is not what was written.
    """
    of, loads, event = kinds.current(), orjson.loads, Event
    made: Callable[[type[Event], tuple[Any, ...]], Event] = tuple.__new__
    squeeze, engine = SQUEEZED, ENGINE
    try:
        # Not `Event(...)`, whose own `__new__` takes as long as all the rest.
        return [
            made(
                event,
                (
                    run_ids[run],
                    seq,
                    position,
                    at,
                    (current := of[kind])[0],
                    current[1],
                    actor or engine,
                    cause,
                    address,
                    epoch,
                    (plain := body if body[0] != squeeze else unsqueezed(body)),
                    digest,
                    loads(plain),
                    current,
                ),
            )
            for seq, position, at, kind, actor, cause, address, epoch, body, digest, run in rows
        ]
    except (KeyError, *_UNREADABLE):
        # One by one: an old type, or a row that is not what was written, which then gets its error.
        return [event_of(run_ids[row[10]], row[:10], kinds, None) for row in rows]


def body_of_blob(digest: str, kept: bytes) -> bytes | None:
    """Return a blob as it was put aside, or None where it is not what its digest says.

    Whether it was compressed is told by its digest: unlike an event's body it may begin with any byte.
    """
    if _is(digest, kept):
        return kept
    try:
        body = unsqueezed(kept)
    except (zlib.error, TypeError):
        return None
    return body if _is(digest, body) else None


def _is(digest: str, body: bytes) -> bool:
    return isinstance(body, bytes) and sha256(body).hexdigest() == digest


def filled(count: int) -> int:
    """Return how many rows a statement for `count` rows has: few different statements, so that they stay prepared."""
    return count if count <= 16 else 1 << (count - 1).bit_length()
