"""What routing knows of endpoints: room, breakers, turns, habits. A fold over the stream `system:routing`.

Nothing changes it but an event, so a restart, another process on the same store, and a replay have the same. Whoever asks
for a moment brings the time along; the fold reads no clock, and takes the time of an event from the event.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from midstream.adapters.routing.kinds import ABANDONED, ALIVE, OK
from midstream.events.envelope import Event

MINUTE = 61.0
"""Seconds for which a request counts. A provider counts when it arrives, so the second beyond the minute covers the way."""

_SAMPLES = 50
_STICKY = 5000

BreakerStatus = Literal["closed", "open", "half_open"]


@dataclass(slots=True)
class Spent:
    """One request in the window of a minute."""

    id: str
    at: float
    tokens: int


@dataclass(slots=True)
class Scope:
    """What counts together: an endpoint, an echelon, an instance of a pool, a pool.

    Attributes:
        recent: The requests of the last minute, in order.
        flying: When each call in flight stops counting, by reservation.
        turns: How many calls were ever placed.
    """

    recent: list[Spent] = field(default_factory=list[Spent])
    flying: dict[str, float] = field(default_factory=dict[str, float])
    turns: int = 0

    def in_flight(self, now: float) -> int:
        """Return how many calls are in flight."""
        if not self.flying or min(self.flying.values()) > now:
            return len(self.flying)
        return sum(until > now for until in self.flying.values())

    def in_window(self, now: float) -> list[Spent]:
        """Return the requests of the last minute."""
        start = 0
        while start < len(self.recent) and self.recent[start].at <= now - MINUTE:
            start += 1
        return self.recent[start:] if start else self.recent


@dataclass(slots=True)
class Breaker:
    """How an endpoint, or an instance of a pool, has been.

    Attributes:
        status: `closed`: it is asked; `open`: it rests; `half_open`: a few probes may pass.
        failures: In a row.
        reason: What opened it.
        until: When it may be probed; None for not before its settings change.
        recovery: Seconds of the newest rest.
        opened: How often in a row it was opened.
        probes: How many may pass.
        probing: Those that passed, by reservation, and when each stops counting.
        half_opened: When it began to be probed.
        settings: The digest of its settings when it opened.
    """

    status: BreakerStatus = "closed"
    failures: int = 0
    reason: str = ""
    until: float | None = None
    recovery: float = 0.0
    opened: int = 0
    probes: int = 1
    probing: dict[str, float] = field(default_factory=dict[str, float])
    half_opened: float = 0.0
    settings: str = ""


@dataclass(slots=True)
class Habits:
    """How an endpoint answers.

    Attributes:
        not_before: It asked for patience until then.
        limited: How often in a row it refused because of its own limits.
        seconds: Moving average of whole answers; None before the first one.
        first_tokens: The newest times until the first token, in order of arrival.
        requests_left: What it said is left of its requests, and until when.
        tokens_left: What it said is left of its tokens, and until when.
        drained: Somebody wants it not to be asked.
    """

    not_before: float = 0.0
    limited: int = 0
    seconds: float | None = None
    first_tokens: list[float] = field(default_factory=list[float])
    requests_left: tuple[int, float] | None = None
    tokens_left: tuple[int, float] | None = None
    drained: bool = False


@dataclass(slots=True)
class Reservation:
    """Room that was taken and not settled yet."""

    endpoint: str
    scopes: tuple[str, ...]
    at: float
    until: float
    tokens: int
    key: str
    hedge: bool


@dataclass(slots=True)
class RoutingState:
    """What routing knows after event number `seq`.

    Attributes:
        seq: The newest event in it.
        scopes: By name: `endpoint:eu`, `stage:fast.echelon1`, `instance:all/fast`, `pool:all`.
        breakers: By name: `endpoint:eu`, `instance:all/fast`; each is also a scope.
        habits: By endpoint.
        reservations: By id.
        sticky: Whom a key sticks to, the least recently used first.
        calls: How many calls were placed, hedges included.
        hedges: How many of them were hedges.
    """

    seq: int = 0
    scopes: dict[str, Scope] = field(default_factory=dict[str, Scope])
    breakers: dict[str, Breaker] = field(default_factory=dict[str, Breaker])
    habits: dict[str, Habits] = field(default_factory=dict[str, Habits])
    reservations: dict[str, Reservation] = field(default_factory=dict[str, Reservation])
    sticky: dict[str, str] = field(default_factory=dict[str, str])
    calls: int = 0
    hedges: int = 0

    def scope(self, name: str) -> Scope:
        """Return what counts under a name; an empty one where nothing has counted yet."""
        return self.scopes.get(name) or Scope()

    def breaker(self, name: str) -> Breaker:
        """Return a breaker; a closed one where nothing has happened yet."""
        return self.breakers.get(name) or Breaker()

    def habit(self, endpoint: str) -> Habits:
        """Return how an endpoint answers; nothing where it was never asked."""
        return self.habits.get(endpoint) or Habits()


def _reserved(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    tokens: int = data.get("tokens", 0)
    until: float = data.get("until", 0.0)
    made = Reservation(
        data["endpoint"],
        tuple(data.get("scopes", ())),
        now,
        until,
        tokens,
        data.get("key", ""),
        data.get("hedge", False),
    )
    id_: str = data["id"]
    state.reservations[id_] = made
    for name in made.scopes:
        scope = state.scopes.setdefault(name, Scope())
        del scope.recent[: len(scope.recent) - len(scope.in_window(now))]
        scope.recent.append(Spent(id_, now, tokens))
        _forget(scope.flying, now)
        scope.flying[id_] = until
        scope.turns += 1
    state.calls += 1
    state.hedges += made.hedge
    if data.get("probe"):
        for name in made.scopes[:1] if data.get("resting") else made.scopes:
            breaker = state.breakers.get(name)
            if breaker is not None and breaker.status == "half_open":
                breaker.probing[id_] = until
    if len(state.reservations) % 256 == 0:  # those whose process died
        for old in [key for key, one in state.reservations.items() if one.until <= now - MINUTE]:
            del state.reservations[old]


def _breakers_of(state: RoutingState, made: Reservation) -> Iterator[Breaker]:
    """Iterate over the breakers that a reservation passes: those that are named as one of its scopes."""
    for name in made.scopes:
        found = state.breakers.get(name)
        if found is not None:
            yield found


def _forget(flying: dict[str, float], now: float) -> None:
    if len(flying) % 64 == 63:
        for id_ in [id_ for id_, until in flying.items() if until <= now]:
            del flying[id_]


def _settled(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    made = state.reservations.pop(data["id"], None)
    if made is None:  # it had run out, or was told of twice
        return
    for name in made.scopes:
        _leave(state.scopes[name], data["id"], data.get("tokens"))
    outcome: str = data["outcome"]
    habits = state.habits.setdefault(made.endpoint, Habits())
    if outcome == OK:
        _answered(state, habits, made, data)
    elif outcome == "rate_limited":
        habits.limited += 1
    elif outcome in ALIVE:
        for breaker in _breakers_of(state, made):
            breaker.failures = 0
    if data.get("not_before") is not None:
        habits.not_before = max(habits.not_before, data["not_before"])
    _told(habits, data)


def _leave(scope: Scope, id_: str, used: int | None) -> None:
    """Give the place of a call back, and count the tokens that it used in place of those that it might have used."""
    scope.flying.pop(id_, None)
    if used is None:
        return
    for spent in reversed(scope.recent):
        if spent.id == id_:
            spent.tokens = used
            return


def _answered(
    state: RoutingState, habits: Habits, made: Reservation, data: Mapping[str, Any]
) -> None:
    habits.limited = 0
    seconds: float = data.get("seconds", 0.0)
    before = habits.seconds
    habits.seconds = seconds if before is None else round(0.8 * before + 0.2 * seconds, 6)
    if data.get("first_token") is not None:
        habits.first_tokens = [*habits.first_tokens, data["first_token"]][-_SAMPLES:]
    for breaker in _breakers_of(state, made):
        breaker.failures = 0
    if made.key:
        state.sticky.pop(made.key, None)
        state.sticky[made.key] = made.endpoint
        if len(state.sticky) > _STICKY:
            del state.sticky[next(iter(state.sticky))]


def _told(habits: Habits, data: Mapping[str, Any]) -> None:
    """Take in what the endpoint says of its own limits."""
    if data.get("requests_left") is not None and data.get("requests_reset") is not None:
        habits.requests_left = (data["requests_left"], data["requests_reset"])
    if data.get("tokens_left") is not None and data.get("tokens_reset") is not None:
        habits.tokens_left = (data["tokens_left"], data["tokens_reset"])


def _failed(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    """Count a failure, before the reservation is forgotten."""
    made = state.reservations.get(data["id"])
    if made is None or data["outcome"] in (OK, ABANDONED):
        return
    for name in data.get("counts", ()):
        state.breakers.setdefault(name, Breaker()).failures += 1


def _opened(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    breaker = state.breakers.setdefault(data["name"], Breaker())
    breaker.status = "open"
    breaker.reason = data["reason"]
    breaker.until = data.get("until")
    breaker.recovery = data.get("recovery", 0.0)
    breaker.failures = data.get("failures", 0)
    breaker.settings = data.get("settings", "")
    breaker.opened += 1
    breaker.probing.clear()


def _half_opened(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    breaker = state.breakers.setdefault(data["name"], Breaker())
    breaker.status = "half_open"
    breaker.probes = data.get("probes", 1)
    breaker.half_opened = now
    breaker.probing.clear()


def _closed(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    state.breakers[data["name"]] = Breaker()


def _drained(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    state.habits.setdefault(data["endpoint"], Habits()).drained = True


def _restored(state: RoutingState, data: Mapping[str, Any], now: float) -> None:
    state.habits.setdefault(data["endpoint"], Habits()).drained = False


Handler = Callable[[RoutingState, Mapping[str, Any], float], None]

_HANDLERS: Mapping[str, tuple[Handler, ...]] = {
    "route.reserved": (_reserved,),
    "route.settled": (_failed, _settled),
    "breaker.opened": (_opened,),
    "breaker.half_opened": (_half_opened,),
    "breaker.closed": (_closed,),
    "endpoint.drained": (_drained,),
    "endpoint.restored": (_restored,),
}


def apply(state: RoutingState, type_: str, data: Mapping[str, Any], at: int, seq: int) -> None:
    """Fold one event into the state.

    Args:
        state: What was known.
        type_: The event's type.
        data: Its payload.
        at: When it was recorded, in microseconds since 1970.
        seq: Its number in the stream.
    """
    for handler in _HANDLERS.get(type_, ()):
        handler(state, data, at / 1_000_000)
    state.seq = seq


def fold_routing(events: Iterable[Event], state: RoutingState | None = None) -> RoutingState:
    """Return what is known after the events of the stream; a given state is changed and goes on from where it is."""
    state = RoutingState() if state is None else state
    for event in events:
        apply(state, event.type, event.data, event.at, event.seq)
    return state
