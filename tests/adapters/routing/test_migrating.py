"""Old configurations become present ones: whole, valid, once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream.adapters.routing.loading import load
from midstream.adapters.routing.migrating import ConfigMigrator
from midstream.adapters.routing.table import Table
from midstream.errors import ConfigError

OLD: dict[str, Any] = {
    "llms/models/gpt4.yaml": {
        "name": "gpt4",
        "provider": "openai",
        "model_name": "gpt-4o",
        "api_key_env": "OPENAI_API_KEY",
        "requests_per_minute": 60,
        "description": "the big one",
        "fallback_models": ["claude", "mini"],
    },
    "llms/models/claude.yaml": {
        "name": "claude",
        "provider": "anthropic",
        "model": "claude-sonnet-4-5",
    },
    "llms/models/mini.yaml": {
        "name": "mini",
        "provider": "openai",
        "model": "gpt-4o-mini",
        "fallback_models": ["claude"],
    },
    "llms/groups/fast.yaml": {"name": "fast", "echelon1": {"models": ["gpt4"], "rpm_limit": 50}},
    "llms/polling_pools/all.yaml": {"name": "all", "task_groups": ["fast"]},
}


def written(folder: Path, files: dict[str, Any] = OLD) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(data))
    return folder


def snapshot(folder: Path) -> dict[str, str]:
    return {p.relative_to(folder).as_posix(): p.read_text() for p in sorted(folder.rglob("*.yaml"))}


def test_global_fallbacks_become_echelons_and_models_become_endpoints(tmp_path: Path) -> None:
    folder = written(tmp_path / "conf")
    report = ConfigMigrator(folder).migrate()
    table = Table(load(folder, env={}).config)
    fast = table.route("group:fast").instances[0]
    assert [[one.name for one in stage.endpoints] for stage in fast.stages] == [
        ["gpt4"],
        ["claude", "mini"],
    ]
    assert table.endpoints["gpt4"].full_model == "openai:gpt-4o"
    assert table.endpoints["gpt4"].limits.rpm == 60
    assert table.endpoints["gpt4"].key_env == "OPENAI_API_KEY"
    alone = table.route("group:mini").instances[0]
    assert [[one.name for one in stage.endpoints] for stage in alone.stages] == [
        ["mini"],
        ["claude"],
    ]
    pool = load(folder, env={}).config.pools["all"]
    assert pool.fallback_config.strategy == "instance_rotation"
    assert report.backup is not None
    assert snapshot(report.backup) == snapshot(written(tmp_path / "again"))
    assert load(folder, env={}).config.endpoints["gpt4"].description == "the big one"
    assert not list(folder.rglob("models/*.yaml"))


def test_running_it_twice_changes_nothing(tmp_path: Path) -> None:
    folder = written(tmp_path / "conf")
    ConfigMigrator(folder).migrate()
    before = snapshot(folder)
    report = ConfigMigrator(folder).migrate()
    assert (report.steps, report.backup) == ([], None)
    assert snapshot(folder) == before


def test_looking_only_writes_nothing_and_without_a_backup_there_is_none(tmp_path: Path) -> None:
    folder = written(tmp_path / "conf")
    before = snapshot(folder)
    report = ConfigMigrator(folder).migrate(validate_only=True)
    assert report.steps
    assert snapshot(folder) == before
    assert ConfigMigrator(folder).migrate(backup=False).backup is None
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("llms/models/gpt4.yaml", {"name": "gpt4", "api_key": "sk-secret"}, "holds a key itself"),
        (
            "llms/models/gpt4.yaml",
            {"name": "gpt4", "model": "openai:gpt-4o", "colour": 1},
            "unknown key 'colour'",
        ),
        (
            "llms/groups/fast.yaml",
            {"name": "fast", "echelon1": {"models": ["gone"]}},
            "no endpoint is named 'gone'",
        ),
    ],
)
def test_what_cannot_be_migrated_leaves_everything_as_it_was(
    tmp_path: Path, name: str, data: dict[str, Any], said: str
) -> None:
    folder = written(tmp_path / "conf", {**OLD, name: data})
    before = snapshot(folder)
    with pytest.raises(ConfigError, match=said) as caught:
        ConfigMigrator(folder).migrate()
    assert "secret" not in str(caught.value)
    assert snapshot(folder) == before
    assert [path.name for path in tmp_path.iterdir()] == ["conf"]


def test_the_parts_can_be_used_one_by_one(tmp_path: Path) -> None:
    migrator = ConfigMigrator(written(tmp_path / "conf"))
    migrator.migrate_polling_pools()
    assert {step.file for step in migrator.report.steps} == {
        "llms/groups/fast.yaml",
        "llms/polling_pools/all.yaml",
    }
    migrator.migrate_global_fallback_to_task_groups()
    migrator.validate()
    with pytest.raises(ConfigError, match="there is no folder"):
        ConfigMigrator(tmp_path / "nothing")


NAMES = st.sampled_from(["m1", "m2", "m3", "m4"])


@settings(
    max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None
)
@given(
    st.dictionaries(NAMES, st.lists(NAMES, max_size=3, unique=True), min_size=4),
    st.lists(st.lists(NAMES, min_size=1, max_size=2, unique=True), max_size=3),
)
def test_whatever_the_fallbacks_were_each_group_reaches_them(
    tmp_path_factory: pytest.TempPathFactory, models: dict[str, list[str]], groups: list[list[str]]
) -> None:
    files: dict[str, Any] = {
        f"models/{name}.yaml": {
            "name": name,
            "model": f"openai:{name}",
            "fallback_models": [o for o in others if o != name],
        }
        for name, others in models.items()
    }
    files |= {
        f"groups/g{n}.yaml": {"name": f"g{n}", "echelon1": {"models": own}}
        for n, own in enumerate(groups)
    }
    folder = written(tmp_path_factory.mktemp("c") / "conf", files)
    ConfigMigrator(folder).migrate(backup=False)
    table = Table(load(folder, env={}).config)
    for n, own in enumerate(groups):
        stages = table.route(f"group:g{n}").instances[0].stages
        reached = [endpoint.name for stage in stages for endpoint in stage.endpoints]
        assert reached[: len(own)] == own
        assert {o for name in own for o in models[name]} <= set(reached)
        assert len(reached) == len(set(reached))
    again = ConfigMigrator(folder).migrate()
    assert again.steps == []
