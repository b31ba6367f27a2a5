"""A loop: a node sends control back to itself until it is done. The sum of 1 to 100 is 5050.

Each turn is an activation of its own in the log, so a run that is interrupted goes on with the turn it was at.
"""

from __future__ import annotations

import asyncio

from midstream import Context, Engine, Graph, Limits

graph = Graph("sum", limits=Limits(activations=1000))  # a loop that never ends does end


@graph.node
async def add(ctx: Context, number: int = 1, total: int = 0) -> int:
    """Add one number, and go on with the next one."""
    total += number
    if number < 100:
        ctx.goto(add, number=number + 1, total=total)
    else:
        ctx.goto(report, total=total)
    return total


@graph.node(start=False, output=True)
async def report(total: int) -> int:
    """Run only because something goes here."""
    return total


async def main() -> None:
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        output = await run
        state = await run.state()
        print(f"{len(state.activations)} activations")
        print(output)


if __name__ == "__main__":
    asyncio.run(main())
