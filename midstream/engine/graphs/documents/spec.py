"""The format of a graph as a document, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue

from midstream.engine.limits import Limits
from midstream.engine.nodes.node_spec import (
    AgentNode,
    FunctionNode,
    LlmNode,
    MapNode,
    NodeSpec,
    PlanNode,
    QuestionNode,
    Spec,
    SubgraphNode,
    ToolNode,
)
from midstream.engine.on_change import OnChange

FORMAT: Literal[1] = 1
"""The version of the format that this release writes."""

KINDS: Mapping[str, type[NodeSpec]] = {
    "function": FunctionNode,
    "llm": LlmNode,
    "tool": ToolNode,
    "agent": AgentNode,
    "question": QuestionNode,
    "map": MapNode,
    "subgraph": SubgraphNode,
    "plan": PlanNode,
}
"""The kinds of nodes, by what stands in `type`."""

AnyNode = Annotated[
    FunctionNode
    | LlmNode
    | ToolNode
    | AgentNode
    | QuestionNode
    | MapNode
    | SubgraphNode
    | PlanNode,
    Field(discriminator="type"),
]
"""A node of any kind."""


class LimitsSpec(Spec):
    """See `Limits`."""

    activations: int | None = None
    seconds: float | None = None
    depth: int | None = None

    def made(self) -> Limits:
        """Return the limits.

        Raises:
            ConfigError: One is not more than 0.
        """
        return Limits(**self.model_dump())


class InnerSpec(Spec):
    """A graph inside a document, without its name.

    Attributes:
        version: Of its code, recorded with each run.
        description: For people.
        context: What is done where a conversation is too long: a name, or the fields of a `ContextPolicy`.
        limits: What each run may not exceed.
        on_failure: What is done when a node fails that says nothing of its own.
        on_change: What is done where a run is resumed with other code; None for what the engine says.
        inputs: The names of the inputs of a run; where they are given, any other name that is no node is refused.
        variables: Inputs that need not be given, and their values.
        functions: Functions and tools that nodes name, each as `module:name`, or null where whoever reads it gives them.
        agents: Agents that nodes name, in the same way.
        registered: Graphs that running nodes may name, each by the name of a graph.
        nodes: By name.
    """

    version: str = ""
    description: str = ""
    context: str | Mapping[str, JsonValue] | None = None
    limits: LimitsSpec | None = None
    on_failure: Literal["fail", "reflect"] = "fail"
    on_change: OnChange | None = None
    inputs: tuple[str, ...] | None = None
    variables: Mapping[str, JsonValue] = Field(default_factory=dict)
    functions: Mapping[str, str | None] = Field(default_factory=dict)
    agents: Mapping[str, str | None] = Field(default_factory=dict)
    registered: Mapping[str, str] = Field(default_factory=dict)
    nodes: Mapping[str, AnyNode] = Field(min_length=1)


class GraphSpec(InnerSpec):
    """A graph as a document.

    Attributes:
        format: The version of this format.
        name: Of the graph.
        graphs: The graphs that nodes run, by name.
    """

    format: Literal[1] = FORMAT
    name: str
    graphs: Mapping[str, InnerSpec] = Field(default_factory=dict)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the format."""
    schema = GraphSpec.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    return schema
