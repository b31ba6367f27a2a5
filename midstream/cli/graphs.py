"""`midstream graph`: what a graph holds, as a table or a drawing, and whether it could run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from midstream.cli.exits import BAD, OK, report
from midstream.cli.given import graph_of
from midstream.cli.output import data_console, printable, put, put_json
from midstream.cli.settings import SETTINGS, command
from midstream.engine.graphs.documents.drawing import dot, edges, kind_of_node
from midstream.engine.graphs.graph import Graph
from midstream.engine.nodes.node import Continue, Node
from midstream.engine.retry import NEVER
from midstream.errors import GraphError

if TYPE_CHECKING:
    from rich.table import Table


async def show(target: str) -> int:
    """List the nodes of a graph.

    Args:
        target: `MODULE:GRAPH`, or a file.
    """
    graph = graph_of(target)
    if SETTINGS.get().as_json:
        put_json(_row(graph))
        return OK
    version = f", version {graph.version}" if graph.version else ""
    put(f"graph {graph.name}{version}, digest {graph.digest[:12]}")
    if graph.description:
        put(graph.description)
    put(f"inputs: {', '.join(_inputs(graph)) or 'none'}")
    data_console().print(_table(graph))
    put(f"start it with `{command('start', target, *_given(graph))}`")
    return OK


async def draw(target: str, form: str) -> int:
    """Draw a graph, or write it as a document.

    Args:
        target: See `show`.
        form: `mermaid`, `dot`, `yaml` or `json`.
    """
    graph = graph_of(target)
    graph.check()
    match form:
        case "dot":
            made = dot(graph.nodes)
        case "yaml":
            made = graph.to_yaml()
        case "json":
            made = graph.to_json()
        case _:
            made = graph.to_mermaid()
    if SETTINGS.get().as_json:
        put_json({"graph": graph.name, "format": form, "text": made})
    else:
        put(made.rstrip("\n"))
    return OK


async def check(target: str) -> int:
    """Say whether a graph could run.

    Args:
        target: See `show`.
    """
    try:
        graph = graph_of(target)
        graph.check()
    except GraphError as error:
        if SETTINGS.get().as_json:
            put_json({"target": target, "sound": False, "error": str(error)})
        else:
            report(error)
        return BAD
    if SETTINGS.get().as_json:
        put_json({"target": target, "sound": True, "graph": graph.name, "digest": graph.digest})
    else:
        put(
            f"{target}: graph {graph.name} could run: {len(graph.nodes)} nodes, digest {graph.digest[:12]}"
        )
    return OK


def _row(graph: Graph) -> dict[str, Any]:
    return {
        "name": graph.name,
        "version": graph.version,
        "description": graph.description,
        "digest": graph.digest,
        "inputs": dict(graph.input_names),
        "variables": dict(graph.variables),
        "nodes": {
            name: {"type": kind_of_node(node), "waits_for": _waits_for(graph, name)}
            for name, node in graph.nodes.items()
        },
        "definition": graph.definition,
    }


def _inputs(graph: Graph) -> Iterator[str]:
    for name, required in graph.input_names.items():
        if name in graph.variables:
            yield f"{name} [{graph.variables[name]!r:.40}]"
        else:
            yield name if required else f"{name} (optional)"


def _given(graph: Graph) -> Iterator[str]:
    for name, required in graph.input_names.items():
        if required:
            yield from ("-i", f"{name}=…")


def _waits_for(graph: Graph, name: str) -> list[str]:
    return list(dict.fromkeys(source for source, target, _ in edges(graph.nodes) if target == name))


def _table(graph: Graph) -> Table:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for column in ("NODE", "TYPE", "WAITS FOR", "OPTIONS"):
        table.add_column(column, overflow="fold")
    for name, node in graph.nodes.items():
        told = (kind_of_node(node), ", ".join(_waits_for(graph, name)), "; ".join(_options(node)))
        table.add_row(name, *map(printable, told))
    return table


def _options(node: Node) -> Iterator[str]:
    """Iterate over what is not as it is by default, in words."""
    told = {
        "output": node.output,
        "when called": not node.start,
        f"when {_when(node)}": node.when is not None,
        f"for each of {_over(node)}": node.over is not None,
        f"model {node.model}": node.model,
        f"{node.retry.attempts} attempts": node.retry != NEVER,
        f"at most {node.timeout or 0:g} s": node.timeout is not None,
        f"join {node.join}": node.join != "all",
        f"on failure {_on_failure(node)}": node.on_failure != "fail",
        f"undone by {node.undo}": node.undo,
    }
    return (words for words, holds in told.items() if holds)


def _when(node: Node) -> str:
    return (node.when.name if node.when is not None else "") or "a function says so"


def _over(node: Node) -> str:
    if node.over is None:
        return ""
    items = node.over.items.name if node.over.items is not None else ""
    return node.over.source or items or "a function"


def _on_failure(node: Node) -> str:
    policy = node.on_failure
    return f"{policy.value!r:.40}" if isinstance(policy, Continue) else policy
