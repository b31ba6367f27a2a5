"""Who is asked next, and why not the others: a function of what is known, what is asked for, and the time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from midstream.adapters.base import Capabilities
from midstream.adapters.routing.kinds import TABLE
from midstream.adapters.routing.room import Hurdle, told_limits, without_room
from midstream.adapters.routing.route import Endpoint, Instance, Route, Stage
from midstream.adapters.routing.state import Breaker, RoutingState
from midstream.adapters.routing.strategies import Member, Place
from midstream.events.routing_facts import Refused, Tried

Capable = Callable[[Endpoint], Capabilities | str]
"""What the model of an endpoint can be told and asked; or why it cannot be asked at all, such as a key that is not set."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked for.

    Attributes:
        target: As `group:fast`.
        tokens: Estimated tokens, input and output.
        input_tokens: The part of them that is the conversation.
        key: What the choice sticks to, or empty.
        preferred: The endpoint that answered before in this conversation, or empty.
        needs: `images`, `documents`, `audio`, `tools`.
        tried: The attempts of this request that failed.
        without: Endpoints that are not to be considered.
    """

    target: str
    tokens: int = 0
    input_tokens: int = 0
    key: str = ""
    preferred: str = ""
    needs: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Candidate:
    """An endpoint in one of its places."""

    place: Place
    endpoint: Endpoint
    stage: Stage
    instance: Instance
    route: Route

    @property
    def scopes(self) -> tuple[str, ...]:
        """Where a call of it counts."""
        own = (f"endpoint:{self.endpoint.name}", f"stage:{self.stage.name}")
        pool = self.route.pool
        if not pool:
            return own
        return (*own, f"instance:{pool}/{self.instance.name}", f"pool:{pool}")


@dataclass(frozen=True, slots=True)
class Choice:
    """What was decided.

    Attributes:
        candidate: Who is asked, or None.
        refused: Who came before it and was not taken; all of them where nobody was.
        wake: When somebody may be asked, in seconds since 1970; None where waiting does not help.
        sooner: It may be before `wake`.
        sticky: It was chosen because it answered before.
        half_opens: Breakers that begin to be probed by it.
        closes: Breakers that no longer hold, because settings have changed.
        probe: It shows whether somebody is well again.
        resting: Its instance has a rest, and there was nobody else.
        first: The endpoint that came first.
    """

    candidate: Candidate | None
    refused: tuple[Refused, ...]
    wake: float | None = None
    sooner: bool = False
    sticky: bool = False
    half_opens: tuple[str, ...] = ()
    closes: tuple[str, ...] = ()
    probe: bool = False
    resting: bool = False
    first: str = ""

    def hopeless(self, deadline: float) -> bool:
        """Say whether waiting until the deadline does not help, as far as can be known."""
        return self.wake is None or (self.wake > deadline and not self.sooner)


def choose(state: RoutingState, route: Route, ask: Ask, now: float, capable: Capable) -> Choice:
    """Return who is asked next; pure.

    Args:
        state: What is known.
        route: Who may be asked.
        ask: What is asked for.
        now: In seconds since 1970.
        capable: What models can.
    """
    preferred = ask.preferred or state.sticky.get(ask.key, "")
    ordered = candidates(state, route, ask, preferred, now)
    made = _first(state, ordered, ask, preferred, now, capable, resting=False)
    if made.candidate is None and route.breaker is not None:
        # An instance rests so that others are asked in its place. Where there are none, it only counts who is well in it.
        return _first(state, ordered, ask, preferred, now, capable, resting=True)
    return made


def _first(
    state: RoutingState,
    ordered: Sequence[Candidate],
    ask: Ask,
    preferred: str,
    now: float,
    capable: Capable,
    *,
    resting: bool,
) -> Choice:
    """Return the first who may be asked; with `resting`, also of instances that have a rest."""
    refused: list[Refused] = []
    hurdles: list[Hurdle] = []
    first = ordered[0].endpoint.name if ordered else ""
    for candidate in ordered:
        name = candidate.endpoint.name
        breakers = _breakers(candidate)[:1] if resting else _breakers(candidate)
        found = _hurdle(state, candidate, ask, now, capable, breakers)
        if found is None:
            passed = [_passes(state, breaker, candidate, now) for breaker in breakers]
            return Choice(
                candidate,
                tuple(refused),
                sticky=name == preferred and bool(preferred),
                half_opens=tuple(name for name, how in passed if how == "half_open"),
                closes=tuple(name for name, how in passed if how == "close"),
                probe=any(how in ("half_open", "probe") for _, how in passed),
                resting=resting,
                first=first,
            )
        refused.append(
            Refused(endpoint=name, stage=candidate.stage.name, why=found.why, until=found.until)
        )
        hurdles.append(found)
    wake = min((one.until for one in hurdles if one.until is not None), default=None)
    sooner = any(one.sooner for one in hurdles)
    return Choice(None, tuple(refused), wake, sooner, first=first)


def candidates(
    state: RoutingState, route: Route, ask: Ask, preferred: str, now: float
) -> Sequence[Candidate]:
    """Return everybody who may be asked, in the order in which they are considered."""
    found: dict[tuple[str, str], Candidate] = {}
    for instance in _instances(state, route, ask.tried, now):
        listed = {
            place: Candidate(place, endpoint, stage, instance, route)
            for place, endpoint, stage in _places(state, instance, now)
        }
        for place in instance.fallback.order(tuple(listed), ask.tried):
            candidate = listed[place]
            if place.endpoint not in ask.without:
                found.setdefault((place.stage, place.endpoint), candidate)
    ordered = list(found.values())
    if route.strategy is not None:
        by_place = {candidate.place: candidate for candidate in ordered}
        ordered = [by_place[place] for place in route.strategy.order(tuple(by_place), ask.tried)]
    if preferred and route.rules.sticky:
        ordered.sort(key=lambda one: one.endpoint.name != preferred)
    if ask.tried:
        last = ask.tried[-1].endpoint
        ordered.sort(key=lambda one: (_strikes(one, ask.tried), one.endpoint.name != last))
    return ordered


def _strikes(candidate: Candidate, tried: Sequence[Tried]) -> int:
    """Return how often an endpoint failed in this request, beyond the retries that are made at once."""
    failed = sum(one.endpoint == candidate.endpoint.name for one in tried)
    return max(0, failed - retries(candidate))


def retries(candidate: Candidate) -> int:
    """Return how often an endpoint is asked again at once."""
    own = candidate.stage.manner.max_retries
    return (candidate.endpoint.manner.max_retries if own is None else own) or 0


def _instances(
    state: RoutingState, route: Route, tried: Sequence[Tried], now: float
) -> Sequence[Instance]:
    if len(route.instances) == 1:
        return route.instances
    members = [_member(state, route, instance, now) for instance in route.instances]
    turn = state.scope(f"pool:{route.pool}").turns - len(tried)
    by_name = {instance.name: instance for instance in route.instances}
    names = _complete(route.rotation.order(members, max(0, turn)), tuple(by_name))
    failed = [one.instance for one in tried]
    ordered = sorted(names, key=lambda name: failed.count(name) // route.patience)
    return [by_name[name] for name in ordered]


def _member(state: RoutingState, route: Route, instance: Instance, now: float) -> Member:
    scope = state.scope(f"instance:{route.pool}/{instance.name}")
    own = [endpoint for stage in instance.stages if stage.own for endpoint in stage.endpoints]
    times = [state.habit(endpoint.name).seconds for endpoint in own]
    known = [seconds for seconds in times if seconds is not None]
    average = sum(known) / len(known) if known else None
    return Member(instance.name, instance.weight, scope.in_flight(now), None, average)


def _places(
    state: RoutingState, instance: Instance, now: float
) -> Iterator[tuple[Place, Endpoint, Stage]]:
    for stage in instance.stages:
        by_name = {endpoint.name: endpoint for endpoint in stage.endpoints}
        members = [
            Member(
                one.name,
                one.weight,
                state.scope(f"endpoint:{one.name}").in_flight(now),
                one.limits.concurrency,
                state.habit(one.name).seconds,
            )
            for one in stage.endpoints
        ]
        turn = state.scope(f"stage:{stage.name}").turns
        names = tuple(by_name)
        if len(members) > 1:
            names = _complete(stage.rotation.order(members, turn), names)
        for name in names:
            place = Place(
                name, by_name[name].provider, stage.name, stage.group, stage.own, instance.name
            )
            yield place, by_name[name], stage


def _complete(ordered: Sequence[str], names: tuple[str, ...]) -> tuple[str, ...]:
    """Return the names in a user's order, each once; who was left out comes last."""
    return tuple(dict.fromkeys((*(name for name in ordered if name in names), *names)))


