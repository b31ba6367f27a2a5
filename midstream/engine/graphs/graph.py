"""Graphs: nodes, and what each waits for, read off the names of their parameters.

A parameter named like a node takes that node's output; one named like an input takes the input; a `Context` is handed in.
`after=` adds order without data, `Annotated[T, From("node")]` helps where the names differ. The decorators are short for
the verbs `add_node`, `add_edge`, `remove_node` and `remove_edge`, which a running node has too; see `Context`.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import sha256
from typing import Any, Literal, Unpack, overload

import orjson
from pydantic import JsonValue

from midstream.engine.agents.agent import Agent
from midstream.engine.graphs.documents.verbs import Documented
from midstream.engine.limits import Limits
from midstream.engine.nodes.asked import asked
from midstream.engine.nodes.checking import (
    check_beginning,
    check_cycles,
    check_inputs_named,
    check_names,
    check_types,
)
from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.graph_tool import AsTool
from midstream.engine.nodes.joining import check_without
from midstream.engine.nodes.node import Node, NodeOptions, Over, Runs, make_node, with_inputs
from midstream.engine.nodes.node_data import node_data
from midstream.engine.nodes.registry import Code, Function
from midstream.engine.nodes.subgraphs import graphs_in, inputs_of
from midstream.engine.nodes.templates import ItemExpression, is_template
from midstream.engine.on_change import OnChange
from midstream.engine.ready.planner import Planner
from midstream.engine.requests.context_policy import ContextOption
from midstream.engine.signature import From, Parameter, name_of
from midstream.errors import GraphError
from midstream.events.codec import Prepared, prepare
from midstream.events.ids import NODE_NAME
from midstream.events.values import plain

__all__ = ["From", "Graph", "Node", "Parameter"]


@dataclass(eq=False)
class Graph(Documented, Planner, AsTool):
    """A named graph of nodes; it grows until its first run starts, and each run may then change its own.

    Args:
        name: The name by which a resumed run finds its code again.
        version: Of the code, recorded with each run.
        context: What is done in its runs where a conversation is too long for its model; see `ContextPolicy`.
        limits: What each run may not exceed, unless it is started with other limits.
        on_failure: What is done when a node fails that says nothing of its own: `fail`, or `reflect`; see `Node`.
        description: For people.
        takes: The names of the inputs of a run; where they are given, a parameter of any other name must be a node's.
        variables: Inputs that need not be given, and their values.
        on_change: What is done with its runs where they are resumed with other code than they were started with: `pin` refuses
            it, `upgrade` goes on where nothing of what has begun was changed; None for what the engine says.

    Attributes:
        nodes: By name.
        agents: Those that nodes name, by name; a node that is added in a run may name them, too.
    """

    name: str
    version: str = ""
    context: ContextOption | None = None
    limits: Limits = field(default_factory=Limits)
    on_failure: Literal["fail", "reflect"] = "fail"
    description: str = ""
    takes: tuple[str, ...] | None = None
    variables: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    on_change: OnChange | None = None
    nodes: dict[str, Node] = field(default_factory=dict[str, Node], init=False)
    agents: dict[str, Agent] = field(default_factory=dict[str, Agent], init=False)

    def __post_init__(self) -> None:
        super().__init__()
        self._inputs: Mapping[str, Parameter] | None = None
        self._around: list[Graph] = []  # the graphs that may run this one
        if not NODE_NAME.fullmatch(self.name):
            raise GraphError(
                f"graph name {self.name!r}: must begin with a letter and hold letters, digits, '.', '-', '_'"
            )
        if self.on_failure not in ("fail", "reflect"):
            raise GraphError(
                f"graph {self.name!r}: on_failure must be 'fail' or 'reflect', not {self.on_failure!r}; other ways are "
                "options of its nodes"
            )
        if self.on_change not in (None, "pin", "upgrade"):
            raise GraphError(
                f"graph {self.name!r}: on_change must be 'pin' or 'upgrade', or None for what the engine says, not "
                f"{self.on_change!r}"
            )

    @overload
    def node(self, function: Function, /) -> Function: ...

    @overload
    def node(
        self, /, *, name: str | None = None, **options: Unpack[NodeOptions]
    ) -> Callable[[Function], Function]: ...

    def node(
        self,
        function: Callable[..., Any] | None = None,
        /,
        *,
        name: str | None = None,
        **options: Any,
    ) -> Any:
        """Add the decorated function as a node; see `Node` for the options."""

        def add(decorated: Callable[..., Any]) -> Callable[..., Any]:
            self.add_node(name, decorated, **options)
            return decorated

        return add if function is None else add(function)

    def add_node(
        self,
        name: str | None,
        function: Callable[..., Any] | Runs | str,
        **options: Unpack[NodeOptions],
    ) -> Node:
        """Add a node.

        Args:
            name: Its name; None takes the function's.
            function: What it does: a function, a graph, see `subgraph`, or the name of one that is registered.
            **options: See `Node`; without any node with `output=True`, those that nobody waits for are the outputs.

        Raises:
            GraphError: The name is taken or not a name, or the function's parameters cannot be bound.
        """
        code = self.code_named(function) if isinstance(function, str) else function
        return self._add(name_of(code) if name is None else name, code, {**options})

    def map(
        self,
        name: str | None,
        function: Callable[..., Any] | Runs | str,
        *,
        over: str | Callable[..., Iterable[Any] | AsyncIterable[Any]],
        key: Callable[[Any], Any] | str | None = None,
        concurrency: int | None = None,
        order: Literal["results", "completed"] = "results",
        **options: Unpack[NodeOptions],
    ) -> Node:
        """Add a node that runs once for each item, each time as an activation of its own; its output is their list.

        Args:
            name: Its name; None takes the function's.
            function: What is done with an item, which its first parameter takes; the others are bound by name. A graph
                is run for each item, which its first input takes.
            over: The node or input that holds the items, a template that is one, or a function that gives them, also one
                by one as an async generator. A run that is resumed asks it again, so it must then give items with the
                same keys.
            key: Names an item, uniquely: a function, a template of `item`, or a registered name; None takes its place. An
                item is found again by its key.
            concurrency: At most so many items are under way at a time.
            order: Of the results: as the items, or as they completed.
            **options: See `Node`; `retry`, `timeout` and `on_failure` are of each item.

        Raises:
            GraphError: As `add_node`, or an option is wrong.
        """
        if concurrency is not None and concurrency < 1:
            raise GraphError(
                f"graph {self.name!r}: concurrency must be 1 or more, not {concurrency!r}"
            )
        code = self.code_named(function) if isinstance(function, str) else function
        named = name_of(code) if name is None else name
        where = f"graph {self.name!r}: node {named!r}: over"
        by_name = isinstance(over, str) and not is_template(over)
        items = None if by_name else asked(where, over)
        source = str(over) if by_name else ""
        naming = self._key_named(named, key) if isinstance(key, str) else key
        made = Over(source, items, naming, concurrency, order, key if isinstance(key, str) else "")
        given: dict[str, Any] = {**options, "over": made}
        each = code.for_items() if isinstance(code, DataFunction) else code
        return self._add(named, each, given)

    def _key_named(self, node: str, key: str) -> Callable[[Any], Any]:
        if not is_template(key):
            return self.function_named(key)
        return ItemExpression(key, f"graph {self.name!r}: node {node!r}: key")

    def _add(self, name: str, function: Code, options: dict[str, Any]) -> Node:
        options.setdefault("on_failure", self.on_failure)
        undo = options.get("compensate")
        if callable(undo):
            options["compensate"] = f"{name}.undo"
        when = options.get("when")
        if isinstance(when, str):
            options["when"] = asked(f"node {name!r}: when", when, self.function_named)
        made = make_node(f"graph {self.name!r}", name, function, options)
        if name in self.nodes:
            raise GraphError(
                f"graph {self.name!r} has a node {name!r} already; pass name=… to add the function again"
            )
        self.nodes[name] = made
        own = name_of(function)
        if not isinstance(function, DataFunction):
            self._named[own] = function if self._named.get(own, function) is function else None
        if callable(undo):
            self._add(f"{name}.undo", undo, {"start": False, "on_failure": "fail"})
        self._took_in(function)
        self._changed()
        return made

    def _took_in(self, code: Code) -> None:
        """Hear of changes of a graph that this one may run."""
        if isinstance(code, Graph):
            if all(one is not self for one in code._around):
                code._around.append(self)
            self._changed()

    def _changed(self) -> None:
        left, seen = [self], [self]
        while left:
            one = left.pop()
            for cached in ("definition", "prepared", "digest", "input_names"):
                one.__dict__.pop(cached, None)
            one._inputs = None
            new = [outer for outer in one._around if all(outer is not known for known in seen)]
            left += new
            seen += new

    def add_edge(self, source: str, target: str, *, to: str | None = None) -> None:
        """Have a node wait for another one.

        Args:
            source: The node that is waited for.
            target: The node that waits.
            to: The parameter that takes the output; None for order alone.

        Raises:
            GraphError: There is no such target or parameter.
        """
        node = self._existing(target)
        if to is None:
            self.nodes[target] = replace(node, after=(*node.after, source))
        elif node.graph is not None:
            self.nodes[target] = replace(node, take={**node.take, to: source})
        elif all(parameter.name != to for parameter in node.free):
            raise GraphError(f"graph {self.name!r}: node {target!r} has no free parameter {to!r}")
        else:
            parameters = tuple(
                replace(p, source=source, named=True) if p.name == to else p
                for p in node.parameters
            )
            self.nodes[target] = replace(node, parameters=parameters)
        self._changed()

    def remove_edge(self, source: str, target: str) -> None:
        """Have a node no longer wait for another one, whose output it does not take.

        Raises:
            GraphError: There is no such edge, it carries a value, or a join would be left fewer nodes than it needs.
        """
        node = self._existing(target)
        taken = [p.name for p in node.waits if p.source == source]
        if taken:
            raise GraphError(
                f"graph {self.name!r}: parameter {taken[0]!r} of node {target!r} takes the output of {source!r}; "
                "the edge goes with the parameter"
            )
        if source not in node.after:
            raise GraphError(f"graph {self.name!r}: node {target!r} does not wait for {source!r}")
        check_without(f"graph {self.name!r}", node, source, self.nodes)
        self.nodes[target] = replace(node, after=tuple(n for n in node.after if n != source))
        self._changed()

    def remove_node(self, name: str) -> None:
        """Take a node out, with its edges.

        Raises:
            GraphError: There is no such node, another one takes its output, or a join would be left fewer than it needs.
        """
        self._existing(name)
        for node in self.nodes.values():
            if any(parameter.source == name for parameter in node.waits):
                raise GraphError(
                    f"graph {self.name!r}: node {node.name!r} takes the output of {name!r}; remove that node first"
                )
            check_without(f"graph {self.name!r}", node, name, self.nodes)
        del self.nodes[name]
        for node in tuple(self.nodes.values()):
            if name in node.after:
                self.remove_edge(name, node.name)
        self._changed()

    def _existing(self, name: str) -> Node:
        node = self.nodes.get(name)
        if node is None:
            raise GraphError(
                f"graph {self.name!r} has no node {name!r}; there are {', '.join(self.nodes)}"
            )
        return node

    @cached_property
    def definition(self) -> Mapping[str, JsonValue]:
        """The graph as data: what is recorded with each run.

        Raises:
            GraphError: It names nodes that do not exist, has a cycle, or has no node.
        """
        inside = {
            graph.name: graph for graph in graphs_in(self).values() if isinstance(graph, Graph)
        }
        made: dict[str, JsonValue] = {"nodes": self._nodes_as_data()}
        if inside:
            made["graphs"] = {n: {"nodes": graph._nodes_as_data()} for n, graph in inside.items()}
        return made

    def _nodes_as_data(self) -> dict[str, JsonValue]:
        if not self.nodes:
            raise GraphError(f"graph {self.name!r} has no node; add one with @{self.name}.node")
        nodes: dict[str, JsonValue] = {}
        where = f"graph {self.name!r}"
        for name, node in self.nodes.items():
            if node.graph is not None:
                self.nodes[name] = with_inputs(where, node, node.graph.inputs)
        for name, node in self.nodes.items():
            check_names(where, node, self.nodes)
            nodes[name] = node_data(where, node, self.nodes.get)
            check_types(f"{where}: node {name!r}", node, self.nodes.get)
        check_cycles(where, nodes)
        check_beginning(where, self.nodes)
        if self.takes is not None:
            check_inputs_named(where, self.nodes, {*self.takes, *self.variables})
        return nodes

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

    @property  # and not a cached one, which is no property for a protocol
    def inputs(self) -> Mapping[str, Parameter]:
        """What a run takes, by name."""
        if self._inputs is None:
            self._inputs = inputs_of(self)
        return self._inputs

    @cached_property
    def input_names(self) -> Mapping[str, bool]:
        """The inputs of a run, and whether each must be given."""
        return {name: parameter.required for name, parameter in self.inputs.items()}

    def check(self) -> None:
        """Refuse a graph that could not run.

        Raises:
            GraphError: It names nodes or inputs that do not exist, has a cycle, or has no node.
        """
        assert self.definition

    def with_variables(self, inputs: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the inputs of a run, with the variables that somebody takes and that were not given."""
        return {k: v for k, v in self.variables.items() if k in self.input_names} | {**inputs}

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
