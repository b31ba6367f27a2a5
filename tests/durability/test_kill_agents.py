"""Killing the processes of an agent that waits for a person: it ends the same, and the question is still there."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from midstream import Engine
from midstream.errors import AnswerError, RunNotFoundError
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from .agent import TOLD
from .nursery import Nursery
from .world import World

LEASE = 0.1
PATIENCE = 20.0
"""Seconds after which a process that did not come to where it was to be killed is killed."""


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


class Case:
    """One run, and the processes that drive it one after the other."""

    def __init__(self, nursery: Nursery, folder: Path, name: str) -> None:
        self.file = folder / "runs.db"
        self.name = name
        self.world = World(folder / name, pace=0.002)
        self._nursery = nursery

    async def live(self, killed: tuple[int, float] | None, answer_after: float) -> str:
        """Have a process drive, and a person answer in another one; return how the first one ended.

        Args:
            killed: At which of its appends it is killed, and how many seconds after it; None for a long life.
            answer_after: Seconds until the person looks.
        """
        person = asyncio.create_task(self._answer(answer_after))
        try:
            return await asyncio.to_thread(
                self._nursery.run,
                "agent",
                kill_after=None if killed is None else PATIENCE,
                killed=killed,
                file=str(self.file),
                effects=str(self.world.file),
                run=self.name,
                pace=self.world.pace,
                lease=LEASE,
            )
        finally:
            person.cancel()
            with suppress(asyncio.CancelledError):
                await person

    async def _answer(self, after: float) -> None:
        await asyncio.sleep(after)
        async with Engine.open(self.file, recover=False) as engine:
            run = engine.run(self.name)
            while True:
                with suppress(RunNotFoundError):
                    for question in await run.questions():
                        with suppress(AnswerError):
                            await run.answer(
                                question.id, approved=True, arguments={"place": "there"}
                            )
                await asyncio.sleep(0.005)

    async def state(self) -> RunState:
        """Return where the run stands, and see that its log is whole."""
        if not self.file.exists():
            return RunState()
        store = await SqliteStore.open(self.file, read_only=True)
        try:
            if await store.head(RunId(self.name)) is None:
                return RunState()
            assert (await verify(store, RunId(self.name))).sound
            return fold_run([event async for event in store.read(RunId(self.name))])
        finally:
            await store.close()

    async def check_killed(self) -> None:
        """See that nothing was asked away, and that no unsafe effect has happened twice."""
        questions = [one for one in (await self.state()).calls.values() if one.kind == "question"]
        assert len(questions) <= 1
        assert all(one.status in ("open", "completed") for one in questions)
        counts = self.world.counts()
        assert max(counts["dig"], counts["pay"]) <= 1

    async def check_ended(self, lives: int) -> None:
        """See that it has ended as if nothing had happened."""
        state = await self.state()
        assert (state.status, state.output["text"]) == ("completed", TOLD)
        assert state.open_calls == {}
        asked = [one for one in state.calls.values() if one.kind == "question"]
        assert [one.status for one in asked] == ["completed"]
        counts = self.world.counts()
        assert (counts["dig"], counts["pay"]) == (1, 1)
        assert counts["look"] <= lives
        assert counts["model"] <= 1 + lives


async def killed_at(nursery: Nursery, folder: Path, name: str, place: int, delay: float) -> str:
    """Kill the first process at a place, let a second one end the run, and return how the first one ended."""
    case = Case(nursery, folder, name)
    ended = await case.live((place, delay), answer_after=0.0)
    await case.check_killed()
    if ended == "killed":
        assert await case.live(None, answer_after=0.0) == "done"
    await case.check_ended(2)
    return ended


@pytest.mark.parametrize("place", [2, 4, 6, 8])
async def test_an_agent_that_is_killed_at_an_append_is_ended_by_the_next_process(
    nursery: Nursery, tmp_path: Path, place: int
) -> None:
    assert await killed_at(nursery, tmp_path, "r", place, 0.001) == "killed"


async def test_an_agent_that_is_killed_at_random_ends_as_if_it_had_not(
    nursery: Nursery, tmp_path: Path
) -> None:
    assert (await kill_until(nursery, tmp_path, kills=8, seed=1))["killed"] == 8


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_an_agent_that_is_killed_at_every_append_ends_the_same(
    nursery: Nursery, tmp_path: Path
) -> None:
    """Before the append is on its way, while it is, and while what it made possible happens."""
    for delay in (0.0, 0.0015, 0.003, 0.006):
        place, ended = 0, "killed"
        while ended == "killed":
            place += 1
            ended = await killed_at(nursery, tmp_path, f"{place}-{delay}", place, delay)
        assert ended == "done"
        assert place > 8


@pytest.mark.soak
@pytest.mark.timeout(1200)
async def test_200_kills_of_agents_change_nothing_either(nursery: Nursery, tmp_path: Path) -> None:
    assert (await kill_until(nursery, tmp_path, kills=200, seed=2))["killed"] == 200


async def kill_until(nursery: Nursery, folder: Path, *, kills: int, seed: int) -> Counter[str]:
    """Run agents, killing their processes, until there were so many kills; return the figures."""
    chance = random.Random(seed)
    figures: Counter[str] = Counter()
    while figures["killed"] < kills:
        figures["runs"] += 1
        case = Case(nursery, folder, f"run-{figures['runs']}")
        lives, ended = 0, ""
        while ended != "done":
            lives += 1
            alive = figures["killed"] >= kills
            place = (chance.randrange(1, 10), chance.uniform(0.0, 0.01))
            # Now and then nobody answers in this life, so that the question outlives its process.
            answer_after = 0.0 if alive or chance.random() < 0.6 else PATIENCE
            if answer_after:
                place = (chance.randrange(1, 5), place[1])
            ended = await case.live(None if alive else place, answer_after)
            figures[ended] += 1
            await case.check_killed()
        await case.check_ended(lives)
    return figures
