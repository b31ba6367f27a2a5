"""A day of requests to endpoints with outages, brown-outs, rate limits and slow ramps; the same for the same seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from midstream.adapters.base import Capabilities
from midstream.adapters.routing import Router
from midstream.adapters.routing.choose import Ask, choose
from midstream.adapters.routing.loading import parse
from midstream.adapters.routing.route import Endpoint
from midstream.adapters.routing.state import RoutingState, apply
from midstream.adapters.routing.table import Table
from midstream.errors import AdapterError, NoEndpointError
from midstream.events.envelope import Event
from midstream.events.memory import MemoryStore
from midstream.events.routing_facts import RouteReserved
from midstream.events.store import Head, Watcher
from midstream.events.system import ROUTING
from tests.adapters.routing.world import (
    FakeEndpoint,
    LoopClock,
    Trouble,
    brown,
    down,
    during,
    limited,
    slow,
)

DEADLINE = 150.0
LONGEST_REST = 40.0

CONFIG: Mapping[str, Any] = {
    "endpoints": {
        "a1": {"model": "fake:a", "rpm": 40, "tpm": 60_000, "concurrency": 4, "weight": 3},
        "a2": {"model": "fake:a", "rpm": 25, "concurrency": 3},
        "b1": {"model": "other:b", "rpm": 60, "tpm": 80_000},
        "b2": {"model": "other:b", "concurrency": 6},
        "c1": {"model": "third:c", "rpm": 240, "concurrency": 40},
    },
    "groups": {
        "fast": {
            "echelon1": {
                "models": ["a1", "a2"],
                "rotation_strategy": "weighted",
                "rpm_limit": 50,
                "timeout": 20,
            },
            "echelon2": {"models": ["b1", "b2"], "rotation_strategy": "fastest", "timeout": 20},
            "fallback_config": {"fallback_groups": ["last"], "strategy": "provider_failover"},
        },
        "last": {"echelon1": {"models": ["c1"], "timeout": 60}},
        "slow": {
            "echelon1": {
                "models": ["b1", "a2"],
                "rotation_strategy": "least_loaded",
                "max_retries": 1,
            },
            "fallback_config": {"strategy": "task_group_switch", "fallback_groups": ["last"]},
        },
    },
    "pools": {
        "all": {"task_groups": ["fast", "slow"], "failure_threshold": 6, "recovery_time": 20}
    },
    "breaker": {
        "failure_threshold": 3,
        "recovery_time": 10,
        "half_open_requests": 2,
        "max_recovery_time": LONGEST_REST,
    },
}
TARGETS = ("group:fast", "group:fast", "group:slow", "pool:all", "group:fast.echelon1")


@dataclass
class Failed:
    """A request that failed."""

    target: str
    began: float
    ended: float
    error: AdapterError


@dataclass
class Day:
    """What happened.

    Attributes:
        endpoints: By name.
        events: Of routing.
        failed: The requests that failed.
        answered: How many did not.
        black: When every endpoint was down.
        router: The newest.
    """

    endpoints: dict[str, FakeEndpoint]
    events: list[Event] = field(default_factory=list[Event])
    failed: list[Failed] = field(default_factory=list[Failed])
    answered: Counter[str] = field(default_factory=Counter[str])
    black: Sequence[tuple[float, float]] = ()
    state: RoutingState = field(default_factory=RoutingState)


class MortalStore(MemoryStore):
    """A process's hold on a store; once it is dead, nothing that it does has any effect."""

    def __init__(self, store: MemoryStore) -> None:
        self.__dict__ = dict(store.__dict__)  # the same events
        self.dead = False

    def append(self, *given: Any, **named: Any) -> Awaitable[Head]:
        if self.dead:
            answer: asyncio.Future[Head] = asyncio.get_running_loop().create_future()
            answer.cancel()  # it is never told
            return answer
        return super().append(*given, **named)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        return super().watch(lambda run_id, seq: None if self.dead else watcher(run_id, seq))


def first_of(*troubles: Trouble) -> Trouble:
    def trouble(now: float) -> AdapterError | float | None:
        return next((found for one in troubles if (found := one(now)) is not None), None)

    return trouble


def spans(
    chance: random.Random, hours: float, number: float, longest: float
) -> list[tuple[float, float]]:
    starts = sorted(chance.uniform(0, hours * 3600) for _ in range(max(1, round(number * hours))))
    return [(start, start + chance.uniform(20, longest)) for start in starts]


def endpoints(
    seed: int, hours: float, black: Sequence[tuple[float, float]]
) -> dict[str, FakeEndpoint]:
    chance = random.Random(seed)
    dark = during(black, down)

    def troubled(latency: float) -> FakeEndpoint:
        made = first_of(
            dark,
            during(spans(chance, hours, 1.0, 600), down),
            during(
                spans(chance, hours, 1.0, 120), lambda: limited(chance.choice((None, 3.0, 20.0)))
            ),
            brown(chance.randrange(10**6), 0.5, spans(chance, hours, 0.7, 900)),
            slow(spans(chance, hours, 0.5, 900), 40.0),
        )
        return FakeEndpoint(latency=latency, trouble=made)

    found = {name: troubled(chance.uniform(0.5, 3)) for name in ("a1", "a2", "b1", "b2")}
    return {**found, "c1": FakeEndpoint(latency=4.0, trouble=dark)}


