"""A node: a function, what it waits for, and what is done when it fails; and the same as data."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol, TypedDict

from pydantic import JsonValue, ValidationError

from midstream.engine.model_names import model_named
from midstream.engine.nodes.asked import Asked, asked
from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.loop import Loop
from midstream.engine.nodes.node_options import check_options, taking
from midstream.engine.nodes.reducing import NONE, reducing
from midstream.engine.nodes.tool_node import as_function
from midstream.engine.retry import NEVER, Retry
from midstream.engine.signature import (
    Parameter,
    adapter_of,
    is_async,
    name_of,
    parameters_of,
)
from midstream.errors import GraphError
from midstream.events.values import plain

Inputs = Literal["each", "merge", "completed", "named", "unpack", "none"]
"""How the outputs a node waits for become its arguments, where that is not by name."""

ITEMS = "*"
"""The name under which a map's items are bound."""


class Runs(Protocol):
    """What a node knows of the graph that it runs; see `Graph`."""

    @property
    def name(self) -> str:
        """Its name."""
        ...

    @property
    def nodes(self) -> Mapping[str, Node]:
        """Its nodes, by name."""
        ...

    @property
    def inputs(self) -> Mapping[str, Parameter]:
        """What it takes, by name."""
        ...

    @property
    def variables(self) -> Mapping[str, Any]:
        """Values of inputs that nobody gives."""
        ...

    @property
    def registered(self) -> Mapping[str, Runs]:
        """The graphs that its nodes may be made of by name."""
        ...


@dataclass(frozen=True, slots=True)
class Continue:
    """What stands in for the output of a node that failed: `on_failure=Continue([])`."""

    value: JsonValue


@dataclass(frozen=True, slots=True)
class Over:
    """What the activations of a map are made of.

    Attributes:
        source: The node or input that holds the items; empty where a function gives them.
        items: The function that gives them, or None.
        key: Names an item; None takes its place, from 0.
        concurrency: At most so many items are under way; None for all.
        order: Of the results: as the items, or as they completed.
        key_name: The template or the registered name of `key`; empty where it is only a function.
    """

    source: str
    items: Asked | None
    key: Callable[[Any], Any] | None
    concurrency: int | None
    order: Literal["results", "completed"]
    key_name: str = ""


class NodeOptions(TypedDict, total=False):
    """The options of a node, for `Graph.node`, `Graph.add_node` and `Context.add_node`; see `Node` for what they do."""

    after: Sequence[str | Callable[..., Any]]
    output: bool
    pure: bool
    retry: Retry
    timeout: float | None
    idle_timeout: float | None
    total_timeout: float | None
    model: str
    start: bool
    when: Callable[..., Any] | str | None
    join: Literal["all", "any", "reduce"] | int
    inputs: Inputs | None
    args: Mapping[str, Any]
    distribute: bool
    on_failure: str | Continue
    compensate: str | Callable[..., Any] | None
    take: Mapping[str, str]
    initial: Any
    llm_wrapper: str
    task_group: str
    polling_pool: str
    llm_client: str


