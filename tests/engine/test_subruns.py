"""Runs that runs start: of their own, one for each call, and closed with the run that started them."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Limits, Retry, Run
from midstream.errors import (
    ConfigError,
    GraphError,
    RunCancelledError,
    RunFailedError,
)
from midstream.events.envelope import Event
from midstream.events.memory import MemoryStore
from midstream.projections.run_snapshot import dump, restore
from midstream.projections.run_state import fold_run
from tests.engine.stage import Door, JumpingClock, call, calling, history, until


def double() -> Graph:
    graph = Graph("double")

    @graph.node
    async def twice(n: int, ctx: Context) -> int:
        if n < 0:
            raise ValueError("too small")
        return 2 * n

    return graph


def waiting(door: Door) -> Graph:
    graph = Graph("waiting")

    @graph.node
    async def wait(ctx: Context) -> str:
        await door()
        return "done"

    return graph


def of_type(events: list[Event], type_: str) -> list[Event]:
    return [event for event in events if event.type == type_]


async def test_a_run_of_its_own_is_started_once_and_both_logs_say_so() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(inner, n=4)

    async with Engine.memory() as engine:
        run = await engine.start(graph, tags={"user": "alice"}, run_id="order-42")
        assert await run == 8
        (asked,) = of_type(await history(run), "subrun.requested")
        child = engine.run(asked.data["run"])
        assert child.id.startswith("order-42~")
        state = await child.state()
        assert (state.parent, state.parent_step) == ("order-42", asked.address)
        assert state.tags == {"user": "alice"}
        assert state.output == 8
        (done,) = of_type(await history(run), "subrun.completed")
        assert done.data == {"output": 8}
        assert done.actor == f"run:{child.id}"
        assert (await run.replay()).identical
        assert (await child.replay()).identical


async def test_what_fails_there_is_raised_here_with_the_id_of_that_run() -> None:
    graph, inner = Graph("g"), double()
    caught: list[Exception] = []

    @graph.node
    async def work(ctx: Context) -> Any:
        try:
            return await ctx.subrun(inner, n=-1)
        except RunFailedError as error:
            caught.append(error)
            return error.run_id

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        child = await run
        assert child != run.id
        assert "twice#1: ValueError: too small" in str(caught[0])
        assert (await engine.run(child).state()).status == "failed"
        assert (await run.replay()).identical


async def test_wrong_inputs_are_refused_before_anything_is_recorded() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        with pytest.raises(GraphError, match="input 'n' is missing"):
            await ctx.subrun(inner)
        with pytest.raises(ConfigError, match="close must be"):
            await ctx.subrun(inner, n=1, close="later")  # type: ignore[arg-type]

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await run
        assert of_type(await history(run), "subrun.requested") == []


async def test_several_run_side_by_side_and_are_awaited_in_any_order() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        started = [await ctx.start_subrun(inner, n=n, key=str(n)) for n in range(5)]
        again = await ctx.start_subrun(inner, n=3, key="3")
        assert again.id == started[3].id
        both = await asyncio.gather(*(ctx.subrun(inner, n=7) for _ in range(2)))
        return [await one for one in reversed(started)] + both

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == [8, 6, 4, 2, 0, 14, 14]
        assert len(of_type(await history(run), "subrun.requested")) == 7
        assert len(await engine.runs(graph="double")) == 7


async def test_an_id_that_is_taken_by_another_run_is_an_error() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(inner, n=4, key="k")

    async with Engine.memory() as engine:
        first = await engine.start(graph, run_id="a")
        await first
        (asked,) = of_type(await history(first), "subrun.requested")
        taken = asked.data["run"]
    async with Engine.memory() as engine:
        await (await engine.start(inner, run_id=taken, n=1))
        run = await engine.start(graph, run_id="a")
        with pytest.raises(RunFailedError, match="was started with other inputs"):
            await run


async def test_another_attempt_starts_another_run_where_it_failed_and_goes_on_with_one_that_runs() -> (
    None
):
    graph, inner = Graph("g"), Graph("flaky")
    door = Door()
    seen: list[str] = []

    @inner.node
    async def once(ctx: Context) -> str:
        seen.append(ctx.run_id)
        if len(seen) == 1:
            raise ConnectionError("not yet")
        return "at last"

    @graph.node(
        retry=Retry(attempts=3, delay=0.001, on=frozenset({"RunFailedError", "ValueError"}))
    )
    async def work(ctx: Context) -> Any:
        slow = await ctx.start_subrun(waiting(door) if ctx.attempt == 1 else slow_graph)
        output = await ctx.subrun(inner)
        if ctx.attempt == 2:
            raise ValueError("once more")
        door.open()
        return [output, await slow]

    slow_graph = waiting(door)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == ["at last", "done"]
        asked = of_type(await history(run), "subrun.requested")
        assert [event.data.get("attempt", 1) for event in asked] == [1, 1, 2]
        assert seen == [asked[1].data["run"], asked[2].data["run"]]
        assert door.visits == 1


@pytest.mark.parametrize("close", ["wait", "cancel", "abandon"])
async def test_a_run_that_completes_first_closes_its_runs_as_it_said(close: Any) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def work(ctx: Context) -> str:
        child = await ctx.start_subrun(waiting(door), close=close)
        await door.reached()
        return child.id

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await recorded(run, "node.completed")
        child = engine.run((await run.state()).activations["work#1"].output)
        if close == "wait":
            assert not (await run.state()).over
            door.open()
        await run
        if close == "cancel":
            assert (await child.state()).status == "cancelled"
            assert (await child.state()).ended == {"reason": "the run that started it completed"}
            assert of_type(await history(run), "subrun.closing")
        if close == "wait":
            assert (await child.state()).status == "completed"
        if close == "abandon":
            assert not (await child.state()).over
            door.open()
            assert await child == "done"
        assert (await run.replay()).identical


@pytest.mark.parametrize("close", ["wait", "cancel", "abandon"])
async def test_a_run_that_is_cancelled_cancels_its_runs_and_ends_after_them(close: Any) -> None:
    graph, middle, door = Graph("g"), Graph("middle"), Door()

    @middle.node
    async def inner(ctx: Context) -> Any:
        return await ctx.subrun(waiting(door), close=close)

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(middle)

    before = asyncio.all_tasks()
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await door.reached()
        await run.cancel(reason="enough")
        with pytest.raises(RunCancelledError):
            await run
        by_graph = {info.graph: info.status for info in await engine.runs()}
        left = "running" if close == "abandon" else "cancelled"
        assert by_graph == {"g": "cancelled", "middle": "cancelled", "waiting": left}
        (info,) = await engine.runs(graph="middle")
        wishes = of_type(await history(engine.run(info.run_id)), "run.cancel_requested")
        assert [event.actor for event in wishes] == [f"run:{run.id}"]
        assert wishes[0].data["reason"] == "the run that started it was cancelled: enough"
    assert asyncio.all_tasks() == before


async def test_a_run_that_fails_waits_for_its_runs() -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def work(ctx: Context) -> None:
        await ctx.start_subrun(waiting(door))
        await door.reached()
        raise ValueError("no")

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await recorded(run, "node.failed")
        door.open()
        with pytest.raises(RunFailedError, match="no"):
            await run
        order = [e.type for e in await history(run)]
        assert order.index("subrun.completed") < order.index("run.failed")


async def test_a_recursion_ends_at_the_depth_with_a_named_error() -> None:
    graph, depths = Graph("again"), list[int]()

    @graph.node
    async def deeper(n: int, ctx: Context) -> Any:
        depths.append(n)
        return await ctx.subrun(graph, n=n + 1)

    async with Engine.memory() as engine:
        run = await engine.start(graph, n=0, limits=Limits(depth=2))
        with pytest.raises(RunFailedError, match=r"more than 0 deep.*Limits\(depth"):
            await run
        assert depths == [0, 1, 2]
        for info in await engine.runs():
            assert info.status == "failed"


async def test_the_depth_counts_graphs_inside_graphs_and_runs_inside_runs_together() -> None:
    outer, inner = Graph("outer"), double()
    middle = Graph("middle")
    middle.add_node("work", _starting(inner))
    outer.subgraph("middle", middle)
    async with Engine.memory() as engine:
        assert await (await engine.start(outer, limits=Limits(depth=2))) == 6
        run = await engine.start(outer, limits=Limits(depth=1))
        with pytest.raises(RunFailedError, match="more than 1 deep"):
            await run


def _starting(inner: Graph) -> Any:
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(inner, n=3)

    return work


async def test_a_run_is_resumed_elsewhere_with_those_it_started_and_starts_none_twice() -> None:
    started: list[str] = []

    def build(door: Door | None) -> Graph:
        graph, inner = Graph("g"), Graph("inner")

        @inner.node
        async def wait(ctx: Context) -> str:
            started.append(ctx.run_id)
            if door is not None:
                await door()
            return "done"

        @graph.node
        async def begin(ctx: Context) -> str:
            return (await ctx.start_subrun(inner, close="wait")).id

        @graph.node
        async def work(begin: str, ctx: Context) -> Any:
            return [begin, await ctx.subrun(inner)]

        graph.register(inner)
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store, lease=1e-9) as engine:
        run = await engine.start(build(door), run_id="r")
        await until(lambda: door.visits == 2)
    async with Engine(store, graphs=[build(None)], recover=False) as engine:
        run = await engine.resume("r")
        output: Any = await run
        assert output[1] == "done"
        assert len(await engine.runs()) == 3
        assert len(set(started)) == 2
        assert (await run.replay()).identical


async def test_a_run_that_waits_for_another_is_parked_and_woken_by_its_end() -> None:
    graph, inner = Graph("g"), Graph("inner")

    @inner.node
    async def ask(ctx: Context) -> Any:
        return (await ctx.confirm("really?")).approved

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(inner)

    async with Engine.memory(park_after=0.01) as engine:
        run = await engine.start(graph)
        async with asyncio.timeout(20):
            while run.id not in engine._here().lot or len(engine._here().lot) < 2:  # noqa: ASYNC110  # pyright: ignore[reportPrivateUsage]  # nothing tells
                await asyncio.sleep(0.01)
        (question,) = await engine.questions()
        await engine.run(question.run_id).answer(question.id, approved=True)
        assert await run is True


async def test_a_fork_of_a_run_that_waits_for_another_starts_one_of_its_own() -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(waiting(door))

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await door.reached()
        fork = await run.fork()
        await until(lambda: door.visits == 2)
        door.open()
        assert await run == await fork == "done"
        assert len(await engine.runs(graph="waiting")) == 2


async def test_always_replay_comes_to_the_same() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        return [await ctx.subrun(inner, n=4), await ctx.subrun(inner, n=5)]

    async with Engine.memory(always_replay=True, clock=JumpingClock()) as engine:
        assert await (await engine.start(graph)) == [8, 10]
        assert len(await engine.runs()) == 3


async def recorded(run: Run, type_: str) -> None:
    """Wait until an event of a type is in the log."""
    async with asyncio.timeout(20):
        async for event in run.events():
            if event.type == type_:
                return


async def test_a_graph_is_a_tool_for_a_model_and_each_call_is_a_run() -> None:
    graph, inner = Graph("g"), double()
    tool = inner.as_tool(name="twice", description="Twice a number.")
    assert tool.schema["properties"] == {"n": {"title": "N", "type": "integer"}}
    assert tool.schema["required"] == ["n"]
    assert tool.effect == "idempotent"

    @graph.node
    async def work(ctx: Context) -> Any:
        return (await ctx.llm("what is twice 4, and twice -1?", tools=[tool])).text

    models = {
        "m": [
            calling(
                call("a", "twice", '{"n": 4}'),
                call("b", "twice", '{"n": -1}'),
                call("c", "twice", '{"m": 1}'),
            ),
            "8, and the other is too small",
        ]
    }
    async with Engine.memory(models=models, model="scripted:m") as engine:
        run = await engine.start(graph)
        assert await run == "8, and the other is too small"
        events = await history(run)
        runs = {info.run_id: info.status for info in await engine.runs(graph="double")}
        assert sorted(runs.values()) == ["completed", "failed"]
        (told,) = of_type(events, "tool.completed")
        assert told.data["result"] == 8
        kinds = sorted(event.data["kind"] for event in of_type(events, "tool.failed"))
        assert kinds == ["RunFailedError", "bad_arguments"]
        assert {event.data["run"] for event in of_type(events, "subrun.requested")} == set(runs)
        assert (await run.replay()).identical


async def test_a_graph_as_a_tool_of_an_agent_takes_optional_inputs() -> None:
    inner = Graph("greet")

    @inner.node
    async def greet(name: str, greeting: str = "hello") -> str:
        return f"{greeting} {name}"

    models = {"m": [calling(call("a", "greet", '{"name": "Ann"}')), "done"]}
    async with Engine.memory(models=models, model="scripted:m") as engine:
        results = [
            event
            async for event in engine.agent("greet Ann", tools=[inner.as_tool()], max_iterations=3)
        ]
        assert "hello Ann" in str(results)


def test_a_graph_that_could_not_run_is_no_tool() -> None:
    with pytest.raises(GraphError, match="has no node"):
        Graph("empty").as_tool()


async def test_the_end_of_a_run_that_is_told_twice_is_the_first_one_after_a_snapshot_too() -> None:
    graph, inner = Graph("g"), double()

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.subrun(inner, n=4)

    async with Engine.memory() as engine:
        events = await history(await engine.start(graph, run_id="r"))
    (told,) = of_type(events, "subrun.completed")
    body = dump(fold_run(events))
    assert body is not None
    kept = restore(body)  # the call is not in it: its activation has ended
    assert kept is not None
    assert kept.calls == {}
    for state in (fold_run(events), kept):
        assert fold_run((told,), state).output == 8
