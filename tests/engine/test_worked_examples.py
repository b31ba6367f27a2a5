"""The three examples that other engines of this kind are known by: the adder, the sum by a loop, and tools that a model chooses."""

from __future__ import annotations

import asyncio
from typing import Any

from midstream import Context, Engine, Graph, Limits, tool
from tests.engine.stage import call, calling, history, types


async def test_ten_comes_to_twenty_seven() -> None:
    graph = Graph("adder")

    @graph.node
    def add_two(x: int) -> int:
        return x + 2

    @graph.node
    def add_five(add_two: int) -> int:
        return add_two + 5

    @graph.node(output=True)
    def add_ten(add_five: int) -> int:
        return add_five + 10

    async with Engine.memory() as engine:
        assert await (await engine.start(graph, x=10)) == 27


async def test_the_numbers_to_a_hundred_are_summed_by_going_back_a_hundred_times() -> None:
    graph = Graph("sum", limits=Limits(activations=200))

    @graph.node(output=True)
    async def add(ctx: Context, number: int = 1, total: int = 0) -> int:
        if number < 100:
            ctx.goto(add, number=number + 1, total=total + number)
        return total + number

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == 5050
        assert types(await history(run)).count("node.completed") == 100


async def test_each_tool_that_a_model_chooses_has_a_worker_and_results_come_in_the_order_of_calls() -> (
    None
):
    ended: list[str] = []

    @tool(effect="read")
    async def slow(city: str) -> str:
        await asyncio.sleep(0.05)
        ended.append(city)
        return f"slow {city}"

    @tool(effect="read")
    async def quick(city: str) -> str:
        ended.append(city)
        return f"quick {city}"

    graph = Graph("choose")
    tools = [graph.register(slow), graph.register(quick)]

    @graph.node
    async def choose(ctx: Context) -> None:
        reply = await ctx.agent("choose", tools=tools, auto_execute_tools=False)
        workers = [f"worker-{place}" for place in range(len(reply.tool_calls))]
        for worker, wanted in zip(workers, reply.tool_calls, strict=True):
            ctx.add_node(worker, wanted.name, args=wanted.parsed() or {})
        ctx.add_node("all", "gather", after=workers, inputs="merge", output=True)

    @graph.function
    async def gather(results: list[Any]) -> list[Any]:
        return results

    answer = calling(
        call("c1", "slow", '{"city": "Rome"}'),
        call("c2", "quick", '{"city": "Oslo"}'),
        call("c3", "slow", '{"city": "Bern"}'),
    )
    async with Engine.memory(models={"m": [answer]}, model="m") as engine:
        run = await engine.start(graph)
        assert await run == ["slow Rome", "quick Oslo", "slow Bern"]
        assert ended[0] == "Oslo"
        shapes = (await run.state()).topology.nodes
        assert shapes["all"].waits_for == ("worker-0", "worker-1", "worker-2")
        assert types(await history(run)).count("tool.completed") == 3
