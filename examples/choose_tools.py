"""A model chooses tools; one worker a call is added to the running graph, and one node that waits for all of them.

Needs no key and no network: the model's answers are scripted. The order of the results is the order of the calls, however
long each takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

from midstream import Context, Engine, Graph, Message, tool
from midstream.events.content import ToolCall

graph = Graph("choose-tools")


@tool(effect="read")
async def weather(city: str) -> str:
    """Say what the weather is: a slow tool."""
    await asyncio.sleep(0.05)
    return f"{city}: 21 degrees"


@tool(effect="read")
async def population(city: str) -> str:
    """Say how many people live there: a quick one."""
    return f"{city}: 2.8 million"


TOOLS = [graph.register(weather), graph.register(population)]


@graph.node
async def choose(question: str, ctx: Context) -> int:
    """Let the model choose, and make a worker of each of its calls."""
    reply = await ctx.agent(question, tools=TOOLS, auto_execute_tools=False)
    workers: list[str] = []
    for call in reply.tool_calls:
        worker = f"{call.name}-{len(workers) + 1}"
        ctx.add_node(worker, call.name, args=call.parsed() or {})
        workers.append(worker)
    ctx.add_node("collect", "collect", after=workers, inputs="merge", output=True)
    return len(workers)


@graph.function
def collect(results: list[str]) -> list[str]:
    """Take all results, in the order of the calls."""
    return results


def chosen(messages: Any) -> Message:
    """Stand in for a model."""
    calls = [("weather", "Rome"), ("population", "Rome"), ("weather", "Oslo")]
    parts = [
        ToolCall(id=f"c{place}", name=name, arguments=f'{{"city": "{city}"}}')
        for place, (name, city) in enumerate(calls)
    ]
    return Message(role="assistant", parts=tuple(parts))


async def main() -> None:
    async with Engine.memory(models={"chooser": chosen}, model="scripted:chooser") as engine:
        run = await engine.start(graph, question="Where is it warm?")
        results = await run
        state = await run.state()
        print("nodes:", ", ".join(state.topology.nodes))
        print(results)


if __name__ == "__main__":
    asyncio.run(main())
