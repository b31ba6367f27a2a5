"""How playing a log back ends: with its end, or where the code does something else, and where that code is."""

from __future__ import annotations

import traceback
from asyncio import events as asyncio_events
from asyncio import tasks as asyncio_tasks
from dataclasses import dataclass
from pathlib import Path

from midstream.errors import StoreError
from midstream.events.envelope import Draft, Event
from midstream.projections.difference import Difference

_ENGINE = Path(__file__).parent.parent


class Diverged(StoreError):  # noqa: N818  # a signal inside of a replay, never seen by its callers
    """The code does not do what the log says; it ends the driving, as any refusal of the log does."""


class EndOfTape(StoreError):  # noqa: N818  # likewise
    """The code goes on where the log ends."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The first place where the code does not do what the log says.

    Attributes:
        event: What the log says.
        draft: What the code would record, or None where it does nothing.
        differences: Where the two differ.
        file: Where the code is that does so, or empty.
        line: There.
    """

    event: Event
    draft: Draft | None
    differences: tuple[Difference, ...]
    file: str = ""
    line: int = 0


def place_of_code() -> tuple[str, int]:
    """Return the innermost line of the running task that is not ours."""
    for frame in reversed(traceback.extract_stack()):
        if frame.filename == asyncio_events.__file__:
            break  # what is below runs the task
        ours = _ENGINE in Path(frame.filename).parents
        if not ours and frame.filename != asyncio_tasks.__file__:
            return frame.filename, frame.lineno or 0
    return "", 0
