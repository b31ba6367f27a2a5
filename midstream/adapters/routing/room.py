"""Whether there is room for a call: limits of rate, of tokens and of calls at the same time."""

from __future__ import annotations

from typing import NamedTuple

from midstream.adapters.routing.route import Limits
from midstream.adapters.routing.state import MINUTE, Habits, Scope


class Hurdle(NamedTuple):
    """What keeps an endpoint from being asked.

    Attributes:
        why: For people.
        until: When that ends, in seconds since 1970; None where time alone does not end it.
        sooner: It may end before that.
    """

    why: str
    until: float | None = None
    sooner: bool = False


def without_room(scope: Scope, limits: Limits, tokens: int, now: float) -> Hurdle | None:
    """Return why there is no room for another call, or None.

    Args:
        scope: What counts.
        limits: How much may count.
        tokens: Estimated tokens of the call.
        now: In seconds since 1970.
    """
    return (
        _concurrency(scope, limits.concurrency, now)
        or _requests(scope, limits.rpm, now)
        or _tokens(scope, limits.tpm, tokens, now)
    )


def _concurrency(scope: Scope, most: int | None, now: float) -> Hurdle | None:
    if most is None or scope.in_flight(now) < most:
        return None
    first = min(until for until in scope.flying.values() if until > now)
    return Hurdle(f"concurrency {most} used up", first, sooner=True)


def _requests(scope: Scope, most: int | None, now: float) -> Hurdle | None:
    if most is None:
        return None
    recent = scope.in_window(now)
    if len(recent) < most:
        return None
    return Hurdle(f"rpm {most} used up", recent[-most].at + MINUTE)


def _tokens(scope: Scope, most: int | None, tokens: int, now: float) -> Hurdle | None:
    if most is None:
        return None
    if tokens > most:
        return Hurdle(f"tpm {most} is less than this request's {tokens} tokens")
    recent = scope.in_window(now)
    over = sum(spent.tokens for spent in recent) + tokens - most
    if over <= 0:
        return None
    for spent in recent:
        over -= spent.tokens
        if over <= 0:
            return Hurdle(f"tpm {most} used up", spent.at + MINUTE)
    raise AssertionError  # without any request in the window, there is room


def told_limits(habits: Habits, flying: int, tokens: int, now: float) -> Hurdle | None:
    """Return why what an endpoint said of its own limits leaves no room, or None.

    Args:
        habits: What it said.
        flying: Calls of ours that it may not have counted yet.
        tokens: Estimated tokens of the call.
        now: In seconds since 1970.
    """
    if habits.requests_left is not None:
        left, reset = habits.requests_left
        if reset > now and left - flying <= 0:
            return Hurdle(f"says that {left} requests are left", reset)
    if habits.tokens_left is not None:
        left, reset = habits.tokens_left
        if reset > now and left < tokens:
            return Hurdle(f"says that {left} tokens are left", reset)
    return None
