"""A model chooses tools; one worker a call is added to the running graph, and one node that waits for all of them.

Needs no key and no network: the model's answers are scripted. The order of the results is the order of the calls, however
long each takes.
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from midstream import Context, Engine, Graph, Message
from midstream.events.content import Text

graph = Graph("choose-tools")


@graph.node
async def choose(question: str, ctx: Context) -> str:
    """Let the model choose, and make a worker of each of its calls."""
    reply = await ctx.llm(f"Which tools answer this, one JSON list of [name, argument]? {question}")
    workers: list[str] = []
    for name, argument in orjson.loads(reply.text):
        worker = f"{name}-{len(workers) + 1}"
        ctx.add_node(worker, name, args={"argument": argument})
        workers.append(worker)
    ctx.add_node("collect", "collect", after=workers, inputs="merge", output=True)
    return reply.text


@graph.function
async def weather(argument: str) -> str:
    """A slow tool."""
    await asyncio.sleep(0.05)
    return f"{argument}: 21 degrees"


@graph.function
async def population(argument: str) -> str:
    """A quick one."""
    return f"{argument}: 2.8 million"


@graph.function
def collect(results: list[str]) -> list[str]:
    """Take all results, in the order of the calls."""
    return results


def chosen(messages: Any) -> Message:
    """Stand in for a model."""
    calls = [["weather", "Rome"], ["population", "Rome"], ["weather", "Oslo"]]
    return Message(role="assistant", parts=(Text(text=orjson.dumps(calls).decode()),))


async def main() -> None:
    async with Engine.memory(models={"chooser": chosen}, model="scripted:chooser") as engine:
        run = await engine.start(graph, question="Where is it warm?")
        results = await run
        state = await run.state()
        print("nodes:", ", ".join(state.topology.nodes))
        print(results)


if __name__ == "__main__":
    asyncio.run(main())
