"""`show` with its parts, and moments wherever a run is looked at."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Engine, Graph, tool
from midstream.events.content import ToolCall, assistant

from .conftest import Command

plan = Graph("plan")


@tool(effect="read")
async def look(what: str) -> str:
    return f"seen {what}"


@plan.node
async def research(topic: str, ctx: Context) -> str:
    return (await ctx.llm(f"words on {topic}", system="Be brief.", tools=[look])).text


@plan.node
async def write(research: str, ctx: Context) -> str:
    return (await ctx.llm(f"a text of {research}")).text


@pytest.fixture(autouse=True)
def a_run(command: Command) -> None:
    turn = assistant("", ToolCall(id="c1", name="look", arguments='{"what": "sea"}'))

    async def record() -> None:
        models: dict[str, Any] = {"openai:gpt-4o": [turn, "the sea \x1b[31m", "a poem"]}
        async with Engine.open(command.db, models=models) as engine:
            await (await engine.start(plan, run_id="r1", topic="otters", model="openai:gpt-4o"))

    asyncio.run(record())


def test_a_step_is_shown_with_what_was_said_and_done(command: Command) -> None:
    model = next(row["id"] for row in command("trace", "r1", "--json").rows if "llm" in row["id"])
    out = command("show", "r1", "--step", model).out
    assert f"{model}  model call openai:gpt-4o  ✓ completed" in out
    assert "within     research#1" in out
    assert "instruction Be brief." in out
    assert "user       words on otters" in out
    assert 'assistant  calls look({"what": "sea"})' in out
    assert f"in it      {model}/call:0#1  look  completed" in out
    assert "model.responded" in out
    called = command("show", "r1", "--step", f"{model}/call:0#1").out
    assert 'arguments  {"what":"sea"}' in called
    assert 'result     "seen sea"' in called


def test_a_node_means_its_newest_activation_and_a_beginning_its_only_step(command: Command) -> None:
    assert command("show", "r1", "--step", "write").out.startswith("write#1  node write")
    assert command("show", "r1", "--step", "resea#").code == 4
    assert 'output     "the sea \\u001b[31m"' in command("show", "r1", "--step", "research").out


def test_a_step_that_is_not_there_is_code_4_and_names_the_nearest(command: Command) -> None:
    done = command("show", "r1", "--step", "rsearch#1")
    assert done.code == 4
    assert "did you mean 'research#1'" in done.said


def test_a_step_in_json_is_its_trace_and_its_events(command: Command) -> None:
    (row,) = command("show", "r1", "--step", "write#1", "--json").rows
    assert row["step"]["status"] == "completed"
    assert [event["type"] for event in row["events"]] == ["node.scheduled", "node.completed"]


def test_everything_is_shown_part_by_part(command: Command) -> None:
    out = command("show", "r1", "--all").out
    headings = [line for line in out.splitlines() if line.startswith("== ")]
    assert headings == ["== steps", "== messages", "== cost", "== state"]
    assert "a text of the sea" in out
    assert "\x1b" not in out
    rows = command("show", "r1", "--all", "--json").rows
    assert list(dict.fromkeys(row["part"] for row in rows)) == [
        "summary",
        "steps",
        "messages",
        "cost",
        "state",
    ]
    assert "part" not in command("show", "r1", "--json").rows[0]


def test_parts_can_be_chosen(command: Command) -> None:
    assert "words on otters" in command("show", "r1", "--messages").out
    said = command("show", "r1", "--messages", "--step", "research").out
    assert "words on otters" in said
    assert "a poem" not in said
    assert "gpt-4o" in command("show", "r1", "--cost").out


@pytest.mark.parametrize(
    ("words", "there"),
    [
        (("show", "r1@4"), False),
        (("show", "r1", "--at", "write#1"), False),
        (("messages", "r1@4"), False),
        (("messages", "r1", "--at", "write#1"), False),
        (("show", "r1@4", "--all"), False),
        (("messages", "r1"), True),
        (("show", "@last", "--all"), True),
    ],
)
def test_a_moment_shows_nothing_of_what_came_later(
    command: Command, words: tuple[str, ...], there: bool
) -> None:
    done = command(*words)
    assert done.code == 0, done.err
    assert ("a poem" in done.out) is there


def test_tail_can_be_narrowed_to_types(command: Command) -> None:
    rows = command("tail", "r1", "--json", "--type", "tool.*", "--type", "run.created").rows
    assert [row["type"] for row in rows] == ["run.created", "tool.requested", "tool.completed"]


def test_a_log_is_imported_by_either_way_of_saying_it(command: Command, tmp_path: Path) -> None:
    command("export", "jsonl", "r1", "-o", "r1.jsonl")
    for number, words in enumerate((("r1.jsonl",), ("jsonl", "r1.jsonl"))):
        done = command("--db", f"other{number}.db", "import", *words, "--json")
        assert json.loads(done.out)["added"] == json.loads(done.out)["events"]
    assert command("import", "xml", "r1.jsonl").code == 2


def test_a_run_is_shown_as_it_stood_by_the_time_of_then(command: Command, half_done: str) -> None:
    command("start", "shop:greet", "-i", "name=Ann", "--run-id", "greeted")
    then = command("show", "greeted", "--at", "2").out
    assert "◐ running  0.0s" in then
    assert "as it stood at event 2 of" in then
    assert "go on from here with midstream fork greeted --at 2" in then
    assert "driver" not in then
    (row,) = command("--json", "show", "greeted@2").rows
    assert (row["seq"], row["driven"], row["waits_for"]) == (2, False, [])
    assert "a driver: no live process holds it" in command("show", half_done).out
    newest = command("show", "greeted").out
    assert (
        newest
        == command("show", "greeted", "--at", str(newest.split(" events")[0].split()[-1])).out
    )
