"""What stands in line for the writer: appends, and the small changes that share its commits."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from midstream.events.catalog import TURNS, status_after
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.store import Answer, Snapshot, Status, refuse

ROWS = 1024
"""Rows of one commit at most; one takes a few ms."""


@dataclass(frozen=True, slots=True)
class Taken:
    """A run is taken over, and its new driver shows a sign of life; see `Seizing.seize`."""

    now: float
    until: float


@dataclass(slots=True, eq=False)
class Append:
    """An append in line; see `EventStore.append`.

    Attributes:
        ahead: The append that this one was made on top of before its outcome was known, or None.
        taken: How the run is taken over with it, or None.
        refused: Whether it was refused.
        end: The seq of its last event.
        plain: It is nothing but rows of events: no new run, no blob, no change of status.
    """

    run_id: RunId
    drafts: tuple[Draft, ...]
    expected: int
    epoch: int | None
    holder: str | None
    future: Answer
    ahead: Append | None
    taken: Taken | None = None
    refused: bool = False
    end: int = field(init=False)
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        drafts = self.drafts
        self.end = self.expected + len(drafts)
        self.plain = self.expected > 0 and 0 < len(drafts) <= ROWS and self.taken is None
        for draft in drafts:
            if draft.blobs or draft.of or draft.type in TURNS:
                self.plain = False

    @property
    def status(self) -> Status | None:
        """What it makes of the run's status, or None where it stays."""
        return status_after(self.drafts)


@dataclass(slots=True, eq=False)
class Acquire:
    """See `EventStore.acquire`."""

    plain: ClassVar[bool] = False

    run_id: RunId
    holder: str
    now: float
    future: asyncio.Future[int]


@dataclass(slots=True, eq=False)
class Beat:
    """See `EventStore.beat`."""

    plain: ClassVar[bool] = False

    holder: str
    until: float
    future: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Release:
    """See `EventStore.release`."""

    plain: ClassVar[bool] = False

    run_id: RunId
    epoch: int
    future: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Save:
    """See `EventStore.save_snapshot`."""

    plain: ClassVar[bool] = False

    run_id: RunId
    name: str
    snapshot: Snapshot
    future: asyncio.Future[None]


Command = Append | Acquire | Beat | Release | Save


def settle(future: asyncio.Future[Any], outcome: object) -> None:
    """Give a future its outcome, unless whoever waited for it has gone."""
    if future.done():
        return
    if isinstance(outcome, Exception):
        refuse(future, outcome)
    else:
        future.set_result(outcome)
    if isinstance(future, Answer) and future.hear is not None:
        # Whoever hears of it knows it, too: what has been told is freed at once, and not when the collector comes by.
        hear, future.hear = future.hear, None
        hear(future)


def runs_of(commands: Sequence[Command]) -> list[RunId]:
    """Return the runs that the commands concern, each once."""
    return list(dict.fromkeys(c.run_id for c in commands if not isinstance(c, Beat)))


def takes_over(command: Command) -> bool:
    """Say whether a command takes a run over."""
    return isinstance(command, Acquire) or (
        isinstance(command, Append) and command.taken is not None
    )
