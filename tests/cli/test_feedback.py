"""`feedback`, by options and by keys."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import midstream

from .conftest import Command


def added(command: Command, run: str) -> list[dict[str, Any]]:
    rows = command("tail", run, "--json").rows
    return [row for row in rows if row["type"] == "feedback.added"]


@pytest.fixture
def greeted(command: Command) -> str:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    return "r"


def test_feedback_is_recorded_with_its_author(command: Command, greeted: str) -> None:
    done = command("feedback", greeted, "say#1", "--correct", "greet Bob, too", "--by", "ann")
    assert done.code == 0
    assert "recorded: correction on say#1 r" in done.said
    (row,) = added(command, greeted)
    assert (row["address"], row["actor"]) == ("say#1", "user:ann")
    (again,) = command(
        "feedback", greeted, "--score", "0.5", "--program", "--id", "x", "--json"
    ).rows
    assert again == {"run_id": "r", "step": None, "kind": "score", "id": "x"}
    assert added(command, greeted)[1]["actor"] == "program"


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("say#2", "--good"), 4, "did you mean 'say#1'?"),
        (("--good", "--bad"), 2, "say only one of"),
        ((), 2, "a terminal is needed"),
        (("--correct", "a", "--text", "b"), 2, "has the text already"),
    ],
)
def test_feedback_that_cannot_be_is_refused(
    command: Command, greeted: str, words: tuple[str, ...], code: int, expected: str
) -> None:
    done = command("feedback", greeted, *words)
    assert (done.code, expected in done.said) == (code, True)
    assert not added(command, greeted)


def test_a_run_that_is_not_there_is_refused(command: Command, greeted: str) -> None:
    assert command("feedback", "nobody", "--good").code == 4


def pressing(folder: Path, keys: bytes, *words: str) -> str:
    """Run the command on a terminal of its own, press keys, and return what it showed."""
    ours, theirs = pty.openpty()
    place = str(Path(midstream.__file__).parent.parent)
    with subprocess.Popen(
        [sys.executable, "-m", "midstream", "feedback", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": place},
        stdin=theirs,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        os.write(ours, keys)
        out, _ = process.communicate(timeout=30)
    os.close(ours)
    os.close(theirs)
    assert process.returncode == 0, out
    return out.decode()


def test_a_key_press_judges_a_step(command: Command, half_done: str, tmp_path: Path) -> None:
    shown = pressing(tmp_path, b"x+", half_done)
    assert "+ good, - bad" in shown
    (row,) = added(command, half_done)
    assert row["data"]["kind"] == "positive"
    assert row["address"].startswith("doze#1/llm:")


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (b"-", ("negative", None, None)),
        (b"9", ("score", 1.0, None)),
        (b"cBe brief.\n", ("correction", None, "Be brief.")),
        (b" ", None),
        (b"q", None),
    ],
)
def test_keys_say_what_the_options_say(
    command: Command, greeted: str, tmp_path: Path, keys: bytes, expected: Any
) -> None:
    pressing(tmp_path, keys, greeted, "say#1")
    said = [
        (row["data"]["kind"], row["data"].get("score"), row["data"].get("text"))
        for row in added(command, greeted)
    ]
    assert said == ([] if expected is None else [expected])
