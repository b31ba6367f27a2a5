"""What becomes of a failure: policies, undoing, time limits, bounds of a run, and how several are told."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from midstream import Context, Continue, Engine, Graph, Limits, Retry
from midstream.engine.graphs.decide import Fail, decide
from midstream.errors import ConfigError, GraphError, NodeError, RunFailedError
from midstream.events.envelope import Event
from midstream.events.memory import MemoryStore
from tests.engine.stage import Door, HandClock, JumpingClock, history, turns, types, until


async def run_of(graph: Graph, **inputs: Any) -> tuple[Any, list[Event]]:
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph, **inputs)
        return await run, await history(run)


async def failure_of(graph: Graph, **inputs: Any) -> tuple[RunFailedError, list[Event]]:
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph, **inputs)
        with pytest.raises(RunFailedError) as caught:
            await run
        return caught.value, await history(run)


def fails() -> int:
    raise ValueError("as planned")


async def test_a_failure_may_be_skipped_and_who_waits_for_it_is_told() -> None:
    graph = Graph("g")
    graph.add_node("bad", fails, on_failure="skip")
    graph.add_node("needs", lambda bad: bad)
    graph.add_node("can_do_without", lambda good, bad=None: [good, bad])
    graph.add_node("good", lambda: 1)
    output, events = await run_of(graph)
    assert output == {"can_do_without": [1, None]}
    reasons = {e.address: e.data["reason"] for e in events if e.type == "node.skipped"}
    assert reasons == {
        "bad#1": "failed: ValueError: as planned",
        "needs#1": "bad#1 was skipped",
    }


async def test_a_value_may_stand_in_for_the_output_of_a_node_that_failed() -> None:
    graph = Graph("g")
    graph.add_node("bad", fails, on_failure=Continue([0]))
    graph.add_node("then", lambda bad: bad)
    output, events = await run_of(graph)
    assert output == [0]
    told = [e.type for e in events if e.address == "bad#1"]
    assert told == ["node.scheduled", "node.failed", "node.completed"]


async def test_control_may_go_to_a_node_that_handles_the_failure() -> None:
    graph = Graph("g")
    graph.add_node("bad", fails, on_failure="rescue")
    graph.add_node("then", lambda bad: bad)

    @graph.node(start=False, output=True)
    async def rescue(error: dict[str, Any]) -> str:
        return f"{error['step']}: {error['kind']}: {error['message']} ({error['attempt']})"

    output, events = await run_of(graph)
    assert output == "bad#1: ValueError: as planned (1)"
    assert "then#1" in {e.address for e in events if e.type == "node.skipped"}


async def test_a_policy_comes_after_the_last_attempt() -> None:
    graph = Graph("g")
    again = Retry(attempts=3, delay=1, on=frozenset(("ValueError",)))
    graph.add_node("bad", fails, on_failure="skip", retry=again)
    graph.add_node("good", lambda: 1)
    output, events = await run_of(graph)
    assert output == {"good": 1}
    assert types(events).count("node.failed") == 3


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"on_failure": "nowhere"}, "on_failure='nowhere', but that node does not exist"),
        ({"on_failure": "other"}, "on_failure='other', but that node runs by itself"),
        ({"compensate": "nowhere"}, "compensate='nowhere', but that node does not exist"),
        ({"idle_timeout": 0}, "idle_timeout must be more than 0"),
        ({"total_timeout": -1}, "total_timeout must be more than 0"),
        ({"start": False}, ""),
    ],
    ids=lambda value: str(value)[:30],
)
def test_a_policy_that_makes_no_sense_is_refused(options: Any, found: str) -> None:
    graph = Graph("g")
    graph.add_node("other", lambda: 1)
    if not found:
        graph.remove_node("other")
        found = "every node has start=False, so nothing would ever run"
    with pytest.raises(GraphError, match=found):
        _defined(graph, options)


def _defined(graph: Graph, options: Any) -> None:
    graph.add_node("bad", fails, **options)
    _ = graph.definition


def test_two_nodes_that_call_for_one_another_are_no_deadlock_but_a_graph_without_a_start() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1, start=False)
    with pytest.raises(GraphError, match="let one start"):
        _ = graph.definition


async def test_what_was_done_is_undone_in_reverse_order_when_the_run_fails() -> None:
    graph = Graph("trip")
    done: list[str] = []

    def undo(name: str) -> Callable[..., Any]:
        async def cancel(**booked: str) -> None: ...

        scope: dict[str, Any] = {"done": done}
        exec(f"async def cancel({name}): done.append(f'cancel {{{name}}}')", scope)
        return scope["cancel"]  # type: ignore[no-any-return]

    graph.add_node("flight", lambda: "F1", compensate=undo("flight"))
    graph.add_node("hotel", lambda flight: "H2", compensate=undo("hotel"))
    graph.add_node("car", lambda hotel: fails(), compensate=undo("car"))
    error, events = await failure_of(graph)
    assert done == ["cancel H2", "cancel F1"]
    assert [str(failure) for failure in error.failures] == ["car#1: ValueError: as planned"]
    undone = [e for e in events if e.type == "node.scheduled" and "undo" in str(e.address)]
    assert [(e.address, e.data) for e in undone] == [
        ("hotel.undo#1", {"inputs": {"hotel": "hotel#1"}, "called": "hotel#1"}),
        ("flight.undo#1", {"inputs": {"flight": "flight#1"}, "called": "flight#1"}),
    ]


async def test_an_undoing_that_fails_does_not_keep_the_others_from_being_tried() -> None:
    graph = Graph("g")
    done: list[str] = []
    graph.add_node("a", lambda: 1, compensate=lambda a: done.append("a"))
    graph.add_node("b", lambda a: 2, compensate=lambda: 1 / 0)
    graph.add_node("c", lambda b: fails())
    error, _ = await failure_of(graph)
    assert done == ["a"]
    assert [one.kind for one in error.failures if isinstance(one, NodeError)] == [
        "ValueError",
        "ZeroDivisionError",
    ]


async def test_nothing_is_undone_in_a_run_that_completes() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1, compensate=lambda: 1 / 0)
    graph.add_node("b", lambda a: a)
    output, events = await run_of(graph)
    assert output == {"b": 1}
    assert not [e for e in events if "undo" in str(e.address)]


async def test_undoing_goes_on_where_it_was_when_the_process_ended() -> None:
    done: list[str] = []

    def build(door: Door) -> Graph:
        graph = Graph("g")

        async def undo_b() -> None:
            await door()
            done.append("b")

        graph.add_node("a", lambda: 1, compensate=lambda: done.append("a"))
        graph.add_node("b", lambda a: 2, compensate=undo_b)
        graph.add_node("c", lambda b: fails())
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second)]) as engine:
        with pytest.raises(RunFailedError, match="c#1: ValueError"):
            await (await engine.resume("r"))
    assert done == ["b", "a"]


async def test_several_failures_are_told_together_as_one_group() -> None:
    graph = Graph("g")
    door = Door()

    async def slow() -> None:
        await turns(5)
        raise KeyError("slow")

    graph.add_node("one", fails)
    graph.add_node("two", slow)
    error, _ = await failure_of(graph)
    assert door.visits == 0
    assert error.group is not None
    assert error.__cause__ is error.group
    assert [str(one) for one in error.group.exceptions] == [
        "one#1: ValueError: as planned",
        "two#1: KeyError: 'slow'",
    ]
    caught: list[str] = []
    try:
        raise error.group
    except* NodeError as group:
        caught += [str(one) for one in group.exceptions]
    assert len(caught) == 2


async def test_a_node_without_a_sign_of_life_runs_out_of_time_and_one_with_signs_does_not() -> None:
    graph = Graph("g")

    @graph.node(idle_timeout=0.75)
    async def lively(ctx: Context) -> str:
        for _ in range(8):
            await asyncio.sleep(0.15)
            ctx.heartbeat()
        return "done"

    @graph.node(idle_timeout=0.75)
    async def recording(ctx: Context) -> str:
        for _ in range(8):
            await asyncio.sleep(0.15)
            await ctx.now()
        return "done"

    @graph.node(idle_timeout=0.75, on_failure="skip")
    async def dead(ctx: Context) -> None:
        await asyncio.Event().wait()

    output, events = await run_of(graph)
    assert output == {"lively": "done", "recording": "done"}
    failed = next(e for e in events if e.type == "node.failed")
    assert (failed.address, failed.data["message"]) == ("dead#1", "gave no sign of life for 0.75 s")


async def test_all_attempts_together_have_one_deadline() -> None:
    graph = Graph("g")
    again = Retry(attempts=100, delay=10, factor=1, jitter=0, on=frozenset(("ValueError",)))
    graph.add_node("bad", fails, retry=again, total_timeout=35)
    error, events = await failure_of(graph)
    assert types(events).count("node.failed") == 4
    assert "bad#1: ValueError: as planned" in str(error)


async def test_an_attempt_ends_at_the_deadline_of_all() -> None:
    graph = Graph("g")

    @graph.node(total_timeout=0.05, timeout=10)
    async def slow() -> None:
        await asyncio.Event().wait()

    with pytest.raises(
        RunFailedError, match=r"timeout: took longer than 0.05 s with all its attempts"
    ):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_a_retry_that_is_due_in_an_hour_survives_the_process() -> None:
    tries: list[int] = []

    def build() -> Graph:
        graph = Graph("g")

        @graph.node(
            retry=Retry(attempts=2, delay=3600, longest=3600, jitter=0, on=frozenset(("OSError",)))
        )
        async def flaky(ctx: Context) -> str:
            tries.append(ctx.attempt)
            if ctx.attempt == 1:
                raise OSError("later")
            return "at last"

        return graph

    store, clock = MemoryStore(), HandClock()
    async with Engine(store, clock=clock) as engine:
        await engine.start(build(), run_id="r")
        await until(lambda: clock.sleepers > 0)
    clock.advance(1800)
    async with Engine(store, clock=clock, graphs=[build()]) as engine:
        run = await engine.resume("r")
        await turns(50)
        assert tries == [1]
        assert (await run.state()).activations["flaky#1"].retry_at == 1_800_003_600.0
        clock.advance(1801)
        assert await run == "at last"
    assert tries == [1, 2]


async def test_a_loop_that_never_ends_ends_at_the_limit_of_activations() -> None:
    graph = Graph("g", limits=Limits(activations=50))
    undone: list[int] = []

    @graph.node
    async def for_ever(ctx: Context) -> None:
        ctx.goto("for_ever")

    graph.add_node("booked", lambda: 1, compensate=lambda: undone.append(1))
    error, events = await failure_of(graph)
    assert "limit: the run would have more than 50 activations; if that is no runaway loop" in str(
        error
    )
    assert undone == [1]
    assert types(events)[-1] == "run.failed"


async def test_a_limit_of_a_start_takes_the_place_of_the_graphs() -> None:
    graph = Graph("g", limits=Limits(activations=1))
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda a: a)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, limits=Limits(activations=2))) == 1


async def test_a_run_that_takes_too_long_ends_with_its_tasks_also_after_a_resume() -> None:
    def build() -> Graph:
        graph = Graph("g")

        async def wait(ctx: Context) -> None:
            await ctx.sleep(1e9)

        graph.add_node("wait", wait)
        graph.add_node("idle", asyncio.Event().wait)
        return graph

    store, clock = MemoryStore(), HandClock()
    async with Engine(store, clock=clock) as engine:
        await engine.start(build(), run_id="r", limits=Limits(seconds=60))
        await until(lambda: clock.sleepers == 2)
    before = asyncio.all_tasks()
    async with Engine(store, clock=clock, graphs=[build()]) as engine:
        run = await engine.resume("r")
        await until(lambda: clock.sleepers >= 2)
        clock.advance(61)
        with pytest.raises(RunFailedError, match=r"failed: limit: the run took longer than 60 s"):
            await run
        events = await history(run)
    assert asyncio.all_tasks() == before
    skipped = {e.address: e.data["reason"] for e in events if e.type == "node.skipped"}
    assert skipped == dict.fromkeys(("wait#1", "idle#1"), "the run is at its limit")


@pytest.mark.parametrize("wrong", [{"activations": 0}, {"seconds": -1}], ids=str)
def test_a_limit_of_nothing_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigError, match="must be more than 0"):
        Limits(**wrong)


def test_a_run_in_which_nothing_can_run_fails_and_says_what_waits_for_what() -> None:
    from midstream.projections.run_state import RunState
    from midstream.projections.topology import topology

    nodes = {"a": {"after": ["b"]}, "b": {"after": ["a"]}}  # no graph that was checked has this
    state = RunState(topology=topology({"nodes": nodes}), pending={"a": 1, "b": 1})
    (command,) = decide(state)
    assert isinstance(command, Fail)
    assert command.failures[0].kind == "deadlock"
    assert command.failures[0].message == "nothing can run any more: a waits for b; b waits for a"


async def test_siblings_settle_and_nothing_new_begins() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def slow() -> str:
        await door()
        return "slow"

    @graph.node
    async def bad(ctx: Context) -> None:
        await door.reached()
        asyncio.get_running_loop().call_soon(door.open)
        raise ValueError("no")

    graph.add_node("after", lambda slow: slow)
    _, events = await failure_of(graph)
    assert "slow#1" in {e.address for e in events if e.type == "node.completed"}
    assert "after#1" not in {e.address for e in events}


@pytest.mark.parametrize(
    ("gives", "takes"),
    [(list[str], str), (str, list[int]), (dict[str, int], list[int])],
    ids=["list", "text", "dict"],
)
def test_a_value_that_cannot_fit_is_refused_when_the_graph_is_built(gives: Any, takes: Any) -> None:
    def first() -> Any: ...

    def second(first: Any) -> None: ...

    first.__annotations__["return"] = gives
    second.__annotations__["first"] = takes
    graph = Graph("g")
    graph.add_node("first", first)
    graph.add_node("second", second)
    with pytest.raises(
        GraphError, match=r"parameter 'first' wants a .*, but node 'first' returns a"
    ):
        _ = graph.definition
