"""Taking a run over costs one commit; where that cannot be, it is taken step by step, and ends as it would have."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.errors import GraphError, LeaseHeldError, StoreError, StoreFullError
from midstream.events.envelope import Draft
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.events.store import Head, RunQuery
from midstream.testing.contract import note

RUN = RunId("r")


def slow(reached: asyncio.Event, go_on: asyncio.Event) -> Graph:
    graph = Graph("slow")

    @graph.node(output=True)
    async def wait(ctx: Context) -> str:
        reached.set()
        await go_on.wait()
        return "done"

    return graph


async def left(path: Path) -> None:
    """Leave a run in its only node."""
    reached = asyncio.Event()
    async with Engine.open(path) as engine:
        await engine.start(slow(reached, asyncio.Event()), run_id=RUN)
        await reached.wait()


def free() -> Graph:
    go_on = asyncio.Event()
    go_on.set()
    return slow(asyncio.Event(), go_on)


async def types(store: SqliteStore) -> list[str]:
    return [event.type async for event in store.read(RUN)]


async def test_an_engine_that_holds_no_run_writes_nothing(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        async with Engine(store, lease=0.03):
            await asyncio.sleep(0.1)
        assert store.stats.commits == 0


async def test_a_run_is_taken_over_with_a_sign_of_life_in_one_commit(tmp_path: Path) -> None:
    path, reached = tmp_path / "log.db", asyncio.Event()
    await left(path)
    async with await SqliteStore.open(path) as store, Engine(store, recover=False) as engine:
        await engine.resume(RUN, slow(reached, asyncio.Event()))
        assert store.stats.commits == 1
        await reached.wait()
        (info,) = await store.runs(RunQuery())
        assert info.epoch == 2
        assert info.until is not None
        async with Engine.open(path, recover=False) as other:
            with pytest.raises(LeaseHeldError):
                await other.resume(RUN, free())


async def test_a_run_is_begun_with_a_sign_of_life_in_one_commit(tmp_path: Path) -> None:
    reached = asyncio.Event()
    async with await SqliteStore.open(tmp_path / "log.db") as store, Engine(store) as engine:
        await engine.start(slow(reached, asyncio.Event()), run_id=RUN)
        assert store.stats.commits == 1
        (info,) = await store.runs(RunQuery())
        assert info.until is not None


async def test_a_driver_goes_on_showing_signs_of_life(tmp_path: Path) -> None:
    reached = asyncio.Event()
    async with await SqliteStore.open(tmp_path / "log.db") as store:
        async with Engine(store, lease=0.06) as engine:
            await engine.start(slow(reached, asyncio.Event()), run_id=RUN)
            (first,) = await store.runs(RunQuery())
            await asyncio.sleep(0.2)
            (later,) = await store.runs(RunQuery())
        assert first.until is not None
        assert later.until is not None
        assert later.until > first.until


class Overtaken(SqliteStore):
    """Somebody appends between the reading of a run and its seizing."""

    async def seize(self, run_id: RunId, drafts: Sequence[Draft], **options: Any) -> Head:
        await self.append(run_id, [note("meanwhile")], expected=options["expected"])
        return await super().seize(run_id, drafts, **options)


class Ambiguous(SqliteStore):
    """The answer is lost; the commit is not."""

    async def seize(self, run_id: RunId, drafts: Sequence[Draft], **options: Any) -> Head:
        await super().seize(run_id, drafts, **options)
        raise StoreError("the answer was lost")


class Jumped(SqliteStore):
    """Somebody took the run over and left it again before recording anything."""

    async def seize(self, run_id: RunId, drafts: Sequence[Draft], **options: Any) -> Head:
        epoch = await self.acquire(run_id, "other", now=options["now"])
        await self.release(run_id, epoch=epoch)
        return await super().seize(run_id, drafts, **options)


@pytest.mark.parametrize(
    ("kind", "resumed", "epoch"), [(Overtaken, 1, 2), (Ambiguous, 2, 3), (Jumped, 1, 3)]
)
async def test_what_cannot_be_seized_is_taken_over_step_by_step(
    tmp_path: Path, kind: type[SqliteStore], resumed: int, epoch: int
) -> None:
    path = tmp_path / "log.db"
    await left(path)
    async with await kind.open(path) as store, Engine(store, recover=False) as engine:
        run = await engine.resume(RUN, free())
        assert await run == "done"
        assert (await types(store)).count("run.resumed") == resumed
        (info,) = await store.runs(RunQuery())
        assert info.epoch == epoch


class Full(SqliteStore):
    async def seize(self, run_id: RunId, drafts: Sequence[Draft], **options: Any) -> Head:
        raise StoreFullError("log.db")


async def test_a_refusal_that_is_certain_is_not_tried_another_way(tmp_path: Path) -> None:
    path = tmp_path / "log.db"
    await left(path)
    async with await Full.open(path) as store, Engine(store, recover=False) as engine:
        before = await types(store)
        with pytest.raises(StoreFullError):
            await engine.resume(RUN, free())
        assert await types(store) == before


async def test_a_graph_of_the_name_of_a_ready_made_one_is_refused() -> None:
    from midstream.engine.runs.agent_runs import AGENT

    theirs = Graph(AGENT)

    @theirs.node(output=True)
    async def mine() -> str:
        return "mine"

    with pytest.raises(GraphError, match="two graphs are named"):
        async with Engine.memory(graphs=[theirs]):
            pass
