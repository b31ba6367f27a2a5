"""Pipelines of stages as graphs: each stage is a node, which calls a function or has an agent work on a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import AliasChoices, Field, JsonValue

from midstream.adapters.wire import is_object
from midstream.engine.agents.agent import Agent
from midstream.engine.graphs.documents.names import Names
from midstream.engine.graphs.documents.spec import AnyNode, GraphSpec
from midstream.engine.graphs.documents.text import Document
from midstream.engine.nodes.node_spec import (
    AgentNode,
    ContinueSpec,
    FunctionNode,
    RetrySpec,
    Spec,
)
from midstream.errors import GraphError

Action = Callable[..., Any] | str
"""What a stage does: a function, or the template of a task for its agent."""


class RetryPolicy(Spec):
    """How often a stage is tried, whatever went wrong; each field goes by several names.

    Attributes:
        max_attempts: At most so many, the first one included.
        max_retries: Or so many after the first one.
        delay: Seconds before the second attempt.
        factor: What each further delay is multiplied by.
        longest: Seconds that no delay exceeds.
    """

    max_attempts: int | None = Field(
        None, ge=1, validation_alias=AliasChoices("max_attempts", "attempts")
    )
    max_retries: int | None = Field(
        None, ge=0, validation_alias=AliasChoices("max_retries", "retries")
    )
    delay: float = Field(
        1.0,
        ge=0,
        validation_alias=AliasChoices(
            "delay_seconds", "delay", "backoff_seconds", "initial_delay", "retry_delay"
        ),
    )
    factor: float = Field(
        2.0,
        ge=1,
        validation_alias=AliasChoices(
            "backoff_multiplier", "backoff_factor", "multiplier", "factor"
        ),
    )
    longest: float = Field(
        60.0,
        gt=0,
        validation_alias=AliasChoices("max_delay_seconds", "max_delay", "longest"),
    )

    def made(self) -> RetrySpec:
        """Return the policy of a node."""
        attempts = self.max_attempts or (3 if self.max_retries is None else self.max_retries + 1)
        return RetrySpec(
            attempts=attempts,
            delay=self.delay,
            factor=self.factor,
            longest=self.longest,
            on=("*",),
        )


class StageSpec(Spec):
    """A stage.

    Attributes:
        name: The node's.
        agent: Who does it.
        action: What is done.
        depends_on: The stages that come before it; what they return is taken by name.
        timeout_seconds: For one attempt.
        retry_policy: How often it is tried.
        continue_on_failure: Where it fails for good, the stages after it run, with null in the place of what it returns.
    """

    name: str
    agent: str = ""
    action: str
    depends_on: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    retry_policy: RetryPolicy | None = None
    continue_on_failure: bool = False


class PipelineSpec(Spec):
    """A pipeline.

    Attributes:
        name: The graph's.
        version: Of its code.
        description: For people.
        variables: Inputs of each run that need not be given, and their values.
        stages: In any order.
    """

    name: str
    version: str = ""
    description: str = ""
    variables: Mapping[str, JsonValue] = Field(default_factory=dict)
    stages: tuple[StageSpec, ...] = Field(min_length=1)


class Stages(Document):
    """The document of a pipeline, in which a node stands where its stage does."""

    def __init__(self, document: Document, stages: Sequence[StageSpec]) -> None:
        self._document = document
        self._places = {stage.name: place for place, stage in enumerate(stages)}

    def place(self, path: Sequence[str | int]) -> str:
        """See `Document.place`."""
        if path and path[0] == "nodes":
            path = ("stages", self._places[str(path[1])])
        return self._document.place(path)


def graph_of(pipeline: PipelineSpec, document: Document, names: Names) -> GraphSpec:
    """Return a pipeline as a graph; the functions of its stages are known to `names` from then on.

    Raises:
        GraphError: Two stages have one name, or an agent or an action is not known.
    """
    nodes: dict[str, AnyNode] = {}
    asked: dict[str, str | None] = {}
    for place, stage in enumerate(pipeline.stages):
        where = document.place(("stages", place))
        if stage.name in nodes:
            raise GraphError(f"{where}: there is a stage {stage.name!r} already; rename one")
        node = _node(where, stage, names)
        if isinstance(node, AgentNode):
            asked[stage.agent] = None
        nodes[stage.name] = node
    return GraphSpec(
        name=pipeline.name,
        version=pipeline.version,
        description=pipeline.description,
        variables=pipeline.variables,
        agents=asked,
        nodes=nodes,
    )


def _node(where: str, stage: StageSpec, names: Names) -> FunctionNode | AgentNode:
    options: dict[str, Any] = {"after": stage.depends_on, "timeout": stage.timeout_seconds}
    if stage.retry_policy is not None:
        options["retry"] = stage.retry_policy.made()
    if stage.continue_on_failure:
        options["on_failure"] = ContinueSpec.model_validate({"continue": None})
    found = _action(where, stage, names)
    if isinstance(found, str):
        if not isinstance(names.agents.get(stage.agent), Agent):
            known = ", ".join(sorted(names.agents)) or "none"
            raise GraphError(
                f"{where}: action {stage.action!r} is a task, but {stage.agent!r} is no Agent; agents are {known}. Pass "
                f"agents={{{stage.agent!r}: Agent(…)}}"
            )
        return AgentNode(task=found, agent_type=stage.agent, **options)
    name = f"{stage.agent}.{stage.action}" if stage.agent else stage.action
    names.functions[name] = found
    return FunctionNode(function=name, **options)


def _action(where: str, stage: StageSpec, names: Names) -> Action:
    """Return what a stage does: what `actions` says, or else what its agent has under that name."""
    agent, action = stage.agent, stage.action
    for key in (f"{agent}.{action}", action):
        if key in names.actions:
            return names.actions[key]
    if agent and agent not in names.agents:
        known = ", ".join(sorted(names.agents)) or "none"
        raise GraphError(
            f"{where}: there is no agent {agent!r}; there are {known}. Pass agents={{{agent!r}: …}} or "
            f"actions={{'{agent}.{action}': …}}"
        )
    whom: Any = names.agents.get(agent)
    found: Any = None
    if is_object(whom):
        found = whom.get(action)
    elif not action.startswith("_"):
        found = getattr(whom, action, None)
    if callable(found) or isinstance(found, str):
        done: Action = found
        return done
    known = ", ".join(sorted(names.actions)) or "none"
    raise GraphError(
        f"{where}: there is no action {action!r}{f' of agent {agent!r}' if agent else ''}; actions= has {known}. Pass "
        f"actions={{{action!r}: a function, or the template of a task}}"
    )
