"""A model plans: it draws nodes and edges over the functions and tools that it may use, and the run follows the plan.

Needs no key and no network: the model's answers are scripted. Its first plan cannot be followed, because nobody has said
how often its loop may turn; it is told so, and mends it. The first draft fails, and by rule the run is planned anew.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

from midstream import Engine, Graph, tool

graph = Graph("plan-itself", on_failure="reflect")
tries: list[str] = []


@tool(effect="read")
async def search(query: str) -> str:
    """Find facts."""
    return f"facts about {query}"


@graph.function
def write(facts: str, draft: str = "") -> str:
    """Write a text, or a longer one."""
    tries.append(facts)
    if len(tries) == 1:
        raise ValueError("invalid line break in the facts")
    return f"{draft} {facts}!".strip()


@graph.function
def is_short(text: str) -> bool:
    """Say whether a text is too short."""
    return len(text) < 40


graph.plan(
    "article",
    goal="A text of 40 characters about {{ topic }}.",
    nodes=[search, write, is_short],
)


@graph.node(output=True)
def publish(article: str) -> str:
    """Take what the plan comes to; this node is there before there is a plan."""
    return f"published: {article}"


def planner(messages: Any) -> str:
    """Stand in for a model."""
    nodes = [
        {"name": "facts", "use": "search", "args": {"query": "otters"}},
        {"name": "text", "use": "write"},
    ]
    loop: dict[str, Any] = {"source": "text", "target": "text", "to": "draft", "when": "is_short"}
    if "loop without a bound" in messages[-1].text:
        loop["rounds"] = 5
    edges = [{"source": "facts", "target": "text", "to": "facts"}, loop]
    return json.dumps({"nodes": nodes, "edges": edges})


async def main() -> None:
    async with Engine.memory(models={"planner": planner}, model="scripted:planner") as engine:
        run = await engine.start(graph, topic="otters")
        output = await run
        print(*(await run.state()).activations)
        print(
            "added:",
            *[name for name in (await run.state()).topology.nodes if name not in graph.nodes],
        )
        print(output)


if __name__ == "__main__":
    asyncio.run(main())
