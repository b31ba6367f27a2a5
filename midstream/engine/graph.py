"""Graphs: nodes, and what each waits for, read off the names of their parameters.

A parameter named like a node takes that node's output; one named like an input takes the input; a `Context` is handed in.
`after=` adds order without data, `Annotated[T, From("node")]` helps where the names differ.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import sha256
from typing import Annotated, Any, TypeVar, get_args, get_origin, overload

import orjson
from pydantic import JsonValue

from midstream.engine.context_policy import ContextOption
from midstream.engine.retry import NEVER, Retry
from midstream.engine.signature import annotations_of, is_async
from midstream.errors import GraphError
from midstream.events.codec import Prepared, prepare
from midstream.events.ids import NODE_NAME
from midstream.events.values import plain

Function = TypeVar("Function", bound=Callable[..., Any])

CONTEXT = "Context"


@dataclass(frozen=True, slots=True)
class From:
    """The node a parameter takes its value from, where the names differ: `Annotated[str, From("plan")]`."""

    node: str


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a node's function.

    Attributes:
        name: Its name.
        source: The node or the input it takes its value from; empty for the context.
        annotation: Its type, `Any` where it has none.
        default: Its default, or `inspect.Parameter.empty`.
        named: The source was named by `From`, so it must be a node.
    """

    name: str
    source: str
    annotation: Any
    default: Any
    named: bool = False


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a graph.

    Attributes:
        name: Its name.
        function: What it does; async, or sync in a thread (a pure one on the loop).
        parameters: Of the function.
        after: Nodes it waits for without taking their output.
        output: Its output is the run's.
        pure: It does nothing outside: no file, no network, no clock. It may run before what led to it is durable.
        retry: How often an activation is tried.
        timeout: Seconds for one attempt, or None.
        model: The model of its calls that name none, or empty for the run's.
        is_async: The function is a coroutine function.
        wants_context: A parameter takes the `Context`.
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


