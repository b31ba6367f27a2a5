"""Who drives a run: starting, resuming and scanning side by side leave exactly one driver, and never none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from midstream import Context, Engine, Graph
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


async def test_a_note_right_after_the_start_does_not_begin_the_first_node_twice(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("counter")
    begun = 0

    @graph.node
    async def count() -> int:
        nonlocal begun
        begun += 1
        await asyncio.sleep(0.01)
        return begun

    engine = await make_engine()
    run = await engine.start(graph)
    await run.note("hello")
    assert await run == 1
    assert [event.type async for event in run.events()].count("node.completed") == 1


async def _wished_after_the_end(engine: Engine) -> None:
    run = await engine.start(sleeper(), seconds=0.0)
    await run
    await run.pause()
    await run.cancel()
    await run.note("late")
    assert [info.status for info in await engine.runs()] == ["completed"]
    assert await engine.runs(status="paused") == []
    assert await engine.recover() == ()
    assert (await run.state()).status == "completed"


async def test_a_run_that_has_ended_is_not_opened_again_by_a_late_wish(
    make_engine: MakeEngine,
) -> None:
    await _wished_after_the_end(await make_engine())


async def test_a_run_that_has_ended_stays_so_in_a_file_too(tmp_path: Path) -> None:
    async with Engine.open(tmp_path / "runs.db") as engine:
        await _wished_after_the_end(engine)
