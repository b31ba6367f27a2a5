"""The facts of runs that a run starts: each is a run of its own, and both logs say so."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.fact import Fact

Close = Literal["wait", "cancel", "abandon"]
"""What becomes of a run when the one that started it ends."""


class SubrunRequested(Fact):
    """A node wants a run of its own; that run is started once this is durable, and only once.

    Attributes:
        run: Its id; made of this run's id and the address, so that another driver comes to the same.
        graph: The name of its graph.
        inputs: By name.
        model: Its default model, or empty.
        tags: Its own, with those of this run.
        limits: What it may not exceed.
        close: What becomes of it when this run ends first: `wait`, `cancel` or `abandon`.
        attempt: From 1; another one is another run.
        lane: Which of the node's parallel branches wants it.
    """

    type: Literal["subrun.requested"] = "subrun.requested"
    run: str
    graph: str
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
    model: str = ""
    tags: Mapping[str, str] = Field(default_factory=dict)
    limits: Mapping[str, float] = Field(default_factory=dict)
    close: Close = "wait"
    attempt: int = 1
    lane: str = ""


class SubrunCompleted(Fact):
    """The run in the address has ended with an output."""

    type: Literal["subrun.completed"] = "subrun.completed"
    output: JsonValue = None


class SubrunFailed(Fact):
    """The run in the address has ended without an output.

    Attributes:
        kind: `failed`, `cancelled`, or `refused` where its id was taken by another run.
        message: The story, or the reason.
    """

    type: Literal["subrun.failed"] = "subrun.failed"
    kind: str
    message: str = ""


class SubrunClosing(Fact):
    """The run in the address is to be cancelled, because this one ends."""

    type: Literal["subrun.closing"] = "subrun.closing"
    reason: str = ""
