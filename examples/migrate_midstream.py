"""Move a run to another provider's model in the middle of a tool loop, and back.

Nothing here needs a key: the models are scripted. Leave `models=` away, and export OPENAI_API_KEY and ANTHROPIC_API_KEY,
to ask the providers.

    python examples/migrate_midstream.py
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from midstream import Context, Engine, Graph, Message, tool
from midstream.events.content import ToolCall

GPT, CLAUDE = "openai:gpt-4o", "anthropic:claude-sonnet-4-5"

weather = Graph("weather")
asked = asyncio.Event()
moved = asyncio.Event()


@tool(effect="read")
async def temperature(city: str) -> float:
    """How warm it is, in degrees Celsius."""
    asked.set()
    await moved.wait()  # so that the migration below surely comes while this is in flight
    return {"Oslo": 3.5, "Rome": 19.0}[city]


@weather.node
async def compare(ctx: Context) -> str:
    reply = await ctx.llm("Is it warmer in Oslo or in Rome?", tools=[temperature])
    return f"{reply.text} (said by {reply.model})"


def gpt(history: Sequence[Message]) -> Message:
    """Ask for both temperatures at once."""
    calls = [
        ToolCall(id=f"call_{city}", name="temperature", arguments=f'{{"city": "{city}"}}')
        for city in ("Oslo", "Rome")
    ]
    return Message(role="assistant", parts=tuple(calls))


def claude(history: Sequence[Message]) -> str:
    """Answer from the results in the history, which another model asked for."""
    results = [part for part in history[-1].parts if part.type == "tool_result"]
    oslo, rome = (float(result.text) for result in results)
    return f"In {'Oslo' if oslo > rome else 'Rome'}, by {abs(oslo - rome)} degrees"


async def main() -> None:
    async with Engine.memory(models={GPT: gpt, CLAUDE: claude}) as engine:
        run = await engine.start(weather, model=GPT)
        await asked.wait()  # the model has asked for two tools, and both are in flight

        plan = await run.migrate(CLAUDE, dry_run=True)
        print(f"{len(plan.losses)} losses, {len(plan.repairs)} repairs, fits: {plan.fits}")
        await plan.apply()
        moved.set()

        print(await run)
        for line in await run.timeline():
            print(f"{line.seq:>3} {line.type:<16} {line.text}")


if __name__ == "__main__":
    asyncio.run(main())
