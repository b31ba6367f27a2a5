"""Forking: a new run that shares a run's events up to a moment, with something changed from there on."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from midstream.engine.driving.moments import Cut, Moment, cut_at, outline_at
from midstream.engine.graphs.graph import Graph
from midstream.errors import ConfigError, GraphError
from midstream.events.envelope import Event
from midstream.events.fork_facts import Override, Rehearsal, RunForked
from midstream.events.ids import RunId, activation_of
from midstream.events.payloads import Fact, ModelSwitched, RunContinued, RunPaused
from midstream.events.store import EventStore
from midstream.events.values import plain
from midstream.projections.run_state import Call, RunState

TRIED = "midstream.tries"
"""The tag of a fork that answers a what-if: the run that is tried."""

_INPUTS = "inputs."
_INTENTS = frozenset(("model.requested", "tool.requested", "value.recorded", "timer.set"))
_ENDS = frozenset(("node.completed", "node.failed"))


@dataclass(frozen=True, slots=True)
class Changes:
    """What is to be different in a fork.

    Attributes:
        set: Values by path: `inputs.city`, `research`, `research#2`, `plan#1/tool:search:3fa9c2d1e0#1`; dots lead into a
            value, as in `research.0.title`. A node's name means its newest activation.
        model: The model from there on, or empty.
        prompts: What is said in place of what the code says, by step: a node, an activation or a model call.
        systems: The instruction in place of the code's, by step.
        settings: Settings of every model call, added to the code's.
        graph: Another version of the graph's code, or None.
        paused: The fork waits until it is resumed.
        tags: For finding it again, added to its parent's.
        reason: Recorded.
        models: Who is asked, whatever the code and migrations say, by step.
        rehearsal: How the fork is tried, where it answers a what-if.
    """

    set: Mapping[str, Any] = field(default_factory=dict[str, Any])
    model: str = ""
    prompts: Mapping[str, str] = field(default_factory=dict[str, str])
    systems: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])
    graph: Graph | None = None
    paused: bool = False
    tags: Mapping[str, str] = field(default_factory=dict[str, str])
    reason: str = ""
    models: Mapping[str, str] = field(default_factory=dict[str, str])
    rehearsal: Rehearsal | None = None


class Fork(NamedTuple):
    """A fork that is to be made.

    Attributes:
        cut: Where its parent stood.
        payloads: What is recorded of it first.
    """

    cut: Cut
    payloads: Sequence[Fact]


class _Place(NamedTuple):
    """Where a value is: `inputs.NAME` or the address of a step, and the way into it."""

    root: str
    path: tuple[str, ...]


async def plan_fork(
    store: EventStore,
    run_id: RunId,
    at: Moment | None,
    changes: Changes,
    codes: Mapping[str, Graph],
) -> Fork:
    """Return what has to be recorded for a fork, and where it is cut off from its parent.

    Args:
        store: Where the run is.
        run_id: The run.
        at: The moment; None means the last one at which nobody has used what is changed, or else the newest event.
        changes: What is to be different.
        codes: The code of graphs by name; it tells who takes which input.

    Raises:
        ConfigError: There is no such moment or value, or somebody has used the old value by then.
        GraphError: The other version of the graph has no place for what is running.
        NotRecordableError: A value is not JSON.
    """
    uses = _Uses(changes, codes)
    if changes.set:
        cut = await cut_at(store, run_id, at, before=uses.stop if at is None else uses.note)
    elif changes.paused:  # nobody drives it yet, so nobody needs its calls
        cut = await outline_at(store, run_id, at)
    else:
        cut = await cut_at(store, run_id, at)
    state = cut.state
    inputs, outputs = _changed(run_id, state, changes)
    for place in (*(f"{_INPUTS}{name}" for name in inputs), *outputs):
        if place in uses.seen:
            raise _used(run_id, place, uses.seen[place])
    forked = RunForked(
        parent=run_id,
        seq=cut.head.seq,
        digest=cut.head.digest.hex(),
        graph=state.graph,
        tags={**_inherited(state.tags), **changes.tags},
        status="running" if state.status == "paused" else state.status,
        inputs=inputs,
        outputs=outputs,
        overrides=_overrides(changes),
        reason=changes.reason,
        rehearsal=changes.rehearsal,
        id=uuid.uuid4().hex,
        **_shape(run_id, state, changes.graph),
    )
    return Fork(cut, (forked, *_wishes(state, changes)))


def _inherited(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that a fork has from its parent; what goes on from a try is none."""
    return {name: value for name, value in tags.items() if name != TRIED}


