"""`midstream graph`, and graphs in files wherever a graph is named."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from midstream import Engine, Graph

from .conftest import Command

TRIP = """
name: trip
version: "2"
description: A trip
variables: {days: 2}
nodes:
  say: {type: function, function: "shop:say"}
  plan:
    type: llm
    prompt: "{{ days }} days for {{ say }}"
    model: openai:gpt-4o
    when: "{{ days > 1 }}"
    retry: {attempts: 3}
    timeout: 30
    on_failure: {continue: none}
    output: true
"""


@pytest.fixture
def trip(command: Command) -> str:
    Path("trip.yaml").write_text(TRIP)
    return "trip.yaml"


def test_a_graph_is_shown_as_a_table(command: Command, trip: str) -> None:
    done = command("graph", "show", trip)
    lines = done.out.splitlines()
    assert done.code == 0
    assert lines[0].startswith("graph trip, version 2, digest ")
    assert lines[1:3] == ["A trip", "inputs: name, times (optional), days [2]"]
    assert lines[3].split() == ["NODE", "TYPE", "WAITS", "FOR", "OPTIONS"]
    assert lines[5].split(maxsplit=3) == [
        "plan",
        "llm",
        "say",
        "output; when {{ days > 1 }}; model openai:gpt-4o; 3 attempts; at most 30 s; on failure 'none'",
    ]
    assert lines[-1] == "start it with `midstream start trip.yaml -i 'name=…'`"


def test_a_graph_is_shown_as_json(command: Command, trip: str) -> None:
    (row,) = command("graph", "show", trip, "--json").rows
    assert row["inputs"] == {"name": True, "times": False, "days": False}
    assert row["nodes"]["plan"] == {"type": "llm", "waits_for": ["say"]}
    assert row["definition"]["nodes"]["plan"]["ready"]["type"] == "llm"


def test_a_graph_of_a_module_is_shown_too(command: Command) -> None:
    assert command("graph", "show", "shop:greet").out.startswith("graph greet, digest ")


@pytest.mark.parametrize(
    ("form", "first"),
    [("mermaid", "flowchart TD"), ("dot", "digraph {"), ("yaml", "format: 1"), ("json", "{")],
)
def test_a_graph_is_drawn_or_written(command: Command, trip: str, form: str, first: str) -> None:
    done = command("graph", "draw", trip, "--format", form)
    assert (done.code, done.out.splitlines()[0]) == (0, first)
    (row,) = command("graph", "draw", trip, "--format", form, "--json").rows
    assert row["text"].splitlines()[0] == first


def test_what_is_written_is_read_again(command: Command, trip: str) -> None:
    Path("again.json").write_text(command("graph", "draw", trip, "--format", "json").out)
    digests = [
        command("graph", "check", one, "--json").rows[0]["digest"] for one in (trip, "again.json")
    ]
    assert digests[0] == digests[1]


def test_a_sound_graph_is_said_to_be_one(command: Command, trip: str) -> None:
    done = command("graph", "check", trip)
    assert (done.code, done.out[:37]) == (0, "trip.yaml: graph trip could run: 2 no")


def test_a_graph_that_could_not_run_is_code_1(command: Command) -> None:
    Path("bad.yaml").write_text("name: bad\nnodes:\n  a: {type: llm, promt: x}\n")
    done = command("graph", "check", "bad.yaml")
    assert done.code == 1
    assert (
        "bad.yaml, line 3: nodes.a.promt: unknown key 'promt' (did you mean 'prompt'?)" in done.said
    )
    (row,) = command("graph", "check", "bad.yaml", "--json").rows
    assert (row["sound"], "line 3" in row["error"]) == (False, True)
    assert command("graph", "show", "bad.yaml").code == 2


def test_a_target_that_is_none_is_code_2(command: Command) -> None:
    done = command("graph", "check", "nothing")
    assert done.code == 2
    assert ".yaml or .json" in done.said


def test_a_file_is_started_and_resumed_like_a_module(command: Command) -> None:
    Path("hello.yaml").write_text(
        "name: hello\nvariables: {times: 2}\nnodes:\n  say: {type: function, function: 'shop:say'}\n"
    )
    done = command("start", "hello.yaml", "-i", "name=Ann", "--run-id", "r", "-q")
    assert (done.code, done.out) == (0, "hello Ann hello Ann\n")
    assert command("resume", "r", "--graph", "hello.yaml", "-q").out == "hello Ann hello Ann\n"
    assert command("replay", "r", "--graph", "hello.yaml").code == 0


def test_a_run_is_upgraded_where_that_is_asked_for(command: Command) -> None:
    ask = "name: ask\nnodes:\n  ok: {type: question, kind: confirm, text: Go on, within: 0.4, default: true}\n"
    Path("ask.yaml").write_text(ask)

    async def leave() -> None:
        async with Engine.open(command.db, recover=False) as engine:
            run = await engine.start(Graph.from_yaml(Path("ask.yaml")), run_id="r")
            async for event in run.events():
                if event.type == "question.asked":
                    return

    asyncio.run(leave())
    Path("ask.yaml").write_text(
        f"{ask}  more: {{type: llm, prompt: x, when: '{{{{ not ok }}}}'}}\n"
    )
    refused = command("resume", "r", "--graph", "ask.yaml", "-q")
    assert refused.code == 2
    assert "node 'more' was added" in refused.said
    done = command("resume", "r", "--graph", "ask.yaml", "-q", "--upgrade")
    assert (done.code, done.out) == (0, "null\n")
    assert "graph.upgraded" in command("tail", "r").out
