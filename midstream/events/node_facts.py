"""The facts of nodes: each activation, its attempts, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field, JsonValue

from midstream.events.fact import Fact


class NodeScheduled(Fact):
    """Everything an activation needs is there, and its first attempt starts.

    Attributes:
        inputs: For each parameter that takes the output of a node, the address of the activation it comes from. Parameters
            that take an input of the run are not listed: the graph says which they are.
        called: The activation that went to this node or triggered it, or whose effects it undoes; empty where it
            runs because of what it waited for. The arguments are in the `edge.decided` of that activation.
        index: The place of its item, for an activation of a map; None otherwise.
        item: Its item, where the log has it nowhere else.
    """

    type: Literal["node.scheduled"] = "node.scheduled"
    inputs: Mapping[str, str] = Field(default_factory=dict)
    called: str = ""
    index: int | None = None
    item: JsonValue = None


class NodeStarted(Fact):
    """A further attempt of an activation started; the first one starts with `node.scheduled`."""

    type: Literal["node.started"] = "node.started"
    attempt: int


class NodeCompleted(Fact):
    """An activation returned.

    Attributes:
        output: What it returned; of a map, nothing: its output is what its items have returned.
        local: What the node keeps for its later activations, where it changed.
    """

    type: Literal["node.completed"] = "node.completed"
    output: JsonValue = None
    local: Mapping[str, JsonValue] | None = None


class NodeFailed(Fact):
    """An attempt of an activation failed.

    Attributes:
        kind: The kind of error: the class of what was raised, `timeout`, or the kind of an adapter's error.
        message: Its text.
        attempt: Which attempt, from 1.
        retry_at: When the next attempt is due, in seconds since 1970; None where there is none.
        traceback: Where it was raised, innermost last; empty where that says nothing.
        handled: What the node's `on_failure` makes of it, so that the run goes on: `skip`, `continue` or `goto`; the
            fact that does so follows in the same append. `again`: the node is to come again, as a new activation. Empty
            where the run fails of it.
    """

    type: Literal["node.failed"] = "node.failed"
    kind: str
    message: str = ""
    attempt: int = 1
    retry_at: float | None = None
    traceback: str = ""
    handled: str = ""


class NodeSkipped(Fact):
    """An activation will not run, or will not be waited for: the node's turn has passed without an output."""

    type: Literal["node.skipped"] = "node.skipped"
    reason: str = ""
