"""`migrate`, `pause`, `cancel` and `settle`."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Command
from .processes import spawn

CLAUDE = "anthropic:claude-sonnet-4-5"


def seq_of(command: Command, run: str) -> int:
    seq: int = command("show", run, "--json").rows[0]["seq"]
    return seq


def test_a_dry_run_of_a_migration_records_nothing(command: Command, half_done: str) -> None:
    before = seq_of(command, half_done)
    done = command("migrate", half_done, "--to", CLAUDE, "--dry-run")
    assert done.code == 0
    assert f"run to {CLAUDE}: 1 conversations, about" in done.out
    assert "nothing was recorded" in done.err
    assert seq_of(command, half_done) == before


def test_a_migration_is_recorded_with_who_wanted_it(command: Command, half_done: str) -> None:
    (row,) = command("migrate", half_done, "--to", CLAUDE, "--by", "ann", "--json").rows
    assert (row["applied"], row["target"], row["fits"]) == (True, CLAUDE, True)
    event = command("tail", half_done, "--json").rows[-1]
    assert (event["type"], event["actor"]) == ("model.switched", "user:ann")
    assert f"openai:gpt-4o → {CLAUDE} (at event" in command("show", half_done).out


def test_a_migration_says_that_nobody_drives_the_run(command: Command, half_done: str) -> None:
    assert "nobody drives it now; go on with" in command("migrate", half_done, "--to", CLAUDE).err


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("--to", "nobody:x"), 2, "ConfigError"),
        (("--to", "gpt-4o"), 2, "ConfigError: model 'gpt-4o'"),
        (("--to", CLAUDE, "--scope", "node:none"), 2, "scope 'node:none' names nothing"),
        (("--to", CLAUDE, "--when", "later"), 2, "--when 'later' is neither of next, now"),
    ],
)
def test_a_migration_that_cannot_be_is_refused(
    command: Command, half_done: str, words: tuple[str, ...], code: int, expected: str
) -> None:
    before = seq_of(command, half_done)
    done = command("migrate", half_done, *words)
    assert done.code == code
    assert expected in done.said
    assert seq_of(command, half_done) == before


def test_a_run_that_has_ended_is_not_migrated(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    done = command("migrate", "r", "--to", CLAUDE)
    assert done.code == 1
    assert "MigrationError" in done.said


def test_a_run_that_nobody_drives_is_cancelled_without_its_code(
    command: Command, half_done: str
) -> None:
    done = command("cancel", half_done, "--reason", "no need", "--by", "ann")
    assert (done.code, done.said) == (0, "run half is cancelled")
    assert command("show", half_done, "--json").rows[0]["status"] == "cancelled"
    assert command("cancel", half_done).code == 0


def test_a_run_that_has_ended_is_not_cancelled(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r")
    done = command("cancel", "r", "--json")
    assert done.code == 1
    assert done.rows == [{"run_id": "r", "status": "completed"}]


def test_a_paused_run_waits_for_somebody_to_resume_it(command: Command, half_done: str) -> None:
    assert command("pause", half_done, "--reason", "lunch").said == "run half is paused"
    assert "somebody to resume it: it is paused" in command("show", half_done).out


def test_an_unsafe_call_of_unknown_outcome_is_settled_from_outside(
    command: Command, tmp_path: Path
) -> None:
    spawn(tmp_path, "start", "shop:paying", "--run-id", "r", "--lease", "0.5").communicate()
    with spawn(tmp_path, "resume", "r", "--graph", "shop:paying", "-q") as driver:
        assert driver.stderr is not None
        while "settle it" not in (line := driver.stderr.readline()):
            assert line
        (row,) = command("show", "r", "--json").rows
        (step,) = row["unknown"]
        assert row["next"] == f"midstream settle r '{step}' --result JSON"
        assert command("settle", "r", step).code == 2
        assert command("settle", "r", step, "--result", "not json").code == 2
        elsewhere = command("settle", "r", "once#1/none", "--retry")
        done = command("settle", "r", step, "--result", '"paid before"')
        out, _ = driver.communicate(timeout=60)
    assert elsewhere.code == 1
    assert f"calls of unknown outcome in run 'r': {step}" in elsewhere.said
    assert (done.code, driver.returncode, out) == (0, 0, "paid before\n")
