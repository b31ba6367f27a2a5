"""How a call finds its record: by what it is, not by when it happened.

A call's address is made of its activation, its kind and name, and a digest of its arguments. Calls that are alike in all
of that are told apart by an occurrence, and found again by the parallel branch they were made in (their lane). Lanes are
numbered in the order in which the branches first do something, which is the order in which they were started.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

import orjson

from midstream.events.ids import Address
from midstream.projections.run_state import RunState

PATCHED = "patched"
"""The kind of the records that an activation takes a newer path."""

_LANE: ContextVar[str] = ContextVar("midstream_lane", default="")


def digest_of(arguments: Any) -> str:
    """Return the digest of recorded arguments that stands in an address: 40 bits, in hex."""
    return sha256(orjson.dumps(arguments, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]


def on_own_branch() -> None:
    """Say that the current task is no parallel branch of an activation."""
    if _LANE.get():  # else nothing is put there, and a context that nobody has changed is as it was
        _LANE.set("")


class Claims:
    """The addresses that one execution of an activation has used.

    Args:
        activation: Its address.
        foreseen: By key, the lanes of the calls that a log which is played back is yet to come to, by address.
    """

    def __init__(
        self, activation: Address, foreseen: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self.activation = activation
        self._foreseen = foreseen or {}
        self._taken: dict[str, set[str]] = {}
        self._lanes: dict[asyncio.Task[Any] | None, str] = {}
        self._children: dict[str, int] = {}
        self._places: dict[str, int] = {}
        self._over = False

    def begin(self) -> None:
        """Make the current task the activation's own."""
        self._lanes[asyncio.current_task()] = ""
        on_own_branch()

    def close(self) -> None:
        """Refuse whatever is still asked for: nobody waits for the activation any more."""
        self._over = True

    def lane(self) -> str:
        """Return the parallel branch that is running: empty for the activation's own task, else as in `2.1`."""
        if self._over:  # a branch that outlived its activation: nothing of it may happen any more
            raise asyncio.CancelledError(f"{self.activation} has ended")
        task = asyncio.current_task()
        known = self._lanes.get(task)
        if known is not None:
            return known
        parent = _LANE.get()
        number = self._children[parent] = self._children.get(parent, 0) + 1
        lane = f"{parent}.{number}" if parent else str(number)
        self._lanes[task] = lane
        _LANE.set(lane)
        return lane

    def live(self) -> dict[asyncio.Task[Any], str]:
        """Return the branches that have not ended, by their tasks."""
        return {task: lane for task, lane in self._lanes.items() if task and not task.done()}

    async def end(self) -> bool:
        """End the branches that were begun and not waited for, refuse what comes of later ones, and say if there were any.

        `asyncio.gather` leaves its other branches running when one of them raises.
        """
        self._over = True
        current = asyncio.current_task()
        strays = [task for task in self._lanes if task and task is not current and not task.done()]
        for task in strays:
            task.cancel()
        if strays:
            await asyncio.wait(strays)
        return bool(strays)

    def claim(self, state: RunState, what: str, lane: str) -> Address:
        """Return the address of a call that is identified by its content, of a record or new.

        Args:
            state: The run, with its records.
            what: Kind, name and digest, as in `tool:search:3fa9c2d1e0`.
            lane: The branch that calls.
        """
        key = f"{self.activation}/{what}"
        taken = self._taken.setdefault(key, set())
        recorded = state.call_keys.get(key, ())
        lanes = {address: state.calls[address].lane for address in recorded}
        lanes |= self._foreseen.get(key, {})
        free = [address for address in lanes if address not in taken]
        same_lane = [address for address in free if lanes[address] == lane]
        if same_lane or free:
            address = (same_lane or free)[0]
        else:
            address = f"{key}#{len(lanes.keys() | taken) + 1}"
        taken.add(address)
        return Address(address)

    def behind(self, state: RunState) -> bool:
        """Say whether there are records of this activation that this execution has not come to: of an earlier one."""
        prefix = f"{self.activation}/"
        for key, addresses in state.call_keys.items():
            what = key.removeprefix(prefix)
            if not key.startswith(prefix) or "/" in what or what.startswith(f"{PATCHED}:"):
                continue
            come = self._taken.get(key, set()) | {
                f"{key}#{place + 1}" for place in range(self._places.get(key, 0))
            }
            if not come.issuperset(addresses):
                return True
        return False

    def next_in_lane(self, what: str, lane: str) -> Address:
        """Return the address of a call that is identified by its place in its branch, such as the reading of a clock."""
        key = f"{self.activation}/{what}@{lane}" if lane else f"{self.activation}/{what}"
        place = self._places[key] = self._places.get(key, 0) + 1
        return Address(f"{key}#{place}")
