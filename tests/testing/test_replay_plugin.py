"""The pytest plugin: a recorded run is a test, which fails where the code has changed."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import midstream

ROOT = Path(midstream.__file__).parent.parent

GRAPH = """
from midstream import Context, Graph

greet = Graph("greet")

@greet.node
async def say(name: str, ctx: Context) -> str:
    await ctx.now()
    return f"hello {name}"
"""

RECORD = """
import asyncio
from greeting import greet
from midstream import Engine

async def main():
    async with Engine.open("runs.db") as engine:
        for name in ("Ann", "Bob"):
            await (await engine.start(greet, run_id=name, name=name))

asyncio.run(main())
"""

TEST = """
from greeting import greet
from midstream.testing.replaying import midstream_replay

@midstream_replay("runs.db", graph=greet, since="7d")
def test_recorded(replayed):
    assert replayed.identical, str(replayed)

@midstream_replay("runs.db", graph=greet, runs=["Bob"], strict=False)
async def test_one(replayed):
    replayed.check()
"""


def python(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}."},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_recorded_runs_are_a_regression_suite(tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(GRAPH)
    (tmp_path / "record.py").write_text(RECORD)
    (tmp_path / "test_greeting.py").write_text(TEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    assert python(tmp_path, "record.py").returncode == 0
    # The installed package brings its plugin along; a checkout names it.
    installed = entry_points(group="pytest11", name="midstream")
    named = () if installed else ("-p", "midstream.testing.replay_plugin")
    pytest = ("-m", "pytest", "-q", *named)
    done = python(tmp_path, *pytest)
    assert "3 passed" in done.stdout, done.stdout + done.stderr
    (tmp_path / "greeting.py").write_text(GRAPH.replace("hello", "hallo"))
    done = python(tmp_path, *pytest)
    assert "3 failed" in done.stdout, done.stdout + done.stderr
    assert "output: 'hello Ann' → 'hallo Ann'" in done.stdout
    assert "test_recorded[Bob]" in done.stdout


def test_the_plugin_loads_no_vendor_and_no_driver(tmp_path: Path) -> None:
    code = "import sys, midstream.testing.replay_plugin as p; print({'openai', 'aiosqlite'} & set(sys.modules))"
    done = python(tmp_path, "-c", code)
    assert done.stdout.strip() == "set()", done.stdout + done.stderr
