"""Policies as data: from a configuration, or a file of their own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from midstream.adapters.routing.guessing import guess
from midstream.adapters.routing.reading import mapping_in
from midstream.adapters.routing.strategies import class_at
from midstream.engine.policies.builtin import (
    Capable,
    Cheapest,
    CostLimit,
    ErrorRate,
    Failover,
    LatencyLimit,
    Load,
    Preference,
    Rule,
)
from midstream.engine.policies.policy import Policy, Terms
from midstream.errors import ConfigError

KINDS: Mapping[str, Any] = {
    "capable": Capable,
    "cheapest": Cheapest,
    "cost_limit": CostLimit,
    "error_rate": ErrorRate,
    "failover": Failover,
    "latency": LatencyLimit,
    "load": Load,
    "preference": Preference,
    "rule": Rule,
}
"""The kinds of policies by the name that a configuration gives them."""

_TERMS = tuple(one.name for one in fields(Terms))


def read_policies(path: str | Path) -> tuple[Policy, ...]:
    """Return the policies of a YAML file, which stand there under `policies`.

    Raises:
        ConfigError: It cannot be read, or one of them is wrong.
    """
    data = mapping_in(Path(path))
    unknown = [key for key in data if key != "policies"]
    if unknown or not isinstance(data.get("policies"), list):
        raise ConfigError(f"{path}: must hold a list under 'policies', and nothing else")
    return policies_of(data["policies"], str(path))


def policies_of(rows: Iterable[Mapping[str, Any]], where: str = "policies") -> tuple[Policy, ...]:
    """Return policies that are described as data: `{type: cost_limit, usd: "0.50", target: …}`.

    Raises:
        ConfigError: One of them is wrong; the message names it and what is known.
    """
    made = tuple(_policy(row, f"{where}: policies[{place}]") for place, row in enumerate(rows))
    names = [policy.terms.name for policy in made]
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"{where}: two policies are named {name!r}; give one another `name`")
    return made


def _policy(row: Mapping[str, Any], where: str) -> Policy:
    given = dict(row)
    kind = str(given.pop("type", ""))
    if ":" in kind:
        own: Policy = class_at(kind)(**given)
        return own
    if kind not in KINDS:
        raise ConfigError(f"{where}: no policy is of type {kind!r}; {guess(kind, tuple(KINDS))}")
    class_ = KINDS[kind]
    known = tuple(one.name for one in fields(class_) if one.name != "terms")
    for key in given:
        if key not in (*known, *_TERMS):
            raise ConfigError(
                f"{where}: unknown key {key!r}; {guess(key, (*known, *_TERMS, 'type'))}"
            )
    terms = {key: given.pop(key) for key in _TERMS if key in given}
    try:
        made = class_(**{key: _value(key, value) for key, value in given.items()})
        policy: Policy = replace(made, terms=replace(made.terms, **_plain(terms)))
    except (TypeError, InvalidOperation) as error:
        raise ConfigError(f"{where}: {kind} cannot be made: {error}") from error
    return policy


def _value(key: str, value: Any) -> Any:
    if key == "usd":
        return Decimal(str(value))
    if key == "on":
        return frozenset(value)
    return tuple(value) if isinstance(value, list) else value  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # what a file says


def _plain(terms: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if key == "keep" else value for key, value in terms.items()}