async def lived(
    seed: int, *, hours: float, rate: float, crash_every: float, blackouts: bool
) -> Day:
    """Live through some hours.

    Args:
        seed: Of all that is left to chance.
        hours: How long.
        rate: Requests in a second, on average.
        crash_every: Seconds between two deaths of the process, which leave what they leave.
        blackouts: Now and then every endpoint is down.
    """
    chance = random.Random(seed + 1)
    black = spans(chance, hours, 0.5, 500) if blackouts else []
    day = Day(endpoints(seed, hours, black), black=black)
    store = MemoryStore()
    loop = asyncio.get_running_loop()
    while loop.time() < hours * 3600:
        until = min(hours * 3600, loop.time() + chance.uniform(0.5, 1.5) * crash_every)
        await _process(day, store, chance, until, rate)
    router = _router(day, store)
    await router.ledger.open()
    day.state = router.state
    await router.close()
    day.events = [event async for event in store.read(ROUTING)]
    return day


def _router(day: Day, store: MemoryStore) -> Router:
    return Router(
        CONFIG,
        store=store,
        adapters={
            **day.endpoints,
            "fake": FakeEndpoint(),
            "other": FakeEndpoint(),
            "third": FakeEndpoint(),
        },
        clock=LoopClock(),
    )


async def _process(
    day: Day, store: MemoryStore, chance: random.Random, until: float, rate: float
) -> None:
    """Live until a moment, then die without a word: whatever the last facts were, nobody writes them."""
    mortal = MortalStore(store)
    router = _router(day, mortal)
    await router.ledger.open()
    loop = asyncio.get_running_loop()
    tasks: set[asyncio.Task[None]] = set()
    while loop.time() < until:
        task = asyncio.create_task(
            _request(
                day, router, chance.choice(TARGETS), chance.randrange(4000), chance.randrange(40)
            )
        )
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        rush = 3.0 if loop.time() % 1800 < 200 else 0.7
        await asyncio.sleep(chance.expovariate(rate * rush))
    mortal.dead = True
    for task in tuple(tasks):
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


async def _request(day: Day, router: Router, target: str, size: int, run: int) -> None:
    began = asyncio.get_running_loop().time()
    try:
        answer = await router.call(target, "x" * size, deadline=DEADLINE, key=f"run-{run}")
    except AdapterError as error:
        day.failed.append(Failed(target, began, asyncio.get_running_loop().time(), error))
    else:
        day.answered[answer.endpoint] += 1


def excused(day: Day, failed: Failed) -> bool:
    """Say whether everything was down for so long that resting endpoints could not be found well again in time."""
    dark = sum(
        max(0.0, min(end, failed.ended) - max(start, failed.began)) for start, end in day.black
    )
    return isinstance(failed.error, NoEndpointError) and dark >= DEADLINE - LONGEST_REST - 65


def asked_again(day: Day) -> tuple[int, list[str]]:
    """Make each choice again from what was recorded before it; return how many there were, and which differ."""
    table = Table(parse(CONFIG), ("fake", "other", "third"))
    state = RoutingState()
    differ: list[str] = []
    number = 0
    for place, event in enumerate(day.events):
        if event.type == "route.reserved":
            number += 1
            made = RouteReserved.model_validate(event.data)
            fold_to(state, day.events, _before_its_breakers(day.events, place))
            ask = Ask(
                made.target,
                made.tokens,
                made.input_tokens,
                made.key,
                made.preferred,
                made.needs,
                made.tried,
                made.without,
            )
            choice = choose(state, table.route(made.target), ask, event.at / 1_000_000, _can)
            chosen = choice.candidate.endpoint.name if choice.candidate else None
            if chosen != made.endpoint:
                differ.append(f"{event.seq}: {made.endpoint}, now {chosen}")
    return number, differ


def _before_its_breakers(events: Sequence[Event], place: int) -> int:
    while events[place - 1].type == "breaker.half_opened":
        place -= 1
    return place


def fold_to(state: RoutingState, events: Sequence[Event], end: int) -> RoutingState:
    for event in events[state.seq : end]:
        apply(state, event.type, event.data, event.at, event.seq)
    return state


def _can(endpoint: Endpoint) -> Capabilities:
    return Capabilities()


def probes_of(day: Day) -> dict[str, list[int]]:
    """Return how many calls went to each endpoint while it was open, and in each time that it was half open."""
    open_: set[str] = set()
    found: dict[str, list[int]] = {}
    for event in day.events:
        name = event.data.get("name", "")
        if event.type == "breaker.opened":
            open_.add(name)
        elif event.type == "breaker.closed":
            open_.discard(name)
        elif event.type == "breaker.half_opened":
            found.setdefault(name, []).append(0)
        elif event.type == "route.reserved":
            scopes = event.data["scopes"]
            for scope in scopes[:1] if event.data.get("resting") else scopes:
                if scope in open_:
                    found.setdefault(scope, [99])  # it was asked before it was half open
                    found[scope][-1] += 1
    return found
