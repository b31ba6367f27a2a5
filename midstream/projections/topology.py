"""The graph of a run as its log tells it: what each node needs and who waits for it.

All runs of one graph share its topology, until a run changes its own: that is copied once, and then changed in place, so
that a change costs what it changes.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from midstream.events.ids import Address

NOTHING: Mapping[str, Any] = {}
"""Shared by all that hold nothing; what it stands in is set and never changed in place."""


def nothing() -> Mapping[str, Any]:
    """Return what such a field holds at first."""
    return NOTHING


@dataclass(
    slots=True
)  # not frozen, which makes one three times as dear: a graph may have ten thousand
class NodeShape:
    """A node as data; made once, and not changed.

    Attributes:
        name: Its name.
        waits_for: The nodes that must have ended before it, each once.
        values: For each parameter that takes a node's output, that node.
        output: Its output is the run's.
        start: It runs by itself when nothing it waits for is still to come; otherwise only when something goes to it.
        optional: Those it waits for that may be missing: their parameters have defaults.
        join: How many of those it waits for are enough; 0 for all.
        asks: Something that is not in the log decides whether it runs: its `when`.
        distributes: Each of its successors takes one item of its output.
        over: The node's activations are those of a map, one for each item.
        order: Of a map's output: `results` or `completed`.
        undo: The node that undoes its effects, or empty.
        spread: It takes the outputs of all it waits for, in order, rather than by name.
        graph: The graph that its activations run, by name, or empty.
        data: All of it as recorded, of a node that was added to the run.
    """

    name: str
    waits_for: tuple[str, ...]
    values: Mapping[str, str]
    output: bool
    start: bool = True
    optional: frozenset[str] = frozenset()
    join: int = 0
    asks: bool = False
    distributes: bool = False
    over: bool = False
    order: str = ""
    undo: str = ""
    spread: bool = False
    graph: str = ""
    data: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(slots=True)
class Topology:
    """All nodes, in the order they were declared in.

    Attributes:
        nodes: By name.
        successors: For each node, who waits for it.
        declared: The nodes that are marked as outputs.
        joins: The nodes that need not wait for all, and how many are enough.
        expected: For each node that is to come from the beginning, how many nodes it waits for that are.
        plain: Every node starts by itself and waits for all, so that in a run without skips nothing can be missing.
        own: It belongs to one run, and is changed in place.
        changes: How often it was.
        places: What `place` has found.
        dumped: All nodes as `data_of` says, in JSON, of one that many runs share; empty before somebody asked.
    """

    nodes: dict[str, NodeShape]
    successors: dict[str, Collection[str]]
    declared: dict[str, None]
    joins: dict[str, int]
    expected: Mapping[str, int] = field(default_factory=dict[str, int])
    plain: bool = True
    own: bool = False
    changes: int = field(default=0, compare=False)
    places: dict[str, dict[str, int]] = field(
        default_factory=dict[str, dict[str, int]], compare=False, repr=False
    )

    dumped: bytes = field(default=b"", compare=False, repr=False)
    _first: dict[str, Address] = field(
        init=False, default_factory=dict[str, Address], compare=False, repr=False
    )
    _taken: dict[str, Mapping[str, str]] = field(
        init=False, default_factory=dict[str, Mapping[str, str]], compare=False, repr=False
    )

    _led: dict[str, tuple[str, ...]] = field(
        init=False, default_factory=dict[str, tuple[str, ...]], compare=False, repr=False
    )

    def first(self, node: str) -> Address:
        """Return the address of a node's first activation, the same text for all runs."""
        found = self._first.get(node)
        if found is None:
            found = self._first[node] = Address(f"{node}#1")
        return found

    def taken(self, node: str, inputs: Mapping[str, str]) -> Mapping[str, str]:
        """Return what a node's first activation takes, the same mapping for all runs in which that is the same."""
        known = self._taken.setdefault(node, inputs)
        return known if known == inputs else inputs

    def led(self, node: str, sources: tuple[str, ...]) -> tuple[str, ...]:
        """Return what led to a node's first activation, the same texts for all runs in which that is the same."""
        known = self._led.setdefault(node, sources)
        return known if known == sources else sources

    @property
    def outputs(self) -> tuple[str, ...]:
        """The nodes whose output is the run's: those that are marked, or else those that nobody waits for."""
        if self.declared:
            return tuple(self.declared)
        return tuple(name for name, who in self.successors.items() if not who)

    def copied(self) -> Topology:
        """Return a copy that may be changed."""
        followers: dict[str, Collection[str]] = {
            name: dict.fromkeys(who) for name, who in self.successors.items()
        }
        return Topology(
            dict(self.nodes),
            followers,
            dict(self.declared),
            dict(self.joins),
            plain=False,
            own=True,
        )

    def add(self, name: str, data: Mapping[str, Any]) -> NodeShape:
        """Add a node that waits for nodes which are there."""
        self.changes += 1
        shape = shape_of(name, data, keep=True)
        self._put(shape)
        self.successors[name] = {}
        for needed in shape.waits_for:
            self._followers(needed)[name] = None
        return shape

    def remove(self, name: str) -> tuple[str, ...]:
        """Take a node out, and return who waited for it."""
        self.changes += 1
        shape = self.nodes.pop(name)
        self.declared.pop(name, None)
        self.joins.pop(name, None)
        for needed in shape.waits_for:
            self._followers(needed).pop(name, None)
        followers = tuple(self.successors.pop(name))
        for follower in followers:
            self._put(_without(self.nodes[follower], name))
        return followers

    def connect(self, source: str, target: str, to: str) -> bool:
        """Have the target wait for the source, and say whether it did not before."""
        self.changes += 1
        shape = self.nodes[target]
        is_new = target not in self.successors[source]
        waits_for = (*shape.waits_for, source) if is_new else shape.waits_for
        values = {**shape.values, to: source} if to else shape.values
        self._put(replace(shape, waits_for=waits_for, values=values))
        self._followers(source)[target] = None
        return is_new

    def disconnect(self, source: str, target: str) -> None:
        """Have the target no longer wait for the source."""
        self.changes += 1
        self._put(_without(self.nodes[target], source))
        self._followers(source).pop(target, None)

    def place(self, source: str, target: str) -> int:
        """Return which successor of a node another one is, from 0."""
        places = self.places.get(source)
        if places is None:
            places = {name: place for place, name in enumerate(self.successors[source])}
            self.places[source] = places
        return places[target]

    def _put(self, shape: NodeShape) -> None:
        self.nodes[shape.name] = shape
        if shape.output:
            self.declared[shape.name] = None
        if shape.join:
            self.joins[shape.name] = shape.join

    def _followers(self, name: str) -> dict[str, None]:
        self.places.pop(name, None)
        assert self.own  # the followers in a topology that runs share are tuples
        return cast("dict[str, None]", self.successors[name])


