"""What can be written in a configuration, and what is said of what cannot."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from midstream.adapters.routing import Router, load
from midstream.adapters.routing.loading import Loaded, parse
from midstream.adapters.routing.table import Table
from midstream.errors import ConfigError
from tests.adapters.routing.world import FakeEndpoint

WHOLE = """
endpoints:
  us: {model: "openai:gpt-4o", key_env: OPENAI_API_KEY, rpm: 500, tpm: 300000, concurrency: 8}
  eu: {model: gpt-4o, key_env: EU_KEY, base_url: "https://example.invalid/v1", rpm_limit: 200}
  sonnet: {model: "anthropic:claude-sonnet-4-5", timeout: {first_token: 10s, idle: 20s, total: 2m}}
groups:
  fast:
    description: quick answers
    echelon1: {models: [us, eu], concurrency_limit: 20, rpm_limit: 600, tpm_limit: 500000, priority: 1,
               timeout: 30, max_retries: 2, temperature: 0.2, max_tokens: 500}
    echelon2: {models: [sonnet], priority: 2}
    fallback_config:
      strategy: echelon_down
      fallback_groups: [careful.echelon1]
      max_attempts: 4
      retry_delay: 500ms
      circuit_breaker: {failure_threshold: 3, recovery_time: 20s, half_open_requests: 2}
  careful:
    echelons:
      - {models: [sonnet]}
      - {name: last, endpoints: ["openai:gpt-4o-mini"], rpm: 10}
    fallback_config: {strategy: provider_failover}
pools:
  all:
    task_groups: [fast, careful.last]
    rotation_strategy: weighted
    weights: {fast: 3}
    health_check_interval: 1m
    failure_threshold: 4
    recovery_time: 30
    fallback_config: {strategy: instance_rotation, max_instance_attempts: 2}
