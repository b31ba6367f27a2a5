"""Reading a run by pages: what looks at a whole log goes through them quicker than event by event."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.payloads import PAYLOADS
from midstream.events.store import EventStore, Selective

_PAGE = 1000

_NONE: frozenset[str] = frozenset()


async def pages(
    store: EventStore,
    run_id: RunId,
    *,
    after: int = 0,
    to: int | None = None,
    bare: frozenset[str] = _NONE,
    needed: frozenset[str] | None = None,
) -> AsyncGenerator[Sequence[Event]]:
    """Iterate over the events of a run, in order and in pages, blobs in place; see `EventStore.read`.

    Args:
        store: Where it is.
        run_id: The run.
        after: Only events with a greater seq.
        to: Only events up to this seq.
        bare: Types of which only the envelope is needed: their data may be empty.

        needed: Types that are; others may be left out. None for all.

    Raises:
        RunNotFoundError: There is no such run.
        CorruptLogError: An event cannot be decoded.
    """
    if isinstance(store, Selective) and not after:
        without = _NONE if needed is None else PAYLOADS.keys() - needed
        async for page in store.select(run_id, to=to, without=frozenset(without), bare=bare):
            yield page
        return
    made: list[Event] = []
    async for event in store.read(run_id, after=after, to=to):
        made.append(event)
        if len(made) == _PAGE:
            yield made
            made = []
    if made:
        yield made
