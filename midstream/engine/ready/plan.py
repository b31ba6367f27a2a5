"""A plan: nodes and edges over functions that a graph registers, as a model, a person or a program writes them down."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

_FORM = ConfigDict(frozen=True, extra="forbid")


class PlannedNode(BaseModel):
    """A node to be added.

    Attributes:
        name: Its name, new in the run.
        use: The registered function or tool that it calls.
        args: Values for parameters that take no output of another node.
        inputs: How the outputs of edges without `to` become arguments; null where they are waited for only.
    """

    model_config = _FORM
    name: str = Field(description="A new name: a letter, then letters, digits, '.', '-', '_'.")
    use: str = Field(description="The function or tool that the node calls.")
    args: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue],
        description="Values for parameters that take no output of another node.",
    )
    inputs: Literal["merge", "named", "each", "unpack"] | None = Field(
        default=None,
        description="How the outputs that come by edges without 'to' become arguments, in the order of the edges: all as "
        "one list (merge), as one dict by node (named), one argument each (each), one list or dict spread (unpack). "
        "Null: they are waited for only.",
    )


class PlannedEdge(BaseModel):
    """A node that waits for another one; with `rounds`, a way back.

    Attributes:
        source: The node that is waited for.
        target: The node that waits.
        to: The parameter that takes the output; empty for order alone, or for `inputs` of the target.
        rounds: 0 for waiting; otherwise control goes back to the target when the source has completed, so many times at
            most.
        when: A registered function that says, from the output of the source, whether control goes back.
    """

    model_config = _FORM
    source: str = Field(description="The node that is waited for.")
    target: str = Field(description="The node that waits.")
    to: str = Field(
        default="", description="The parameter of the target that takes the source's output."
    )
    rounds: int = Field(
        default=0,
        ge=0,
        description="0: the target waits for the source. More: a loop; when the source has completed, control goes back "
        "to the target, so many times at most.",
    )
    when: str = Field(
        default="",
        description="Of a loop: the function that says from the output whether to go back.",
    )


class Plan(BaseModel):
    """What is to be added to a run.

    Attributes:
        nodes: What is done.
        edges: In which order, and with which values.
        output: The nodes whose outputs are what the plan comes to; empty for those that no other node of it waits for.
    """

    model_config = _FORM
    nodes: tuple[PlannedNode, ...] = Field(description="What is done.")
    edges: tuple[PlannedEdge, ...] = Field(
        default=(), description="In which order, with which values."
    )
    output: tuple[str, ...] = Field(
        default=(),
        description="The nodes that give the result; empty for those that nobody waits for.",
    )

    def data(self) -> dict[str, Any]:
        """Return it as JSON, without what is as it is by default."""
        return self.model_dump(mode="json", exclude_defaults=True)

    def outputs(self) -> tuple[str, ...]:
        """Return the nodes whose outputs are what it comes to."""
        waited_for = {edge.source for edge in self.edges if not edge.rounds}
        return self.output or tuple(n.name for n in self.nodes if n.name not in waited_for)


class Revision(Plan):
    """What is to be changed in a run of which a node has failed.

    Attributes:
        remove: Nodes that have not begun, and are not to run.
    """

    nodes: tuple[PlannedNode, ...] = ()
    remove: tuple[str, ...] = ()
