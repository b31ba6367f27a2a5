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
