"""Nodes that were recorded, made again with the code that the graph has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from midstream.engine.graph import Graph
from midstream.engine.node import Asked, Node, asked, make_node, with_inputs
from midstream.engine.node_data import failure_policy
from midstream.engine.retry import NEVER, Retry


def node_from(graph: Graph, name: str, data: Mapping[str, Any]) -> Node:
    """Return a node that was recorded, with the code that the graph has for it.

    Raises:
        GraphError: The graph does not register its function.
    """
    retry = data.get("retry")
    when = data.get("when")
    options: dict[str, Any] = {
        "after": data.get("after", ()),
        "output": data.get("output", False),
        "pure": data.get("pure", False),
        "retry": Retry.of(retry) if retry else NEVER,
        "timeout": data.get("timeout"),
        "idle_timeout": data.get("idle_timeout"),
        "total_timeout": data.get("total_timeout"),
        "model": data.get("model", ""),
        "start": not data.get("on_call", False),
        "join": data.get("join", "all"),
        "inputs": data.get("inputs"),
        "args": data.get("args", {}),
        "take": data.get("take", {}),
        "distribute": data.get("distribute", False),
        "on_failure": failure_policy(data.get("on_failure")),
        "compensate": data.get("undo"),
    }
    if when:
        read = asked(f"node {name!r}: when", graph.function_named(when))
        options["when"] = Asked(read.function, read.parameters, when)
    code = data["function"]
    owner = f"graph {graph.name!r}"
    made = make_node(owner, name, graph.code_named(code), options)
    if made.graph is not None:
        made = with_inputs(owner, made, made.graph.inputs)
    return replace(made, code=code)
