"""The slow reader of a run's log: what happens to its nodes, graphs inside it and items, and how it ends; see `flow_reference`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import reduce
from typing import Any

from midstream import Event
from tests.durability.flow_reference import Flow, Place, WrongError, require


class Reference(Flow):
    """Reads the log of one run.

    Args:
        size: Returns how many items a map has, by the name of its node.
        joined: What a reduction does with two values.
    """

    def __init__(self, size: Callable[[str], int], joined: Callable[[Any, Any], Any]) -> None:
        super().__init__()
        self.size, self.joined = size, joined
        self.going: dict[str, list[str]] = {}
        self.items: dict[str, list[str]] = {}
        self.reduced: dict[str, set[str]] = {}
        self.children: dict[str, str] = {}
        self.entered: set[str] = set()
        self.handled: set[str] = set()
        self.values: set[str] = set()

    def read(self, events: Iterable[Event]) -> None:
        """Read a log to its end, or raise `WrongError` where it is not what it must be."""
        for event in events:
            handler = getattr(self, f"_{event.type.replace('.', '_')}", None)
            if handler is not None:
                try:
                    handler(event.data, str(event.address or ""))
                except WrongError as error:
                    error.add_note(f"at event {event.seq}, {event.type} of {event.address}")
                    raise
                self.think()

    def other(self, address: str, name: str) -> Place:
        """Return a node of the graph that an activation is in."""
        return self.places[self.place(address).beside(name)]

    def _run_created(self, data: Any, _: str) -> None:
        self.graphs: Mapping[str, Any] = data["definition"].get("graphs", {})
        self.enter("", data["definition"]["nodes"])

    def _node_scheduled(self, data: Any, address: str) -> None:
        place, is_item = self.place(address), address.endswith("]")
        if is_item:
            begun = self.items[address.rpartition("[")[0]]
            self.begin(place, address, begun, data["index"])
            together = sum(self.ends[one] == "live" for one in begun)
            require(together <= place.data.get("concurrency", together), f"too many with {address}")
        else:
            self.begin(place, address, place.made, int(address.rpartition("#")[2]) - 1)
            place.open.add(address)
            self._take(place, address, data)
        if "over" in place.data and not is_item:
            self.items[address] = []
        elif "graph" in place.data:
            self.entered.add(address)
            self.enter(address, self.graphs[place.data["graph"]]["nodes"])

    def _take(self, place: Place, address: str, data: Any) -> None:
        """See that an activation was called, or that it was its turn and it takes what there is."""
        if "called" in data:
            by = place.called.pop(0) if place.called else ""
            require(by == data["called"], f"{address} was not called by {data['called']}")
            return
        require(place.turn == "ready", f"{address} was not ready")
        place.turn = ""
        found = [p for p in self.needed(place) if self.newest(p)]
        there = {p.name: self.newest(p) for p in found if not (place.join and self.to_come(p))}
        wanted = {p: there[source] for p, source in place.values.items() if source in there}
        require(dict(data.get("inputs", {})) == wanted, f"{address} takes not {wanted}")
        if place.join:
            self.give_up(place)
        elif place.fewest and there:
            self.reduced[address] = set(there.values())

    def _node_started(self, _: Any, address: str) -> None:
        self.handled.discard(address)
        require(self.ends.get(address) in ("live", "failed"), f"{address} has ended or not begun")
        if self.ends[address] == "failed":  # for good, unless what is around is tried again
            around = address.endswith("]") or self.place(address).scope
            require(around, f"{address} began anew, though nothing around it was tried again")
            self.ends[address] = "live"

    def _node_completed(self, data: Any, address: str) -> None:
        output = wanted = data.get("output")
        if address in self.handled:
            pass  # what stands in for it
        elif address in self.items:
            output = wanted = self.gathered(address)
        elif address in self.entered:
            self.nothing_left(address)
            wanted = self.output(address)
        elif address in self.reduced:
            taken = [one for one in self.outputs if one in self.reduced[address]]
            wanted = reduce(self.joined, [self.outputs[one] for one in taken])
        require(output == wanted, f"{address} has made {output!r}, not {wanted}")
        self.outputs[address] = output
        self._ended(address, "completed")

    def gathered(self, address: str) -> list[Any]:
        """Return the output of a map."""
        place, begun = self.place(address), self.items[address]
        left = [one for one in begun if self.ends[one] in ("live", "failed")]
        require(not left and len(begun) == self.size(place.own_name), f"{address} lacks {left}")
        in_order = self.outputs if place.data.get("order") == "completed" else begun
        return [
            self.outputs[one] for one in in_order if one in begun and self.ends[one] == "completed"
        ]

    def _node_failed(self, data: Any, address: str) -> None:
        broken_off = data["kind"] == "broken_off"
        live, failed = self.inside(address, "live"), self.inside(address, "failed")
        failed += [one for one in self.items.get(address, ()) if self.ends[one] == "failed"]
        around = self.failing(self.place(address).scope) and not self.failing("")
        require(around or not broken_off, f"{address} was broken off, but no graph around it fails")
        retried = "handled" in data or data.get("retry_at") is not None
        of_parts = address in self.entered or (address in self.items and not retried)
        told = broken_off or failed or (data["kind"] == "limit" and address in self.items)
        require(not live and (told or not of_parts), f"{address} failed of {failed}, beside {live}")
        if retried:
            self.handled.add(address)
        else:
            self._ended(address, "failed")

    def _node_skipped(self, _: Any, address: str) -> None:
        place = self.place(address)
        if self.ends.get(address) != "live":
            asked = place.turn == "ready" and "when" in place.data
            require(asked or place.turn == "doomed", f"{address} was skipped before its turn")
            self.begin(place, address, place.made, int(address.rpartition("#")[2]) - 1)
            self.ends[address], place.turn = "skipped", ""
            return
        given_up = any(f"{address}.".startswith((f"{one}.", f"{one}[")) for one in self.losers)
        parts = self.failing("") and (address in self.entered or address in self.items)
        allowed = given_up or self.limited or address in self.handled
        require(allowed or parts, f"{address} was dropped for nothing")
        for one in self.items.get(address, ()):
            if self.ends[one] == "live":
                require(given_up or self.limited, f"{address} was skipped before {one}")
                self.ends[one] = "skipped"
                self._closed(one)
        self._ended(address, "skipped")

    def _ended(self, address: str, how: str) -> None:
        """Take in the end of an activation or an item, with all that is inside."""
        require(self.ends.get(address) == "live", f"{address} {how}, but it was not under way")
        self.ends[address] = how
        if how != "failed":
            self.place(address).open.discard(address)
        self.handled.discard(address)
        self.losers.discard(address)
        targets = self.going.pop(address, None)
        if how == "completed" and not address.endswith("]"):
            self.settled(self.place(address), targets)
        if how != "failed":
            self._closed(address)

    def _closed(self, address: str) -> None:
        """Forget what was inside of an activation that has ended; nothing there may be under way."""
        require(not self.inside(address, "live"), f"{address} ended before what is inside")
        for place in self.nodes(address):
            del self.places[place.name]
        self.entered.discard(address)
        self.items.pop(address, None)

    def _edge_decided(self, data: Any, address: str) -> None:
        goto, trigger = data.get("goto", ()), data.get("trigger", ())
        if goto:
            self.going[address] = [self.other(address, target["node"]).name for target in goto]
        for target in (*goto, *trigger):
            place = self.other(address, target["node"])
            was_to_come = self.to_come(place)
            place.waits_no_more("")
            place.called.append(address)
            if not was_to_come:
                self.comes(place)

    def _node_added(self, data: Any, address: str) -> None:
        place = Place(self.place(address).beside(data["name"]), data.get("definition", {}))
        require(place.name not in self.places, f"{place.name} was added, but is there")
        self.places[place.name] = place
        needs = self.needed(place)
        place.met = set(self.counting(place))
        if place.start and (not needs or any(p.made or self.to_come(p) for p in needs)):
            place.turn = "waits"

    def _node_removed(self, data: Any, address: str) -> None:
        place = self.other(address, data["name"])
        require(not (place.made or place.called), f"{place.name} was removed, but it has begun")
        for other in self.followers(place):
            self.without(other, place.name)
        del self.places[place.name]

    def _edge_added(self, data: Any, address: str) -> None:
        source, target = (self.other(address, data[end]) for end in ("source", "target"))
        target.needs.append(source.name)
        if self.to_come(source) and target.turn != "waits" and not target.called:
            self.waits_anew(target)

    def _edge_removed(self, data: Any, address: str) -> None:
        source, target = (self.other(address, data[end]) for end in ("source", "target"))
        self.without(target, source.name)

    def _value_recorded(self, _: Any, address: str) -> None:
        require(address not in self.values, f"{address} was there, and was made again")
        self.values.add(address)

    def _limit_reached(self, _: Any, __: str) -> None:
        self.limited = True

    def _subrun_requested(self, data: Any, address: str) -> None:
        self.children[address] = data.get("close", "wait")

    def _subrun_completed(self, _: Any, address: str) -> None:
        self.children.pop(address, None)

    _subrun_failed = _subrun_completed

    def _run_completed(self, data: Any, _: str) -> None:
        self._run_cancelled(data, _)
        self.nothing_left("")
        wanted = self.output("")
        require(
            data.get("output") == wanted and not self.failing(""), f"the output is not {wanted}"
        )

    def _run_failed(self, data: Any, _: str) -> None:
        self._run_cancelled(data, _)
        require(self.failing(""), "a run failed of nothing")
        require(not self.inside("", "live"), "a run failed before its branches had settled")

    def _run_cancelled(self, _: Any, __: str) -> None:
        left = [one for one, close in self.children.items() if close != "abandon"]
        require(not left, f"the run ended before those that it started: {left}")
