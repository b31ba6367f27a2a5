"""Streams that are about many runs: their names, and how one begins.

They are streams like any other, with the same chain of digests. One begins as a run that is over at once, so that nobody
takes it over, and lists of runs leave it out.
"""

from __future__ import annotations

from midstream.events import payloads
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import RunId

PREFIX = "system:"

ROUTING = RunId("system:routing")
"""Where routing keeps what it knows of endpoints."""


KEEPING = RunId("system:keeping")
"""What was removed from the store and what was erased in it: when, by whom and why."""


def is_system(run_id: str) -> bool:
    """Say whether a stream is about many runs."""
    return run_id.startswith(PREFIX)


def opening(run_id: RunId, at: int) -> tuple[Draft, ...]:
    """Return the events that such a stream begins with.

    Args:
        run_id: Its name.
        at: In microseconds since 1970.
    """
    created = payloads.RunCreated(graph=run_id, definition={}, graph_digest="", id=run_id)
    return (encode(created, at=at), encode(payloads.RunCompleted(), at=at))
