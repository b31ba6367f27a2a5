"""Graphs that nodes run: which there are in a graph, and what each takes."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from midstream.engine.nodes.node import Node, Runs
from midstream.engine.signature import Parameter
from midstream.errors import GraphError

OPTIONAL: Any = object()
"""The default of an input that need not be given: whoever takes it has a default of its own."""


def graphs_in(graph: Runs) -> dict[str, Runs]:
    """Return the graphs that nodes of a graph run or may come to run, and those inside these, by name.

    Raises:
        GraphError: Two of them have the same name.
    """
    found: dict[str, Runs] = {}
    left = list(_run_by(graph))
    while left:
        one = left.pop(0)
        known = graph if one.name == graph.name else found.get(one.name)
        if known is not None and known is not one:
            raise GraphError(
                f"graph {graph.name!r}: two graphs are named {one.name!r}; a node finds the graph that it runs by that "
                "name, so rename one"
            )
        if one.name not in found:
            found[one.name] = one
            left += _run_by(one)
    return found


def _run_by(graph: Runs) -> Iterator[Runs]:
    yield from graph.registered.values()
    for node in graph.nodes.values():
        if node.graph is not None:
            yield node.graph


def inputs_of(graph: Runs) -> Mapping[str, Parameter]:
    """Return what a graph takes, in the order in which its nodes name it; graphs may run each other.

    Raises:
        GraphError: Two graphs in it have the same name.
    """
    graphs = {**graphs_in(graph), graph.name: graph}
    found: dict[str, dict[str, Parameter]] = {name: {} for name in graphs}
    changed = True
    while changed:
        changed = False
        for name, one in graphs.items():
            taken = _taken(one, found)
            if taken != found[name]:
                found[name], changed = taken, True
    return found[graph.name]


def _taken(graph: Runs, known: Mapping[str, Mapping[str, Parameter]]) -> dict[str, Parameter]:
    taken: dict[str, Parameter] = {}
    for node in graph.nodes.values():
        for parameter in _parameters(node, known):
            name = parameter.source
            if name and name not in graph.nodes:
                # What is called takes its arguments from its caller, if not from the inputs.
                required = parameter.default is inspect.Parameter.empty and node.start
                required = required and name not in graph.variables
                taken[name] = _together(name, taken.get(name), parameter, required=required)
    return taken


def _parameters(node: Node, known: Mapping[str, Mapping[str, Parameter]]) -> tuple[Parameter, ...]:
    if node.graph is not None:
        inputs = known[node.graph.name].values()
        node = replace(node, parameters=tuple(node.taking(one) for one in inputs))
    return (*node.waits, *(node.when.parameters if node.when else ()))


def _together(name: str, one: Parameter | None, other: Parameter, *, required: bool) -> Parameter:
    """Return an input that several nodes take."""
    annotation = other.annotation if one is None or one.annotation is Any else one.annotation
    if required or (one is not None and one.required):
        return Parameter(name, name, annotation, inspect.Parameter.empty)
    given = (p.default for p in (one, other) if p is not None)
    defaults = (default for default in given if default is not inspect.Parameter.empty)
    return Parameter(name, name, annotation, next(defaults, OPTIONAL))
