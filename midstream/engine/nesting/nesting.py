"""Graphs inside a run: the code of each, the values it takes, and waiting until it has ended."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from midstream.engine.graphs.decide import BROKEN_OFF, Complete, Drop, Fail, settled
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.recorded import node_from
from midstream.engine.nodes.binding import Values, bind
from midstream.engine.nodes.node import Node
from midstream.engine.recording.recorder import Recorder
from midstream.errors import NodeError
from midstream.events.ids import Address, nested, scope_of
from midstream.events.payloads import Failure, NodeFailed, NodeSkipped, NodeStarted
from midstream.projections.run_state import RunState
from midstream.projections.scopes import is_under_way

_SHOWN = 3
_REMEMBERED = 4096


class Code:
    """The nodes of a run, of its graph and of those inside it.

    Args:
        graph: The run's.
        recorder: Has the run as it stands.
    """

    def __init__(self, graph: Graph, recorder: Recorder) -> None:
        self.graph = graph
        self._recorder = recorder
        self._made: dict[str, Node] = {}  # nodes that were added to the run
        self._inputs: dict[str, Mapping[str, Any]] = {}
        self._root: Values | None = None

    def find(self, name: str, scope: str = "") -> Node | None:
        """Return a node by its name in a scope, if the run has it."""
        state = self._recorder.state
        here = state.scopes.get(scope) if scope else state
        if here is None or name not in here.topology.nodes:
            return None
        if not scope:
            known = self.graph.nodes.get(name) or self._made.get(name)
            if known is not None:
                return known
        full = nested(scope, name)
        known = self.graph_in(scope).nodes.get(name) or self._made.get(full)
        if known is None:
            data = here.topology.nodes[name].data
            known = self._made[full] = node_from(self.graph_in(scope), name, data)
        return known

    def finder(self, scope: str) -> Callable[[str], Node | None]:
        """Return what finds the nodes of a scope by name."""
        return partial(self.find, scope=scope) if scope else self.find

    def node(self, address: str) -> Node:
        """Return the node of an activation."""
        made = self._recorder.state.activations[address]
        found = self.find(made.node, made.scope)
        assert found is not None
        return found

    def keep(self, node: Node, scope: str) -> None:
        """Remember a node that was added to the run."""
        self._made[nested(scope, node.name)] = node

    def graph_in(self, scope: str) -> Graph:
        """Return the graph that an activation runs; that of the run for none."""
        if not scope:
            return self.graph
        graph = self.node(scope).graph
        assert isinstance(graph, Graph)
        return graph

    def values(self, scope: str) -> Values:
        """Return what there is to take in a scope.

        Raises:
            NodeError: An input of it is missing or does not fit.
            LeftOutError: A value has to be read from the log.
        """
        state = self._recorder.state
        if not scope:
            root = self._root
            if root is None or root.state is not state or root.inputs is not state.inputs:
                root = self._root = Values(state, state, state.inputs)
            return root
        inputs = self._inputs.get(scope)
        if inputs is None:
            made = state.activations[scope]
            _, given = bind(self.node(scope), self.values(made.scope), made, None)
            inputs = self.graph_in(scope).with_variables(given)
            if len(self._inputs) >= _REMEMBERED:
                self._inputs.clear()
            self._inputs[scope] = inputs
        return Values(state, state.scopes[scope], inputs)

    def model(self, node: Node, scope: str) -> str:
        """Return the model of a node's calls that name none: its own, or that of the node whose graph it is in."""
        while not node.model and scope:
            node = self.node(scope)
            scope = scope_of(scope.rpartition("#")[0])[0]
        return node.model


class Nests:
    """Performs the activations that run graphs: what is inside them is performed like any other.

    Args:
        recorder: Writes the run.
        begin: Begins an activation.
        advance: Does what the state asks for.
    """

    __slots__ = ("_advance", "_begin", "_recorder", "_waiting")

    def __init__(
        self, recorder: Recorder, begin: Callable[[str], None], advance: Callable[[], None]
    ) -> None:
        self._recorder = recorder
        self._begin = begin
        self._advance = advance
        self._waiting: dict[str, asyncio.Future[None]] = {}

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    def look(self) -> None:
        """Wake whoever waits for a graph that has ended."""
        for scope in tuple(self._state.idle):
            waiting = self._waiting.get(scope)
            if waiting is not None and not waiting.done() and settled(self._state, scope):
                waiting.set_result(None)

    async def run(self, address: Address) -> Any:
        """Return the output of the graph that an activation runs, once it has ended.

        Raises:
            NodeError: Something in it failed for good, or nothing in it can run any more.
        """
        await self._try_again(address)
        self._advance()  # of an item of a map, nobody has begun what is inside
        while address in self._state.scopes:
            outcome = settled(self._state, address)
            if outcome is None:
                await self._wait(address)
                continue
            match outcome:
                case Complete(output):
                    return output
                case Fail(failures):
                    raise _failed(self._state.activations[address].node, address, failures)
                case Drop():
                    break_off(self._recorder, address)
                    return None
        return None

    async def _wait(self, address: Address) -> None:
        waiting = asyncio.get_running_loop().create_future()
        self._waiting[address] = waiting
        try:
            await waiting
        finally:
            del self._waiting[address]

    async def _try_again(self, address: Address) -> None:
        """Give what had failed in the graph before this attempt of its activation another attempt, too."""
        since = self._state.activations[address].since
        inside = self._state.scopes[address]
        again = [one for one in inside.failures if self._state.activations[one].since < since]
        for one in again:
            if self._recorder.paced:
                await self._recorder.turn(one)
            attempt = self._state.activations[one].attempt + 1
            self._recorder.add(NodeStarted(attempt=attempt), one)
        for one in again:
            self._begin(one)

    def inside(self, address: str) -> list[Address]:
        """Return the activations inside an activation that are under way, the innermost first."""
        beginnings = (f"{address}.", f"{address}[")
        state = self._state
        found = [
            Address(name)
            for name in (*state.running, *state.waiting)
            if name.startswith(beginnings) and is_under_way(state.activations[name])
        ]
        if address[-1] != "]":  # a map ends its items itself
            found = [name for name in found if not _is_item_of(name, address)]
        return sorted(found, key=lambda name: -name.count("#"))


def break_off(recorder: Recorder, address: Address) -> None:
    """End an activation in which nothing begins any more, because what it is a part of fails.

    Where only a graph around it does, that may have another attempt, and what was broken off goes on then.
    """
    state, reason = recorder.state, "what it is a part of fails"
    if state.failing:
        recorder.add(NodeSkipped(reason=reason), address)
        return
    attempt = state.activations[address].attempt
    recorder.add(NodeFailed(kind=BROKEN_OFF, message=reason, attempt=attempt), address)


def _is_item_of(name: str, address: str) -> bool:
    return name[-1] == "]" and name.rpartition("[")[0] == address


def _failed(node: str, address: str, failures: Sequence[Failure]) -> NodeError:
    kinds = Counter(failure.kind for failure in failures)
    shown = "; ".join(
        f"{one.address}: {one.kind}: {one.message}"
        if one.address != address
        else f"{one.kind}: {one.message}"
        for one in failures[:_SHOWN]
    )
    more = len(failures) - _SHOWN
    kind = next(iter(kinds)) if len(kinds) == 1 else "nodes"
    told = f"the graph of node {node!r} failed: {shown}{f'; and {more} more' if more > 0 else ''}"
    return NodeError(told, node=node, kind=kind)
