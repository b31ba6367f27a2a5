"""One request's way: who is asked, what comes of it, who is asked then, until somebody answers or nobody is left."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace

from midstream.adapters.base import ModelResponse
from midstream.adapters.routing.choose import Ask, Candidate, Capable, Choice, choose
from midstream.adapters.routing.kinds import ABANDONED, OK, TABLE, Kind, kind_of
from midstream.adapters.routing.ledger import Entry, Ledger
from midstream.adapters.routing.line import Line
from midstream.adapters.routing.outcome import Ended, reserved, settled
from midstream.adapters.routing.route import Manner, Route
from midstream.adapters.routing.sending import Sending
from midstream.errors import AdapterError, NoEndpointError, TransientError
from midstream.events.payloads import Usage
from midstream.events.routing_facts import RouteDecided, Tried

Price = Callable[[str, str, Usage, float], str | None]
"""Provider, model, usage, seconds since 1970 → US dollars as text, or None."""

GRACE = 30.0
"""Seconds beyond the time of a call after which its room is free again, where its process was never heard of again."""

TOTAL = 600.0
"""Seconds for one call, where nothing else is said."""


@dataclass(frozen=True, slots=True)
class Leg:
    """One call of a request: who is asked, and the room that was taken.

    Attributes:
        id: Of the reservation.
        candidate: Who.
        choice: Why.
        manner: How, with the request's own wishes over those of the echelon and the endpoint.
        attempt: Which one of the request, from 1.
        waited: Seconds until there was room.
        retry: The same endpoint was asked just before.
    """

    id: str
    candidate: Candidate
    choice: Choice
    manner: Manner
    attempt: int
    waited: float
    retry: bool

    def decided(self, target: str, *, hedge: bool = False) -> RouteDecided:
        """Return the fact for the run that asked; `hedge` where it races another call."""
        return RouteDecided(
            target=target,
            endpoint=self.candidate.endpoint.name,
            stage=self.candidate.stage.name,
            model=self.candidate.endpoint.full_model,
            reservation=self.id,
            sticky=self.choice.sticky,
            attempt=self.attempt,
            waited=round(self.waited, 3),
            refused=self.choice.refused,
            hedge=hedge,
        )


class Walk:
    """The way of one request.

    Args:
        route: Who may be asked.
        ask: What is asked for.
        manner: What the request itself says of how to ask.
        ledger: Where room is taken.
        line: Where to wait for it.
        capable: What models can.
        deadline: In seconds since 1970.
        priority: The lowest is served first.
        price: What answers cost.
    """

    def __init__(
        self,
        route: Route,
        ask: Ask,
        manner: Manner,
        *,
        ledger: Ledger,
        line: Line,
        capable: Capable,
        deadline: float,
        priority: int,
        price: Price,
    ) -> None:
        self.route = route
        self.ask = ask
        self.deadline = deadline
        self.error: AdapterError | None = None
        """How the newest attempt failed, or None."""
        self._manner = manner
        self._ledger = ledger
        self._line = line
        self._capable = capable
        self._priority = priority
        self._price = price
        self._place = line.place()

    @property
    def attempts(self) -> int:
        """How many calls were made and failed."""
        return len(self.ask.tried)

    def now(self) -> float:
        """Return the time as events have it, in seconds since 1970."""
        return self._ledger.at() / 1_000_000

    async def next(self, *, without: tuple[str, ...] = (), wait: bool = True) -> Leg:
        """Return whom to ask next, with the room taken; waits for it within the deadline.

        Args:
            without: Endpoints that are not to be asked.
            wait: False takes only what is there now.

        Raises:
            AdapterError: Nobody is left; the error of the newest attempt, where there was one.
            NoEndpointError: Nobody may be asked within the deadline.
        """
        began = self.now()
        ask = replace(self.ask, without=without)
        while True:
            leg, entry = await self._placed(ask, self.deadline if wait else began, began)
            if not self._limited(leg):
                return leg
            try:
                if await self._ledger.durable(entry):
                    return leg
            except BaseException:
                self.ended(leg, Ended(ABANDONED, 0))
                raise

    async def _placed(self, ask: Ask, deadline: float, began: float) -> tuple[Leg, Entry]:
        id_ = uuid.uuid4().hex
        taken: list[Leg] = []

        def decide(now: float) -> Choice:
            return choose(self._ledger.state, self.route, ask, now, self._capable)

        def take(choice: Choice, at: int) -> Entry:
            leg = self._leg(choice, id_, at / 1_000_000 - began)
            taken.append(leg)
            total = leg.manner.timeout.total or TOTAL
            facts = reserved(
                choice, ask, id_, at / 1_000_000 + total + GRACE, hedge=bool(ask.without)
            )
            return self._ledger.add(facts, at=at, firm=not self._limited(leg))

        alike = None
        if not ask.tried and not ask.without:
            alike = (ask.target, ask.tokens, ask.input_tokens, ask.needs)
        try:
            choice, entry = await self._line.wait(
                decide,
                take,
                priority=self._priority,
                place=self._place,
                deadline=deadline,
                alike=alike,
            )
        except BaseException:
            for leg in taken:
                self.ended(leg, Ended(ABANDONED, 0))
            raise
        if entry is None:
            raise self._nobody(choice, began)
        return taken[0], entry

    def _leg(self, choice: Choice, id_: str, waited: float) -> Leg:
        candidate = choice.candidate
        assert candidate is not None  # room is taken for somebody
        manner = self._manner.over(candidate.stage.manner.over(candidate.endpoint.manner))
        tried = self.ask.tried
        retry = bool(tried) and tried[-1].endpoint == candidate.endpoint.name
        return Leg(id_, candidate, choice, manner, len(tried) + 1, waited, retry)

    def _limited(self, leg: Leg) -> bool:
        """Say whether others may take the same room: then it is only had when that is durable."""
        limits = (leg.candidate.endpoint.limits, leg.candidate.stage.limits)
        return any(limits) or leg.choice.probe

    def _nobody(self, choice: Choice, began: float) -> AdapterError:
        why = [(one.endpoint, one.why) for one in choice.refused]
        if self.error is not None and choice.wake is None:
            return self.error
        now = self.now()
        said = "; ".join(f"{name}: {reason}" for name, reason in why) or "it has no endpoints"
        made = NoEndpointError(
            f"nobody answers for {self.ask.target!r} within the deadline (waited {now - began:.1f} s): {said}; "
            "wait longer, raise a limit, or add an endpoint; `midstream models list` shows how they are",
            provider=self.ask.target,
            target=self.ask.target,
            refused=why,
            retry_after=None if choice.wake is None else max(0.0, choice.wake - now),
        )
        made.__cause__ = self.error
        return made

    def answered(self, leg: Leg, response: ModelResponse, notes: Sending) -> None:
        """Record that a call was answered."""
        endpoint, usage = leg.candidate.endpoint, response.usage
        self.ended(
            leg,
            Ended(
                OK,
                usage.input_tokens + usage.output_tokens,
                usage.input_tokens,
                notes.seconds,
                notes.first_token,
                self._price(endpoint.provider, endpoint.model, usage, self.now()),
                said=notes.said,
            ),
        )

    def failed(self, leg: Leg, error: AdapterError, notes: Sending) -> None:
        """Record that a call failed; returns where others are to be asked.

        Raises:
            AdapterError: The error itself, where nobody else is to be asked.
        """
        kind = kind_of(error)
        after = error.retry_after if isinstance(error, TransientError) else None
        self.ended(leg, Ended(kind, None, 0, notes.seconds, None, None, after, notes.said))
        self.tried(leg, kind, error)
        if not self.falls(kind):
            raise error
        most = self.route.max_attempts
        if most is not None and len(self.ask.tried) >= most:
            raise error

    def falls(self, kind: Kind) -> bool:
        """Say whether others are asked after a failure of this kind."""
        return TABLE[kind].falls or kind in self.route.rules.fall_on

    def tried(self, leg: Leg, kind: str, error: AdapterError) -> None:
        """Remember a failed attempt."""
        candidate = leg.candidate
        made = Tried(
            endpoint=candidate.endpoint.name,
            stage=candidate.stage.name,
            instance=candidate.instance.name,
            kind=kind,
            at=self.now(),
        )
        self.ask = replace(self.ask, tried=(*self.ask.tried, made))
        self.error = error

    def abandoned(self, leg: Leg, notes: Sending) -> None:
        """Record that nobody wants the answer of a call any more."""
        self.ended(
            leg, Ended(ABANDONED, None, 0, notes.seconds, notes.first_token, said=notes.said)
        )

    def ended(self, leg: Leg, ended: Ended) -> None:
        """Record how a call ended."""
        at = self._ledger.at()
        facts = settled(self._ledger.state, leg.candidate, leg.id, ended, at / 1_000_000)
        self._ledger.add(facts, at=at)
