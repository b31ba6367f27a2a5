"""What a command loads before its first line: commands that look ask nobody, so they load no vendor's SDK."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import midstream

from .conftest import Command
from .processes import SOON

VENDORS = {"openai", "anthropic", "google", "mcp", "opentelemetry", "genai_prices", "httpx"}

RUN = """
import json, sys
from midstream.cli.app import main
try:
    main()
except SystemExit as ended:
    print("\\n" + json.dumps([ended.code, sorted(sys.modules)]), file=sys.stderr)
"""

LOOKING = (
    "runs",
    "runs has:error",
    "show r",
    "show r --state",
    "show r --step say",
    "tail r",
    "trace r",
    "diff r r2",
    "verify",
    "questions",
    "db stats",
    "db backup copy.db",
    "export jsonl r",
    "export otel r",
    "export html r",
)


@pytest.mark.parametrize("words", LOOKING)
def test_a_command_that_looks_loads_no_vendor(command: Command, words: str) -> None:
    for run in ("r", "r2"):
        command("start", "shop:greet", "-i", "name=Ann", "--run-id", run)
    done = subprocess.run(
        [sys.executable, "-c", RUN, *words.split()],
        env={**os.environ, "PYTHONPATH": str(Path(midstream.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code in (None, 0, 1, 3), done.stderr
    assert {name.partition(".")[0] for name in modules} & VENDORS == set()


def test_a_command_loads_no_other_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "show", "--help"],
        env={**os.environ, "PYTHONPATH": str(Path(midstream.__file__).parent.parent)},
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    loaded = {name for name in modules if name.startswith("midstream.")}
    assert loaded == {
        "midstream.cli",
        "midstream.cli.app",
        "midstream.cli.app_looking",
        "midstream.cli.completing",
        "midstream.cli.exits",
        "midstream.cli.options",
        "midstream.cli.output",
        "midstream.cli.settings",
        "midstream.errors",
    }
