"""A page of events as one row of a few long values, which is read without the interpreter's lock.

The driver takes the lock back for each row that it hands over, makes eleven objects of it, and waits for whoever computes
meanwhile. A page that is one row is put together by SQLite on its own, beside the decoding of the page before, and taken
apart by few calls.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from midstream.events.envelope import ENGINE, Event
from midstream.events.ids import RunId
from midstream.events.sqlite_rows import Kinds
from midstream.events.sqlite_squeeze import SQUEEZED, unsqueezed
from midstream.events.upcast import upcast

_DIGEST = 32
"""Bytes of a digest."""

_BRACE = ord("{")

_ENVELOPES = "json_array(run, seq, id, at, kind, actor, cause, address, epoch, length(body))"
_BYTES = ", ".join(f"CAST(group_concat({column}, '') AS BLOB)" for column in ("body", "digest"))

PACKED = (
    f"SELECT count(*), max(id), sum(typeof(body) <> 'blob'), json_group_array({_ENVELOPES}), {_BYTES}"
    " FROM ({})"
)
"""Selects a page as one row: how many events it has, the last position, and the rest for `events_in`; of a query for
`sqlite_rows.COLUMNS`, in order."""


def events_in(
    packed: Sequence[Any], names: Mapping[int, RunId], kinds: Kinds
) -> list[Event] | None:
    """Return the events of a page, blobs as references.

    This is `events_of` for a page as one row, without a list for each event in between.

    Returns:
        None where a run or a type was not met before, something is sealed, or not what is written: it is to be read by rows.
    """
    count, _, odd, listed, bodies, digests = packed
    if not count:
        return []
    if odd or len(digests) != count * _DIGEST:
        return None
    events: list[Event] = []
    new: Callable[[type[Event], tuple[Any, ...]], Event]
    new = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]  # generic
    of, old, loads, add = kinds.of, upcast.old, orjson.loads, events.append
    start = at_digest = 0
    try:
        for run, seq, position, at, kind, actor, cause, address, epoch, size in loads(listed):
            body = bodies[start : start + size]
            start += size
            stored = type_, version = of[kind]
            if body[0] != _BRACE:
                if body[0] != SQUEEZED:
                    return None
                body = unsqueezed(body)
            data = loads(body)
            if stored in old:
                type_, version, data = upcast(type_, version, data)
            # fmt: off
            add(new(Event, (
                names[run], seq, position, at, type_, version, ENGINE if actor is None else actor, cause, address,
                epoch, body, digests[at_digest : at_digest + _DIGEST], data, stored,
            )))
            # fmt: on
            at_digest += _DIGEST
    except (zlib.error, LookupError, TypeError, ValueError):
        return None
    return events if start == len(bodies) else None
