"""Folding less: a run is loaded from its newest snapshot and what came after it, and snapshots are kept off the hot path.

Nothing depends on a snapshot. One that is missing, of another history or of another form is passed over, and the log is
folded from its first event.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection

from midstream.errors import RunNotFoundError, StoreError
from midstream.events.envelope import Event
from midstream.events.ids import RunId, activation_of
from midstream.events.store import EventStore, Head, Selective, Snapshot
from midstream.events.tailing import Tailing
from midstream.projections.call_snapshot import NAME as ANSWERED
from midstream.projections.call_snapshot import add_answered
from midstream.projections.run_snapshot import (
    CALLS,
    NAME,
    Dump,
    Restored,
    dump_apart,
    in_order,
    restored,
    with_calls,
)
from midstream.projections.run_state import RunState, apply, fold_run

EVERY = 1000
"""Events between two snapshots of a run that goes on; folding so many takes some 2 ms."""

_UNKNOWN = "tool.unknown"
"""What may be settled after its activation has ended."""

_MANY = 100
"""Activations whose calls are needed, beyond which a whole log is read as quickly."""

LONG = 250
"""Events since the last snapshot that make one worth it when a driver lets go."""


async def load_run(store: EventStore, run_id: RunId, *, upto: int | None = None) -> RunState:
    """Return a run as its log says it stands, folded from its newest snapshot where it has a good one.

    Args:
        store: Where it is.
        run_id: The run.
        upto: Events after this one are not folded.

    Raises:
        RunNotFoundError: There is no such run.
    """
    state = await _from_snapshot(store, run_id, run_id, upto, upto)
    if state is not None:
        return state
    if isinstance(store, Selective):
        return await _selected(store, store, run_id, upto)
    return await _of_fork(store, run_id, upto)


async def _whole(store: EventStore, run_id: RunId, upto: int | None) -> RunState:
    state = RunState()
    async for event in store.read(run_id, to=upto):
        apply(state, event)
    return state


async def _selected(
    store: EventStore, selective: Selective, run_id: RunId, upto: int | None
) -> RunState:
    """Fold what happened to the nodes, then the calls of those activations whose calls are still needed."""
    head = await store.head(run_id)
    if head is None:
        raise RunNotFoundError(run_id)
    last = head.seq if upto is None else min(upto, head.seq)
    state = RunState()
    doubtful: list[str] = []
    begun: dict[str | None, int] = {}
    async for page in selective.select(run_id, to=last, without=CALLS - {_UNKNOWN}):
        doubtful += [activation_of(event.address or "") for event in page if event.type == _UNKNOWN]
        begun = {e.address: e.seq for e in reversed(page) if e.type == "node.scheduled"} | begun
        fold_run((event for event in page if event.type != _UNKNOWN), state)
        if state.forked_at:  # what that event changed may be a call that was left out
            return await _of_fork(store, run_id, upto)
    needed = with_calls(state, doubtful)
    if len(needed) > _MANY:
        return await _whole(store, run_id, upto)
    if needed:
        # A call comes after its activation was scheduled, that of an item after its map was.
        first = min(begun.get(address.partition("[")[0], 0) for address in needed)
        async for page in selective.select(
            run_id, after=first, to=last, without=CALLS, within=needed
        ):
            fold_run(page, state)
        in_order(state)
    state.seq = last
    return state


async def _of_fork(store: EventStore, run_id: RunId, upto: int | None) -> RunState:
    """Return the state of a fork, after a snapshot that one of the runs it began as has left, where there is one."""
    parts = await store.lineage(run_id)
    for part in reversed(parts[:-1]):
        newest = part.to if upto is None or part.to is None else min(upto, part.to)
        state = await _from_snapshot(store, run_id, part.run_id, newest, upto)
        if state is not None:
            return state
    return await _whole(store, run_id, upto)


async def _from_snapshot(
    store: EventStore, run_id: RunId, owner: RunId, newest: int | None, upto: int | None
) -> RunState | None:
    """Return the state after a snapshot of `owner` and its tail in the run, or None where it is of no use or too new."""
    try:
        latest = await _latest(store, run_id, owner, upto)
    except RunNotFoundError:
        return None  # whoever reads the log says so
    if latest is None:
        return None
    kept, tail = latest
    if newest is not None and kept.seq > newest:
        return None
    found = restored(kept.body)
    if found is None or found.state.seq != kept.seq:
        return None
    try:
        return await _after(store, owner, kept, found, tail)
    except KeyError:
        return None  # an event touches what the snapshot left out; the whole log has it


async def _latest(
    store: EventStore, run_id: RunId, owner: RunId, upto: int | None
) -> tuple[Snapshot, AsyncIterator[Event]] | None:
    """Return the snapshot of `owner` and the events of the run from its own on; one question where the store can."""
    if run_id == owner and isinstance(store, Tailing):
        return await store.latest(run_id, NAME, to=upto)
    kept = await store.load_snapshot(owner, NAME)
    return None if kept is None else (kept, store.read(run_id, after=kept.seq - 1, to=upto))


async def _after(
    store: EventStore, owner: RunId, kept: Snapshot, found: Restored, tail: AsyncIterator[Event]
) -> RunState | None:
    """Fold what came after a snapshot; return None where that does not fit it.

    Raises:
        KeyError: It is about what the snapshot left out.
    """
    state, apart = found.state, set(found.apart)
    async for event in tail:
        if event.seq == kept.seq:
            if event.digest != kept.digest:
                return None  # of a history that is not this one
            continue
        if event.type == "run.forked":
            if event.data.get("definition"):
                return None  # of another graph the output may be one that was left out
            # It may change any call.
            if apart and not await _with_answered(store, owner, kept, state, None):
                return None
            apart.clear()
        apply(state, event)
    # Whoever has ended meanwhile needs none any more.
    if apart and (going := apart.intersection(state.unsettled())):
        return state if await _with_answered(store, owner, kept, state, going) else None
    return state


async def _with_answered(
    store: EventStore, owner: RunId, kept: Snapshot, state: RunState, whose: Collection[str] | None
) -> bool:
    """Give a state the calls beside its snapshot; return False where there are none that fit."""
    calls = await store.load_snapshot(owner, ANSWERED)
    if calls is None or calls[:2] != kept[:2]:
        return False
    return add_answered(state, calls.body, whose)


class Keeper:
    """Keeps snapshots of one run for its driver.

    Args:
        store: Where to.
        run_id: The run.
        seq: Where the run stands.
    """

    __slots__ = ("_apart", "_calls", "_last", "_run_id", "_store")

    def __init__(self, store: EventStore, run_id: RunId, seq: int) -> None:
        self._store = store
        self._run_id = run_id
        self._last = seq
        self._apart = False  # there are calls beside the newest snapshot
        self._calls = 0  # how many were in it

    def due(self, state: RunState) -> Dump | None:
        """Return a snapshot of the state, if it is time for one; it may be kept once event `state.seq` is durable."""
        # Writing one costs what is in it: of a run with many activations or calls, more rarely; of one that has ended,
        # nobody reads it. Folding what happens to graphs inside a run takes several times as long.
        since = state.seq - self._last
        if since < EVERY or state.over:  # so it is with nearly every event
            return None
        many = (1 if state.graphs else 2) * len(state.activations)
        if since < max(many, self._calls):
            return None
        self._last = state.seq
        dump = dump_apart(state)
        self._calls = 0 if dump is None else dump.kept
        return dump

    async def keep(self, head: Head, dump: Dump) -> None:
        """Keep a snapshot of the run as it stands at this head; if that fails, there is none."""
        parts = [(NAME, dump.body)]
        if dump.calls or self._apart:
            parts.append((ANSWERED, dump.calls or b"[]"))
        self._apart = bool(dump.calls)
        # At the same time, and so in one commit, where the store groups them.
        saved = [
            self._store.save_snapshot(self._run_id, name, Snapshot(head.seq, head.digest, body))
            for name, body in parts
        ]
        for failed in await asyncio.gather(*saved, return_exceptions=True):
            if failed is not None and not isinstance(failed, StoreError):
                raise failed

    async def let_go(self, head: Head | None, state: RunState) -> None:
        """Keep a last snapshot of a run that has not ended, where the next driver would have much to fold."""
        if head is None or head.seq != state.seq or state.over or state.seq - self._last < LONG:
            return
        dump = dump_apart(state)
        if dump is not None:
            await self.keep(head, dump)
