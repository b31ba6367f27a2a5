"""What becomes of calls that were in flight when the node that made them failed."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio

from midstream import Context, Engine, Graph, Retry, tool

AGAIN = Retry(attempts=2, delay=0, on=frozenset(("ValueError",)))


async def test_a_read_that_its_node_abandoned_is_made_again_with_the_node() -> None:
    calls: list[int] = []
    called = asyncio.Event()

    @tool(effect="read")
    async def look() -> int:
        calls.append(len(calls) + 1)
        called.set()
        if len(calls) == 1:
            await asyncio.sleep(60)
        return len(calls)

    graph = Graph("abandons")

    @graph.node(retry=AGAIN)
    async def both(ctx: Context) -> int:
        async def fail_once() -> None:
            await called.wait()
            if ctx.attempt == 1:
                raise ValueError("the first attempt fails while the tool is called")

        async with asyncio.TaskGroup() as group:
            looking = group.create_task(ctx.tool(look))
            group.create_task(fail_once())
        found = looking.result()
        assert isinstance(found, int)
        return found

    async with Engine.memory(models={}) as engine:
        run = await engine.start(graph)
        assert await run == 2
    assert calls == [1, 2]