@dataclass(eq=False)
class Graph:
    """A named graph of nodes; it grows until its first run starts.

    Args:
        name: The name by which a resumed run finds its code again.
        version: Of the code, recorded with each run.
        context: What is done in its runs where a conversation is too long for its model; see `ContextPolicy`.
    """

    name: str
    version: str = ""
    context: ContextOption | None = None
    nodes: dict[str, Node] = field(default_factory=dict[str, Node], init=False)

    def __post_init__(self) -> None:
        if not NODE_NAME.fullmatch(self.name):
            raise GraphError(
                f"graph name {self.name!r}: must begin with a letter and hold letters, digits, '.', '-', '_'"
            )

    @overload
    def node(self, function: Function, /) -> Function: ...

    @overload
    def node(
        self,
        /,
        *,
        name: str | None = None,
        after: Sequence[str | Callable[..., Any]] = (),
        output: bool = False,
        pure: bool = False,
        retry: Retry = NEVER,
        timeout: float | None = None,
        model: str = "",
    ) -> Callable[[Function], Function]: ...

    def node(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """Add the decorated function as a node; see `add_node` for the options."""

        def add(decorated: Callable[..., Any]) -> Callable[..., Any]:
            self.add_node(name, decorated, **options)
            return decorated

        return add if function is None else add(function)

    def add_node(
        self,
        name: str | None,
        function: Callable[..., Any],
        *,
        after: Sequence[str | Callable[..., Any]] = (),
        output: bool = False,
        pure: bool = False,
        retry: Retry = NEVER,
        timeout: float | None = None,
        model: str = "",
    ) -> Node:
        """Add a node.

        Args:
            name: Its name; None takes the function's.
            function: What it does.
            after: Nodes, by name or function, that must have completed before it.
            output: Its output is the run's; without any such node, those that nobody waits for are.
            pure: It does nothing outside the process; see `Node`.
            retry: How often an activation is tried; by default once.
            timeout: Seconds for one attempt.
            model: The model of its calls that name none.

        Raises:
            GraphError: The name is taken or not a name, or the function's parameters cannot be bound.
        """
        name = _name_of(function) if name is None else name
        if not NODE_NAME.fullmatch(name):
            raise GraphError(
                f"graph {self.name!r}: node name {name!r} must begin with a letter and hold letters, digits, '.', "
                "'-', '_'; pass name=… where the function has none"
            )
        if name in self.nodes:
            raise GraphError(
                f"graph {self.name!r} has a node {name!r} already; pass name=… to add the function again"
            )
        if timeout is not None and timeout <= 0:
            raise GraphError(f"node {name!r}: timeout must be more than 0 seconds, not {timeout!r}")
        parameters = _parameters(self.name, name, function)
        made = Node(
            name,
            function,
            parameters,
            tuple(one if isinstance(one, str) else _name_of(one) for one in after),
            output,
            pure,
            retry,
            timeout,
            model,
            is_async(function),
            any(not parameter.source for parameter in parameters),
        )
        self.nodes[name] = made
        for cached in ("definition", "prepared", "digest", "input_names"):
            self.__dict__.pop(cached, None)
        return made

    @cached_property
    def definition(self) -> Mapping[str, JsonValue]:
        """The graph as data: what is recorded with each run.

        Raises:
            GraphError: It names nodes that do not exist, has a cycle, or has no node.
        """
        nodes: dict[str, JsonValue] = {}
        for name, node in self.nodes.items():
            nodes[name] = self._node_data(node)
        if not nodes:
            raise GraphError(f"graph {self.name!r} has no node; add one with @{self.name}.node")
        self._check_cycles()
        return {"nodes": nodes}

    @cached_property
    def prepared(self) -> Prepared:
        """The definition as it is stored, made once for all runs.

        Raises:
            NotRecordableError: A value in it is not JSON.
        """
        return prepare(plain(self.definition, f"the definition of graph {self.name!r}"))

    @cached_property
    def digest(self) -> str:
        """sha256 of the definition, in hex: the same for the same graph in every process."""
        return sha256(orjson.dumps(self.definition, option=orjson.OPT_SORT_KEYS)).hexdigest()

    @cached_property
    def input_names(self) -> Mapping[str, bool]:
        """The inputs of a run, and whether each must be given."""
        names: dict[str, bool] = {}
        for node in self.nodes.values():
            for parameter in node.parameters:
                if parameter.source and parameter.source not in self.nodes:
                    required = parameter.default is inspect.Parameter.empty
                    names[parameter.source] = names.get(parameter.source, False) or required
        return names

    def check_inputs(self, inputs: Iterable[str]) -> None:
        """Refuse inputs that nobody takes, and missing ones.

        Raises:
            GraphError: One is missing or unknown.
        """
        given = set(inputs)
        missing = [
            name for name, required in self.input_names.items() if required and name not in given
        ]
        unknown = sorted(given - self.input_names.keys())
        if not missing and not unknown:
            return
        takes = ", ".join(self.input_names) or "no inputs"
        found = (
            f"input {missing[0]!r} is missing"
            if missing
            else f"no node takes an input {unknown[0]!r}"
        )
        raise GraphError(
            f"graph {self.name!r}: {found}; it takes {takes}, its nodes are {', '.join(self.nodes)}"
        )

    def _node_data(self, node: Node) -> dict[str, JsonValue]:
        self._check_names(node)
        values: dict[str, JsonValue] = {
            parameter.name: parameter.source
            for parameter in node.parameters
            if parameter.source in self.nodes
        }
        options: dict[str, JsonValue] = {
            "values": values,
            "after": list[JsonValue](node.after),
            "output": node.output,
            "pure": node.pure,
            "retry": node.retry.data() if node.retry != NEVER else None,
            "timeout": node.timeout,
            "model": node.model,
        }
        return {name: value for name, value in options.items() if value}

    def _check_names(self, node: Node) -> None:
        there_are = f"there are {', '.join(self.nodes)}"
        for parameter in node.parameters:
            if parameter.named and parameter.source not in self.nodes:
                raise GraphError(
                    f"graph {self.name!r}: parameter {parameter.name!r} of node {node.name!r} is "
                    f"From({parameter.source!r}), but there is no such node; {there_are}"
                )
        for needed in node.after:
            if needed not in self.nodes:
                raise GraphError(
                    f"graph {self.name!r}: node {node.name!r} is after {needed!r}, but there is no such node; "
                    f"{there_are}"
                )

    def _needs(self, node: Node) -> set[str]:
        return {p.source for p in node.parameters if p.source in self.nodes} | set(node.after)

    def _check_cycles(self) -> None:
        waits_for = {name: self._needs(node) for name, node in self.nodes.items()}
        waiting = {name: len(needs) for name, needs in waits_for.items()}
        followers: dict[str, list[str]] = {name: [] for name in self.nodes}
        for name, needs in waits_for.items():
            for needed in needs:
                followers[needed].append(name)
        free = [name for name, count in waiting.items() if count == 0]
        while free:
            name = free.pop()
            del waiting[name]
            for follower in followers[name]:
                waiting[follower] -= 1
                if waiting[follower] == 0:
                    free.append(follower)
        if waiting:
            raise GraphError(
                f"graph {self.name!r} has a cycle: {_cycle(waits_for, waiting)}; take one of these dependencies away"
            )


def _cycle(waits_for: Mapping[str, set[str]], left: Mapping[str, int]) -> str:
    """Return one cycle among the nodes that are left, as `a → b → a`."""
    path = [next(iter(left))]
    while True:
        following = min(name for name in waits_for[path[-1]] if name in left)
        if following in path:
            return " → ".join([*path[path.index(following) :], following])
        path.append(following)


def _name_of(function: Callable[..., Any]) -> str:
    return str(getattr(function, "__name__", type(function).__name__))


def _parameters(graph: str, node: str, function: Callable[..., Any]) -> tuple[Parameter, ...]:
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError) as error:
        raise GraphError(
            f"graph {graph!r}: node {node!r}: {function!r} has no readable signature"
        ) from error
    hints = annotations_of(function)
    found: list[Parameter] = []
    for parameter in signature.parameters.values():
        if parameter.kind in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
            parameter.POSITIONAL_ONLY,
        ):
            raise GraphError(
                f"graph {graph!r}: parameter {parameter} of node {node!r} cannot be bound by name; "
                "name each value the node takes"
            )
        found.append(_parameter(node, parameter, hints.get(parameter.name, Any)))
    return tuple(found)


def _parameter(node: str, parameter: inspect.Parameter, annotation: Any) -> Parameter:
    written = parameter.annotation
    if getattr(annotation, "__name__", "") == CONTEXT or written in (
        CONTEXT,
        f"midstream.{CONTEXT}",
    ):
        return Parameter(parameter.name, "", annotation, parameter.default)
    if annotation is Any and parameter.name == "ctx":
        return Parameter(parameter.name, "", Any, parameter.default)
    if get_origin(annotation) is Annotated:
        for extra in get_args(annotation)[1:]:
            if isinstance(extra, From):
                return Parameter(
                    parameter.name, extra.node, _without(annotation), parameter.default, named=True
                )
    if parameter.name == node:
        raise GraphError(
            f"node {node!r} has a parameter of its own name: it would wait for itself; rename it"
        )
    return Parameter(parameter.name, parameter.name, annotation, parameter.default)


def _without(annotation: Any) -> Any:
    """Return the annotation without `From`, which says nothing about the value."""
    kept = [extra for extra in get_args(annotation)[1:] if not isinstance(extra, From)]
    return Annotated[(get_args(annotation)[0], *kept)] if kept else get_args(annotation)[0]
