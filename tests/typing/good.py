"""What users write: each of these must type-check."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from typing import Annotated

from midstream import (
    RETRY_CALL,
    Context,
    Engine,
    Event,
    From,
    Graph,
    Message,
    MigrationPlan,
    Piece,
    Reply,
    Retry,
    Run,
    Tool,
    ToolContext,
    UnknownCall,
    tool,
)
from midstream.events.content import user

trip = Graph("trip", version="1")


@tool
async def plain(place: str) -> str:
    """Look."""
    return place


async def find_out(call: UnknownCall) -> object:
    return RETRY_CALL if call.arguments else call.key


@tool(effect="idempotent", timeout=3.0, retry=Retry(attempts=2), on_unknown=find_out)
def search(query: str, info: ToolContext) -> list[str]:
    """Search."""
    return [query, info.key]


made: Tool = search


@trip.node
async def research(city: str, ctx: Context) -> list[str]:
    found = await ctx.tool(search, query=f"sights in {city}")
    return [str(found)]


@trip.node(after=[research, "other"], retry=Retry(attempts=3), timeout=60.0, model="openai:gpt-4o")
async def plan(sights: Annotated[list[str], From("research")], ctx: Context) -> str:
    reply: Reply = await ctx.llm(f"{sights}", tools=[search, plain], temperature=0.2, thread=None)
    messages: tuple[Message, ...] = (reply.message, user("and?"))
    again = await ctx.llm(messages, system="be brief", max_turns=3, timeout=30.0)
    await ctx.sleep(1.5)
    number: float = await ctx.now() + await ctx.random()
    name: str = await ctx.uuid()
    await ctx.note({"number": number, "name": name})
    return again.text


@trip.node(pure=True, output=True)
def size(plan: str) -> int:
    return len(plan)


trip.add_node("other", lambda: 1, after=(size,))

called_as_before: int = size("x")


async def main() -> None:
    async with Engine.open("runs.db", graphs=[trip], lease=5.0) as engine:
        run: Run = await engine.start(trip, run_id="r", model="openai:gpt-4o", city="Tokyo")
        async for event in run.events(after=3):
            seen: Event = event
            _ = seen.recorded_at.isoformat()
        async for item in run.stream():
            _ = item.delta.text if isinstance(item, Piece) else item.type
        change: MigrationPlan = await run.migrate("anthropic:x", when="now", dry_run=True)
        await change.apply()
        await run.settle("plan#1/tool:search:00#1", retry=True)
        _ = await run
    async with Engine.memory(models={"m": ["an answer"]}) as engine:
        _ = await engine.recover()