def _hurdle(
    state: RoutingState,
    candidate: Candidate,
    ask: Ask,
    now: float,
    capable: Capable,
    breakers: Sequence[str],
) -> Hurdle | None:
    """Return what keeps an endpoint from being asked now, the most lasting first, or None."""
    habit = state.habit(candidate.endpoint.name)
    can = capable(candidate.endpoint)
    if isinstance(can, str):
        return Hurdle(can)
    lasting = _failed_before(candidate, ask.tried, now, capable) or _incapable(
        candidate.endpoint, can, ask
    )
    if lasting is not None:
        return lasting
    if habit.drained:
        return Hurdle("drained")
    for name in breakers:
        if (found := _broken(state.breaker(name), name, candidate, now)) is not None:
            return found
    if habit.not_before > now:
        return Hurdle("asked for patience", habit.not_before)
    flying = state.scope(f"endpoint:{candidate.endpoint.name}").in_flight(now)
    return told_limits(habit, flying, ask.tokens, now) or _crowded(state, candidate, ask, now)


def _crowded(state: RoutingState, candidate: Candidate, ask: Ask, now: float) -> Hurdle | None:
    scopes = (
        (f"endpoint:{candidate.endpoint.name}", candidate.endpoint.limits),
        (f"stage:{candidate.stage.name}", candidate.stage.limits),
    )
    for name, limits in scopes:
        found = without_room(state.scope(name), limits, ask.tokens, now) if limits else None
        if found is not None:
            kind = name.partition(":")[0]
            return found._replace(
                why=f"{'the echelon' if kind == 'stage' else 'its own'} {found.why}"
            )
    return None


