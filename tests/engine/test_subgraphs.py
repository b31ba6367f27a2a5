"""Graphs as nodes of graphs: in the same run, at addresses inside their activation's."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Continue, Engine, Graph, Limits, Retry, Run, tool
from midstream.errors import (
    ConfigError,
    GraphError,
    NodeError,
    RunCancelledError,
    RunFailedError,
    TopologyError,
)
from midstream.events.envelope import Event
from midstream.events.ids import node_of, scope_of
from midstream.events.memory import MemoryStore
from midstream.projections.run_state import fold_run
from midstream.projections.trace import trace
from tests.engine.stage import Door, JumpingClock, history, until


async def run_of(graph: Graph, **inputs: Any) -> tuple[Any, list[Event]]:
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph, **inputs)
        return await run, await history(run)


def addresses(events: list[Event], type_: str = "node.scheduled") -> list[str]:
    return [str(event.address) for event in events if event.type == type_]


def research() -> Graph:
    graph = Graph("research")

    @graph.node
    async def outline(topic: str) -> str:
        return f"outline of {topic}"

    @graph.node
    async def write(outline: str, style: str = "plain") -> str:
        return f"{outline}, {style}"

    return graph


async def test_a_graph_is_a_node_in_the_same_log_at_addresses_inside_its_own() -> None:
    graph = Graph("book")
    graph.add_node("topic", lambda: "tea")
    graph.subgraph("chapter", research())
    graph.add_node("bind", lambda chapter: f"[{chapter}]")
    output, events = await run_of(graph, style="fancy")
    assert output == "[outline of tea, fancy]"
    assert addresses(events) == [
        "topic#1",
        "chapter#1",
        "chapter#1.outline#1",
        "chapter#1.write#1",
        "bind#1",
    ]
    made = next(e for e in events if e.address == "chapter#1" and e.type == "node.completed")
    assert made.data["output"] == "outline of tea, fancy"
    assert next(e for e in events if e.address == "chapter#1").data == {
        "inputs": {"topic": "topic#1"}
    }


def test_the_inputs_of_a_graph_inside_are_inputs_of_the_graph_around_it() -> None:
    graph = Graph("book")
    graph.subgraph("chapter", research())
    assert dict(graph.input_names) == {"topic": True, "style": False}
    with pytest.raises(GraphError, match="input 'topic' is missing"):
        graph.check_inputs([])


def test_the_digest_is_of_the_graphs_inside_too_and_of_those_that_grow_later() -> None:
    inner, outer = research(), Graph("book")
    outer.subgraph("chapter", inner)
    shelf = Graph("shelf")
    shelf.subgraph("book", outer)
    before = shelf.digest
    inner.add_node("check", lambda write, language: f"{write} {language}")
    assert shelf.digest != before
    assert shelf.input_names["language"]
    inside: Any = shelf.definition["graphs"]
    assert list(inside) == ["book", "research"]


def test_two_graphs_of_one_name_are_refused() -> None:
    graph = Graph("g")
    graph.subgraph("one", research())
    graph.subgraph("two", research())
    with pytest.raises(GraphError, match="two graphs are named 'research'"):
        _ = graph.digest


def test_options_that_say_nothing_of_a_graph_are_refused() -> None:
    graph = Graph("g")
    with pytest.raises(GraphError, match="say pure=True of the nodes in it"):
        graph.subgraph("one", research(), pure=True)
    with pytest.raises(GraphError, match="give idle_timeout to the nodes in it"):
        graph.subgraph("one", research(), idle_timeout=1)
    graph.subgraph("two", research(), take={"tropic": "x"})
    with pytest.raises(GraphError, match="no parameter 'tropic' for take"):
        _ = graph.digest


async def test_one_graph_may_be_used_twice_and_take_its_inputs_under_other_names() -> None:
    inner, graph = research(), Graph("g")
    graph.subgraph("one", inner, take={"topic": "first"}, args={"style": "dry"})
    graph.subgraph("two", inner, take={"topic": "one"})
    output, events = await run_of(graph, first="tea")
    assert output == "outline of outline of tea, dry, plain"
    assert addresses(events)[1:3] == ["one#1.outline#1", "one#1.write#1"]


async def test_a_graph_may_be_inside_a_graph_inside_a_graph() -> None:
    inner = research()
    middle, outer = Graph("middle"), Graph("outer")
    middle.subgraph("research", inner)
    outer.subgraph("middle", middle)
    output, events = await run_of(outer, topic="tea")
    assert output == "outline of tea, plain"
    assert "middle#1.research#1.write#1" in addresses(events)


async def test_several_outputs_inside_are_one_mapping() -> None:
    inner, graph = Graph("inner"), Graph("g")
    inner.add_node("a", lambda: 1, output=True)
    inner.add_node("b", lambda: 2, output=True)
    graph.subgraph("both", inner)
    graph.add_node("total", lambda both: both["a"] + both["b"])
    assert (await run_of(graph))[0] == 3


async def test_control_goes_to_nodes_of_the_same_graph_only_and_local_state_is_of_one_activation() -> (
    None
):
    inner, graph = Graph("inner"), Graph("g")
    tried: list[str] = []

    @inner.node
    async def count(ctx: Context) -> Any:
        ctx.local["n"] = ctx.local.get("n", 0) + 1
        if ctx.local["n"] < 3:
            ctx.goto("count")
        with pytest.raises(TopologyError) as refused:
            ctx.goto("again")
        tried.append(str(refused.value))
        return ctx.local["n"]

    graph.subgraph("counting", inner)

    @graph.node
    async def again(counting: int, ctx: Context) -> int:
        if ctx.step == "again#1":
            ctx.goto("counting")
        return counting

    output, events = await run_of(graph)
    assert output == 3
    assert addresses(events) == [
        "counting#1",
        *(f"counting#1.count#{number}" for number in (1, 2, 3)),
        "again#1",
        "counting#2",
        *(f"counting#2.count#{number}" for number in (1, 2, 3)),
        "again#2",
    ]
    assert "there is no node 'again'; there are count" in tried[0]


async def test_a_map_runs_a_graph_for_each_item() -> None:
    graph = Graph("g")
    graph.map("chapters", research(), over="topics", key=str, concurrency=2)
    output, events = await run_of(graph, topics=["tea", "a.b[#/]", "milk"], style="dry")
    assert output == [f"outline of {topic}, dry" for topic in ("tea", "a.b[#/]", "milk")]
    inside = [address for address in addresses(events) if ".outline#1" in address]
    assert {scope_of(address.rpartition("#")[0])[1] for address in inside} == {"outline"}
    assert {str(node_of(address)) for address in inside} == {"chapters/outline"}
    assert len(inside) == 3


async def test_when_and_maps_and_joins_work_inside() -> None:
    inner, graph = Graph("inner"), Graph("g")
    inner.add_node("double", lambda n: 2 * n, when=lambda n: n > 1)
    inner.map("squares", lambda item: item * item, over="items")
    inner.add_node("quick", lambda: "quick")

    @inner.node
    async def slow(ctx: Context) -> str:
        await asyncio.Event().wait()
        return "slow"

    inner.add_node(
        "first", lambda found: found, join="any", after=["quick", "slow"], inputs="merge"
    )
    inner.add_node(
        "all",
        lambda squares, first, double=None: [squares, first, double],
        output=True,
    )
    graph.subgraph("inside", inner)
    output, events = await run_of(graph, n=1, items=[1, 2])
    assert output == [[1, 4], ["quick"], None]
    skipped = {str(e.address): e.data["reason"] for e in events if e.type == "node.skipped"}
    assert skipped == {
        "inside#1.double#1": "its when= said no",
        "inside#1.slow#1": "inside#1.first#1 has enough without it",
    }


async def test_nodes_are_added_to_the_graph_that_the_activation_is_in() -> None:
    inner, graph = Graph("inner"), Graph("g")

    @inner.node
    async def grow(ctx: Context) -> int:
        ctx.add_node("more", "plus", args={"n": 4}, after=["grow"], output=True)
        return 1

    inner.register(lambda n: n + 1, name="plus")
    graph.subgraph("one", inner)
    graph.subgraph("two", inner)
    output, events = await run_of(graph)
    assert output == {"one": 5, "two": 5}
    assert {"one#1.more#1", "two#1.more#1"} <= set(addresses(events))


async def test_a_running_node_adds_a_graph_that_is_registered_also_itself_up_to_the_depth() -> None:
    graph, step = Graph("g", limits=Limits(depth=3)), Graph("step")

    @step.node
    async def deeper(level: int, ctx: Context) -> int:
        if level < ctx.local.get("most", 9):
            ctx.add_node("next", "step", args={"level": level + 1}, after=["deeper"], output=True)
        return level

    step.register(step)
    graph.subgraph("start", step, args={"level": 1})
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        with pytest.raises(RunFailedError, match=r"more than 3 deep.*Limits\(depth"):
            await run
        events = await history(run)
        assert "start#1.next#1.next#1.deeper#1" in addresses(events)
        assert [e.data["limit"] for e in events if e.type == "limit.reached"] == ["depth"]


async def test_a_graph_may_run_itself() -> None:
    graph = Graph("factorial")

    @graph.node
    async def smaller(n: int) -> int:
        return n - 1

    graph.subgraph("rest", graph, take={"n": "smaller"}, when=lambda smaller: smaller > 0)

    @graph.node(output=True, after=["smaller"])
    async def product(n: int, rest: int = 1) -> int:
        return n * rest

    assert (await run_of(graph, n=5))[0] == 120


async def test_what_fails_inside_fails_the_node_with_its_story_once_its_siblings_have_settled() -> (
    None
):
    inner, graph = Graph("inner"), Graph("g")
    door = Door()

    @inner.node
    async def bad() -> None:
        raise ValueError("no")

    @inner.node
    async def slow() -> str:
        await door()
        return "slow"

    inner.add_node("after_slow", lambda slow: slow)
    graph.subgraph("inside", inner)
    graph.add_node("after_inside", lambda inside: inside)
    graph.add_node("other", lambda: "other")
    graph.add_node("after_other", lambda other: other)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await door.reached()
        await recorded(run, "node.completed", "after_other#1")
        door.open()
        with pytest.raises(RunFailedError) as caught:
            await run
        events = await history(run)
    (failure,) = caught.value.failures
    assert isinstance(failure, NodeError)
    assert failure.node == "inside"
    assert failure.kind == "ValueError"
    assert "inside#1.bad#1: ValueError: no" in str(failure)
    assert "inside#1.after_slow#1" not in addresses(events)
    assert "inside#1.slow#1" in addresses(events, "node.completed")


async def recorded(run: Run, type_: str, address: str) -> None:
    """Wait until an event is in the log."""
    async with asyncio.timeout(20):
        async for event in run.events():
            if (event.type, event.address) == (type_, address):
                return


@pytest.mark.parametrize(
    ("policy", "expected"),
    [(Continue("instead"), "instead!"), ("mend", "mended inside#1!"), ("skip", "nothing!")],
)
async def test_the_policies_of_the_node_are_about_its_graph(policy: Any, expected: str) -> None:
    inner, graph = Graph("inner"), Graph("g")

    def bad() -> None:
        raise ValueError("no")

    inner.add_node("bad", bad)
    graph.subgraph("inside", inner, on_failure=policy)

    @graph.node(start=False)
    async def mend(error: dict[str, Any], ctx: Context) -> str:
        return f"mended {error['step']}"

    graph.add_node("begin", lambda: "begun")

    @graph.node(output=True)
    def end(begin: str, inside: str = "nothing", mend: str | None = None) -> str:
        return f"{mend or inside}!"

    assert (await run_of(graph))[0] == expected


async def test_another_attempt_keeps_what_has_completed_and_tries_again_what_has_failed() -> None:
    inner, middle, graph = Graph("inner"), Graph("middle"), Graph("g")
    called: list[str] = []

    @inner.node
    async def once(ctx: Context) -> str:
        called.append(ctx.step)
        return "once"

    @inner.node
    async def flaky(once: str, ctx: Context) -> str:
        called.append(f"{ctx.step}/{ctx.attempt}")
        if ctx.attempt < 3:
            raise ConnectionError("not yet")
        return f"{once} and then"

    inner.map("items", lambda item, flaky: f"{flaky} {item}", over="things")
    middle.subgraph("inner", inner)
    graph.subgraph("inside", middle, retry=Retry(attempts=3, on=frozenset({"ConnectionError"})))
    output, events = await run_of(graph, things=["a"])
    assert output == ["once and then a"]
    assert called == ["inside#1.inner#1.once#1"] + [
        f"inside#1.inner#1.flaky#1/{attempt}" for attempt in (1, 2, 3)
    ]
    again = [(str(e.address), e.data["attempt"]) for e in events if e.type == "node.started"]
    assert again == [
        (address, attempt)
        for attempt in (2, 3)
        for address in ("inside#1", "inside#1.inner#1", "inside#1.inner#1.flaky#1")
    ]


@pytest.mark.parametrize("each", [False, True])
async def test_what_failed_inside_finds_its_calls_when_it_is_tried_again_after_a_restart(
    tmp_path: Path, each: bool
) -> None:
    paid: list[str] = []
    fails = True

    @tool(effect="unsafe")
    async def pay(what: str) -> str:
        paid.append(what)
        return f"paid for {what}"

    async def work(what: str, ctx: Context) -> str:
        told = str(await ctx.tool(pay, what=what))
        if fails:
            raise ConnectionError("the shop is shut")
        return told

    def build() -> Graph:
        inner, graph = Graph("inner"), Graph("g")
        if each:
            inner.map("work", work, over=lambda: ["tea"], key=str)
        else:
            inner.add_node("work", work, args={"what": "tea"})
        policy = Retry(attempts=2, delay=1000.0, on=frozenset({"ConnectionError", "nodes"}))
        graph.subgraph("sub", inner, retry=policy)
        return graph

    async with Engine.open(tmp_path / "a.db") as engine:
        run = await engine.start(build(), run_id="r")
        async for event in run.events():
            if (event.type, event.address) == ("node.failed", "sub#1"):
                break
    fails = False
    clock = JumpingClock()
    clock.time = 2_000_000_000.0
    async with Engine.open(tmp_path / "a.db", graphs=[build()], clock=clock) as engine:
        told = await (await engine.resume("r"))
    assert told == (["paid for tea"] if each else "paid for tea")
    assert paid == ["tea"]


async def test_items_that_failed_inside_are_tried_again_with_their_map() -> None:
    inner, graph = Graph("inner"), Graph("g")
    called: list[tuple[str, int]] = []

    async def work(item: str, ctx: Context) -> str:
        called.append((item, ctx.attempt))
        if item == "bad" and ctx.attempt == 1:
            raise ConnectionError("not yet")
        return item.upper()

    inner.map("items", work, over="things")
    graph.subgraph("inside", inner, retry=Retry(attempts=2, on=frozenset({"ConnectionError"})))
    output, _ = await run_of(graph, things=["good", "bad"])
    assert output == ["GOOD", "BAD"]
    assert sorted(called) == [("bad", 1), ("bad", 2), ("good", 1)]


async def test_a_graph_that_takes_too_long_is_ended_with_all_that_runs_in_it() -> None:
    inner, middle, graph = Graph("inner"), Graph("middle"), Graph("g")
    ended: list[str] = []

    @inner.node
    async def hang(ctx: Context) -> str:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(f"{ctx.step}/{ctx.attempt}")
        return ""

    middle.subgraph("inner", inner)
    graph.subgraph(
        "inside", middle, timeout=0.02, retry=Retry(attempts=2, on=frozenset({"timeout"}))
    )
    before = asyncio.all_tasks()
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph)
        with pytest.raises(RunFailedError) as caught:
            await run
        events = await history(run)
    assert "took longer than 0.02 s" in str(caught.value)
    assert ended == ["inside#1.inner#1.hang#1/1", "inside#1.inner#1.hang#1/2"]
    assert addresses(events, "node.skipped") == ["inside#1.inner#1.hang#1", "inside#1.inner#1"]
    assert asyncio.all_tasks() == before


async def test_a_graph_that_loses_a_race_is_ended_with_all_that_runs_in_it() -> None:
    inner, graph = Graph("inner"), Graph("g")
    door, ended = Door(), list[str]()

    @inner.node
    async def hang() -> str:
        try:
            await door()
        finally:
            ended.append("hang")
        return ""

    inner.add_node("then", lambda hang: hang)
    graph.subgraph("slow", inner)

    @graph.node
    async def quick() -> str:
        await door.reached()
        return "quick"

    graph.add_node(
        "first", lambda found: found, join="any", after=["slow", "quick"], inputs="merge"
    )
    output, events = await run_of(graph)
    assert output == ["quick"]
    assert ended == ["hang"]
    reasons = {str(e.address): e.data["reason"] for e in events if e.type == "node.skipped"}
    why = "first#1 has enough without it"
    assert reasons == {"slow#1.hang#1": why, "slow#1": why}
    assert fold_run(events).scopes == {}


async def test_nothing_begins_inside_once_the_run_fails() -> None:
    inner, graph = Graph("inner"), Graph("g")
    door = Door()

    @inner.node
    async def first() -> str:
        await door()
        return "first"

    inner.add_node("second", lambda first: first)
    graph.subgraph("inside", inner)

    @graph.node
    async def bad() -> None:
        await door.reached()
        raise ValueError("no")

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await door.reached()
        await recorded(run, "node.failed", "bad#1")
        door.open()
        with pytest.raises(RunFailedError):
            await run
        events = await history(run)
    assert "inside#1.second#1" not in addresses(events)
    assert addresses(events, "node.skipped") == ["inside#1"]


async def test_a_turn_that_passes_inside_leaves_the_graph_without_an_output() -> None:
    inner, graph = Graph("inner"), Graph("g")
    inner.add_node("one", lambda: 1)
    inner.add_node("called", lambda: 1, start=False)
    inner.add_node("waits", lambda one, called: 1, output=True)
    graph.subgraph("inside", inner)
    output, _ = await run_of(graph)
    assert output is None  # nothing ever went to `called`, so the turn of `waits` passes


async def test_what_was_done_inside_is_undone_in_reverse_when_the_run_fails() -> None:
    inner, graph = Graph("inner"), Graph("g")
    undone: list[str] = []

    def book(hotel: str) -> str:
        return f"booked {hotel}"

    async def cancel(book: str, hotel: str, ctx: Context) -> None:
        undone.append(f"{ctx.step}: {book} at {hotel}")

    inner.add_node("book", book, compensate=cancel)
    graph.subgraph("first", inner, take={"hotel": "one"})
    graph.subgraph("second", inner, take={"hotel": "two"}, after=["first"])

    @graph.node(after=["second"])
    async def bad() -> None:
        raise ValueError("no")

    async with Engine.memory() as engine:
        run = await engine.start(graph, one="Ritz", two="Savoy")
        with pytest.raises(RunFailedError):
            await run
    assert undone == [
        "second#1.book.undo#1: booked Savoy at Savoy",
        "first#1.book.undo#1: booked Ritz at Ritz",
    ]


async def test_the_limit_of_activations_counts_those_inside() -> None:
    graph = Graph("g", limits=Limits(activations=3))
    graph.subgraph("one", research())
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, topic="tea")) == "outline of tea, plain"
        run = await engine.start(graph, topic="tea", limits=Limits(activations=2))
        with pytest.raises(RunFailedError, match="more than 2 activations"):
            await run


async def test_a_run_is_cancelled_with_what_runs_inside() -> None:
    inner, graph = Graph("inner"), Graph("g")
    door = Door()
    inner.add_node("wait", _waiting(door))
    graph.subgraph("inside", inner)
    before = asyncio.all_tasks()
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await door.reached()
        await run.cancel(reason="enough")
        with pytest.raises(RunCancelledError, match="enough"):
            await run
    assert asyncio.all_tasks() == before


def _waiting(door: Door) -> Callable[[], Any]:
    async def wait() -> str:
        await door()
        return "done"

    return wait


async def test_a_run_is_resumed_in_another_process_in_the_middle_of_a_graph() -> None:
    def build(door: Door | None) -> Graph:
        inner, graph = research(), Graph("g")

        @inner.node(output=True)
        async def last(write: str, ctx: Context) -> str:
            ctx.local["seen"] = write
            await ctx.note("here")
            if door is not None:
                await door()
            return write

        graph.map("chapters", inner, over="topics", key=str)
        graph.add_node("book", lambda chapters: " | ".join(chapters))
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store, lease=1e-9) as engine:
        run = await engine.start(build(door), topics=["tea", "milk"], run_id="r")
        await until(lambda: door.visits == 2)
    async with Engine(store, graphs=[build(None)]) as engine:
        run = await engine.resume("r")
        assert await run == "outline of tea, plain | outline of milk, plain"
        done = addresses(await history(run), "node.completed")
        assert len(done) == len(set(done)) == 10
        assert (await run.replay()).identical


async def test_what_is_said_inside_goes_on_from_what_was_said_before_and_is_seen_after() -> None:
    inner, graph = Graph("inner"), Graph("g")

    async def speak(ctx: Context) -> str:
        return (await ctx.llm(f"I am {ctx.step}")).text

    inner.add_node("begin", speak)
    inner.add_node("end", speak, after=["begin"])
    graph.add_node("before", speak)
    graph.subgraph("inside", inner, after=["before"], model="scripted:b")
    graph.add_node("after", speak, after=["inside"])
    models = {"a": ["one", "four"], "b": ["two", "three"], "c": ["three", "four"]}
    async with Engine.memory(models=models, model="scripted:a") as engine:
        run = await engine.start(graph)
        await run
        calls = [e for e in await history(run) if e.type == "model.requested"]
    assert [event.data["model"] for event in calls] == [
        "scripted:a",
        "scripted:b",
        "scripted:b",
        "scripted:a",
    ]
    assert [
        [one.partition("/")[0] for one in event.data.get("parents", ())] for event in calls
    ] == [
        [],
        ["before#1"],
        ["inside#1.begin#1"],
        ["inside#1.end#1"],
    ]


async def test_a_migration_of_the_node_holds_for_all_inside_and_one_of_a_node_inside_for_that() -> (
    None
):
    inner, graph = Graph("inner"), Graph("g")
    door = Door()

    async def speak(ctx: Context) -> str:
        return (await ctx.llm("hello")).model

    async def wait() -> None:
        await door()

    graph.add_node("wait", wait)
    inner.add_node("one", speak)
    inner.add_node("two", speak, after=["one"])
    inner.add_node("both", lambda one, two: [one, two])
    graph.subgraph("inside", inner, after=["wait"])
    models = {name: ["x"] * 4 for name in "abc"}
    async with Engine.memory(models=models, model="scripted:a") as engine:
        run = await engine.start(graph)
        await door.reached()
        await run.migrate("scripted:b", scope="node:inside")
        await run.migrate("scripted:c", scope="node:inside/two")
        with pytest.raises(ConfigError, match="node:inside/two"):
            await run.migrate("scripted:c", scope="node:inside/three")
        door.open()
        assert await run == ["scripted:b", "scripted:c"]
        usage = await run.usage()
        assert set(usage.by_node) == {"inside/one", "inside/two"}


async def test_steps_inside_are_a_part_of_the_activation_that_runs_their_graph() -> None:
    graph = Graph("g")
    graph.add_node("topic", lambda: "tea")
    graph.subgraph("chapter", research())
    _, events = await run_of(graph)
    steps = trace(events)
    inside = steps.within("chapter#1")
    assert [step.id for step in inside] == ["chapter#1.outline#1", "chapter#1.write#1"]
    assert [step.name for step in inside] == ["chapter/outline", "chapter/write"]
    assert steps.steps["chapter#1.outline#1"].parents == ("topic#1",)


async def test_a_fork_sets_what_a_node_inside_has_returned() -> None:
    graph = Graph("g")
    graph.subgraph("chapter", research())
    async with Engine.memory() as engine:
        run = await engine.start(graph, topic="tea")
        await run
        fork = await run.fork(set={"chapter#1.outline#1": "nothing"})
        assert await fork == "nothing, plain"
        fork = await run.fork(set={"inputs.style": "dry"})
        assert await fork == "outline of tea, dry"
        assert (await fork.replay()).identical


async def test_always_replay_comes_to_the_same() -> None:
    graph = Graph("g")
    graph.map("chapters", research(), over="topics")
    async with Engine.memory(always_replay=True) as engine:
        run = await engine.start(graph, topics=["tea", "milk"])
        assert await run == ["outline of tea, plain", "outline of milk, plain"]
