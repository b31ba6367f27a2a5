"""`models`, `config`, `policy` and `doctor config`."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from midstream import Context, Engine, Graph
from midstream.cli.app import app, globals_first
from midstream.testing import Answer, Fault, ProviderServer, Seen

CONFIG = """
endpoints:
  us: {{model: "openai:gpt-4o", base_url: "{url}", key_env: KEY_US, rpm: 60}}
groups:
  fast: {{echelon1: {{models: [us]}}}}
"""

Command = Callable[..., tuple[int, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KEY_US", "any")
    for name in ("MIDSTREAM_DB", "MIDSTREAM_CONFIG"):
        monkeypatch.delenv(name, raising=False)

    def run(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, globals_first([str(word) for word in words]))
        return done.exit_code, done.output

    return run


def configured(url: str = "http://127.0.0.1:1/v1") -> None:
    Path("midstream.yaml").write_text(CONFIG.format(url=url))


def test_endpoints_are_listed_drained_and_reset(command: Command) -> None:
    configured()
    assert "✓ us" in command("models", "list")[1]
    assert command("models", "drain", "us", "--reason", "repair")[0] == 0
    assert "drained" in command("models", "list", "--group", "group:fast")[1]
    code, output = command("--json", "models", "list")
    assert (code, json.loads(output)["drained"]) == (0, True)
    assert command("models", "reset", "us")[0] == 0
    assert "drained" not in command("models", "list")[1]
    code, output = command("models", "drain", "eu")
    assert code == 2
    assert "no endpoint is named 'eu'" in output
    assert command("models", "reset")[0] == 2
    assert command("models", "reset", "--stats")[0] == 0
    assert "midstream_route_requests_total" in command("models", "list", "--prometheus")[1]


def test_a_check_makes_one_small_call_to_each_endpoint(command: Command) -> None:
    def answer(seen: Seen) -> Answer | Fault:
        return Answer("ok")

    with ProviderServer(answer) as server:
        configured(server.openai_url)
        code, output = command("models", "check")
        assert (code, "✓ us" in output, len(server.requests)) == (0, True, 1)
        assert "1 calls, 100% answered" in command("models", "list")[1]
    configured()
    code, output = command("models", "check", "--group", "endpoint:us")
    assert code == 1
    assert "✗ us" in output


def test_commands_about_endpoints_want_a_configuration(command: Command) -> None:
    code, output = command("models", "list")
    assert code == 2
    assert "no endpoints are configured" in output


def test_the_values_in_force_are_printed_with_their_origin(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured()
    monkeypatch.setenv("MIDSTREAM_ENDPOINTS__US__RPM", "7")
    monkeypatch.delenv("KEY_US")
    code, output = command("doctor", "config")
    assert code == 0
    assert "endpoints.us.rpm = 7  (environment MIDSTREAM_ENDPOINTS__US__RPM)" in output
    assert "endpoints.us.model = openai:gpt-4o  (midstream.yaml)" in output
    assert "KEY_US is not set" in output
    Path("other.yaml").write_text("groups: {f: {}}")
    code, output = command("doctor", "config", "--config", "other.yaml")
    assert code == 2
    assert "groups.f.echelons" in output
    assert command("doctor", "wealth")[0] == 2


def test_old_files_are_migrated_once(command: Command) -> None:
    folder = Path("conf/llms/models")
    folder.mkdir(parents=True)
    old = {"name": "m", "model": "openai:gpt-4o", "fallback_models": ["openai:gpt-4o-mini"]}
    (folder / "m.yaml").write_text(yaml.safe_dump(old))
    code, output = command("config", "migrate", "conf", "--validate-only")
    assert (code, (folder / "m.yaml").exists()) == (0, True)
    assert "nothing was written" in output
    code, output = command("config", "migrate", "conf", "--verbose")
    assert code == 0
    assert "group 'm'" in output
    assert len(list(Path().glob("conf.backup-*"))) == 1
    assert "nothing to do" in command("config", "migrate", "conf", "--no-backup")[1]
    assert command("config", "migrate", "nowhere")[0] == 2


def test_a_policy_is_tried_on_a_recorded_run(command: Command, tmp_path: Path) -> None:
    graph = Graph("one")

    @graph.node(output=True)
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hi")).text

    async def run() -> None:
        async with Engine.open(
            tmp_path / "runs.db", models={"gpt-4o": ["a"]}, model="openai:gpt-4o"
        ) as engine:
            await (await engine.start(graph, run_id="r"))

    asyncio.run(run())
    Path("p.yaml").write_text(
        "policies: [{type: preference, models: ['anthropic:claude-sonnet-4-5']}]"
    )
    code, output = command("policy", "test", "r", "--policy", "p.yaml")
    assert code == 0
    assert "openai:gpt-4o → anthropic:claude-sonnet-4-5" in output
    assert "1 of 1 model calls would have gone elsewhere" in output
    code, output = command("--json", "policy", "test", "@last", "--policy", "p.yaml")
    assert json.loads(output.splitlines()[0])["policy"] == "preference"
    Path("p.yaml").write_text("policies: [{type: wish}]")
    assert command("policy", "test", "r", "--policy", "p.yaml")[0] == 2
