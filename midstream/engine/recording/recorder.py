"""The one place where a driver writes: it folds what it records at once, and appends it in groups.

The state runs ahead of the log by what is on its way to the disk. That is safe because of one rule, kept by whoever
starts an effect: wait for `durable()` first. When an append is refused because somebody else appended (a migration, a
note, a cancellation), or when its answer was lost, the recorder reads the log again, folds it anew, and appends what is
still missing. Payloads refer to steps by address, so they stay right when their seqs change.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container, Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from midstream.engine.recording.group import Group, Hear
from midstream.engine.recording.snapshots import Keeper, load_run
from midstream.errors import ConcurrencyError, MidstreamError, StoreError
from midstream.events.codec import Redact, encode, encode_each, encode_plain
from midstream.events.envelope import ENGINE, Draft, Event, as_event, as_events
from midstream.events.ids import Address, RunId
from midstream.events.patience import DEFINITE, TRIES, same_content
from midstream.events.payloads import Fact
from midstream.events.store import Answer, EventStore, Head
from midstream.projections.run_snapshot import Dump
from midstream.projections.run_state import RunState, apply, fold_run

if TYPE_CHECKING:
    from midstream.engine.recording.rehearsal import Answers

_LARGEST = 512

Clock = Callable[[], float]
"""Returns the time in seconds since 1970."""


class Recorder:
    """Writes the events of one run, as its driver.

    Args:
        store: Where to.
        run_id: The run.
        state: The run as it stands, folded from the store; changed by what is recorded.
        epoch: The driver's.
        clock: Tells the time of events.
        changed: Called after events of others were found and folded.
        always_replay: Fold the whole log anew after each append, to show that nothing else is needed.
    """

    paced = False
    """Everything has its turn, and answers come from elsewhere; see `Tape`."""
    routed: Mapping[str, Mapping[str, Any]] | None = None
    """The newest `route.decided` of each call, where decisions come from the log and are not made; see `Tape`."""
    foreseen: Mapping[str, Mapping[str, str]] | None = None
    """See `Claims`."""
    redact: Redact | None = None
    """Takes secrets out of what is recorded."""
    marks: Container[str] | None = None
    """Where activations took newer paths, where the log says so and it is not decided; see `Context.patched`."""
    begun = 0
    """The newest event when this driver began."""
    answers: Answers | None = None
    """Who answers in place of the world, where a what-if is tried."""

    def __init__(
        self,
        store: EventStore,
        run_id: RunId,
        state: RunState,
        *,
        epoch: int,
        clock: Clock,
        changed: Callable[[], None],
        always_replay: bool = False,
    ) -> None:
        self.state = state
        self.run_id = run_id
        self.epoch = epoch
        self.begun = state.seq
        self._store = store
        self._clock = clock
        self._changed = changed
        self._always_replay = always_replay
        self._acked = state.seq  # everything up to here is durable and folded
        self._sent = state.seq  # everything up to here was given to the store
        self._open: Group | None = None
        self._sending = False  # it is sent when the loop turns
        self._flying: list[Group] = []
        self._mending: asyncio.Task[None] | None = None
        self._newest = state.seq  # what was heard of the run in the store
        self._head: Head | None = None  # of event `_acked`, where this driver wrote it
        self._keeper = Keeper(store, run_id, state.seq)
        self._keeping: tuple[asyncio.Task[None], ...] = ()
        self._hear = self._answered  # the same for each append, which would make one for itself
        self.error: BaseException | None = None
        """Why no more can be written, once that is so."""

    @property
    def store(self) -> EventStore:
        """Where the run is."""
        return self._store

    def add(
        self,
        payload: Fact,
        address: Address | str | None = None,
        *,
        cause: int | None = None,
        actor: str = ENGINE,
    ) -> None:
        """Record a fact: folded now, appended when the event loop turns, or, while an append is on its way, after that.

        Whatever is added in one go is appended together, all or none.

        Raises:
            NotRecordableError: It holds a value that is not JSON; nothing was recorded.
            StoreError: The driver can write no more.
        """
        if self.error is not None:
            raise self.error
        at = int(self._clock() * 1_000_000)
        step = None if address is None else Address(address)
        self._take(
            encode(payload, at=at, actor=actor, cause=cause, address=step, redact=self.redact)
        )
        self.send_soon()

    def add_plain(
        self, type_: str, data: dict[str, Any], address: Address | None, *, held: bool = False
    ) -> None:
        """Record a fact of the engine that is plain JSON already, as `add` does; see `encode_plain`.

        Args:
            type_: The fact's type tag.
            data: Its fields.
            address: Its step, or None.
            held: The caller says `send` or `send_soon` when it has added all.
        """
        if self.error is not None:
            raise self.error
        at = int(self._clock() * 1_000_000)
        self._take(encode_plain(type_, data, at=at, address=address, redact=self.redact))
        if not held:
            self.send_soon()

    def send_soon(self) -> None:
        """Give what was added to the store when the event loop turns, or, while an append is on its way, after that."""
        if self._open is not None and not self._sending and not self._flying:
            self._sending = True
            asyncio.get_running_loop().call_soon(self.flush)

    def add_each(self, type_: str, facts: Iterable[tuple[Address, dict[str, Any]]]) -> None:
        """Record facts of one type as `add_plain` does each of them, all or none, at a part of the cost."""
        if self.error is not None:
            raise self.error
        at = int(self._clock() * 1_000_000)
        drafts = encode_each(type_, facts, at=at, redact=self.redact)
        if not drafts:
            return
        self._take(drafts[0])
        group, others = self._open, drafts[1:]
        assert group is not None
        before = len(group.drafts)
        group.drafts += others
        if before < _LARGEST <= len(group.drafts):
            asyncio.get_running_loop().call_soon(self.flush)
        fold_run(as_events(others, self.run_id, self.state.seq + 1, self.epoch), self.state)
        self.send_soon()

    def _take(self, draft: Draft) -> None:
        group = self._open
        if group is None:
            group = self._open = Group()
        group.drafts.append(draft)
        if len(group.drafts) == _LARGEST:
            # Not here and now: what is added in one go must not be torn apart.
            asyncio.get_running_loop().call_soon(self.flush)
        apply(self.state, as_event(draft, self.run_id, self.state.seq + 1, self.epoch))

    def flush(self) -> None:
        """Give what was added to the store; its place in line is that of this call."""
        self._sending = False
        group, self._open = self._open, None
        if group is None:
            return
        self._flying.append(group)
        if self._mending is None:
            self._send(group)

    def send(self) -> None:
        """Give what was added to the store now, where somebody waits for it; behind an append that is on its way."""
        if not self._flying:
            self.flush()

    async def durable(self) -> None:
        """Wait until everything added so far is durable.

        Raises:
            StoreError: It could not be written.
        """
        self.flush()
        if self._flying:
            await self._flying[-1].waiter()
        elif self.error is not None:
            raise self.error

    async def turn(self, address: str, *, closing: bool = False) -> None:
        """Wait until it is this step's turn, which is at once, unless this is `paced`.

        Args:
            address: The step that is about to act.
            closing: Or what it left open is about to be closed.
        """

    async def outcome(self, address: str) -> bool:
        """Say whether the outcome of a call is given from elsewhere, once it is there; only if this is `paced`."""
        return False

    def deadline(self, address: str, seconds: float | None) -> asyncio.Timeout:
        """Return the deadline of an attempt of an activation."""
        return asyncio.timeout(seconds)

    def when_durable(self, act: Hear) -> None:
        """Call `act` once everything added so far is durable, or with the error because of which it is not; no task waits."""
        group = self._open or (self._flying[-1] if self._flying else None)
        if group is not None:
            group.tell(act)
        else:
            act(self.error)

    def noticed(self, seq: int) -> None:
        """Hear that the run is at `seq` in the store; somebody else may have appended."""
        if seq > self._newest:
            self._newest = seq
        if seq > self._sent:
            self._look()

    def _look(self) -> None:
        """Read the log again if it has something that we have neither read nor sent."""
        if self._newest > self._sent and self._mending is None and self.error is None:
            self._mend()

    async def settle(self) -> None:
        """Wait until nothing is on its way any more, whatever came of it."""
        self.flush()
        while self._flying or self._mending is not None:
            if self._mending is None:
                with suppress(MidstreamError):
                    await self.durable()
            elif not self._mending.cancelled():
                await asyncio.wait([self._mending])
            else:  # before it began, by whoever cancels all tasks of the loop
                self._mending = None
                self._give_up(asyncio.CancelledError())
        if self._keeping:
            await asyncio.wait(self._keeping)

    async def let_go(self) -> None:
        """Leave the run as its next driver would like to find it, once nothing is on its way; see `Keeper.let_go`."""
        if self.error is None:
            await self._keeper.let_go(self._head, self.state)

    def _send(self, group: Group) -> None:
        expected = group.expected = self._sent
        self._sent += len(group.drafts)
        if self.state.seq == self._sent:
            group.snapshot = self._keeper.due(self.state)
        answer = self._store.append(self.run_id, group.drafts, expected=expected, epoch=self.epoch)
        group.sent = sent = asyncio.ensure_future(answer)
        if isinstance(sent, Answer):
            sent.hear = self._hear
        else:
            sent.add_done_callback(self._hear)

    def _answered(self, future: asyncio.Future[Head]) -> None:
        if self._mending is not None or self.error is not None:
            if not future.cancelled():
                future.exception()  # seen; the mending reads the log itself
            return
        error = asyncio.CancelledError() if future.cancelled() else future.exception()
        # A store answers in the order it was asked; where it does not, an answer was lost.
        if error is not None or self._flying[0].sent is not future:
            self._mend(error)
            return
        group = self._flying.pop(0)
        self._acked += len(group.drafts)
        self._head = future.result()
        group.settle()
        if group.snapshot is not None:
            self._keep(self._head, group.snapshot)
        if self._flying:
            return
        if self._open is not None:
            self.flush()
        elif self._always_replay:
            self._mend()

    def _keep(self, head: Head, snapshot: Dump) -> None:
        task = asyncio.ensure_future(self._keeper.keep(head, snapshot))
        self._keeping = (*(one for one in self._keeping if not one.done()), task)

    def _mend(self, error: BaseException | None = None) -> None:
        self._mending = asyncio.ensure_future(self._mended(error))

    async def _mended(self, error: BaseException | None) -> None:
        """Read what the log says, fold it, and append what it lacks of ours."""
        try:
            await self._mend_until_done(error)
        except BaseException as failure:  # noqa: BLE001  # whatever it is, nobody may wait for ever
            self._give_up(failure)
        self._mending = None
        for group in self._flying:  # added while the log was read
            if group.sent is None and self.error is None:
                self._send(group)
        self._look()
        if not self._flying:
            self.flush()  # added while an append was on its way, whose answer would have sent it
        self._changed()

    async def _mend_until_done(self, error: BaseException | None) -> None:
        tries = 0
        while True:
            if error is not None and _definite(error):
                raise error
            sent = [group.sent for group in self._flying if group.sent is not None]
            if sent:
                await asyncio.wait(sent)
            try:
                await self._catch_up()
                await self._resend()
            except ConcurrencyError:
                continue  # somebody appended between the two; each time, the log has grown
            except StoreError as again:
                error = again
                tries += 1
                if tries == TRIES:
                    raise
                await asyncio.sleep(0.05 * 2**tries)
            else:
                return

    async def _catch_up(self) -> None:
        """Fold the log, recognise our own drafts in it, and fold what is missing on top."""
        mine = [draft for group in self._flying for draft in group.drafts]
        found = 0
        state = await load_run(self._store, self.run_id, upto=self._acked)
        async for event in self._store.read(self.run_id, after=self._acked):
            apply(state, event)
            if found < len(mine) and self._is_mine(event, mine[found]):
                found += 1
        self._head = None
        self._acked = self._sent = state.seq
        self._acknowledge(found, state)
        self.state = state
        for group in (*self._flying, self._open):
            for draft in group.drafts if group is not None else ():
                apply(state, as_event(draft, self.run_id, state.seq + 1, self.epoch))

    def _is_mine(self, event: Event, draft: Draft) -> bool:
        return same_content(event, draft) and (
            event.epoch,
            event.at,
            event.address,
            event.stored,
        ) == (self.epoch, draft.at, draft.address, (draft.type, draft.version))

    def _acknowledge(self, found: int, state: RunState) -> None:
        """Take the groups that are in the log off the line."""
        while self._flying and found >= len(self._flying[0].drafts):
            group = self._flying.pop(0)
            found -= len(group.drafts)
            group.settle()
        assert found == 0  # an append is all or nothing

    async def _resend(self) -> None:
        for group in tuple(self._flying):
            group.expected = self._acked
            head = await self._store.append(
                self.run_id, group.drafts, expected=group.expected, epoch=self.epoch
            )
            self._flying.remove(group)
            self._acked = self._sent = head.seq
            self._head = head
            group.settle()

    def _give_up(self, failure: BaseException) -> None:
        self.error = failure
        open_groups = [group for group in (*self._flying, self._open) if group is not None]
        self._flying, self._open = [], None
        for group in open_groups:
            group.settle(failure)


def _definite(error: BaseException) -> bool:
    return isinstance(error, DEFINITE) or not isinstance(error, MidstreamError)
