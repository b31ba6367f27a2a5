"""`runs` with a query."""

from __future__ import annotations

import pytest

from midstream.projections.query_fields import FIELDS

from .conftest import Command


@pytest.fixture(autouse=True)
def two_runs(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "first", "--tag", "team=blue")
    command("start", "shop:bad", "--run-id", "second")


def ids(command: Command, *words: str) -> list[str]:
    return [row["run_id"] for row in command("runs", "--json", *words).rows]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("status:failed",), ["second"]),
        (("not", "status:failed"), ["first"]),
        (("graph:* -status:failed",), ["first"]),
        (("has:error",), ["second"]),
        (("tag.team:blue", "status:completed"), ["first"]),
        (('"hello Ann"',), ["first"]),
        (("--since", "1h", "sort:id"), ["first", "second"]),
        (("-n", "1"), ["second"]),
        (("-n", "1", "limit:2"), ["second", "first"]),
        (("until:1d",), []),
    ],
)
def test_a_query_narrows_the_list(
    command: Command, words: tuple[str, ...], found: list[str]
) -> None:
    assert ids(command, *words) == found


def test_a_query_that_cannot_be_read_is_code_2_and_says_where(command: Command) -> None:
    done = command("runs", "graph:a", "colour:red")
    assert done.code == 2
    assert done.said.startswith(
        "QueryError: query 'graph:a colour:red', character 9, 'colour:red':"
    )


def test_what_was_read_is_shown(command: Command) -> None:
    out = command("runs", "--long").out
    assert out.splitlines()[0].split()[-5:] == ["MODEL", "TOKENS", "COST", "WAITS", "FOR"]
    (row,) = command("runs", "error:ValueError", "--json").rows
    assert (row["errors"], row["cost"], row["questions"]) == (["ValueError"], "0", [])
    assert "MODEL" not in command("runs", "status:failed").out


def test_the_fields_of_a_query_are_told(command: Command) -> None:
    out = command("runs", "help").out
    assert [row["field"] for row in command("runs", "help", "--json").rows] == list(FIELDS)
    assert [line.split()[0].removesuffix(".KEY") for line in out.splitlines()[:-3]] == list(FIELDS)
