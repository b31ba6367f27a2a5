"""A node as data: what is recorded of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import JsonValue

from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.joining import check_join
from midstream.engine.nodes.node import ITEMS, Continue, Node
from midstream.engine.retry import NEVER


def node_data(owner: str, node: Node, known: Callable[[str], Node | None]) -> dict[str, JsonValue]:
    """Return a node as it is recorded.

    Args:
        owner: The graph, for errors.
        node: The node.
        known: Finds the other nodes by name.

    Raises:
        GraphError: It names nodes that do not exist, or takes what cannot fit.
    """
    where = f"{owner}: node {node.name!r}"
    waits = node.waits
    values = {p.name: p.source for p in waits if known(p.source) is not None}
    asks = () if node.when is None else node.when.parameters
    after = dict.fromkeys(node.after)
    after |= {p.source: None for p in asks if known(p.source) and p.source not in values.values()}
    optional: list[str] = []
    if node.join != "all":
        check_join(where, node, {*values.values(), *after})
    if node.join == "reduce":  # what has no output adds nothing
        optional = sorted({*values.values(), *after})
    elif values:
        needed = {p.source for p in waits if p.required or p.name == ITEMS}
        optional = sorted({s for s in values.values() if s not in needed and s not in after})
    options: dict[str, Any] = {
        "values": values,
        "after": [*after],
        "output": node.output,
        "pure": node.pure,
        "retry": None if node.retry is NEVER or node.retry == NEVER else node.retry.data(),
        "timeout": node.timeout,
        "model": node.model,
        "idle_timeout": node.idle_timeout,
        "total_timeout": node.total_timeout,
        "on_call": not node.start,
        "when": node.when is not None and (node.when.name or True),
        "join": node.join if node.join != "all" else None,
        "optional": optional,
        "inputs": node.inputs,
        "args": dict(node.args),
        "distribute": node.distributes,
        "undo": node.undo,
        "on_failure": _failure_data(node.on_failure),
        "function": node.code,
        "take": dict(node.take),
        "graph": None if node.graph is None else node.graph.name,
        "initial": None if node.initial is None else list(node.initial),
        "loop": node.loop.data() if node.loop is not None else None,
        "ready": node.function.data() if isinstance(node.function, DataFunction) else None,
    }
    if node.over is not None:
        named = node.over.items.name if node.over.items is not None else ""
        options["over"] = node.over.source or named or True
        options["key"] = node.over.key_name
        options["order"] = node.over.order if node.over.order != "results" else ""
        options["concurrency"] = node.over.concurrency
    return {name: value for name, value in options.items() if value}


def _failure_data(policy: str | Continue) -> JsonValue:
    if isinstance(policy, Continue):
        return {"continue": policy.value}
    if policy in ("fail", "skip", "reflect"):
        return None if policy == "fail" else policy
    return {"goto": policy}


def failure_policy(data: Any) -> str | Continue:
    """Return the policy that was recorded."""
    if data is None or isinstance(data, str):
        return data or "fail"
    return Continue(data["continue"]) if "continue" in data else str(data["goto"])
