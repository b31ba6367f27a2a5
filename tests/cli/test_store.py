"""`db`: `stats`, `backup`, `vacuum`."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
from pathlib import Path

import pytest

from .conftest import Command
from .processes import SOON, spawn, until_exists
from .test_checking import tamper


@pytest.fixture(autouse=True)
def one_run(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")


def test_stats_count_what_is_there(command: Command) -> None:
    (row,) = command("db", "stats", "--json", "--by-type").rows
    assert (row["runs"], row["events"]) == ({"completed": 1}, 4)
    assert row["by_type"]["run.created"]["events"] == 1
    out = command("db", "stats", "--by-type").out
    assert "runs       1  1 completed; 0 are forks" in out
    assert "  run.created " in out


def test_a_backup_is_checked_and_can_be_used(command: Command, tmp_path: Path) -> None:
    done = command("db", "backup", "copy.db")
    assert done.code == 0
    assert "every event in it was checked" in done.out
    assert command("--db", "copy.db", "show", "r").code == 0
    assert sorted(file.name for file in tmp_path.glob("*copy.db*")) == ["copy.db"]


def test_a_backup_replaces_nothing_unless_it_is_told_to(command: Command, tmp_path: Path) -> None:
    (tmp_path / "copy.db").write_text("a diary")
    refused = command("db", "backup", "copy.db")
    assert refused.code == 2
    assert "pass --force" in refused.said
    assert (tmp_path / "copy.db").read_text() == "a diary"
    assert (
        command("db", "backup", "copy.db", "--force", "--quick", "--json").rows[0]["verified"]
        is False
    )
    assert command("db", "backup", "runs.db", "--force").code == 2


def test_a_backup_of_a_damaged_log_is_not_kept(command: Command, tmp_path: Path) -> None:
    tamper(command.db, """UPDATE events SET at = at + 1 WHERE seq = 2""")
    done = command("db", "backup", "copy.db")
    assert done.code == 5
    assert "event 2" in done.said
    assert list(tmp_path.glob("*copy.db*")) == []


def test_a_backup_into_a_folder_that_is_not_there_says_so(command: Command) -> None:
    assert command("db", "backup", "nowhere/copy.db").code == 2


def test_a_vacuum_is_refused_while_somebody_drives(command: Command, tmp_path: Path) -> None:
    with spawn(tmp_path, "start", "shop:slow", "--run-id", "slow") as driver:
        until_exists(tmp_path / "waiting")
        refused = command("db", "vacuum")
        allowed = command("db", "vacuum", "--live")
        (tmp_path / "go").touch()
        assert driver.wait(SOON) == 0
    assert refused.code == 2
    assert "1 live processes drive runs" in refused.said
    assert allowed.code == 0
    assert command("verify").code == 3


def test_a_vacuum_says_what_it_gave_back(command: Command) -> None:
    (row,) = command("db", "vacuum", "--json").rows
    assert row["after"] <= row["before"]
    assert " became " in command("db", "vacuum").out


def test_ctrl_c_leaves_no_half_of_a_backup(command: Command, tmp_path: Path) -> None:
    with sqlite3.connect(command.db) as connection:
        connection.execute(
            "INSERT INTO blobs (digest, body) VALUES (zeroblob(32), zeroblob(200000000))"
        )
    connection.close()
    with spawn(tmp_path, "db", "backup", "copy.db") as process:
        until_part(tmp_path)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=SOON)
    assert process.returncode == 130
    assert list(tmp_path.glob("*copy.db*")) == []


def until_part(folder: Path) -> None:
    import time

    give_up = time.monotonic() + SOON
    while not list(folder.glob(".copy.db.*")):
        assert time.monotonic() < give_up
        time.sleep(0.001)


def completions(folder: Path, words: str) -> list[str]:
    import os
    import sys

    import midstream

    done = subprocess.run(
        [sys.executable, "-m", "midstream.cli"],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONPATH": str(Path(midstream.__file__).parent.parent),
            "_MIDSTREAM_COMPLETE": "complete_bash",
            "COMP_WORDS": f"midstream {words}",
            "COMP_CWORD": str(len(words.split(" "))),
        },
        capture_output=True,
        text=True,
        timeout=SOON,
        check=False,
    )
    return done.stdout.split()


def test_shells_complete_commands_runs_and_places(command: Command, tmp_path: Path) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "order-1")
    assert "show" in completions(tmp_path, "sh")
    assert completions(tmp_path, "show ord") == ["order-1"]
    assert sorted(completions(tmp_path, "diff r ord")) == ["order-1"]
    assert sorted(completions(tmp_path, "show ")) == ["order-1", "r"]
    assert completions(tmp_path, "show @last-") == ["@last-failed"]
    assert completions(tmp_path, "--db other.db show ord") == []
