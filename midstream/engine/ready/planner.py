"""A node that plans: a model draws nodes and edges over registered functions, and the run follows what it has drawn."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal, Unpack, cast

from pydantic import AfterValidator, JsonValue
from pydantic_core import PydanticCustomError

from midstream.engine.limits import MAX_NODES, MAX_ROUNDS
from midstream.engine.nodes.node import Continue, Node, NodeOptions
from midstream.engine.nodes.registry import Registry
from midstream.engine.nodes.templates import Template, is_template
from midstream.engine.retry import NEVER, Retry
from midstream.engine.signature import annotations_of, is_async, parameters_of
from midstream.engine.tools.tool import Tool
from midstream.errors import GraphError, OutputError, PlanError

if TYPE_CHECKING:
    from midstream.engine.ready.plan import Plan

INSTRUCTION = """You plan work as a graph. Answer with nodes and edges: each node calls one of the functions that are listed, \
an edge says that its target waits for its source, and `to` names the parameter of the target that takes the output of the \
source. Nodes that do not depend on each other run side by side. A parameter takes its value from `args`, from an edge, or \
from the input that it is named after. A cycle is a loop, and the edge that leads back says in `rounds` how often at most."""

_CONTEXT = "midstream_context"
_PLANNED = "midstream_planned"
_EMPTY = inspect.Parameter.empty


@dataclass(frozen=True)
class Planned:
    """How a node plans; see `Planner.plan`."""

    name: str
    goal: str | Callable[..., str]
    functions: tuple[str, ...]
    max_nodes: int
    max_rounds: int
    experience: bool | str | None
    settings: Mapping[str, JsonValue]


def planned_of(node: Node) -> Planned | None:
    """Return how a node plans, or None for one that does something else."""
    found: Planned | None = getattr(node.function, _PLANNED, None)
    return found


class Planner(Registry):
    """The part of `Graph` that is about planning."""

    if TYPE_CHECKING:

        def add_node(
            self,
            name: str | None,
            function: Callable[..., Any] | str,
            **options: Unpack[NodeOptions],
        ) -> Node:
            """See `Graph.add_node`."""
            ...

    def plan(
        self,
        name: str,
        *,
        goal: str | Callable[..., str],
        nodes: Sequence[Tool | Callable[..., Any] | str],
        model: str = "",
        max_nodes: int = MAX_NODES,
        max_rounds: int = MAX_ROUNDS,
        after: Sequence[str | Callable[..., Any]] = (),
        output: bool = False,
        start: bool = True,
        on_failure: Literal["fail", "skip", "reflect"] | Continue | None = None,
        retry: Retry = NEVER,
        timeout: float | None = None,
        experience: bool | str | None = None,
        settings: Mapping[str, JsonValue] | None = None,
    ) -> Node:
        """Add a node whose output is what a model's plan comes to: the model plans, its nodes run, and this node has the result.

        Two nodes are added: `NAME.plan` asks the model, whose plan is refused with reasons once, and the second time with
        `PlanError`; its output is the plan as data. `NAME` waits for that and for the output nodes of the plan; its output
        is that of the one, or, of several, a mapping by node.

        Args:
            name: Of the node.
            goal: What is to be reached: a text, a template over nodes and inputs, or a function that says so from those that
                its parameters are named after.
            nodes: What the plan may use: functions, tools, and names of registered ones.
            model: Who plans; empty for the run's.
            max_nodes: So many nodes at most.
            max_rounds: So often a loop goes back at most.
            after: Nodes that come before the planning.
            output: What the plan comes to is the output of the run.
            start: It plans by itself; otherwise only when something goes to `NAME.plan`.
            on_failure: When planning fails. `reflect` and `Continue` are also for each node of the plan, and the value of the
                latter is then what a plan that failed comes to; see `Node`.
            retry: How often planning is tried.
            timeout: Seconds for the planning, without the plan.
            experience: Tell the model what earlier runs taught; see `Context.llm`.
            settings: Of the model call, such as `temperature`.

        Raises:
            GraphError: A name is taken or unknown, or an option is wrong.
        """
        where = f"graph {self.name!r}: plan {name!r}"
        if max_nodes < 1 or max_rounds < 1:
            raise GraphError(f"{where}: max_nodes and max_rounds must be 1 or more")
        goes_on = isinstance(on_failure, Continue)
        if not goes_on and on_failure not in (None, "fail", "skip", "reflect"):
            raise GraphError(
                f"{where}: on_failure must be 'fail', 'skip', 'reflect' or Continue(…), not {on_failure!r}"
            )
        functions = self._usable(where, nodes)

        async def draw(ctx: Any, goal: str) -> dict[str, Any]:
            told = f"{goal}\n\n{self._told(functions, name, max_nodes, max_rounds)}"
            terms: dict[str, Any] = {"functions": functions, "into": name}
            terms |= {"max_nodes": max_nodes, "max_rounds": max_rounds}
            terms |= {"on_failure": on_failure if goes_on or on_failure == "reflect" else None}
            asked = {"experience": experience, **(settings or {})}
            return await _drawn(ctx, f"{name}.plan", told, terms, asked)

        options: NodeOptions = {"after": after, "model": model, "retry": retry, "timeout": timeout}
        if on_failure is not None:
            options["on_failure"] = on_failure
        options["start"] = start
        planning = _planning(where, name, goal, draw)
        told = Planned(
            name, goal, functions, max_nodes, max_rounds, experience, dict(settings or {})
        )
        setattr(planning, _PLANNED, told)
        self.add_node(f"{name}.plan", planning, **options)
        return self.add_node(
            name,
            _gathering(name, on_failure),
            after=[f"{name}.plan"],
            inputs="named",
            output=output,
            pure=True,
            on_failure="fail",
        )

    def _usable(
        self, where: str, nodes: Iterable[Tool | Callable[..., Any] | str]
    ) -> tuple[str, ...]:
        """Return what a plan may use by name, registered."""
        names: list[str] = []
        for one in nodes:
            if isinstance(one, str):
                self.function_named(one)
                names.append(one)
                continue
            try:
                names.append(self.name_of_function(one))
            except GraphError:
                self.register(one)
                names.append(self.name_of_function(one))
        if not names:
            raise GraphError(f"{where}: nodes names nothing that a plan could use")
        return tuple(dict.fromkeys(names))

    def _told(self, functions: Iterable[str], name: str, max_nodes: int, max_rounds: int) -> str:
        """Return what a model has to know; the same in every process, or its answer would not be found again."""
        after = self._after(f"{name}.plan")
        there = [n for n, node in self.nodes.items() if node.start and n not in after]
        taken = ", ".join(there) or "none"
        return (
            f"Functions:\n{self.told(functions)}\n\n"
            f"Nodes that there are, whose outputs can be taken: {taken}\n"
            f"At most {max_nodes} nodes, and {max_rounds} rounds of a loop."
        )

    def _after(self, first: str) -> set[str]:
        """Return a node and all that depend on it."""
        found = {first}
        grown = True
        while grown:
            before = len(found)
            for name, node in self.nodes.items():
                if found.intersection((*node.after, *(p.source for p in node.waits))):
                    found.add(name)
            grown = len(found) > before
        return found


async def _drawn(
    ctx: Any, name: str, prompt: str, terms: Mapping[str, Any], asked: Mapping[str, Any]
) -> dict[str, Any]:
    """Ask for a plan, once more where it is refused, and follow it."""
    from midstream.engine.ready.plan import Plan

    def checked(plan: Plan) -> Plan:
        try:
            ctx.add_plan(plan, dry_run=True, **terms)
        except PlanError as error:
            reasons = "; ".join(error.reasons)
            raise PydanticCustomError("refused", "{reasons}", {"reasons": reasons}) from error
        return plan

    try:
        reply = await ctx.llm(
            prompt,
            system=INSTRUCTION,
            thread=None,
            output=Annotated[Plan, AfterValidator(checked)],
            **asked,
        )
    except OutputError as error:
        raise PlanError(name, [error.problem or str(error)]) from error
    plan = cast("Plan", reply.output)
    ctx.add_plan(plan, **terms)
    return {**plan.data(), "output": list(plan.outputs())}


def _planning(
    where: str, name: str, goal: str | Callable[..., str], draw: Callable[..., Any]
) -> Callable[..., Any]:
    """Return the function of the node that plans, with the parameters of the goal."""
    said, parameters = _goal(f"{where}: goal", goal)

    async def plan(**values: Any) -> dict[str, Any]:
        ctx = values.pop(_CONTEXT)
        made: dict[str, Any] = await draw(ctx, said(values))
        return made

    context = inspect.Parameter(
        _CONTEXT, inspect.Parameter.KEYWORD_ONLY, annotation="midstream.Context"
    )
    named: Any = plan
    named.__name__ = f"{name}.plan"
    named.__signature__ = inspect.Signature([*parameters, context])
    named.__annotations__ = {p.name: p.annotation for p in parameters}
    return plan


def _goal(
    where: str, goal: str | Callable[..., str]
) -> tuple[Callable[[Mapping[str, Any]], str], list[inspect.Parameter]]:
    """Return what says the goal from values, and what it takes."""
    if isinstance(goal, str) and not is_template(goal):
        return lambda values: goal, []
    if isinstance(goal, str):
        template = Template(goal, where)
        names = {name: None if name in template.optional else _EMPTY for name in template.names}
        found = [_keyword(name, Any, default) for name, default in names.items()]
        kept = template.optional
        return (
            lambda values: template.text(
                {n: v for n, v in values.items() if v is not None or n not in kept}
            )
        ), found
    if is_async(goal):
        raise GraphError(f"{where} must be a plain function: it only says what is wanted")
    hints = annotations_of(goal)
    read = parameters_of(goal, where)
    return lambda values: goal(**values), [
        _keyword(p.name, hints.get(p.name, Any), p.default) for p in read
    ]


def _keyword(name: str, annotation: Any, default: Any) -> inspect.Parameter:
    kind = inspect.Parameter.KEYWORD_ONLY
    return inspect.Parameter(name, kind, annotation=annotation, default=default)


def _gathering(name: str, on_failure: str | Continue | None) -> Callable[..., Any]:
    """Return the function of the node that has what the plan comes to."""

    def gather(outputs: dict[str, Any]) -> Any:
        plan = outputs[f"{name}.plan"]
        if isinstance(on_failure, Continue) and plan == on_failure.value:
            return plan  # there is none
        wanted = plan["output"]
        found = {one: outputs[one] for one in wanted}
        return found[wanted[0]] if len(wanted) == 1 else found

    gather.__name__ = name
    return gather
