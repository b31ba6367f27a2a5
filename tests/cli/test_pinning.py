"""`export pytest`: a test file that holds the code to a recorded run."""

from __future__ import annotations

import ast
import asyncio
import importlib
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import midstream
from midstream import Context, Engine, Graph
from midstream.testing.pinned import Pinned

from .conftest import Command
from .processes import SOON

TRIPS = """
from midstream import Context, Graph

trip = Graph("trip")

@trip.node
async def research(city: str, ctx: Context) -> str:
    return (await ctx.llm(f"Sights in {city}", model="demo:small")).text

@trip.node
async def plan(research: str, ctx: Context) -> str:
    reply = await ctx.llm(f"A day from: {research}", model="demo:small")
    return reply.text
"""


def answer(said: Any) -> str:
    return f'<{said[-1].text}> \u202e """ \\ \' é'


def record(folder: Path, run_id: str = "r1", *, tags: dict[str, str] | None = None) -> None:
    """Record a run of the graph in trips.py."""
    (folder / "trips.py").write_text(TRIPS, encoding="utf-8")
    code: dict[str, Any] = {}
    exec(TRIPS, code)  # the test's own

    async def begin() -> None:
        models = {"demo:small": answer}
        async with Engine.open(folder / "runs.db", models=models) as engine:
            await (await engine.start(code["trip"], run_id=run_id, city="Rome" * 3, tags=tags))

    asyncio.run(begin())


def rewrite(folder: Path, old: str, new: str) -> None:
    """Change the code, to a file of another length, so that nothing compiled of it is used."""
    code = (folder / "trips.py").read_text(encoding="utf-8")
    assert old in code
    (folder / "trips.py").write_text(code.replace(old, new), encoding="utf-8")


def pytest_of(folder: Path, file: str) -> str:
    """What pytest says of a test file, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", file],
        cwd=folder,
        env={
            **os.environ,
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            "PYTHONPATH": str(Path(midstream.__file__).parent.parent),
        },
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    ).stdout


def failures(folder: Path, file: str) -> list[str]:
    """What the tests of a file raise, with the code as it is now."""
    sys.modules.pop("trips", None)
    importlib.invalidate_caches()
    sys.path.insert(0, str(folder))
    found: list[str] = []
    names = runpy.run_path(str(folder / file))
    for test in (value for name, value in names.items() if name.startswith("test_")):
        try:
            test()
        except (AssertionError, midstream.errors.MidstreamError) as error:
            found.append(f"{type(error).__name__}: {error}")
    return found


@pytest.mark.parametrize("inline", [True, False])
def test_the_test_passes_until_a_node_decides_otherwise(
    command: Command, tmp_path: Path, inline: bool
) -> None:
    record(tmp_path)
    words = ("--inline",) if inline else ()
    done = command("export", "pytest", "r1", "--graph", "trips:trip", "-o", "test_r1.py", *words)
    assert done.code == 0
    assert (tmp_path / "test_r1.jsonl").exists() is not inline
    (tmp_path / "runs.db").unlink()
    assert failures(tmp_path, "test_r1.py") == []
    rewrite(tmp_path, "A day from:", "A week from:")
    (failed,) = failures(tmp_path, "test_r1.py")
    assert failed.startswith("ReplayError")
    assert "plan#1/llm:" in failed
    assert "A week from" in failed


def test_pytest_runs_the_test_as_it_stands(command: Command, tmp_path: Path) -> None:
    record(tmp_path)
    command("export", "pytest", "r1", "--graph", "trips:trip", "-o", "test_r1.py")
    (tmp_path / "runs.db").unlink()
    assert "2 passed" in pytest_of(tmp_path, "test_r1.py")


def test_a_moment_pins_what_came_before_it_and_nothing_else(
    command: Command, tmp_path: Path
) -> None:
    record(tmp_path)
    command("export", "pytest", "r1", "--at", "plan#1", "--graph", "trips:trip", "-o", "test_r1.py")
    log = (tmp_path / "test_r1.jsonl").read_text(encoding="utf-8")
    assert "Sights in" in log
    assert "A day from" not in log
    rewrite(tmp_path, "A day from:", "A week from:")
    assert failures(tmp_path, "test_r1.py") == []
    rewrite(tmp_path, "Sights in", "Food in")
    assert len(failures(tmp_path, "test_r1.py")) == 1


def test_a_fork_is_pinned_with_what_it_shares(command: Command, tmp_path: Path) -> None:
    record(tmp_path)
    command("fork", "r1", "--at", "plan#1", "--run-id", "f1", "--paused", "--graph", "trips:trip")
    done = command("export", "pytest", "f1", "--graph", "trips:trip", "-o", "test_f1.py")
    assert done.code == 0
    assert "A day from" not in (tmp_path / "test_f1.jsonl").read_text(encoding="utf-8")
    assert failures(tmp_path, "test_f1.py") == []


def test_the_code_is_what_start_was_given(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r1")
    source = command("export", "pytest", "r1").out
    assert "from shop import greet\n" in source
    assert "state.activations['say#1'].output == 'hello Ann'" in source
    ast.parse(source)


@pytest.mark.parametrize("place", ["", "os; import sys:x", "class:trip", "trips", "a.b:c d"])
def test_a_log_cannot_put_code_into_a_test(command: Command, tmp_path: Path, place: str) -> None:
    record(tmp_path, tags={"midstream.source": place} if place else None)
    done = command("export", "pytest", "r1")
    assert (done.code, done.out) == (2, "")
    assert "pass --graph MODULE:GRAPH" in done.said


def test_a_test_without_its_log_says_so(tmp_path: Path) -> None:
    graph = Graph("g")

    @graph.node
    async def one(ctx: Context) -> str:
        return ""

    with pytest.raises(midstream.errors.ConfigError, match="belongs beside the test"):
        Pinned(tmp_path / "none.jsonl", run="r1", graph=graph).replay()


def test_a_log_that_was_changed_is_refused(command: Command, tmp_path: Path) -> None:
    record(tmp_path)
    command("export", "pytest", "r1", "--graph", "trips:trip", "-o", "test_r1.py")
    log = tmp_path / "test_r1.jsonl"
    log.write_text(log.read_text(encoding="utf-8").replace("Rome", "Oslo"), encoding="utf-8")
    assert "CorruptLogError" in failures(tmp_path, "test_r1.py")[0]
