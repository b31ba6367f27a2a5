"""`export`: runs in forms that others read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from midstream.projections.span import trace_id

from .conftest import Command


@pytest.fixture(autouse=True)
def two_runs(command: Command) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "r1")
    command("start", "shop:bad", "--run-id", "r2")


def spans(body: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = body["resourceSpans"][0]["scopeSpans"][0]["spans"]
    return found


def test_spans_are_written_a_line_for_each_run(command: Command) -> None:
    done = command("export", "otel", "r1", "@last", "--service", "shop")
    assert done.code == 0
    first, second = done.rows
    assert [span["name"] for span in spans(first)] == ["say", "invoke_workflow greet"]
    assert {span["traceId"] for span in spans(second)} == {trace_id("r2")}
    assert "shop" in json.dumps(first["resourceSpans"][0]["resource"])
    assert "fell" not in done.out
    assert command("export", "otel", "r1", "r2", "--service", "shop").out == done.out


def test_spans_tell_what_was_said_where_that_is_asked_for(command: Command, tmp_path: Path) -> None:
    command("export", "otel", "r2", "--content", "-o", "spans.json")
    assert "fell" in (tmp_path / "spans.json").read_text()


def test_spans_that_have_not_ended_are_left_out_and_counted(
    command: Command, half_done: str
) -> None:
    done = command("export", "otel", "half")
    assert "run half: 3 spans have not ended; see --unfinished" in done.said
    assert [span["name"] for span in spans(done.rows[0])] == ["chat gpt-4o"]
    whole = command("export", "otel", "half", "--unfinished")
    assert (whole.err, len(spans(whole.rows[0]))) == ("", 4)


def test_an_edition_that_is_none_is_code_2(command: Command) -> None:
    assert "none of 1.41, latest, both" in command("export", "otel", "r1", "--semconv", "2").said


def test_a_page_is_written_whole(command: Command, tmp_path: Path) -> None:
    assert command("export", "html", "r1", "-o", "r1.html").code == 0
    page = (tmp_path / "r1.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert page.endswith("</html>")
    assert "hello Ann" in page


@pytest.mark.parametrize("words", [("r1", "--at", "2"), ("r1@2",), ("r1", "--at", "say#1")])
def test_a_page_shows_a_run_as_it_stood(
    command: Command, tmp_path: Path, words: tuple[str, ...]
) -> None:
    assert command("export", "html", *words, "-o", "then.html").code == 0
    page = (tmp_path / "then.html").read_text(encoding="utf-8")
    moment = 1 if "say#1" in words else 2
    assert f"<h1>Run r1@{moment}</h1>" in page
    assert "◐ running" in page
    assert "run.completed" not in page


def test_the_page_of_a_fork_says_where_it_parts(command: Command) -> None:
    command("fork", "r1", "--at", "say#1", "--set", "inputs.name=Bob", "--graph", "shop:greet", "--run-id", "f1")  # fmt: skip
    page = command("export", "html", "f1").out
    assert "Beside its parent" in page
    assert "with other name" in page
