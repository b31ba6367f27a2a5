"""From a configuration to who may be asked for a name: everything resolved, nothing looked up later."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from hashlib import sha256

from midstream.adapters.registry import KNOWN
from midstream.adapters.routing.config import (
    BreakerConfig,
    EchelonConfig,
    EndpointConfig,
    GroupConfig,
    PoolConfig,
    RoutingConfig,
)
from midstream.adapters.routing.guessing import guess
from midstream.adapters.routing.loading import echelon_names
from midstream.adapters.routing.route import (
    Checking,
    Endpoint,
    Instance,
    Limits,
    Route,
    Rules,
    Stage,
    manner,
)
from midstream.adapters.routing.strategies import (
    HealthCheck,
    brought,
    fallback,
    rotation,
)
from midstream.errors import ConfigError

_VENDORS = (
    (re.compile(r"(gpt-|o\d|chatgpt-|ft:gpt)"), "openai"),
    (re.compile(r"claude-"), "anthropic"),
    (re.compile(r"gemini-"), "gemini"),
)
"""Whose a model is by its name, where the configuration does not say."""


class Table:
    """A configuration with all names resolved.

    Args:
        config: What it says.
        providers: The providers there are.

    Raises:
        ConfigError: A model's provider is not known, a strategy cannot be had, a group falls back to nobody new.
    """

    def __init__(self, config: RoutingConfig, providers: Collection[str] = tuple(KNOWN)) -> None:
        self.config = config
        self.endpoints: dict[str, Endpoint] = {}
        self._providers = tuple(providers)
        for name, section in config.endpoints.items():
            self.endpoints[name] = self._endpoint(name, section, f"endpoints.{name}.model")
        self._stages = {name: self._group(name, one) for name, one in config.groups.items()}
        self._routes: dict[str, Route] = {}
        for name in config.groups:
            self.route(f"group:{name}")
        for name in config.pools:
            self.route(f"pool:{name}")

    def names(self) -> tuple[str, ...]:
        """Return all targets that are configured."""
        return (
            *(f"group:{name}" for name in self.config.groups),
            *(f"pool:{name}" for name in self.config.pools),
        )

    def handles(self, target: str) -> bool:
        """Say whether a model's name is a group, a pool, an endpoint, or the model of an endpoint."""
        kind = target.partition(":")[0]
        configured = any(one.full_model == target for one in self.endpoints.values())
        return kind in ("group", "pool", "endpoint") or configured

    def route(self, target: str) -> Route:
        """Return who may be asked for a name.

        Args:
            target: `group:NAME`, `group:NAME.ECHELON`, `pool:NAME`, `endpoint:NAME`, or `provider:model`.

        Raises:
            ConfigError: There is no such name.
        """
        found = self._routes.get(target)
        if found is None:
            found = self._routes[target] = self._route(target)
        return found

    def _route(self, target: str) -> Route:
        kind, _, name = target.partition(":")
        if kind == "group":
            return Route(target, (self._instance(name),), rotation("round_robin"))
        if kind == "pool":
            return self._pool(name)
        if kind == "endpoint":
            if name not in self.endpoints:
                raise ConfigError(
                    f"no endpoint is named {name!r}; {guess(name, tuple(self.endpoints))}"
                )
            members: tuple[Endpoint, ...] = (self.endpoints[name],)
        else:
            members = self._of_model(target)
        rules = Rules(breaker=self.config.breaker)
        stage = Stage(target, target, members, Limits(), rotation("round_robin"))
        instance = Instance(target, (stage,), fallback("echelon_down"), rules)
        return Route(target, (instance,), rotation("round_robin"))

    def _of_model(self, target: str) -> tuple[Endpoint, ...]:
        configured = tuple(one for one in self.endpoints.values() if one.full_model == target)
        return configured or (self._implicit(target, "model"),)

    def _pool(self, name: str) -> Route:
        section: PoolConfig | None = self.config.pools.get(name)
        if section is None:
            raise ConfigError(f"no pool is named {name!r}; {guess(name, tuple(self.config.pools))}")
        said = section.fallback_config
        simple = said.strategy == "simple_retry"
        own = said.strategy not in ("simple_retry", "instance_rotation")
        breaker = None
        if section.failure_threshold is not None:
            breaker = BreakerConfig(
                failure_threshold=section.failure_threshold, recovery_time=section.recovery_time
            )
        instances = tuple(
            self._instance(one, section.weights.get(one, 1.0)) for one in section.task_groups
        )
        return Route(
            f"pool:{name}",
            instances,
            rotation(section.rotation_strategy),
            pool=name,
            breaker=breaker,
            strategy=fallback(said.strategy) if own else None,
            patience=(said.max_instance_attempts or 3) if simple else 1,
            max_instances=None if simple else said.max_instance_attempts,
            retry_delay=said.retry_delay,
        )

    def checks(self) -> tuple[Checking, ...]:
        """Return which pools look after their endpoints, and how."""
        found: list[Checking] = []
        for name, section in self.config.pools.items():
            if section.health_check_interval is None:
                continue
            own: HealthCheck | None = (
                brought(section.health_check, "check") if section.health_check else None
            )
            members = {
                endpoint.name: endpoint
                for instance in self.route(f"pool:{name}").instances
                for stage in instance.stages
                for endpoint in stage.endpoints
            }
            interval = section.health_check_interval
            found.append(Checking(name, interval, tuple(members.values()), own))
        return tuple(found)

    def _instance(self, name: str, weight: float = 1.0) -> Instance:
        stages = self._named(name)
        section = self.config.groups[stages[0].group]
        said = section.fallback_config
        places = {stage.name: stage for stage in stages}
        for other in said.fallback_groups:
            for stage in self._named(other):
                places.setdefault(stage.name, _foreign(stage, stages[0].group))
        rules = Rules(
            said.circuit_breaker or self.config.breaker,
            frozenset(section.fall_on),
            said.retry_delay,
            section.hedge,
            section.on_break == "restart",
            section.stick_to == "run",
        )
        all_stages = tuple(places.values())
        if name in self._stages:  # one echelon of it may be of one provider
            _check_failover(name, said.strategy, all_stages)
        return Instance(name, all_stages, fallback(said.strategy), rules, weight, said.max_attempts)

    def _named(self, name: str) -> tuple[Stage, ...]:
        """Return the echelons of `group` or `group.echelon`."""
        if name in self._stages:
            return self._stages[name]
        group, _, echelon = name.rpartition(".")
        stages = self._stages.get(group)
        if stages is None:
            raise ConfigError(f"no group is named {name!r}; {guess(name, tuple(self._stages))}")
        chosen = tuple(stage for stage in stages if stage.name == name)
        if not chosen:
            known = tuple(stage.name.rpartition(".")[2] for stage in stages)
            raise ConfigError(
                f"group {group!r} has no echelon named {echelon!r}; {guess(echelon, known)}"
            )
        return chosen

    def _group(self, name: str, section: GroupConfig) -> tuple[Stage, ...]:
        named = list(zip(echelon_names(section.echelons), section.echelons, strict=True))
        named.sort(key=lambda pair: pair[1].priority if pair[1].priority is not None else 0)
        stages: list[Stage] = []
        for echelon, said in named:
            place = f"groups.{name}.echelons.{echelon}"
            stages.append(self._stage(f"{name}.{echelon}", name, said, section, place))
        return tuple(stages)

    def _stage(
        self, name: str, group: str, said: EchelonConfig, section: GroupConfig, place: str
    ) -> Stage:
        members = tuple(self._member(one, f"{place}.models") for one in dict.fromkeys(said.models))
        limits = Limits(said.concurrency_limit, said.rpm_limit, said.tpm_limit)
        turns = rotation(said.rotation_strategy or section.rotation_strategy)
        return Stage(name, group, members, limits, turns, manner(said))

    def _member(self, name: str, place: str) -> Endpoint:
        if name in self.endpoints:
            return self.endpoints[name]
        return self._implicit(name, place)

    def _implicit(self, name: str, place: str) -> Endpoint:
        """Return the endpoint of a model that no section describes: with the provider's usual key and place."""
        if ":" not in name:
            vendor = next((own for pattern, own in _VENDORS if pattern.match(name)), None)
            if vendor is None:
                raise ConfigError(
                    f"{place}: no endpoint is named {name!r}, and it is no 'provider:model'; "
                    f"{guess(name, tuple(self.endpoints))}"
                )
            name = f"{vendor}:{name}"
        found = self.endpoints.get(name)
        if found is None:
            found = self._endpoint(name, EndpointConfig(model=name), place)
            if place != "model":
                self.endpoints[name] = found
        return found

    def _endpoint(self, name: str, said: EndpointConfig, place: str) -> Endpoint:
        provider, colon, model = said.model.partition(":")
        if not colon:
            return self._endpoint(name, self._with_vendor(said, place), place)
        if provider not in self._providers or not model:
            raise ConfigError(
                f"{place}: {said.model!r} is of provider {provider!r}, which is not known; "
                f"{guess(provider, self._providers)}"
            )
        return Endpoint(
            name,
            provider,
            model,
            said.key_env,
            said.base_url,
            Limits(said.concurrency, said.rpm, said.tpm),
            said.weight,
            said.context_window,
            manner(said),
            sha256(said.model_dump_json(exclude={"name", "description"}).encode()).hexdigest()[:16],
        )

    def _with_vendor(self, said: EndpointConfig, place: str) -> EndpointConfig:
        vendor = next((own for pattern, own in _VENDORS if pattern.match(said.model)), None)
        if vendor is None:
            raise ConfigError(
                f"{place}: {said.model!r} does not say whose it is; write 'provider:model', with one "
                f"of {', '.join(sorted(self._providers))}"
            )
        return said.model_copy(update={"model": f"{vendor}:{said.model}"})


def _foreign(stage: Stage, group: str) -> Stage:
    own = stage.group == group
    return Stage(
        stage.name, stage.group, stage.endpoints, stage.limits, stage.rotation, stage.manner, own
    )


def _check_failover(name: str, strategy: str, stages: Sequence[Stage]) -> None:
    providers = {endpoint.provider for stage in stages for endpoint in stage.endpoints}
    if strategy == "provider_failover" and len(providers) < 2:
        raise ConfigError(
            f"groups.{name.partition('.')[0]}.fallback_config: provider_failover needs endpoints of two "
            f"providers, and there is only {', '.join(providers)}; add an echelon or a fallback group of another one"
        )
