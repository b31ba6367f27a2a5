"""What users must not write: each marked line must be refused, with this code, and no other line."""

from __future__ import annotations

from midstream import Context, Engine, Graph, Retry, tool

graph = Graph("g", versoin="1")  # wrong: call-arg


@tool(effect="safe")  # wrong: call-overload
async def search(query: str) -> str:
    return query


@graph.node(timeout="long")  # wrong: call-overload
async def slow(ctx: Context) -> None:
    await ctx.llm("hi", tools=["search"])  # wrong: list-item
    await ctx.llm(3)  # wrong: call-overload
    await ctx.llm("hi", temperature=object())  # wrong: call-overload
    await ctx.do(search, effect="maybe")  # wrong: arg-type
    await ctx.sleep("long")  # wrong: arg-type
    text: str = await ctx.llm("hi")  # wrong: assignment
    _ = text


@graph.node
def counted(words: list[str]) -> int:
    return len(words)


wrong: str = counted(["a"])  # wrong: assignment
policy = Retry(attempts="many")  # wrong: arg-type


async def main() -> None:
    async with Engine.memory() as engine:
        run = await engine.start("g")  # wrong: arg-type
        await run.migrate("m", when="later")  # wrong: arg-type
        await run.settle("step", result=1, retry="yes")  # wrong: arg-type
    Engine.open("runs.db", synchronous="off")  # wrong: arg-type
