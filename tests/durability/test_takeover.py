"""Who drives a run: starting, resuming and scanning side by side leave exactly one driver, and never none."""

from __future__ import annotations

from midstream import Context, Graph

from tests.conftest import MakeEngine

from .power import LateClock


def sleeper() -> Graph:
    graph = Graph("sleeper")

    @graph.node
    async def sleep(seconds: float, ctx: Context) -> str:
        await ctx.sleep(seconds)
        return "awake"

    return graph


async def test_starting_a_run_again_after_it_was_taken_over_gives_the_same_run(
    make_engine: MakeEngine,
) -> None:
    first = await make_engine(recover=False)
    await first.start(sleeper(), run_id="r", seconds=0.1)
    second = await make_engine(clock=LateClock(100), recover=False)
    run = await second.start(sleeper(), run_id="r", seconds=0.1)
    again = await second.start(sleeper(), run_id="r", seconds=0.1)
    assert await run == await again == "awake"
