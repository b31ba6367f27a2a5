"""What a user can bring: how members take turns, where to go when one fails, and how to see whether one is well.

A strategy is named in the configuration as `package.module:name`; what stands there is an object, or a class that is made
without arguments. Rotations and fallbacks are pure: the same arguments give the same order, or a replay would differ.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Protocol

from midstream.adapters.base import Adapter
from midstream.errors import ConfigError
from midstream.events.routing_facts import Tried


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody whose turn it may be.

    Attributes:
        name: An endpoint's, or a pool's instance's.
        weight: As configured.
        load: Calls in flight.
        room: Calls it may have in flight; None for any number.
        seconds: How long its answers took of late; None where it has not answered.
    """

    name: str
    weight: float = 1.0
    load: int = 0
    room: int | None = None
    seconds: float | None = None


class Rotation(Protocol):
    """How members take turns."""

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        """Return the names in the order in which they are to be tried; whoever is left out comes last.

        Args:
            members: In the order of the configuration.
            turn: How many calls have been placed among them so far.
        """
        ...


@dataclass(frozen=True, slots=True)
class Place:
    """One endpoint in one echelon: who may be asked.

    Attributes:
        endpoint: Its name.
        provider: Of its model.
        stage: The echelon, as `fast.echelon1`.
        group: The echelon's group.
        own: The group is the one that was asked for, and not one to fall back to.
        instance: Of the pool, or the group.
    """

    endpoint: str
    provider: str
    stage: str
    group: str
    own: bool
    instance: str


class Fallback(Protocol):
    """Where to go when somebody fails."""

    def order(self, places: Sequence[Place], tried: Sequence[Tried]) -> Sequence[Place]:
        """Return the places in the order in which they are to be tried; whoever is left out is not asked.

        Args:
            places: As the configuration and the rotation have them.
            tried: The attempts of this request that failed, in order.
        """
        ...


class HealthCheck(Protocol):
    """How to see whether an endpoint is well."""

    async def check(self, model: str, adapter: Adapter) -> bool:
        """Say whether it is; an exception counts as no.

        Args:
            model: Without the provider.
            adapter: To ask it with.
        """
        ...


class RoundRobin:
    """One after the other."""

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        """See `Rotation.order`."""
        names = [member.name for member in members]
        start = turn % len(names)
        return [*names[start:], *names[:start]]


class LeastLoaded:
    """Whoever has the smallest part of its room taken; those with the same part take turns."""

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        """See `Rotation.order`."""
        most = max((member.room or 0 for member in members), default=0) or 1
        load = {member.name: member.load / (member.room or most) for member in members}
        return sorted(RoundRobin().order(members, turn), key=lambda name: load[name])


class Weighted:
    """In proportion to the weights, spread evenly.

    Source: smooth weighted round-robin, as in nginx: each turn adds its weight to everybody's account, and whoever has
    most pays the sum of all.
    """

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        """See `Rotation.order`."""
        least = min(member.weight for member in members)
        weights = [max(1, round(member.weight / least)) for member in members]
        accounts = [0] * len(members)
        chosen = 0
        for _ in range(turn % sum(weights) + 1):
            accounts = [have + gain for have, gain in zip(accounts, weights, strict=True)]
            chosen = max(range(len(members)), key=accounts.__getitem__)
            accounts[chosen] -= sum(weights)
        by_account = sorted(range(len(members)), key=lambda place: -accounts[place])
        return [members[place].name for place in (chosen, *by_account)]


class Fastest:
    """Whoever answered quickest of late; who has not answered yet is tried first, and every 20th turn goes round."""

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        """See `Rotation.order`."""
        if turn % 20 == 19:  # or whoever was slow once would never be asked again
            return RoundRobin().order(members, turn // 20)
        seconds = {member.name: member.seconds or 0.0 for member in members}
        return sorted((member.name for member in members), key=seconds.__getitem__)


class EchelonDown:
    """The echelons of the group from top to bottom, then the groups to fall back to."""

    def order(self, places: Sequence[Place], tried: Sequence[Tried]) -> Sequence[Place]:
        """See `Fallback.order`."""
        return places


class TaskGroupSwitch:
    """The first echelon, then the groups to fall back to, then the other echelons."""

    def order(self, places: Sequence[Place], tried: Sequence[Tried]) -> Sequence[Place]:
        """See `Fallback.order`."""
        first = places[0].stage if places else ""
        return sorted(
            places, key=lambda place: (place.stage != first) + (place.own and place.stage != first)
        )


class ProviderFailover:
    """Once a provider has failed, everybody of other providers first."""

    def order(self, places: Sequence[Place], tried: Sequence[Tried]) -> Sequence[Place]:
        """See `Fallback.order`."""
        asked = {one.endpoint for one in tried}
        failed = {place.provider for place in places if place.endpoint in asked}
        return sorted(places, key=lambda place: place.provider in failed)


ROTATIONS: Mapping[str, Rotation] = {
    "round_robin": RoundRobin(),
    "least_loaded": LeastLoaded(),
    "weighted": Weighted(),
    "fastest": Fastest(),
}
FALLBACKS: Mapping[str, Fallback] = {
    "echelon_down": EchelonDown(),
    "task_group_switch": TaskGroupSwitch(),
    "provider_failover": ProviderFailover(),
}


def rotation(name: str) -> Rotation:
    """Return a rotation by its name, or the user's own.

    Raises:
        ConfigError: There is none.
    """
    found: Rotation = ROTATIONS[name] if name in ROTATIONS else brought(name, "order")
    return found


def fallback(name: str) -> Fallback:
    """Return a fallback by its name, or the user's own.

    Raises:
        ConfigError: There is none.
    """
    found: Fallback = FALLBACKS[name] if name in FALLBACKS else brought(name, "order")
    return found


def class_at(name: str) -> Any:
    """Return what stands at `package.module:name`, as it is.

    Raises:
        ConfigError: It is not there.
    """
    module, _, attribute = name.partition(":")
    try:
        return getattr(import_module(module), attribute)
    except Exception as error:  # the user's module may raise anything when it is imported
        raise ConfigError(
            f"strategy {name!r} cannot be had: {type(error).__name__}: {error}; write it as 'package.module:name'"
        ) from error


def brought(name: str, method: str) -> Any:
    """Return what stands at `package.module:name`, made without arguments where it is a class.

    Raises:
        ConfigError: It is not there, cannot be made, or has no such method.
    """
    found = class_at(name)
    try:
        made = found() if isinstance(found, type) else found
    except Exception as error:  # the user's module may raise anything when it is imported or made
        raise ConfigError(
            f"strategy {name!r} cannot be had: {type(error).__name__}: {error}; "
            "name an object, or a class that needs no arguments, as 'package.module:name'"
        ) from error
    if not callable(getattr(made, method, None)):
        raise ConfigError(
            f"strategy {name!r} has no method {method!r}; see midstream.adapters.routing.strategies"
        )
    return made
