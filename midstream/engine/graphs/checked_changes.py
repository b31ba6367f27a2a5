"""What changes would make of a run's topology: each is checked on top of those before it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from midstream.engine.graphs.graph import Graph
from midstream.engine.nodes.binding import Values
from midstream.engine.nodes.checking import check_types
from midstream.engine.nodes.joining import too_few_without
from midstream.engine.nodes.node import ITEMS, Node
from midstream.errors import TopologyError
from midstream.projections.flow import is_live, to_come

Told = tuple[str, dict[str, Any]]
"""A fact as it is recorded: its type tag, and its fields that are not at their defaults."""


@dataclass(frozen=True, slots=True)
class Added:
    """A node is added."""

    node: Node
    data: dict[str, Any]

    def told(self) -> Told:
        """Return it as it is recorded."""
        return "node.added", {"name": self.node.name, "definition": self.data}


@dataclass(frozen=True, slots=True)
class Removed:
    """A node is taken out."""

    name: str

    def told(self) -> Told:
        """Return it as it is recorded."""
        return "node.removed", {"name": self.name}


@dataclass(frozen=True, slots=True)
class Connected:
    """A node waits for another one."""

    source: str
    target: str
    to: str

    def told(self) -> Told:
        """Return it as it is recorded."""
        to = {"to": self.to} if self.to else {}
        return "edge.added", {"source": self.source, "target": self.target, **to}


@dataclass(frozen=True, slots=True)
class Disconnected:
    """A node no longer waits for another one."""

    source: str
    target: str

    def told(self) -> Told:
        """Return it as it is recorded."""
        return "edge.removed", {"source": self.source, "target": self.target}


Change = Added | Removed | Connected | Disconnected


class View:
    """The topology with some changes on top.

    Args:
        graph: The code.
        values: What there is where the changes are made.
        find: Finds the nodes of the run by name.
        again: A node that has failed and is to be done again, or empty.
    """

    def __init__(
        self, graph: Graph, values: Values, find: Callable[[str], Node | None], again: str
    ) -> None:
        self._graph = graph
        self._here = values.here
        self._seen = (values.here.topology, values.here.topology.changes)
        self._inputs = values.inputs
        self._find = find
        self._again = again
        self._added: dict[str, Node] = {}
        self._removed: set[str] = set()
        self._needs: dict[str, dict[str, None]] = {}
        self._followers: dict[str, dict[str, None]] = {}
        self._cut: set[tuple[str, str]] = set()
        self._given: dict[str, dict[str, str]] = {}  # by added edges, to parameters

    def is_current(self, values: Values) -> bool:
        """Say whether nobody has changed the topology since these changes were put on top of it."""
        topology, changes = self._seen
        return values.here.topology is topology and topology.changes == changes

    def find(self, name: str) -> Node | None:
        """Return a node as it will be."""
        if name in self._removed:
            return None
        found = self._added.get(name)
        if found is None and name in self._here.topology.nodes:
            found = self._find(name)
        return found

    def check(self, change: Change) -> None:
        """Refuse a change that cannot be made, and make it here otherwise."""
        match change:
            case Added(node, data):
                self._add(node, data)
            case Removed(name):
                self._remove(name)
            case Connected(source, target, to):
                self._connect(source, target, to)
            case Disconnected(source, target):
                self._disconnect(source, target)

    def _add(self, node: Node, data: Mapping[str, Any]) -> None:
        name, here = node.name, self._here
        if name in here.topology.nodes or name in self._graph.nodes or name in self._added:
            raise TopologyError(name, f"{self._where} has a node {name!r} already")
        values: Mapping[str, str] = data.get("values", {})
        needs = dict.fromkeys((*values.values(), *data.get("after", ())))
        for needed in needs:
            self._existing(needed)
        self._check_values(node, values)
        self._check_others(node)
        check_types(f"{self._where}: node {name!r}", node, self.find)
        self._removed.discard(name)
        self._added[name] = node
        self._needs[name] = needs
        for needed in needs:
            self._followers.setdefault(needed, {})[name] = None

    def _check_values(self, node: Node, values: Mapping[str, str]) -> None:
        """Refuse a node with a parameter that would have no value."""
        name = node.name
        for parameter in node.bound:
            if parameter.name in values or not (parameter.required and node.start):
                continue
            if parameter.source not in self._inputs and parameter.name != ITEMS:
                raise TopologyError(
                    name,
                    f"parameter {parameter.name!r} of node {name!r} has no value: there is no node and no input "
                    f"{parameter.source!r}, and args= does not give it",
                )

    def _check_others(self, node: Node) -> None:
        """Refuse a node that sends control where it cannot go."""
        name = node.name
        for option, other in (("on_failure", node.on_failure), ("compensate", node.undo)):
            if isinstance(other, str) and other not in ("", "fail", "skip", "reflect"):
                found = self._existing(other)
                if found.start:
                    raise TopologyError(
                        name, f"node {name!r} has {option}={other!r}, which must have start=False"
                    )
        if node.loop is not None and node.loop.to != name:
            self._existing(node.loop.to)

    def _remove(self, name: str) -> None:
        self._existing(name)
        here = self._here
        if name in here.latest or name in here.called:
            did = "runs" if is_live(here, name) or name in here.called else "has run"
            raise TopologyError(name, f"node {name!r} {did}, so it cannot be removed")
        followers = tuple(dict.fromkeys(self._followers_of(name)))
        for follower in followers:
            if name in self._values(follower):
                raise TopologyError(
                    name, f"node {follower!r} takes the output of {name!r}; remove that node first"
                )
            self._check_enough(follower, name)
        left = [n for n in self._outputs() if n != name]
        if self._is_output(name) and not left:
            raise TopologyError(name, f"without node {name!r} the run would have no output")
        self._removed.add(name)
        self._added.pop(name, None)
        for follower in followers:
            self._needs.get(follower, {}).pop(name, None)
        self._followers.pop(name, None)
        for needed in self._needs.pop(name, ()):
            self._followers[needed].pop(name, None)

    def _connect(self, source: str, target: str, to: str) -> None:
        self._existing(source)
        node = self._existing(target)
        self._check_to_come(target)
        if to and all(parameter.name != to for parameter in node.free):
            raise TopologyError(target, f"node {target!r} has no free parameter {to!r}")
        if not to and source in self._needs_of(target):
            raise TopologyError(target, f"node {target!r} waits for {source!r} already")
        if self._leads(target, source):
            raise TopologyError(
                target,
                f"an edge {source} → {target} would close a cycle; go back with ctx.goto({target!r})",
            )
        self._cut.discard((source, target))
        self._needs.setdefault(target, {})[source] = None
        self._followers.setdefault(source, {})[target] = None
        if to:
            self._given.setdefault(target, {})[to] = source

    def _disconnect(self, source: str, target: str) -> None:
        self._existing(target)
        if source not in self._needs_of(target):
            raise TopologyError(target, f"node {target!r} does not wait for {source!r}")
        self._check_to_come(target)
        if source in self._values(target):
            raise TopologyError(
                target,
                f"node {target!r} takes the output of {source!r}; the edge goes with the parameter",
            )
        self._check_enough(target, source)
        self._cut.add((source, target))
        self._needs.get(target, {}).pop(source, None)
        self._followers.get(source, {}).pop(target, None)

    @property
    def _where(self) -> str:
        return f"run of graph {self._graph.name!r}"

    def _existing(self, name: str) -> Node:
        found = self.find(name)
        if found is None:
            there_are = [n for n in self._here.topology.nodes if n not in self._removed]
            known = ", ".join([*there_are, *self._added][:20])
            raise TopologyError(name, f"{self._where} has no node {name!r}; there are {known}")
        return found

    def _check_to_come(self, name: str) -> None:
        if name == self._again:
            return
        here = self._here
        if name in here.called or (name in here.latest and not to_come(here, name)):
            raise TopologyError(
                name, f"node {name!r} has run, so what it waits for cannot be changed"
            )
        if is_live(here, name) and name not in here.pending:
            raise TopologyError(name, f"node {name!r} runs, so what it waits for cannot be changed")

    def _check_enough(self, name: str, source: str) -> None:
        """Refuse to leave a join fewer nodes than it needs."""
        left = set(self._needs_of(name)) - {source}
        lacks = too_few_without(self._existing(name), source, len(left))
        if lacks:
            raise TopologyError(name, f"{self._where}: {lacks}")

    def _values(self, name: str) -> set[str]:
        """Return the nodes whose output a node takes."""
        given, shape = self._given.get(name, {}), self._here.topology.nodes.get(name)
        if shape is not None:
            return set({**shape.values, **given}.values())
        taken = {parameter.name: parameter.source for parameter in self._added[name].waits}
        return set((taken | given).values())

    def _is_output(self, name: str) -> bool:
        node = self._added.get(name)
        return name in self._here.topology.declared or (node is not None and node.output)

    def _outputs(self) -> list[str]:
        declared = [n for n in self._here.topology.declared if n not in self._removed]
        return [*declared, *(name for name, node in self._added.items() if node.output)]

    def _needs_of(self, name: str) -> Iterator[str]:
        shape = self._here.topology.nodes.get(name)
        yield from self._needs.get(name, ())
        for needed in shape.waits_for if shape is not None else ():
            if needed not in self._removed and (needed, name) not in self._cut:
                yield needed

    def _followers_of(self, name: str) -> Iterator[str]:
        for follower in (
            *self._followers.get(name, ()),
            *self._here.topology.successors.get(name, ()),
        ):
            if follower not in self._removed and (name, follower) not in self._cut:
                yield follower

    def _leads(self, first: str, last: str) -> bool:
        """Say whether the last node depends on the first one, at the cost of the smaller of the two searches."""
        if first == last:
            return True
        ahead, behind = self._search(first, self._followers_of), self._search(last, self._needs_of)
        while True:
            for search, wanted in ((ahead, last), (behind, first)):
                found = next(search, None)
                if found is None:
                    return False  # everything on this side was seen
                if found == wanted:
                    return True

    @staticmethod
    def _search(start: str, following: Callable[[str], Iterator[str]]) -> Iterator[str]:
        seen = {start}
        stack = [start]
        while stack:
            for name in following(stack.pop()):
                yield name
                if name not in seen:
                    seen.add(name)
                    stack.append(name)
