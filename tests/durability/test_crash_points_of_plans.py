"""The process ends at each moment of planning, of a loop, and of planning anew.

`docs/crash-points.md` says, moment by moment, what that means; each row of its table about plans is a case here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.verify import verify
from midstream.projections.run_state import fold_run

from .power import LateClock, Power, PoweredStore
from .test_crash_points import Cut, after, at_first, at_place, before, never

RUN = RunId("r")
PLAN = {
    "nodes": [
        {"name": "count", "use": "double", "args": {"number": 1}},
        {"name": "check", "use": "fragile"},
    ],
    "edges": [
        {"source": "count", "target": "count", "to": "number", "rounds": 2},
        {"source": "count", "target": "check", "to": "number"},
    ],
}


def planned() -> Graph:
    """Return a graph whose plan has a loop, and a node that fails at first."""
    graph = Graph("planned", on_failure="reflect")

    @graph.function
    async def double(number: int) -> int:
        return 2 * number

    @graph.function
    async def fragile(number: int, ctx: Context) -> int:
        if ctx.step == "check#1":
            raise ValueError("invalid number")
        return number + 1

    graph.plan("answer", goal="count", nodes=["double", "fragile"], model="planner")

    @graph.node(output=True)
    async def last(answer: int) -> int:
        return answer

    return graph


class Lives:
    """One run over one store, driven by processes that end and are followed by others."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.lives = 0
        self.asked = 0

    async def live(self, cut: Cut) -> Power:
        """Drive the run in a process that ends at a moment, or with the run."""
        self.lives += 1
        power = Power(cut)
        graph = planned()
        engine = Engine(
            PoweredStore(self.store, power),
            graphs=[graph],
            models={"planner": self._answer},
            recover=False,
            clock=LateClock(100.0 * self.lives),
        )
        try:
            async with engine:
                await (await engine.start(graph, run_id=RUN))
        except BaseException:  # the cut as it is, or in a group
            if not power.dead:
                raise
        return power

    def _answer(self, messages: Any) -> str:
        self.asked += 1
        return json.dumps(PLAN if len(messages) > 2 else {"nodes": []})

    async def events(self) -> list[Event]:
        if await self.store.head(RUN) is None:
            return []
        return [event async for event in self.store.read(RUN)]

    async def end(self) -> tuple[Any, dict[str, Any], list[Any]]:
        """Return what the run came to: its output, its graph, and what was planned."""
        assert (await verify(self.store, RUN)).sound
        events = await self.events()
        state = fold_run(events)
        assert state.status == "completed"
        shapes = {name: shape.waits_for for name, shape in state.topology.nodes.items()}
        facts = [
            (event.type, event.address, event.data)
            for event in events
            if event.type in ("node.added", "edge.added", "edge.decided", "plan.revised")
        ]
        return state.output, shapes, facts


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the page.

    Attributes:
        cut: The moment at which the process ends, as a pattern.
        recorded: What must be in the log after it, or must not where it begins with `-`.
        asked: How often the planner is asked for its two answers.
    """

    cut: str
    recorded: str
    asked: int = 2


ROWS: Mapping[str, Row] = {
    "before node.added": Row(before("node.added"), "-node.added", 3),
    "after node.added": Row(after("node.added"), "node.added"),
    "before edge.decided": Row(before("edge.decided"), "-edge.decided"),
    "after edge.decided": Row(after("edge.decided"), "edge.decided"),
    "before plan.revised": Row(before("plan.revised"), "-reflection.made"),
    "after plan.revised": Row(after("plan.revised"), "plan.revised"),
}


@pytest.mark.parametrize("name", ROWS)
async def test_after_a_crash_around_a_plan_the_run_ends_as_the_page_says(name: str) -> None:
    whole = Lives()
    await whole.live(never)
    expected = await whole.end()
    assert expected[0] == 9
    row, lives = ROWS[name], Lives()
    assert (await lives.live(at_first(row.cut))).dead
    seen = [event.type for event in await lives.events()]
    assert (row.recorded.lstrip("-") in seen) is not row.recorded.startswith("-")
    await lives.live(never)
    assert await lives.end() == expected
    assert (whole.asked, lives.asked) == (2, row.asked)


async def test_a_planned_run_survives_the_end_of_its_process_at_every_moment() -> None:
    whole = Lives()
    power = await whole.live(never)
    expected = await whole.end()
    for place in range(len(power.moments)):
        lives = Lives()
        assert (await lives.live(at_place(place))).dead
        await lives.live(never)
        assert await lives.end() == expected, place
    assert len(power.moments) > 20
