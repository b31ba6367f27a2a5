"""The process ends at each moment at which the log or the world changes, in turn; the next one ends the run the same.

`docs/crash-points.md` says, moment by moment, what that means; each of its rows is a case here, by the same name, or where
people are asked.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midstream import Engine, Run
from midstream.errors import RunCancelledError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from .power import LateClock, Power, PowerCut, PoweredStore
from .test_kill import check_effects
from .world import MODEL, OUTPUT, SINGLE, World, expedition

RUN = RunId("r")

Cut = Callable[[str, int], bool]


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
                await lived(power, _wish(run, wish))
                await run
        except RunCancelledError:
            pass
        except BaseException:  # the cut as it is, or in a group
            if not power.dead:
                raise
        return power

    async def begun(self) -> bool:
        """Say whether the run is in the log."""
        return await self.store.head(RUN) is not None

    async def types(self) -> set[str]:
        """Return the types of events that are in the log."""
        if not await self.begun():
            return set()
        return {event.type async for event in self.store.read(RUN)}

    async def state(self) -> RunState:
        if not await self.begun():
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

    async def end(self, unrecorded: Mapping[str, int], *, cancelled: bool = False) -> None:
        """See that the run ended as if nothing had happened, and that only what was in flight was repeated."""
        state = await self.state()
        if cancelled:
            assert (state.status, dict(state.open_calls)) == ("cancelled", {})
            return
        assert (state.status, state.output) == ("completed", OUTPUT)
        check_effects(state, self.world.deeds())
        repeated = Counter({what: n for what, n in unrecorded.items() if what != "dig"})
        assert self.world.counts() == SINGLE + repeated


async def lived(power: Power, work: Coroutine[Any, Any, None]) -> None:
    """Do something as long as the process lives: who waits in a dead one is never told."""
    task, died = asyncio.ensure_future(work), asyncio.ensure_future(power.died.wait())
    try:
        await asyncio.wait([task, died], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise PowerCut
        await task
    finally:
        task.cancel()
        died.cancel()


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


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page.

    Attributes:
        cut: The moment, as a pattern; the process ends when it is first reached.
        recorded: What the newest event of this type must be in the log after it, or absent if it begins with `-`.
        repeated: The effects that were in flight for sure and happen once more.
        wish: What the host wants of the run after its start.
        first: Where an earlier process has ended, or empty.
    """

    cut: str
    recorded: str = ""
    repeated: tuple[str, ...] = ()
    wish: str = ""
    first: str = ""


def before(type_: str) -> str:
    return rf"^before append .*\b{re.escape(type_)}\b"


def after(type_: str) -> str:
    return rf"^after append .*\b{re.escape(type_)}\b"


DUG, UNDUG = "^after dig", "^before dig"

