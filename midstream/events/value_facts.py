"""The facts of what a node was given by chance or the clock: values, and times that it waits for."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from midstream.events.fact import Fact


class ValueRecorded(Fact):
    """A node read the clock, drew a random number or made a UUID."""

    type: Literal["value.recorded"] = "value.recorded"
    value: JsonValue


class TimerSet(Fact):
    """A node sleeps.

    Attributes:
        until: In seconds since 1970.
    """

    type: Literal["timer.set"] = "timer.set"
    until: float
    lane: str = ""


class TimerFired(Fact):
    """The time of a timer has come."""

    type: Literal["timer.fired"] = "timer.fired"


class TimerCancelled(Fact):
    """Nobody waits for a timer any more; it has not fired.

    Attributes:
        reason: `cancelled`, or `failed` (the node that slept has ended).
    """

    type: Literal["timer.cancelled"] = "timer.cancelled"
    reason: str
