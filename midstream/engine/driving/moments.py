"""Moments of a run: an event's number, or a step, which means the moment just before it began."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from midstream.errors import ConfigError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.paging import pages
from midstream.events.pause import no_collecting
from midstream.events.store import EventStore, Head
from midstream.projections.outline import OF_CALLS, OUTLINE
from midstream.projections.run_state import RunState, apply, fold_run

Moment = int | str
"""The `seq` of an event, whose effect is included, or the address of a step, whose first event is not."""

_SHOWN = 8


class Cut(NamedTuple):
    """A run as it stood at a moment.

    Attributes:
        state: The run.
        head: The last event in it.
    """

    state: RunState
    head: Head


async def moment_seq(store: EventStore, run_id: RunId, at: Moment | None) -> int | None:
    """Return the last event that a moment includes, or None for the newest there will be.

    Raises:
        ConfigError: The run has no such step.
        RunNotFoundError: There is no such run.
    """
    if not isinstance(at, str):
        return at
    with no_collecting():
        async for page in pages(store, run_id):
            for event in page:
                if event.address == at:
                    return event.seq - 1
    return (await cut_at(store, run_id, at)).head.seq  # which says what there is in its place


async def cut_at(
    store: EventStore,
    run_id: RunId,
    at: Moment | None,
    *,
    before: Callable[[RunState, Event], bool] | None = None,
) -> Cut:
    """Fold a run up to a moment.

    Args:
        store: Where it is.
        run_id: The run.
        at: The moment; None for its newest event.
        before: Asked before each event; the moment is no later than the first event for which it says yes.

    Raises:
        ConfigError: The run has no such event or step, or nothing happened before it.
        RunNotFoundError: There is no such run.
    """
    state, last, ended = RunState(), None, False
    with no_collecting():
        async for page in pages(store, run_id, to=at if isinstance(at, int) else None):
            taken = page
            if before is not None or isinstance(at, str):
                taken = _until(state, page, at, before)
                ended = len(taken) < len(page)
            else:
                fold_run(page, state)
            last = taken[-1] if taken else last
            if ended:
                break
    found = at is None or (ended if isinstance(at, str) else last is not None and last.seq == at)
    if last is None or not found:
        raise _no_moment(run_id, at, state)
    return Cut(state, Head(last.seq, last.position, last.digest))


async def outline_at(store: EventStore, run_id: RunId, at: Moment | None) -> Cut:
    """Fold what happened to the nodes of a run up to a moment: its calls are left out, and not read where that can be.

    Raises:
        ConfigError: The run has no such event or step, or nothing happened before it.
        RunNotFoundError: There is no such run.
    """
    wanted, head = await moment_seq(store, run_id, at), await store.head(run_id)
    newest = 0 if head is None else head.seq
    last = newest if wanted is None else wanted
    if not 1 <= last <= newest:
        return await cut_at(store, run_id, at)  # which says what there is in its place
    state = RunState()
    with no_collecting():
        async for page in pages(store, run_id, to=last, needed=OUTLINE):
            fold_run((event for event in page if event.type not in OF_CALLS), state)
    state.seq = last
    async for event in store.read(run_id, after=last - 1, to=last):
        return Cut(state, Head(event.seq, event.position, event.digest))
    raise _no_moment(run_id, at, state)


def _until(
    state: RunState,
    page: Sequence[Event],
    at: Moment | None,
    before: Callable[[RunState, Event], bool] | None,
) -> Sequence[Event]:
    """Fold the events before the moment, and return them."""
    for place, event in enumerate(page):
        if isinstance(at, str) and event.address == at:
            return page[:place]
        if before is not None and before(state, event):
            return page[:place]
        apply(state, event)
    return page


def _no_moment(run_id: RunId, at: Moment | None, state: RunState) -> ConfigError:
    if isinstance(at, str):
        return ConfigError(f"run {run_id!r} has no step {at!r}; {_nearest(at, state)}")
    return ConfigError(f"run {run_id!r} has no event {at}; it has events 1 to {state.seq}")


def _nearest(step: str, state: RunState) -> str:
    node = step.partition("#")[0]
    steps: Iterable[str] = (*state.activations, *state.calls)
    near = [name for name in steps if name.startswith(node)] or list(state.activations)
    more = ", …" if len(near) > _SHOWN else ""
    return f"it has {', '.join(near[:_SHOWN]) or 'no step yet'}{more}"