ROWS: Mapping[str, Row] = {
    "before run.created": Row(before("run.created"), "-run.created"),
    "after run.created": Row(after("run.created"), "run.created"),
    "before node.scheduled": Row(before("node.scheduled"), "-node.scheduled"),
    "after node.scheduled": Row(after("node.scheduled"), "node.scheduled"),
    "before value.recorded": Row(before("value.recorded"), "-value.recorded"),
    "after value.recorded": Row(after("value.recorded"), "value.recorded"),
    "before model.requested": Row(before("model.requested"), "-model.requested"),
    "after model.requested": Row(after("model.requested"), "model.requested"),
    "before the model is asked": Row("^before model", "model.requested"),
    "after the model answered": Row("^after model", "-model.responded", ("model",)),
    "before model.responded": Row(before("model.responded"), "-model.responded", ("model",)),
    "after model.responded": Row(after("model.responded"), "model.responded"),
    "before node.completed": Row(before("node.completed"), "-node.completed", ("model",)),
    "after node.completed": Row(after("node.completed"), "node.completed"),
    "before timer.set": Row(before("timer.set"), "-timer.set"),
    "after timer.set": Row(after("timer.set"), "timer.set"),
    "before timer.fired": Row(before("timer.fired"), "-timer.fired"),
    "after timer.fired": Row(after("timer.fired"), "timer.fired"),
    "before node.failed": Row(before("node.failed"), "-node.failed"),
    "after node.failed": Row(after("node.failed"), "node.failed"),
    "before node.started": Row(before("node.started"), "-node.started"),
    "after node.started": Row(after("node.started"), "node.started"),
    "before tool.requested": Row(before("tool.requested"), "-tool.requested"),
    "after tool.requested": Row(after("tool.requested"), "tool.requested"),
    "before a read tool": Row("^before look", "tool.requested"),
    "after a read tool": Row("^after look", "tool.requested", ("look",)),
    "before an idempotent tool": Row("^before mark", "tool.requested"),
    "after an idempotent tool": Row("^after mark", "tool.requested", ("mark",)),
    "before an unsafe tool": Row(UNDUG, "tool.requested"),
    "after an unsafe tool": Row(DUG, "tool.requested"),
    "before tool.completed": Row(before("tool.completed"), "-tool.completed"),
    "after tool.completed": Row(after("tool.completed"), "tool.completed"),
    "before tool.failed": Row(before("tool.failed"), "-tool.failed"),
    "after tool.failed": Row(after("tool.failed"), "tool.failed"),
    "before run.completed": Row(before("run.completed"), "-run.completed", ("model",)),
    "after run.completed": Row(after("run.completed"), "run.completed"),
    "before the lease is taken": Row("^before acquire", "-run.resumed", first=UNDUG),
    "after the lease is taken": Row("^after acquire", "-run.resumed", first=UNDUG),
    "before run.resumed": Row(before("run.resumed"), "-run.resumed", first=UNDUG),
    "after run.resumed": Row(after("run.resumed"), "run.resumed", first=UNDUG),
    "before tool.unknown": Row(before("tool.unknown"), "-tool.unknown", first=DUG),
    "after tool.unknown": Row(after("tool.unknown"), "tool.unknown", first=DUG),
    "before on_unknown": Row("^before on_unknown", "tool.unknown", first=DUG),
    "after on_unknown": Row("^after on_unknown", "tool.unknown", first=DUG),
    "before tool.retried": Row(before("tool.retried"), "-tool.retried", first=UNDUG),
    "after tool.retried": Row(after("tool.retried"), "tool.retried", first=UNDUG),
    "before note.added": Row(before("note.added"), "-note.added", wish="note"),
    "after note.added": Row(after("note.added"), "note.added", wish="note"),
    "before model.switched": Row(before("model.switched"), "-model.switched", wish="migrate"),
    "after model.switched": Row(after("model.switched"), "model.switched", wish="migrate"),
    "before run.paused": Row(before("run.paused"), "-run.paused", wish="pause"),
    "after run.paused": Row(after("run.paused"), "run.paused", wish="pause"),
    "before run.continued": Row(before("run.continued"), "-run.continued", wish="pause"),
    "after run.continued": Row(after("run.continued"), "run.continued", wish="pause"),
    "before run.cancel_requested": Row(
        before("run.cancel_requested"), "-run.cancel_requested", wish="cancel"
    ),
    "after run.cancel_requested": Row(
        after("run.cancel_requested"), "run.cancel_requested", wish="cancel"
    ),
    "before run.cancelled": Row(before("run.cancelled"), "-run.cancelled", wish="cancel"),
    "after run.cancelled": Row(after("run.cancelled"), "run.cancelled", wish="cancel"),
}


@pytest.fixture
def lives(tmp_path: Path) -> Lives:
    return Lives(tmp_path)


@pytest.mark.parametrize("name", ROWS)
async def test_after_a_crash_the_run_ends_as_the_page_says(lives: Lives, name: str) -> None:
    row = ROWS[name]
    if row.first:
        await lives.live(at_first(row.first))
    assert (await lives.live(at_first(row.cut), row.wish)).dead
    seen = await lives.types()
    assert (row.recorded.lstrip("-") in seen) is not row.recorded.startswith("-")
    unrecorded = await lives.unrecorded()
    for what in row.repeated:
        assert unrecorded[what] == 1
    # The caller repeats a wish that it was never told was heard; one that was heard needs nothing.
    heard = not row.recorded.startswith("-")
    await lives.live(never, "" if heard and row.wish != "pause" else row.wish)
    await lives.end(unrecorded, cancelled=row.wish == "cancel")


async def test_a_run_survives_the_end_of_its_process_at_every_moment(tmp_path: Path) -> None:
    whole = await Lives(_folder(tmp_path, "whole")).live(never)
    for place in range(len(whole.moments)):
        lives = Lives(_folder(tmp_path, str(place)))
        assert (await lives.live(at_place(place))).dead
        unrecorded = await lives.unrecorded()
        await lives.live(never)
        await lives.end(unrecorded)
    assert len(whole.moments) > 60


async def test_a_run_survives_the_end_of_three_processes_in_a_row(tmp_path: Path) -> None:
    chance = random.Random(3)
    for turn in range(40):
        lives = Lives(_folder(tmp_path, str(turn)))
        for longest in (70, 30, 20):
            await lives.live(at_place(chance.randrange(longest)))
        unrecorded = await lives.unrecorded()
        await lives.live(never)
        await lives.end(unrecorded)


def _folder(parent: Path, name: str) -> Path:
    folder = parent / name
    folder.mkdir()
    return folder
