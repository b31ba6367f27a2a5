"""Where routing writes: its state runs ahead of the stream `system:routing` by what is on its way there.

Facts are folded at once and appended in groups. Room that is limited is taken only when that is durable: the append names the
event that the choice was based on, so of two processes that take the last place one is refused, and chooses again. All other
facts ride along with the next append, or go a moment later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass
from typing import Protocol

from pydantic import TypeAdapter, ValidationError

from midstream.adapters.routing.state import RoutingState, apply
from midstream.adapters.routing.statistics import StatisticsState, count
from midstream.errors import ConcurrencyError, StoreError
from midstream.events.codec import Redact, encode
from midstream.events.envelope import Draft, Event
from midstream.events.fact import Fact
from midstream.events.ids import RunId
from midstream.events.patience import append_patiently
from midstream.events.store import EventStore, Head, Snapshot
from midstream.events.system import ROUTING, opening

LAZY = 0.25
"""Seconds after which facts that nobody waits for are appended, where nothing else takes them along."""

_SNAPSHOT_EVERY = 2000
_STATE = TypeAdapter(RoutingState)
_STATISTICS = TypeAdapter(StatisticsState)


class Time(Protocol):
    """Tells the time."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        ...


@dataclass(slots=True)
class Entry:
    """Facts that are appended together.

    Attributes:
        drafts: The facts.
        firm: They are so whatever others have done meanwhile.
        durable: Becomes true when they are durable, and false when they were refused and never happened.
    """

    drafts: tuple[Draft, ...]
    firm: bool
    durable: asyncio.Future[bool]


