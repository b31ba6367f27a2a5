"""Going on with code that has changed: what is not the same, node by node, and whether a run may take it.

A run records the digest of its graph and the version of its code. `pin` goes on with neither changed; `upgrade` goes on
where nothing has changed of what the run has begun, and records the graph that holds from then on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from midstream.engine.graphs.graph import Graph
from midstream.engine.on_change import OnChange
from midstream.errors import CodeChangedError
from midstream.events import payloads
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.projections.run_state import RunState
from midstream.projections.topology import shape_of

if TYPE_CHECKING:
    from midstream.events.payloads import GraphUpgraded

_SHOWN = 8
_DEFINING = frozenset(("run.created", "run.forked", "graph.upgraded"))


@dataclass(frozen=True, slots=True)
class NodeChange:
    """A node that is not as it was recorded.

    Attributes:
        node: Its name.
        what: `added`, `removed` or `changed`.
        how: Where it differs, in words.
        graph: The graph inside the run's that it is in; empty for the run's own.
    """

    node: str
    what: Literal["added", "removed", "changed"]
    how: tuple[str, ...] = ()
    graph: str = ""

    def __str__(self) -> str:
        told = f" ({'; '.join(self.how)})" if self.how else ""
        inside = f" of graph {self.graph!r}" if self.graph else ""
        return f"node {self.node!r}{inside} was {self.what}{told}"


def node_changes(recorded: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[NodeChange, ...]:
    """Return what differs between two definitions of a graph, in the order of the first one."""
    inner = dict.fromkeys((*recorded.get("graphs", {}), *now.get("graphs", {})))
    found = _changes(recorded["nodes"], now["nodes"], "")
    for graph in inner:
        was, is_now = (one.get("graphs", {}).get(graph, {"nodes": {}}) for one in (recorded, now))
        found += _changes(was["nodes"], is_now["nodes"], graph)
    return tuple(found)


def _changes(before: Mapping[str, Any], after: Mapping[str, Any], graph: str) -> list[NodeChange]:
    from midstream.projections.difference import differences

    found: list[NodeChange] = []
    for name in dict.fromkeys((*before, *after)):
        if name not in after:
            found.append(NodeChange(name, "removed", graph=graph))
        elif name not in before:
            found.append(NodeChange(name, "added", graph=graph))
        else:
            was, is_now = before[name], dict(after[name])
            if "optional" not in was:  # releases before this option did without
                is_now.pop("optional", None)
            how = tuple(str(one) for one in differences(was, is_now))
            if how:
                found.append(NodeChange(name, "changed", how, graph))
    return found


def definition_in(events: Iterable[Event]) -> Mapping[str, Any]:
    """Return the newest definition of its graph that a run has recorded."""
    found: Mapping[str, Any] = {"nodes": {}}
    for event in events:
        if event.type in _DEFINING:
            found = event.data.get("definition") or found
    return found


def check_shape(run_id: RunId, state: RunState, code: Graph) -> None:
    """Refuse code of another shape, without a look at the log.

    Raises:
        CodeChangedError: It is.
    """
    if code.digest != state.graph_digest and state.cancelling is None:
        raise CodeChangedError(
            run_id,
            f"run {run_id!r} would begin with another shape of graph {state.graph!r} (digest {state.graph_digest[:12]}, now "
            f"{code.digest[:12]}); pass graph=… to go on with the new one",
            (),
        )


async def upgrade_of(
    store: EventStore, run_id: RunId, state: RunState, code: Graph, on_change: OnChange
) -> GraphUpgraded | None:
    """Return what has to be recorded before a run goes on with this code, or None for nothing.

    Args:
        store: Where the run is.
        run_id: The run.
        state: As it stands.
        code: What is to go on.
        on_change: See `OnChange`.

    Raises:
        CodeChangedError: The code is not the run's, and the policy does not allow it.
    """
    if state.cancelling is not None:  # to close what is open, any code will do
        return None
    given = {k: v for k, v in code.with_variables({}).items() if k not in state.inputs}
    lacking = _lacking(state, code)
    same = code.digest == state.graph_digest and code.version == state.code
    if same and not given and not lacking:
        return None
    recorded = definition_in(
        [event async for event in store.read(run_id) if event.type in _DEFINING]
    )
    changes = node_changes(recorded, code.definition)
    if not changes and not given and not lacking and code.version == state.code:
        return None
    if on_change == "pin":
        told = [*_version(state, code), *map(str, changes), *lacking]
        told += [f"it has a variable {name!r}" for name in given]
        raise CodeChangedError(
            run_id,
            f"run {run_id!r} was started with other code of graph {state.graph!r}: {_shown(told)}. Resume it with the code "
            "it was started with, or with on_change='upgrade'",
            tuple(told),
        )
    refused = [*_refused(state, recorded, changes), *lacking]
    if refused:
        raise CodeChangedError(
            run_id,
            f"run {run_id!r} cannot go on with the new code of graph {state.graph!r}: {_shown(refused)}. Go on with the code "
            f"it was started with, keep what has begun as it is (`await ctx.patched(…)` chooses inside a node), or go on in "
            f"a fork from before: midstream fork {run_id} --at STEP",
            tuple(refused),
        )
    return payloads.GraphUpgraded(
        definition=dict(code.definition) if changes else {},
        graph_digest=code.digest,
        code=code.version,
        inputs=given,
    )


def _version(state: RunState, code: Graph) -> Iterator[str]:
    if code.version != state.code:
        yield f"version {state.code!r} is now {code.version!r}"


def _refused(
    state: RunState, recorded: Mapping[str, Any], changes: tuple[NodeChange, ...]
) -> Iterator[str]:
    """Iterate over the changes of what has begun, and of what the run itself has changed."""
    own = state.topology.nodes
    begun = {*state.latest, *state.called}
    run = [own[node].graph for node in begun if node in own]
    run += [here.graph for here in state.scopes.values()]  # also of nodes that were added inside
    inside = _with_those_inside(recorded, run)
    for change in changes:
        if change.graph:
            if change.graph in inside:
                yield f"{change}, and that graph has begun"
        elif change.what != "added" and change.node in begun:
            yield f"{change}, and has begun"
        elif change.what == "added" and change.node in own:
            yield f"node {change.node!r} was added, and the run has added one of that name"
    if state.topology.own:
        yield from _rewired(state, recorded, changes)


def _with_those_inside(definition: Mapping[str, Any], run: Iterable[str]) -> set[str]:
    """Return the graphs that were run, and those inside them."""
    graphs = definition.get("graphs", {})
    found: set[str] = set()
    left = [*run]
    while left:
        name = left.pop()
        if name and name not in found:
            found.add(name)
            left += [
                data.get("graph") for data in graphs.get(name, {"nodes": {}})["nodes"].values()
            ]
    return found


def _rewired(
    state: RunState, recorded: Mapping[str, Any], changes: tuple[NodeChange, ...]
) -> Iterator[str]:
    own = state.topology.nodes
    for name, data in recorded["nodes"].items():
        if own.get(name) != shape_of(name, data):
            yield f"the run itself has changed what node {name!r} waits for, or removed it"
    removed = {one.node for one in changes if one.what == "removed" and not one.graph}
    for shape in own.values():
        for needed in shape.waits_for if shape.data else ():
            if needed in removed:
                yield f"node {needed!r} was removed, and {shape.name!r}, which the run has added, waits for it"


def _lacking(state: RunState, code: Graph) -> list[str]:
    names = (name for name, required in code.input_names.items() if required)
    return [
        f"the code takes an input {name!r}, which the run was not given"
        for name in names
        if name not in state.inputs
    ]


def _shown(told: list[str]) -> str:
    more = f"; and {len(told) - _SHOWN} more" if len(told) > _SHOWN else ""
    return "; ".join(told[:_SHOWN]) + more
