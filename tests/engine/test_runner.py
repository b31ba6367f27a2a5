"""Driving: data flow, failures, retries, timeouts, cancellation."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from midstream import Context, Continue, Engine, Graph, Retry, Run
from midstream.errors import NodeError, RunCancelledError, RunFailedError
from tests.conftest import MakeEngine
from tests.engine.stage import (
    BEGINNING,
    Door,
    HandClock,
    JumpingClock,
    TellingStore,
    history,
    place,
    turns,
    types,
    until,
)


async def test_a_fast_branch_never_waits_for_a_slow_one(make_engine: MakeEngine) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def slow() -> str:
        await door()
        return "slow"

    @graph.node
    async def fast() -> str:
        return "fast"

    @graph.node
    async def next_of_fast(fast: str) -> str:
        return fast

    @graph.node
    async def last_of_fast(next_of_fast: str) -> str:
        door.open()
        return next_of_fast

    engine = await make_engine()
    run = await engine.start(graph)
    assert await run == {"slow": "slow", "last_of_fast": "fast"}
    events = await history(run)
    assert place(events, "node.scheduled", "last_of_fast#1") < place(
        events, "node.completed", "slow#1"
    )


@pytest.mark.parametrize("pure", [False, True])
async def test_a_completion_and_what_it_schedules_are_one_append(pure: bool) -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda a: a, pure=pure)
    graph.add_node("c", lambda a: a, pure=pure)
    graph.add_node("d", lambda b, c: b + c)
    async with Engine.memory() as inner, Engine(TellingStore(inner.store)) as engine:
        assert await (await engine.start(graph)) == 2
        store: Any = engine.store
        for append in store.appends:
            # What becomes ready is scheduled in the append that made it so, and the run ends in that of its last node.
            assert ("node.completed" in append) == (
                "node.scheduled" in append or "run.completed" in append
            ) or set(append) <= {"run.created", "node.scheduled", "node.completed"}
        flat = [type_ for append in store.appends for type_ in append]
        assert flat.count("node.completed") == 4
        assert store.appends[-1] == ("node.completed", "run.completed")
        first = next(append for append in store.appends if "node.completed" in append)
        assert first[:3] == ("node.completed", "node.scheduled", "node.scheduled")


async def test_a_graph_without_effects_takes_no_more_appends_than_activations_that_wait() -> None:
    graph = Graph("g")
    graph.add_node("n0", lambda: 0)
    for n in range(1, 9):
        names: dict[str, Any] = {}
        exec(f"def step(n{n - 1}): return n{n - 1} + 1", names)
        graph.add_node(f"n{n}", names["step"])
    async with Engine.memory() as inner, Engine(TellingStore(inner.store)) as engine:
        assert await (await engine.start(graph)) == 8
        store: Any = engine.store
        # run.created, the first node.scheduled, and one for each node that ended.
        assert len(store.appends) == 11


async def test_several_failures_are_reported_together_once_siblings_have_settled(
    make_engine: MakeEngine,
) -> None:
    graph, door = Graph("g"), Door()

    @graph.node
    async def one() -> None:
        raise ValueError("first")

    @graph.node
    async def two() -> None:
        await door()
        raise KeyError("second")

    @graph.node
    async def three() -> str:
        await door()
        return "fine"

    graph.add_node("never", lambda one: one)
    engine = await make_engine()
    run = await engine.start(graph, run_id="r")
    await door.reached()
    await turns()
    assert not (await run.state()).over
    door.open()
    with pytest.raises(RunFailedError) as told:
        await run
    failures = [one for one in told.value.failures if isinstance(one, NodeError)]
    assert [(one.node, one.kind) for one in failures] == [
        ("one", "ValueError"),
        ("two", "KeyError"),
    ]
    assert "one#1: ValueError: first; two#1: KeyError: 'second'" in str(told.value)
    events = await history(run)
    assert place(events, "node.completed", "three#1") < place(events, "run.failed")
    assert "never#1" not in {event.address for event in events}


async def test_a_node_is_tried_again_for_the_kinds_its_policy_names(
    make_engine: MakeEngine,
) -> None:
    graph, clock = Graph("g"), JumpingClock()
    raised: list[Exception] = [ValueError("a"), ValueError("b")]

    @graph.node(retry=Retry(attempts=3, delay=7.0, jitter=0.0, on=frozenset(("ValueError",))))
    async def shaky(ctx: Context) -> int:
        if raised:
            raise raised.pop()
        return ctx.attempt

    engine = await make_engine(clock=clock)
    run = await engine.start(graph)
    assert await run == 3
    assert clock.waits[:2] == [7.0, 14.0]
    events = await history(run)
    assert [event.data["attempt"] for event in events if event.type == "node.started"] == [2, 3]


async def test_a_kind_that_the_policy_does_not_name_fails_the_run(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node(retry=Retry(attempts=3, delay=0.0, on=frozenset(("ValueError",))))
    async def shaky() -> None:
        raise TypeError("no")

    engine = await make_engine()
    with pytest.raises(RunFailedError, match="TypeError: no"):
        await (await engine.start(graph))


async def test_a_retry_is_due_at_its_recorded_time_after_a_resume(make_engine: MakeEngine) -> None:
    graph, clock, calls = Graph("g"), HandClock(), []

    @graph.node(retry=Retry(attempts=2, delay=50.0, jitter=0.0, on=frozenset(("ValueError",))))
    async def shaky() -> str:
        calls.append(clock.now())
        if len(calls) == 1:
            raise ValueError
        return "done"

    async with make_engine(clock=clock, recover=False) as first:
        run = await first.start(graph, run_id="r")
        await until(lambda: clock.sleepers == 1)
    clock.advance(20)
    second = await make_engine(clock=clock, graphs=[graph], recover=False)
    run = await second.resume("r")
    await until(lambda: clock.sleepers == 1)
    clock.advance(29)
    await turns()
    assert len(calls) == 1
    clock.advance(1)
    assert await run == "done"
    assert calls == [BEGINNING, BEGINNING + 50]


async def test_a_node_that_takes_too_long_times_out(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node(timeout=0.01)
    async def slow() -> None:
        await asyncio.Event().wait()

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"slow#1: timeout: took longer than 0.01 s"):
        await (await engine.start(graph))


async def test_a_timed_out_node_is_tried_again(make_engine: MakeEngine) -> None:
    graph, clock = Graph("g"), JumpingClock()

    @graph.node(timeout=0.02, retry=Retry(attempts=99))
    async def slow(ctx: Context) -> str:
        if ctx.attempt == 1:
            await asyncio.Event().wait()
        return "second"

    engine = await make_engine(clock=clock)
    assert await (await engine.start(graph)) == "second"


async def test_a_node_that_lets_a_cancellation_out_fails_and_does_not_hang(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node
    async def careless() -> None:
        inner = asyncio.create_task(asyncio.sleep(9))
        inner.cancel()
        await inner

    engine = await make_engine()
    with pytest.raises(RunFailedError, match="careless#1: cancelled"):
        await asyncio.wait_for(await engine.start(graph), 20)


async def test_an_output_that_is_not_json_fails_the_node(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("odd", lambda: {"a": [1, float("nan")]})
    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"not_recordable: output of node 'odd'\.a\[1\]"):
        await (await engine.start(graph))


async def test_an_error_that_json_cannot_carry_is_recorded_all_the_same(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node
    async def odd() -> None:
        raise ValueError("half \ud800 of a pair and \x00")

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"half \? of a pair"):
        await (await engine.start(graph))


async def test_a_task_group_fails_a_node_with_its_first_error(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    async def fail() -> None:
        raise LookupError("inner")

    @graph.node
    async def group() -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    engine = await make_engine()
    with pytest.raises(RunFailedError, match="group#1: LookupError: inner"):
        await (await engine.start(graph))


async def test_cancellation_ends_every_task_and_closes_every_open_call(
    make_engine: MakeEngine,
) -> None:
    graph, door = Graph("g"), Door()

    async def stuck(place: str) -> None:
        await door()

    async def never(messages: object) -> str:
        await door()
        return "late"

    @graph.node
    async def tools(ctx: Context) -> None:
        await asyncio.gather(ctx.do(stuck, place="a"), ctx.do(stuck, effect="read", place="b"))

    @graph.node
    async def model(ctx: Context) -> None:
        await ctx.llm("hi", model="m")

    @graph.node
    async def sleeper(ctx: Context) -> None:
        await ctx.sleep(1000)

    clock = HandClock()
    engine = await make_engine(models={"m": never}, clock=clock)
    run = await engine.start(graph)
    await until(lambda: door.visits == 3 and clock.sleepers == 1)
    await run.cancel("enough", by="alice")
    state = await run.state()
    assert state.status == "cancelled"
    assert not state.open_calls
    assert not [task for task in asyncio.all_tasks() if "#" in task.get_name()]
    events = await history(run)
    ends = {event.address: (event.type, event.data) for event in events if event.seq > 5}
    aborted = [data for kind, data in ends.values() if kind == "model.aborted"]
    assert [data["reason"] for data in aborted] == ["cancelled"]
    failed = sorted(data["message"] for kind, data in ends.values() if kind == "tool.failed")
    assert failed == ["cancelled: enough", "cancelled: enough; it may have had its effect"]
    assert events[-1].type == "run.cancelled"
    assert events[place(events, "run.cancel_requested") - 1].actor == "user:alice"
    with pytest.raises(RunCancelledError, match="enough"):
        await run


async def test_branches_that_gather_left_behind_end_with_their_activation(
    make_engine: MakeEngine,
) -> None:
    graph, door, effects = Graph("g"), Door(), []

    async def fail() -> None:
        await door.reached()
        raise ValueError("no")

    async def slow() -> None:
        await door()
        effects.append("slow")

    @graph.node
    async def both(ctx: Context) -> None:
        await asyncio.gather(ctx.do(slow), ctx.do(fail))

    engine = await make_engine()
    run = await engine.start(graph)
    with pytest.raises(RunFailedError, match="both#1"):
        await run
    door.open()
    await turns()
    assert effects == []
    events = await history(run)
    assert types(events)[-1] == "run.failed"
    assert len(events) == (await run.state()).seq


async def test_a_task_that_outlives_its_node_can_record_nothing(make_engine: MakeEngine) -> None:
    graph, door, effects = Graph("g"), Door(), []
    left: list[asyncio.Task[Any]] = []

    async def act() -> None:
        effects.append("late")

    @graph.node
    async def careless(ctx: Context) -> str:
        async def later() -> None:
            await door()
            await ctx.do(act)

        left.append(asyncio.create_task(later()))
        await door.reached()
        return "done"

    engine = await make_engine()
    run = await engine.start(graph)
    assert await run == "done"
    door.open()
    await asyncio.wait(left)
    await turns()
    assert effects == []
    assert types(await history(run))[-1] == "run.completed"


@pytest.mark.parametrize("effect", ["read", "idempotent"])
async def test_a_call_that_was_in_flight_when_its_node_timed_out_is_made_again(
    make_engine: MakeEngine, effect: Any
) -> None:
    graph, clock, calls = Graph("g"), JumpingClock(), []

    async def slow_at_first() -> str:
        calls.append(1)
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "done"

    @graph.node(timeout=0.02, retry=Retry(attempts=99))
    async def node(ctx: Context) -> Any:
        return await ctx.do(slow_at_first, effect=effect)

    engine = await make_engine(clock=clock)
    assert await (await engine.start(graph)) == "done"
    assert len(calls) >= 2


async def test_a_call_that_failed_is_made_again_when_its_node_is_tried_again(
    make_engine: MakeEngine,
) -> None:
    graph, clock, calls = Graph("g"), JumpingClock(), []

    async def good() -> str:
        calls.append("good")
        return "good"

    async def shaky() -> str:
        calls.append("shaky")
        if calls.count("shaky") < 2:
            raise ValueError("not yet")
        return "shaky"

    @graph.node(retry=Retry(attempts=2, on=frozenset(("tool_ValueError",))))
    async def node(ctx: Context) -> list[Any]:
        return [await ctx.do(good), await ctx.do(shaky, effect="idempotent")]

    engine = await make_engine(clock=clock)
    assert await (await engine.start(graph)) == ["good", "shaky"]
    assert calls == ["good", "shaky", "shaky"]


async def test_a_sleep_that_a_timeout_broke_off_is_slept_to_its_end(
    make_engine: MakeEngine,
) -> None:
    graph, clock = Graph("g"), HandClock()

    @graph.node(timeout=0.02, retry=Retry(attempts=99, delay=0.0))
    async def node(ctx: Context) -> float:
        if ctx.attempt > 1 and clock.now() == BEGINNING:
            clock.advance(500)
        await ctx.sleep(500)
        return clock.now()

    engine = await make_engine(clock=clock)
    assert await (await engine.start(graph)) == BEGINNING + 500


async def test_nodes_that_begin_together_end_in_the_log_in_the_order_in_which_they_ended() -> None:
    ended: list[str] = []
    graph = Graph("g")

    def worker(number: int) -> Any:
        async def work() -> int:
            if number % 5 == 2:
                await asyncio.sleep(0)
            ended.append(f"w{number}#1")
            if number % 7 == 3:
                raise ValueError(f"bad {number}")
            return number

        return work

    names = [f"w{number}" for number in range(150)]
    for number, name in enumerate(names):
        graph.add_node(name, worker(number), on_failure=Continue(-1))
    graph.add_node(
        "all", lambda found: found, after=names, inputs="completed", join="all", output=True
    )
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        output = await run
        events = await history(run)
    order = [e.address for e in events if e.type == "node.completed" and e.address != "all#1"]
    assert order == ended
    values = {f"w{number}#1": -1 if number % 7 == 3 else number for number in range(150)}
    assert output == [values[address] for address in ended]


async def test_an_end_does_not_wait_for_what_was_called_after_it() -> None:
    graph = Graph("g")
    door = asyncio.Event()

    async def quick() -> int:
        return 1

    async def waits() -> int:
        async with asyncio.timeout(20):
            await door.wait()
        return 2

    async def opens(quick: int) -> int:
        door.set()
        return quick

    graph.add_node("quick", quick)
    graph.add_node("waits", waits)
    graph.add_node("other", quick)
    graph.add_node("opens", opens)
    async with Engine.memory() as engine:
        output = await (await engine.start(graph))
    assert output == {"waits": 2, "other": 1, "opens": 1}


async def test_what_had_ended_when_a_run_is_cancelled_is_in_its_log() -> None:
    graph = Graph("g")
    run: Run | None = None
    ended: list[str] = []
    cancelling: list[asyncio.Task[None]] = []

    def worker(number: int) -> Any:
        async def work() -> int:
            ended.append(f"w{number}#1")
            if number == 40:
                assert run is not None
                cancelling.append(asyncio.create_task(run.cancel(reason="enough")))
            return number

        return work

    async def start() -> int:
        await asyncio.sleep(0.001)  # until the test has the run
        return 0

    graph.add_node("start", start)
    for number in range(60):
        graph.add_node(f"w{number}", worker(number), after=["start"])
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        with suppress(RunCancelledError):
            await run
        await asyncio.gather(*cancelling)
        events = await history(run)
    told = [e.address for e in events if e.type == "node.completed" and e.address != "start#1"]
    assert told == ended
    assert len(told) > 40
