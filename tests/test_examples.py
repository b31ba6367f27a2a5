"""The examples are whole programs: each runs without a key and without a network."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import midstream

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))
LAST = {
    "cost_limit.py": "4 requests, 0 refused",
    "adder.py": "27",
    "choose_tools.py": "['Rome: 21 degrees', 'Rome: 2.8 million', 'Oslo: 21 degrees']",
    "plan_itself.py": "published: facts about otters! facts about otters! facts about otters!",
    "sum_by_goto.py": "5050",
    "crash_and_resume.py": "in the world outside: ['charged otter-7', 'sent otter-7']",
    "fastapi_service.py": "id: 10 event: run.completed",
    "graph_from_yaml.py": "Rome: A morning at sights in Rome, number 1. / A morning at sights in Rome, number 2.",
    "in_a_service.py": "Otters hold hands.",
    "migrate_midstream.py": (
        " 13 run.completed    output 'In Rome, by 15.5 degrees (said by anthropic:claude-sonnet-4-5)'"
    ),
    "notebook.py": "search",
    "worker.py": "report-ann -> report for ann",
}
NEEDS = {"fastapi_service.py": ("fastapi", "httpx")}
"""What an example needs beside midstream; without it, its test is skipped."""


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.name)
def test_an_example_ends_as_it_should(example: Path, tmp_path: Path) -> None:
    for package in NEEDS.get(example.name, ()):
        pytest.importorskip(package)
    environment = {
        **{name: value for name, value in os.environ.items() if not name.endswith("_API_KEY")},
        "PYTHONPATH": str(Path(midstream.__file__).parent.parent),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error", example],
        cwd=tmp_path,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == LAST[example.name]
    assert list(tmp_path.iterdir()) == []
