"""Rows of a store in SQLite, and the events they hold: numbers for types, small bodies for large ones."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

import orjson

from midstream.errors import CorruptLogError
from midstream.events.envelope import ENGINE, Draft, Event
from midstream.events.ids import RunId
from midstream.events.sqlite_squeeze import COMPACT, SQUEEZED, expanded, squeezed, unsqueezed
from midstream.events.upcast import upcast

COLUMNS = "run, seq, id, at, kind, actor, cause, address, epoch, body, digest"
"""What is read of an event, in the order that `events_of` takes it in."""

_BRACE = ord("{")
_NOTHING = b"{}"


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

    def numbers(self, types: frozenset[str]) -> list[int]:
        """Return the numbers of all versions of these types."""
        return [kind for kind, (type_, _) in self.of.items() if type_ in types]

    def columns(self, bare: frozenset[str]) -> str:
        """Return what is selected, with an empty body for events of these types; old shapes keep theirs, to be upcast."""
        numbers = [
            kind
            for kind, stored in self.of.items()
            if stored[0] in bare and stored not in upcast.old
        ]
        if not numbers:
            return COLUMNS
        empty = f"CASE WHEN kind IN ({', '.join(map(str, numbers))}) THEN x'7B7D' ELSE body END"
        return COLUMNS.replace("body", empty)


def row_of(seq: int, kind: int, draft: Draft, epoch: int | None, digest: bytes) -> tuple[Any, ...]:
    """Return what is written of an event, without its run: seq, kind, at, actor, cause, address, epoch, body, digest."""
    actor = None if draft.actor == ENGINE else draft.actor
    body = squeezed(draft.body)
    return (seq, kind, draft.at, actor, draft.cause, draft.address, epoch, body, digest)


def events_of(
    rows: Iterable[Sequence[Any]],
    names: Mapping[int, RunId],
    kinds: Kinds,
    sealed: list[int],
) -> tuple[list[Event], CorruptLogError | None]:
    """Return the events of rows, blobs as references, up to the first row that is not what was written.

    This is the loop that reads a whole log, so it does what `decode` does without a call for each event.

    Args:
        rows: As selected by `COLUMNS`.
        names: The ids of the runs, by number.
        kinds: The numbers of types.
        sealed: Is given the places of events whose content is sealed, and not read yet.
    """
    events: list[Event] = []
    # Not `Event(...)`, whose own `__new__` takes as long as all the rest.
    new: Callable[[type[Event], tuple[Any, ...]], Event]
    new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generic
    of, old, loads, add = kinds.of, upcast.old, orjson.loads, events.append
    row: Sequence[Any] = ()
    data: Any
    try:
        for row in rows:
            run, seq, position, at, kind, actor, cause, address, epoch, body, digest = row
            stored = type_, version = of[kind]
            if (first := body[0]) != _BRACE:
                if first == SQUEEZED:
                    body = unsqueezed(body)
                elif first == COMPACT:
                    sealed.append(len(events))
                    body = expanded(body)
                else:
                    # Also a text that was put in place of the bytes that were written.
                    raise ValueError("it is not what is written as a body")  # noqa: TRY301  # in the loop
            data = {} if body == _NOTHING else loads(body)
            if stored in old:
                type_, version, data = upcast(type_, version, data)
            if actor is None:
                actor = ENGINE
            # fmt: off
            add(new(Event, (
                names[run], seq, position, at, type_, version, actor, cause, address, epoch,
                body, digest, data, stored,
            )))
            # fmt: on
    except (zlib.error, LookupError, TypeError, ValueError) as error:
        return events, _damage(row, names, kinds, error)
    return events, None


def _damage(
    row: Sequence[Any], names: Mapping[int, RunId], kinds: Kinds, error: Exception
) -> CorruptLogError:
    run, seq, _, _, kind = row[:5]
    if run not in names:
        damage = CorruptLogError(None, None, f"no run has the number {run!r}")
    elif kind not in kinds.of:
        damage = CorruptLogError(names[run], seq, f"no type has the number {kind!r}")
    else:
        damage = CorruptLogError(names[run], seq, f"its body cannot be read ({error})")
    damage.__cause__ = error
    return damage


def body_of_blob(digest: str, kept: bytes) -> bytes | None:
    """Return a blob as it was put aside, or None where it is not what its digest says.

    Whether it was compressed is told by its digest: unlike an event's body it may begin with any byte.
    """
    try:
        body = kept if _is(digest, kept) else unsqueezed(kept)
    except (zlib.error, TypeError):
        return None
    return body if _is(digest, body) else None


def _is(digest: str, body: bytes) -> bool:
    return sha256(body).hexdigest() == digest


def filled(count: int) -> int:
    """Return how many rows a statement for `count` rows has: few different statements, so that they stay prepared."""
    return count if count <= 16 else 1 << (count - 1).bit_length()
