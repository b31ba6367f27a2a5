"""Reading configuration files: one YAML, a tree of them, or `[tool.midstream]`; as plain data, with the origin of each value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from midstream.errors import ConfigError

Path_ = tuple[str | int, ...]

SECTIONS: Mapping[str, str] = {
    "endpoints": "endpoints",
    "groups": "groups",
    "task_groups": "groups",
    "pools": "pools",
    "polling_pools": "pools",
}
"""The folders of a tree, and the sections that their files belong to; also the two names of a section."""

MAIN = ("midstream.yaml", "midstream.yml")


@dataclass(slots=True)
class Raw:
    """What files say, before it is validated.

    Attributes:
        data: As one configuration.
        origins: Where each value comes from, by its path.
        files: The files that were read.
    """

    data: dict[str, Any] = field(default_factory=dict[str, Any])
    origins: dict[Path_, str] = field(default_factory=dict[Path_, str])
    files: tuple[Path, ...] = ()

    def put(self, at: Path_, value: Any, origin: str) -> None:
        """Set a value, and all that is in it.

        Raises:
            ConfigError: Something on the way is no mapping.
        """
        place: dict[str, Any] = self.data
        for step in at[:-1]:
            inner: Any = place.setdefault(str(step), {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{origin}: {shown(at)}: {step!r} is not a section")
            place = inner  # pyright: ignore[reportUnknownVariableType]  # what a file says
        place[str(at[-1])] = value
        for path, _ in leaves(value, at):
            self.origins[path] = origin


def shown(path: Path_) -> str:
    """Return a path as people write it: `groups.fast.echelons[0].models`."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else str(step)
    return text


def leaves(value: Any, at: Path_ = ()) -> Iterator[tuple[Path_, Any]]:
    """Iterate over all values that are no sections, with their paths."""
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
            yield from leaves(inner, (*at, str(key)))  # pyright: ignore[reportUnknownArgumentType]
    elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
        for place, inner in enumerate(value):  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
            yield from leaves(inner, (*at, place))
    else:
        yield at, value


def read(path: Path) -> Raw:
    """Read a file or a folder.

    Raises:
        ConfigError: It is not there, cannot be read, or is no mapping.
    """
    if path.is_dir():
        return _tree(path)
    raw = Raw(files=(path,))
    data = _toml(path) if path.suffix == ".toml" else mapping_in(path)
    _whole(raw, data, str(path))
    return raw


def mapping_in(path: Path) -> dict[str, Any]:
    """Return the mapping that a YAML file holds; an empty file holds an empty one.

    Raises:
        ConfigError: It is not there, is no YAML, has a key twice, or is no mapping.
    """
    import yaml

    from midstream.adapters.routing.yaml_reading import OneKeyLoader

    try:
        found: Any = yaml.load(path.read_text(encoding="utf-8"), OneKeyLoader)  # a SafeLoader
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {str(path)!r}: {error.strerror}; name another one"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        said = " ".join(str(error).split())
        raise ConfigError(f"{path}: this is not YAML: {said}") from error
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise ConfigError(f"{path}: must hold keys and values, not a {type(found).__name__}")
    return {str(key): value for key, value in found.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]


def _toml(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"cannot read the configuration {str(path)!r}: {error.strerror}; name another one"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: this is not TOML: {error}") from error
    table: Any = found.get("tool", {}).get("midstream", {})
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: [tool.midstream] must be a table")
    return table  # pyright: ignore[reportUnknownVariableType]  # validated later


def _whole(raw: Raw, data: Mapping[str, Any], origin: str) -> None:
    """Take a whole configuration in; sections have two names each."""
    for key, value in data.items():
        section = SECTIONS.get(key, key)
        if section != key and section in data:
            raise ConfigError(f"{origin}: {key!r} and {section!r} are the same; keep one of them")
        if section in raw.data and isinstance(value, Mapping):
            for name, inner in value.items():  # pyright: ignore[reportUnknownVariableType]
                _member(raw, section, str(name), inner, origin)  # pyright: ignore[reportUnknownArgumentType]
        else:
            raw.put((section,), value, origin)


def _tree(folder: Path) -> Raw:
    raw = Raw()
    files: list[Path] = []
    for root in (folder, folder / "llms"):
        for name in MAIN:
            if (root / name).is_file():
                files.append(root / name)
                _whole(raw, mapping_in(root / name), str(root / name))
        for kind, section in SECTIONS.items():
            for path in sorted((root / kind).glob("*.y*ml")):
                files.append(path)
                data = mapping_in(path)
                _member(raw, section, str(data.get("name") or path.stem), data, str(path))
    if not files:
        raise ConfigError(
            f"there is no configuration in {str(folder)!r}; it holds midstream.yaml, or files in "
            f"{', '.join(sorted(set(SECTIONS)))}, or the same in a folder llms"
        )
    raw.files = tuple(files)
    return raw


def _member(raw: Raw, section: str, name: str, value: Any, origin: str) -> None:
    if name in raw.data.get(section, {}):
        before = next(o for path, o in raw.origins.items() if path[:2] == (section, name))
        raise ConfigError(f"{origin}: {section}.{name} is also in {before}; keep one of them")
    raw.put((section, name), value, origin)
