"""Time limits of nodes, when the process ends and another one goes on later."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Retry, Run
from midstream.errors import NodeError, RunFailedError
from midstream.events.memory import MemoryStore
from midstream.testing import FakeClock
from midstream.testing.clock import BEGINNING
from tests.engine.stage import history, types, until
from tests.engine.test_people import asked

DAY = 86_400.0


@asynccontextmanager
async def living(store: MemoryStore, graph: Graph, after: float = 0.0) -> AsyncGenerator[Engine]:
    """Have a process that begins so many seconds after the first one did."""
    clock = FakeClock(BEGINNING + after, auto=False)
    async with Engine(store, graphs=[graph], clock=clock, recover=False) as engine:
        yield engine


async def happened(run: Run, kind: str) -> None:
    async for event in run.events():
        if event.type == kind:
            return


async def test_a_total_that_ran_out_while_nobody_drove_is_the_end_of_the_node() -> None:
    store, graph, calls = MemoryStore(), Graph("g"), list[int]()

    @graph.node(total_timeout=3600, retry=Retry(attempts=9, on=frozenset(("TimeoutError",))))
    async def slow(ctx: Context) -> bool:
        calls.append(ctx.attempt)
        return (await ctx.confirm("Go on?")).approved

    async with living(store, graph) as first:
        run = await first.start(graph, run_id="r")
        question = await asked(run)
    async with living(store, graph, after=DAY) as second:
        run = await second.resume("r")
        told = r"slow#1: timeout: took longer than 3600 s with all its attempts"
        with pytest.raises(RunFailedError, match=told) as failed:
            await run
        events = await history(run)
    (failure,) = failed.value.failures
    assert isinstance(failure, NodeError)
    assert failure.kind == "timeout"
    assert calls == [1], "the function is not called for nothing"
    (node,) = [event for event in events if event.type == "node.failed"]
    assert (node.data["kind"], node.data.get("retry_at")) == ("timeout", None)
    assert types(events).count("question.withdrawn") == 1
    assert question.text == "Go on?"


async def test_what_is_left_of_a_total_is_counted_from_the_recorded_beginning() -> None:
    store, graph, began = MemoryStore(), Graph("g"), list[float]()

    @graph.node(total_timeout=60)
    async def slow(ctx: Context) -> None:
        began.append(asyncio.get_running_loop().time())
        await asyncio.Event().wait()

    async with living(store, graph) as first:
        await first.start(graph, run_id="r")
        await until(lambda: bool(began))
    async with living(store, graph, after=59.8) as second:
        run = await second.resume("r")
        with pytest.raises(RunFailedError, match="took longer than 60 s with all its attempts"):
            await run
        took = asyncio.get_running_loop().time() - began[1]
    assert 0.1 < took < 5
    assert len(began) == 2


async def test_a_total_ends_the_attempts_that_were_to_come_while_nobody_drove() -> None:
    store, graph, tries = MemoryStore(), Graph("g"), list[int]()
    again = Retry(attempts=9, delay=600, factor=1, jitter=0, on=frozenset(("OSError",)))

    @graph.node(total_timeout=3600, retry=again)
    async def flaky(ctx: Context) -> None:
        tries.append(ctx.attempt)
        raise OSError("away")

    async with living(store, graph) as first:
        run = await first.start(graph, run_id="r")
        await happened(run, "node.failed")
    async with living(store, graph, after=DAY) as second:
        run = await second.resume("r")
        with pytest.raises(RunFailedError, match=r"flaky#1: timeout: took longer than 3600 s"):
            await run
        failed = [event.data["kind"] for event in await history(run) if event.type == "node.failed"]
    assert tries == [1]
    assert failed == ["OSError", "timeout"]


@pytest.mark.parametrize("limit", ["timeout", "idle_timeout"])
async def test_the_time_of_an_attempt_begins_anew_with_the_process_that_makes_it(
    limit: str,
) -> None:
    """An attempt that its process did not survive has not used up the time of the one in its place."""
    store, graph, calls = MemoryStore(), Graph("g"), list[int]()

    async def work(ctx: Context) -> str:
        calls.append(ctx.attempt)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    limits: dict[str, Any] = {limit: 30.0}
    graph.add_node("work", work, **limits)
    async with living(store, graph) as first:
        await first.start(graph, run_id="r")
        await until(lambda: bool(calls))
    async with living(store, graph, after=DAY) as second:
        run = await second.resume("r")
        assert await run == "done"
    assert calls == [1, 1]


@pytest.mark.parametrize(
    ("limit", "told"),
    [("timeout", "took longer than 0.2 s"), ("idle_timeout", "gave no sign of life for 0.2 s")],
)
async def test_the_time_of_an_attempt_is_kept_by_the_process_that_makes_it_again(
    limit: str, told: str
) -> None:
    store, graph, calls = MemoryStore(), Graph("g"), list[int]()

    async def stuck(ctx: Context) -> None:
        calls.append(ctx.attempt)
        await asyncio.Event().wait()

    limits: dict[str, Any] = {limit: 0.2}
    graph.add_node("stuck", stuck, **limits)
    async with living(store, graph) as first:
        await first.start(graph, run_id="r")
        await until(lambda: bool(calls))
    async with living(store, graph, after=DAY) as second:
        with pytest.raises(RunFailedError, match=f"stuck#1: timeout: {told}"):
            await (await second.resume("r"))
    assert calls == [1, 1]
