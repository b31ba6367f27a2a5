"""Routing: groups of echelons, pools of groups, with limits, breakers and fallbacks.

A `Router` is made once from a configuration and shared. It can be used alone, or be given to an engine, in which models are then
named `group:fast` or `pool:all`.
"""

from midstream.adapters.routing.config import RoutingConfig
from midstream.adapters.routing.group import GroupAdapter
from midstream.adapters.routing.health import Health
from midstream.adapters.routing.loading import Loaded, load
from midstream.adapters.routing.router import Answer, Router
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
