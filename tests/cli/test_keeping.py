"""`db prune` and `db removed`, and what `verify` says afterwards."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from .conftest import Command


@pytest.fixture(autouse=True)
def runs(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "good")
    command("start", "shop:bad", "--run-id", "bad")


def test_old_runs_are_removed_and_listed(command: Command) -> None:
    command("verify", "--save-anchor", "heads.json")
    dry = command("db", "prune", "--older-than", "0s", "--keep", "failed", "--dry-run")
    assert dry.out == "good  would be removed\n"
    assert "bad  kept: it is failed" in dry.err
    (row,) = command(
        *("db", "prune", "--older-than", "0s", "--keep", "failed"),
        *("--reason", "policy", "--by", "ann", "--json"),
    ).rows
    assert (row["removed"], row["events"]) == (["good"], 4)
    (gone,) = command("db", "removed", "--json").rows
    assert (gone["run"], gone["by"], gone["reason"]) == ("good", "user:ann", "policy")
    assert "removed on" in command("db", "removed").out
    shown = command("show", "good")
    assert shown.code != 0
    done = command("verify", "--anchor", "heads.json")
    assert "✓ good  was removed on" in done.out
    assert "it stood where the anchor says" in done.out
    assert "✓ system:keeping" in done.out
    assert "1 were removed" in command("db", "stats").out


def test_nothing_is_removed_by_a_wrong_word(command: Command) -> None:
    assert "no span of time" in command("db", "prune", "--older-than", "soon").said
    refused = command("db", "prune", "--older-than", "0s", "--keep", "old")
    assert "is none of" in refused.said
    assert command("db", "removed").out == ""
    assert len(command("runs", "--json").rows) == 2


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MIDSTREAM_KEYS", f"a:{base64.b64encode(b'k' * 32).decode()}")


@pytest.mark.usefixtures("keys")
def test_what_was_erased_is_said_to_be(command: Command, tmp_path: Path) -> None:
    for run, who in (("x", "ann"), ("y", "ann"), ("z", "bob")):
        command(
            *("start", "shop:greet", "-i", "name=Zacharias"),
            *("--run-id", run, "--subject", who),
        )
    assert "Zacharias" in command("show", "x").out
    asked = command("db", "erase", "x")
    assert "pass --yes" in asked.said
    assert "Zacharias" in command("show", "x").out
    done = command("db", "erase", "x", "--yes", "--reason", "asked", "--by", "eve")
    assert done.out == "x  erased\n"
    assert "erased on" in command("show", "x").out
    assert "by user:eve: asked" in command("show", "x").out
    (row,) = command("show", "x", "--json").rows
    assert (row["status"], row["erased"]["reason"]) == ("completed", "asked")
    assert "its content was erased" in command("trace", "x").out
    assert "erased" in command("tail", "x").out
    assert "✓ x" in command("verify").out
    for refused in (("fork", "x"), ("messages", "x"), ("show", "x@2")):
        found = command(*refused)
        assert "was erased" in found.err + found.out
    (row,) = command("db", "erase", "--subject", "ann", "--yes", "--json").rows
    assert set(row["erased"]) == {"x", "y"}
    assert "Zacharias" in command("show", "z").out
    assert {row["run_id"] for row in command("runs", "--json").rows} >= {"x", "y", "z"}
    assert command("runs", "text:Zacharias", "--json").code == 0


@pytest.mark.usefixtures("keys")
def test_keys_are_rotated_and_exports_opened(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    command("start", "shop:greet", "-i", "name=Zacharias", "--run-id", "x")
    assert "Zacharias" not in command("export", "jsonl", "x").out
    assert "Zacharias" in command("export", "jsonl", "x", "--opened").out
    new = base64.b64encode(b"n" * 32).decode()
    old = base64.b64encode(b"k" * 32).decode()
    monkeypatch.setenv("MIDSTREAM_KEYS", f"b:{new},a:{old}")
    assert command("db", "rotate", "--json").rows == [{"rotated": 1}]
    assert "0 keys" in command("db", "rotate").out
    monkeypatch.setenv("MIDSTREAM_KEYS", f"b:{new}")
    assert "Zacharias" in command("show", "x").out
    monkeypatch.setenv("MIDSTREAM_KEYS", f"a:{old}")
    assert "'b', which is not here" in command("show", "x").err
    monkeypatch.delenv("MIDSTREAM_KEYS")
    assert "MIDSTREAM_KEYS" in command("show", "x").err
    assert "is not set" in command("db", "rotate").said
