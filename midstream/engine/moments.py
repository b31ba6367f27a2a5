"""Moments of a run: an event's number, or a step, which means the moment just before it began."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from midstream.errors import ConfigError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore, Head
from midstream.projections.run_state import RunState, apply

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
    return (await cut_at(store, run_id, at)).head.seq if isinstance(at, str) else at


async def cut_at(
    store: EventStore,
    run_id: RunId,
    at: Moment | None,
    *,
    before: Callable[[RunState, Event], bool] = lambda state, event: False,
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
    state, last = RunState(), None
    found = at is None
    async for event in store.read(run_id, to=at if isinstance(at, int) else None):
        if isinstance(at, str) and _begins(event, at):
            found = True
            break
        if before(state, event):
            break
        apply(state, event)
        last = event
        found = found or event.seq == at
    if last is None or not found:
        raise _no_moment(run_id, at, state)
    return Cut(state, Head(last.seq, last.position, last.digest))


def _begins(event: Event, step: str) -> bool:
    return event.address == step


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
