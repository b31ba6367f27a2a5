"""The process ends around runs that a run starts, and around graphs inside a graph; the next one ends the run the same.

`docs/crash-points.md` says, moment by moment, what that means; each row of its table about nesting is a case here.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.projections.run_state import RunState, fold_run

from .power import LateClock, Power, PoweredStore
from .test_crash_points import Cut, at_place, never

RUN = RunId("r")
OUTPUT = ["report", "inside"]


def nth(pattern: str, number: int = 1) -> Cut:
    """Return what ends the process the n-th time that such a moment is reached."""
    seen: list[str] = []

    def cut(name: str, place: int) -> bool:
        if re.search(pattern, name) is None:
            return False
        seen.append(name)
        return len(seen) == number

    return cut


@dataclass
class Lives:
    """A run with runs and graphs of its own, over one store, driven by processes that end."""

    store: MemoryStore = field(default_factory=MemoryStore)
    lives: int = 0
    written: list[str] = field(default_factory=list[str])

    def build(self) -> Graph:
        graph, report, endless, inner = (
            Graph("g"),
            Graph("report"),
            Graph("endless"),
            Graph("inner"),
        )

        @report.node
        async def write(ctx: Context) -> str:
            self.written.append(ctx.run_id)
            return "report"

        @endless.node
        async def wait(ctx: Context) -> None:
            await asyncio.Event().wait()

        @inner.node
        async def begin(ctx: Context) -> str:
            await ctx.random()
            return "in"

        @inner.node
        async def finish(begin: str) -> str:
            return f"{begin}side"

        @graph.node
        async def order(ctx: Context) -> Any:
            await ctx.start_subrun(endless, close="cancel")
            return await ctx.subrun(report)

        graph.subgraph("inside", inner, after=["order"])

        @graph.node
        async def both(order: str, inside: str) -> list[str]:
            return [order, inside]

        graph.register(endless)
        graph.register(report)
        return graph

    async def live(self, cut_at: Cut) -> Power:
        """Drive the run in a process that ends at a moment, or with the run."""
        self.lives += 1
        power = Power(cut_at)
        engine = Engine(
            PoweredStore(self.store, power), recover=False, clock=LateClock(100.0 * self.lives)
        )
        try:
            async with engine:
                run = await engine.start(self.build(), run_id=RUN)
                ends = {
                    asyncio.ensure_future(_awaited(run)),
                    asyncio.ensure_future(power.died.wait()),
                }
                done, rest = await asyncio.wait(
                    ends, timeout=20, return_when=asyncio.FIRST_COMPLETED
                )
                assert done, "the run hangs"
                for task in rest:
                    task.cancel()
                await asyncio.gather(*ends, return_exceptions=True)
        except BaseException:  # the cut as it is, or in a group
            if not power.dead:
                raise
        return power

    async def state(self, run_id: RunId = RUN) -> RunState:
        if await self.store.head(run_id) is None:
            return RunState()
        return fold_run([event async for event in self.store.read(run_id)])

    async def end(self) -> None:
        """See that the run ended as if nothing had happened, and that no run was started twice."""
        state = await self.state()
        assert (state.status, state.output) == ("completed", OUTPUT)
        assert state.open_calls == {}
        infos = {info.graph: info for info in await self.store.runs()}
        assert len(await self.store.runs()) == 3
        assert {name: info.status for name, info in infos.items()} == {
            "g": "completed",
            "report": "completed",
            "endless": "cancelled",
        }
        assert set(self.written) == {infos["report"].run_id}
        for call in state.calls.values():
            if call.kind == "subrun":
                child = await self.state(RunId(call.request["run"]))
                assert (child.parent, child.parent_step) == (RUN, call.address)


async def _awaited(run: Any) -> Any:
    return await run


ROWS: dict[str, Cut] = {
    "before subrun.requested": nth("before append .*subrun.requested", 2),
    "after subrun.requested": nth("after append .*subrun.requested", 2),
    "before a run that it starts is created": nth("before append run.created", 3),
    "after a run that it starts is created": nth("after append run.created", 3),
    "before subrun.completed": nth("before append .*subrun.completed"),
    "after subrun.completed": nth("after append .*subrun.completed"),
    "before subrun.closing": nth("before append .*subrun.closing"),
    "after subrun.closing": nth("after append .*subrun.closing"),
    "before a run that it started is cancelled": nth("before append .*run.cancelled"),
    "after a run that it started is cancelled": nth("after append .*run.cancelled"),
    "before subrun.failed": nth("before append .*subrun.failed"),
    "after subrun.failed": nth("after append .*subrun.failed"),
    "in a graph inside, before a value is recorded": nth("before append .*value.recorded"),
    "in a graph inside, after a value was recorded": nth("after append .*value.recorded"),
}


@pytest.mark.parametrize("name", ROWS)
async def test_after_a_crash_the_run_ends_as_the_page_says(name: str) -> None:
    lives = Lives()
    assert (await lives.live(ROWS[name])).dead
    assert (await lives.state()).status in ("running", "completed")
    await lives.live(never)
    await lives.end()


async def test_a_run_survives_the_end_of_its_process_at_every_moment() -> None:
    whole = await Lives().live(never)
    for place in range(len(whole.moments)):
        lives = Lives()
        await lives.live(at_place(place))
        await lives.live(never)
        await lives.end()
    assert len(whole.moments) > 30
