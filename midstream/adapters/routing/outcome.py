"""What follows from a call that ended: its settlement, and what its breakers do; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from midstream.adapters.routing.choose import Ask, Candidate, Choice, breaker_names
from midstream.adapters.routing.config import BreakerConfig
from midstream.adapters.routing.headers import NOTHING, Said
from midstream.adapters.routing.kinds import ABANDONED, ALIVE, OK, TABLE
from midstream.adapters.routing.state import RoutingState
from midstream.events.fact import Fact
from midstream.events.routing_facts import (
    BreakerClosed,
    BreakerHalfOpened,
    BreakerOpened,
    RouteReserved,
    RouteSettled,
)

QUOTA_RECOVERY = 600.0
"""Seconds of the first rest after an account ran out of credit."""

_LONGEST_QUOTA = 86_400.0
_LONGEST_PATIENCE = 60.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a call ended.

    Attributes:
        outcome: `ok`, a kind of failure, or `abandoned`.
        tokens: That were used; None where nobody knows.
        input_tokens: The part of them that was read.
        seconds: How long it took.
        first_token: Seconds until the first piece, or None.
        cost: In US dollars, as text, or None.
        retry_after: Seconds that the endpoint asked for, or None.
        said: What its headers said of its limits.
    """

    outcome: str
    tokens: int | None = None
    input_tokens: int = 0
    seconds: float = 0.0
    first_token: float | None = None
    cost: str | None = None
    retry_after: float | None = None
    said: Said = NOTHING


def reserved(
    choice: Choice, ask: Ask, id_: str, until: float, *, hedge: bool = False
) -> tuple[Fact, ...]:
    """Return the facts of a choice: what its breakers do, and the room that it takes."""
    candidate = choice.candidate
    assert candidate is not None  # only a choice of somebody takes room
    probes = {
        f"endpoint:{candidate.endpoint.name}": candidate.instance.rules.breaker.half_open_requests
    }
    made = RouteReserved(
        id=id_,
        target=ask.target,
        endpoint=candidate.endpoint.name,
        scopes=candidate.scopes,
        tokens=ask.tokens,
        input_tokens=ask.input_tokens,
        until=until,
        key=ask.key if candidate.instance.rules.sticky else "",
        preferred=ask.preferred,
        needs=ask.needs,
        without=ask.without,
        tried=ask.tried,
        probe=choice.probe,
        hedge=hedge,
        resting=choice.resting,
        first=choice.first if choice.first != candidate.endpoint.name else "",
    )
    return (
        *(BreakerClosed(name=name, reason="settings") for name in choice.closes),
        *(BreakerHalfOpened(name=name, probes=probes.get(name, 1)) for name in choice.half_opens),
        made,
    )


def settled(
    state: RoutingState, candidate: Candidate, id_: str, ended: Ended, now: float
) -> tuple[Fact, ...]:
    """Return the facts of a call that ended.

    Args:
        state: What is known.
        candidate: Who was asked.
        id_: Of the reservation.
        ended: How it ended.
        now: In seconds since 1970.
    """
    name = candidate.endpoint.name
    counts = _counts(ended.outcome) and id_ in state.reservations
    said = ended.said
    fact = RouteSettled(
        id=id_,
        endpoint=name,
        outcome=ended.outcome,
        counts=breaker_names(candidate) if counts else (),
        tokens=ended.tokens,
        input_tokens=ended.input_tokens,
        seconds=round(ended.seconds, 6),
        first_token=None if ended.first_token is None else round(ended.first_token, 6),
        cost=ended.cost,
        not_before=_not_before(state, name, ended, now),
        requests_left=said.requests_left,
        requests_reset=said.requests_reset,
        tokens_left=said.tokens_left,
        tokens_reset=said.tokens_reset,
    )
    if id_ not in state.reservations:
        return (fact,)
    return (fact, *_breakers(state, candidate, id_, ended.outcome, now))


def _counts(outcome: str) -> bool:
    return outcome not in (OK, ABANDONED) and TABLE[outcome].breaker in ("counts", "opens")  # type: ignore[index]


def _not_before(state: RoutingState, name: str, ended: Ended, now: float) -> float | None:
    """Return until when an endpoint wants no calls: as it says, or else the longer the oftener it refused in a row."""
    if ended.outcome == "rate_limited" and ended.retry_after is None:
        return now + min(_LONGEST_PATIENCE, 2.0 ** min(state.habit(name).limited, 10))
    return None if not ended.retry_after else now + ended.retry_after


def _breakers(
    state: RoutingState, candidate: Candidate, id_: str, outcome: str, now: float
) -> Iterator[Fact]:
    for name in breaker_names(candidate):
        own = name.startswith("endpoint:")
        config = candidate.instance.rules.breaker if own else candidate.route.breaker
        assert config is not None  # an instance without one has no breaker to pass
        breaker = state.breaker(name)
        probing = breaker.status == "half_open" and id_ in breaker.probing
        if outcome == OK or outcome in ALIVE or outcome == "rate_limited":
            if probing or (not own and breaker.status == "open" and outcome == OK):
                yield BreakerClosed(name=name)
            continue
        if outcome == ABANDONED:
            continue
        at_once = own and TABLE[outcome].breaker == "opens"  # type: ignore[index]  # a kind
        full = breaker.status == "closed" and breaker.failures + 1 >= config.failure_threshold
        if probing or full or (at_once and breaker.status != "open"):
            yield _opened(state, name, outcome, config, candidate.endpoint.digest, now)


def _opened(
    state: RoutingState, name: str, outcome: str, config: BreakerConfig, digest: str, now: float
) -> BreakerOpened:
    breaker = state.breaker(name)
    doubled = 2.0 ** min(breaker.opened, 20)
    recovery = min(config.max_recovery_time, config.recovery_time * doubled)
    if outcome == "quota":
        recovery = min(_LONGEST_QUOTA, QUOTA_RECOVERY * doubled)
    for_good = outcome == "auth" and name.startswith("endpoint:")
    return BreakerOpened(
        name=name,
        reason=outcome,
        until=None if for_good else now + recovery,
        recovery=0.0 if for_good else recovery,
        failures=breaker.failures + 1,
        settings=digest,
    )
