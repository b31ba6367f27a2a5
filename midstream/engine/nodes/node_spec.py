"""A node as data: what it does, and its options; the models that files, plans and logs of graphs share.

Texts that may hold templates are kept as they were written. Names of functions, tools and agents are names: what they
stand for is found by whoever makes a node of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from midstream.engine.retry import Retry


class Spec(BaseModel):
    """Data that refuses what it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True, populate_by_name=True)


class RetrySpec(Spec):
    """See `Retry`."""

    attempts: int = 3
    delay: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    jitter: float = 0.2
    on: tuple[str, ...] | None = None

    def made(self) -> Retry:
        """Return the policy.

        Raises:
            ConfigError: A number is out of its range.
        """
        given = self.model_dump(exclude={"on"}, exclude_unset=True)
        return Retry(**given) if self.on is None else Retry(**given, on=frozenset(self.on))


class ContinueSpec(Spec):
    """A value that stands in for the output of a node that failed."""

    value: JsonValue = Field(alias="continue")


class FunctionRef(Spec):
    """A function by its name, where a text would be a template or the name of a node.

    Attributes:
        function: Its name, or `module:name`.
    """

    function: str


class NodeSpec(Spec):
    """The options that every node has; see `midstream.engine.nodes.node.Node`.

    Attributes:
        take: For a parameter, or a name in a template, the node that it takes.
        when: A template, or the name of a registered function.
        on_failure: None for what the graph says.
        llm_wrapper: A model by the name of whatever may answer; wins over the next three.
        task_group: A group of the routing configuration.
        polling_pool: A pool of the routing configuration.
        llm_client: `provider:model`.
    """

    after: tuple[str, ...] = ()
    take: Mapping[str, str] = Field(default_factory=dict)
    output: bool = False
    pure: bool = False
    retry: RetrySpec | None = None
    timeout: float | None = None
    idle_timeout: float | None = None
    total_timeout: float | None = None
    model: str = ""
    llm_wrapper: str = ""
    task_group: str = ""
    polling_pool: str = ""
    llm_client: str = ""
    start: bool = True
    when: str | FunctionRef | None = None
    join: Literal["all", "any", "reduce"] | int = "all"
    inputs: Literal["each", "merge", "completed", "named", "unpack", "none"] | None = None
    args: Mapping[str, JsonValue] = Field(default_factory=dict)
    initial: JsonValue = None
    distribute: bool = False
    on_failure: str | ContinueSpec | None = None
    compensate: str | None = None


class FunctionNode(NodeSpec):
    """A node that calls a function.

    Attributes:
        function: Its name, or `module:name`.
    """

    type: Literal["function"] = "function"
    function: str


class LlmNode(NodeSpec):
    """A node that asks a model; its output is the answer: text, or a value of the form that is asked for.

    Attributes:
        prompt: A template.
        system: A template; None for the instruction in force.
        tools: Names of tools that the model may call.
        form: What the answer must be: JSON Schema, or the name of a type; in data, `schema`.
        thread: See `Context.llm`.
        max_turns: See `Context.llm`.
        experience: See `Context.llm`.
        context: See `Context.llm`; in data, a name, or the fields of a `ContextPolicy`.
        settings: `temperature` and so on.
    """

    type: Literal["llm"] = "llm"
    prompt: str
    system: str | None = None
    tools: tuple[str, ...] = ()
    form: Mapping[str, JsonValue] | str | None = Field(None, alias="schema")
    thread: str | None = ""
    max_turns: int = Field(10, ge=1)
    experience: bool | str | None = None
    context: str | Mapping[str, JsonValue] | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)


class ToolNode(NodeSpec):
    """A node that calls a tool; its output is what the tool returns.

    Attributes:
        tool: Its name.
        arguments: Values; texts in them may be templates, and one that is a single expression gives a value.
    """

    type: Literal["tool"] = "tool"
    tool: str
    arguments: Mapping[str, JsonValue] = Field(default_factory=dict)