def _failed_before(
    candidate: Candidate, tried: Sequence[Tried], now: float, capable: Capable
) -> Hurdle | None:
    """Return what follows from the attempts of this request that failed."""
    if not tried:
        return None
    name, instance = candidate.endpoint.name, candidate.instance
    for one in tried:
        rule = TABLE[one.kind]  # type: ignore[index]  # only kinds are tried
        if one.endpoint == name and not rule.again:
            return Hurdle(f"failed in this request: {one.kind}")
        if rule.bigger and not _bigger(candidate, one.endpoint, capable):
            return Hurdle(
                f"its window is no larger than that of {one.endpoint}, which was too small"
            )
    asked = [one.instance for one in tried]
    if instance.max_attempts is not None and asked.count(instance.name) >= instance.max_attempts:
        return Hurdle(f"max_attempts {instance.max_attempts} used up")
    most = candidate.route.max_instances
    if most is not None and instance.name not in asked and len(set(asked)) >= most:
        return Hurdle(f"max_instance_attempts {most} used up")
    own = [one for one in tried if one.endpoint == name]
    strikes = _strikes(candidate, tried)
    if not strikes:
        return None
    base = candidate.route.retry_delay
    delay = instance.rules.retry_delay if base is None else base
    until = own[-1].at + delay * 2.0 ** min(strikes - 1, 10)
    return Hurdle(f"failed in this request: {own[-1].kind}", until) if until > now else None


def _bigger(candidate: Candidate, other: str, capable: Capable) -> bool:
    """Say whether an endpoint may have a larger window than another one; it may where one of them is not known."""
    for stage in candidate.instance.stages:
        for endpoint in stage.endpoints:
            if endpoint.name == other:
                small, large = _window(endpoint, capable), _window(candidate.endpoint, capable)
                return small is None or large is None or large > small
    return True


def _window(endpoint: Endpoint, capable: Capable) -> int | None:
    can = capable(endpoint)
    return endpoint.context_window or (None if isinstance(can, str) else can.context_window)


def _incapable(endpoint: Endpoint, can: Capabilities, ask: Ask) -> Hurdle | None:
    for need in ask.needs:
        if not getattr(can, need, True):
            return Hurdle(f"its model takes no {need}")
    window = endpoint.context_window or can.context_window
    if window is not None and ask.input_tokens > window:
        return Hurdle(f"window of {window} is too small for some {ask.input_tokens} tokens")
    tpm = endpoint.limits.tpm
    if tpm is not None and ask.tokens > tpm:
        return Hurdle(f"tpm {tpm} is less than this request's {ask.tokens} tokens")
    return None


def breaker_names(candidate: Candidate) -> tuple[str, ...]:
    """Return the breakers that a call passes: the endpoint's, and its instance's where its pool has any."""
    return _breakers(candidate)


def _breakers(candidate: Candidate) -> tuple[str, ...]:
    own = f"endpoint:{candidate.endpoint.name}"
    route = candidate.route
    return (
        (own,)
        if route.breaker is None
        else (own, f"instance:{route.pool}/{candidate.instance.name}")
    )


def _broken(breaker: Breaker, name: str, candidate: Candidate, now: float) -> Hurdle | None:
    what = "breaker" if name.startswith("endpoint:") else "the instance's breaker"
    if breaker.status == "open":
        if breaker.until is None:
            same = breaker.settings == candidate.endpoint.digest
            return (
                Hurdle(f"{what} open until its settings change: {breaker.reason}") if same else None
            )
        if breaker.until > now:
            return Hurdle(f"{what} open: {breaker.reason}", breaker.until)
    elif breaker.status == "half_open" and len(breaker.probing) >= breaker.probes:
        until = _next_round(breaker)
        if until > now:
            return Hurdle(f"{what} half open, being probed", until, sooner=True)
    return None


def _next_round(breaker: Breaker) -> float:
    """Return when a half-open breaker may be probed again, whose probes were never heard of."""
    latest = max(breaker.probing.values(), default=0.0)
    return max(breaker.half_opened + breaker.recovery, latest)


def _passes(state: RoutingState, name: str, candidate: Candidate, now: float) -> tuple[str, str]:
    """Return how a call passes a breaker that is no hurdle."""
    breaker = state.breaker(name)
    if breaker.status == "closed":
        return name, "closed"
    if breaker.status == "open":
        return name, "close" if breaker.until is None else "half_open"
    full = len(breaker.probing) >= breaker.probes
    return name, "half_open" if full else "probe"
