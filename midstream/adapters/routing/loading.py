"""From files and the environment to a configuration, with the origin of each value.

Found, in this order: what is named; `MIDSTREAM_CONFIG`; `midstream.yaml` here; `[tool.midstream]` in `pyproject.toml` here.
Each value has a twin in the environment that wins over it: `MIDSTREAM_GROUPS__FAST__FALLBACK_CONFIG__MAX_ATTEMPTS=3`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from midstream.adapters.routing.config import ALIASES, RoutingConfig
from midstream.adapters.routing.guessing import guess
from midstream.adapters.routing.reading import MAIN, SECTIONS, Path_, Raw, leaves, read, shown
from midstream.errors import ConfigError

_PREFIX = "MIDSTREAM_"
_OTHER = {**ALIASES, **{new: old for old, new in ALIASES.items()}}


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration, and where it comes from.

    Attributes:
        config: What it says.
        origins: Where each value comes from, by its path; what is not here is a default.
        files: The files that were read.
        digest: sha256 of what it says, in hex.
    """

    config: RoutingConfig
    origins: Mapping[Path_, str]
    files: tuple[Path, ...]
    digest: str

    def effective(self) -> list[tuple[str, Any, str]]:
        """Return each value in force: its path, the value, and its origin, `default` where nobody said anything."""
        values = self.config.model_dump(mode="json", exclude_none=True)
        return [
            (shown(path), value, self._origin(path))
            for path, value in leaves(values)
            if value not in ("", [], {})
        ]

    def _origin(self, path: Path_) -> str:
        for written in self._written(path):
            for length in range(len(written), 0, -1):
                if (found := self.origins.get(written[:length])) is not None:
                    return found
        return "default"

    def _written(self, path: Path_) -> Iterator[Path_]:
        """Iterate over the paths under which a value may have been written: echelons by name, keys by either name."""
        paths = [path]
        if len(path) > 4 and path[0] == "groups" and path[2] == "echelons":
            echelons = self.config.groups[str(path[1])].echelons
            name = echelon_names(echelons)[int(path[3])]
            paths += [(*path[:3], name, *path[4:]), (*path[:2], name, *path[4:])]
        for one in paths:
            yield one
            for place, step in enumerate(one):
                if (other := _OTHER.get(str(step))) is not None:
                    yield (*one[:place], other, *one[place + 1 :])


def find(path: str | Path | None, env: Mapping[str, str]) -> Path | None:
    """Return where the configuration is, or None where there is none; see the module."""
    named = path or env.get("MIDSTREAM_CONFIG")
    if named:
        return Path(named)
    for name in MAIN:
        if Path(name).is_file():
            return Path(name)
    project = Path("pyproject.toml")
    if project.is_file() and "[tool.midstream" in project.read_text(encoding="utf-8"):
        return project
    return None


def load(path: str | Path | None = None, *, env: Mapping[str, str] | None = None) -> Loaded:
    """Read, overlay with the environment, and validate.

    Args:
        path: A file or a folder; None looks for it.
        env: The environment; None for that of the process.

    Raises:
        ConfigError: It cannot be read, or is wrong; the message names each place and what is known there.
    """
    env = os.environ if env is None else env
    found = find(path, env)
    raw = Raw() if found is None else read(found)
    _overlay(raw, env)
    return validated(raw)


def validated(raw: Raw) -> Loaded:
    """Return what was read as a configuration.

    Raises:
        ConfigError: See `load`.
    """
    try:
        config = RoutingConfig.model_validate(raw.data)
    except ValidationError as error:
        raise ConfigError(
            _said(error, raw)
        ) from None  # its text would show what was given, which may be a key
    check_names(config, raw)
    digest = sha256(config.model_dump_json().encode()).hexdigest()
    return Loaded(config, raw.origins, raw.files, digest)


def parse(data: Mapping[str, Any]) -> RoutingConfig:
    """Return plain data as a configuration.

    Raises:
        ConfigError: See `load`.
    """
    raw = Raw()
    for key, value in data.items():
        raw.put((SECTIONS.get(key, key),), value, "the given data")
    return validated(raw).config


