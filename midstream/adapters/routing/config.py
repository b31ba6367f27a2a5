"""What can be written in a configuration: endpoints, groups of echelons, and pools of groups.

Key names are those of the LLM wrapper layers that users come from; where two names are common, both are taken. Whatever is
not known is refused, with the nearest name that is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)
from pydantic_core import PydanticCustomError

from midstream.adapters.routing.guessing import guess
from midstream.adapters.routing.kinds import Kind

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\s*")
_ENV_NAME = re.compile(r"[A-Z_][A-Z0-9_]*")
_PLACE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")
_ECHELON = re.compile(r"echelon[_-]?(\d+)")

ROTATIONS = ("round_robin", "least_loaded", "weighted", "fastest")
GROUP_FALLBACKS = ("echelon_down", "task_group_switch", "provider_failover")
POOL_FALLBACKS = ("instance_rotation", "simple_retry")


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    found = _DURATION.fullmatch(value)
    if found is None:
        raise PydanticCustomError(
            "duration", "must be seconds, or a text such as '10s', '500ms', '5m', '1h'"
        )
    return float(found[1]) * _UNITS[found[2] or "s"]


def _share(value: object) -> object:
    if isinstance(value, str) and value.strip().endswith("%"):
        return float(value.strip().rstrip("%")) / 100
    return value


def _key_name(value: str) -> str:
    if not _ENV_NAME.fullmatch(value):  # the value is not shown: it may be a key
        raise PydanticCustomError(
            "key_name",
            "must be the NAME of an environment variable, in capitals, and never a key itself",
        )
    return value


def _named(known: tuple[str, ...], what: str) -> AfterValidator:
    def check(value: str) -> str:
        if value not in known and not _PLACE.fullmatch(value):
            raise PydanticCustomError(
                "strategy",
                "no {what} is named '{value}'; {known}; or name your own as 'package.module:name'",
                {"what": what, "value": value, "known": guess(value, known)},
            )
        return value

    return AfterValidator(check)


Seconds = Annotated[float, BeforeValidator(_seconds), Field(ge=0, allow_inf_nan=False)]
"""Seconds, or a text such as `10s` or `5m`."""

Share = Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)]
"""A number from 0 to 1, or a text such as `5%`."""

RotationName = Annotated[str, _named(ROTATIONS, "rotation strategy")]
"""How the members of a pool take turns, or `package.module:name`."""

Limit = Annotated[int, Field(gt=0)]
"""A whole number of at least 1."""


ALIASES: Mapping[str, str] = {
    "rpm_limit": "rpm",
    "tpm_limit": "tpm",
    "concurrency_limit": "concurrency",
    "models": "endpoints",
    "task_groups": "groups",
    "polling_pools": "pools",
}
"""Keys that have two names, both of which are taken."""


def _either(name: str) -> AliasChoices:
    """Return both names of a key."""
    return AliasChoices(name, ALIASES.get(name) or next(k for k, v in ALIASES.items() if v == name))


class Strict(BaseModel):
    """A frozen section; keys that are not known are refused, with the ones that are."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        populate_by_name=True,
        protected_namespaces=(),
        defer_build=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _known(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            known = cls.known()
            for key in data:  # pyright: ignore[reportUnknownVariableType]  # what a file says
                if key not in known:
                    raise PydanticCustomError(
                        "unknown_key",
                        "unknown key '{key}'; {known}",
                        {"key": str(key), "known": guess(str(key), known)},  # pyright: ignore[reportUnknownArgumentType]
                    )
        return data  # pyright: ignore[reportUnknownVariableType]  # validated next

    @classmethod
    def known(cls) -> tuple[str, ...]:
        """Return the keys it takes."""
        names: list[str] = []
        for name, info in cls.model_fields.items():
            names.append(name)
            if isinstance(info.validation_alias, AliasChoices):
                names += [str(choice) for choice in info.validation_alias.choices]
        return tuple(dict.fromkeys(names))


class TimeoutConfig(Strict):
    """How long one call may take, in seconds; a number alone stands for `total`.

    Attributes:
        connect: Until the provider has taken the request.
        first_token: Until the first piece of an answer; the answer is then streamed.
        idle: Between two pieces; the answer is then streamed.
        total: Until the whole answer.
    """

    connect: Seconds | None = None
    first_token: Seconds | None = None
    idle: Seconds | None = None
    total: Seconds | None = None


def _timeout(value: object) -> object:
    return {"total": value} if isinstance(value, int | float | str) else value


Timeouts = Annotated[TimeoutConfig, BeforeValidator(_timeout)]
"""A section, or a number for its `total`."""


class Asking(Strict):
    """What endpoints and echelons have in common: how to ask. A request's own settings win, then the echelon's.

    Attributes:
        timeout: How long a call may take.
        max_retries: How often the same endpoint is asked again at once before others are.
        temperature: See `midstream.adapters.base.Settings`.
        max_tokens: Of an answer.
        settings: Any other setting.
    """

    timeout: Timeouts | None = None
    max_retries: Annotated[int, Field(ge=0)] | None = None
    temperature: float | None = None
    max_tokens: Limit | None = None
    settings: Mapping[str, JsonValue] = Field(default_factory=dict)


class EndpointConfig(Asking):
    """A key, a model and a place: what fails, is limited and is priced as one.

    Attributes:
        name: Its name; where it is a section, the section's name.
        description: For people.
        model: As `openai:gpt-4o`.
        key_env: The name of the environment variable that holds the key; None takes the provider's usual one.
        base_url: The server; None takes the provider's own.
        rpm: Requests in any minute.
        tpm: Tokens in any minute.
        concurrency: Calls at the same time.
        weight: For `weighted`.
        context_window: In tokens, where it is not the model's.
    """

    name: str | None = None
    description: str = ""
    model: str
    key_env: Annotated[str, AfterValidator(_key_name)] | None = None
    base_url: str | None = None
    rpm: Limit | None = Field(default=None, validation_alias=_either("rpm"))
    tpm: Limit | None = Field(default=None, validation_alias=_either("tpm"))
    concurrency: Limit | None = Field(default=None, validation_alias=_either("concurrency"))
    weight: Annotated[float, Field(gt=0)] = 1.0
    context_window: Limit | None = None


class EchelonConfig(Asking):
    """Endpoints that are tried together.

    Attributes:
        name: Its name in the group; None takes the key, or `echelon` and its place.
        models: Models or endpoints, by name.
        concurrency_limit: Calls at the same time, of all its endpoints together.
        rpm_limit: Requests in any minute, of all its endpoints together.
        tpm_limit: Tokens in any minute, of all its endpoints together.
        priority: The lowest is tried first; None keeps the order of the file.
        rotation_strategy: How its endpoints take turns; None takes the group's.
    """

    name: str | None = None
    models: tuple[str, ...] = Field(min_length=1, validation_alias=_either("models"))
    concurrency_limit: Limit | None = Field(
        default=None, validation_alias=_either("concurrency_limit")
    )
    rpm_limit: Limit | None = Field(default=None, validation_alias=_either("rpm_limit"))
    tpm_limit: Limit | None = Field(default=None, validation_alias=_either("tpm_limit"))
    priority: int | None = None
    rotation_strategy: RotationName | None = None


class BreakerConfig(Strict):
    """When an endpoint gets a rest.

    Attributes:
        failure_threshold: Failures in a row that open it.
        recovery_time: Seconds until it is probed; doubled each time that the probe fails.
        half_open_requests: How many calls may probe it.
        max_recovery_time: What doubling does not go beyond.
    """

    failure_threshold: Limit = 5
    recovery_time: Seconds = 30.0
    half_open_requests: Limit = 1
    max_recovery_time: Seconds = 600.0


class FallbackConfig(Strict):
    """Where a group goes when an endpoint fails or has no room.

    Attributes:
        strategy: `echelon_down`, `task_group_switch`, `provider_failover`, or `package.module:name`.
        fallback_groups: Groups, or echelons of groups as `fast.echelon2`.
        max_attempts: Calls for one request; None for as many as the deadline allows.
        retry_delay: Seconds before an endpoint that failed is asked again in the same request, doubled each time.
        circuit_breaker: When its endpoints get a rest; None takes the configuration's `breaker`.
    """

    strategy: Annotated[str, _named(GROUP_FALLBACKS, "fallback strategy")] = "echelon_down"
    fallback_groups: tuple[str, ...] = ()
    max_attempts: Limit | None = None
    retry_delay: Seconds = 0.5
    circuit_breaker: BreakerConfig | None = None


class HedgeConfig(Strict):
    """Asking a second endpoint where the first one is late with its first token.

    Attributes:
        after: Seconds, or `p95`: of the endpoint's own times until the first token, once 20 are known.
        extra_calls: The share of calls that may be hedged.
    """

    after: Literal["p95"] | Seconds = "p95"
    extra_calls: Share = 0.05


class GroupConfig(Strict):
    """A task group: what code names, and who answers for it.

    Attributes:
        name: Its name; where it is a section, the section's name.
        description: For people.
        echelons: In the order in which they are tried; a list, a mapping, or keys `echelon1`, `echelon2`, ….
        rotation_strategy: How the endpoints of an echelon take turns.
        fallback_config: Where it goes when somebody fails.
        fall_on: Kinds of failure on which others are asked, beside those on which they always are.
        stick_to: `run`: whoever answered a run is asked again by it while that is possible.
        hedge: None for never.
        on_break: What to do when a stream breaks after its first piece: begin anew, or fail.
    """

    name: str | None = None
    description: str = ""
    echelons: tuple[EchelonConfig, ...] = Field(min_length=1)
    rotation_strategy: RotationName = "round_robin"
    fallback_config: FallbackConfig = FallbackConfig()
    fall_on: tuple[Kind, ...] = ()
    stick_to: Literal["run", "none"] = "run"
    hedge: HedgeConfig | None = None
    on_break: Literal["restart", "fail"] = "restart"

    @model_validator(mode="before")
    @classmethod
    def _echelons(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given: dict[str, Any] = dict(data)  # pyright: ignore[reportUnknownArgumentType]  # what a file says
        numbered = [key for key in given if _ECHELON.fullmatch(str(key))]
        listed = given.get("echelons")
        if isinstance(listed, Mapping):
            given["echelons"] = [_with_name(name, one) for name, one in listed.items()]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        elif numbered and listed is None:
            numbered.sort(key=lambda key: int(_ECHELON.fullmatch(key)[1]))  # type: ignore[index]  # it matched
            given["echelons"] = [_with_name(key, given.pop(key)) for key in numbered]
        return given

    @model_validator(mode="after")
    def _distinct(self) -> GroupConfig:
        names = [echelon.name for echelon in self.echelons if echelon.name]
        for name in names:
            if names.count(name) > 1:
                raise PydanticCustomError(
                    "twice", "two echelons are named '{name}'; rename one", {"name": name}
                )
        return self


def _with_name(name: object, section: object) -> object:
    return {"name": str(name), **section} if isinstance(section, Mapping) else section  # pyright: ignore[reportUnknownVariableType]


class PoolFallbackConfig(Strict):
    """Where a pool goes when an instance fails.

    Attributes:
        strategy: `instance_rotation`: the next instance; `simple_retry`: the same one, or `package.module:name`.
        max_instance_attempts: Of `instance_rotation`, instances for one request; of `simple_retry`, calls to the same one.
        retry_delay: Seconds before an endpoint that failed is asked again in the same request, doubled each time.
    """

    strategy: Annotated[str, _named(POOL_FALLBACKS, "fallback strategy")] = "instance_rotation"
    max_instance_attempts: Limit | None = None
    retry_delay: Seconds = 0.5


class PoolConfig(Strict):
    """A polling pool: groups that take turns.

    Attributes:
        name: Its name; where it is a section, the section's name.
        description: For people.
        task_groups: Its instances: groups, or echelons of groups.
        rotation_strategy: How they take turns.
        weights: For `weighted`, by instance; 1 where nothing is said.
        health_check_interval: Seconds between two looks at endpoints that are not well; None for none.
        health_check: How to look, as `package.module:name`; None makes the cheapest call.
        failure_threshold: Failures in a row that give an instance a rest; None for never.
        recovery_time: Seconds until it is probed.
        fallback_config: Where to go when an instance fails.
    """

    name: str | None = None
    description: str = ""
    task_groups: tuple[str, ...] = Field(min_length=1, validation_alias=_either("task_groups"))
    rotation_strategy: RotationName = "round_robin"
    weights: Mapping[str, Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    health_check_interval: Seconds | None = None
    health_check: Annotated[str, _named((), "health check")] | None = None
    failure_threshold: Limit | None = None
    recovery_time: Seconds = 30.0
    fallback_config: PoolFallbackConfig = PoolFallbackConfig()


class RoutingConfig(Strict):
    """A whole configuration.

    Attributes:
        model: The model of runs that name none, such as `group:fast`.
        endpoints: By name.
        groups: By name.
        pools: By name.
        breaker: When endpoints get a rest, where their group does not say.
        policies: Migration policies, see `midstream.engine.policies.policy`.
    """

    model: str = ""
    endpoints: Mapping[str, EndpointConfig] = Field(default_factory=dict)
    groups: Mapping[str, GroupConfig] = Field(
        default_factory=dict, validation_alias=_either("groups")
    )
    pools: Mapping[str, PoolConfig] = Field(default_factory=dict, validation_alias=_either("pools"))
    breaker: BreakerConfig = BreakerConfig()
    policies: tuple[Mapping[str, JsonValue], ...] = ()