def _without(shape: NodeShape, source: str) -> NodeShape:
    values = {name: node for name, node in shape.values.items() if node != source}
    waits_for = tuple(node for node in shape.waits_for if node != source)
    return replace(shape, waits_for=waits_for, values=values)


_ENOUGH: Mapping[Any, int] = {"any": 1, "reduce": 0}
"""How many are enough for joins that are named; 0 for all."""


def shape_of(name: str, data: Mapping[str, Any], *, keep: bool = False) -> NodeShape:
    """Read one node off its definition."""
    values: dict[str, str] = data.get("values", {})
    waits_for = tuple(dict.fromkeys((*values.values(), *data.get("after", ()))))
    join: Any = data.get("join", 0)
    return NodeShape(
        name,
        waits_for,
        values,
        bool(data.get("output")),
        not data.get("on_call", False),
        frozenset(data.get("optional", ())),
        _ENOUGH.get(join, join),
        "when" in data,
        "distribute" in data,
        "over" in data,
        data.get("order", ""),
        data.get("undo", ""),
        "inputs" in data,
        data.get("graph", ""),
        data if keep else NOTHING,
    )


def data_of(shape: NodeShape) -> dict[str, Any]:
    """Return what `shape_of` reads: all of the node that the state depends on."""
    taken = shape.values.values()
    data = (
        ("values", shape.values),
        ("after", [name for name in shape.waits_for if name not in taken]),
        ("output", shape.output),
        ("on_call", not shape.start),
        ("optional", sorted(shape.optional) if shape.optional else None),
        ("join", shape.join),
        ("order", shape.order),
        ("undo", shape.undo),
        ("graph", shape.graph),
        ("when", shape.asks),
        ("distribute", shape.distributes),
        ("over", shape.over),
        ("inputs", shape.spread),
    )
    return {name: value for name, value in data if value}


def topology(definition: Mapping[str, Any]) -> Topology:
    """Read the topology off a graph's definition."""
    nodes: dict[str, NodeShape] = {}
    followers: dict[str, list[str]] = {name: [] for name in definition["nodes"]}
    for name, data in definition["nodes"].items():
        shape = nodes[name] = shape_of(name, data)
        for needed in shape.waits_for:
            followers[needed].append(name)
    return Topology(
        nodes,
        {name: tuple(who) for name, who in followers.items()},
        {name: None for name, shape in nodes.items() if shape.output},
        {name: shape.join for name, shape in nodes.items() if shape.join},
        _expected(nodes, followers),
        all(shape.start and not shape.join for shape in nodes.values()),
    )


def _expected(
    nodes: Mapping[str, NodeShape], followers: Mapping[str, list[str]]
) -> Mapping[str, int]:
    """Return the nodes that are to come from the beginning, in the order of the graph, with what they wait for."""
    expected = {name: 0 for name, shape in nodes.items() if shape.start and not shape.waits_for}
    stack = list(expected)
    while stack:
        for follower in followers[stack.pop()]:
            if follower in expected:
                expected[follower] += 1
            elif nodes[follower].start:
                expected[follower] = 1
                stack.append(follower)
    return {name: expected[name] for name in nodes if name in expected}


_NOWHERE = Topology({}, {}, {}, {})


def nowhere() -> Topology:
    """Return the topology before a run has begun; like every one that is shared, it is copied before it is changed."""
    return _NOWHERE


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
