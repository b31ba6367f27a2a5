"""Killing processes at random moments: every run ends as if nothing had happened."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midstream import Engine
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from .nursery import Nursery
from .world import MODEL, OUTPUT, SINGLE, Deed, World, expedition

LEASE = 0.1


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


async def test_an_uninterrupted_run_has_each_effect_once(tmp_path: Path) -> None:
    world = World(tmp_path / "effects")
    async with Engine.memory(models={"walker": world.script()}, model=MODEL) as engine:
        assert await (await engine.start(expedition(world), land="home")) == OUTPUT
    assert world.counts() == SINGLE


async def test_runs_that_are_killed_at_random_end_as_if_they_had_not(
    nursery: Nursery, tmp_path: Path
) -> None:
    assert (await kill_until(nursery, tmp_path, kills=20, seed=1))["killed"] == 20


@pytest.mark.soak
@pytest.mark.timeout(600)
async def test_200_kills_at_random_change_nothing_either(nursery: Nursery, tmp_path: Path) -> None:
    assert (await kill_until(nursery, tmp_path, kills=200, seed=2))["killed"] == 200


@pytest.mark.parametrize("place", range(0, 26, 5))
async def test_a_process_that_exits_around_an_effect_is_followed_by_one_that_ends_the_run(
    nursery: Nursery, tmp_path: Path, place: int
) -> None:
    world = World(tmp_path / "effects", pace=0.001)
    order: dict[str, Any] = {
        "file": str(tmp_path / "runs.db"),
        "effects": str(world.file),
        "run": "r",
    }
    first = nursery.run("drive", exit_at=place, pace=world.pace, lease=LEASE, **order)
    second = nursery.run("drive", pace=world.pace, lease=LEASE, **order)
    assert (first, second) == ("exited", "done")
    assert await check(tmp_path / "runs.db", "r", world) <= 6  # what can be in flight at once


async def kill_until(nursery: Nursery, folder: Path, *, kills: int, seed: int) -> Counter[str]:
    """Run expeditions, killing their processes, until there were so many kills; return the figures."""
    chance = random.Random(seed)
    figures: Counter[str] = Counter()
    file = folder / "runs.db"

    while figures["killed"] < kills:
        figures["runs"] += 1
        world = World(folder / f"run-{figures['runs']}", pace=0.004)
        ended = ""
        while ended != "done":
            # Most while they drive; some at any moment, also before they have opened the file.
            at_any = chance.random() < 0.1
            place = (chance.randrange(1, 13), chance.uniform(0.0, 0.015))
            alive = figures["killed"] >= kills
            ended = nursery.run(
                "drive",
                kill_after=chance.uniform(0.0, 0.2) if at_any and not alive else None,
                killed=None if at_any or alive else place,
                file=str(file),
                effects=str(world.file),
                run=world.file.name,
                pace=world.pace,
                lease=LEASE,
            )
            assert ended != "failed"
            figures[ended] += 1
        figures["repeated"] += await check(file, world.file.name, world)
    return figures


async def check(file: Path, run: str, world: World) -> int:
    """See that a run's end and effects are right; return how many effects were repeated."""
    store = await SqliteStore.open(file, read_only=True)
    try:
        state = fold_run([event async for event in store.read(RunId(run))])
        assert (await verify(store, RunId(run))).sound
    finally:
        await store.close()
    assert state.status == "completed"
    assert state.output == OUTPUT
    deeds = world.deeds()
    check_effects(state, deeds)
    return len(deeds) - SINGLE.total()


def check_effects(state: RunState, deeds: list[Deed]) -> None:
    """No effect is lost, none is repeated unless its attempt was in flight, an unsafe one never is."""
    happened = Counter(deed.what for deed in deeds)
    assert dict.fromkeys(happened, 1) == dict.fromkeys(SINGLE, 1)
    assert happened["dig"] == SINGLE["dig"]
    by_key = Counter(deed.key for deed in deeds)
    assert len(by_key) == SINGLE.total()
    for call in state.calls.values():
        if call.kind == "tool":
            tries = [deed.attempt for deed in deeds if deed.key == call.request["key"]]
            assert len(set(tries)) == len(tries), "an attempt had its effect twice"
            assert max(tries) == call.attempt, "an attempt without an intent, or the last one lost"
    asked = sum(call.attempt for call in state.calls.values() if call.kind == "model")
    assert SINGLE["model"] <= happened["model"] <= asked
