"""The graph of a run as its log tells it: what each node needs and who waits for it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class NodeShape:
    """A node as data.

    Attributes:
        name: Its name.
        waits_for: The nodes that must have completed before it, each once.
        values: For each parameter that takes a node's output, that node.
        output: Its output is the run's.
    """

    name: str
    waits_for: tuple[str, ...]
    values: Mapping[str, str]
    output: bool


@dataclass(frozen=True, slots=True)
class Topology:
    """All nodes, in the order they were declared in.

    Attributes:
        nodes: By name.
        successors: For each node, who waits for it.
        outputs: The nodes whose output is the run's; several make a mapping by name.
    """

    nodes: Mapping[str, NodeShape]
    successors: Mapping[str, tuple[str, ...]]
    outputs: tuple[str, ...]


def topology(definition: Mapping[str, Any]) -> Topology:
    """Read the topology off a graph's definition; where no node is marked, those that nobody waits for are the outputs."""
    nodes: dict[str, NodeShape] = {}
    successors: dict[str, list[str]] = {name: [] for name in definition["nodes"]}
    for name, data in definition["nodes"].items():
        values: dict[str, str] = data.get("values", {})
        waits_for = tuple(dict.fromkeys((*values.values(), *data.get("after", ()))))
        nodes[name] = NodeShape(name, waits_for, values, bool(data.get("output")))
        for needed in waits_for:
            successors[needed].append(name)
    outputs = tuple(name for name, node in nodes.items() if node.output)
    if not outputs:
        outputs = tuple(name for name in nodes if not successors[name])
    return Topology(nodes, {name: tuple(who) for name, who in successors.items()}, outputs)


_KNOWN: dict[str, Topology] = {}
_KNOWN_LIMIT = 256


def shared_topology(digest: str, definition: Mapping[str, Any]) -> Topology:
    """Return the topology of a definition, made once for all runs of the same graph."""
    known = _KNOWN.get(digest)
    if known is None:
        if len(_KNOWN) >= _KNOWN_LIMIT:
            _KNOWN.clear()
        known = _KNOWN[digest] = topology(definition)
    return known
