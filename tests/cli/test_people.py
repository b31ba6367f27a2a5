"""`questions` and `answer`."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Message, tool
from midstream.events.content import ToolCall, ToolResult, assistant

from .conftest import Command

people = Graph("people")


@tool(effect="unsafe", confirm=True, editable=["amount"])
async def pay(amount: int) -> str:
    return f"paid {amount}"


@people.node
async def work(ctx: Context) -> list[Any]:
    first = await ctx.confirm("Go on?", show="a draft", timeout=3600)
    days = await ctx.ask("How many days?", schema=int)
    reply = await ctx.llm("pay", tools=[pay])
    return [first.approved, first.by, days, reply.text]


def model(messages: Sequence[Message]) -> Message:
    last = messages[-1].parts[0]
    if isinstance(last, ToolResult):
        return assistant(last.text.rpartition("\n")[2])
    return assistant("", ToolCall(id="c", name="pay", arguments='{"amount":9}'))


def drive(command: Command) -> Any:
    """Drive the run until it asks the next question, or has ended; return its output."""

    async def on() -> Any:
        options: Any = {"models": {"openai:gpt-4o": model}, "model": "openai:gpt-4o"}
        async with Engine.open(command.db, graphs=[people], **options) as engine:
            run = await engine.start(people, run_id="asks")
            async for event in run.events():
                if event.type == "question.asked" and await run.questions():
                    return None
            return await run

    return asyncio.run(on())


def asked(command: Command) -> dict[str, Any]:
    (row,) = command("questions", "--json").rows
    return row


def test_a_run_is_answered_step_by_step(command: Command) -> None:
    drive(command)
    listed = command("questions")
    question = asked(command)
    assert question["id"] in listed.out
    assert "Go on?  a draft  expires in" in listed.out
    assert f"midstream answer asks {question['id']} --yes" in listed.out
    assert "a person to answer 'Go on?'" in command("show", "asks").out
    assert "midstream questions asks" in command("show", "asks").out
    done = command("answer", "asks", question["id"], "--yes", "--by", "ann")
    assert (done.code, "nobody drives it now" in done.err) == (0, True)
    again = command("answer", "asks", question["id"], "--no")
    assert again.code == 1
    assert "AlreadyAnsweredError" in again.said
    assert "answered by ann" in again.said

    drive(command)
    question = asked(command)
    refused = command("answer", "asks", question["id"], "--value", '"two"')
    assert "WrongAnswerError" in refused.said
    assert "is not integer" in refused.said
    assert command("answer", "asks", question["id"], "--value", "2", "--json").rows == [
        {"run_id": "asks", "question": question["id"], "answered": True}
    ]

    drive(command)
    question = asked(command)
    assert (question["kind"], question["editable"]) == ("edit", ["amount"])
    assert command("answer", "asks", question["id"], "--yes", "--argument", "amount=3").code == 0
    assert drive(command) == [True, "ann", 2, "paid 3"]
    assert command("questions").said == "nobody is asked anything"


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("q-1",), 2, "ConfigError: answer takes --yes or --no, or --value JSON"),
        (("q-1", "--value", "{"), 2, "--value '{' is not JSON"),
        (("q-1", "--yes"), 1, "QuestionNotFoundError: run 'half' has asked no question 'q-1'"),
    ],
)
def test_what_is_no_answer_is_refused(
    command: Command, half_done: str, words: tuple[str, ...], code: int, expected: str
) -> None:
    done = command("answer", half_done, *words)
    assert done.code == code
    assert expected in done.said
