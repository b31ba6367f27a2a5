"""An engine's configuration: its router over the engine's store, and the policies that are written there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from midstream.adapters.base import Adapter
from midstream.adapters.registry import KNOWN
from midstream.adapters.routing import Loaded, Router, RoutingConfig
from midstream.engine.clock import Clock
from midstream.engine.policies.policy import Policy
from midstream.engine.policies.reading import policies_of
from midstream.engine.providers import Providers
from midstream.engine.requests.asking import Pricing
from midstream.events.codec import Redact
from midstream.events.payloads import Usage
from midstream.events.store import EventStore

RouterConfig: TypeAlias = str | Path | Router | RoutingConfig | Loaded | Mapping[str, Any]
"""A file or a folder, plain data, a configuration, or a router that stays the caller's."""


async def open_router(
    config: RouterConfig,
    store: EventStore,
    providers: Providers,
    pricing: Pricing,
    clock: Clock,
    redact: Redact | None = None,
) -> Router:
    """Return a router over the engine's store, with the engine's adapters and prices; a given router is returned as it is.

    Raises:
        ConfigError: The configuration cannot be read, or is wrong.
    """
    if isinstance(config, Router):
        return config

    def price(provider: str, model: str, usage: Usage, at: float) -> str | None:
        found = pricing(provider, model, usage, at)
        return None if found is None else found.amount

    options: dict[str, Any] = {
        "store": store,
        "adapters": _adapters(providers),
        "clock": clock,
        "price": price,
        "redact": redact,
    }
    if isinstance(config, str | Path):
        router = Router.load(config, **options)
    else:
        router = Router(config, **options)
    await router.__aenter__()
    return router


def _adapters(providers: Providers) -> Mapping[str, Adapter]:
    """Return the adapters that the engine was given; where answers are scripted, endpoints are, too."""
    given = dict(providers.given)
    if providers.scripted:
        names = (*KNOWN, *(name.partition(":")[0] for name in providers.scripts))
        given |= {name: providers.adapter(f"{name}:any")[0] for name in names}
    return given


def policies_in(router: Router) -> tuple[Policy, ...]:
    """Return the policies that a router's configuration holds.

    Raises:
        ConfigError: One of them is wrong.
    """
    return policies_of(router.table.config.policies, "the configuration")


def default_model(router: Router | None) -> str:
    """Return the model that a router's configuration names for runs that name none, or an empty text."""
    return "" if router is None else router.table.config.model
