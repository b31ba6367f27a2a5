"""The facts of routing: who was chosen for a call and why, what came of it, and how its endpoint is.

`route.decided` stands in the run that asked. The others are about all runs of a store, and stand in its
stream `system:routing`.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from midstream.events.fact import Fact


class Refused(BaseModel):
    """A candidate that was not taken.

    Attributes:
        endpoint: Its name.
        stage: The echelon it was considered in, as `fast.echelon1`.
        why: The reason, as `breaker open` or `rpm 60 used up`.
        until: When that may change, in seconds since 1970; None where time alone does not change it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    endpoint: str
    stage: str = ""
    why: str
    until: float | None = None


class Tried(BaseModel):
    """An attempt of this request that failed before.

    Attributes:
        endpoint: Who was asked.
        stage: In which echelon.
        kind: How it failed: `rate_limited`, `overloaded`, `timeout`, …
        at: When it failed, in seconds since 1970.
        instance: In which instance of a pool, or group.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    endpoint: str
    stage: str = ""
    instance: str = ""
    kind: str
    at: float


class RouteDecided(Fact):
    """Somebody was chosen to answer a model call that names a group, a pool or an endpoint.

    Attributes:
        target: What the code names, as `group:fast`.
        endpoint: Who was chosen.
        stage: In which echelon.
        model: The model that is asked, as `openai:gpt-4o`.
        reservation: The id of the `route.reserved` in the stream `system:routing`.
        sticky: It was chosen because it answered before.
        attempt: Which one of this request, from 1.
        waited: Seconds until there was room.
        refused: Who came before it and was not taken.
        hedge: It races the call that is under way, which is late; durable before it is sent.
    """

    type: Literal["route.decided"] = "route.decided"
    target: str
    endpoint: str
    stage: str = ""
    model: str
    reservation: str
    sticky: bool = False
    attempt: int = 1
    waited: float = 0.0
    refused: tuple[Refused, ...] = ()
    hedge: bool = False


class RouteReserved(Fact):
    """Room was taken at an endpoint for one call; durable before the call where a limit matters.

    Together with what was recorded before it, it says all that the choice depended on, so that a replay makes it again.

    Attributes:
        id: Of the reservation.
        target: What was asked for.
        endpoint: Who was chosen.
        scopes: Where it counts: the endpoint, the echelon, the pool.
        tokens: Estimated tokens, input and output.
        input_tokens: The part of them that is the conversation.
        until: When it no longer counts as in flight if nothing more is heard of it, in seconds since 1970.
        key: What the choice sticks to, such as a run's id, or empty.
        preferred: The endpoint that answered before in the conversation, or empty.
        needs: What the request needs: `images`, `documents`, `audio`, `tools`.
        without: Endpoints that were not to be considered.
        tried: The attempts of this request that failed.
        probe: It shows whether the endpoint is well again.
        hedge: It races another call of the same request.
        resting: The instance of its pool has a rest, and there was nobody else.
        first: The candidate that comes first, whoever is chosen; where they differ, a fallback was taken.
    """

    type: Literal["route.reserved"] = "route.reserved"
    id: str
    target: str
    endpoint: str
    scopes: tuple[str, ...] = ()
    tokens: int = 0
    input_tokens: int = 0
    until: float = 0.0
    key: str = ""
    preferred: str = ""
    needs: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    tried: tuple[Tried, ...] = ()
    probe: bool = False
    hedge: bool = False
    resting: bool = False
    first: str = ""


class RouteSettled(Fact):
    """A call that had room has ended.

    Attributes:
        id: Of the reservation.
        endpoint: Who was asked.
        outcome: `ok`, the kind of failure, or `abandoned`.
        counts: The breakers that the failure counts for.
        tokens: Tokens that were used; None where nobody knows, and then the estimate stands.
        input_tokens: The part of them that was read.
        seconds: How long it took.
        first_token: Seconds until the first piece of a streamed answer, or None.
        cost: In US dollars, as text, or None where no price is known.
        not_before: The endpoint asks for patience until then, in seconds since 1970.
        requests_left: What the endpoint says is left of its requests until `requests_reset`, or None.
        requests_reset: In seconds since 1970.
        tokens_left: What the endpoint says is left of its tokens until `tokens_reset`, or None.
        tokens_reset: In seconds since 1970.
    """

    type: Literal["route.settled"] = "route.settled"
    id: str
    endpoint: str
    outcome: str
    counts: tuple[str, ...] = ()
    tokens: int | None = None
    input_tokens: int = 0
    seconds: float = 0.0
    first_token: float | None = None
    cost: str | None = None
    not_before: float | None = None
    requests_left: int | None = None
    requests_reset: float | None = None
    tokens_left: int | None = None
    tokens_reset: float | None = None


class RouteReset(Fact):
    """Statistics start from zero; breakers, limits and rotation stay as they are.

    Attributes:
        id: Of this reset.
        target: Whose, as `group:fast`, `pool:all`, `endpoint:eu`; empty for all.
    """

    type: Literal["route.reset"] = "route.reset"
    id: str
    target: str = ""


class BreakerOpened(Fact):
    """No further calls go to an endpoint, or to an instance of a pool, for a while.

    Attributes:
        name: Whose breaker: `endpoint:NAME`, or `instance:POOL/GROUP`.
        reason: The kind of failure that opened it.
        until: When it may be probed, in seconds since 1970; None for not before its settings change or it is reset.
        recovery: Seconds from opening to `until`.
        failures: How many there were in a row.
        settings: Digest of the endpoint's settings.
    """

    type: Literal["breaker.opened"] = "breaker.opened"
    name: str
    reason: str
    until: float | None = None
    recovery: float = 0.0
    failures: int = 0
    settings: str = ""


class BreakerHalfOpened(Fact):
    """A few calls may show whether it is well again.

    Attributes:
        name: Whose breaker.
        probes: How many.
    """

    type: Literal["breaker.half_opened"] = "breaker.half_opened"
    name: str
    probes: int = 1


class BreakerClosed(Fact):
    """Calls go to it as before.

    Attributes:
        name: Whose breaker.
        reason: `answered`, `reset` or `settings` (they have changed).
    """

    type: Literal["breaker.closed"] = "breaker.closed"
    name: str
    reason: str = "answered"


class EndpointDrained(Fact):
    """Somebody wants no further calls to go to an endpoint; those in flight end."""

    type: Literal["endpoint.drained"] = "endpoint.drained"
    id: str
    endpoint: str
    reason: str = ""


class EndpointRestored(Fact):
    """Calls may go to a drained endpoint again."""

    type: Literal["endpoint.restored"] = "endpoint.restored"
    id: str
    endpoint: str
