"""Items that are no more than a call of a function: performed by the shortest way, and their ends recorded together."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from midstream.engine.driving.attempts import Attempts
from midstream.engine.driving.ends import Ends
from midstream.engine.driving.places import Places
from midstream.engine.nesting.nesting import Code
from midstream.engine.nodes.binding import LeftOutError, bind, checked
from midstream.engine.nodes.node import Node
from midstream.engine.recording.recorder import Recorder
from midstream.events.ids import Address
from midstream.events.values import plain
from midstream.projections.flow import Activation


class BareItems:
    """Performs items of one map whose node is `bare`; whatever is unusual about one goes the way of all activations.

    Args:
        node: The map.
        attempts: Performs activations.
        recorder: Writes the run.
        code: Of the run.
        settled: Is given each item that ended in an unusual way.
        end: Ends the driving, with an error that is no item's.
        places: Each item has one of them, or None where there is no limit.
    """

    def __init__(
        self,
        node: Node,
        attempts: Attempts,
        recorder: Recorder,
        code: Code,
        settled: Callable[[Address], None],
        end: Callable[[BaseException], None],
        places: Places | None,
    ) -> None:
        self._node = node
        self._attempts = attempts
        self._recorder = recorder
        self._code = code
        self._settled = settled
        self._places = places
        self.ends = Ends(attempts.completed_each, end, lambda: True)
        self._path = f"output of node {node.name!r}"
        self._only = node.free[0] if len(node.parameters) == 1 else None
        self._items: Sequence[Any] | None = None

    def of(self, items: Sequence[Any]) -> None:
        """Say what the map is made over, where that is a recorded list: an item is found by its place in it."""
        if self._only is not None:
            self._items = items

    async def perform(self, address: Address, durable: bool) -> None:
        """Perform an item, whose end is recorded at the next turn of the loop, with those of others."""
        node, state = self._node, self._recorder.state
        made = state.activations[address]
        body: Callable[[], Awaitable[Any]] | None = None
        if made.status == "running" and not state.revisions and (durable or node.pure):
            try:
                output = node.function(**self._arguments(made))
                if node.is_async or inspect.isawaitable(output):
                    output = await output
                self.ends.add(address, plain(output, self._path))
            except LeftOutError:
                pass  # it was not called yet
            except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001  # user code
                body = self._raising(error, address)
            else:
                if self._places is not None:
                    self._places.leave(1)
                return
            self.ends.record()
        try:
            await self._attempts.perform(node, address, body, durable=durable)
            self._settled(address)
        finally:
            if self._places is not None:
                self._places.leave(1)

    def _arguments(self, made: Activation) -> dict[str, Any]:
        if self._items is None or made.index is None:
            return bind(self._node, self._code.values(made.scope), made, None)[1]
        only = self._only
        assert only is not None
        return {only.name: checked(self._items[made.index], only, self._node.name)}

    def _raising(self, error: BaseException, address: Address) -> Callable[[], Awaitable[Any]]:
        """Return what raises an error that was raised, and calls the function in a further attempt."""
        raised = [error]

        async def body() -> Any:
            if raised:
                raise raised.pop()
            return await self._attempts.bare(self._node, self._recorder.state.activations[address])

        return body
