"""Maps: one activation for each item, so many at a time, found again by their keys."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Sequence,
)
from functools import partial
from typing import Any

from midstream.engine.driving.attempts import Attempts
from midstream.engine.driving.bare_items import BareItems
from midstream.engine.driving.places import Places
from midstream.engine.driving.workers import Workers
from midstream.engine.graphs.decide import BROKEN_OFF
from midstream.engine.nesting.nesting import Code, break_off
from midstream.engine.nodes.binding import items_of
from midstream.engine.recording.recorder import Recorder
from midstream.errors import NodeError, StoreError
from midstream.events.ids import Address, item
from midstream.events.payloads import NodeStarted
from midstream.events.values import own, plain
from midstream.projections.flow import Activation
from midstream.projections.run_state import RunState
from midstream.projections.scopes import around, is_failing

_SHOWN = 3
_FIRST = 64
"""Items of a list that are begun first, before further ones are scheduled."""
_TOGETHER = 512
"""Items of a list that are scheduled and begun in one go: a commit of as many is written while the next are scheduled."""


class Items:
    """Performs the activations of one map's items.

    Args:
        attempts: Performs activations.
        recorder: Writes the run.
        code: Of the run.
        address: Its activation.
        go_on: Returns once the run is not paused.
        end: Ends the driving, with an error that is no item's.
    """

    def __init__(
        self,
        attempts: Attempts,
        recorder: Recorder,
        code: Code,
        address: Address,
        go_on: Callable[[], Awaitable[None]],
        end: Callable[[BaseException], None],
    ) -> None:
        self._attempts = attempts
        self._recorder = recorder
        self._code = code
        self._node = code.node(address)
        self._address = address
        self._go_on = go_on
        self._end = end
        assert self._node.over is not None
        self._over = self._node.over
        most = self._over.concurrency
        self._places = Places(most) if most else None
        self._bare: BareItems | None = None
        if self._node.bare and not recorder.paced:
            self._bare = BareItems(
                self._node, attempts, recorder, code, self._settled, end, self._places
            )
        self._workers = Workers(self._one if self._bare is None else self._bare.perform, end)
        self._failed: list[Address] = []
        self._broken_off = False
        self._seen: set[Address] = set()

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    async def run(self) -> None:
        """Perform every item that has not ended.

        Raises:
            NodeError: An item failed, or two have the same key; those under way have settled.
        """
        await self._attempts.present(self._address)
        items = self._items()
        # What the log has already is taken from there; what a function gives, it may not give again.
        try:
            error = await self._run(items, recorded=self._over.items is not None)
        finally:
            await items.aclose()
        if error is not None:
            raise error
        failed = [one for one in self._failed if self._kind(one) != BROKEN_OFF]
        if failed:
            raise self._failures(failed)
        if self._failed or self._broken_off:
            break_off(self._recorder, self._address)

    def _fails(self) -> bool:
        state = self._state
        made = state.activations[self._address]
        return is_failing(state, around(state, made)) if made.scope else state.failing

    def _items(self) -> AsyncGenerator[Sequence[Any], None]:
        """Return what the map is made over, in parts: so many items are scheduled in one go."""
        made = self._state.activations[self._address]
        given: Any = items_of(self._node, self._code.values(made.scope), made)
        # not isinstance(): the checkers would take what it holds for unknown
        kind: type[object] = type(given)  # pyright: ignore[reportUnknownVariableType]  # user's data
        if issubclass(kind, AsyncIterable):
            return _as_they_come(given)
        if issubclass(kind, list) and self._bare is not None and self._over.items is None:
            self._bare.of(given)
        if issubclass(kind, list):
            return _in_parts(given)
        if issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, dict)):
            return _one_by_one(given)
        raise self._error(f"is mapped over {given!r:.200}, which is no list", "bad_value")

    async def _run(
        self, items: AsyncIterator[Sequence[Any]], *, recorded: bool
    ) -> Exception | None:
        """Perform the items, and return what ended that early; those under way have settled."""
        # What is given one by one may be long in coming: what is there already begins.
        together = 1 if recorded else _TOGETHER
        begun: list[Address] = []
        error = None
        try:
            try:
                await self._give(items, begun, together, recorded=recorded)
            except StoreError:
                raise
            except Exception as raised:  # noqa: BLE001  # what gives the items and names them is user code
                error = raised
            self._start(begun)
            await self._workers.done()
        finally:
            await self._workers.stop()
            if self._bare is not None:
                self._bare.ends.record()
        return error

    async def _give(
        self,
        items: AsyncIterator[Sequence[Any]],
        begun: list[Address],
        together: int,
        *,
        recorded: bool,
    ) -> None:
        """Schedule the items, so many at a time, and have them performed."""
        place = 0
        async for part in items:
            rest = part
            while rest:
                some = await self._room(rest, begun)
                if self._state.status == "paused":
                    self._start(begun)
                    await self._go_on()
                before = len(begun)
                if not self._schedule(some, place, begun, recorded=recorded):
                    return
                if self._places is not None:
                    self._places.leave(len(some) - len(begun) + before)
                place, rest = place + len(some), rest[len(some) :]
                if len(some) > 1 or len(begun) >= together:
                    self._start(begun)
                    if place == _FIRST and not self._node.pure:
                        await self._recorder.durable()
                    await asyncio.sleep(0)  # others are not kept waiting, nor are these

    async def _room(self, items: Sequence[Any], begun: list[Address]) -> Sequence[Any]:
        """Return those of the items, the first ones, that have a place, once one of them has."""
        if self._places is None:
            return items
        if not self._places.free:
            self._start(begun)
        taken = await self._places.take(len(items))
        if self._bare is not None:
            self._bare.ends.record()  # in the log, too, it has ended before another one begins
        return items[:taken]

    def _start(self, begun: list[Address]) -> None:
        """Have the items performed that were scheduled, once that is durable: they wait for their log once."""
        if not begun:
            return
        addresses, begun[:] = tuple(begun), []
        if self._node.pure:
            self._workers.put(addresses)
            return
        self._workers.expect()
        self._recorder.when_durable(partial(self._start_durable, addresses))
        self._recorder.flush()

    def _start_durable(self, addresses: Sequence[Address], error: BaseException | None) -> None:
        if error is not None:
            self._end(error)
        self._workers.put(() if error else addresses, durable=True, expected=True)

    def _stops(self) -> bool:
        """Say whether no item begins any more; those that were under way when a process ended go on."""
        return bool(self._failed) or self._fails()

    def _schedule(
        self, part: Sequence[Any], place: int, begun: list[Address], *, recorded: bool
    ) -> bool:
        """Schedule those items that were not yet, and say whether any more may follow.

        Args:
            part: Items, one after the other.
            place: Of the first of them in the map.
            begun: Takes those that are to be performed.
            recorded: They are recorded with what is scheduled.
        """
        new: list[tuple[Address, dict[str, Any]]] = []
        made, stops = self._state.activations, self._stops()
        try:
            for index, value in enumerate(part, place):
                key, address = self._named(value, index)
                known = made.get(address)
                if known is not None:
                    if self._goes_on(known):
                        begun.append(address)
                    stops = stops or bool(self._failed)
                    continue
                if stops:
                    self._broken_off = True
                    return False
                new.append((address, self._data(key, value, index, len(new), recorded=recorded)))
        finally:
            self._recorder.add_each("node.scheduled", new)
            begun += [address for address, _ in new]
        return True

    def _goes_on(self, known: Activation) -> bool:
        """Say whether an item that was scheduled is to be performed; it is not where it has ended."""
        if known.status == "failed":
            address = Address(known.address)
            since = self._state.activations[self._address].since
            if known.since < since and not self._stops():
                self._recorder.add(NodeStarted(attempt=known.attempt + 1), address)
                return True
            self._failed.append(address)
        return known.status in ("running", "waiting")

    def _data(
        self, key: str, value: Any, index: int, before: int, *, recorded: bool
    ) -> dict[str, Any]:
        state = self._state
        limit = state.limits.get("activations") if state.limits else None
        if limit is not None and len(state.activations) + before >= limit:
            raise self._error(f"comes up against the limit of {limit:.0f} activations", "limit")
        kept = plain(value, f"item {key!r} of {self._node.name!r}") if recorded else None
        return {"index": index} if kept is None else {"index": index, "item": kept}

    def _named(self, value: Any, place: int) -> tuple[str, Address]:
        """Return the key of an item, and the address of its activation."""
        if self._over.key is None:
            return str(place), Address(f"{self._address}[{place}]")
        key = str(self._over.key(own(value)))
        address = item(self._address, key)
        if address in self._seen:
            raise self._error(f"has two items with the key {key!r}: give each its own", "bad_value")
        self._seen.add(address)
        return key, address

    async def _one(self, address: Address, durable: bool) -> None:  # called by `Workers`
        try:
            await self._attempts.perform(self._node, address, durable=durable)
            self._settled(address)
        finally:
            if self._places is not None:
                self._places.leave(1)

    def _settled(self, address: Address) -> None:
        if self._state.activations[address].status == "failed":
            self._failed.append(address)

    def _kind(self, address: Address) -> str:
        kind: str = self._state.failed_data[address]["kind"]
        return kind

    def _failures(self, failed: Sequence[Address]) -> NodeError:
        kinds = Counter(map(self._kind, failed))
        shown = "; ".join(
            f"{address}: {self._kind(address)}: "
            f"{self._state.failed_data[address].get('message', '')}"
            for address in failed[:_SHOWN]
        )
        more = len(failed) - _SHOWN
        kind = next(iter(kinds)) if len(kinds) == 1 else "items"
        return self._error(
            f"failed for {len(failed)} of its items: {shown}{f'; and {more} more' if more > 0 else ''}",
            kind,
        )

    def _error(self, what: str, kind: str) -> NodeError:
        return NodeError(f"map {self._node.name!r} {what}", node=self._node.name, kind=kind)


async def _as_they_come(items: AsyncIterable[Any]) -> AsyncGenerator[Sequence[Any], None]:
    given = aiter(items)
    try:
        async for value in given:
            yield (value,)
    finally:
        if isinstance(given, AsyncGenerator):
            await given.aclose()


async def _one_by_one(items: Iterable[Any]) -> AsyncGenerator[Sequence[Any], None]:
    for value in items:
        yield (value,)


async def _in_parts(items: Sequence[Any]) -> AsyncGenerator[Sequence[Any], None]:
    place, size = 0, _FIRST
    while place < len(items):
        yield items[place : place + size]
        place, size = place + size, _TOGETHER
