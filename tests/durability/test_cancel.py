"""Cancelling, and failing: no task is left behind, every call has a recorded end, the conversation stays tellable."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Limits, Retry, Run, tool
from midstream.adapters.scripted import Script
from midstream.errors import RateLimitError, RunCancelledError, RunFailedError, ToolError
from midstream.events.content import Message, ToolCall, ToolResult, assistant
from midstream.projections.run_state import RunState
from tests.conftest import MakeEngine
from tests.engine.stage import history, turns

FOREVER = 3600.0
LATER = Retry(attempts=3, delay=FOREVER, jitter=0.0, longest=FOREVER, on=frozenset(("OSError",)))


@tool(effect="read")
async def slow() -> str:
    """Never return."""
    await asyncio.sleep(FOREVER)
    return ""


@tool(effect="unsafe")
async def slow_unsafe() -> str:
    """Never return."""
    await asyncio.sleep(FOREVER)
    return ""


@tool(effect="idempotent", retry=LATER)
async def flaky() -> str:
    """Fail, to be tried again much later."""
    raise OSError("not now")


def _answer(messages: Sequence[Message]) -> Message:
    names = ("slow", "slow_unsafe", "flaky")
    return assistant("", *(ToolCall(id=name, name=name) for name in names))


async def in_model_tools(ctx: Context) -> None:
    await ctx.llm("go", model="tools", tools=[slow, slow_unsafe, flaky])


async def in_parallel_tools(ctx: Context) -> None:
    await asyncio.gather(ctx.tool(slow), ctx.tool(slow_unsafe), ctx.tool(flaky))


async def in_a_task_group(ctx: Context) -> None:
    async with asyncio.TaskGroup() as group:
        group.create_task(ctx.tool(slow))
        group.create_task(ctx.sleep(FOREVER))


async def in_a_tool_that_waits_for_its_retry(ctx: Context) -> None:
    await ctx.tool(flaky)


async def in_a_sleep(ctx: Context) -> None:
    await ctx.sleep(FOREVER)


async def in_a_model_call(ctx: Context) -> None:
    await ctx.llm("go", model="slow")


async def in_a_model_call_that_waits_for_its_retry(ctx: Context) -> None:
    await ctx.llm("go", model="busy", retry=Retry(delay=FOREVER, longest=FOREVER))


async def in_a_node_that_waits_for_its_retry(ctx: Context) -> None:
    raise OSError("not now")


PLACES: tuple[Callable[[Context], Awaitable[None]], ...] = (
    in_model_tools,
    in_parallel_tools,
    in_a_task_group,
    in_a_tool_that_waits_for_its_retry,
    in_a_sleep,
    in_a_model_call,
    in_a_model_call_that_waits_for_its_retry,
    in_a_node_that_waits_for_its_retry,
)


async def _never(messages: Sequence[Message]) -> str:
    await asyncio.sleep(FOREVER)
    return ""


MODELS: Mapping[str, Script] = {"tools": _answer, "slow": _never, "busy": [RateLimitError("later")]}


def graph_of(place: Callable[[Context], Awaitable[None]]) -> Graph:
    graph = Graph("waiting")

    @graph.node(retry=LATER)
    async def wait(ctx: Context) -> None:
        await place(ctx)

    return graph


async def settled(run: Run) -> None:
    """Wait until the log has stopped growing."""
    seen = -1
    while (seq := (await run.state()).seq) != seen:
        seen = seq
        await asyncio.sleep(0.03)


def unended(state: RunState) -> list[str]:
    ended = ("completed", "failed", "aborted")
    return [call.address for call in state.calls.values() if call.status not in ended]


async def every_call_has_one_result(run: Run) -> None:
    messages = await run.messages()
    calls = [call.id for message in messages for call in message.tool_calls]
    results = [part.id for each in messages for part in each.parts if isinstance(part, ToolResult)]
    assert results == calls


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_cancelling_leaves_no_task_and_no_open_call(
    make_engine: MakeEngine, place: Callable[[Context], Awaitable[None]]
) -> None:
    engine = await make_engine(models=MODELS)
    tasks = asyncio.all_tasks()
    run = await engine.start(graph_of(place))
    await settled(run)
    await run.cancel("enough")
    assert asyncio.all_tasks() == tasks
    state = await run.state()
    assert (state.status, unended(state)) == ("cancelled", [])
    with pytest.raises(RunCancelledError, match="enough"):
        await run
    if place is in_model_tools:
        await every_call_has_one_result(run)


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.__name__)
async def test_a_run_nobody_drives_is_cancelled_by_the_next_driver(
    make_engine: MakeEngine, place: Callable[[Context], Awaitable[None]]
) -> None:
    async with make_engine(models=MODELS, recover=False) as first:
        run = await first.start(graph_of(place), run_id="r")
        await settled(run)
    second = await make_engine(models=MODELS, recover=False)
    await second.run("r").cancel("enough")
    state = await second.run("r").state()
    assert (state.status, unended(state)) == ("cancelled", [])


async def test_a_paused_run_can_be_cancelled(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await engine.start(graph_of(in_a_sleep))
    await run.pause()
    await run.cancel()
    assert (await run.state()).status == "cancelled"


async def test_a_failing_branch_leaves_no_task_of_its_node(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    async def bad() -> str:
        await asyncio.sleep(0.01)
        raise ValueError("bad")

    graph = Graph("branches")

    @graph.node
    async def both(ctx: Context) -> None:
        await asyncio.gather(ctx.tool(slow), ctx.tool(bad), ctx.tool(slow_unsafe))

    engine = await make_engine()
    tasks = asyncio.all_tasks()
    run = await engine.start(graph)
    with pytest.raises(RunFailedError, match="bad"):
        await run
    assert asyncio.all_tasks() == tasks


async def test_a_node_that_returns_leaves_no_task_and_no_open_call(make_engine: MakeEngine) -> None:
    graph = Graph("stray")
    kept: list[asyncio.Task[object]] = []

    @graph.node
    async def begin(ctx: Context) -> str:
        kept.append(asyncio.create_task(ctx.tool(slow)))
        await asyncio.sleep(0.01)
        return "done"

    engine = await make_engine()
    tasks = asyncio.all_tasks()
    run = await engine.start(graph)
    assert await run == "done"
    assert asyncio.all_tasks() == tasks
    assert unended(await run.state()) == []


async def test_an_attempt_after_a_failed_branch_calls_the_abandoned_tool_again(
    make_engine: MakeEngine,
) -> None:
    calls = 0

    @tool(effect="read")
    async def second_time() -> str:
        nonlocal calls
        calls += 1
        if calls == 1:
            await asyncio.sleep(FOREVER)
        return "got it"

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise OSError("not now")

    graph = Graph("again")
    soon = Retry(attempts=2, delay=0.0, on=frozenset(("OSError",)))

    @graph.node(retry=soon)
    async def both(ctx: Context) -> str:
        if ctx.attempt == 1:
            await asyncio.gather(ctx.tool(second_time), fail())
        return str(await ctx.tool(second_time))

    engine = await make_engine()
    assert await (await engine.start(graph)) == "got it"


async def test_an_attempt_after_a_failed_branch_sleeps_to_the_end_of_the_timer(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("again")
    soon = Retry(attempts=2, delay=0.0, on=frozenset(("OSError",)))

    async def fail() -> None:
        await asyncio.sleep(0.01)
        raise OSError("not now")

    @graph.node(retry=soon)
    async def both(ctx: Context) -> float:
        began = await ctx.now()
        if ctx.attempt == 1:
            await asyncio.gather(ctx.sleep(0.2), fail())
        await asyncio.gather(ctx.sleep(0.2))
        return await ctx.now() - began

    engine = await make_engine()
    assert await (await engine.start(graph)) >= 0.2


async def test_a_tool_that_raises_cancelled_error_by_itself_fails_and_hangs_nothing(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def odd() -> str:
        raise asyncio.CancelledError

    graph = Graph("odd")

    @graph.node
    async def use(ctx: Context) -> str:
        try:
            return str(await ctx.tool(odd))
        except ToolError as error:
            return error.kind

    engine = await make_engine()
    async with asyncio.timeout(5):
        assert await (await engine.start(graph)) == "cancelled"


async def test_a_closed_engine_leaves_no_task_and_a_run_that_can_go_on(
    make_engine: MakeEngine,
) -> None:
    tasks = asyncio.all_tasks()
    async with make_engine(models=MODELS) as engine:
        await engine.start(graph_of(in_parallel_tools), run_id="r")
        await asyncio.sleep(0.05)
    assert asyncio.all_tasks() == tasks
    async with Engine(make_engine.store, models=MODELS) as engine:
        assert (await engine.run("r").state()).status == "running"


def _everything_waits(state: RunState) -> bool:
    kinds = {call.kind for call in state.calls.values()}
    return bool(state.waiting) and kinds == {"question", "subrun", "timer"}


async def test_a_cancelled_run_leaves_no_task_thread_or_timer_behind() -> None:
    loop: Any = asyncio.get_running_loop()
    inner, graph, child = Graph("inner"), Graph("everything"), Graph("child")
    let_go = threading.Event()

    @inner.node(timeout=600)
    async def deep(ctx: Context) -> None:
        await ctx.sleep(500)

    @child.node
    async def of_its_own(ctx: Context) -> None:
        await ctx.sleep(500)

    @graph.node(idle_timeout=600, total_timeout=900)
    async def starts(ctx: Context) -> Any:
        return await ctx.subrun(child)

    @graph.node
    def in_a_thread() -> None:
        let_go.wait(5)

    @graph.node(retry=Retry(attempts=2, delay=600, on=frozenset(("ConnectionError",))))
    async def fails() -> None:
        raise ConnectionError("not yet")

    async def each(item: int, ctx: Context) -> None:
        await ctx.ask(f"item {item}?", timeout=600)

    graph.map("items", each, over=lambda: [1, 2])
    graph.subgraph("inside", inner)

    def timers() -> list[Any]:
        return [one for one in loop._scheduled if not one.cancelled()]

    async with Engine.memory(recover=False) as engine:
        await turns()  # the engine shows its sign of life
        tasks, threads, due = asyncio.all_tasks(), set(threading.enumerate()), len(timers())
        run = await engine.start(graph, limits=Limits(seconds=900))
        async with asyncio.timeout(20):
            while not _everything_waits(await run.state()):  # noqa: ASYNC110  # seen in the log alone
                await asyncio.sleep(0)
        assert len(timers()) > due
        let_go.set()
        await run.cancel(reason="enough", by="alice")
        await asyncio.sleep(0)
        assert asyncio.all_tasks() <= tasks
        assert len(timers()) <= due
        idle = set(threading.enumerate()) - threads
        assert all("asyncio" in thread.name for thread in idle)  # the loop's own, without work
        asked, ended = [
            event
            for event in await history(run)
            if event.type in ("run.cancel_requested", "run.cancelled")
        ]
        assert (asked.actor, asked.data["reason"]) == ("user:alice", "enough")
        assert ended.cause == asked.seq
    await loop.shutdown_default_executor()
    assert set(threading.enumerate()) <= threads
