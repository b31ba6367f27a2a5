"""Where two runs of a store part: by which of their events are the same ones, without reading those."""

from __future__ import annotations

from midstream.engine.driving.moments import Moment, moment_seq
from midstream.events.ids import RunId
from midstream.events.paging import pages
from midstream.events.pause import no_collecting
from midstream.events.store import EventStore
from midstream.projections.diff import RunDiff, diff_runs


async def common_part(store: EventStore, left: RunId, right: RunId) -> int:
    """Return the last event that two runs share; 0 where neither is a fork of the other or of the same run.

    Raises:
        RunNotFoundError: One of them does not exist.
    """
    common = 0
    for ours, theirs in zip(await store.lineage(left), await store.lineage(right), strict=False):
        if ours.run_id != theirs.run_id:
            break
        ends = [part.to for part in (ours, theirs) if part.to is not None]
        if not ends:
            head = await store.head(left)
            return 0 if head is None else head.seq
        common = min(ends)
        if ours.to != theirs.to:
            break
    return common


async def diff_stored(
    store: EventStore,
    left: RunId,
    right: RunId,
    *,
    left_at: Moment | None = None,
    right_at: Moment | None = None,
) -> RunDiff:
    """Return how two runs differ, up to a moment of each or so far.

    Raises:
        ConfigError: A run has no such moment.
        RunNotFoundError: One of them does not exist.
    """
    ends = await moment_seq(store, left, left_at), await moment_seq(store, right, right_at)
    shared = min([await common_part(store, left, right), *(end for end in ends if end is not None)])
    with no_collecting():
        tails = [
            [event async for page in pages(store, run_id, after=shared, to=end) for event in page]
            for run_id, end in zip((left, right), ends, strict=True)
        ]
        return diff_runs(left, right, *tails, shared=shared)
