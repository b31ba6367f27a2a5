"""What a node may want of the run's control flow and of its graph: the part of `Context` that is about them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Unpack

from midstream.engine.contexts.steering import Steering
from midstream.engine.graphs.graph import Graph
from midstream.engine.limits import MAX_NODES, MAX_ROUNDS
from midstream.engine.nodes.data_function import DataFunction
from midstream.engine.nodes.node import Continue, NodeOptions
from midstream.events.ids import Address

if TYPE_CHECKING:
    from midstream.engine.ready.plan import Plan


class SteeringContext:
    """Control for a node; see `Context`."""

    step: Address
    _steering: Steering

    def goto(self, node: str | Callable[..., Any], /, **args: Any) -> None:
        """Send control to a node instead of to this node's ordinary successors, when this activation completes.

        It runs next, whatever it waits for, with these arguments; other parameters take what there is of the nodes and
        inputs they are named after. Several calls start several activations, also of one node.

        Args:
            node: The node, by name or function.
            **args: Values for its parameters.

        Raises:
            TopologyError: There is no such node, or a parameter is unknown or would have no value.
            NotRecordableError: An argument is not JSON.
        """
        self._steering.goto(node, args)

    def trigger(self, node: str | Callable[..., Any], /, **args: Any) -> None:
        """Start a node in addition to this node's ordinary successors, when this activation completes; see `goto`."""
        self._steering.trigger(node, args)

    @property
    def local(self) -> dict[str, Any]:
        """What this node keeps between its activations in this run: JSON data, recorded when this one completes."""
        return self._steering.local

    def add_node(
        self, name: str, function: str | Callable[..., Any] | Graph, **options: Unpack[NodeOptions]
    ) -> None:
        """Add a node to this run, when this activation completes.

        Args:
            name: Its name, new in this run.
            function: A function or graph that the graph registers, by name or itself, as the run may be resumed in another process;
                or one that is data, see `midstream.engine.ready.functions`.
            **options: As for `Graph.add_node`; `args` are its constant arguments, `when` is a registered function.

        Raises:
            TopologyError: It cannot be added; nothing was changed.
            GraphError: An option is wrong, or the function is not registered.
        """
        if not isinstance(function, str | DataFunction):
            function = self._steering.registered(function)
        self._steering.changes.add_node(name, function, options)

    def remove_node(self, name: str) -> None:
        """Take a node that has not begun out of this run, when this activation completes.

        Raises:
            TopologyError: There is no such node, it runs or has run, another one takes its output, no output is left, or a
                join is left fewer nodes than it needs.
        """
        self._steering.changes.remove_node(name)

    def add_edge(self, source: str, target: str, *, to: str = "") -> None:
        """Have a node that has not begun wait for another one, when this activation completes.

        Args:
            source: The node that is waited for.
            target: The node that waits.
            to: The parameter that takes the output; empty for order alone.

        Raises:
            TopologyError: There is no such node or parameter, the target has begun, or it would close a cycle.
        """
        self._steering.changes.add_edge(source, target, to)

    def remove_edge(self, source: str, target: str) -> None:
        """Have a node that has not begun no longer wait for another one, when this activation completes.

        Raises:
            TopologyError: There is no such edge, it carries a value, the target has begun, or its join is left fewer nodes
                than it needs.
        """
        self._steering.changes.remove_edge(source, target)

    def add_plan(
        self,
        plan: Plan,
        *,
        functions: Iterable[str] | None = None,
        into: str = "",
        max_nodes: int = MAX_NODES,
        max_rounds: int = MAX_ROUNDS,
        on_failure: Literal["fail", "skip", "reflect"] | Continue | None = None,
        dry_run: bool = False,
    ) -> None:
        """Add the nodes and edges of a plan to this run, when this activation completes: all of them or none.

        Args:
            plan: The plan.
            functions: What its nodes may use, of what the graph registers; None for all of it.
            into: A node that has not begun, and is to wait for what the plan comes to.
            max_nodes: So many nodes at most.
            max_rounds: So many rounds of a loop at most.
            on_failure: Of its nodes; None for what the graph says.
            dry_run: Only say whether it can be followed.

        Raises:
            PlanError: It cannot be followed; the reasons say why, and nothing was changed.
        """
        from midstream.engine.planning.planning import Terms

        known = None if functions is None else frozenset(functions)
        node = self.step.rpartition("#")[0]
        terms = Terms(node, known, max_nodes, max_rounds, into, on_failure=on_failure)
        if dry_run:
            self._steering.check(plan, terms)
        else:
            self._steering.plan(plan, terms)
