"""Nodes that were recorded, made again with the code that the graph has for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from midstream.engine.graphs.graph import Graph
from midstream.engine.nodes.asked import asked
from midstream.engine.nodes.loop import loop_from
from midstream.engine.nodes.node import ITEMS, Node, make_node, with_inputs
from midstream.engine.nodes.node_data import failure_policy
from midstream.engine.retry import NEVER, Retry


def node_from(graph: Graph, name: str, data: Mapping[str, Any]) -> Node:
    """Return a node that was recorded, with the code that the graph has for it.

    Raises:
        GraphError: The graph does not register its function.
    """
    from midstream.engine.ready.functions import ready_from

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
        "take": data["take"] if "take" in data else _taken(data),
        **({"initial": data["initial"][0]} if "initial" in data else {}),
        "distribute": data.get("distribute", False),
        "on_failure": failure_policy(data.get("on_failure")),
        "compensate": data.get("undo"),
    }
    loop = data.get("loop")
    if loop:
        options["loop"] = loop_from(loop, graph.function_named)
    if when:
        options["when"] = asked(f"node {name!r}: when", when, graph.function_named)
    if "ready" in data:
        where = f"graph {graph.name!r}: node {name!r}"
        done = ready_from(data["ready"], graph.function_named, graph.agents, where=where)
        return make_node(f"graph {graph.name!r}", name, done, options)
    code = data["function"]
    owner = f"graph {graph.name!r}"
    made = make_node(owner, name, graph.code_named(code), options)
    if made.graph is not None:
        made = with_inputs(owner, made, made.graph.inputs)
    return replace(made, code=code)


def _taken(data: Mapping[str, Any]) -> Mapping[str, str]:
    if "graph" in data:
        return {}
    return {name: node for name, node in data.get("values", {}).items() if name[0] != ITEMS}