def _wishes(state: RunState, changes: Changes) -> list[Fact]:
    """Return what else is wanted of the fork, as anybody might want it of a run."""
    wishes: list[Fact] = []
    if changes.model:
        wishes.append(ModelSwitched(id=uuid.uuid4().hex, target=changes.model, reason="fork"))
    if changes.paused and not state.over:
        wishes.append(RunPaused(id=uuid.uuid4().hex, reason=changes.reason))
    elif state.status == "paused":
        wishes.append(RunContinued(id=uuid.uuid4().hex))
    return wishes


def _overrides(changes: Changes) -> tuple[Override, ...]:
    found = {
        step: Override(
            step=step,
            prompt=changes.prompts.get(step),
            system=changes.systems.get(step),
            model=changes.models.get(step, ""),
        )
        for step in dict.fromkeys((*changes.prompts, *changes.systems, *changes.models))
    }
    if changes.settings:
        settings = {
            name: plain(value, f"setting {name!r}") for name, value in changes.settings.items()
        }
        found["*"] = Override(settings=settings)
    return tuple(found.values())


def _shape(run_id: RunId, state: RunState, graph: Graph | None) -> dict[str, Any]:
    """Return the fields that tell of another version of the graph, if it is one."""
    if graph is None:
        return {}
    if graph.name != state.graph:
        raise GraphError(
            f"run {run_id!r} is of graph {state.graph!r}, not {graph.name!r}: a fork goes on with a version of the same graph"
        )
    if graph.digest == state.graph_digest:
        return {}
    under_way = (state.activations[address] for address in (*state.running, *state.waiting))
    going = {made.node for made in under_way if not made.scope}
    lost = sorted(going - graph.nodes.keys())
    if lost:
        raise GraphError(
            f"graph {graph.name!r} has no node {lost[0]!r}, which is running at event {state.seq} of run {run_id!r}; "
            "fork at an earlier step"
        )
    return {"definition": graph.definition, "graph_digest": graph.digest, "code": graph.version}


