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
)
from typing import Any

from midstream.engine.driving.attempts import Attempts
from midstream.engine.nesting.nesting import Code
from midstream.engine.nodes.binding import items_of
from midstream.engine.recording.claims import on_own_branch
from midstream.engine.recording.recorder import Recorder
from midstream.errors import NodeError, StoreError
from midstream.events.ids import Address, item
from midstream.events.payloads import NodeSkipped, NodeStarted
from midstream.events.values import own, plain
from midstream.projections.run_state import RunState
from midstream.projections.scopes import around, is_failing

_SHOWN = 3
_TOGETHER = 256
"""Items of a list that are begun in one go."""


class Items:
    """Performs the activations of one map's items.

    Args:
        attempts: Performs activations.
        recorder: Writes the run.
        code: Of the run.
        address: Its activation.
        go_on: Returns once the run is not paused.
    """

    def __init__(
        self,
        attempts: Attempts,
        recorder: Recorder,
        code: Code,
        address: Address,
        go_on: Callable[[], Awaitable[None]],
    ) -> None:
        self._attempts = attempts
        self._recorder = recorder
        self._code = code
        self._node = code.node(address)
        self._address = address
        self._go_on = go_on
        self._failed: list[Address] = []
        self._seen: set[Address] = set()

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    async def run(self) -> None:
        """Perform every item that has not ended.

        Raises:
            NodeError: An item failed, or two have the same key; those under way have settled.
        """
        over = self._node.over
        assert over is not None
        await self._attempts.present(self._address)
        items = self._items()
        # What the log has already is taken from there; what a function gives, it may not give again.
        try:
            error = await self._run(items, recorded=over.items is not None)
        finally:
            if isinstance(items, AsyncGenerator):
                await items.aclose()
        if error is not None:
            raise error
        if self._failed:
            raise self._failures()
        if self._fails():
            self._recorder.add(NodeSkipped(reason="the run fails"), self._address)

    def _fails(self) -> bool:
        state = self._state
        return is_failing(state, around(state, state.activations[self._address]))

    def _items(self) -> AsyncIterator[Any]:
        made = self._state.activations[self._address]
        given: Any = items_of(self._node, self._code.values(made.scope), made)
        # not isinstance(): the checkers would take what it holds for unknown
        kind: type[object] = type(given)  # pyright: ignore[reportUnknownVariableType]  # user's data
        if issubclass(kind, AsyncIterable):
            return aiter(given)
        if issubclass(kind, Iterable) and not issubclass(kind, (str, bytes, dict)):
            return _one_by_one(given)
        raise self._error(f"is mapped over {given!r:.200}, which is no list", "bad_value")

    async def _run(self, items: AsyncIterator[Any], *, recorded: bool) -> Exception | None:
        """Perform the items, and return what ended that early; those under way have settled."""
        over = self._node.over
        free = asyncio.Semaphore(over.concurrency) if over and over.concurrency else None
        # What is given one by one may be long in coming: what is there already begins.
        most = _TOGETHER if over and over.items is None else 1
        begun: list[Address] = []
        async with asyncio.TaskGroup() as group:
            try:
                place = 0
                async for value in items:
                    if free is not None:
                        if free.locked():
                            await self._start(group, begun, free)
                        await free.acquire()
                    await self._go_on()
                    address = self._address_of(value, place)
                    if self._stops() and address not in self._state.activations:
                        break
                    if self._begun(address, value, place, recorded=recorded):
                        begun.append(address)
                    elif free is not None:
                        free.release()
                    place += 1
                    if len(begun) >= most:
                        await self._start(group, begun, free)
                await self._start(group, begun, free)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001  # what gives the items and names them is user code
                await self._start(group, begun, free)
                return error
        return None

    async def _start(
        self, group: asyncio.TaskGroup, begun: list[Address], free: asyncio.Semaphore | None
    ) -> None:
        """Perform the items that were scheduled, together: they wait for their log once."""
        if not begun:
            return
        addresses, begun[:] = tuple(begun), []
        if not self._node.pure:
            await self._recorder.durable()
        for address in addresses:
            task = group.create_task(self._one(address), name=f"midstream:{address}")
            if free is not None:
                task.add_done_callback(lambda _: free.release())

    def _stops(self) -> bool:
        """Say whether no item begins any more; those that were under way when a process ended go on."""
        return bool(self._failed) or self._fails()

    def _address_of(self, value: Any, place: int) -> Address:
        over = self._node.over
        assert over is not None
        key = str(place if over.key is None else over.key(own(value)))
        address = item(self._address, key)
        if address in self._seen:
            raise self._error(f"has two items with the key {key!r}: give each its own", "bad_value")
        self._seen.add(address)
        return address

    def _begun(self, address: Address, value: Any, place: int, *, recorded: bool) -> bool:
        """Say whether an item is to be performed, which is scheduled if it was not; it is not where it has ended."""
        known = self._state.activations.get(address)
        if known is None:
            self._schedule(address, value, place, recorded=recorded)
            return True
        if known.status in ("running", "waiting"):
            return True
        if known.status == "failed":
            since = self._state.activations[self._address].since
            if known.since < since and not self._stops():
                self._recorder.add(NodeStarted(attempt=known.attempt + 1), address)
                return True
            self._failed.append(address)
        return False

    def _schedule(self, address: Address, value: Any, place: int, *, recorded: bool) -> None:
        limit = self._state.limits.get("activations")
        if limit is not None and len(self._state.activations) >= limit:
            raise self._error(f"comes up against the limit of {limit:.0f} activations", "limit")
        data: dict[str, Any] = {"index": place}
        if recorded:
            kept = plain(value, f"item {address}")
            if kept is not None:
                data["item"] = kept
        self._recorder.add_plain("node.scheduled", data, address)

    async def _one(self, address: Address) -> None:
        on_own_branch()
        await self._attempts.perform(self._node, address, durable=True)
        if self._state.activations[address].status == "failed":
            self._failed.append(address)

    def _failures(self) -> NodeError:
        kinds = Counter(self._state.failed_data[address]["kind"] for address in self._failed)
        shown = "; ".join(
            f"{address}: {self._state.failed_data[address]['kind']}: "
            f"{self._state.failed_data[address].get('message', '')}"
            for address in self._failed[:_SHOWN]
        )
        more = len(self._failed) - _SHOWN
        kind = next(iter(kinds)) if len(kinds) == 1 else "items"
        return self._error(
            f"failed for {len(self._failed)} of its items: {shown}{f'; and {more} more' if more > 0 else ''}",
            kind,
        )

    def _error(self, what: str, kind: str) -> NodeError:
        return NodeError(f"map {self._node.name!r} {what}", node=self._node.name, kind=kind)


async def _one_by_one(items: Iterable[Any]) -> AsyncIterator[Any]:
    for value in items:
        yield value
