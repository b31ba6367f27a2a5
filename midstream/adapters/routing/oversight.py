"""Watching over endpoints: what was counted, how they are, and taking one out or letting it back in."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

from midstream.adapters.routing.health import Health, of_endpoint
from midstream.adapters.routing.ledger import Ledger
from midstream.adapters.routing.route import Endpoint
from midstream.adapters.routing.state import RoutingState
from midstream.adapters.routing.statistics import Tally, Turning, prometheus
from midstream.adapters.routing.table import Table
from midstream.events.fact import Fact
from midstream.events.routing_facts import (
    BreakerClosed,
    EndpointDrained,
    EndpointRestored,
    RouteReset,
)


class Oversight:
    """What a `Router` says of its endpoints, and what can be said to it.

    Args:
        table: The configuration, resolved.
        ledger: What is known.
    """

    def __init__(self, table: Table, ledger: Ledger) -> None:
        self.table = table
        self.ledger = ledger

    @property
    def state(self) -> RoutingState:
        """What is known of the endpoints; only to be looked at."""
        return self.ledger.state

    @property
    def history(self) -> tuple[Turning, ...]:
        """The newest changes of breakers, in order."""
        return tuple(self.ledger.statistics.history)

    def stats(self, name: str | None = None) -> Mapping[str, Tally]:
        """Return what was counted, by name: `endpoint:eu`, `echelon:fast.echelon1`, `group:fast`, `pool:all`.

        Args:
            name: Only of this one, and of what it is made of; None for all.
        """
        found = self.ledger.statistics.tallies
        if name is None:
            return dict(found)
        route = self.table.route(name)
        stages = [stage for instance in route.instances for stage in instance.stages]
        names = {name, *(f"echelon:{stage.name}" for stage in stages)}
        names |= {f"endpoint:{one.name}" for stage in stages for one in stage.endpoints}
        return {key: tally for key, tally in found.items() if key in names}

    async def reset_stats(self, name: str = "") -> None:
        """Let the counting start from zero, for all who share the store; recorded.

        Args:
            name: Whose, as in `stats`; empty for all.
        """
        await self._say(RouteReset(id=uuid.uuid4().hex, target=name))

    def health(self, target: str | None = None) -> tuple[Health, ...]:
        """Return how endpoints are.

        Args:
            target: Only those that may be asked for it; None for all.
        """
        endpoints = self._endpoints(target)
        now = self.ledger.at() / 1_000_000
        return tuple(of_endpoint(self.ledger.state, one, now) for one in endpoints)

    def _endpoints(self, target: str | None) -> tuple[Endpoint, ...]:
        if target is None:
            return tuple(self.table.endpoints.values())
        stages = [one for instance in self.table.route(target).instances for one in instance.stages]
        found = {endpoint.name: endpoint for stage in stages for endpoint in stage.endpoints}
        return tuple(found.values())

    def prometheus(self) -> str:
        """Return what was counted in the text format of Prometheus."""
        statuses = {name: breaker.status for name, breaker in self.ledger.state.breakers.items()}
        return prometheus(self.ledger.statistics, statuses)

    async def drain(self, endpoint: str, *, reason: str = "") -> None:
        """Let no further calls go to an endpoint, whoever makes them; recorded.

        Raises:
            ConfigError: There is no such endpoint.
        """
        self._known(endpoint)
        await self._say(EndpointDrained(id=uuid.uuid4().hex, endpoint=endpoint, reason=reason))

    async def restore(self, endpoint: str) -> None:
        """Let calls go to a drained endpoint again; recorded.

        Raises:
            ConfigError: There is no such endpoint.
        """
        self._known(endpoint)
        await self._say(EndpointRestored(id=uuid.uuid4().hex, endpoint=endpoint))

    async def reset(self, endpoint: str) -> None:
        """Close the breaker of an endpoint, and restore it where it is drained; recorded.

        Raises:
            ConfigError: There is no such endpoint.
        """
        self._known(endpoint)
        await self._say(
            BreakerClosed(name=f"endpoint:{endpoint}", reason="reset"),
            EndpointRestored(id=uuid.uuid4().hex, endpoint=endpoint),
        )

    def _known(self, endpoint: str) -> None:
        self.table.route(f"endpoint:{endpoint}")

    async def _say(self, *facts: Fact) -> None:
        self.ledger.add(facts)
        await self.ledger.flush()
