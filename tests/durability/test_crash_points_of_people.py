"""The process ends at each moment of a question, of the run that asks or of the person who answers.

`docs/crash-points.md` says, moment by moment, what that means; each row of its table about people is a case here.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from midstream import RETRY_CALL, Context, Engine, Graph, Retry, Run, ToolContext, UnknownCall, tool
from midstream.errors import AlreadyAnsweredError, RunCancelledError, RunNotFoundError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from .power import LateClock, Power, PoweredStore
from .test_crash_points import ROWS as OTHERS
from .test_crash_points import Cut, after, at_first, before, never
from .test_crash_points_of_nesting import ROWS as NESTING
from .test_crash_points_of_plans import ROWS as PLANS
from .world import World

RUN = RunId("r")
PAGE = Path(__file__).parents[2] / "docs" / "crash-points.md"
OUTPUT = ["yes", 7, "pay there"]


def asking(world: World) -> Graph:
    """Return a graph that asks for a yes, for a value that nobody gives, and for the approval of an unsafe tool."""
    graph = Graph("asking")

    async def find_out(unknown: UnknownCall) -> Any:
        return f"pay {unknown.arguments['place']}" if world.did(unknown.key) else RETRY_CALL

    @tool(effect="unsafe", confirm=True, editable=["place"], on_unknown=find_out)
    async def pay(place: str, ctx: ToolContext) -> str:
        await world.act("pay", ctx.key, ctx.attempt)
        return f"pay {place}"

    @graph.node(retry=Retry(attempts=1))
    async def ask(ctx: Context) -> list[Any]:
        said = await ctx.confirm("Go on?")
        size = await ctx.ask("Which size?", schema={"type": "integer"}, timeout=0.05, default=7)
        return ["yes" if said.approved else "no", size, await ctx.tool(pay, place="here")]

    return graph


class Lives:
    """One run, the processes that drive it, and those in which a person answers."""

    def __init__(self, folder: Path) -> None:
        self.store = MemoryStore()
        self.world = World(folder / "effects")
        self.graph = asking(self.world)
        self.lives = 0
        self.told = 0  # answers of which the person was told that they were heard

    async def live(
        self, cut: Cut = never, person: Cut = never, wish: str = ""
    ) -> tuple[bool, bool]:
        """Drive the run while a person answers; return whether the driver died, and whether the person's process did."""
        self.lives += 1
        driving, answering = Power(cut), Power(person)
        self.world.point = driving.point
        tasks = [
            asyncio.create_task(self._drive(driving, wish)),
            asyncio.create_task(self._answer(answering, wish)),
        ]
        dead = [asyncio.create_task(power.died.wait()) for power in (driving, answering)]
        await asyncio.wait([tasks[0], *dead], return_when=asyncio.FIRST_COMPLETED)
        # Where the person's process has ended, the driver's machine is switched off as well.
        driving.dead = driving.dead or answering.dead
        for task in (*tasks[not answering.dead and not driving.dead :], *dead):
            task.cancel()
        await asyncio.wait([*tasks, *dead])
        if not driving.dead:
            await tasks[0]
        return driving.dead and not answering.dead, answering.dead

    async def _drive(self, power: Power, wish: str) -> None:
        engine = Engine(
            PoweredStore(self.store, power),
            graphs=[self.graph],
            recover=False,
            clock=LateClock(100.0 * self.lives),
        )
        try:
            async with engine:
                run = await engine.start(self.graph, run_id=RUN)
                if wish == "cancel":
                    await _until_asked(run)
                    await run.cancel("enough")
                with suppress(RunCancelledError):
                    await run
        except BaseException:  # the cut as it is, or in a group
            if not power.dead:
                raise

    async def _answer(self, power: Power, wish: str) -> None:
        try:
            async with Engine(PoweredStore(self.store, power), recover=False) as stranger:
                run = stranger.run(RUN)
                while wish != "cancel":
                    with suppress(RunNotFoundError):
                        for question in await run.questions():
                            if question.kind != "free":
                                changed = {"place": "there"} if question.editable else None
                                with suppress(AlreadyAnsweredError):
                                    await run.answer(question.id, approved=True, arguments=changed)
                                    self.told += 1
                    await asyncio.sleep(0.002)
        except BaseException:
            if not power.dead:
                raise

    async def types(self) -> list[str]:
        if await self.store.head(RUN) is None:
            return []
        return [event.type async for event in self.store.read(RUN)]

    async def state(self) -> RunState:
        assert (await verify(self.store, RUN)).sound
        return fold_run([event async for event in self.store.read(RUN)])


