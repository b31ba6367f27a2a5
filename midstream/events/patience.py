"""Appending when the answer may be lost: repeat, and recognise one's own.

A store may commit and then fail to say so. The writer appends again with the same `expected`; if the run has moved on,
what stands after `expected` tells whether that was this writer: the same facts, byte for byte, with the same epoch. An
epoch belongs to one driver, and whoever appends without one puts an id of its own into the payload, so nobody else's
events can look the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from midstream.errors import (
    ConcurrencyError,
    CorruptLogError,
    LeaseHeldError,
    LeaseLostError,
    NotRecordableError,
    RunErasedError,
    RunNotFoundError,
    SealedError,
    StoreError,
    StoreFullError,
)
from midstream.events.codec import SEALED
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head

DEFINITE = (
    LeaseLostError,
    LeaseHeldError,
    RunNotFoundError,
    RunErasedError,
    SealedError,
    CorruptLogError,
    StoreFullError,
    NotRecordableError,
)
"""Refusals that say for sure that nothing was written."""

TRIES = 5
"""How often an append whose outcome is unclear is tried."""


async def recognise(
    store: EventStore, run_id: RunId, drafts: Sequence[Draft], *, expected: int, epoch: int | None
) -> Head | None:
    """Return the head after these drafts if they are what stands after `expected`, else None."""
    last: Event | None = None
    place = 0
    try:
        async for event in store.read(run_id, after=expected, to=expected + len(drafts)):
            if not _same(event, drafts[place], epoch):
                return None
            last = event
            place += 1
    except RunNotFoundError:
        return None
    if last is None or place < len(drafts):
        return None
    return Head(last.seq, last.position, last.digest)


def _same(event: Event, draft: Draft, epoch: int | None) -> bool:
    return same_content(event, draft) and (
        event.stored,
        event.at,
        event.address,
        event.epoch,
    ) == ((draft.type, draft.version), draft.at, draft.address, epoch)


def same_content(event: Event, draft: Draft) -> bool:
    """Say whether an event says what a draft says: byte for byte, or, where it is sealed, by what it opens to."""
    if event.body.startswith(SEALED):
        return event.data == draft.data
    return event.body == draft.body


async def append_patiently(
    store: EventStore,
    run_id: RunId,
    drafts: Sequence[Draft],
    *,
    expected: int,
    epoch: int | None = None,
    holder: str | None = None,
    pause: float = 0.05,
) -> Head:
    """Append, and repeat where the answer was lost; see `EventStore.append`.

    Args:
        store: Where to.
        run_id: The run.
        drafts: What happened.
        expected: The last seq the writer has read.
        epoch: The driver's epoch.
        holder: See `EventStore.append`.
        pause: Seconds before the first repetition; doubled for each further one.

    Raises:
        ConcurrencyError: Somebody else appended first.
        StoreError: It could not be written, also not after `TRIES` tries.
    """
    for attempt in range(1, TRIES + 1):
        try:
            return await store.append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)
        except ConcurrencyError:
            mine = await recognise(store, run_id, drafts, expected=expected, epoch=epoch)
            if mine is None:
                raise
            return mine
        except DEFINITE:
            raise
        except StoreError:
            if attempt == TRIES:
                raise
            await asyncio.sleep(pause * 2 ** (attempt - 1))
    raise AssertionError  # the loop returns or raises
