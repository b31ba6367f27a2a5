"""The facts of control flow: where control went, how a running graph was changed, and which limit ended it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.events.fact import Fact


class Call(BaseModel):
    """A node that an activation sends control to, and what it gives it.

    Attributes:
        node: Its name.
        args: Values for its parameters.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", defer_build=True, ser_json_inf_nan="constants"
    )
    node: str
    args: Mapping[str, JsonValue] = Field(default_factory=dict)


class EdgeDecided(Fact):
    """Where control goes from an activation; recorded with its end.

    Attributes:
        goto: The nodes that run instead of its ordinary successors, in order.
        trigger: The nodes that run in addition, in order.
    """

    type: Literal["edge.decided"] = "edge.decided"
    goto: tuple[Call, ...] = ()
    trigger: tuple[Call, ...] = ()


class NodeAdded(Fact):
    """A node was added to the graph of this run, by the activation in the address; recorded with its end.

    Attributes:
        name: The node.
        definition: The node as data, as in `run.created`; `function` names a function that the graph's code registers.
    """

    type: Literal["node.added"] = "node.added"
    name: str
    definition: Mapping[str, JsonValue] = Field(default_factory=dict)


class NodeRemoved(Fact):
    """A node that had not begun was taken out of the graph of this run, with its edges."""

    type: Literal["node.removed"] = "node.removed"
    name: str


class EdgeAdded(Fact):
    """A node of this run waits for another one from now on.

    Attributes:
        source: The node that is waited for.
        target: The node that waits.
        to: The parameter that takes the output; empty for order alone.
    """

    type: Literal["edge.added"] = "edge.added"
    source: str
    target: str
    to: str = ""


class EdgeRemoved(Fact):
    """A node of this run no longer waits for another one."""

    type: Literal["edge.removed"] = "edge.removed"
    source: str
    target: str


class LimitReached(Fact):
    """The run came up against one of its limits: what runs is ended, and the run fails.

    Attributes:
        limit: Its name: `activations` or `seconds`.
        message: What was reached, and what may be done.
    """

    type: Literal["limit.reached"] = "limit.reached"
    limit: str
    message: str


class GraphUpgraded(Fact):
    """The run goes on with other code of its graph from here on; what had begun is the same in both.

    Attributes:
        definition: The graph as data; empty where only the version is another one.
        graph_digest: sha256 of that definition, in hex.
        code: The version of the code.
        inputs: Inputs that the new code has values for, and the run did not.
    """

    type: Literal["graph.upgraded"] = "graph.upgraded"
    definition: Mapping[str, JsonValue] = Field(default_factory=dict)
    graph_digest: str
    code: str = ""
    inputs: Mapping[str, JsonValue] = Field(default_factory=dict)
