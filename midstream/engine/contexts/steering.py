"""What an activation wants of the run's control flow: collected while it runs, recorded with its end, all or none."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import JsonValue

from midstream.engine.graphs.graph import Graph
from midstream.engine.nodes.binding import Values
from midstream.engine.nodes.node import Node
from midstream.engine.recording.calls import Desk
from midstream.engine.signature import name_of
from midstream.errors import TopologyError
from midstream.events.values import own, plain
from midstream.projections.flow import last_output

if TYPE_CHECKING:
    from midstream.engine.graphs.checked_changes import Told
    from midstream.engine.graphs.rewiring import Changes
    from midstream.engine.planning.planning import Terms
    from midstream.engine.ready.plan import Plan


class Steering:
    """Where control goes from one activation, how it changes the graph, and what its node keeps.

    Args:
        desk: Of the activation.
        graph: The code.
        node: The activation's.
        find: Finds the nodes beside it by name.
        values: Returns what there is to take where it is.
    """

    def __init__(
        self,
        desk: Desk,
        graph: Graph,
        node: Node,
        find: Callable[[str], Node | None],
        values: Callable[[], Values],
    ) -> None:
        self._desk = desk
        self._graph = graph
        self._node = node
        self._find = find
        self._values = values
        self._name = desk.activation.rpartition("#")[0]
        self._goto: list[Mapping[str, Any]] = []
        self._trigger: list[Mapping[str, Any]] = []
        self._changes: Changes | None = None
        self._local: dict[str, Any] | None = None

    def goto(self, node: str | Callable[..., Any], args: Mapping[str, Any]) -> None:
        """See `Context.goto`."""
        self._goto.append(self._call(node, args))

    def trigger(self, node: str | Callable[..., Any], args: Mapping[str, Any]) -> None:
        """See `Context.trigger`."""
        self._trigger.append(self._call(node, args))

    def registered(self, function: Callable[..., Any] | Graph) -> str:
        """Return the name under which the graph registers a function or a graph.

        Raises:
            GraphError: It does not.
        """
        return self._graph.name_of_function(function)

    @property
    def changes(self) -> Changes:
        """The changes of the graph."""
        from midstream.engine.graphs.rewiring import Changes

        self._refuse_in_item("change the graph")
        if self._changes is None:
            self._changes = Changes(self._graph, self._values, self._find)
        return self._changes

    def plan(self, plan: Plan, terms: Terms) -> None:
        """Take a plan into the changes of the graph, all of it or nothing.

        Raises:
            PlanError: It cannot be followed.
        """
        from midstream.engine.planning.planning import drawn

        self._changes = drawn(plan, self.changes, terms)

    def check(self, plan: Plan, terms: Terms) -> None:
        """Refuse a plan that cannot be followed; see `plan`."""
        from midstream.engine.planning.planning import drawn

        drawn(plan, self.changes, terms)

    @property
    def local(self) -> dict[str, Any]:
        """What the node keeps between its activations."""
        self._refuse_in_item("keep local state")
        if self._local is None:
            self._local = {
                key: own(value)
                for key, value in self._desk.state.locals.get(self._name, {}).items()
            }
        return self._local

    def kept(self) -> Mapping[str, JsonValue] | None:
        """Return what the node is to keep from now on, or None where nothing changed.

        Raises:
            NotRecordableError: It is not JSON.
        """
        if self._local is None:
            return None
        made: Any = plain(self._local, f"ctx.local of node {self._node.name!r}")
        return None if made == self._desk.state.locals.get(self._name, {}) else made

    def facts(self) -> Iterator[Told]:
        """Return what is to be recorded before the activation's completion.

        Raises:
            TopologyError: Others have changed the graph so that this is no longer possible.
        """
        if self._changes:
            yield from self._changes.facts()
        for call in (*self._goto, *self._trigger):
            self._existing(call["node"])

    def added(self) -> Iterator[Node]:
        """Return the nodes that are added to the run."""
        return iter(()) if self._changes is None else self._changes.added()

    def decided(self) -> dict[str, Any] | None:
        """Return the data of the `edge.decided` that is to be recorded after the facts, or None."""
        if not self._goto and not self._trigger:
            return None
        decided = {"goto": self._goto, "trigger": self._trigger}
        return {verb: calls for verb, calls in decided.items() if calls}

    def _call(self, node: str | Callable[..., Any], args: Mapping[str, Any]) -> Mapping[str, Any]:
        self._refuse_in_item("send control elsewhere")
        name = node if isinstance(node, str) else name_of(node)
        target = self._existing(name)
        takes = {parameter.name for parameter in target.free}
        if target.over is not None:
            takes.add(target.over.source)
        for given in args:
            if given not in takes:
                raise TopologyError(
                    name,
                    f"node {name!r} has no parameter {given!r}; it takes {', '.join(sorted(takes)) or 'nothing'}",
                )
        if not (target.inputs and not args):
            self._check_given(target, args)
        recorded = {
            key: plain(value, f"argument {key!r} of {name!r}") for key, value in args.items()
        }
        return {"node": name, "args": recorded} if recorded else {"node": name}

    def _check_given(self, target: Node, args: Mapping[str, Any]) -> None:
        values = self._values()
        made = values.state.activations
        for parameter in target.free if target.over is None else target.bound:
            source = parameter.source
            if not parameter.required or parameter.name in args or source in values.inputs:
                continue
            if source == self._node.name or last_output(values.here, made, source):
                continue
            raise TopologyError(
                target.name,
                f"parameter {parameter.name!r} of node {target.name!r} would have no value: pass {parameter.name}=…",
            )

    def _existing(self, name: str) -> Node:
        found = self._find(name) if self._changes is None else self._changes.find(name)
        if found is None:
            known = ", ".join(self._values().here.topology.nodes)
            raise TopologyError(
                name, f"step {self._desk.activation}: there is no node {name!r}; there are {known}"
            )
        return found

    def _refuse_in_item(self, what: str) -> None:
        if self._desk.activation[-1] == "]":
            raise TopologyError(
                self._node.name,
                f"step {self._desk.activation}: an item of a map cannot {what}; do it in a node after the map",
            )
