"""The process ends at each moment at which the log or the world changes, in turn; the next one ends the run the same.

`docs/crash-points.md` says, moment by moment, what that means; each of its rows is a case here, by the same name.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from midstream import Engine, Run
from midstream.errors import RunCancelledError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from .power import LateClock, Power, PowerCut, PoweredStore
from .test_kill import check_effects
from .world import MODEL, OUTPUT, SINGLE, World, expedition

RUN = RunId("r")
PAGE = Path(__file__).parents[2] / "docs" / "crash-points.md"

Cut = Callable[[str, int], bool]
Wish = Callable[[Run], "asyncio.Future[None]"]


def never(name: str, place: int) -> bool:
    return False


def at_place(wanted: int) -> Cut:
    return lambda name, place: place == wanted


def at_first(pattern: str) -> Cut:
    return lambda name, place: re.search(pattern, name) is not None


class Lives:
    """One run over one store, driven by processes that end and are followed by others."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.world = World(folder / "effects")
        self.lives = 0

    async def live(self, cut_at: Cut, wish: str = "") -> Power:
        """Drive the run in a process that ends at a moment, or with the run."""
        self.lives += 1
        power = Power(cut_at)
        self.world.point = power.point
        engine = Engine(
            PoweredStore(self.store, power),
            models={"walker": self.world.script(), "other": self.world.script()},
            model=MODEL,
            recover=False,
            clock=LateClock(100.0 * self.lives),
        )
        try:
            async with engine:
                run = await engine.start(expedition(self.world), run_id=RUN, land="home")
                await _wish(run, wish)
                await run
        except PowerCut:
            pass
        except RunCancelledError:
            assert wish == "cancel"
        assert power.dead is (cut_at is not never)
        return power

    async def state(self) -> RunState:
        if await self.store.head(RUN) is None:
            return RunState()
        assert (await verify(self.store, RUN)).sound
        return fold_run([event async for event in self.store.read(RUN)])

    async def unrecorded(self) -> Counter[str]:
        """Return the effects so far whose outcome is not in the log."""
        calls = (await self.state()).calls.values()
        known = Counter(
            "model" if call.kind == "model" else call.request["name"]
            for call in calls
            if call.kind in ("model", "tool") and call.status == "completed"
        )
        return self.world.counts() - known

    async def end(self, unrecorded: Mapping[str, int]) -> None:
        """See that the run ended as if nothing had happened, and that only what was in flight was repeated."""
        state = await self.state()
        assert (state.status, state.output) == ("completed", OUTPUT)
        check_effects(state, self.world.deeds())
        repeated = Counter({what: n for what, n in unrecorded.items() if what != "dig"})
        assert self.world.counts() == SINGLE + repeated


async def _wish(run: Run, wish: str) -> None:
    match wish:
        case "note":
            await run.note("seen")
        case "migrate":
            await run.migrate("scripted:other")
        case "pause":
            await run.pause()
            await asyncio.sleep(0.02)
            await run.resume()
        case "cancel":
            await run.cancel("enough")
        case _:
            pass


async def test_a_run_survives_the_end_of_its_process_at_every_moment(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    whole = await Lives(tmp_path / "whole").live(never)
    assert len(whole.moments) > 60
    for place in range(len(whole.moments)):
        folder = tmp_path / str(place)
        folder.mkdir()
        lives = Lives(folder)
        await lives.live(at_place(place))
        unrecorded = await lives.unrecorded()
        await lives.live(never)
        await lives.end(unrecorded)
