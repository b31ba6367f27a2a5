"""One file, several processes: nothing is lost, doubled or reordered, and only one of them drives a run."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import pytest

from midstream import Engine
from midstream.events.codec import encode
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.payloads import RunCreated
from midstream.events.sqlite import SqliteStore
from midstream.events.verify import verify
from midstream.projections.run_state import fold_run

from .nursery import Nursery
from .test_kill import check_effects
from .world import MODEL, OUTPUT, World, expedition

RUN = RunId("r")
SLOW = 0.15
LEASE = 0.3


@pytest.fixture(scope="module")
def nursery() -> Iterator[Nursery]:
    with Nursery() as nursery:
        yield nursery


class Shared:
    """A file that this process shares with its children, and the run they drive."""

    def __init__(self, nursery: Nursery, folder: Path) -> None:
        self.nursery = nursery
        self.file = folder / "runs.db"
        self.world = World(folder / "effects", pace=SLOW)
        self.errors = folder / "effects.errors"
        self.lease = LEASE

    def drive(self) -> int:
        """Begin to drive the run in another process."""
        return self.nursery.begin(
            "drive",
            file=str(self.file),
            effects=str(self.world.file),
            run=RUN,
            pace=self.world.pace,
            lease=self.lease,
        )

    def engine(self, lease: float | None = None) -> Engine:
        """Return an engine of this process, which takes nothing over by itself."""
        lease = self.lease if lease is None else lease
        models = {"walker": self.world.script(), "other": self.world.script()}
        return Engine.open(self.file, models=models, model=MODEL, recover=False, lease=lease)

    async def events(self) -> list[Event]:
        """Return the run as it is in the file."""
        store = await SqliteStore.open(self.file, read_only=True)
        try:
            assert (await verify(store, RUN)).sound
            return [event async for event in store.read(RUN)]
        finally:
            await store.close()


@pytest.fixture
def shared(nursery: Nursery, tmp_path: Path) -> Shared:
    return Shared(nursery, tmp_path)


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Wait for what another process does."""
    async with asyncio.timeout(20):
        while not await condition():  # noqa: ASYNC110  # nobody in this process knows
            await asyncio.sleep(0.02)


async def in_flight(shared: Shared, what: str) -> None:
    """Wait until another process has had an effect; its outcome is not recorded for another while."""

    async def happened() -> bool:
        return shared.world.counts()[what] > 0

    await until(happened)


async def test_writers_and_readers_of_one_run_lose_double_and_reorder_nothing(
    nursery: Nursery, tmp_path: Path
) -> None:
    file, count, writers = tmp_path / "runs.db", 60, 3
    total = 1 + count * writers
    store = await SqliteStore.open(file)
    created = RunCreated(graph="g", definition={"nodes": {"a": {}}}, graph_digest="")
    await store.append(RUN, [encode(created, at=0)], expected=0)
    reports = [tmp_path / f"seen-{number}" for number in range(2)]
    children = [
        nursery.begin(
            "follow",
            file=str(file),
            run=RUN,
            until=total,
            report=str(report),
            read_only=number == 0,
        )
        for number, report in enumerate(reports)
    ]
    children += [
        nursery.begin("write", file=str(file), run=RUN, name=f"w{number}", count=count)
        for number in range(writers)
    ]
    assert [await asyncio.to_thread(nursery.wait, child) for child in children] == ["done"] * 5
    events = [event async for event in store.read(RUN)]
    assert (await verify(store, RUN)).sound
    await store.close()
    told = [(event.seq, event.data.get("id", "")) for event in events]
    assert [seq for seq, _ in told] == list(range(1, total + 1))
    for number in range(writers):
        mine = [name for _, name in told if name.startswith(f"w{number}-")]
        assert mine == [f"w{number}-{place}" for place in range(count)]
    for report in reports:
        assert [(seq, name) for seq, name in orjson.loads(report.read_bytes())] == told


async def test_a_driver_that_was_stopped_beyond_its_lease_is_refused(shared: Shared) -> None:
    child = shared.drive()
    await in_flight(shared, "mark")
    os.kill(child, signal.SIGSTOP)
    try:
        before = len(await shared.events())
        await asyncio.sleep(LEASE * 1.5)
        async with shared.engine(lease=60.0) as engine:
            await engine.resume(RUN, expedition(shared.world))
            os.kill(child, signal.SIGCONT)
            assert await engine.run(RUN) == OUTPUT
            assert await asyncio.to_thread(shared.nursery.wait, child) == "done"
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGCONT)
    events = await shared.events()
    epochs = [event.epoch for event in events]
    assert epochs == [1] * before + [2] * (len(events) - before)
    assert events[before].type == "run.resumed"
    assert "LeaseLostError" in shared.errors.read_text().split()


async def test_a_living_driver_is_not_deposed(shared: Shared) -> None:
    shared.lease = (
        1.0  # a process that gets no time for as long as the short one is not seen to live
    )
    shared.world.pace = 0.4
    child = shared.drive()
    await in_flight(shared, "model")
    async with shared.engine() as engine:
        for _ in range(5):
            assert await engine.recover() == ()
            await asyncio.sleep(shared.lease / 3)
        run = await engine.start(expedition(shared.world), run_id=RUN, land="home")
        assert await run == OUTPUT
    assert shared.nursery.wait(child) == "done"
    assert {event.epoch for event in await shared.events()} == {1}
    check_effects(fold_run(await shared.events()), shared.world.deeds())


async def test_a_migration_by_another_process_reaches_the_driver(shared: Shared) -> None:
    child = shared.drive()
    await in_flight(shared, "model")
    async with shared.engine() as engine:
        run = engine.run(RUN)
        await run.migrate("scripted:other")
        assert await run == OUTPUT
        asked = [
            call.request["model"]
            for call in (await run.state()).calls.values()
            if call.kind == "model"
        ]
    assert shared.nursery.wait(child) == "done"
    assert (asked[0], asked[-1]) == (MODEL, "scripted:other")
    assert {event.epoch for event in await shared.events()} == {1, None}


async def test_a_migration_now_by_another_process_abandons_the_call_in_flight(
    shared: Shared,
) -> None:
    shared.world.pace = 2.0
    child = shared.drive()
    await in_flight(shared, "model")
    async with shared.engine() as engine:
        run = engine.run(RUN)
        await run.migrate("scripted:other", when="now")

        async def aborted() -> bool:
            calls = (await run.state()).calls.values()
            return any(call.kind == "model" and call.status != "open" for call in calls)

        await until(aborted)
        await run.cancel()
    assert shared.nursery.wait(child) == "done"
    events = await shared.events()
    switched = next(event.seq for event in events if event.type == "model.switched")
    ended = next(event for event in events if event.type == "model.aborted")
    assert (ended.seq > switched, ended.data["reason"]) == (True, "migrated")


async def test_a_cancellation_by_another_process_reaches_the_driver(shared: Shared) -> None:
    child = shared.drive()
    await in_flight(shared, "mark")
    async with shared.engine() as engine:
        await engine.run(RUN).cancel("enough")
        state = await engine.run(RUN).state()
    assert (state.status, dict(state.open_calls)) == ("cancelled", {})
    assert await asyncio.to_thread(shared.nursery.wait, child, kill_after=5.0) == "done"
    assert state.seq == len(await shared.events())


@pytest.fixture(autouse=True)
async def no_task_is_left() -> AsyncIterator[None]:
    tasks = asyncio.all_tasks()
    yield
    assert asyncio.all_tasks() <= tasks | {asyncio.current_task()}
