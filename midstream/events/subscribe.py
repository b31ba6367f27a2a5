"""Following a run while it grows: gap-free, duplicate-free, resumable by seq, over any store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore


async def subscribe(
    store: EventStore,
    run_id: RunId,
    *,
    after: int = 0,
    until: Callable[[Event], bool] | None = None,
) -> AsyncGenerator[Event, None]:
    """Iterate over the events of a run, those that are there and then those that come.

    Nothing is lost between reading and waiting: the watch begins before the first read.

    Args:
        store: Where the run is.
        run_id: The run.
        after: Only events with a greater seq; to go on after a restart, pass the last seq seen.
        until: The iteration ends after the first event for which this is true; None follows for ever.

    Raises:
        RunNotFoundError: There is no such run.
    """
    changed = asyncio.Event()

    def wake(changed_run: RunId, _seq: int) -> None:
        if changed_run == run_id:
            changed.set()

    unwatch = store.watch(wake)
    try:
        while True:
            changed.clear()
            async for event in store.read(run_id, after=after):
                after = event.seq
                yield event
                if until is not None and until(event):
                    return
            await changed.wait()
    finally:
        unwatch()
