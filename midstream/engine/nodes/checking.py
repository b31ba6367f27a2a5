"""Graphs that could not work are refused before they run: names that lead nowhere, circles, values that cannot fit."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from midstream.engine.nodes.node import Node
from midstream.engine.signature import annotations_of, kind_of
from midstream.errors import GraphError


def check_names(where: str, node: Node, nodes: Mapping[str, Node]) -> None:
    """Refuse a node that names others which do not exist, or which could not take what it sends them.

    Raises:
        GraphError: It does.
    """
    for parameter in node.waits:
        if parameter.named and parameter.source not in nodes:
            raise GraphError(
                f"{where}: parameter {parameter.name!r} of node {node.name!r} is "
                f"From({parameter.source!r}), but there is no such node; {_there_are(nodes)}"
            )
    for needed in node.after:
        if needed not in nodes:
            raise GraphError(
                f"{where}: node {node.name!r} is after {needed!r}, but there is no such node; "
                f"{_there_are(nodes)}"
            )
    for option, other in (("on_failure", node.on_failure), ("compensate", node.undo)):
        if not isinstance(other, str) or other in ("", "fail", "skip", "reflect"):
            continue
        found = nodes.get(other)
        if found is None or found.start:
            wrong = "runs by itself: declare it with start=False" if found else "does not exist"
            raise GraphError(
                f"{where}: node {node.name!r} has {option}={other!r}, but that node {wrong}; {_there_are(nodes)}"
            )


def _there_are(nodes: Mapping[str, Node]) -> str:
    return f"there are {', '.join(nodes)}"


def check_beginning(where: str, nodes: Mapping[str, Node]) -> None:
    """Refuse a graph in which nothing would ever run.

    Raises:
        GraphError: It is one.
    """
    if any(node.start for node in nodes.values()):
        return
    raise GraphError(
        f"{where}: every node has start=False, so nothing would ever run; let one start"
    )


def check_inputs_named(where: str, nodes: Mapping[str, Node], inputs: Collection[str]) -> None:
    """Refuse parameters that are named like no node and like none of the inputs that there are.

    Raises:
        GraphError: One is.
    """
    for node in nodes.values():
        asked = () if node.when is None else node.when.parameters
        for parameter in (*node.waits, *asked):
            source = parameter.source
            if not source or source in nodes or source in inputs or not parameter.required:
                continue
            near = get_close_matches(source, [*nodes, *inputs], 1)
            meant = f" (did you mean {near[0]!r}?)" if near else ""
            raise GraphError(
                f"{where}: node {node.name!r} takes {source!r}, which is neither a node nor an input{meant}. "
                f"Inputs are {', '.join(sorted(inputs)) or 'none'}; {_there_are(nodes)}"
            )


def check_cycles(where: str, nodes: Mapping[str, Any]) -> None:
    """Refuse nodes that wait for one another.

    Raises:
        GraphError: Some do.
    """
    waits_for = {
        name: {*data.get("values", {}).values(), *data.get("after", ())}
        for name, data in nodes.items()
    }
    waiting = {name: len(needs) for name, needs in waits_for.items()}
    followers: dict[str, list[str]] = {name: [] for name in nodes}
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
            f"{where} has a cycle: {cycle(waits_for, waiting)}; take one of these dependencies away, "
            "or go back with ctx.goto"
        )


def check_types(where: str, node: Node, known: Callable[[str], Node | None]) -> None:
    """Refuse values that surely do not fit: a list where a text is wanted, and the like.

    Raises:
        GraphError: One does not fit.
    """
    for parameter in node.bound:
        source = known(parameter.source)
        wanted = kind_of(parameter.annotation)
        if source is None or not wanted or source.distributes or source.over is not None:
            continue
        found = returns(source)
        if found and found != wanted:
            raise GraphError(
                f"{where}: parameter {parameter.name!r} wants a {wanted}, but node {source.name!r} returns a {found}"
            )


def returns(node: Node) -> str:
    """Return the JSON kind that a node's function says it returns, or nothing."""
    if node.graph is not None:
        return ""  # whatever its outputs say, they may be none
    return kind_of(annotations_of(node.function).get("return", Any))


def cycle(waits_for: Mapping[str, Iterable[str]], left: Mapping[str, int]) -> str:
    """Return one cycle among the nodes that are left, as `a → b → a`."""
    path = [next(iter(left))]
    while True:
        following = min(name for name in waits_for[path[-1]] if name in left)
        if following in path:
            return " → ".join([*path[path.index(following) :], following])
        path.append(following)
