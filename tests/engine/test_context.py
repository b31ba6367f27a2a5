"""What a node may do is recorded once and returned on a resume, in whatever order its branches finish."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph
from midstream.errors import RunFailedError
from midstream.events.memory import MemoryStore
from tests.conftest import MakeEngine
from tests.engine.stage import (
    BEGINNING,
    Door,
    HandClock,
    JumpingClock,
    history,
    turns,
    types,
    until,
)


async def test_everything_a_node_did_is_returned_from_the_record(make_engine: MakeEngine) -> None:
    graph, door, seen, effects = Graph("g"), Door(), [], []

    async def effect(n: int) -> int:
        effects.append(n)
        return n * 2

    async def wait() -> None:
        await door()

    @graph.node
    async def act(ctx: Context) -> list[Any]:
        found = [
            await ctx.now(),
            await ctx.random(),
            await ctx.uuid(),
            await ctx.random(),
            await ctx.do(effect, n=1),
            await ctx.do(effect, n=1),
            (await ctx.llm("hi", model="m")).text,
        ]
        await ctx.note({"found": 1})
        await ctx.sleep(5)
        seen.append(found)
        await ctx.do(wait, effect="read")
        return found

    def answer(messages: Any) -> str:
        effects.append(0)
        return "hello"

    options: dict[str, Any] = {"models": {"m": answer}, "clock": JumpingClock(), "recover": False}
    async with make_engine(**options) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    door.open()
    second = await make_engine(graphs=[graph], **options)
    run = await second.resume("r")
    output = await run
    assert all(found == output for found in seen)
    assert output[1] != output[3]
    assert sorted(effects) == [0, 1, 1]
    counted = Counter(types(await history(run)))
    assert (counted["value.recorded"], counted["note.added"], counted["timer.set"]) == (4, 1, 1)


@pytest.mark.parametrize("how", ["gather", "TaskGroup"])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0)])
async def test_branches_find_their_records_after_a_resume_in_any_order_of_completion(
    make_engine: MakeEngine, how: str, order: tuple[int, ...]
) -> None:
    graph, effects, doors = Graph("g"), Counter[str](), [Door() for _ in range(3)]
    last = Door()
    draws: list[dict[int, Any]] = []

    async def act(what: str) -> str:
        effects[what] += 1
        return what

    async def wait() -> None:
        await last()

    @graph.node
    async def node(ctx: Context) -> list[Any]:
        drawn: dict[int, Any] = {}

        async def branch(n: int) -> Any:
            first = await ctx.random()
            await doors[n]()
            same = await ctx.do(act, what="same")
            own = await ctx.do(act, what=f"own {n}")
            drawn[n] = (first, await ctx.uuid())
            return [same, own, *drawn[n]]

        if how == "gather":
            found = list(await asyncio.gather(*(branch(n) for n in range(3))))
        else:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(branch(n)) for n in range(3)]
            found = [task.result() for task in tasks]
        draws.append(dict(drawn))
        await ctx.do(wait, effect="read")
        return found

    async with make_engine(recover=False) as first:
        await first.start(graph, run_id="r")
        for n in order:
            await doors[n].reached()
            doors[n].open()
            await turns()
        await last.reached()
    last.open()
    second = await make_engine(graphs=[graph], recover=False)
    output = await (await second.resume("r"))
    assert [[item[2], item[3]] for item in output] == [list(draws[0][n]) for n in range(3)]
    assert effects == {"same": 3, "own 0": 1, "own 1": 1, "own 2": 1}


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists(st.lists(st.integers(0, 2), max_size=3), min_size=1, max_size=4), st.integers(0, 9))
def test_an_effect_with_an_outcome_is_never_made_again_wherever_the_engine_stops(
    branches: list[list[int]], stop: int
) -> None:
    asyncio.run(stopped_and_resumed(branches, stop))


async def stopped_and_resumed(branches: list[list[int]], stop: int) -> None:
    graph, effects = Graph("g"), Counter[int]()
    started = 0
    stopping = asyncio.Event()

    async def act(n: int) -> int:
        nonlocal started
        started += 1
        if started == stop:
            stopping.set()
            await asyncio.Event().wait()
        await asyncio.sleep(0)
        effects[n] += 1
        return n

    @graph.node
    async def node(ctx: Context) -> list[list[Any]]:
        async def branch(calls: list[int]) -> list[Any]:
            return [await ctx.do(act, effect="idempotent", n=n) for n in calls]

        return list(await asyncio.gather(*(branch(calls) for calls in branches)))

    store = MemoryStore()
    async with Engine(store, recover=False) as first:
        run = await first.start(graph, run_id="r")
        ended = asyncio.ensure_future(run._outcome())  # pyright: ignore[reportPrivateUsage]  # a task of it
        stopped = asyncio.ensure_future(stopping.wait())
        await asyncio.wait([ended, stopped], return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
    await asyncio.wait([ended])
    done = [event async for event in store.read(run.id) if event.type == "tool.completed"]
    before = effects.total()
    assert before - len(branches) <= len(done) <= before
    async with Engine(store, recover=False, graphs=[graph]) as second:
        assert await (await second.resume("r")) == branches
    wanted = Counter(n for calls in branches for n in calls)
    assert all(effects[n] >= wanted[n] for n in wanted)
    assert effects.total() <= wanted.total() + len(branches)


async def test_time_that_passed_without_a_process_counts_for_a_sleep(
    make_engine: MakeEngine,
) -> None:
    graph, clock = Graph("g"), HandClock()

    @graph.node
    async def nap(ctx: Context) -> float:
        await ctx.sleep(100)
        return await ctx.now()

    async with make_engine(clock=clock, recover=False) as first:
        await first.start(graph, run_id="r")
        await until(lambda: clock.sleepers == 1)
    clock.advance(99)
    second = await make_engine(graphs=[graph], clock=clock, recover=False)
    run = await second.resume("r")
    await until(lambda: clock.sleepers == 1)
    clock.advance(1)
    assert await run == BEGINNING + 100


async def test_a_note_that_is_not_json_fails_by_name(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def act(ctx: Context) -> None:
        await ctx.note({"x": object()})

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"not_recordable: note\.x"):
        await (await engine.start(graph))


async def test_a_context_says_where_it_is(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def act(ctx: Context) -> list[Any]:
        return [ctx.run_id, ctx.step, ctx.attempt]

    engine = await make_engine()
    assert await (await engine.start(graph, run_id="r")) == ["r", "act#1", 1]


async def test_errors_as_results_of_gather_are_seen_in_every_mode(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    async def fail(n: int) -> None:
        raise ValueError(str(n))

    async def fine(n: int) -> int:
        return n

    @graph.node
    async def act(ctx: Context) -> list[str]:
        found = await asyncio.gather(
            ctx.do(fail, n=1), ctx.do(fine, n=2), ctx.do(fail, n=3), return_exceptions=True
        )
        return [str(one) for one in found]

    engine = await make_engine()
    assert await (await engine.start(graph)) == ["1", "2", "3"]
