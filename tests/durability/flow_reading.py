"""The slow reader of a run's log: its graph, the graphs and items inside it, and how it ends; see `flow_reference`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from midstream import Event
from tests.durability.flow_reference import Level, Past, Place, WrongError


@dataclass
class Items:
    """The items of a map's activation."""

    level: Level
    data: Mapping[str, Any]
    begun: list[str] = field(default_factory=list[str])
    live: set[str] = field(default_factory=set[str])
    failed: set[str] = field(default_factory=set[str])

    def begin(self, address: str, index: int) -> None:
        if index != len(self.begun) or address in self.begun:
            raise WrongError(f"item {address} has place {index} after {self.begun}")
        if self.failed or self.level.failing:
            raise WrongError(f"item {address} began after a failure")
        self.begun.append(address)
        self.live.add(address)
        if len(self.live) > self.data.get("concurrency", len(self.live)):
            raise WrongError(f"{self.live} are under way together")


class Reference:
    """Reads the log of one run.

    Args:
        size: Returns how many items a map has, by the name of its node.
        joined: What a reduction does with two values.
    """

    def __init__(self, size: Callable[[str], int], joined: Callable[[Any, Any], Any]) -> None:
        self.size = size
        self.joined = joined
        self.past = Past()
        self.levels: dict[str, Level] = {}
        self.maps: dict[str, Items] = {}
        self.taken: dict[str, list[str]] = {}
        self.children: dict[str, str] = {}
        self.handled: set[str] = set()
        self.values: set[str] = set()

    def read(self, events: Iterable[Event]) -> None:
        """Read a log to its end.

        Raises:
            WrongError: It is not what it must be.
        """
        for event in events:
            handler = getattr(self, f"_{event.type.replace('.', '_')}", None)
            if handler is None:
                continue
            try:
                handler(event, str(event.address or ""))
            except WrongError as error:
                error.add_note(f"at event {event.seq}, {event.type} of {event.address}")
                raise
            for level in self.levels.values():
                level.think()

    def _at(self, address: str) -> tuple[Level, Place]:
        """Return the level that an activation is in, and its node there; of an item, of its map."""
        scope, _, name = address.rpartition("#")[0].rpartition(".")
        if scope not in self.levels:
            raise WrongError(f"{address} in {scope}, which does not run")
        return self.levels[scope], self.levels[scope].places[name]

    def _run_created(self, event: Event, _: str) -> None:
        self.graphs: Mapping[str, Any] = event.data["definition"].get("graphs", {})
        self.levels[""] = Level(event.data["definition"]["nodes"], self.past)

    def _node_scheduled(self, event: Event, address: str) -> None:
        level, place = self._at(address)
        if address.endswith("]"):
            self.maps[address.rpartition("[")[0]].begin(address, event.data["index"])
        else:
            taken = level.schedule(place, address, event.data)
            if place.reduces and taken:
                self.taken[address] = taken
        if "over" in place.data and not address.endswith("]"):
            self.maps[address] = Items(level, place.data)
        elif "graph" in place.data:
            self.levels[address] = Level(
                self.graphs[place.data["graph"]]["nodes"], self.past, level
            )

    def _node_started(self, event: Event, address: str) -> None:
        self.handled.discard(address)
        level, place = self._at(address)
        if self.past.ends.get(address) != "failed":
            return
        del self.past.ends[address]
        if address.endswith("]"):
            items = self.maps[address.rpartition("[")[0]]
            items.failed.discard(address)
            items.live.add(address)
        else:
            level.again(place, address)

    def _node_completed(self, event: Event, address: str) -> None:
        output = event.data.get("output")
        if address in self.handled:
            pass  # what stands in for it
        elif address in self.maps:
            output = self._gathered(address)
        elif address in self.levels:
            self._nothing_left(address)
            if output != self.levels[address].output():
                raise WrongError(f"{address} returned {output!r}")
        elif address in self.taken:
            values = [
                self.past.outputs[one] for one in self.past.order if one in self.taken[address]
            ]
            if output != reduce(self.joined, values):
                raise WrongError(f"{address} has made {output!r} of {values}")
        self.past.outputs[address] = output
        self._ended(address, "completed")

    def _gathered(self, address: str) -> list[Any]:
        items, done = self.maps[address], self.past.done
        name = address.rpartition("#")[0].rpartition(".")[2]
        if items.failed or items.live or len(items.begun) != self.size(name):
            raise WrongError(f"{address} completed, but of its items {items.begun} not all have")
        ordered = items.begun if items.data.get("order") != "completed" else self.past.order
        return [self.past.outputs[one] for one in ordered if one in items.begun and done(one)]

    def _node_failed(self, event: Event, address: str) -> None:
        inside, broken_off = self.levels.get(address), event.data["kind"] == "broken_off"
        if inside is not None and (inside.live or not (inside.failed or broken_off)):
            raise WrongError(f"{address} failed of {inside.failed}, and {inside.live} are live")
        if broken_off and (self.levels[""].failing or not self._at(address)[0].failing):
            raise WrongError(f"{address} was broken off, but no graph around it fails")
        if "handled" in event.data or event.data.get("retry_at") is not None:
            self.handled.add(address)
            return
        of_items = event.data["kind"] not in ("limit", "broken_off")
        if address in self.maps and of_items and not self.maps[address].failed:
            raise WrongError(f"map {address} failed of nothing")
        self._ended(address, "failed")

    def _node_skipped(self, event: Event, address: str) -> None:
        level, place = self._at(address)
        items = self.maps.get(address.rpartition("[")[0]) if address.endswith("]") else None
        if address not in (place.live if items is None else items.live):
            level.passes(place, address)
            self.past.ends[address] = "skipped"
            return
        given_up = any(
            address == one or address.startswith((f"{one}.", f"{one}[")) for one in self.past.losers
        )
        runs_none = address not in self.levels and address not in self.maps
        if not (
            address in self.handled
            or given_up
            or self.past.limited
            or (self.levels[""].failing and not runs_none)
        ):
            raise WrongError(f"{address} was dropped for nothing")
        if address in self.maps:
            if self.maps[address].live and not (given_up or self.past.limited):
                raise WrongError(f"{address} was skipped before its items had settled")
            for one in self.maps[address].live:
                self._closed(one)
        self._ended(address, "skipped")

    def _edge_decided(self, event: Event, address: str) -> None:
        goto = [target["node"] for target in event.data.get("goto", ())]
        if goto:
            self.past.going[address] = goto
        for name in (*goto, *(target["node"] for target in event.data.get("trigger", ()))):
            self._at(address)[0].call(name, address)

    def _node_added(self, event: Event, address: str) -> None:
        self._at(address)[0].add_node(event.data["name"], event.data.get("definition", {}))

    def _node_removed(self, event: Event, address: str) -> None:
        self._at(address)[0].remove_node(event.data["name"])

    def _edge_added(self, event: Event, address: str) -> None:
        self._at(address)[0].add_edge(event.data["source"], event.data["target"])

    def _edge_removed(self, event: Event, address: str) -> None:
        self._at(address)[0].remove_edge(event.data["source"], event.data["target"])

    def _value_recorded(self, event: Event, address: str) -> None:
        if address in self.values:
            raise WrongError(f"{address} was there, and was made again")
        self.values.add(address)

    def _limit_reached(self, event: Event, _: str) -> None:
        self.past.limited = True

    def _subrun_requested(self, event: Event, address: str) -> None:
        self.children[address] = event.data.get("close", "wait")

    def _subrun_completed(self, event: Event, address: str) -> None:
        self.children.pop(address, None)

    _subrun_failed = _subrun_completed

    # How it ends

    def _run_completed(self, event: Event, _: str) -> None:
        self._nothing_left("")
        self._no_children()
        if event.data.get("output") != self.levels[""].output():
            raise WrongError(f"the output is {event.data.get('output')!r}")
        if self.levels[""].failing:
            raise WrongError("a run completed in which a node has failed")

    def _run_failed(self, event: Event, _: str) -> None:
        self._no_children()
        if not self.levels[""].failing:
            raise WrongError("a run failed of nothing")
        if self.levels[""].live:
            raise WrongError("a run failed before its branches had settled")

    def _run_cancelled(self, event: Event, _: str) -> None:
        self._no_children()

    def _no_children(self) -> None:
        if any(close != "abandon" for close in self.children.values()):
            raise WrongError(f"the run ended before those that it started: {self.children}")

    def _nothing_left(self, scope: str) -> None:
        level = self.levels[scope]
        left = [place.name for place in level.places.values() if place.to_come]
        losers = [one for one in self.past.losers if one.startswith(scope)]
        if left or losers or level.failed:
            raise WrongError(f"{scope or 'the run'} ended, but {left or losers or level.failed}")

    def _ended(self, address: str, how: str) -> None:
        """Take in the end of an activation or an item, with all that is inside."""
        if address.endswith("]"):
            items = self.maps[address.rpartition("[")[0]]
            if address not in items.live:
                raise WrongError(f"{address} {how}, but it was not under way")
            if how == "failed":
                items.failed.add(address)
            self.past.going.pop(address, None)
            items.live.discard(address)
        else:
            self._at(address)[0].end(self._at(address)[1], address, how)
        self.past.ends[address] = how
        self.handled.discard(address)
        self.past.losers.discard(address)
        if how == "completed":
            self.past.order.append(address)
        if how != "failed":
            self._closed(address)

    def _closed(self, address: str) -> None:
        """Forget what was inside of an activation that has ended; nothing there may be under way."""
        inside = self.levels.pop(address, None)
        if inside is not None and inside.live:
            raise WrongError(f"{address} ended before {inside.live}")
        self.maps.pop(address, None)
