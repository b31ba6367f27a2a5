"""Any order of rightful and wrongful use, against a dict of lists."""

# The rules' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from midstream.errors import (
    ConcurrencyError,
    LeaseHeldError,
    LeaseLostError,
    RunNeededError,
    RunNotFoundError,
    RunRemovedError,
)
from midstream.events.ids import RunId
from midstream.events.keeping import Removing
from midstream.events.store import EventStore, Head
from midstream.events.system import KEEPING
from midstream.events.verify import verify
from midstream.testing.contract.stage import (
    NOW,
    created,
    created_end,
    events_of,
    note,
    outcomes,
    scanned,
)

_T = TypeVar("_T")

RUNS = st.sampled_from([RunId(name) for name in "abc"])
DRIVERS = st.sampled_from(["x", "y"])
DATA = st.one_of(st.integers(0, 9), st.text(max_size=5), st.just("z" * 6000), st.just("w" * 700))


class StoreMachine(RuleBasedStateMachine):
    """Appends rightly and wrongly, takes and loses leases, and agrees with a dict of lists after every step.

    Attributes:
        persistent: Whether a store that is made again in the same folder has what the closed one had.
    """

    persistent = False

    async def make_store(self, folder: Path) -> EventStore:
        """Open a store; see `StoreContract.make_store`."""
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.folder = Path(tempfile.mkdtemp())
        self.log: dict[RunId, list[Any]] = {}
        self.epochs: dict[RunId, int] = {}
        self.holders: dict[RunId, str | None] = {}
        self.alive: dict[str, float] = {}
        self.gone: dict[RunId, None] = {}
        self.ended: dict[RunId, None] = {}
        self.now = NOW

    def do(self, work: Awaitable[_T]) -> _T:
        """Run something in the machine's event loop."""

        async def wait() -> _T:
            return await work

        return self.runner.run(wait())

    @initialize()
    def open(self) -> None:
        self.store = self.do(self.make_store(self.folder))

    @precondition(lambda self: self.persistent)
    @rule()
    def open_again(self) -> None:
        self.do(self.store.close())
        self.store = self.do(self.make_store(self.folder))

    @rule(run=RUNS, holder=st.none() | DRIVERS, data=st.lists(DATA, max_size=2))
    def create(self, run: RunId, holder: str | None, data: list[Any]) -> None:
        found = self.appended([(run, [created(), *map(note, data)], 0, None, holder)])
        if run in self.log:
            assert isinstance(found[0], ConcurrencyError)
            return
        if run in self.gone:
            assert isinstance(found[0], RunRemovedError)
            return
        assert isinstance(found[0], Head)
        self.log[run] = [None, *data]
        self.epochs[run] = int(holder is not None)
        self.holders[run] = holder

    @rule(
        steps=st.lists(
            st.tuples(
                RUNS,
                st.lists(DATA, max_size=3),
                st.sampled_from([0, 0, 0, 0, -1, 1]),
                st.sampled_from([None, 0, 0, -1, 1]),
            ),
            min_size=1,
            max_size=6,
        )
    )
    def append_in_a_row(self, steps: list[tuple[RunId, list[Any], int, int | None]]) -> None:
        """Append without waiting in between, each as if those before it had been taken."""
        believed = {run: len(log) for run, log in self.log.items()}
        doubtful: set[tuple[RunId, int, int | None]] = set()
        appends: list[Any] = []
        wanted: list[type] = []
        for run, data, off, epoch_off in steps:
            expected = max(1, believed.get(run, 1) + off)
            epoch = None if epoch_off is None else self.epochs.get(run, 0) + epoch_off
            appends.append((run, [note(item) for item in data], expected, epoch, None))
            outcome = self.outcome(run, expected, epoch)
            if outcome is Head and (run, expected, epoch) in doubtful:
                outcome = ConcurrencyError
            wanted.append(outcome)
            end = (run, expected + len(data), epoch)
            if outcome is Head:
                doubtful.discard(end)
                self.log[run] += data
            else:
                doubtful.add(end)
            believed[run] = expected + len(data)
        assert [type(one) for one in self.appended(appends)] == wanted

    def outcome(self, run: RunId, expected: int, epoch: int | None) -> type:
        """Return what the dict of lists says of an append."""
        if run not in self.log:
            return RunRemovedError if run in self.gone else RunNotFoundError
        if epoch is not None and epoch != self.epochs[run]:
            return LeaseLostError
        return Head if expected == len(self.log[run]) else ConcurrencyError

    def appended(self, appends: Sequence[Any]) -> list[Head | BaseException]:
        """Append all without waiting in between."""

        async def all_of_them() -> list[Head | BaseException]:
            return await outcomes(
                *[
                    self.store.append(run, drafts, expected=expected, epoch=epoch, holder=holder)
                    for run, drafts, expected, epoch, holder in appends
                ]
            )

        return self.do(all_of_them())

    @rule(run=RUNS, driver=DRIVERS)
    def take(self, run: RunId, driver: str) -> None:
        holder = self.holders.get(run)
        try:
            epoch = self.do(self.store.acquire(run, driver, now=self.now))
        except RunNotFoundError:
            assert run not in self.log
        except LeaseHeldError:
            assert holder not in (None, driver)
            assert self.alive.get(str(holder), 0.0) > self.now
        else:
            assert holder in (None, driver) or self.alive.get(str(holder), 0.0) <= self.now
            self.epochs[run] += 1
            self.holders[run] = driver
            assert epoch == self.epochs[run]

    @rule(driver=DRIVERS, seconds=st.integers(0, 3))
    def beat(self, driver: str, seconds: int) -> None:
        self.do(self.store.beat(driver, until=self.now + seconds))
        self.alive[driver] = self.now + seconds

    @rule()
    def wait(self) -> None:
        self.now += 1

    @precondition(lambda self: self.log)
    @rule(run=RUNS, off=st.sampled_from([0, -1]))
    def release(self, run: RunId, off: int) -> None:
        if run not in self.log:
            return
        self.do(self.store.release(run, epoch=self.epochs[run] + off))
        if off == 0:
            self.holders[run] = None

    @precondition(lambda self: isinstance(getattr(self, "store", None), Removing))
    @rule(run=RUNS, end=st.booleans(), limit=st.integers(1, 9))
    def remove(self, run: RunId, end: bool, limit: int) -> None:
        assert isinstance(self.store, Removing)
        if run not in self.log:
            return
        if end:
            self.appended([(run, [created_end()], len(self.log[run]), None, None)])
            self.log[run].append(None)
            self.ended[run] = None
        try:
            self.do(self.store.remove([run], at=1, actor="user"))
        except RunNeededError:
            assert run not in self.ended
        else:
            assert run in self.ended
            del self.log[run]
            self.gone[run] = None
        self.do(self.store.sweep(limit=limit))

    @invariant()
    def agrees_with_a_dict_of_lists(self) -> None:
        if not hasattr(self, "store"):
            return
        self.do(self._agree())

    async def _agree(self) -> None:
        infos = {info.run_id: info for info in await self.store.runs()}
        assert infos.keys() == self.log.keys()
        for run, log in self.log.items():
            info = infos[run]
            assert (info.seq, info.epoch, info.holder) == (
                len(log),
                self.epochs[run],
                self.holders[run],
            )
            events = await events_of(self.store, run)
            assert [event.seq for event in events] == list(range(1, len(log) + 1))
            assert [event.data.get("data") for event in events] == log
            last = events[-1]
            assert await self.store.head(run) == Head(last.seq, last.position, last.digest)
            assert (await verify(self.store, run)).sound
        positions = [event.position for event in await scanned(self.store)]
        assert positions == sorted(set(positions))
        kept = len(await events_of(self.store, KEEPING)) if self.gone else 0
        assert len(positions) == sum(map(len, self.log.values())) + kept

    def teardown(self) -> None:
        """Close the store and remove its files."""
        if hasattr(self, "store"):
            self.do(self.store.close())
        self.runner.close()
        shutil.rmtree(self.folder)
