"""Pipelines of stages as graphs: each stage is a node, which calls a function, has an agent work on a task, or plans."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic import AliasChoices, Field, JsonValue

from midstream.adapters.wire import is_object
from midstream.engine.agents.agent import Agent
from midstream.engine.graphs.documents.names import Names
from midstream.engine.graphs.documents.planning_stage import StagePlan, plan_node
from midstream.engine.graphs.documents.spec import AnyNode, GraphSpec
from midstream.engine.graphs.documents.text import Document
from midstream.engine.nodes.node_spec import (
    AgentNode,
    ContinueSpec,
    FunctionNode,
    FunctionRef,
    PlanNode,
    RetrySpec,
    Spec,
)
from midstream.errors import GraphError

Action = Callable[..., Any] | str
"""What a stage does: a function, or the template of a task for its agent, or of a goal."""


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
        action: What is done; of a stage that plans, the goal, unless the plan says it.
        depends_on: The stages that come before it; what they return is taken by name.
        timeout_seconds: For one attempt.
        retry_policy: How often it is tried.
        continue_on_failure: Where it fails for good, the stages after it run, with null in the place of what it returns.
        plan: A model plans how the goal is reached, and the run follows the plan; None for a stage that does not plan.
    """

    name: str
    agent: str = ""
    action: str
    depends_on: tuple[str, ...] = ()
    timeout_seconds: float | None = None
    retry_policy: RetryPolicy | None = None
    continue_on_failure: bool = False
    plan: StagePlan | None = None


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


def _node(where: str, stage: StageSpec, names: Names) -> FunctionNode | AgentNode | PlanNode:
    options: dict[str, Any] = {"after": stage.depends_on, "timeout": stage.timeout_seconds}
    if stage.retry_policy is not None:
        options["retry"] = stage.retry_policy.made()
    if stage.continue_on_failure:
        options["on_failure"] = ContinueSpec.model_validate({"continue": None})
    if stage.plan is not None:
        return _planning(where, stage, stage.plan, names, options)
    found = _action(where, stage, names)
    if isinstance(found, str):
        if not isinstance(names.agents.get(stage.agent), Agent):
            known = ", ".join(sorted(names.agents)) or "none"
            raise GraphError(
                f"{where}: action {stage.action!r} is a task, but {stage.agent!r} is no Agent; agents are {known}. Pass "
                f"agents={{{stage.agent!r}: Agent(…)}}"
            )
        return AgentNode(task=found, agent_type=stage.agent, **options)
    return FunctionNode(function=_known(stage, found, names), **options)


def _known(stage: StageSpec, action: Callable[..., Any], names: Names) -> str:
    """Return the name of a stage's function, by which `names` knows it."""
    name = f"{stage.agent}.{stage.action}" if stage.agent else stage.action
    names.functions[name] = action
    return name


def _planning(
    where: str,
    stage: StageSpec,
    plan: StagePlan,
    names: Names,
    options: Mapping[str, Any],
) -> PlanNode:
    goal: Any = plan.goal or _action(where, stage, names)
    if not isinstance(goal, str):
        goal = FunctionRef(function=_known(stage, goal, names))
    return plan_node(where, stage.agent, goal, plan, names, partial(_found, names), options)


def _action(where: str, stage: StageSpec, names: Names) -> Action:
    """Return what a stage does: what `actions` says, or else what its agent has under that name."""
    agent, action = stage.agent, stage.action
    found = _found(names, agent, action)
    if callable(found) or isinstance(found, str):
        done: Action = found
        return done
    if agent and agent not in names.agents:
        known = ", ".join(sorted(names.agents)) or "none"
        raise GraphError(
            f"{where}: there is no agent {agent!r}; there are {known}. Pass agents={{{agent!r}: …}} or "
            f"actions={{'{agent}.{action}': …}}"
        )
    known = ", ".join(sorted(names.actions)) or "none"
    raise GraphError(
        f"{where}: there is no action {action!r}{f' of agent {agent!r}' if agent else ''}; actions= has {known}. Pass "
        f"actions={{{action!r}: a function, or the template of a task}}"
    )


def _found(names: Names, agent: str, action: str) -> Any:
    """Return what goes by the name of an action, or None."""
    for key in (f"{agent}.{action}", action):
        if key in names.actions:
            return names.actions[key]
    whom: Any = names.agents.get(agent)
    if is_object(whom):
        return whom.get(action)
    return None if action.startswith("_") else getattr(whom, action, None)
