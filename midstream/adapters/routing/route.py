"""What a configuration comes to: endpoints, echelons, groups and pools, as the rest of routing knows them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from midstream.adapters.routing.config import (
    Asking,
    BreakerConfig,
    HedgeConfig,
    TimeoutConfig,
)
from midstream.adapters.routing.strategies import Fallback, HealthCheck, Rotation

_NO_TIMES = TimeoutConfig()
_BREAKER = BreakerConfig()


@dataclass(frozen=True, slots=True)
class Limits:
    """What may be asked of somebody; None for anything.

    Attributes:
        concurrency: Calls at the same time.
        rpm: Requests in any minute.
        tpm: Tokens in any minute.
    """

    concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None

    def __bool__(self) -> bool:
        return (self.concurrency or self.rpm or self.tpm) is not None


@dataclass(frozen=True, slots=True)
class Manner:
    """How to ask: what an endpoint, an echelon or a request says of it.

    Attributes:
        timeout: How long a call may take.
        max_retries: How often the same endpoint is asked again at once.
        settings: See `midstream.adapters.base.Settings`.
    """

    timeout: TimeoutConfig = _NO_TIMES
    max_retries: int | None = None
    settings: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])

    def over(self, below: Manner) -> Manner:
        """Return this manner, with what it does not say taken from `below`."""
        times = {
            **below.timeout.model_dump(exclude_none=True),
            **self.timeout.model_dump(exclude_none=True),
        }
        retries = below.max_retries if self.max_retries is None else self.max_retries
        return Manner(TimeoutConfig(**times), retries, {**below.settings, **self.settings})


def manner(section: Asking) -> Manner:
    """Return what a section of the configuration says of how to ask."""
    said = {"temperature": section.temperature, "max_tokens": section.max_tokens}
    settings = {name: value for name, value in said.items() if value is not None}
    timeout = section.timeout or TimeoutConfig()
    return Manner(timeout, section.max_retries, {**section.settings, **settings})


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A key, a model and a place.

    Attributes:
        name: Its name.
        provider: Of its model.
        model: Without the provider.
        key_env: Where its key is, or None.
        base_url: Its server, or None.
        limits: Its own.
        weight: For `weighted`.
        context_window: Where it is configured.
        manner: How to ask it.
        digest: Of its settings: a breaker that waits for other settings sees by it that they are other ones.
    """

    name: str
    provider: str
    model: str
    key_env: str | None = None
    base_url: str | None = None
    limits: Limits = field(default_factory=lambda: Limits())
    weight: float = 1.0
    context_window: int | None = None
    manner: Manner = field(default_factory=lambda: Manner())
    digest: str = ""

    @property
    def full_model(self) -> str:
        """As `openai:gpt-4o`."""
        return f"{self.provider}:{self.model}"


@dataclass(frozen=True, slots=True)
class Rules:
    """What a group says of failures.

    Attributes:
        breaker: When its endpoints get a rest.
        fall_on: Kinds of failure on which others are asked, beside the usual ones.
        retry_delay: Seconds before an endpoint that failed is asked again.
        hedge: See `HedgeConfig`.
        restart: A stream that breaks after its first piece begins anew.
        sticky: Whoever answered a run is asked again by it.
    """

    breaker: BreakerConfig = _BREAKER
    fall_on: frozenset[str] = frozenset()
    retry_delay: float = 0.5
    hedge: HedgeConfig | None = None
    restart: bool = True
    sticky: bool = True


@dataclass(frozen=True, slots=True)
class Stage:
    """An echelon.

    Attributes:
        name: As `fast.echelon1`.
        group: Its group.
        endpoints: In the order of the configuration.
        limits: Of all of them together.
        rotation: How they take turns.
        manner: How to ask them.
        own: Its group is the one that was asked for.
    """

    name: str
    group: str
    endpoints: tuple[Endpoint, ...]
    limits: Limits
    rotation: Rotation
    manner: Manner = field(default_factory=lambda: Manner())
    own: bool = True


@dataclass(frozen=True, slots=True)
class Instance:
    """A group as it is asked for, alone or in a pool.

    Attributes:
        name: As `fast` or `fast.echelon2`.
        stages: Its own, then those to fall back to.
        fallback: In which order.
        rules: What its group says of failures.
        weight: In the pool.
        max_attempts: Calls for one request, or None.
    """

    name: str
    stages: tuple[Stage, ...]
    fallback: Fallback
    rules: Rules = field(default_factory=lambda: Rules())
    weight: float = 1.0
    max_attempts: int | None = None


@dataclass(frozen=True, slots=True)
class Route:
    """Who may be asked for a name.

    Attributes:
        target: As `group:fast`.
        instances: One for a group, several for a pool.
        rotation: How they take turns.
        pool: The pool's name, or empty.
        breaker: When an instance gets a rest, or None.
        strategy: Of the pool: which instance comes after one that failed; None for the next one.
        patience: Calls to one instance before the next one is asked.
        max_instances: Instances for one request, or None.
        retry_delay: Of the pool, or None.
    """

    target: str
    instances: tuple[Instance, ...]
    rotation: Rotation
    pool: str = ""
    breaker: BreakerConfig | None = None
    strategy: Fallback | None = None
    patience: int = 1
    max_instances: int | None = None
    retry_delay: float | None = None

    @property
    def max_attempts(self) -> int | None:
        """Calls for one request, or None for as many as the deadline allows."""
        each = [instance.max_attempts for instance in self.instances]
        return None if None in each else sum(one or 0 for one in each)

    @property
    def rules(self) -> Rules:
        """Those of its first group."""
        return self.instances[0].rules


@dataclass(frozen=True, slots=True)
class Checking:
    """How a pool looks after endpoints that are not well."""

    pool: str
    interval: float
    endpoints: tuple[Endpoint, ...]
    check: HealthCheck | None
