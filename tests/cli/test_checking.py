"""`verify`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from .conftest import Command


@pytest.fixture(autouse=True)
def two_runs(command: Command) -> None:
    for run in ("r1", "r2"):
        command("start", "shop:greet", "-i", "name=Ann", "--run-id", run)


def tamper(db: Path, statement: str) -> None:
    """Do what the triggers refuse."""
    with sqlite3.connect(db) as connection:
        triggers = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")
        for (name,) in triggers.fetchall():
            connection.execute(f'DROP TRIGGER "{name}"')
        assert connection.execute(statement).rowcount > 0
    connection.close()


def test_without_an_anchor_runs_are_verified_in_part(command: Command) -> None:
    done = command("verify")
    assert done.code == 3
    assert "✓ r1  4 events are as they were written; no anchor: the end is not checked" in done.out
    assert "verified in part" in done.err


def test_with_an_anchor_runs_are_verified_as_a_whole(command: Command, tmp_path: Path) -> None:
    command("verify", "--save-anchor", "heads.json")
    assert set(json.loads((tmp_path / "heads.json").read_text())) == {"r1", "r2"}
    done = command("verify", "--anchor", "heads.json", "--json")
    assert done.code == 0
    assert [(row["run_id"], row["sound"], row["anchored"]) for row in done.rows] == [
        ("r1", True, True),
        ("r2", True, True),
    ]


def test_a_run_that_is_newer_than_the_anchor_is_verified_in_part(command: Command) -> None:
    command("verify", "r1", "--save-anchor", "heads.json")
    assert command("verify", "r1", "--anchor", "heads.json").code == 0
    assert command("verify", "--anchor", "heads.json").code == 3


@pytest.mark.parametrize("kind", ["BLOB", "TEXT"])
def test_a_changed_event_is_found_by_run_and_seq(command: Command, kind: str) -> None:
    changed = f"CAST(replace(body, 'Ann', 'Bob') AS {kind})"
    tamper(command.db, f"UPDATE events SET body = {changed} WHERE seq = 3")
    done = command("verify", "r1")
    assert done.code == 1
    assert "✗ r1  damaged at event 3" in done.out


def test_newest_events_that_were_cut_off_are_found_by_the_anchor(command: Command) -> None:
    command("verify", "--save-anchor", "heads.json")
    tamper(command.db, "DELETE FROM events WHERE seq = 4")
    assert command("verify").code == 3
    done = command("verify", "--anchor", "heads.json")
    assert done.code == 1
    assert "the log ends at event 3, the anchor names event 4" in done.out


def test_a_run_that_is_lost_is_found_by_the_anchor(command: Command, tmp_path: Path) -> None:
    heads = {"r0": {"seq": 1, "digest": "00"}}
    (tmp_path / "heads.json").write_text(json.dumps(heads))
    done = command("verify", "--anchor", "heads.json")
    assert done.code == 1
    assert "✗ r0  damaged at event 1: the anchor names this run" in done.out


@pytest.mark.parametrize(
    "body", ["no json", "[1]", '{"r1": 1}', '{"r1": {"seq": "x", "digest": ""}}']
)
def test_a_file_that_is_no_anchor_is_code_2(command: Command, tmp_path: Path, body: str) -> None:
    (tmp_path / "heads.json").write_text(body)
    done = command("verify", "--anchor", "heads.json")
    assert done.code == 2
    assert "is no anchor file" in done.said


def test_an_anchor_that_is_not_there_is_code_2(command: Command) -> None:
    assert command("verify", "--anchor", "none.json").code == 2
    assert command("verify", "--save-anchor", "none/heads.json").code == 2
