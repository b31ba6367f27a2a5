"""`doctor`."""

from __future__ import annotations

import pytest

from .conftest import Command


def test_a_store_that_is_not_there_is_worth_a_note(command: Command) -> None:
    done = command("doctor")
    assert done.code == 0
    assert "there is no such file  → it is made by the first" in done.out


def test_keys_are_told_by_name_and_never_by_value(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    rows = {row["check"]: row for row in command("doctor", "--json").rows}
    assert (rows["OPENAI_API_KEY"]["grade"], rows["ANTHROPIC_API_KEY"]["grade"]) == ("ok", "note")
    assert "sk-secret" not in str(rows)


def test_versions_are_told(command: Command) -> None:
    checks = {row["check"] for row in command("doctor", "--json").rows}
    assert {"python", "sqlite", "openai", "anthropic"} <= checks


def test_a_run_that_nobody_drives_comes_with_its_remedy(command: Command, half_done: str) -> None:
    out = command("doctor").out
    assert "nobody drives half (sleepy)  → midstream resume half --graph MODULE:GRAPH" in out


def test_a_file_that_is_no_store_is_code_1(command: Command) -> None:
    command.db.write_text("a diary")
    done = command("doctor")
    assert done.code == 1
    assert "✗ store" in done.out
