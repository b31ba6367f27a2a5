"""Changes of a run's own topology: collected while an activation runs, checked twice, recorded with its end.

Each change is checked when it is asked for, on top of those before it, so that the error shows up where the mistake is.
When the activation ends they are checked again, because others may have changed the graph meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from midstream.engine.graphs.checked_changes import (
    Added,
    Change,
    Connected,
    Disconnected,
    Removed,
    Told,
    View,
)
from midstream.engine.graphs.graph import Graph
from midstream.engine.nodes.asked import asked
from midstream.engine.nodes.binding import Values
from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.node import Node, make_node, with_inputs
from midstream.engine.nodes.node_data import node_data
from midstream.engine.nodes.registry import Code
from midstream.errors import GraphError, TopologyError
from midstream.events.values import plain

_PLAIN = frozenset(("values", "after", "output", "pure", "args", "function"))
"""What of a node's data is plain JSON already."""


class Changes:
    """What one activation changes of the topology.

    Args:
        graph: The code.
        values: Returns what there is where the activation is.
        find: Finds the nodes of the run by name.
        again: A node that has failed and is to be done again, so that what it waits for can be changed; or empty.
    """

    def __init__(
        self,
        graph: Graph,
        values: Callable[[], Values],
        find: Callable[[str], Node | None],
        *,
        again: str = "",
    ) -> None:
        self.graph = graph
        self.again = again
        self._values = values
        self._find = find
        self._asked: list[Change] = []
        self._view = self._fresh()

    def __len__(self) -> int:
        return len(self._asked)

    def facts(self) -> Iterator[Told]:
        """Return what is to be recorded.

        Raises:
            TopologyError: Others have changed the graph so that a change is no longer possible.
        """
        if self._stale():
            self._view = view = self._fresh()
            for change in self._asked:
                view.check(change)
        return (change.told() for change in self._asked)

    def _stale(self) -> bool:
        """Say whether a change may have become impossible: one that only adds depends on nothing but the topology."""
        if all(type(change) is Added for change in self._asked):
            return not self._view.is_current(self._values())
        return True

    def added(self) -> Iterator[Node]:
        """Return the nodes that are added."""
        return (change.node for change in self._asked if isinstance(change, Added))

    def find(self, name: str) -> Node | None:
        """Return a node as it will be."""
        return self._view.find(name)

    def add_node(self, name: str, function: str | DataFunction, options: Mapping[str, Any]) -> None:
        """See `Context.add_node`."""
        given = dict(options)
        when = given.get("when")
        if when is not None:
            code = when if isinstance(when, str) else self.graph.name_of_function(when)
            given["when"] = asked(f"node {name!r}: when", code, self.graph.function_named)
        undo = given.get("compensate")
        if undo is not None and not isinstance(undo, str):
            raise TopologyError(
                name, f"node {name!r}: compensate must name a node of the graph with start=False"
            )
        given.setdefault("on_failure", self.graph.on_failure)
        owner = f"graph {self.graph.name!r}"
        registered = function if isinstance(function, str) else ""
        node = make_node(owner, name, self._code(function), given, registered)
        if node.graph is not None:
            node = with_inputs(owner, node, node.graph.inputs)
        data: dict[str, Any] = node_data(owner, node, self._view.find)
        if not _PLAIN.issuperset(data):
            data |= {key: plain(value, f"{owner}: node {name!r}") for key, value in data.items()}
        self._ask(Added(node, data))

    def _code(self, function: str | DataFunction) -> Code:
        """Return what another process finds, too."""
        from midstream.engine.ready.functions import ready_from

        if isinstance(function, str):
            return self.graph.code_named(function)
        agent = getattr(function, "agent", None)
        if agent is not None and self.graph.agents.get(agent.name) is not agent:
            raise GraphError(
                f"graph {self.graph.name!r} does not know the agent {agent.name!r}: write "
                f"{self.graph.name}.agents[{agent.name!r}] = … wherever the graph is built"
            )
        return ready_from(function.data(), self.graph.function_named, self.graph.agents)

    def remove_node(self, name: str) -> None:
        """See `Context.remove_node`."""
        self._ask(Removed(name))

    def add_edge(self, source: str, target: str, to: str) -> None:
        """See `Context.add_edge`."""
        self._ask(Connected(source, target, to))

    def remove_edge(self, source: str, target: str) -> None:
        """See `Context.remove_edge`."""
        self._ask(Disconnected(source, target))

    def tried(self) -> Changes:
        """Return these changes once more, so that others can be tried on top of them."""
        made = Changes(self.graph, self._values, self._find, again=self.again)
        for change in self._asked:
            made._ask(change)
        return made

    @property
    def values(self) -> Values:
        """What there is where the activation is."""
        return self._values()

    def _fresh(self) -> View:
        return View(self.graph, self._values(), self._find, self.again)

    def _ask(self, change: Change) -> None:
        self._view.check(change)
        self._asked.append(change)
