"""As in a notebook: cells over one engine that stays open; each `# %%` is a cell, and `await` stands at the top of cells.

    python examples/notebook.py          runs the cells one after the other

In a notebook, leave `async def main()` away: its cells have an event loop of their own.
"""

# %% set-up: one engine for the session
from __future__ import annotations

import asyncio
from collections.abc import Sequence

from midstream import Engine, Message, tool
from midstream.engine.agents.events import TextDelta, ToolFinished
from midstream.events.content import ToolCall, assistant


@tool(effect="read")
async def search(query: str) -> str:
    """Look the query up in the archive."""
    return f"{query} hold hands when they sleep"


def scripted(history: Sequence[Message]) -> Message:
    if history[-1].role == "user":
        return assistant("", ToolCall(id="c1", name="search", arguments='{"query": "otters"}'))
    return assistant("They hold hands when they sleep.")


async def main() -> None:
    engine = Engine.memory(models={"openai:gpt-4o": scripted}, model="openai:gpt-4o")
    await engine.__aenter__()

    # %% ask an agent, and watch it
    agent = engine.agent("What do otters do at night?", tools=[search])
    async for event in agent:
        match event:
            case ToolFinished():
                print("found:", event.result)
            case TextDelta():
                print(event.text, end="")
    print()

    # %% what was that?
    reply = await agent
    print(reply.turns, "turns,", reply.usage.input_tokens + reply.usage.output_tokens, "tokens")
    for line in await engine.run(reply.run_id).timeline():
        print(f"{line.seq:3} {line.type:18} {line.text[:60]}")

    # %% one model call, without a trace
    print((await engine.call("Say it again.", trace=False)).tool_calls[0].name)

    # %% the end of the session
    await engine.close()


if __name__ == "__main__":
    asyncio.run(main())
