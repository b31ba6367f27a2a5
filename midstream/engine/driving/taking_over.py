"""Taking runs over: one that another driver left, a fork of one, and all that nobody drives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from midstream.engine.driving.live_runs import LiveRuns
from midstream.engine.driving.moments import Cut
from midstream.engine.graphs.graph import Graph
from midstream.engine.graphs.versions import check_shape, upgrade_of
from midstream.engine.on_change import OnChange
from midstream.errors import (
    ConcurrencyError,
    LeaseHeldError,
    LeaseLostError,
    MidstreamError,
    StoreError,
)
from midstream.events.codec import encode_plain
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.patience import DEFINITE, append_patiently
from midstream.events.payloads import Fact
from midstream.events.seizing import Seizing
from midstream.events.store import Head, RunQuery
from midstream.projections.run_state import RunState, apply


class TakingOver(LiveRuns):
    """Takes runs over; see `Host`."""

    async def resume(
        self, run_id: RunId, graph: Graph | None = None, on_change: OnChange | None = None
    ) -> None:
        """Take a run over and drive it here; does nothing where it is driven here or has ended.

        Args:
            run_id: The run.
            graph: Its code; None takes the graph that is registered under its name.
            on_change: What is done where that is not the code it was started with; None for what the graph says, or the engine.

        Raises:
            LeaseHeldError: Another driver holds it and is alive.
            GraphError: Its code is not known here.
            CodeChangedError: It is not the code it was started with, and that is not allowed.
            RunNotFoundError: There is no such run.
        """
        async with self._taking:  # the scanner and a caller may want the same run at the same time
            if run_id in self.lot:
                await self._wake_now(run_id)
            elif run_id not in self.live:
                await self._take_over(run_id, graph, on_change)

    async def _take_over(self, run_id: RunId, graph: Graph | None, wanted: OnChange | None) -> None:
        state = await self.load(run_id)
        if state.over:
            return
        code = self._code(run_id, state, graph)
        on_change = wanted or code.on_change or self.on_change
        upgraded = await upgrade_of(self.store, run_id, state, code, on_change)  # it may be refused
        if isinstance(self.store, Seizing) and (
            epoch := await self._seized(self.store, run_id, state, upgraded)
        ):
            await self._go(run_id, code, state, epoch)
            return
        await self.appear()
        epoch = await self.store.acquire(run_id, self.name, now=self.clock.now())
        try:
            state = await self._resumed(run_id, state, epoch, code, on_change)
        except BaseException:
            await self._give_up(run_id, epoch)
            raise
        await self._go(run_id, code, state, epoch)

    async def _seized(
        self, store: Seizing, run_id: RunId, state: RunState, upgraded: Fact | None
    ) -> int | None:
        """Take the run over as it was read, in one commit, and fold that; return the epoch.

        Returns:
            None where it has changed since, or nobody can say what became of that: it is taken over step by step then.
        """
        epoch = state.epoch + 1
        drafts = self._first(epoch, upgraded)
        now = self.clock.now()
        lease: Any = {"holder": self.name, "now": now, "until": now + self.lease}
        try:
            await store.seize(run_id, drafts, expected=state.seq, epoch=epoch, **lease)
        except (ConcurrencyError, LeaseLostError):
            return None
        except DEFINITE:
            raise
        except StoreError:
            return None
        self.seen = True
        self._fold(run_id, state, drafts, epoch)
        return epoch

    def _first(self, epoch: int, upgraded: Fact | None) -> list[Draft]:
        """Return what a driver that takes a run over records first."""
        upgrade = [] if upgraded is None else [self.draft(upgraded, actor="engine")]
        return [self._taken_over(epoch), *upgrade]

    def _fold(self, run_id: RunId, state: RunState, drafts: Sequence[Draft], epoch: int) -> None:
        for draft in drafts:
            apply(state, _placed(run_id, draft, Head(state.seq + 1, 0, b""), epoch))

    async def _resumed(
        self, run_id: RunId, state: RunState, epoch: int, code: Graph, on_change: OnChange
    ) -> RunState:
        """Record that the run was taken over, by which code, and return it as it stands then."""
        while True:
            upgraded = await upgrade_of(self.store, run_id, state, code, on_change)
            drafts = self._first(epoch, upgraded)
            try:
                await append_patiently(self.store, run_id, drafts, expected=state.seq, epoch=epoch)
            except ConcurrencyError:
                state = await self.load(run_id)
            else:
                self._fold(run_id, state, drafts, epoch)
                return state

    def _taken_over(self, epoch: int) -> Draft:
        """Return the `run.resumed` of this driver; as plain data, a validator of it takes longer to make than to use."""
        data = {"epoch": epoch, "driver": self.name}
        at = int(self.clock.now() * 1_000_000)
        return encode_plain("run.resumed", data, at=at, redact=self.redact)

    async def fork(
        self, run_id: RunId, cut: Cut, payloads: Sequence[Fact], graph: Graph | None, *, actor: str
    ) -> None:
        """Make a run that begins with the events of another one up to a cut, and drive it, unless it is paused or over.

        Args:
            run_id: The new run.
            cut: Where the other one is cut off; its state becomes the new one's.
            payloads: `run.forked`, and what else is wanted.
            graph: Its code; None takes the graph that is registered under its name.
            actor: Who wants it.

        Raises:
            GraphError: It is to be driven, and its code is not known here; nothing was recorded.
            ConcurrencyError: There is a run of this id.
        """
        state, head = cut
        drafts = [self.draft(payload, actor=actor) for payload in payloads]
        for draft in drafts:
            apply(state, _placed(run_id, draft, Head(state.seq + 1, 0, b""), 1))
        driven = not state.over and state.status != "paused"
        code = self._code(run_id, state, graph, register=False) if driven else None
        if code is not None:
            check_shape(run_id, state, code)
        lease: Any = {"epoch": 1, "holder": self.name} if driven else {}
        if driven:
            await self.appear()
        await append_patiently(self.store, run_id, drafts, expected=head.seq, **lease)
        if code is not None:
            await self._go(run_id, code, state, 1)

    async def recover(self) -> tuple[RunId, ...]:
        """Take over every run of a known graph that has not ended and that no live driver holds."""
        taken: list[RunId] = []
        if self.draining:
            return ()
        for info in await self.store.runs(RunQuery(orphaned_at=self.clock.now())):
            if info.graph not in self.graphs or info.run_id in self.live:
                continue
            try:
                await self.resume(info.run_id)
            except LeaseHeldError:
                continue  # another scanner was quicker
            except MidstreamError as error:  # this one cannot be had; the others can
                self._log.warning("cannot take over", run_id=info.run_id, error=str(error))
                continue
            taken.append(info.run_id)
        return tuple(taken)


def fold_created(run_id: RunId, draft: Draft, head: Head) -> RunState:
    """Return the state after the first event of a run, without reading it back."""
    state = RunState()
    apply(state, _placed(run_id, draft, head, 1))
    return state


def _placed(run_id: RunId, draft: Draft, head: Head, epoch: int) -> Event:
    """Return the event that an append of one draft made."""
    return Event(
        run_id,
        head.seq,
        head.position,
        draft.at,
        draft.type,
        draft.version,
        draft.actor,
        draft.cause,
        draft.address,
        epoch,
        draft.body,
        head.digest,
        draft.data,
        (draft.type, draft.version),
    )
