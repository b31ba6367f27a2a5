"""Routing: groups of echelons, pools of groups, with limits, breakers and fallbacks.

A `Router` is made once from a configuration and shared. It can be used alone, or be given to an engine, in which models are then
named `group:fast` or `pool:all`.
"""

from typing import TYPE_CHECKING

from midstream.lazily import lazily

if TYPE_CHECKING:
    from midstream.adapters.routing.answers import Answer
    from midstream.adapters.routing.config import RoutingConfig
    from midstream.adapters.routing.group import GroupAdapter
    from midstream.adapters.routing.health import Health
    from midstream.adapters.routing.loading import Loaded, load
    from midstream.adapters.routing.router import Router
    from midstream.adapters.routing.strategies import (
        Fallback,
        HealthCheck,
        Member,
        Place,
        Rotation,
    )

__all__ = [
    "Answer",
    "Fallback",
    "GroupAdapter",
    "Health",
    "HealthCheck",
    "Loaded",
    "Member",
    "Place",
    "Rotation",
    "Router",
    "RoutingConfig",
    "load",
]

_PLACES = {
    "Answer": "answers",
    "GroupAdapter": "group",
    "Health": "health",
    "Loaded": "loading",
    "Router": "router",
    "RoutingConfig": "config",
    "load": "loading",
}


if not TYPE_CHECKING:  # a checker would take any name for one that exists
    # an engine without groups has no use for it
    __getattr__ = lazily(globals(), dict.fromkeys(__all__, "strategies") | _PLACES)
