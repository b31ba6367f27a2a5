"""Folding: a question asked of the log, and how it is answered.

A projection is a table of handlers by event type. A handler changes the state it is given and nothing else: no clock, no
I/O. Types that are not in the table are passed over without being looked at, so a fold survives events it does not know.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import Any, Protocol, TypeVar

from midstream.errors import UnknownEventError
from midstream.events.envelope import Event
from midstream.events.pause import no_collecting
from midstream.events.payloads import VERSIONS

S = TypeVar("S")
Handler = Callable[[S, Event], None]
"""Changes a state by one event."""


class Projection(Protocol[S]):
    """A question asked of the log."""

    @property
    def handlers(self) -> Mapping[str, Handler[S]]:
        """What each type of event does to the state."""
        ...

    def initial(self) -> S:
        """Return the state before the first event."""
        ...


def fold(projection: Projection[S], events: Iterable[Event], state: S | None = None) -> S:
    """Return the state after the events.

    Args:
        projection: The question.
        events: In order; those of one run, or of many where the projection says so.
        state: The state to go on from, which is changed; None begins anew.

    Raises:
        UnknownEventError: An event that the projection needs is of a newer version than this release knows.
    """
    state = projection.initial() if state is None else state
    handlers, versions = projection.handlers, VERSIONS
    with no_collecting():
        for event in events:
            type_ = event.type
            if type_ in handlers:
                if event.version != versions[type_]:
                    raise UnknownEventError(type_, event.version, versions[type_])
                handlers[type_](state, event)
    return state


def needs(projection: Projection[Any]) -> frozenset[str]:
    """Return the types of events that a projection looks at."""
    return frozenset(projection.handlers)


async def fold_pages(
    projection: Projection[S], pages: AsyncIterable[Iterable[Event]], state: S | None = None
) -> S:
    """Return the state after the events of the pages, as they come; see `fold`."""
    state = projection.initial() if state is None else state
    with no_collecting():
        async for page in pages:
            fold(projection, page, state)
    return state


async def fold_async(
    projection: Projection[S], events: AsyncIterable[Event], state: S | None = None
) -> S:
    """Return the state after the events, as they come; see `fold`."""
    state = projection.initial() if state is None else state
    async for event in events:
        fold(projection, (event,), state)
    return state
