"""The rules of control flow, told the slow way: all of it is thought over after each event; `flow_reading` reads logs by them.

Nothing here knows of counts that go down. It is kept which nodes wait, and asked of each after every event whether anything
it depends on is still to come. Nodes go by their name in the run, as in `research#1.plan`; the scope of that one is
`research#1`, that of nodes of the run's own graph is empty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


class WrongError(AssertionError):
    """The log has what must not happen, or lacks what must."""


def require(holds: object, wrong: str) -> None:
    if not holds:
        raise WrongError(wrong)


@dataclass
class Place:
    """A node, and where control is in it: it `waits`, is `ready` or `doomed`, was called, or has begun."""

    name: str
    data: Mapping[str, Any]
    turn: str = ""
    called: list[str] = field(default_factory=list[str])
    made: list[str] = field(default_factory=list[str])
    open: set[str] = field(default_factory=set[str])  # of these, what is under way or has failed
    bypassed: set[str] = field(default_factory=set[str])
    met: set[str] = field(default_factory=set[str])  # of a join: what counts of those it waits for

    def __post_init__(self) -> None:
        self.scope, _, self.own_name = self.name.rpartition(".")
        taken: Mapping[str, str] = self.data.get("values", {})
        self.values = {parameter: self.beside(name) for parameter, name in taken.items()}
        self.needs = list(
            dict.fromkeys(map(self.beside, (*taken.values(), *self.data.get("after", ()))))
        )
        self.optional = set(map(self.beside, self.data.get("optional", ())))
        join: Any = self.data.get("join", 0)
        self.join: int = 1 if join == "any" else 0 if join == "reduce" else join
        self.fewest = 1 if join == "reduce" else self.join
        self.start = not self.data.get("on_call", False)

    def beside(self, name: str) -> str:
        """Return what a node of the same graph is called in the run."""
        return f"{self.scope}.{name}" if self.scope else name

    def waits_no_more(self, turn: str) -> None:
        self.turn, self.bypassed, self.met = turn, set(), set()


class Flow:
    """Where control is in a run, and in each graph inside it."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.ends: dict[str, str] = {}  # of activations and items: `live` before they have ended
        self.outputs: dict[str, Any] = {}  # in the order of completion
        self.losers: set[str] = set()
        self.limited = False

    # Where things stand

    def place(self, address: str) -> Place:
        """Return the node of an activation, of an item that of its map."""
        name = address.rpartition("#")[0]
        require(name in self.places, f"{address} is where nothing runs")
        return self.places[name]

    def to_come(self, place: Place) -> bool:
        # What failed for good may be tried again with what is around: until then, who waits for it waits.
        return bool(place.turn or place.called or place.open)

    def newest(self, place: Place) -> str:
        """Return the newest activation of a node, if it has completed."""
        done = place.made and self.ends[place.made[-1]] == "completed"
        return place.made[-1] if done else ""

    def needed(self, place: Place) -> list[Place]:
        return [self.places[name] for name in place.needs]

    def followers(self, place: Place) -> list[Place]:
        return [other for other in self.places.values() if place.name in other.needs]

    def counting(self, place: Place) -> list[str]:
        """Return those that a node waits for that have a value and are not to come anew."""
        return [p.name for p in self.needed(place) if self.newest(p) and not self.to_come(p)]

    def nodes(self, scope: str) -> list[Place]:
        """Return the nodes of the graph that an activation runs."""
        return [place for place in self.places.values() if place.scope == scope]

    def inside(self, scope: str, how: str) -> list[str]:
        """Return what began in a graph and is `live`, or has `failed`."""
        begun = (address for place in self.nodes(scope) for address in place.open)
        return [address for address in begun if self.ends[address] == how]

    def failing(self, scope: str) -> bool:
        around = bool(scope) and self.failing(self.place(scope).scope)
        return bool(self.limited or self.inside(scope, "failed") or around)

    def output(self, scope: str) -> Any:
        every = self.nodes(scope)
        ends = [p for p in every if p.data.get("output")]
        ends = ends or [p for p in every if not self.followers(p)]
        done = {p.own_name: [one for one in p.made if self.ends[one] == "completed"] for p in ends}
        found = {name: self.outputs[made[-1]] for name, made in done.items() if made}
        return found if len(ends) > 1 else next(iter(found.values()), None)

    def nothing_left(self, scope: str) -> None:
        left = [place.name for place in self.nodes(scope) if self.to_come(place)]
        left += [one for one in self.losers if one.startswith(scope)]
        require(not left, f"{scope or 'the run'} ended, but {left}")

    # What happens to nodes

    def enter(self, scope: str, nodes: Mapping[str, Any]) -> None:
        names = {f"{scope}.{name}" if scope else name: data for name, data in nodes.items()}
        self.places |= {name: Place(name, data) for name, data in names.items()}
        first = [place for place in self.nodes(scope) if place.start and not place.needs]
        for place in first:
            place.turn = "ready"
        for place in first:
            self.comes(place)

    def begin(self, place: Place, address: str, begun: list[str], number: int) -> None:
        require(number == len(begun), f"{address} does not come after {begun}")
        require(address not in self.ends, f"{address} began twice")
        failed = any(self.ends[one] == "failed" for one in begun)
        require(not (failed or self.failing(place.scope)), f"{address} began after a failure")
        begun.append(address)
        self.ends[address] = "live"

    def settled(self, place: Place, targets: list[str] | None) -> None:
        """Have those who wait for a node know that it has completed, and perhaps sent control elsewhere."""
        beyond, stack = set[str](), list(targets or ())
        while stack:
            below = [p.name for p in self.followers(self.places[stack.pop()])]
            stack += [name for name in below if name not in beyond]
            beyond.update(below)
        for other in self.followers(place) if not self.to_come(place) else ():
            if targets is not None and other.turn == "waits" and other.name not in beyond:
                other.bypassed.add(place.name)
            if place.name not in other.bypassed:
                other.met.add(place.name)

    def without(self, place: Place, source: str) -> None:
        place.needs.remove(source)
        require(len(place.needs) >= place.fewest, f"{place.name} has {place.needs} left to join")
        place.met.discard(source)
        if not (place.turn == "waits" or place.needs or place.made):
            self.waits_anew(place)

    def waits_anew(self, place: Place) -> None:
        was_to_come = self.to_come(place)
        if place.start:
            place.turn = "waits"
            if not was_to_come:
                self.comes(place)

    # What follows from it

    def think(self) -> None:
        for place in self.places.values():
            if place.turn == "waits":
                enough = place.join and len(place.met) >= place.join
                if enough or not any(map(self.to_come, self.needed(place))):
                    runs = enough or (not place.join and self.is_led(place))
                    place.waits_no_more("ready" if runs else "doomed")

    def is_led(self, place: Place) -> bool:
        """Say whether a node has all it cannot do without, and something that leads to it."""
        led = not place.needs
        for need in self.needed(place):
            if self.newest(need) and need.name not in place.bypassed:
                led = True
            elif need.name not in place.optional and (
                need.made or need.name in place.values.values()
            ):
                return False
        return led

    def comes(self, place: Place) -> None:
        """Have everything wait that depends on a node which is to come and was not."""
        fresh, waiting = [place], list[Place]()
        for one in fresh:
            for other in self.followers(one):
                other.bypassed.discard(one.name)
                other.met.discard(one.name)
                if other.turn != "waits" and other.start:
                    if not self.to_come(other):
                        fresh.append(other)
                    other.turn = "waits"
                    waiting.append(other)
        for other in waiting:
            other.met = set(self.counting(other)[: max(0, other.join - 1)])

    def give_up(self, winner: Place) -> None:
        """Let go of what a join that has enough no longer waits for, and of what only led to that."""
        given_up, stack = set[str](), list(winner.needs)
        while stack:
            place = self.places[stack.pop()]
            needed = any(p.turn == "waits" for p in self.followers(place)) or place.data.get(
                "output"
            )
            if place.name in given_up or needed or not self.to_come(place):
                continue
            given_up.add(place.name)
            self.losers.update(one for one in place.open if self.ends[one] == "live")
            if place.turn or place.called:
                place.called.clear()
                place.turn = "doomed"
            stack += place.needs
