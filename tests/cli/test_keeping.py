"""`db prune` and `db removed`, and what `verify` says afterwards."""

from __future__ import annotations

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
