"""`mcp serve`: the runs of a store as MCP tools."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream import Engine

from .conftest import Command
from .test_people import drive, people

pytest.importorskip("mcp")


def call(name: str, **arguments: Any) -> Any:
    """Call a tool of the server, in this process."""
    from mcp import Client

    from midstream.cli.mcp_server import made

    async def once() -> Any:
        async with Client(made()) as client:
            result = await client.call_tool(name, arguments)
            assert not result.is_error, result.content
            found = result.structured_content
            return found.get("result", found)

    return asyncio.run(once())


def test_runs_are_listed_shown_viewed_and_answered(command: Command) -> None:
    from midstream.cli.settings import SETTINGS, Settings

    SETTINGS.set(Settings(db=command.db))
    drive(command)
    (run,) = call("list_runs")
    assert (run["run_id"], run["status"], run["graph"]) == ("asks", "running", people.name)
    shown = call("show_run", run="asks")
    (question,) = shown["questions"]
    assert question["text"] == "Go on?"
    assert any("question.asked" in line for line in shown["events"])
    assert call("answer_question", run="asks", question=question["id"], approved=True) == "answered"
    again = call("answer_question", run="asks", question=question["id"], approved=True)
    assert again.startswith("refused: ")

    async def talk() -> None:
        async with Engine.open(command.db, models={"p:m": ["hello"]}, model="p:m") as engine:
            await engine.call("hi", run_id="talk")

    asyncio.run(talk())
    assert [one["role"] for one in call("view_run", run="talk")] == ["user", "assistant"]


def test_a_run_is_forked_and_the_fork_waits_for_its_code(command: Command) -> None:
    from midstream.cli.settings import SETTINGS, Settings

    SETTINGS.set(Settings(db=command.db))

    async def talk() -> None:
        async with Engine.open(command.db, models={"p:m": ["hello"]}, model="p:m") as engine:
            await engine.call("hi", run_id="talk")

    asyncio.run(talk())
    made = call(
        "fork_run", run="talk", at="2", model="openai:gpt-4o", fork_id="again", reason="try q"
    )
    assert made == {"run_id": "again", "parent": "talk", "shared": 2, "status": "paused"}
    shown = call("show_run", run="again")
    assert shown["status"] == "paused"
    assert any("try q" in line for line in shown["events"])
    before = call("show_run", run="talk")
    assert call("fork_run", run="talk", at="nobody#1") == {
        "refused": "run 'talk' has no step 'nobody#1'; it has call#1"
    }
    assert call("fork_run", run="talk", fork_id="again")["refused"].startswith("run 'again'")
    assert call("show_run", run="talk") == before
    assert {one["run_id"] for one in call("list_runs")} == {"talk", "again"}
