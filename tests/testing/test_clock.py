"""The fake clock: days in milliseconds, in order, and no harm when it is set."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import Any

from midstream import Context, Engine, Graph, Retry
from midstream.testing import FakeClock
from midstream.testing.clock import BEGINNING

DAY = 86400.0


def napping() -> Graph:
    graph = Graph("naps")

    @graph.node(retry=Retry(attempts=3, delay=DAY, longest=DAY, on=frozenset({"ValueError"})))
    async def nap(ctx: Context) -> str:
        began = await ctx.now()
        await ctx.sleep(10 * DAY)
        await ctx.sleep_until(datetime.fromtimestamp(began + 30 * DAY, UTC))
        if ctx.attempt < 3:
            raise ValueError
        answer = await ctx.ask("Well?", timeout=DAY, default="nobody")
        assert answer == "nobody"
        return "done"

    return graph


async def test_days_take_milliseconds() -> None:
    clock = FakeClock()
    began = time.monotonic()
    async with Engine.memory(clock=clock) as engine:
        assert await (await engine.start(napping())) == "done"
    assert clock.now() >= BEGINNING + 32 * DAY
    assert time.monotonic() - began < 5


async def test_days_take_milliseconds_for_parked_runs_over_a_file_too(tmp_path: Any) -> None:
    clock = FakeClock()
    async with Engine.open(tmp_path / "r.db", clock=clock, park_after=0.001) as engine:
        runs = [await engine.start(napping()) for _ in range(5)]
        assert await asyncio.gather(*runs) == ["done"] * 5


async def test_by_hand_it_passes_each_moment_in_order() -> None:
    clock = FakeClock(auto=False)
    seen: list[tuple[str, float]] = []

    async def wait(name: str, seconds: float) -> None:
        await clock.sleep_until(BEGINNING + seconds)
        seen.append((name, clock.now() - BEGINNING))

    waiting = [asyncio.create_task(wait(*one)) for one in (("b", 20.0), ("a", 10.0), ("c", 99.0))]
    await asyncio.sleep(0)
    assert clock.next == BEGINNING + 10
    await clock.advance(30)
    assert seen == [("a", 10.0), ("b", 20.0)]
    assert clock.now() == BEGINNING + 30
    waiting[2].cancel()
    await asyncio.sleep(0)
    await clock.advance(100)
    assert clock.next is None


async def test_a_clock_that_is_set_does_no_harm() -> None:
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> Any:
        await ctx.sleep(100)
        return await ctx.ask("Well?", timeout=100, default="late")

    clock = FakeClock(auto=False)
    async with Engine.memory(clock=clock) as engine:
        run = await engine.start(graph)
        await clock.advance(0)
        clock.jump(-5000)  # a timer is a moment: it is waited for longer
        await clock.advance(5050)
        assert "timer.fired" not in [line.type for line in await run.timeline()]
        await clock.advance(50)
        assert await run.questions()
        clock.jump(10 * DAY)  # forward: what was due in between is due now, once
        assert await run == "late"
        types = [line.type for line in await run.timeline()]
        assert (types.count("timer.fired"), types.count("question.expired")) == (1, 1)
