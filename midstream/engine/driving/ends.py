"""Ends of activations that were no more than calls of a function: those of one turn of the loop are recorded together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from midstream.events.ids import Address


class Ends:
    """Takes ends in, and has them recorded, in their order, when the loop turns.

    Args:
        complete: Records ends: activations with what they returned.
        failed: Is given what `complete` raises: nobody else awaits it.
        more: Says whether other activations are about to be called.
    """

    __slots__ = ("_complete", "_failed", "_loop", "_more", "_taken")

    def __init__(
        self,
        complete: Callable[[Sequence[tuple[Address, Any]]], None],
        failed: Callable[[BaseException], None],
        more: Callable[[], bool],
    ) -> None:
        self._complete = complete
        self._failed = failed
        self._more = more
        self._taken: list[tuple[Address, Any]] = []
        self._loop = asyncio.get_running_loop()

    def add(self, address: Address, output: Any) -> None:
        """Take in what an activation returned."""
        if not self._taken:
            self._loop.call_soon(self.record)
        self._taken.append((address, output))

    def takes(self, address: Address, output: Any) -> bool:
        """Take in what an activation returned if others come right after it; else it is to be recorded at once."""
        if self._more():
            self.add(address, output)
            return True
        self.record()
        return False

    def record(self) -> None:
        """Record what was taken in, now: nothing that comes after it is to stand before it."""
        taken, self._taken = self._taken, []
        if not taken:
            return
        try:
            self._complete(taken)
        except Exception as error:  # noqa: BLE001  # it ends the driving
            self._failed(error)
