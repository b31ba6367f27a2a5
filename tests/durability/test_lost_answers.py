"""A run ends the same where the store commits and does not say so, or fails and does not say that either."""

from __future__ import annotations

from midstream import Context, Graph
from tests.conftest import MakeEngine


async def test_a_run_of_two_nodes_ends_in_its_output_in_every_mode(make_engine: MakeEngine) -> None:
    graph = Graph("pair")

    @graph.node
    async def first(ctx: Context) -> str:
        return (await ctx.llm("one", model="m")).text

    @graph.node
    async def second(first: str, ctx: Context) -> str:
        return first + (await ctx.llm("two", model="m")).text

    engine = await make_engine(models={"m": ["a", "b"]})
    assert await (await engine.start(graph)) == "ab"
