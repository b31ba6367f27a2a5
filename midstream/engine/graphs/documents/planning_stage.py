"""Stages that plan: the action of such a stage is a goal, for which a model draws nodes over what the stage may use."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from pydantic import Field, JsonValue

from midstream.engine.agents.agent import Agent
from midstream.engine.graphs.documents.names import Names
from midstream.engine.nodes.node_spec import FunctionRef, PlanNode, Spec
from midstream.engine.tools.tool import make_tool
from midstream.errors import GraphError

Found = Callable[[str, str], Any]
"""Returns the action of an agent, or None where there is none."""


class StagePlan(Spec):
    """What makes a stage one that plans; see `Graph.plan`.

    Attributes:
        goal: A template; empty for what the action of the stage stands for, which may be a function, too.
        nodes: What a plan may use: actions as in `actions`, of the stage's agent or as `agent.action`, tools of an `Agent`,
            functions by name, or `module:name`; empty for all tools of the stage's `Agent`.
        model: Who plans; empty for the model of an `Agent`, or the run's.
        max_nodes: So many nodes at most; None for the default.
        max_rounds: So often a loop goes back at most; None for the default.
        experience: Tell the model what earlier runs taught; None for what an `Agent` says.
        settings: `temperature` and so on, beside those of an `Agent`.
    """

    goal: str = ""
    nodes: tuple[str, ...] = ()
    model: str = ""
    max_nodes: int | None = Field(None, ge=1)
    max_rounds: int | None = Field(None, ge=1)
    experience: bool | str | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)


def plan_node(
    where: str,
    agent: str,
    goal: str | FunctionRef,
    plan: StagePlan,
    names: Names,
    found: Found,
    options: Mapping[str, Any],
) -> PlanNode:
    """Return a stage that plans as a node; what its plan may use is known to `names` from then on.

    Args:
        where: The stage, for errors.
        agent: The name of who plans, or empty.
        goal: A template, or a function.
        plan: What the stage says.
        names: What names stand for.
        found: Finds actions.
        options: Of the node.

    Raises:
        GraphError: There is nothing that a plan could use, or something of the agent has no use here.
    """
    who = names.agents.get(agent)
    if not isinstance(who, Agent):
        who = Agent()
    _check_agent(where, agent, who)
    tools = {make_tool(one).name: one for one in who.tools}
    if not (plan.nodes or tools):
        raise GraphError(
            f"{where}: its plan names nothing that could be used; write nodes: [an action, …], or name an Agent that has tools"
        )
    for name in plan.nodes or tools:
        code = tools.get(name) or _usable(where, agent, name, names, found)
        if names.functions.setdefault(name, code) is not code:
            raise GraphError(
                f"{where}: its plan names {name!r}, which two functions are named; rename one"
            )
    return PlanNode(
        goal=goal,
        nodes=plan.nodes or tuple(tools),
        model=plan.model or who.model,
        max_nodes=plan.max_nodes,
        max_rounds=plan.max_rounds,
        experience=who.experience if plan.experience is None else plan.experience,
        settings={**who.settings, **plan.settings},
        **options,
    )


def _check_agent(where: str, name: str, agent: Agent) -> None:
    """Refuse what an agent has and a planner does without, rather than leave it away in silence."""
    has: Sequence[tuple[str, Any]] = (
        ("system", agent.system),
        ("memory", agent.memory),
        ("output", agent.output),
    )
    for option, value in has:
        if value is not None:
            raise GraphError(
                f"{where}: agent {name!r} has {option}=, of which a stage that plans makes no use; say it in the goal, or name "
                "an agent without"
            )


def _usable(where: str, agent: str, name: str, names: Names, found: Found) -> Callable[..., Any]:
    """Return a function that a plan may use."""
    if ":" in name:
        return names.function(name)
    owner, _, action = name.rpartition(".")
    for code in (names.functions.get(name), found(agent, name), found(owner, action)):
        if callable(code):
            return code
    known = ", ".join(sorted({*names.functions, *names.actions})) or "none"
    raise GraphError(
        f"{where}: its plan names {name!r}, and there is no such function; there are {known}. Pass "
        f"actions={{{name!r}: a function}}, or write it as module:name"
    )