@dataclass(
    slots=True
)  # not frozen, which makes one five times as dear: a graph may have ten thousand
class Node:
    """A node of a graph; made once, and not changed.

    Attributes:
        name: Its name.
        function: What it does; async, or sync in a thread (a pure one on the loop).
        parameters: Of the function.
        after: Nodes it waits for without taking their output by name.
        output: Its output is the run's.
        pure: It does nothing outside: no file, no network, no clock. It may run before what led to it is durable.
        retry: How often an activation is tried.
        timeout: Seconds for one attempt, or None.
        model: The model of its calls that name none, or empty for the run's.
        is_async: The function is a coroutine function.
        wants_context: A parameter takes the `Context`.
        idle_timeout: Seconds that may pass in an attempt without a sign of life, or None.
        total_timeout: Seconds for all attempts with the waits between them, or None.
        start: It runs by itself; otherwise only when something goes to it.
        when: Says from its parameters whether the node runs, once nothing it waits for is still to come.
        join: `all`, `any`, or how many of those it waits for are enough; what is no longer needed is ended. `reduce` waits
            for all, and calls the function with what has come of it so far and the next output, one after the other in
            the order in which they completed; the option `initial` is where that begins, else it is the first output.
        inputs: How the outputs of `after` become arguments: `each` one, in order; all as one list (`merge`), also in the order in
            which they completed (`completed`), or as one dict by node (`named`); one list or dict spread (`unpack`); not at all (`none`). None binds by name.
        args: Values for parameters, in place of what their names would say. The option `take` says by which other name a
            parameter takes a node or an input.
        distributes: Its output is a list, and each successor takes one item, in the order of the successors.
        on_failure: `fail`; `skip`: successors are told it was skipped; `Continue(value)`; `reflect`: planned anew, see
            `midstream.engine.planning.reflection`; or the node that control goes to.
        undo: The node that undoes its effects if the run fails, or empty.
        over: What it is mapped over, or None.
        code: The name of the registered function, of a node that was added to a run.
        graph: The graph that it runs in place of a function, or None.
        take: Of such a node: the nodes or inputs that the graph's inputs come from, where the names differ.
        loop: Where control goes back to, of a node that a plan has added.
        initial: Where a reduction begins, in a tuple, or None.
        free: The parameters that neither the context nor `args` fills.
        bound: The parameters that take a value by name.
        simple: All its parameters are bound by name.
        bare: An activation of it is no more than a call of its function.
        acts: An activation of it calls what may have effects; of a map over a value only its items' activations do.
    """

    name: str
    function: Callable[..., Any]
    parameters: tuple[Parameter, ...]
    after: tuple[str, ...] = ()
    output: bool = False
    pure: bool = False
    retry: Retry = NEVER
    timeout: float | None = None
    model: str = ""
    is_async: bool = True
    wants_context: bool = False
    idle_timeout: float | None = None
    total_timeout: float | None = None
    start: bool = True
    when: Asked | None = None
    join: Literal["all", "any", "reduce"] | int = "all"
    inputs: Inputs | None = None
    args: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    distributes: bool = False
    on_failure: str | Continue = "fail"
    undo: str = ""
    over: Over | None = None
    code: str = ""
    graph: Runs | None = None
    take: Mapping[str, str] = field(default_factory=dict[str, str])
    loop: Loop | None = None
    initial: tuple[JsonValue] | None = None
    free: tuple[Parameter, ...] = field(init=False, default=(), repr=False, compare=False)
    bound: tuple[Parameter, ...] = field(init=False, default=(), repr=False, compare=False)
    simple: bool = field(init=False, default=True, repr=False, compare=False)
    bare: bool = field(init=False, default=False, repr=False, compare=False)
    acts: bool = field(init=False, default=True, repr=False, compare=False)

    def __post_init__(self) -> None:
        free = tuple([p for p in self.parameters if p.source and p.name not in self.args])
        self.free = free
        if self.over is not None:
            self.bound = free[1:]
        else:
            self.bound = free if self.inputs is None else tuple([p for p in free if p.named])
        self.simple = self.inputs is None and self.over is None and not self.args
        here = self.is_async or self.pure  # not in a thread
        steers = self.wants_context or self.distributes or self.loop is not None
        limited = self.timeout or self.total_timeout or self.idle_timeout
        self.bare = here and not (steers or limited or self.graph is not None)
        only_items = self.over is not None and self.over.items is None and self.over.key is None
        self.acts = not (self.pure or only_items)

    @property
    def waits(self) -> tuple[Parameter, ...]:
        """Everything that may name a node to wait for, under the names of `values`."""
        if self.over is None:
            return self.bound
        extra: list[Parameter] = []
        if self.over.items is None:
            extra.append(Parameter(ITEMS, self.over.source, Any, inspect.Parameter.empty))
        else:
            extra += [
                Parameter(f"{ITEMS}.{p.name}", p.source, p.annotation, p.default, p.named)
                for p in self.over.items.parameters
            ]
        return (*self.bound, *extra)

    def code_of(self) -> Any:
        """Return what it is made of: its function, or the graph that it runs."""
        return self.function if self.graph is None else self.graph

    def taking(self, parameter: Parameter) -> Parameter:
        """Return an input of the graph that it runs as its own parameter."""
        source = self.take.get(parameter.name)
        return parameter if source is None else replace(parameter, source=source)