class AgentNode(NodeSpec):
    """A node that has an agent work on a task; its output is what the agent concludes. See `Context.agent`.

    Attributes:
        task: A template.
        agent_type: The name of an agent, whose options hold where none are given here.
        system: A template; None for the agent's own.
        tools: Names of tools that it may call.
        memory: The name of a thread.
        form: What the conclusion must be; in data, `schema`.
        max_iterations: How often its model may be asked; 0 for the agent's own limit.
        thread: See `Context.llm`.
        settings: `temperature` and so on.
    """

    type: Literal["agent"] = "agent"
    task: str
    agent_type: str = ""
    system: str | None = None
    tools: tuple[str, ...] = ()
    memory: str | None = None
    form: Mapping[str, JsonValue] | str | None = Field(None, alias="schema")
    max_iterations: int = Field(0, ge=0)
    thread: str | None = ""
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)


class QuestionNode(NodeSpec):
    """A node that asks a person; its output is the answer.

    Attributes:
        text: A template.
        kind: `free` asks for a value, `confirm` for yes or no; its output is true or false.
        form: What the value must be: JSON Schema, or the name of a type; in data, `schema`.
        show: What it is about; texts in it may be templates.
        within: Seconds in which it can be answered; None for ever.
        deadline: The moment until which it can be: seconds since 1970, ISO 8601 with a time zone, or a template of one.
        default: What holds when nobody answers in time; given at all, it may be null.
    """

    type: Literal["question"] = "question"
    text: str
    kind: Literal["free", "confirm"] = "free"
    form: Mapping[str, JsonValue] | str | None = Field(None, alias="schema")
    show: JsonValue = None
    within: float | None = Field(None, gt=0)
    deadline: float | str | None = None
    default: JsonValue = None


ReadySpec = LlmNode | ToolNode | AgentNode | QuestionNode
"""What a ready-made node does."""


class SubgraphNode(NodeSpec):
    """A node that runs a graph; see `Graph.add_node`.

    Attributes:
        graph: Its name, or `module:name`.
    """

    type: Literal["subgraph"] = "subgraph"
    graph: str


class MapNode(NodeSpec):
    """A node that does something for each item; see `Graph.map`. Its options are those of each item.

    Attributes:
        each: What is done; its templates name the item `item`. It has no options of its own.
        over: The node or input that holds the items, a template that is one, or a function.
        key: A template of `item`, the name of a registered function, or a function.
        concurrency: At most so many items are under way at a time.
        order: Of the results: as the items, or as they completed.
    """

    type: Literal["map"] = "map"
    each: FunctionNode | LlmNode | ToolNode | AgentNode | QuestionNode | SubgraphNode = Field(
        discriminator="type"
    )
    over: str | FunctionRef
    key: str | FunctionRef | None = None
    concurrency: int | None = Field(None, ge=1)
    order: Literal["results", "completed"] = "results"


class PlanNode(NodeSpec):
    """A node whose output is what a model's plan comes to; see `Graph.plan`. It has the options that this names.

    Attributes:
        goal: A template, or a function.
        nodes: Names of the functions and tools that the plan may use.
        max_nodes: So many nodes at most; None for the default.
        max_rounds: So often a loop goes back at most; None for the default.
        experience: See `Context.llm`.
        settings: `temperature` and so on.
    """

    type: Literal["plan"] = "plan"
    goal: str | FunctionRef
    nodes: tuple[str, ...] = Field(min_length=1)
    max_nodes: int | None = Field(None, ge=1)
    max_rounds: int | None = Field(None, ge=1)
    experience: bool | str | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)


PLAN_OPTIONS = ("after", "output", "start", "on_failure", "retry", "timeout", "model")
"""The options of a plan, beside what else names a model."""

OPTIONS = frozenset(NodeSpec.model_fields)
"""The names of the options that every node has."""


def work_of(spec: ReadySpec) -> dict[str, Any]:
    """Return what a ready-made node does as data: without its options, and without what is as it is by default."""
    found = spec.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(OPTIONS))
    if "default" in spec.model_fields_set:  # null is a value here
        found["default"] = spec.model_dump(mode="json", include={"default"})["default"]
    return {"type": spec.type, **found}


def given_options(spec: NodeSpec) -> frozenset[str]:
    """Return the names of the options that are not as they are by default."""
    fields = NodeSpec.model_fields
    return frozenset(
        name
        for name in OPTIONS & spec.model_fields_set
        if getattr(spec, name) != fields[name].get_default(call_default_factory=True)
    )