def _changed(
    run_id: RunId, state: RunState, changes: Changes
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the new inputs by name, and the new outputs by address."""
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    for path, value in changes.set.items():
        place = _place(run_id, state, path)
        made = plain(value, f"value at {path!r}")
        if place.root.startswith(_INPUTS):
            name = place.root.removeprefix(_INPUTS)
            old = inputs.get(name, state.inputs.get(name))
            inputs[name] = _put(path, old, place.path, made)
        else:
            old = outputs.get(place.root, _output(state, place.root))
            outputs[place.root] = _put(path, old, place.path, made)
    return inputs, outputs


def _place(run_id: RunId, state: RunState, path: str) -> _Place:
    """Return what a path means; the longest beginning that names a step counts, as names may hold dots.

    Raises:
        ConfigError: It names no input and no step that has returned.
    """
    if path.startswith(_INPUTS):
        name, *rest = path.removeprefix(_INPUTS).split(".")
        return _Place(f"{_INPUTS}{name}", tuple(rest))
    words = path.split(".")
    for length in range(len(words), 0, -1):
        root = ".".join(words[:length])
        if root in state.latest:
            root = state.latest[root].address
        if _returned(state, root):
            return _Place(root, tuple(words[length:]))
    there = [name for name, made in state.activations.items() if made.status == "completed"]
    raise ConfigError(
        f"run {run_id!r}: nothing at {path!r} has returned by event {state.seq}; what can be set is "
        f"{', '.join([*(_INPUTS + name for name in state.inputs), *there]) or 'nothing yet'}"
    )


def _returned(state: RunState, address: str) -> bool:
    made = state.activations.get(address) or state.calls.get(address)
    return made is not None and made.status == "completed"


def _output(state: RunState, address: str) -> Any:
    made = state.activations.get(address)
    return made.output if made is not None else _told(state.calls[address])


def _told(call: Call) -> Any:
    outcome = call.outcome or {}
    return outcome.get(
        {"tool": "result", "model": "message", "subrun": "output"}.get(call.kind, "value")
    )


def _put(path: str, old: Any, way: tuple[str, ...], value: Any) -> Any:
    """Return the old value with another one at the end of the way into it.

    Raises:
        ConfigError: There is no such way.
    """
    if not way:
        return value
    step, *rest = way
    match old:
        case dict():
            return {**old, step: _put(path, old.get(step), tuple(rest), value)}  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType, reportUnknownArgumentType]  # JSON
        case list() if step.isdecimal() and int(step) < len(old):  # pyright: ignore[reportUnknownArgumentType]  # JSON
            made: list[Any] = list(old)  # pyright: ignore[reportUnknownArgumentType]  # JSON
            made[int(step)] = _put(path, made[int(step)], tuple(rest), value)
            return made
        case _:
            raise ConfigError(f"{path!r} leads nowhere: {old!r:.80} has no {step!r}")


def _used(run_id: RunId, place: str, seq: int) -> ConfigError:
    return ConfigError(
        f"run {run_id!r}: {place!r} was used at event {seq}, so it cannot be another value after that; "
        f"fork at event {seq - 1} or earlier, or leave `at` out"
    )


class _Uses:
    """Who has used what is to be changed, and when first.

    Attributes:
        seen: By input (`inputs.city`) or address of a step: the event that used it.
    """

    def __init__(self, changes: Changes, codes: Mapping[str, Graph]) -> None:
        self.seen: dict[str, int] = {}
        self._paths = tuple(changes.set)
        self._calls = [path for path in self._paths if "/" in path]
        self._codes = codes

    def note(self, state: RunState, event: Event) -> bool:
        """Remember what an event uses; see `cut_at`."""
        if self._paths:
            for place in self._used_by(state, event):
                self.seen.setdefault(place, event.seq)
        return False

    def stop(self, state: RunState, event: Event) -> bool:
        """Say whether an event uses what is to be changed; see `cut_at`."""
        if not self._paths:
            return False
        used = self._used_by(state, event)
        names = used | {place.rpartition("#")[0] for place in used if "/" not in place}
        return any(self._is(path, place) for path in self._paths for place in names if place)

    def _is(self, path: str, place: str) -> bool:
        return path == place or path.startswith(f"{place}.")

    def _used_by(self, state: RunState, event: Event) -> set[str]:
        match event.type:
            case "node.scheduled":
                node = (event.address or "").rpartition("#")[0]
                taken = {f"{_INPUTS}{name}" for name in self._taken(state, node)}
                return {*event.data.get("inputs", {}).values(), *taken}
            case "run.completed":
                return {state.latest[name].address for name in state.topology.outputs}
            case _:
                return self._calls_before(state, event)

    def _taken(self, state: RunState, node: str) -> Sequence[str]:
        """Return the inputs that a node takes; without its code, any may be."""
        if "#" in node:
            return ()  # what is in a graph inside takes what the activation that runs it has taken
        code = self._codes.get(state.graph)
        known = None if code is None else code.nodes.get(node)
        if known is None:
            return tuple(state.inputs)
        return [parameter.source for parameter in known.parameters if parameter.source]

    def _calls_before(self, state: RunState, event: Event) -> set[str]:
        """Return those of the calls in question that the activation of an event had the answer of."""
        if event.address is None or event.type not in _INTENTS | _ENDS or not self._calls:
            return set()
        here = activation_of(event.address)
        return {
            address
            for path in self._calls
            for address in [next((a for a in _beginnings(path) if a in state.calls), "")]
            if address and address != event.address and activation_of(address) == here
            if state.calls[address].status == "completed"
        }


def _beginnings(path: str) -> list[str]:
    words = path.split(".")
    return [".".join(words[:length]) for length in range(len(words), 0, -1)]