class Ledger:
    """Writes the facts of routing, and folds them.

    Args:
        store: Where to; None keeps the state in this process only.
        clock: Tells the time.
        changed: Called after something was folded that may make room; taking room makes none.
    """

    def __init__(
        self,
        store: EventStore | None,
        clock: Time,
        changed: Callable[[], None] = lambda: None,
        *,
        redact: Redact | None = None,
    ) -> None:
        self.redact = redact
        """Takes secrets out of what is recorded."""
        self.state = RoutingState()
        self._counts = StatisticsState()  # of what is durable
        self.error: StoreError | None = None
        """Why the newest append failed, or None."""
        self.appends = 0
        """How many appends were made."""
        self.changed = changed
        self._store = store
        self._clock = clock
        self._base = RoutingState()  # what is durable
        self._pending: list[Entry] = []
        self._sent: Sequence[Entry] = ()
        self._flushing: asyncio.Task[None] | None = None
        self._lazy: asyncio.TimerHandle | None = None
        self._newest = 0
        self._saved = 0
        self._unwatch: Callable[[], None] = lambda: None

    @property
    def statistics(self) -> StatisticsState:
        """What was counted, with what is on its way; only to be looked at."""
        if not self._pending and not self._sent:
            return self._counts
        ahead = deepcopy(self._counts)
        for entry in (*self._sent, *self._pending):
            for draft in entry.drafts:
                count(ahead, draft.type, draft.data, draft.at)
        return ahead

    async def open(self) -> None:
        """Begin the stream where there is none, read it, and hear of what others append."""
        if self._store is None:
            return
        if await self._store.head(ROUTING) is None:
            with suppress(ConcurrencyError):  # another process began it
                await append_patiently(
                    self._store, ROUTING, opening(ROUTING, self.at()), expected=0
                )
        await self._load(self._store)
        await self._catch_up()
        self.state = deepcopy(self._base)
        self._unwatch = self._store.watch(self._noticed)

    def at(self) -> int:
        """Return the time in microseconds since 1970, in which events have it."""
        return int(self._clock.now() * 1_000_000)

    def add(self, facts: Sequence[Fact], *, at: int | None = None, firm: bool = True) -> Entry:
        """Record facts: folded now, appended soon.

        Args:
            facts: What happened.
            at: When, in microseconds since 1970; None for now.
            firm: See `Entry`. What is not firm is given to the store as soon as somebody waits for it.
        """
        when = self.at() if at is None else at
        drafts = tuple(encode(fact, at=when, redact=self.redact) for fact in facts)
        entry = Entry(drafts, firm, asyncio.get_running_loop().create_future())
        self._fold(self.state, entry)
        if self._store is None:
            self._counted(entry)
            entry.durable.set_result(True)
        else:
            self._pending.append(entry)
            if self._lazy is None and self._flushing is None:
                self._lazy = asyncio.get_running_loop().call_later(LAZY, self._flush)
        if any(draft.type != "route.reserved" for draft in drafts):
            self.changed()
        return entry

    async def durable(self, entry: Entry) -> bool:
        """Wait until an entry is durable; false says that it was refused, and that nothing of it happened.

        Raises:
            StoreError: It could not be written.
        """
        if not entry.durable.done():
            self._flush()
        return await asyncio.shield(entry.durable)

    async def flush(self) -> None:
        """Wait until everything added so far is durable.

        Raises:
            StoreError: It could not be written.
        """
        self._flush()
        while self._flushing is not None:
            await asyncio.wait([self._flushing])
        if self.error is not None and self._pending:
            raise self.error

    async def close(self) -> None:
        """Append what is left, and let go of the store."""
        self._unwatch()
        try:
            await self.flush()
        finally:
            if self._lazy is not None:
                self._lazy.cancel()
            if self._store is not None and self.error is None and self._base.seq > self._saved:
                await self._save(self._store)

    def _flush(self) -> None:
        if self._lazy is not None:
            self._lazy.cancel()
            self._lazy = None
        if self._flushing is None and (self._pending or self._newest > self._base.seq):
            self._flushing = asyncio.get_running_loop().create_task(self._flushed())

    async def _flushed(self) -> None:
        assert self._store is not None  # without one nothing is pending
        self.error = None
        try:
            if self._newest > self._base.seq and not self._pending:
                await self._others()
            while self._pending and self.error is None:
                await self._append(self._store)
            if self._base.seq - self._saved >= _SNAPSHOT_EVERY:
                await self._save(self._store)
        except StoreError as error:
            self._failed(error)
        finally:
            self._flushing = None
        if self._pending:
            self._lazy = asyncio.get_running_loop().call_later(LAZY, self._flush)
        elif self._newest > self._base.seq:
            self._flush()

    async def _append(self, store: EventStore) -> None:
        batch, self._pending = self._pending, []
        self._sent = batch
        drafts = [draft for entry in batch for draft in entry.drafts]
        try:
            self.appends += 1
            head = await append_patiently(store, ROUTING, drafts, expected=self._base.seq)
        except ConcurrencyError:
            self._pending = [*batch, *self._pending]
            await self._others()
        except StoreError as error:
            self._pending = [*batch, *self._pending]
            self._failed(error)
        else:
            self._acknowledged(batch, head)
        finally:
            self._sent = ()

    def _acknowledged(self, batch: Sequence[Entry], head: Head) -> None:
        for entry in batch:
            self._fold(self._base, entry)
            self._counted(entry)
            if not entry.durable.done():
                entry.durable.set_result(True)
        assert self._base.seq == head.seq

    def _failed(self, error: StoreError) -> None:
        """Tell those who wait; what is firm is appended later."""
        self.error = error
        loose = [entry for entry in self._pending if not entry.firm]
        self._pending = [entry for entry in self._pending if entry.firm]
        self._again()
        for entry in loose:
            entry.durable.set_exception(error)
            entry.durable.exception()  # whoever waits sees it; nobody may

    async def _others(self) -> None:
        """Take in what other processes appended; what was chosen without knowing it is chosen again."""
        news = await self._catch_up()
        if not self._pending:
            for event in news:
                apply(self.state, event.type, event.data, event.at, event.seq)
            self.changed()
            return
        loose = [entry for entry in self._pending if not entry.firm]
        self._pending = [entry for entry in self._pending if entry.firm]
        self._again()
        for entry in loose:
            entry.durable.set_result(False)
        self.changed()

    def _again(self) -> None:
        self.state = deepcopy(self._base)
        for entry in self._pending:
            self._fold(self.state, entry)

    async def _catch_up(self) -> Sequence[Event]:
        """Fold what others appended into what is durable, and return it."""
        assert self._store is not None  # without one nobody else writes
        after = self._base.seq
        news = [event async for event in self._store.read(ROUTING, after=after)]
        for event in news:
            apply(self._base, event.type, event.data, event.at, event.seq)
            count(self._counts, event.type, event.data, event.at)
        return news

    def _noticed(self, run_id: RunId, seq: int) -> None:
        if run_id == ROUTING and seq > self._base.seq:
            self._newest = max(self._newest, seq)
            self._flush()

    @staticmethod
    def _fold(state: RoutingState, entry: Entry) -> None:
        for draft in entry.drafts:
            apply(state, draft.type, draft.data, draft.at, state.seq + 1)

    def _counted(self, entry: Entry) -> None:
        for draft in entry.drafts:
            count(self._counts, draft.type, draft.data, draft.at)

    async def _load(self, store: EventStore) -> None:
        """Begin with a snapshot, where there is one of this history and this release."""
        found = await store.load_snapshot(ROUTING, "routing")
        counted = await store.load_snapshot(ROUTING, "statistics")
        if found is None or counted is None or found.seq != counted.seq:
            return
        async for event in store.read(ROUTING, after=found.seq - 1, to=found.seq):
            if event.digest != found.digest:
                return
        try:
            base = _STATE.validate_json(found.body)
            statistics = _STATISTICS.validate_json(counted.body)
        except ValidationError:
            return  # of another release; the stream has it all
        self._base, self._counts, self._saved = base, statistics, found.seq

    async def _save(self, store: EventStore) -> None:
        seq = self._base.seq
        bodies = {
            "routing": _STATE.dump_json(self._base),
            "statistics": _STATISTICS.dump_json(self._counts),
        }
        digest = b""
        async for event in store.read(ROUTING, after=seq - 1, to=seq):
            digest = event.digest
        for name, body in bodies.items():
            await store.save_snapshot(ROUTING, name, Snapshot(seq, digest, body))
        self._saved = seq
