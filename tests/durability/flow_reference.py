"""What control flow in one graph must come to, told the slow way: all of it is thought over after each event.

It knows nothing of counts that go down. It keeps which nodes wait, asks of each after every event whether anything it
depends on is still to come, and says what is wrong with what the engine did next. `flow_reading` reads whole logs with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


class WrongError(AssertionError):
    """The log has what must not happen, or lacks what must."""


@dataclass
class Past:
    """What has happened to the activations of a run, by address."""

    ends: dict[str, str] = field(default_factory=dict[str, str])
    outputs: dict[str, Any] = field(default_factory=dict[str, Any])
    order: list[str] = field(default_factory=list[str])
    going: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    losers: set[str] = field(default_factory=set[str])
    limited: bool = False

    def done(self, address: str) -> bool:
        return self.ends.get(address) == "completed"


@dataclass
class Place:
    """A node, and where control is in it."""

    name: str
    data: Mapping[str, Any]
    waits_for: list[str]
    waits: bool = False
    ready: bool = False
    doomed: bool = False
    called: list[str] = field(default_factory=list[str])
    live: set[str] = field(default_factory=set[str])
    failed: set[str] = field(default_factory=set[str])
    """For good, unless what is around is tried again: until then, who waits for it waits."""
    made: list[str] = field(default_factory=list[str])
    bypassed: set[str] = field(default_factory=set[str])
    met: set[str] = field(default_factory=set[str])
    """Of a join: what counted when it began to wait."""

    def __post_init__(self) -> None:
        self.values: Mapping[str, str] = self.data.get("values", {})
        self.optional = set(self.data.get("optional", ()))
        self.start = not self.data.get("on_call", False)
        self.reduces = self.data.get("join") == "reduce"
        join = self.data.get("join", 0)
        self.join: int = 1 if join == "any" else 0 if self.reduces else join
        self.fewest = 1 if self.reduces else self.join

    @property
    def to_come(self) -> bool:
        begun = self.live or self.failed
        return bool(self.waits or self.ready or self.doomed or self.called or begun)

    def waits_no_more(self) -> None:
        self.waits = self.ready = self.doomed = False
        self.bypassed, self.met = set(), set()


class Level:
    """A graph that runs: that of the run, or of an activation of a node in the level around it."""

    def __init__(self, nodes: Mapping[str, Any], past: Past, outer: Level | None = None) -> None:
        self.places: dict[str, Place] = {}
        self.past = past
        self.outer = outer
        for name, data in nodes.items():
            self._put(name, data)
        for place in self.places.values():
            place.ready = place.start and not place.waits_for
        for place in [place for place in self.places.values() if place.ready]:
            self._comes(place)

    @property
    def failed(self) -> set[str]:
        return {address for place in self.places.values() for address in place.failed}

    @property
    def failing(self) -> bool:
        around = self.outer is not None and self.outer.failing
        return bool(self.failed) or self.past.limited or around

    @property
    def live(self) -> set[str]:
        return {address for place in self.places.values() for address in place.live}

    @property
    def outputs(self) -> list[Place]:
        needed = {name for place in self.places.values() for name in place.waits_for}
        marked = [place for place in self.places.values() if place.data.get("output")]
        return marked or [place for place in self.places.values() if place.name not in needed]

    def output(self) -> Any:
        found = {
            place.name: self.past.outputs[done[-1]]
            for place in self.outputs
            if (done := [address for address in place.made if self.past.done(address)])
        }
        return found.get(self.outputs[0].name) if len(self.outputs) == 1 else found

    # What the log says

    def schedule(self, place: Place, address: str, data: Mapping[str, Any]) -> list[str]:
        """Take in that an activation has begun, and return those whose outputs there are for it; none where it was called."""
        self._new(place, address)
        place.live.add(address)
        if "called" in data:
            if not place.called or place.called.pop(0) != data["called"]:
                raise WrongError(f"{address} was not called by {data['called']}")
            return []
        if not place.ready:
            raise WrongError(f"{address} was not ready")
        place.ready = False
        newest = {
            name: self.places[name].made[-1]
            for name in place.waits_for
            if self.places[name].made and self.past.done(self.places[name].made[-1])
            if not (place.join and self.places[name].to_come)
        }
        wanted = {p: newest[source] for p, source in place.values.items() if source in newest}
        if dict(data.get("inputs", {})) != wanted:
            raise WrongError(f"{address} takes {data.get('inputs')}, not {wanted}")
        if place.join:
            self._give_up(place)
        return list(newest.values())

    def end(self, place: Place, address: str, how: str) -> None:
        if address not in place.live:
            raise WrongError(f"{address} {how}, but it was not under way")
        place.live.discard(address)
        targets = self.past.going.pop(address, None)
        if how == "failed":
            place.failed.add(address)
        if how != "completed" or place.to_come:
            return
        beyond = self._below(targets or ())
        for other in self.places.values():
            if place.name in other.waits_for:
                if targets is not None and other.waits and other.name not in beyond:
                    other.bypassed.add(place.name)
                if place.name not in other.bypassed:
                    other.met.add(place.name)

    def passes(self, place: Place, address: str) -> None:
        if not (place.doomed or (place.ready and "when" in place.data)):
            raise WrongError(f"{address} was skipped, but it is not its turn to pass")
        self._new(place, address)
        place.doomed = place.ready = False

    def again(self, place: Place, address: str) -> None:
        """Take in another attempt of what had failed for good, because the graph around it is tried again."""
        if self.outer is None or address not in place.failed:
            raise WrongError(f"{address} began anew, though nothing around it was tried again")
        place.failed.discard(address)
        place.live.add(address)

    def call(self, name: str, by: str) -> None:
        place = self.places[name]
        was_to_come = place.to_come
        place.waits_no_more()
        place.called.append(by)
        if not was_to_come:
            self._comes(place)

    def add_node(self, name: str, data: Mapping[str, Any]) -> None:
        place = self._put(name, data)
        needs = [self.places[name] for name in place.waits_for]
        place.met = {n.name for n in needs if self._has_value(n)}
        if place.start:
            place.waits = not needs or any(need.made or need.to_come for need in needs)

    def remove_node(self, name: str) -> None:
        if self.places[name].made or self.places[name].called:
            raise WrongError(f"node {name} was removed, but it has begun")
        for place in self.places.values():
            if name in place.waits_for:
                self.remove_edge(name, place.name)
        del self.places[name]

    def add_edge(self, source: str, target: str) -> None:
        place = self.places[target]
        place.waits_for.append(source)
        if self.places[source].to_come and place.start and not (place.waits or place.called):
            self._waits_anew(place)

    def remove_edge(self, source: str, target: str) -> None:
        place = self.places[target]
        place.waits_for.remove(source)
        if len(place.waits_for) < place.fewest:
            raise WrongError(f"{target} was left with {place.waits_for} for {place.fewest}")
        place.met.discard(source)
        if place.start and not (place.waits or place.waits_for or place.made):
            self._waits_anew(place)

    # What follows from it

    def think(self) -> None:
        for place in self.places.values():
            if not place.waits:
                continue
            enough = place.join and len(place.met) >= place.join
            if enough or not any(self.places[name].to_come for name in place.waits_for):
                runs = bool(enough) or (not place.join and self._led(place))
                place.waits_no_more()
                place.ready, place.doomed = runs, not runs

    def _led(self, place: Place) -> bool:
        led = not place.waits_for
        for name in place.waits_for:
            made = self.places[name].made
            if not made:
                if name in place.values.values() and name not in place.optional:
                    return False
            elif name not in place.bypassed and self.past.done(made[-1]):
                led = True
            elif name not in place.optional:
                return False
        return led

    def _waits_anew(self, place: Place) -> None:
        was_to_come = place.to_come
        place.waits, place.ready, place.doomed = True, False, False
        if not was_to_come:
            self._comes(place)

    def _comes(self, place: Place) -> None:
        """Have everything wait that depends on a node which is to come and was not."""
        fresh = [place]
        waiting: list[Place] = []
        for one in fresh:
            for other in self.places.values():
                if one.name not in other.waits_for:
                    continue
                other.bypassed.discard(one.name)
                other.met.discard(one.name)
                if other.waits or not other.start:
                    continue
                if not other.to_come:
                    fresh.append(other)
                other.waits, other.ready, other.doomed = True, False, False
                waiting.append(other)
        for other in waiting:
            has = [name for name in other.waits_for if self._has_value(self.places[name])]
            other.met = set(has[: max(0, other.join - 1)])

    def _has_value(self, place: Place) -> bool:
        return bool(place.made) and not place.to_come and self.past.done(place.made[-1])

    def _give_up(self, winner: Place) -> None:
        given_up: set[str] = set()
        stack = list(winner.waits_for)
        while stack:
            place = self.places[stack.pop()]
            waited_for = any(p.waits and place.name in p.waits_for for p in self.places.values())
            needed = place.data.get("output") or waited_for
            if place.name in given_up or not place.to_come or needed:
                continue
            given_up.add(place.name)
            self.past.losers |= place.live
            if place.waits or place.ready or place.called or place.doomed:
                place.waits = place.ready = False
                place.called.clear()
                place.doomed = True
            stack += place.waits_for

    def _below(self, names: Iterable[str]) -> set[str]:
        found, stack = set[str](), list(names)
        while stack:
            name = stack.pop()
            for other in self.places.values():
                if name in other.waits_for and other.name not in found:
                    found.add(other.name)
                    stack.append(other.name)
        return found

    def _put(self, name: str, data: Mapping[str, Any]) -> Place:
        needs = dict.fromkeys((*data.get("values", {}).values(), *data.get("after", ())))
        self.places[name] = Place(name, data, list(needs))
        return self.places[name]

    def _new(self, place: Place, address: str) -> None:
        if not address.endswith(f"{place.name}#{len(place.made) + 1}") or address in self.past.ends:
            raise WrongError(f"{address} is not the next activation after {place.made}")
        if self.failing:
            raise WrongError(f"{address} began after a failure")
        place.made.append(address)
