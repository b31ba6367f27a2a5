"""The smallest graph: three nodes that each add something to what the one before gave. From 10 it comes to 27."""

from __future__ import annotations

import asyncio

from midstream import Engine, Graph

graph = Graph("adder")


@graph.node
def add_two(x: int) -> int:
    """Take the run's input."""
    return x + 2


@graph.node
def add_five(add_two: int) -> int:
    """Take the output of the node that the parameter is named after."""
    return add_two + 5


@graph.node(output=True)
def add_ten(add_five: int) -> int:
    """Give the output of the run."""
    return add_five + 10


async def main() -> None:
    async with Engine.memory() as engine:
        print(await (await engine.start(graph, x=10)))


if __name__ == "__main__":
    asyncio.run(main())