def _said(error: ValidationError, raw: Raw) -> str:
    lines: list[str] = []
    for found in error.errors(include_input=False, include_url=False):
        path = tuple(step for step in found["loc"] if step not in ("[key]",))
        where = shown(path) or "at the top"
        lines.append(f"{_file_of(path, raw)}{where}: {found['msg']}")
    return "the configuration is wrong: " + "; ".join(lines)


def _file_of(path: Path_, raw: Raw) -> str:
    for length in range(len(path), 0, -1):
        for known, origin in raw.origins.items():
            if known[:length] == path[:length]:
                return f"{origin}: "
    return f"{raw.files[0]}: " if raw.files else ""


def check_names(config: RoutingConfig, raw: Raw) -> None:
    """See that each name that is referred to exists.

    Raises:
        ConfigError: One does not; all such places are named.
    """
    wrong: list[str] = []

    def check(path: Path_, name: str) -> None:
        if (problem := _group_problem(config, name)) is not None:
            wrong.append(f"{_file_of(path, raw)}{shown(path)}: {problem}")

    for group, section in config.groups.items():
        for place, other in enumerate(section.fallback_config.fallback_groups):
            check(("groups", group, "fallback_config", "fallback_groups", place), other)
    for pool, said in config.pools.items():
        for place, other in enumerate(said.task_groups):
            check(("pools", pool, "task_groups", place), other)
        for name in said.weights:
            if name not in said.task_groups:
                path = ("pools", pool, "weights", name)
                wrong.append(
                    f"{_file_of(path, raw)}{shown(path)}: no instance of this pool; "
                    f"{guess(name, said.task_groups)}"
                )
    if wrong:
        raise ConfigError("the configuration is wrong: " + "; ".join(wrong))


def _group_problem(config: RoutingConfig, name: str) -> str | None:
    group, dot, echelon = name.partition(".")
    if name in config.groups:
        return None
    found = config.groups.get(group)
    if found is None:
        return f"no group named {group!r}; {guess(group, tuple(config.groups))}"
    names = echelon_names(found.echelons)
    if dot and echelon not in names:
        return f"group {group!r} has no echelon named {echelon!r}; {guess(echelon, names)}"
    return None


def echelon_names(echelons: tuple[Any, ...]) -> tuple[str, ...]:
    """Return the names of a group's echelons, those without one counted from 1."""
    return tuple(one.name or f"echelon{place}" for place, one in enumerate(echelons, 1))


def _overlay(raw: Raw, env: Mapping[str, str]) -> None:
    """Put the values of the environment over those of the files."""
    for at, value in _environment(env):
        path = _matched(raw.data, at)
        name = _PREFIX + "__".join(at).upper()
        raw.put(path, value, f"environment {name}")


def _environment(env: Mapping[str, str]) -> list[tuple[tuple[str, ...], Any]]:
    from pydantic_settings import BaseSettings, EnvSettingsSource

    class Twins(BaseSettings):
        model: Any = None
        endpoints: dict[str, Any] = {}
        groups: dict[str, Any] = {}
        task_groups: dict[str, Any] = {}
        pools: dict[str, Any] = {}
        polling_pools: dict[str, Any] = {}
        breaker: dict[str, Any] = {}

    class Given(EnvSettingsSource):
        def _load_env_vars(self) -> Mapping[str, str | None]:
            return {key.lower(): value for key, value in env.items()}

    source = Given(Twins, env_prefix=_PREFIX.lower(), env_nested_delimiter="__")
    try:
        found: dict[str, Any] = source()
    except ValueError as error:
        raise ConfigError(f"a variable of the environment cannot be read: {error}") from error
    return [(tuple(map(str, path)), value) for path, value in leaves(found) if path]


def _matched(data: Mapping[str, Any], at: tuple[str, ...]) -> Path_:
    """Return the path whose names are those of a variable, whatever their case and punctuation."""
    path: list[str] = [SECTIONS.get(at[0], at[0])]
    place: Any = data.get(path[0], {})
    for step in at[1:]:
        keys = list(map(str, place)) if isinstance(place, Mapping) else []  # pyright: ignore[reportUnknownArgumentType]
        found = next((key for key in keys if _flat(key) == _flat(step)), step)
        path.append(found)
        place = place.get(found, {}) if isinstance(place, Mapping) else {}  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return tuple(path)


def _flat(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "_", name.lower())
