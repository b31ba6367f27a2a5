"""A migration that is planned while tools are in flight."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio

from midstream import Context, Engine, Graph, Message, tool
from midstream.events.content import ToolCall


async def test_a_plan_reports_no_lost_result_for_a_tool_that_is_still_in_flight() -> None:
    called, answer = asyncio.Event(), asyncio.Event()

    @tool(effect="read")
    async def quick() -> str:
        return "seen"

    @tool(effect="read")
    async def slow() -> str:
        called.set()
        await answer.wait()
        return "seen"

    graph = Graph("looking")

    @graph.node
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("look", model="a:one", tools=[quick, slow])).text

    calls = Message(
        role="assistant",
        parts=(
            ToolCall(id="c1", name="quick", arguments="{}"),
            ToolCall(id="c2", name="slow", arguments="{}"),
        ),
    )
    async with Engine.memory(models={"a:one": [calls], "b:two": ["fine"]}) as engine:
        run = await engine.start(graph)
        await called.wait()
        plan = await run.migrate("b:two")
        answer.set()
        assert (plan.conversations, plan.changes) == (1, ())
        assert await run == "fine"
