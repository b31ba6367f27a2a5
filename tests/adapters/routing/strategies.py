"""Strategies of a user's own, ten lines each."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.adapters.base import Adapter
from midstream.adapters.routing import Member, Place
from midstream.events.routing_facts import Tried


class LastFirst:
    """From the end to the beginning."""

    def order(self, members: Sequence[Member], turn: int) -> Sequence[str]:
        return [member.name for member in reversed(members)]


class NeverTwo:
    """Nobody whose name ends in 2."""

    def order(self, places: Sequence[Place], tried: Sequence[Tried]) -> Sequence[Place]:
        return [place for place in places if not place.endpoint.endswith("2")]


class AlwaysWell:
    """Everybody is well."""

    looked: list[str] = []  # noqa: RUF012  # for the test to look at

    async def check(self, model: str, adapter: Adapter) -> bool:
        self.looked.append(model)
        return True
