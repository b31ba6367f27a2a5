"""What control flow must come to, told the slow way: a reader of logs that thinks all of it over after each event.

It knows nothing of counts that go down. It keeps which nodes wait, asks of each after every event whether anything it
depends on is still to come, and says what is wrong with what the engine did next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream import Event


class WrongError(AssertionError):
    """The log has what must not happen, or lacks what must."""


@dataclass
class Place:
    """A node, and where control is in it."""

    name: str
    waits_for: list[str]
    values: dict[str, str]
    optional: set[str]
    start: bool
    join: int
    output: bool
    asks: bool
    waits: bool = False
    ready: bool = False
    doomed: bool = False
    called: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list[Any])
    live: set[str] = field(default_factory=set[str])
    made: list[str] = field(default_factory=list[str])
    bypassed: set[str] = field(default_factory=set[str])
    met: set[str] = field(default_factory=set[str])
    """Of a join: what counted when it began to wait."""

    @property
    def to_come(self) -> bool:
        return bool(self.waits or self.ready or self.doomed or self.called or self.live)


class Reference:
    """Reads the log of one run."""

    def __init__(self) -> None:
        self.places: dict[str, Place] = {}
        self.ends: dict[str, str] = {}
        self.outputs: dict[str, Any] = {}
        self.going: dict[str, list[str]] = {}
        self.losers: set[str] = set()
        self.failed = False
        self.scheduled: set[str] = set()
        self.cancelled = False

    def read(self, events: Iterable[Event]) -> None:
        """Read a log to its end.

        Raises:
            WrongError: It is not what it must be.
        """
        for event in events:
            handler = getattr(self, f"_{event.type.replace('.', '_')}", None)
            if handler is not None:
                handler(event)
                self._think()

    # What the log says

    def _run_created(self, event: Event) -> None:
        for name, data in event.data["definition"]["nodes"].items():
            self._put(name, data)
        for place in self.places.values():
            if place.start and not place.waits_for:
                place.ready = True
        for place in [place for place in self.places.values() if place.ready]:
            self._comes(place)

    def _run_cancel_requested(self, event: Event) -> None:
        self.cancelled = True

    def _node_scheduled(self, event: Event) -> None:
        address = str(event.address)
        place = self.places[address.rpartition("#")[0]]
        self._new(place, address)
        if "called" in event.data:
            if not place.called or place.called[0][0] != event.data["called"]:
                raise WrongError(f"{address} was not called by {event.data['called']}")
            place.called.pop(0)
        elif not place.ready:
            raise WrongError(f"{address} was not ready")
        else:
            place.ready = False
            wanted = {
                p: self.places[s].made[-1]
                for p, s in place.values.items()
                if self.places[s].made and self._done(self.places[s].made[-1])
                if not (place.join and self.places[s].to_come)
            }
            if dict(event.data.get("inputs", {})) != wanted:
                raise WrongError(f"{address} takes {event.data.get('inputs')}, not {wanted}")
        place.live.add(address)
        if place.join and "called" not in event.data:
            self._give_up(place)

    def _node_completed(self, event: Event) -> None:
        address = str(event.address)
        place = self._ended(address, "completed")
        self.outputs[address] = event.data.get("output")
        targets = self.going.pop(address, None)
        if targets is not None and not place.to_come:
            beyond = self._below(targets)
            for other in self.places.values():
                if place.name in other.waits_for and other.waits and other.name not in beyond:
                    other.bypassed.add(place.name)
        if not place.to_come:
            for other in self.places.values():
                if place.name in other.waits_for and place.name not in other.bypassed:
                    other.met.add(place.name)

    def _node_failed(self, event: Event) -> None:
        if "handled" in event.data or event.data.get("retry_at") is not None:
            return
        self._ended(str(event.address), "failed")
        self.failed = True

    def _node_skipped(self, event: Event) -> None:
        address = str(event.address)
        place = self.places[address.rpartition("#")[0]]
        if address in place.live:
            handled = str(event.data["reason"]).startswith("failed: ")
            if address not in self.losers and not handled:
                raise WrongError(f"{address} was dropped for nothing")
            self.losers.discard(address)
            self._ended(address, "skipped")
            return
        if not (place.doomed or (place.ready and place.asks)):
            raise WrongError(f"{address} was skipped, but it is not its turn to pass")
        self._new(place, address)
        place.doomed = place.ready = False
        self.ends[address] = "skipped"

    def _edge_decided(self, event: Event) -> None:
        goto = event.data.get("goto", ())
        if goto:
            self.going[str(event.address)] = [target["node"] for target in goto]
        for target in (*goto, *event.data.get("trigger", ())):
            place = self.places[target["node"]]
            was_to_come = place.to_come
            place.waits = place.ready = place.doomed = False
            place.bypassed, place.met = set(), set()
            place.called.append((str(event.address), target.get("args", {})))
            if not was_to_come:
                self._comes(place)

    def _node_added(self, event: Event) -> None:
        place = self._put(event.data["name"], event.data.get("definition", {}))
        begun = any(self.places[name].made for name in place.waits_for)
        coming = any(self.places[name].to_come for name in place.waits_for)
        if place.start:
            place.waits = begun or coming or not place.waits_for

    def _edge_added(self, event: Event) -> None:
        target, source = self.places[event.data["target"]], event.data["source"]
        target.waits_for.append(source)
        if self.places[source].to_come and target.start and not (target.waits or target.called):
            was_to_come = target.to_come
            target.ready, target.doomed, target.waits = False, False, True
            if not was_to_come:
                self._comes(target)

    def _run_completed(self, event: Event) -> None:
        self._nothing_left()
        outputs = [p for p in self.places.values() if p.output] or [
            p
            for p in self.places.values()
            if all(p.name not in other.waits_for for other in self.places.values())
        ]
        last = {p.name: done[-1] for p in outputs if (done := [a for a in p.made if self._done(a)])}
        found: Any = {name: self.outputs[address] for name, address in last.items()}
        if len(outputs) == 1:
            found = found.get(outputs[0].name)
        if event.data.get("output") != found:
            raise WrongError(f"the output is {event.data.get('output')!r}, not {found!r}")
        if self.failed:
            raise WrongError("a run completed in which a node has failed")

    def _run_failed(self, event: Event) -> None:
        if not self.failed:
            raise WrongError("a run failed of nothing")
        if any(place.live for place in self.places.values()):
            raise WrongError("a run failed before its branches had settled")

    # What follows from it

    def _think(self) -> None:
        for place in self.places.values():
            if not place.waits:
                continue
            coming = [n for n in place.waits_for if self.places[n].to_come]
            if place.join and len(place.met) >= place.join:
                self._fire(place, runs=True)
            elif not coming:
                self._fire(place, runs=not place.join and self._led(place))

    def _fire(self, place: Place, *, runs: bool) -> None:
        place.waits = False
        place.ready, place.doomed = runs, not runs
        place.bypassed, place.met = set(), set()

    def _led(self, place: Place) -> bool:
        led = not place.waits_for
        for name in place.waits_for:
            made = self.places[name].made
            if not made:
                if name in place.values.values() and name not in place.optional:
                    return False
            elif name not in place.bypassed and self._done(made[-1]):
                led = True
            elif name not in place.optional:
                return False
        return led

    def _comes(self, place: Place) -> None:
        """Have everything wait that depends on a node which is to come and was not."""
        fresh = [place]
        joins: list[Place] = []
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
                joins.append(other)
        for other in joins:
            has = [
                name
                for name in other.waits_for
                if not self.places[name].to_come
                and self.places[name].made
                and self._done(self.places[name].made[-1])
            ]
            other.met = set(has[: max(0, other.join - 1)])

    def _give_up(self, winner: Place) -> None:
        given_up: set[str] = set()
        stack = list(winner.waits_for)
        while stack:
            place = self.places[stack.pop()]
            needed = place.output or any(
                other.waits and place.name in other.waits_for for other in self.places.values()
            )
            if place.name in given_up or not place.to_come or needed:
                continue
            given_up.add(place.name)
            self.losers |= place.live
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
        values = dict(data.get("values", {}))
        join = data.get("join", 0)
        place = Place(
            name,
            list(dict.fromkeys((*values.values(), *data.get("after", ())))),
            values,
            set(data.get("optional", ())),
            not data.get("on_call", False),
            1 if join == "any" else join,
            bool(data.get("output")),
            "when" in data,
        )
        self.places[name] = place
        return place

    def _new(self, place: Place, address: str) -> None:
        if address != f"{place.name}#{len(place.made) + 1}" or address in self.ends:
            raise WrongError(f"{address} is not the next activation after {place.made}")
        if self.failed:
            raise WrongError(f"{address} began after a failure")
        place.made.append(address)

    def _ended(self, address: str, how: str) -> Place:
        place = self.places[address.rpartition("#")[0]]
        if address not in place.live:
            raise WrongError(f"{address} {how}, but it was not under way")
        place.live.discard(address)
        self.ends[address] = how
        return place

    def _done(self, address: str) -> bool:
        return self.ends.get(address) == "completed"

    def _nothing_left(self) -> None:
        left = [place.name for place in self.places.values() if place.to_come]
        if left or self.losers:
            raise WrongError(f"the run ended, but {left or self.losers} were still to come")