"""


def written(folder: Path, text: str, name: str = "midstream.yaml") -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text))
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        Table(load(written(folder, text), env={}).config)
    return str(caught.value)


def test_one_file_holds_endpoints_groups_and_pools(tmp_path: Path) -> None:
    table = Table(load(written(tmp_path, WHOLE), env={}).config)
    fast = table.route("group:fast").instances[0]
    assert [stage.name for stage in fast.stages] == [
        "fast.echelon1",
        "fast.echelon2",
        "careful.echelon1",
    ]
    assert [stage.own for stage in fast.stages] == [True, True, False]
    assert fast.stages[0].limits == fast.stages[0].limits.__class__(20, 600, 500000)
    assert fast.stages[0].manner.settings == {"temperature": 0.2, "max_tokens": 500}
    assert fast.stages[0].manner.timeout.total == 30
    assert fast.rules.breaker.recovery_time == 20
    assert table.endpoints["eu"].full_model == "openai:gpt-4o"
    assert table.endpoints["sonnet"].manner.timeout.total == 120
    pool = table.route("pool:all")
    assert [(one.name, one.weight) for one in pool.instances] == [("fast", 3), ("careful.last", 1)]


def test_a_tree_of_files_says_the_same_as_one_file(tmp_path: Path) -> None:
    import yaml

    data = yaml.safe_load(WHOLE)
    for section, folder in (
        ("endpoints", "llms/endpoints"),
        ("groups", "llms/groups"),
        ("pools", "llms/polling_pools"),
    ):
        for name, inner in data[section].items():
            named = inner if section == "endpoints" else {"name": name, **inner}
            written(tmp_path / "tree", yaml.safe_dump(named), f"{folder}/{name}.yaml")
    one = load(written(tmp_path, WHOLE), env={}).config
    tree = load(tmp_path / "tree", env={}).config
    assert {n: g.model_copy(update={"name": None}) for n, g in tree.groups.items()} == dict(
        one.groups
    )
    assert tree.endpoints == one.endpoints
    assert {n: p.model_copy(update={"name": None}) for n, p in tree.pools.items()} == dict(
        one.pools
    )


def test_a_project_file_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written(
        tmp_path,
        """
        [tool.midstream.groups.fast.echelon1]
        models = ["openai:gpt-4o"]
        rpm_limit = 7
        """,
        "pyproject.toml",
    )
    monkeypatch.chdir(tmp_path)
    found = load(env={})
    assert found.config.groups["fast"].echelons[0].rpm_limit == 7
    assert found.files == (Path("pyproject.toml"),)


def test_what_is_named_comes_before_the_environment_and_that_before_what_is_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there, named = (
        written(tmp_path, "model: 'group:here'"),
        written(tmp_path, "model: 'group:there'", "there.yaml"),
        written(tmp_path, "model: 'group:named'", "named.yaml"),
    )
    monkeypatch.chdir(here.parent)
    env = {"MIDSTREAM_CONFIG": str(there)}
    assert load(env={}).config.model == "group:here"
    assert load(env=env).config.model == "group:there"
    assert load(named, env=env).config.model == "group:named"


def test_nothing_at_all_is_a_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert load(env={}).config.groups == {}


def test_the_environment_wins_over_files_and_the_origin_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, WHOLE)
    env = {
        "MIDSTREAM_GROUPS__FAST__FALLBACK_CONFIG__MAX_ATTEMPTS": "9",
        "MIDSTREAM_GROUPS__FAST__ECHELON1__MODELS": '["sonnet"]',
        "MIDSTREAM_BREAKER__RECOVERY_TIME": "7s",
        "MIDSTREAM_ENDPOINTS__US__RPM": "11",
        "MIDSTREAM_DB": "elsewhere.db",
    }
    loaded = load(path, env=env)
    assert loaded.config.groups["fast"].fallback_config.max_attempts == 9
    assert loaded.config.groups["fast"].echelons[0].models == ("sonnet",)
    assert loaded.config.breaker.recovery_time == 7
    rows = {where: (value, origin) for where, value, origin in loaded.effective()}
    assert rows["endpoints.us.rpm"] == (11, "environment MIDSTREAM_ENDPOINTS__US__RPM")
    assert rows["endpoints.eu.rpm"] == (200, str(path))
    assert rows["groups.fast.echelons[0].models"][1].endswith("ECHELON1__MODELS")
    assert rows["groups.careful.echelons[1].models"] == (["openai:gpt-4o-mini"], str(path))
    assert rows["groups.fast.echelons[0].rpm_limit"] == (600, str(path))
    assert rows["breaker.failure_threshold"] == (5, "default")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("endpoints: {us: {modle: x}}", "endpoints.us: unknown key 'modle'; did you mean 'model'?"),
        ("gruops: {}", "unknown key 'gruops'; did you mean 'groups'?"),
        (
            "groups: {f: {echelons: [{models: [gpt-4o], priorty: 1}]}}",
            "groups.f.echelons[0]: unknown key 'priorty'; did you mean 'priority'?",
        ),
        (
            "groups: {f: {echelon1: {models: [sonet]}}}\nendpoints: {sonnet: {model: claude-3}}",
            "groups.f.echelons.echelon1.models: no endpoint is named 'sonet'",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}, fallback_config: {strategy: echelon_dwn}}}",
            "groups.f.fallback_config.strategy: no fallback strategy is named 'echelon_dwn'; "
            "did you mean 'echelon_down'?",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}, fallback_config: {fallback_groups: [g]}}}",
            "groups.f.fallback_config.fallback_groups[0]: no group named 'g'; known: f",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}}}\npools: {p: {task_groups: [f.echelon2]}}",
            "pools.p.task_groups[0]: group 'f' has no echelon named 'echelon2'; did you mean 'echelon1'?",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}}}\npools: {p: {task_groups: [f], weights: {g: 1}}}",
            "pools.p.weights.g: no instance of this pool",
        ),
        (
            "groups: {f: {fall_on: [rate_limit], echelon1: {models: [gpt-4o]}}}",
            "groups.f.fall_on[0]",
        ),
        ("groups: {f: {description: x}}", "groups.f.echelons: Field required"),
        (
            "groups: {f: {echelons: [{name: a, models: [gpt-4o]}, {name: a, models: [gpt-4o]}]}}",
            "'a'",
        ),
        (
            "breaker: {recovery_time: soon}",
            "breaker.recovery_time: must be seconds, or a text such as",
        ),
        ("breaker: {failure_threshold: 0}", "breaker.failure_threshold"),
        ("model: a\nmodel: b", "key 'model' stands twice"),
        ("[1]", "must hold keys and values, not a list"),
        ("a: [", "this is not YAML"),
        ("endpoints: {us: {model: 'nobody:x'}}", "provider 'nobody', which is not known"),
        ("endpoints: {us: {model: 'mystery'}}", "'mystery' does not say whose it is"),
        ("task_groups: {}\ngroups: {}", "'task_groups' and 'groups' are the same"),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}, fallback_config: {strategy: provider_failover}}}",
            "provider_failover needs endpoints of two providers",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}, rotation_strategy: 'no.such:thing'}}",
            "strategy 'no.such:thing' cannot be had",
        ),
        (
            "groups: {f: {echelon1: {models: [gpt-4o]}, rotation_strategy: 'os:path'}}",
            "strategy 'os:path' has no method 'order'",
        ),
    ],
)
def test_what_is_wrong_is_named_with_its_place_and_what_is_known(
    tmp_path: Path, text: str, said: str
) -> None:
    assert said in refusal(tmp_path, text)


def test_all_that_is_wrong_is_told_at_once_with_the_file(tmp_path: Path) -> None:
    said = refusal(tmp_path, "endpoints: {us: {modle: x}, eu: {model: gpt-4o, rpm: 0}}")
    assert "endpoints.us" in said
    assert "endpoints.eu.rpm" in said
    assert str(tmp_path / "midstream.yaml") in said


@pytest.mark.parametrize("where", ["key_env: sk-very-secret", "api_key: sk-very-secret"])
def test_a_key_itself_is_refused_and_not_shown(tmp_path: Path, where: str) -> None:
    said = refusal(tmp_path, f"endpoints: {{us: {{model: gpt-4o, {where}}}}}")
    assert "key_env" in said
    assert "secret" not in said


def test_a_configuration_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot read the configuration"):
        load(tmp_path / "nothing.yaml", env={})
    with pytest.raises(ConfigError, match="there is no configuration in"):
        load(tmp_path, env={})


def test_one_name_in_two_files_of_a_tree_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        written(tmp_path, "{name: f, echelon1: {models: [gpt-4o]}}", f"groups/{name}.yaml")
    with pytest.raises(ConfigError, match=r"groups\.f is also in .*a\.yaml"):
        load(tmp_path, env={})


def test_a_name_that_is_not_configured_is_refused_with_the_nearest_one() -> None:
    table = Table(parse({"groups": {"fast": {"echelon1": {"models": ["gpt-4o"]}}}}))
    with pytest.raises(ConfigError, match="no group is named 'fsat'; did you mean 'fast'"):
        table.route("group:fsat")
    with pytest.raises(ConfigError, match="no echelon named 'echelon9'"):
        table.route("group:fast.echelon9")
    with pytest.raises(ConfigError, match="no pool is named 'all'"):
        table.route("pool:all")
    with pytest.raises(ConfigError, match="no endpoint is named 'us'"):
        table.route("endpoint:us")


def two(limit: int) -> str:
    return f"groups: {{fast: {{echelon1: {{models: ['fake:a'], rpm_limit: {limit}}}}}}}"


async def test_a_new_configuration_is_taken_whole_or_not_at_all(tmp_path: Path) -> None:
    path = written(tmp_path, two(5))
    fake = FakeEndpoint(latency=0)
    async with Router.load(path, adapters={"fake": fake}, env={}) as router:
        before = router.table
        written(tmp_path, "groups: {fast: {echelon1: {modles: [a]}}}")
        with pytest.raises(ConfigError, match="modles"):
            await router.reload()
        assert router.table is before
        assert "modles" in str(router.reload_error)
        assert (await router.call("group:fast", "hi")).text == "fine"
        written(tmp_path, two(7))
        await router.reload()
        assert router.reload_error is None
        assert router.table.route("group:fast").instances[0].stages[0].limits.rpm == 7


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110  # a file changes by itself
            await asyncio.sleep(0.01)


async def test_files_that_change_are_read_again_while_it_is_used(tmp_path: Path) -> None:
    path = written(tmp_path, two(5))
    async with Router.load(path, adapters={"fake": FakeEndpoint()}, watch=0.01, env={}) as router:

        def limit() -> int | None:
            return router.table.route("group:fast").instances[0].stages[0].limits.rpm

        for wanted in (7, 9):
            written(tmp_path, two(wanted) + "\n" * wanted)
            await until(lambda: limit() == wanted)  # noqa: B023  # ends here
        written(tmp_path, "groups: [")
        await until(lambda: router.reload_error is not None)
        assert limit() == 9


def test_the_key_of_an_endpoint_is_looked_up_by_its_name(tmp_path: Path) -> None:
    loaded: Loaded = load(written(tmp_path, WHOLE), env={})
    router = Router(loaded, env={"OPENAI_API_KEY": "k"})
    assert router.adapter(router.table.endpoints["us"]).provider == "openai"
    with pytest.raises(ConfigError, match=r"endpoints\.eu: EU_KEY is not set"):
        router.adapter(router.table.endpoints["eu"])


def test_the_environment_of_the_process_is_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, "MIDSTREAM_MODEL", "group:fast")
    assert load(written(tmp_path, WHOLE)).config.model == "group:fast"
