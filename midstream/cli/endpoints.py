"""`midstream models`: how endpoints are, one small call to each, and taking one out or letting it back in."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING

from midstream.cli.exits import BAD, OK
from midstream.cli.output import put, put_json, say
from midstream.cli.settings import SETTINGS
from midstream.errors import ConfigError

if TYPE_CHECKING:
    from midstream.adapters.routing.health import Health
    from midstream.adapters.routing.router import Router
    from midstream.adapters.routing.statistics import Tally

_MARKS = {"closed": "✓", "half_open": "!", "open": "✗"}


@asynccontextmanager
async def _router() -> AsyncGenerator[Router, None]:
    from midstream.adapters.routing.router import Router
    from midstream.events.sqlite import SqliteStore

    store = await SqliteStore.open(SETTINGS.get().db)
    try:
        async with Router.load(SETTINGS.get().config or None, store=store) as router:
            if not router.table.endpoints:
                raise ConfigError(
                    "no endpoints are configured; name a configuration with --config, or write midstream.yaml"
                )
            yield router
    finally:
        await store.close()


async def show(target: str, *, prometheus: bool) -> int:
    """Print how endpoints are, and what was counted.

    Args:
        target: Only those that may be asked for it, as `group:fast`; empty for all.
        prometheus: In the text format of Prometheus.
    """
    async with _router() as router:
        if prometheus:
            put(router.prometheus().rstrip("\n"))
            return OK
        stats = router.stats()
        for health in router.health(target or None):
            tally = stats.get(f"endpoint:{health.endpoint}")
            if SETTINGS.get().as_json:
                put_json({**asdict(health), **_counted(tally)})
            else:
                put(_line(health, tally))
        for name, tally in sorted(stats.items()):
            if not name.startswith("endpoint:") and not target and not SETTINGS.get().as_json:
                put(f"  {name:<34} {_numbers(tally)}")
    return OK


def _line(health: Health, tally: Tally | None) -> str:
    state: str = "drained" if health.drained else health.status
    if health.reason:
        state += f": {health.reason}"
    numbers = _numbers(tally) if tally is not None else "never asked"
    mark = "!" if health.drained else _MARKS[health.status]
    return f"{mark} {health.endpoint:<34} {numbers}  {health.model}  {state}"


def _numbers(tally: Tally) -> str:
    rate, slow = tally.success_rate, tally.seconds.percentile(0.95)
    share = "-" if rate is None else f"{rate:.0%}"
    times = "" if slow is None else f", 95% within {slow:.2f} s"
    return f"{tally.requests} calls, {share} answered, {tally.fallbacks} fallbacks, ${tally.cost}{times}"


def _counted(tally: Tally | None) -> dict[str, object]:
    if tally is None:
        return {"calls": 0}
    return {
        "calls": tally.requests,
        "answered": tally.ok,
        "failed_calls": tally.failed,
        "fallbacks": tally.fallbacks,
        "total_tokens": tally.tokens,
        "cost": tally.cost,
        "p50": tally.seconds.percentile(0.5),
        "p95": tally.seconds.percentile(0.95),
        "first_token_p95": tally.first_token.percentile(0.95),
    }


async def check(target: str) -> int:
    """Make one small call to each endpoint.

    Args:
        target: Only those that may be asked for it; empty for all.
    """
    from midstream.adapters.routing.health import check as probe

    bad = 0
    async with _router() as router:
        for health in router.health(target or None):
            try:
                error: Exception | None = await probe(router, health.endpoint)
            except ConfigError as problem:  # its key is not set; the others can be checked
                error = problem
            bad += error is not None
            said = "answers" if error is None else " ".join(str(error).split())
            if SETTINGS.get().as_json:
                put_json({"endpoint": health.endpoint, "ok": error is None, "found": said})
            else:
                put(f"{'✓' if error is None else '✗'} {health.endpoint:<34} {said}")
    return BAD if bad else OK


async def drain(endpoint: str, *, reason: str) -> int:
    """Let no further calls go to an endpoint."""
    async with _router() as router:
        await router.drain(endpoint, reason=reason)
    say(f"{endpoint} is drained: calls in flight end, no further ones are made")
    return OK


async def reset(endpoint: str, *, statistics: bool) -> int:
    """Close the breaker of an endpoint and let a drained one back in, or count from zero.

    Args:
        endpoint: Which one; empty for all statistics.
        statistics: Let the counting start from zero, in place of all else.
    """
    async with _router() as router:
        if statistics:
            await router.reset_stats(endpoint)
        elif not endpoint:
            raise ConfigError("name an endpoint, or say --stats to count from zero")
        else:
            await router.reset(endpoint)
    said = "the counting starts from zero" if statistics else "it may be asked again"
    say(f"{endpoint or 'all'}: {said}")
    return OK