def make_node(
    owner: str,
    name: str,
    function: Callable[..., Any] | Runs,
    options: Mapping[str, Any],
    registered: str = "",
) -> Node:
    """Return a node, whose options are checked as far as they can be without the rest of the graph.

    Args:
        owner: The graph, for errors, as in `graph 'trip'`.
        name: The node's name.
        function: What it does, or the graph that it runs: what that takes is known once it is whole, see `with_inputs`.
        options: See `NodeOptions`; `when` a function, `compensate` the name of a node; `over` for a map.
        registered: The name by which the graph knows the function, where that is recorded of the node.

    Raises:
        GraphError: An option is wrong, or a parameter cannot be bound.
    """
    where = f"{owner}: node {name!r}"
    check_options(where, name, options)
    given = dict(options)
    given["model"] = model_named(where, given)
    inputs = given.pop("inputs", None)
    take: Mapping[str, str] = given.pop("take", {})
    initial = given.pop("initial", NONE)
    if callable(function):
        code = (
            function.placed(where) if isinstance(function, DataFunction) else as_function(function)
        )
        parameters = parameters_of(code, where, rest=inputs in ("each", "unpack"))
        parameters, graph = taking(where, parameters, take), None
        if given.get("join") == "reduce":
            inputs, pure = "completed", given.get("pure", False)
            code, parameters = reducing(where, code, parameters, initial, pure=pure)
    else:
        code, parameters, graph = _runs_graph, (), function
    args = given.pop("args", {})
    if args:
        args = {key: plain(value, f"{where}: argument {key!r}") for key, value in args.items()}
    when = given.pop("when", None)
    distributes = given.pop("distribute", False)
    undo = given.pop("compensate", None) or ""
    after = given.pop("after", ())
    made = Node(
        name,
        code,
        parameters,
        tuple([one if isinstance(one, str) else name_of(one) for one in after]),
        is_async=is_async(code),
        wants_context=any(not parameter.source for parameter in parameters),
        inputs=inputs,
        args=args,
        when=None if when is None else asked(f"{where}: when", when),
        distributes=distributes,
        undo=undo,
        code=registered,
        initial=None if initial is NONE else (plain(initial, f"{where}: initial"),),
        graph=graph,
        take={} if graph is None else dict(take),
        **given,
    )
    if graph is None:
        _check_parameters(where, made)
    else:
        _check_runs(where, made)
    return made


def with_inputs(owner: str, node: Node, inputs: Mapping[str, Parameter]) -> Node:
    """Return a node that runs a graph, with the inputs of that graph as its parameters.

    Args:
        owner: The graph it is in, for errors.
        node: The node.
        inputs: Of the graph that it runs, by name.

    Raises:
        GraphError: An option names an input that there is not, or a value does not fit.
    """
    made = replace(node, parameters=tuple(node.taking(one) for one in inputs.values()))
    _check_parameters(f"{owner}: node {node.name!r}", made)
    return made


def _runs_graph() -> None:
    raise AssertionError("a node that runs a graph has no function")


def _check_runs(where: str, node: Node) -> None:
    if node.pure:
        raise GraphError(f"{where} runs a graph: say pure=True of the nodes in it")
    if node.idle_timeout is not None:
        raise GraphError(f"{where} runs a graph: give idle_timeout to the nodes in it")


def _check_parameters(where: str, node: Node) -> None:
    for parameter in node.bound:
        if parameter.name == node.name and not parameter.named:
            raise GraphError(
                f"node {node.name!r} has a parameter of its own name: it would wait for itself; rename it"
            )
    known = {parameter.name: parameter for parameter in node.parameters if parameter.source}
    for name in node.take:
        if name not in known:
            takes = ", ".join(sorted(known)) or "none"
            raise GraphError(f"{where} has no parameter {name!r} for take to fill; it has {takes}")
    for name, value in node.args.items():
        if name not in known:
            takes = ", ".join(sorted(known)) or "none"
            raise GraphError(
                f"{where} has no parameter {name!r} for args to fill; it takes {takes}"
            )
        _check_value(where, known[name], value)
    if node.over is not None and not node.free:
        what = "function" if node.graph is None else f"graph {node.graph.name!r}"
        raise GraphError(f"{where} is a map, but its {what} takes no item")
    if node.over is not None and node.inputs is not None:
        raise GraphError(f"{where} is a map: its function takes an item, so inputs= has no meaning")


def _check_value(where: str, parameter: Parameter, value: JsonValue) -> None:
    if type(value) is parameter.annotation and type(value) in (str, int, bool):
        return
    adapter = adapter_of(parameter.annotation)
    if adapter is None:
        return
    try:
        adapter.validate_python(value)
    except ValidationError as error:
        raise GraphError(
            f"{where}: argument {parameter.name!r} wants {parameter.annotation!r}, not {value!r:.100}: "
            f"{error.errors()[0]['msg']}"
        ) from error
