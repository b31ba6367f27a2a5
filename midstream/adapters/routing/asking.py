"""Asking along a walk: rendering for whoever is chosen, sending, hedging, and walking on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue

from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.routing.connecting import Connections
from midstream.adapters.routing.hedging import (
    Race,
    Show,
    first_sign,
    hedge_after,
    hedge_of,
    is_late,
    may_hedge,
)
from midstream.adapters.routing.kinds import refuses
from midstream.adapters.routing.ledger import Ledger
from midstream.adapters.routing.neutral import Renderings
from midstream.adapters.routing.outcome import Ended
from midstream.adapters.routing.sending import Sending, begin, send
from midstream.adapters.routing.walk import Leg, Walk
from midstream.adapters.view import View
from midstream.errors import AdapterError, BadOutputError, RefusedError
from midstream.events.payloads import Change

Accept = Callable[[ModelResponse], bool]
Answered = tuple[Leg, ModelResponse, tuple[Change, ...]]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked, before it is known of whom.

    Attributes:
        view: See `midstream.adapters.routing.neutral`.
        settings: What the request itself says of how to ask.
    """

    view: View
    settings: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(slots=True)
class _Racer:
    """One of two calls for the same request."""

    leg: Leg
    notes: Sending
    task: asyncio.Task[ModelResponse]
    changes: tuple[Change, ...]


class Asking:
    """Asks along walks.

    Args:
        connections: Who speaks to endpoints.
        ledger: What is known of them.
    """

    def __init__(self, connections: Connections, ledger: Ledger) -> None:
        self._connections = connections
        self._ledger = ledger
        self._renderings = Renderings()

    async def ask(
        self, walk: Walk, conversation: Conversation, accept: Accept | None, show: Show | None
    ) -> Answered:
        """Walk until somebody answers.

        Raises:
            AdapterError: Nobody does, see `Walk`.
        """
        while True:
            leg = await walk.next()
            if leg.retry:
                await self._breathe(walk, leg)
            race = None if hedge_of(leg) is None else Race(show)
            racer = self._started(leg, conversation, show, walk, race)
            try:
                if race is not None:
                    racer = await self._raced(walk, racer, conversation, race)
                await _settled(racer)
                response = racer.task.result()
            except AdapterError as error:
                walk.failed(racer.leg, error, racer.notes)
                if racer.notes.shown:
                    self._restart(walk, error, show)
                continue
            except BaseException:
                await _stopped(racer)
                walk.abandoned(racer.leg, racer.notes)
                raise
            problem = unwanted(walk, racer.leg, response, accept)
            if problem is None:
                walk.answered(racer.leg, response, racer.notes)
                return racer.leg, response, racer.changes
            walk.failed(racer.leg, problem, racer.notes)
            if racer.notes.shown and show is not None:
                show(Delta(restart=True))

    def _started(
        self,
        leg: Leg,
        conversation: Conversation,
        show: Show | None,
        walk: Walk,
        race: Race | None,
    ) -> _Racer:
        endpoint = leg.candidate.endpoint
        notes = begin()
        try:
            adapter = self._connections.adapter(endpoint)
            view, changes = self._renderings.view(adapter, endpoint.model, conversation.view)
            request = adapter.request(view, leg.manner.settings)
        except BaseException:
            walk.ended(leg, Ended("abandoned", 0))
            raise
        pieces = show if race is None else race.show(notes)
        task = asyncio.ensure_future(
            send(
                adapter,
                request,
                leg.manner.timeout,
                notes,
                show=pieces,
                watch=race is not None,
            )
        )
        return _Racer(leg, notes, task, (*changes, *request.changes))

    @staticmethod
    async def _breathe(walk: Walk, leg: Leg) -> None:
        """Wait a moment before the same endpoint is asked again."""
        due = walk.ask.tried[-1].at + leg.candidate.instance.rules.retry_delay
        try:
            await asyncio.sleep(max(0.0, min(due, walk.deadline) - walk.now()))
        except BaseException:
            walk.ended(leg, Ended("abandoned", 0))
            raise

    @staticmethod
    def _restart(walk: Walk, error: AdapterError, show: Show | None) -> None:
        """Begin an answer anew of which somebody has seen a part, or fail where the group says so."""
        if not walk.route.rules.restart:
            raise error
        if show is not None:
            show(Delta(restart=True))

    async def _raced(
        self, walk: Walk, first: _Racer, conversation: Conversation, race: Race
    ) -> _Racer:
        """Return who is to be waited for; a second endpoint is asked where the first one is late."""
        state = self._ledger.state
        delay = hedge_after(first.leg, state)
        if delay is None:
            return first
        await first_sign([first.task], [first.notes], delay)
        if not is_late(first.task, first.notes) or not may_hedge(first.leg, state):
            return first
        try:
            leg = await walk.next(without=(first.leg.candidate.endpoint.name,), wait=False)
        except AdapterError:  # nobody else has room now, or is left
            return first
        second = self._started(leg, conversation, None, walk, race)
        return await self._first_of(walk, first, second, race)

    async def _first_of(self, walk: Walk, first: _Racer, second: _Racer, race: Race) -> _Racer:
        """Return whoever shows its first token first, and end the other one."""
        racers = [first, second]
        try:
            winner = await self._winner(walk, racers, race)
            for one in racers:
                if one is not winner:
                    await _stopped(one)
                    self._lost(walk, one)
            await _settled(winner)
        except BaseException:
            await _stopped(second)  # the caller ends the first one
            walk.abandoned(second.leg, second.notes)
            raise
        return winner

    async def _winner(self, walk: Walk, racers: list[_Racer], race: Race) -> _Racer:
        """Return whoever shows its first token, or is the last to fail; who fails before leaves the race."""
        while True:
            for one in tuple(racers):
                done = one.task.done()
                if race.ahead(one.notes) or _good(one) or (done and len(racers) == 1):
                    return one
                if done:
                    racers.remove(one)
                    self._lost(walk, one)
            await first_sign([one.task for one in racers], [one.notes for one in racers], None)

    @staticmethod
    def _lost(walk: Walk, racer: _Racer) -> None:
        error = None if racer.task.cancelled() else racer.task.exception()
        if isinstance(error, AdapterError):
            with suppress(AdapterError):  # the other one is still asked
                walk.failed(racer.leg, error, racer.notes)
        else:
            walk.abandoned(racer.leg, racer.notes)


def unwanted(
    walk: Walk, leg: Leg, response: ModelResponse, accept: Accept | None
) -> AdapterError | None:
    """Return why an answer counts as a failure, or None."""
    endpoint = leg.candidate.endpoint
    provider, model = endpoint.provider, endpoint.model
    if refuses(response) and walk.falls("refused"):
        said = f"{endpoint.name} declined to answer: {response.finish}"
        return RefusedError(said, provider=provider, model=model)
    if accept is not None and not accept(response):
        said = f"{endpoint.name} answered what the caller does not accept: {response.message.text:.200}"
        return BadOutputError(said, provider=provider, model=model)
    return None


def _good(racer: _Racer) -> bool:
    task = racer.task
    return task.done() and not task.cancelled() and task.exception() is None


async def _settled(racer: _Racer) -> None:
    await asyncio.wait([racer.task])


async def _stopped(racer: _Racer) -> None:
    racer.task.cancel()
    await asyncio.wait([racer.task])
