"""What the tests of stores share: runs, events, and reading what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from midstream.events.codec import encode
from midstream.events.envelope import Draft, Event
from midstream.events.fork_facts import RunForked
from midstream.events.ids import RunId
from midstream.events.payloads import NoteAdded, RunCompleted, RunCreated
from midstream.events.store import EventStore, Head

RUN = RunId("r1")
OTHER = RunId("r2")
FORK = RunId("fork")
NOBODY = RunId("nobody")
NOW = 1_700_000_000.0


ODD: list[Any] = [
    "\0",
    "a\0b" * 3000,
    "\u2028\ufeff\uffff\U0010ffff",
    "'; DROP TABLE events; --",
    {"": {"": [[], {}]}},
    -(2**63),
]


def created(graph: str = "trip", at: int = 1, **tags: str) -> Draft:
    """Return the first event of a run."""
    return encode(RunCreated(graph=graph, definition={}, graph_digest="0", tags=tags), at=at)


def note(data: Any = None, at: int = 2) -> Draft:
    """Return an event that means nothing to a store."""
    return encode(NoteAdded(id="n", data=data), at=at)


def forked(parent: RunId, at: Head, **more: Any) -> Draft:
    """Return the first event of its own of a run that begins with the events of another one."""
    fields: dict[str, Any] = {"graph": "trip", **more}
    return encode(RunForked(parent=parent, seq=at.seq, digest=at.digest.hex(), **fields), at=3)


async def events_of(
    store: EventStore, run_id: RunId, after: int = 0, to: int | None = None
) -> list[Event]:
    """Read a run, or a part of it."""
    return [event async for event in store.read(run_id, after=after, to=to)]


async def notes_of(store: EventStore, run_id: RunId) -> list[Any]:
    """Read what was noted in a run."""
    return [event.data["data"] for event in await events_of(store, run_id, after=1)]


async def scanned(
    store: EventStore, after: int = 0, types: frozenset[str] | None = None
) -> list[Event]:
    """Read all runs by position."""
    return [event async for page in store.scan(after=after, types=types) for event in page]


async def outcomes(*appends: Awaitable[Head]) -> list[Head | BaseException]:
    """Wait for all appends, refused or not."""
    return await asyncio.gather(*appends, return_exceptions=True)


def created_end() -> Draft:
    """Return the event that a run ends with."""
    return encode(RunCompleted(output=1), at=9)


async def until(condition: Any, seconds: float = 5.0) -> None:
    """Wait until a condition holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110  # what it waits for is any condition
            await asyncio.sleep(0.005)
