"""Racing two calls for one turn: the second one is recorded before it is sent, and takes over where it comes first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from midstream.adapters.base import ModelResponse
from midstream.adapters.routing.hedging import Race, Show, first_sign, is_late
from midstream.engine.models.routed import Chosen
from midstream.engine.models.sending import ended
from midstream.engine.models.turn import ROUTER, Attempt, Prepared, Turn
from midstream.engine.recording.calls import Desk
from midstream.engine.requests.asking import Question
from midstream.errors import AdapterError
from midstream.events.payloads import ModelAborted

Prepare = Callable[[Desk, Question, Turn, Chosen], Prepared]
Record = Callable[[Desk, Question, Turn, Prepared, Chosen], None]
Failed = Callable[[Desk, Question, Attempt, AdapterError], None]


@dataclass(slots=True)
class _Runner:
    """One of the two calls."""

    chosen: Chosen
    prepared: Prepared
    task: asyncio.Task[ModelResponse]

    @classmethod
    def off(cls, chosen: Chosen, prepared: Prepared, race: Race) -> _Runner:
        sent = chosen.send(prepared.adapter, prepared.request, race.show(chosen.notes), watch=True)
        return cls(chosen, prepared, asyncio.ensure_future(sent))

    @property
    def error(self) -> AdapterError | None:
        """How it failed, or None; what is no failure of a provider goes through."""
        if not self.task.done():
            return None
        try:
            self.task.result()
        except AdapterError as error:
            return error
        return None

    def wins(self, race: Race) -> bool:
        """Say whether it is the one to wait for."""
        return race.ahead(self.chosen.notes) or (self.task.done() and self.error is None)

    async def stopped(self) -> None:
        """Give it up, and the room it had."""
        await ended(self.task)
        self.chosen.abandon()


class Hedging:
    """Races calls of a run.

    Nothing is hedged in a run with a budget: what was found affordable is one call.

    Args:
        prepare: Renders the request for whoever was chosen.
        record: Records the intent of the next attempt.
        failed: Records how an attempt failed.
    """

    def __init__(self, prepare: Prepare, record: Record, failed: Failed) -> None:
        self._prepare = prepare
        self._record = record
        self._failed = failed

    async def race(
        self, desk: Desk, question: Question, turn: Turn, attempt: Attempt, show: Show | None
    ) -> ModelResponse:
        """Send, and send to somebody else too where the first one is late; returns the answer of whoever comes first.

        Args:
            desk: Of the activation that asks.
            question: What it asks.
            turn: Which turn of it.
            attempt: The one that is recorded; it becomes that of the second call where this one takes over.
            show: Is given the pieces; None where nobody wants them.

        Raises:
            AdapterError: All that were asked have failed.
        """
        assert attempt.chosen is not None  # only who was chosen can be late by the rules of a group
        race = Race(show)
        first = _Runner.off(attempt.chosen, attempt.prepared, race)
        second: _Runner | None = None
        try:
            second = await self._second(desk, question, turn, first, race)
            if second is not None:
                await self._raced(desk, question, turn, attempt, first, second, race)
            winner = second if second and attempt.chosen is second.chosen else first
            return await winner.task
        finally:
            for one in (first, second):
                if one is not None and not one.task.done():
                    await one.stopped()

    async def _second(
        self, desk: Desk, question: Question, turn: Turn, first: _Runner, race: Race
    ) -> _Runner | None:
        """Return a second call that is under way, or None where there is to be none."""
        notes, delay = first.chosen.notes, first.chosen.hedge_after()
        if delay is None or desk.guard is not None:
            return None
        await first_sign([first.task], [notes], delay)
        if not is_late(first.task, notes) or not first.chosen.may_hedge():
            return None
        try:
            chosen = await first.chosen.beside()
        except AdapterError:  # nobody else has room now, or is left
            return None
        try:
            prepared = self._prepare(desk, question, turn, chosen)
            decided = chosen.leg.decided(chosen.target, hedge=True)
            desk.recorder.add(decided, turn.address, actor=ROUTER)
            await desk.intent()
        except BaseException:
            chosen.abandon()
            raise
        if not is_late(first.task, notes):  # it came meanwhile
            chosen.abandon()
            return None
        return _Runner.off(chosen, prepared, race)

    async def _raced(
        self,
        desk: Desk,
        question: Question,
        turn: Turn,
        attempt: Attempt,
        first: _Runner,
        second: _Runner,
        race: Race,
    ) -> None:
        """Wait until it is clear whose answer it will be, and end the other call."""
        tasks, notes = [first.task, second.task], [first.chosen.notes, second.chosen.notes]
        while True:
            await first_sign(tasks, notes, None)
            if first.wins(race):
                await second.stopped()
                return
            if second.wins(race) or first.error is not None:
                await self._over(desk, question, turn, attempt, first, second)
                return
            if second.error is not None:
                second.chosen.failed(second.error)
                return

    async def _over(
        self,
        desk: Desk,
        question: Question,
        turn: Turn,
        attempt: Attempt,
        first: _Runner,
        second: _Runner,
    ) -> None:
        """Record that the second call is the one that counts; where the first one's fault is the request's own, none does."""
        error = first.error
        if error is not None and not first.chosen.failed(error):
            await second.stopped()
            return
        if error is not None:
            self._failed(desk, question, attempt, error)
        else:
            await first.stopped()
            desk.recorder.add(ModelAborted(reason="hedged"), turn.address)
        self._record(desk, question, turn, second.prepared, second.chosen)
        attempt.call = desk.state.calls[turn.address]
        attempt.prepared, attempt.chosen = second.prepared, second.chosen
