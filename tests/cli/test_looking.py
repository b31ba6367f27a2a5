"""`runs`, `show` and `tail`."""

from __future__ import annotations

import json
import signal
from hashlib import sha256
from pathlib import Path

import pytest

from midstream.events import RunInfo

from .conftest import Command
from .processes import SOON, spawn, until_exists


def test_a_store_that_is_not_there_is_code_5_and_is_not_made(command: Command) -> None:
    done = command("runs")
    assert (done.code, command.db.exists()) == (5, False)
    assert done.said.startswith("StoreOpenError: cannot open")


def test_a_file_that_is_not_a_store_is_code_5_and_is_left_as_it_is(command: Command) -> None:
    command.db.write_text("a diary")
    assert command("show").code == 5
    assert command.db.read_text() == "a diary"


def test_runs_are_listed_the_newest_first(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "first")
    command("start", "shop:bad", "--run-id", "second", "--tag", "team=blue")
    done = command("runs", "--json")
    assert [(row["run_id"], row["status"]) for row in done.rows] == [
        ("second", "failed"),
        ("first", "completed"),
    ]
    assert set(done.rows[0]) == set(RunInfo.__dataclass_fields__)
    assert [row["run_id"] for row in command("runs", "--json", "--tag", "team=blue").rows] == [
        "second"
    ]


def test_runs_can_be_chosen_by_status(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann")
    assert command("runs", "--json", "-s", "failed").rows == []
    assert len(command("runs", "--json", "-s", "completed").rows) == 1
    assert command("runs", "-s", "asleep").code == 2


def test_the_table_of_runs_names_driver_and_tags(command: Command, half_done: str) -> None:
    out = command("runs").out
    assert out.splitlines()[0].split() == [
        "RUN",
        "GRAPH",
        "STATUS",
        "AGE",
        "EVENTS",
        "DRIVER",
        "TAGS",
    ]
    assert "half  sleepy  ◐ running" in out
    assert "none" in out


@pytest.mark.parametrize("words", [("show", "half"), ("tail", "half"), ("verify",), ("doctor",)])
def test_looking_leaves_the_file_as_it_was(
    command: Command, half_done: str, words: tuple[str, ...]
) -> None:
    before = sha256(command.db.read_bytes()).hexdigest()
    command(*words)
    assert sha256(command.db.read_bytes()).hexdigest() == before


def test_show_says_what_a_run_waits_for_and_what_to_do(command: Command, half_done: str) -> None:
    out = command("show", "half").out
    assert "half  sleepy  ◐ running" in out
    assert "openai:gpt-4o" in out
    assert "a timer, due in" in out
    assert "waits for  a driver: no live process holds it" in out
    assert "next       midstream resume half --graph MODULE:GRAPH" in out


def test_show_names_the_graph_that_start_was_given(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    (row,) = command("show", "r", "--json").rows
    assert row["tags"] == {"midstream.source": "shop:greet"}
    assert (row["status"], row["output"], row["next"]) == (
        "completed",
        "hello Ann",
        "midstream verify r",
    )
    assert [node["node"] for node in row["nodes"]] == ["say"]


def test_show_names_the_last_error(command: Command) -> None:
    command("start", "shop:bad", "--run-id", "r")
    assert "last error event 3, fall#1: ValueError: it" in command("show", "r").out


def test_suggested_commands_name_the_store_that_was_named(command: Command, half_done: str) -> None:
    out = command("show", "half", "--db", str(command.db)).out
    assert f"midstream --db {command.db} resume half" in out


def test_a_log_cannot_steer_the_terminal(command: Command) -> None:
    command("start", "shop:bad", "--run-id", "r")
    for words in (("show", "r"), ("tail", "r"), ("tail", "r", "--full")):
        assert "\x1b" not in command(*words).out


def test_a_run_is_found_by_the_beginning_of_its_id(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "order-1")
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "order-12")
    assert command("show", "order-12", "--json").rows[0]["run_id"] == "order-12"
    assert command("show", "order-1", "--json").rows[0]["run_id"] == "order-1"
    refused = command("show", "order")
    assert refused.code == 2
    assert "2 runs begin with 'order'" in refused.said


def test_a_run_is_found_by_its_place(command: Command) -> None:
    command("start", "shop:bad", "--run-id", "r1")
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r2")
    assert command("show", "@last", "--json").rows[0]["run_id"] == "r2"
    assert command("show", "@last-failed", "--json").rows[0]["run_id"] == "r1"
    assert command("show", "@first").code == 2


def test_a_run_that_is_not_there_is_code_4(command: Command, half_done: str) -> None:
    done = command("tail", "nobody")
    assert done.code == 4
    assert done.said.startswith("RunNotFoundError: there is no run 'nobody'")


def test_errors_are_json_where_json_is_asked_for(command: Command, half_done: str) -> None:
    done = command("--json", "tail", "nobody")
    assert '"error":"RunNotFoundError"' in done.said


def test_tail_writes_one_line_an_event(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    lines = command("tail", "r").out.splitlines()
    assert [line.split()[2] for line in lines] == [
        "run.created",
        "node.scheduled",
        "node.completed",
        "run.completed",
    ]


def test_tail_in_json_is_the_events_as_they_are(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    rows = command("tail", "r", "--json", "--after", "2").rows
    assert [row["seq"] for row in rows] == [3, 4]
    assert rows[1]["data"] == {"output": "hello Ann"}
    assert {"run_id", "at", "recorded_at", "type", "address", "digest"} <= set(rows[0])


def test_a_watched_list_tells_what_is_new_until_it_is_interrupted(
    command: Command, tmp_path: Path
) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r1")
    with spawn(tmp_path, "runs", "--watch", "--json", "not graph:odd") as watcher:
        assert watcher.stdout is not None
        assert json.loads(watcher.stdout.readline())["run_id"] == "r1"
        with spawn(tmp_path, "start", "shop:slow", "--run-id", "r2") as driver:
            first = json.loads(watcher.stdout.readline())
            assert (first["run_id"], first["status"]) == ("r2", "running")
            (tmp_path / "go").touch()
            while first["status"] == "running":
                first = json.loads(watcher.stdout.readline())
            assert (first["run_id"], first["status"]) == ("r2", "completed")
            assert driver.wait(SOON) == 0
        watcher.send_signal(signal.SIGINT)
        rest, _ = watcher.communicate(timeout=SOON)
    assert (rest, watcher.returncode) == ("", 130)


def test_tail_follows_until_the_run_has_ended(command: Command, tmp_path: Path) -> None:
    with spawn(tmp_path, "start", "shop:slow", "--run-id", "r") as driver:
        until_exists(tmp_path / "waiting")
        with spawn(tmp_path, "tail", "r", "-f", "--json") as follower:
            assert follower.stdout is not None
            assert '"run.created"' in follower.stdout.readline()
            (tmp_path / "go").touch()
            rest, _ = follower.communicate(timeout=SOON)
        assert driver.wait(SOON) == 0
    assert '"run.completed"' in rest.splitlines()[-1]
    assert follower.returncode == 0
