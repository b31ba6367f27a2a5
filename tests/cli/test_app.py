"""What holds for every command: where global options may stand, help, and what an import costs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import midstream
from midstream.cli.app import COMMANDS as ALL
from midstream.cli.app import GROUPS, app, application, globals_first, wanted

from .conftest import Command

COMMANDS = (
    "db",
    "export",
    "demo",
    "start",
    "runs",
    "show",
    "tail",
    "resume",
    "migrate",
    "pause",
    "cancel",
    "settle",
    "verify",
    "doctor",
)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("runs --json", "--json runs"),
        ("show r --db x.db --no-color", "--db x.db --no-color show r"),
        ("show r --db=x.db", "--db=x.db show r"),
        ("show -- --json", "show -- --json"),
        ("runs --db", "--db runs"),
    ],
)
def test_global_options_may_stand_anywhere(given: str, meant: str) -> None:
    assert globals_first(given.split()) == meant.split()


@pytest.mark.parametrize("name", [*ALL, *GROUPS])
def test_a_command_alone_is_the_one_among_all(name: str) -> None:
    def help_of(application: typer.Typer) -> str:
        found = CliRunner().invoke(application, [name, "--help"], prog_name="midstream")
        assert found.exit_code == 0
        return found.output

    assert help_of(application(wanted([name]))) == help_of(app)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ("show r", ("show",)),
        ("--db x.db --json show r", ("show",)),
        ("--db=show runs", ("runs",)),
        ("--config show db stats", ("db",)),
        ("--version", ()),
        ("--help", (*ALL, *GROUPS)),
        ("--json", (*ALL, *GROUPS)),
        ("shwo r", (*ALL, *GROUPS)),
        ("", (*ALL, *GROUPS)),
    ],
)
def test_only_what_is_wanted_is_made(given: str, names: tuple[str, ...]) -> None:
    assert tuple(wanted(given.split())) == names


def test_a_shell_that_completes_is_offered_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_MIDSTREAM_COMPLETE", "complete_bash")
    assert tuple(wanted(["show"])) == (*ALL, *GROUPS)


def test_help_names_every_command_and_exit_code(command: Command) -> None:
    out = " ".join(command("--help").out.split())
    for name in COMMANDS:
        assert f" {name} " in out
    for code in ("0 fine", "1 what", "2 wrong", "3 verified", "4 no", "5 the store", "130"):
        assert code in out


def test_the_version_is_told(command: Command) -> None:
    done = command("--version")
    assert (done.code, done.out) == (0, f"{midstream.__version__}\n")


def test_an_unknown_option_is_code_2(command: Command) -> None:
    assert command("runs", "--none").code == 2


def test_help_loads_no_engine_no_driver_and_no_vendor() -> None:
    code = "import json, sys, midstream.cli; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(midstream.__file__).parent.parent,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    loaded = {name.partition(".")[0] for name in json.loads(done.stdout)}
    assert loaded & {"pydantic", "aiosqlite", "openai", "anthropic", "structlog", "httpx"} == set()
    assert "midstream.engine" not in json.loads(done.stdout)