async def _until_asked(run: Run) -> None:
    async for event in run.events():
        if event.type == "question.asked":
            return


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page.

    Attributes:
        cut: The moment at which the driver's process ends, as a pattern; empty where it is the person's.
        recorded: What must be in the log after it, or must not where it begins with `-`.
        person: The moment at which the process of the person ends.
        wish: What the host wants of the run.
        paid: How often the unsafe tool was called by then.
    """

    cut: str = ""
    recorded: str = ""
    person: str = ""
    wish: str = ""
    paid: int = 0


ROWS: Mapping[str, Row] = {
    "before question.asked": Row(before("question.asked"), "-question.asked"),
    "after question.asked": Row(after("question.asked"), "question.asked"),
    "before question.answered": Row(
        recorded="-question.answered", person=before("question.answered")
    ),
    "after question.answered": Row(recorded="question.answered", person=after("question.answered")),
    "before question.expired": Row(before("question.expired"), "-question.expired"),
    "after question.expired": Row(after("question.expired"), "question.expired"),
    "before an approved tool.requested": Row(before("tool.requested"), "-tool.requested"),
    "after an approved tool.requested": Row(after("tool.requested"), "tool.requested"),
    "before an approved tool": Row("^before pay", "tool.requested"),
    "after an approved tool": Row("^after pay", "tool.requested", paid=1),
    "before question.withdrawn": Row(
        before("question.withdrawn"), "-question.withdrawn", wish="cancel"
    ),
    "after question.withdrawn": Row(
        after("question.withdrawn"), "question.withdrawn", wish="cancel"
    ),
}


@pytest.mark.parametrize("name", ROWS)
async def test_after_a_crash_around_a_question_the_run_ends_as_the_page_says(
    tmp_path: Path, name: str
) -> None:
    row, lives = ROWS[name], Lives(tmp_path)
    person = at_first(row.person) if row.person else never
    died = await lives.live(at_first(row.cut) if row.cut else never, person, row.wish)
    assert died == (bool(row.cut), bool(row.person))
    seen = await lives.types()
    assert (row.recorded.lstrip("-") in seen) is not row.recorded.startswith("-")
    assert lives.world.counts()["pay"] == row.paid
    open_before = [
        call.request["id"]
        for call in (await lives.state()).calls.values()
        if call.kind == "question" and call.status == "open"
    ]
    await lives.live(wish=row.wish)
    state = await lives.state()
    questions = [call for call in state.calls.values() if call.kind == "question"]
    assert {call.request["id"] for call in questions} >= set(open_before), "asked once more"
    if row.wish == "cancel":
        assert (state.status, state.open_calls) == ("cancelled", {})
        assert [call.status for call in questions] == ["aborted"]
        return
    assert (state.status, state.output) == ("completed", OUTPUT)
    assert [call.status for call in questions] == ["completed", "failed", "completed"]
    types = await lives.types()
    assert (types.count("question.asked"), types.count("question.answered")) == (3, 2)
    assert lives.world.counts() == {"pay": 1}
    assert lives.told == (1 if name == "after question.answered" else 2)


def test_the_page_of_crash_points_has_a_row_for_each_test_and_no_other() -> None:
    rows = re.findall(r"^\| `([^`]+)` \|", PAGE.read_text(), re.MULTILINE)
    others = [row for row in rows if row not in {*ROWS, *PLANS, *NESTING}]
    assert others == list(OTHERS)
    assert [row for row in rows if row in ROWS] == list(ROWS)
    assert [row for row in rows if row in PLANS] == list(PLANS)
    assert [row for row in rows if row in NESTING] == list(NESTING)
