"""What Bridgic can do has a test here, and each of the nine defects that its release 0.3.0 has is shown not to be ours.

Most of its capabilities have their tests beside the feature: goto (`ferry_to`) and local state in `test_routing`, changes
of the topology and rules for arguments and results in `test_dynamic_topology`, callbacks on errors in
`test_failure_policies`. What is left of them is here.
"""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any

import pytest

from midstream import Context, Engine, From, Graph
from midstream.errors import RunCancelledError, RunFailedError
from midstream.events.memory import MemoryStore
from tests.engine.stage import Door, history, turns


async def test_defect_1_going_to_one_node_twice_in_one_step_runs_it_twice() -> None:
    graph = Graph("g")

    @graph.node
    async def start(ctx: Context) -> None:
        ctx.goto("work", item="a")
        ctx.goto("work", item="b")

    @graph.node(start=False)
    async def work(item: str, ctx: Context) -> str:
        return f"{ctx.step} {item}"

    graph.add_node("all", lambda work: work, output=True)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == "work#2 b"
        outputs = [
            e.data["output"]
            for e in await history(run)
            if e.type == "node.completed" and str(e.address).startswith("work#")
        ]
    assert sorted(outputs) == ["work#1 a", "work#2 b"]


async def test_defect_2_a_goto_beside_a_wait_for_a_person_survives_the_process() -> None:
    def build() -> Graph:
        graph = Graph("g")

        @graph.node
        async def asks(ctx: Context) -> str:
            return "yes" if (await ctx.confirm("Go on?")).approved else "no"

        @graph.node
        async def goes(ctx: Context) -> None:
            ctx.goto("other", word="went")

        @graph.node(start=False, output=True)
        async def other(word: str, ctx: Context) -> str:
            return word

        graph.add_node("answer", lambda asks: asks, output=True)
        return graph

    store = MemoryStore()
    async with Engine(store, graphs=[build()]) as engine:
        await engine.start(build(), run_id="r")
        await turns(30)
    async with Engine(store, graphs=[build()]) as engine:
        run = await engine.resume("r")
        await run.answer((await run.questions())[0].id, approved=True, by="alice")
        assert await run == {"other": "went", "answer": "yes"}


async def test_defect_3_going_nowhere_is_refused_where_it_is_asked_for_by_name() -> None:
    graph = Graph("g")

    @graph.node
    async def start(ctx: Context) -> None:
        ctx.goto("unknown")

    with pytest.raises(RunFailedError, match="there is no node 'unknown'; there are start"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_defect_4_a_graph_whose_run_failed_runs_again() -> None:
    graph = Graph("g")

    @graph.node
    async def first(fail: bool) -> str:
        if fail:
            raise ValueError("as planned")
        return "first"

    graph.add_node("second", lambda first: f"{first}, second")
    async with Engine.memory() as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(graph, fail=True))
        assert await (await engine.start(graph, fail=False)) == "first, second"
        assert await (await engine.start(graph, fail=False)) == "first, second"


async def test_defect_5_a_node_made_of_a_closure_at_run_time_is_there_after_a_restart() -> None:
    def build(door: Door, word: str) -> Graph:
        graph = Graph("g")

        @graph.node
        async def start(ctx: Context) -> None:
            ctx.add_node("late", "closure", output=True)

        async def closure() -> str:
            await door()
            return word  # closed over

        graph.register(closure)
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door, "before"), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second, "after")]) as engine:
        assert await (await engine.resume("r")) == "after"


async def test_defect_5_an_output_that_cannot_be_kept_is_refused_when_it_is_returned() -> None:
    graph = Graph("g")

    async def numbers() -> Any:
        yield 1

    graph.add_node("stream", lambda: numbers())
    with pytest.raises(RunFailedError, match="not_recordable: output of node 'stream'"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_defect_6_cancelling_leaves_no_sibling_running_and_says_why() -> None:
    graph = Graph("g")
    doors = [Door(), Door(), Door()]
    ended: list[int] = []

    async def work(number: int) -> None:
        try:
            await doors[number]()
        finally:
            ended.append(number)

    for number in range(2):
        graph.add_node(f"w{number}", work, args={"number": number})
    graph.map("items", work, over="numbers")
    async with Engine.memory() as engine:
        before = asyncio.all_tasks()
        run = await engine.start(graph, numbers=[2])
        for door in doors:
            await door.reached()
        await run.cancel(reason="enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await run
        assert sorted(ended) == [0, 1, 2]
        assert asyncio.all_tasks() == before
        requested, cancelled = (await history(run))[-2:]
    assert (cancelled.type, cancelled.cause) == ("run.cancelled", requested.seq)


async def test_defect_7_all_failures_are_told_not_the_first_alone() -> None:
    graph = Graph("g")
    for name in ("one", "two"):
        graph.add_node(name, lambda: 1 / 0)
    async with Engine.memory() as engine:
        with pytest.raises(RunFailedError) as caught:
            await (await engine.start(graph))
    assert caught.value.group is not None
    assert len(caught.value.group.exceptions) == 2


async def test_defect_8_each_event_has_the_time_at_which_it_was_recorded() -> None:
    graph = Graph("g")

    async def slow() -> None:
        await asyncio.sleep(0.02)

    graph.add_node("slow", slow)
    began = datetime.now(UTC)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await run
        times = [event.recorded_at for event in await history(run)]
    assert times == sorted(times)
    assert times[-1] - times[0] >= (times[1] - times[0])
    assert (times[-1] - times[0]).total_seconds() >= 0.015
    assert times[0] >= began.replace(microsecond=0)


async def test_defect_9_what_a_crash_interrupts_goes_on_from_the_log() -> None:
    done: list[str] = []

    def build(door: Door) -> Graph:
        graph = Graph("g")
        graph.add_node("first", lambda: done.append("first"))

        async def second() -> str:
            await door()
            return "second"

        graph.add_node("second", second, after=["first"])
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second)]) as engine:
        assert await (await engine.resume("r")) == "second"
    assert done == ["first"]


async def test_inputs_reach_any_node_by_the_names_of_its_parameters() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda x: x)
    graph.add_node("b", lambda a, x, y=5: [a, x, y])
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, x=1)) == [1, 1, 5]


async def test_from_takes_the_last_output_of_any_node() -> None:
    graph = Graph("g")

    def takes(value: Annotated[int, From("a")]) -> int:
        return value

    graph.add_node("a", lambda: 7)
    graph.add_node("b", takes)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == 7


async def test_sync_nodes_run_in_threads_beside_async_ones() -> None:
    import threading

    graph = Graph("g")
    here = threading.get_ident()
    graph.add_node("sync", lambda: threading.get_ident() != here)

    async def asynchronous() -> bool:
        return threading.get_ident() == here

    graph.add_node("asynchronous", asynchronous)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == {"sync": True, "asynchronous": True}


async def test_many_may_start_and_one_may_wait_for_all() -> None:
    graph = Graph("g")
    for number in range(5):
        graph.add_node(f"s{number}", lambda number: number, args={"number": number})
    graph.add_node(
        "all", lambda found: found, after=[f"s{number}" for number in range(5)], inputs="merge"
    )
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == [0, 1, 2, 3, 4]


async def test_arguments_of_a_call_come_before_all_other_values() -> None:
    graph = Graph("g")

    @graph.node
    async def a(ctx: Context) -> str:
        ctx.goto("b", a="from the call")
        return "from the node"

    @graph.node(args={"x": "constant"}, output=True)
    async def b(a: str, x: str) -> list[str]:
        return [a, x]

    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == ["from the call", "constant"]
