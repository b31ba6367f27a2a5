"""Bringing old configurations into the present form.

The old one has a file for each model with a global list of fallbacks, and groups and pools without a fallback section. The new tree is made beside the old one and checked; then the two change places. A failure leaves the old one as it was.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from midstream.adapters.routing.loading import load
from midstream.adapters.routing.reading import mapping_in
from midstream.adapters.routing.table import Table
from midstream.errors import ConfigError

MODEL_FOLDERS = ("models", "clients", "llm_clients")
"""Where old configurations keep a file for each model."""

_GROUPS = ("groups", "task_groups")
_POOLS = ("polling_pools", "pools")
_KEYS: Mapping[str, str] = {
    "model_name": "model",
    "model_id": "model",
    "api_key_env": "key_env",
    "api_base": "base_url",
    "endpoint": "base_url",
    "max_concurrency": "concurrency",
    "requests_per_minute": "rpm",
    "tokens_per_minute": "tpm",
    "context_length": "context_window",
}
"""Old names of what an endpoint says, and the present ones."""


@dataclass(frozen=True, slots=True)
class Step:
    """One change.

    Attributes:
        file: Which file, from the configuration's folder.
        what: What becomes of it.
    """

    file: str
    what: str


@dataclass(slots=True)
class Report:
    """What was done, or would be.

    Attributes:
        steps: In order; empty where there was nothing to do.
        backup: Where the old configuration is kept, or None.
    """

    steps: list[Step] = field(default_factory=list[Step])
    backup: Path | None = None


class ConfigMigrator:
    """Migrates one folder; `migrate` does all, the other methods show what it is made of.

    Nothing is written before `migrate`: the methods change what would be written, and `report` says what that is.

    Args:
        folder: The configuration.

    Raises:
        ConfigError: The folder, or a file in it, cannot be read.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        if not self.folder.is_dir():
            raise ConfigError(f"there is no folder {str(folder)!r} to migrate")
        self.report = Report()
        self._files: dict[Path, dict[str, Any] | None] = {}
        for path in sorted(self.folder.rglob("*.y*ml")):
            self._files[path.relative_to(self.folder)] = mapping_in(path)
        self._changed: set[Path] = set()

    def migrate(self, *, backup: bool = True, validate_only: bool = False) -> Report:
        """Bring the folder into the present form, all or nothing; doing it again changes nothing.

        Args:
            backup: Keep the old folder beside it.
            validate_only: Only say what would be done, and whether that is valid.

        Raises:
            ConfigError: What would come out is not valid; nothing was changed.
        """
        self.migrate_global_fallback_to_task_groups()
        self.migrate_polling_pools()
        with tempfile.TemporaryDirectory(dir=self.folder.parent, prefix=".midstream-") as space:
            new = Path(space) / self.folder.name
            self._write(new)
            self._check(new)
            if self._changed and not validate_only:
                self._swap(new, Path(space) / "old", keep=backup)
        return self.report

    def validate(self) -> None:
        """See that what would be written is a valid configuration.

        Raises:
            ConfigError: It is not.
        """
        with tempfile.TemporaryDirectory() as space:
            new = Path(space) / "new"
            self._write(new)
            self._check(new)

    def migrate_global_fallback_to_task_groups(self) -> None:
        """Turn models' files into endpoints, and their lists of fallbacks into echelons of the groups that name them.

        Raises:
            ConfigError: A file says something that has no place in the present form, such as a key itself.
        """
        models = dict(self._in(MODEL_FOLDERS))
        members = {path: _named(data) for path, data in self._in(_GROUPS)}
        for path, data in models.items():
            self._to_endpoint(path, data)
        for path, data in models.items():
            fallbacks = [str(one) for one in data.get("fallback_models") or ()]
            if fallbacks:
                name = str(data.get("name") or path.stem)
                groups = [group for group, named in members.items() if name in named]
                self._fall_back(name, fallbacks, groups, path)

    def migrate_polling_pools(self) -> None:
        """Give groups and pools without a fallback section the one that says what they did until now."""
        for folders, strategy in ((_GROUPS, "echelon_down"), (_POOLS, "instance_rotation")):
            for path, data in self._in(folders):
                if "fallback_config" not in data:
                    said = f"gets fallback_config: {{strategy: {strategy}}}"
                    self._put(path, {**data, "fallback_config": {"strategy": strategy}}, said)

    def _in(self, folders: tuple[str, ...]) -> Iterator[tuple[Path, dict[str, Any]]]:
        for path, data in tuple(self._files.items()):
            if data is not None and path.parent.name in folders:
                yield path, data

    def _put(self, path: Path, data: dict[str, Any] | None, what: str) -> None:
        self._files[path] = data
        self._changed.add(path)
        self.report.steps.append(Step(path.as_posix(), what))

    def _to_endpoint(self, path: Path, data: Mapping[str, Any]) -> None:
        if data.get("api_key"):
            raise ConfigError(
                f"{self.folder / path}: holds a key itself; put it into an environment variable, and name that as key_env"
            )
        made: dict[str, Any] = {}
        for key, value in data.items():
            if key in ("fallback_models", "provider", "name"):
                continue
            made[_KEYS.get(key, key)] = value
        name = str(data.get("name") or path.stem)
        model = str(made.get("model") or name)
        provider = data.get("provider")
        made["model"] = f"{provider}:{model}" if provider and ":" not in model else model
        target = path.parent.parent / "endpoints" / f"{path.stem}.yaml"
        self._put(target, {"name": name, **made}, f"endpoint {name!r}, from {path.as_posix()}")
        self._put(path, None, "is now an endpoint")

    def _fall_back(
        self, model: str, fallbacks: list[str], groups: list[Path], origin: Path
    ) -> None:
        """Let each group that names a model go on with its fallbacks; make a group where there is none."""
        for path in groups:
            data = self._files[path] or {}
            new = [one for one in fallbacks if one not in _named(data)]
            if new:
                place = f"echelon{len(_echelons(data)) + 1}"
                added = _added(data, place, {"models": new})
                self._put(path, added, f"gets {place} with {', '.join(new)}, fallbacks of {model}")
        if not groups:
            path = origin.parent.parent / "groups" / f"{origin.stem}.yaml"
            made = {
                "name": model,
                "echelon1": {"models": [model]},
                "echelon2": {"models": fallbacks},
                "fallback_config": {"strategy": "echelon_down"},
            }
            self._put(path, made, f"group {model!r}: no group named it, and it had fallbacks")

    def _write(self, new: Path) -> None:
        import yaml

        shutil.copytree(self.folder, new)
        for path in self._changed:
            data, place = self._files[path], new / path
            if data is None:
                place.unlink()
                continue
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "utf-8")

    def _check(self, new: Path) -> None:
        try:
            Table(load(new, env={}).config)
        except ConfigError as error:
            said = str(error).replace(str(new), str(self.folder))
            raise ConfigError(f"nothing was changed: {said}") from None

    def _swap(self, new: Path, old: Path, *, keep: bool) -> None:
        if keep:
            stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            backup = self.folder.with_name(f"{self.folder.name}.backup-{stamp}")
            shutil.copytree(self.folder, backup)
            self.report.backup = backup
        self.folder.rename(old)
        try:
            new.rename(self.folder)
        except OSError:
            old.rename(self.folder)
            raise


def _named(data: Mapping[str, Any]) -> list[str]:
    """Return the models that a group names."""
    return [str(one) for echelon in _echelons(data).values() for one in _models(echelon)]


def _echelons(data: Mapping[str, Any]) -> dict[str, Any]:
    listed = data.get("echelons")
    if isinstance(listed, Mapping):
        return dict(listed)  # pyright: ignore[reportUnknownArgumentType]  # what a file says
    if isinstance(listed, list):
        return {str(place): one for place, one in enumerate(listed)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {key: value for key, value in data.items() if key.startswith("echelon")}


def _models(echelon: Any) -> list[Any]:
    found: dict[str, Any] = dict(echelon) if isinstance(echelon, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]  # what a file says
    return list(found.get("models") or found.get("endpoints") or ())


def _added(data: Mapping[str, Any], place: str, echelon: dict[str, Any]) -> dict[str, Any]:
    listed = data.get("echelons")
    if isinstance(listed, Mapping):
        return {**data, "echelons": {**listed, place: echelon}}
    if isinstance(listed, list):
        return {**data, "echelons": [*listed, echelon]}  # pyright: ignore[reportUnknownVariableType]
    return {**data, place: echelon}
