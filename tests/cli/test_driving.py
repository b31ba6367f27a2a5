"""`start` and `resume`."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import pytest

from .conftest import Command
from .processes import SOON, spawn, until_exists


def test_the_output_is_all_that_start_writes_to_stdout(command: Command) -> None:
    done = command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    assert (done.code, done.out) == (0, "hello Ann\n")
    assert "run r of graph greet is in the log" in done.err
    assert "run.completed" in done.err


def test_quiet_says_nothing_of_what_happens_in_between(command: Command) -> None:
    assert "run.completed" not in command("start", "shop:greet", "-i", "name=Ann", "-q").err


def test_the_first_row_says_that_the_run_is_in_the_log(command: Command) -> None:
    done = command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r", "--json")
    assert done.rows == [
        {"run_id": "r", "graph": "greet", "status": "running"},
        {"run_id": "r", "status": "completed", "output": "hello Ann"},
    ]


def test_an_input_is_json_where_it_is_json(command: Command) -> None:
    done = command("start", "shop:greet", "-i", "name=Ann", "-i", "times=2", "-q")
    assert done.out == "hello Ann hello Ann\n"


def test_inputs_come_from_a_file_and_single_ones_win(command: Command, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('{"name": "Ann", "times": 2}')
    done = command("start", "shop:greet", "--input", "in.json", "-i", "name=Bo", "-q")
    assert done.out == "hello Bo hello Bo\n"


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("shop:greet",), "GraphError: graph 'greet': input 'name' is missing"),
        (("shop:greet", "-i", "name"), "has no name; write it as in"),
        (("shop:greet", "--input", "none.json"), "ConfigError: cannot read 'none.json'"),
        (("shop:greet", "--input", "shop.py"), "ConfigError: 'shop.py' is not JSON"),
        (("shop:greet", "--tag", "x", "-i", "name=a"), "ConfigError: --tag 'x' has no name"),
        (("shop:greet", "--run-id", "../x", "-i", "name=a"), "ConfigError: run_id '../x'"),
        (("shop",), "ConfigError: 'shop' names no graph; write MODULE:GRAPH"),
        (("shop:none",), "GraphError: 'shop:none' is nothing, not a graph; graphs in that module"),
        (("nowhere:none",), "GraphError: cannot import 'nowhere'"),
    ],
)
def test_what_is_given_wrongly_is_code_2_and_one_line(
    command: Command, words: tuple[str, ...], expected: str
) -> None:
    done = command("start", *words)
    assert done.code == 2
    assert expected in done.said


def test_a_run_that_fails_is_code_1_and_one_line(command: Command) -> None:
    done = command("start", "shop:bad", "-q")
    assert (done.code, done.out) == (1, "")
    assert "RunFailedError: run" in done.err.splitlines()[-1]
    assert "Traceback" not in done.err


def test_a_failure_is_a_row_where_json_is_asked_for(command: Command) -> None:
    assert command("start", "shop:bad", "--json").rows[-1]["status"] == "failed"


def test_the_same_id_twice_is_the_same_run(command: Command) -> None:
    for _ in range(2):
        assert (
            command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r").out == "hello Ann\n"
        )
    assert len(command("runs", "--json").rows) == 1


def test_the_same_id_with_other_inputs_is_refused(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    done = command("start", "shop:greet", "-i", "name=Bo", "--run-id", "r")
    assert done.code == 1
    assert "RunExistsError" in done.said


def test_a_run_whose_process_was_killed_is_resumed_by_another(
    command: Command, tmp_path: Path
) -> None:
    with spawn(tmp_path, "start", "shop:slow", "--run-id", "r", "--lease", "0.5") as driver:
        until_exists(tmp_path / "waiting")
        refused = command("resume", "r", "--graph", "shop:slow", "--no-wait")
        driver.kill()
    assert refused.code == 1
    assert "LeaseHeldError" in refused.err
    (tmp_path / "go").touch()
    done = command("resume", "r", "--graph", "shop:slow")
    assert (done.code, done.out) == (0, "went\n")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_process_gives_its_run_up_at_once(
    command: Command, tmp_path: Path, sign: signal.Signals
) -> None:
    with spawn(tmp_path, "start", "shop:slow", "--run-id", "r", "-q") as driver:
        until_exists(tmp_path / "waiting")
        driver.send_signal(sign)
        _, err = driver.communicate(timeout=SOON)
    assert driver.returncode == 130
    assert "stopped; go on with `midstream resume r --graph shop:slow`" in err
    assert command("runs", "--json").rows[0]["holder"] is None


def test_resuming_without_the_code_says_which_and_records_nothing(
    command: Command, half_done: str
) -> None:
    before = command("show", half_done, "--json").rows[0]["seq"]
    done = command("resume", half_done)
    assert done.code == 2
    assert "needs the code of graph 'sleepy'" in done.said
    assert command("show", half_done, "--json").rows[0]["seq"] == before


def test_resuming_a_run_that_has_ended_says_how(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    done = command("resume", "r")
    assert (done.code, done.out) == (0, "hello Ann\n")
    assert "run r has ended: completed" in done.err


def test_a_paused_run_goes_on_in_the_process_that_drives_it(
    command: Command, tmp_path: Path
) -> None:
    with spawn(tmp_path, "start", "shop:slow", "--run-id", "r", "-q") as driver:
        until_exists(tmp_path / "waiting")
        assert command("pause", "r").code == 0
        time.sleep(1.0)  # a driver hears of what others append after 50 ms
        (tmp_path / "go").touch()
        assert command("show", "r", "--json").rows[0]["status"] == "paused"
        done = command("resume", "r")
        out, _ = driver.communicate(timeout=SOON)
    assert (done.code, driver.returncode, out) == (0, 0, "went\n")
    assert "goes on in the process that drives it" in done.err
