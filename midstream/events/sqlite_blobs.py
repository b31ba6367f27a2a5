"""Blobs of an SQLite file: found by their digests, and put into the events that refer to them."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any

from midstream.errors import CorruptLogError
from midstream.events.codec import MARK, SEALED, decode, references
from midstream.events.envelope import Event
from midstream.events.sqlite_rows import body_of_blob, filled

_PAGE = 1000

_DIGEST = re.compile("[0-9a-f]{64}")


class Blobs:
    """Reads blobs.

    Args:
        rows: Returns the rows of a query.
    """

    def __init__(self, rows: Callable[[str, Iterable[Any]], Awaitable[list[Any]]]) -> None:
        self._rows = rows

    async def blob(self, digest: str) -> bytes:
        """See `EventStore.blob`."""
        kept = (await self.kept([digest])).get(digest)
        if kept is None:
            raise CorruptLogError(None, None, f"blob {digest!r} is missing")
        body = body_of_blob(digest, kept)
        if body is None:
            raise CorruptLogError(None, None, f"blob {digest!r} is not what its digest says")
        return body

    async def put_in(self, events: list[Event]) -> tuple[list[Event], CorruptLogError | None]:
        """Put blobs in place, up to the first one that is damaged."""
        marked = {
            event.seq: references(event.body)
            for event in events
            if MARK in event.body and not event.body.startswith(SEALED)
        }
        if not marked:
            return events, None
        kept = await self.kept(list({digest for digests in marked.values() for digest in digests}))
        for place, event in enumerate(events):
            if event.seq in marked:
                try:
                    events[place] = _filled_in(event, marked[event.seq], kept)
                except CorruptLogError as error:
                    return events[:place], error
        return events, None

    async def kept(self, digests: Sequence[str]) -> dict[str, bytes]:
        """Return those of the blobs that are there, as they are kept."""
        found: dict[str, bytes] = {}
        named = [digest for digest in digests if _DIGEST.fullmatch(digest)]  # others are damage
        for start in range(0, len(named), _PAGE):
            chunk = [bytes.fromhex(digest) for digest in named[start : start + _PAGE]]
            count = filled(len(chunk))
            sql = f"SELECT digest, body FROM blobs WHERE digest IN ({', '.join('?' * count)})"
            rows = await self._rows(sql, (*chunk, *[None] * (count - len(chunk))))
            found.update((digest.hex(), body) for digest, body in rows)
        return found


def _filled_in(event: Event, digests: Sequence[str], kept: dict[str, bytes]) -> Event:
    blobs: dict[str, bytes] = {}
    for digest in digests:
        if digest in kept:
            body = body_of_blob(digest, kept[digest])
            if body is None:
                found = f"blob {digest!r} is not what its digest says"
                raise CorruptLogError(event.run_id, event.seq, found)
            blobs[digest] = body
    return decode((*event[:4], *event.stored, *event[6:12]), blobs)
