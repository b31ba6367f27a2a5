"""How endpoints are, and looking after those that are not well, so that no request has to find out."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

from midstream.adapters.base import Adapter
from midstream.adapters.routing.ledger import Ledger
from midstream.adapters.routing.route import Checking, Endpoint
from midstream.adapters.routing.state import BreakerStatus, RoutingState
from midstream.errors import AdapterError, MidstreamError


class Router(Protocol):
    """What looking after endpoints needs of a router."""

    @property
    def ledger(self) -> Ledger:
        """What is known."""
        ...

    async def call(
        self,
        target: str,
        prompt: str,
        *,
        priority: str | int = ...,
        deadline: float = ...,
        **settings: Any,
    ) -> Any:
        """Ask."""
        ...

    def adapter(self, endpoint: Endpoint) -> Adapter:
        """Return who speaks to an endpoint."""
        ...

    async def reset(self, endpoint: str) -> None:
        """Close its breaker."""
        ...


PROMPT = "Say: ok"
_TOKENS = 16
_DEADLINE = 60.0


@dataclass(frozen=True, slots=True)
class Health:
    """How an endpoint is.

    Attributes:
        endpoint: Its name.
        model: As `openai:gpt-4o`.
        status: Of its breaker: `closed` where it is well.
        reason: What opened its breaker, or empty.
        until: When it may be probed, in seconds since 1970; None where it is well, or waits for other settings.
        failures: In a row.
        in_flight: Calls at the moment.
        requests: In the last minute.
        tokens: In the last minute.
        seconds: How long its answers took of late, or None.
        not_before: It asked for patience until then, in seconds since 1970; None where it did not.
        drained: Somebody wants it not to be asked.
    """

    endpoint: str
    model: str
    status: BreakerStatus
    reason: str
    until: float | None
    failures: int
    in_flight: int
    requests: int
    tokens: int
    seconds: float | None
    not_before: float | None
    drained: bool

    @property
    def well(self) -> bool:
        """It may be asked as far as its health goes."""
        return self.status == "closed" and not self.drained and self.not_before is None


def of_endpoint(state: RoutingState, endpoint: Endpoint, now: float) -> Health:
    """Return how an endpoint is at a moment, in seconds since 1970."""
    breaker = state.breaker(f"endpoint:{endpoint.name}")
    habit = state.habit(endpoint.name)
    scope = state.scope(f"endpoint:{endpoint.name}")
    recent = scope.in_window(now)
    return Health(
        endpoint.name,
        endpoint.full_model,
        breaker.status,
        breaker.reason if breaker.status != "closed" else "",
        breaker.until if breaker.status == "open" else None,
        breaker.failures,
        scope.in_flight(now),
        len(recent),
        sum(spent.tokens for spent in recent),
        habit.seconds,
        habit.not_before if habit.not_before > now else None,
        habit.drained,
    )


async def check(router: Router, endpoint: str) -> AdapterError | None:
    """Make one small call to an endpoint, and return how it failed, or None where it answered.

    Raises:
        ConfigError: There is no such endpoint, or its key is not set.
    """
    try:
        await router.call(
            f"endpoint:{endpoint}", PROMPT, max_tokens=_TOKENS, deadline=_DEADLINE, priority="trial"
        )
    except AdapterError as error:
        return error
    return None


async def look_after(router: Router, checking: Checking) -> None:
    """Probe the endpoints of a pool that are not well, at its interval, for as long as it is let."""
    while True:
        await asyncio.sleep(checking.interval)
        for endpoint in checking.endpoints:
            await _look(router, checking, endpoint)


async def _look(router: Router, checking: Checking, endpoint: Endpoint) -> None:
    now = router.ledger.at() / 1_000_000
    health = of_endpoint(router.ledger.state, endpoint, now)
    if health.status == "closed" or health.drained:
        return
    if health.until is not None and health.until > now:
        return
    if checking.check is None:
        try:
            await check(router, endpoint.name)
        except MidstreamError:
            return  # its key is gone, or the store is: both are told of where somebody asks
        return
    try:
        well = await checking.check.check(endpoint.model, router.adapter(endpoint))
    except Exception:  # noqa: BLE001  # the user's check; that it raised is its answer
        well = False
    if well:
        await router.reset(endpoint.name)
