"""Joins of some: how many nodes each has to wait for, so that enough of them can complete."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from midstream.engine.nodes.node import Node
from midstream.errors import GraphError

_FEWEST: Mapping[str | int, int] = {"all": 0, "any": 1, "reduce": 1}


def check_join(where: str, node: Node, needs: Collection[str]) -> None:
    """Refuse a join that waits for too few, or that wants a value which may be missing.

    Args:
        where: The node, for errors.
        node: It; its join is not `all`.
        needs: The nodes that it waits for.

    Raises:
        GraphError: It is one.
    """
    if node.join == "reduce" and needs:
        return
    if isinstance(node.join, int) and node.join > len(needs):
        raise GraphError(f"{where}: join={node.join}, but it waits for {len(needs)} nodes only")
    if not needs:
        raise GraphError(
            f"{where}: join={node.join!r}, but it waits for nothing; name nodes in after="
        )
    lacking = [p.name for p in node.waits if p.source in needs and p.required]
    if lacking:
        raise GraphError(
            f"{where} does not wait for all, so parameter {lacking[0]!r} may get no value: give it a default, "
            "or take what there is with after=[…] and inputs='merge'"
        )


def too_few_without(node: Node, source: str, left: int) -> str:
    """Say, with a remedy, that a join could not have enough any more; nothing where it could.

    Args:
        node: Who waits.
        source: For whom it would no longer wait.
        left: How many nodes it would still wait for.
    """
    fewest = _FEWEST.get(node.join, node.join)
    if not isinstance(fewest, int) or left >= fewest:
        return ""
    return (
        f"node {node.name!r} of join={node.join!r} has to wait for at least {fewest}, and without {source!r} it would wait for "
        f"{left}; have it wait for another one first, with add_edge, or remove it before"
    )


def check_without(owner: str, node: Node, source: str, nodes: Collection[str]) -> None:
    """Refuse to have a node of a graph no longer wait for another one, where its join needs that.

    Args:
        owner: The graph, for errors.
        node: Who waits.
        source: For whom.
        nodes: The names of all nodes; what a parameter is named like is one of these, or an input.

    Raises:
        GraphError: Its join could not have enough any more.
    """
    asks = () if node.when is None else node.when.parameters
    needs = {*node.after, *(p.source for p in (*node.waits, *asks) if p.source in nodes)}
    lacks = too_few_without(node, source, len(needs - {source})) if source in needs else ""
    if lacks:
        raise GraphError(f"{owner}: {lacks}")
