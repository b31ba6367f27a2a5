"""Code that has changed under a run: pinned, upgraded where nothing of what has begun was changed, or patched inside a node."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph
from midstream.engine.graphs.versions import node_changes
from midstream.errors import (
    CodeChangedError,
    ConfigError,
    GraphError,
    RunCancelledError,
    RunFailedError,
)
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore
from tests.engine.stage import Door, history, types

Change = Callable[[Graph], object]


def opened() -> Door:
    """Return a door through which one comes at once."""
    door = Door()
    door.open()
    return door


def graph_of(door: Door, change: Change | None = None, version: str = "") -> Graph:
    """Return a graph that stops at a door, with what is to come after it changed."""
    graph = Graph("g", version=version)
    graph.add_node("first", lambda n: n)

    @graph.node
    async def middle(first: int, ctx: Context) -> int:
        await ctx.do(door, effect="read")
        return first + 1

    if change is None:
        graph.add_node("last", lambda middle: middle * 10)
    else:
        change(graph)
    return graph


async def stopped(store: EventStore, made: Callable[[Door], Graph], **inputs: Any) -> None:
    """Start a run, and stop its engine while a node waits at the door."""
    door = Door()
    async with Engine(store) as engine:
        await engine.start(made(door), run_id="r", **inputs)
        await door.reached()


async def gone_on(store: EventStore, graph: Graph, on_change: Any = "upgrade") -> Any:
    async with Engine(store, recover=False) as engine:
        run = await engine.resume("r", graph, on_change=on_change)
        output = await run
        report = await run.replay(graph=graph)
        assert report.identical, report
        return output


def later(graph: Graph) -> None:
    graph.add_node("between", lambda middle: middle * 100)
    graph.add_node("last", lambda between, first: between + first)


async def test_a_run_is_pinned_to_its_code_by_default() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    seq = await store.head("r")  # type: ignore[arg-type]  # an id
    async with Engine(store, recover=False) as engine:
        with pytest.raises(CodeChangedError) as caught:
            await engine.resume("r", graph_of(opened(), later))
    assert "node 'last' was changed" in str(caught.value)
    assert "node 'between' was added" in str(caught.value)
    assert "on_change='upgrade'" in str(caught.value)
    assert caught.value.changes
    assert await store.head("r") == seq  # type: ignore[arg-type]  # an id


async def test_what_has_not_begun_may_be_another_in_an_upgrade() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    assert await gone_on(store, graph_of(opened(), later, "2")) == 201
    async with Engine(store) as engine:
        events = await history(engine.run("r"))
        state = await engine.run("r").state()
    (upgraded,) = [event for event in events if event.type == "graph.upgraded"]
    assert types(events)[upgraded.seq - 2] == "run.resumed"
    assert upgraded.data["code"] == "2"
    assert (state.code, list(state.activations)) == (
        "2",
        ["first#1", "middle#1", "between#1", "last#1"],
    )


async def test_a_graph_says_itself_what_becomes_of_its_runs() -> None:
    new = graph_of(opened(), later)
    new.on_change = "upgrade"
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    async with Engine(store, graphs=[new], recover=False) as engine:
        (run,) = await engine.recover()
        assert await run == 201


async def test_who_resumes_decides_before_the_graph_and_the_graph_before_the_engine() -> None:
    new = graph_of(opened(), later)
    new.on_change = "pin"
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    async with Engine(store, graphs=[new], on_change="upgrade", recover=False) as engine:
        with pytest.raises(CodeChangedError):
            await engine.resume("r")
        assert await (await engine.resume("r", on_change="upgrade")) == 201


def test_a_graph_refuses_a_policy_that_there_is_not() -> None:
    with pytest.raises(GraphError, match="on_change must be 'pin' or 'upgrade', or None"):
        Graph("g", on_change="guess")  # type: ignore[arg-type]  # what is refused


async def test_an_engine_upgrades_what_it_recovers() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    new = graph_of(opened(), later)
    async with Engine(store, graphs=[new], on_change="upgrade", recover=False) as engine:
        (run,) = await engine.recover()
        assert await run == 201
    async with Engine(store, graphs=[graph_of(opened())], recover=False) as engine:
        assert not (await engine.run("r").replay()).identical


async def test_another_version_of_the_same_shape_is_other_code() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    with pytest.raises(CodeChangedError, match="version '' is now '2'"):
        await gone_on(store, graph_of(opened(), None, "2"), "pin")
    assert await gone_on(store, graph_of(opened(), None, "2")) == 20


def changed_middle(door: Door) -> Graph:
    graph = Graph("g")
    graph.add_node("first", lambda n: n)
    graph.add_node("middle", lambda first: first, timeout=3.0)
    graph.add_node("last", lambda middle: middle)
    return graph


def without_first(door: Door) -> Graph:
    graph = Graph("g")
    graph.add_node("middle", lambda n: n)
    return graph


def wants_more(door: Door) -> Graph:
    return graph_of(opened(), lambda g: g.add_node("last", lambda middle, more: middle))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (changed_middle, "node 'middle' was changed (timeout"),
        (without_first, "node 'first' was removed, and has begun"),
        (wants_more, "takes an input 'more', which the run was not given"),
    ],
)
async def test_what_has_begun_must_be_the_same(make: Callable[[Door], Graph], said: str) -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    with pytest.raises(CodeChangedError) as caught:
        await gone_on(store, make(opened()))
    assert said in str(caught.value)
    assert "midstream fork r --at" in str(caught.value)
    assert await gone_on(store, graph_of(opened())) == 20


async def test_a_new_variable_is_an_input_from_then_on() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    new = graph_of(opened(), lambda g: g.add_node("last", lambda middle, more: middle + more))
    new.variables = {"more": 5, "n": 7}
    assert await gone_on(store, new) == 7


async def test_a_run_that_is_being_cancelled_needs_no_code_of_its_own() -> None:
    store = MemoryStore()
    await stopped(store, graph_of, n=1)
    async with Engine(store, recover=False) as engine:
        await engine.run("r").cancel()
        run = await engine.resume("r", changed_middle(opened()))
        with pytest.raises(RunCancelledError):
            await run


def growing(door: Door, *, more: bool = False) -> Graph:
    graph = Graph("grown")
    graph.function(tripled)

    @graph.node(output=True)
    async def first(n: int, ctx: Context) -> int:
        ctx.add_node("added", "tripled", take={"number": "first"}, output=True)
        return n

    @graph.node(output=True)
    async def middle(first: int, ctx: Context) -> int:
        await ctx.do(door, effect="read")
        return first

    if more:
        graph.add_node("more", lambda middle: -middle, output=True)
    return graph


def tripled(number: int) -> int:
    return 3 * number


def around(door: Door, inner: Graph) -> Graph:
    graph = Graph("outer")

    @graph.node
    async def wait(n: int, ctx: Context) -> int:
        await ctx.do(door, effect="read")
        return n

    graph.add_node("research", inner, take={"n": "wait"})
    return graph


def inner_graph(factor: int, *, more: bool = False, door: Door | None = None) -> Graph:
    inner = Graph("inner")

    @inner.node
    async def work(n: int, ctx: Context) -> int:
        if door is not None:
            await ctx.do(door, effect="read")
        return n * factor

    if more:
        inner.add_node("more", lambda work: work + 1)
    return inner


async def test_a_graph_inside_that_has_not_begun_may_be_another() -> None:
    store = MemoryStore()
    await stopped(store, lambda door: around(door, inner_graph(2)), n=5)
    with pytest.raises(CodeChangedError, match="node 'more' of graph 'inner' was added"):
        await gone_on(store, around(opened(), inner_graph(2, more=True)), "pin")
    assert await gone_on(store, around(opened(), inner_graph(3, more=True))) == 16


async def test_a_graph_inside_that_has_begun_must_be_the_same() -> None:
    store = MemoryStore()
    await stopped(store, lambda door: around(opened(), inner_graph(2, door=door)), n=5)
    with pytest.raises(CodeChangedError, match="that graph has begun"):
        await gone_on(store, around(opened(), inner_graph(2, more=True, door=opened())))
    assert await gone_on(store, around(opened(), inner_graph(2, door=opened()))) == 10


@pytest.mark.parametrize("inside", [False, True])
async def test_a_graph_that_the_run_has_added_and_begun_must_be_the_same(inside: bool) -> None:
    def build(door: Door, *, more: bool) -> Graph:
        inner, middle, graph = inner_graph(2, more=more, door=door), Graph("middle"), Graph("outer")
        adds = middle if inside else graph

        @adds.node
        async def first(n: int, ctx: Context) -> None:
            ctx.add_node("late", "inner", args={"n": n}, output=True)

        adds.register(inner)
        if inside:
            graph.subgraph("middle", middle)
        return graph

    store = MemoryStore()
    await stopped(store, lambda door: build(door, more=False), n=5)
    with pytest.raises(
        CodeChangedError, match=r"'more' of graph 'inner' was added.* that graph has begun"
    ):
        await gone_on(store, build(opened(), more=True))
    assert await gone_on(store, build(opened(), more=False)) == 10


async def test_nodes_that_the_run_has_added_stay() -> None:
    store = MemoryStore()
    await stopped(store, growing, n=2)
    new = growing(opened(), more=True)
    assert await gone_on(store, new) == {"first": 2, "middle": 2, "added": 6, "more": -2}


async def test_a_node_that_the_run_has_added_keeps_its_name() -> None:
    store = MemoryStore()
    await stopped(store, growing, n=2)
    new = growing(opened())
    new.add_node("added", lambda middle: 0)
    with pytest.raises(CodeChangedError, match="the run has added one of that name"):
        await gone_on(store, new)


def looping(door: Door, *, more: bool = False) -> Graph:
    graph = Graph("loop")

    @graph.node
    async def work(ctx: Context, round: int = 1) -> int:
        if round == 2:
            await ctx.do(door, effect="read")
        return round

    @graph.node
    def judge(work: int, ctx: Context) -> int:
        if work < 3:
            ctx.goto("work", round=work + 1)
        return work

    @graph.node(output=True)
    def publish(judge: int) -> int:
        return judge

    if more:
        graph.add_node("audit", lambda publish: f"audited {publish}", output=True)
    return graph


async def test_an_upgrade_in_the_middle_of_a_loop_goes_on_with_the_loop() -> None:
    store = MemoryStore()
    await stopped(store, looping)
    assert await gone_on(store, looping(opened(), more=True)) == {
        "publish": 3,
        "audit": "audited 3",
    }


def test_releases_that_knew_nothing_of_optional_values_recorded_the_same_graph() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)

    def late(a: int = 0) -> int:
        return a

    graph.add_node("b", late)
    now: Any = graph.definition
    before = {
        "nodes": {
            name: {k: v for k, v in data.items() if k != "optional"}
            for name, data in now["nodes"].items()
        }
    }
    assert "optional" in now["nodes"]["b"]
    assert node_changes(before, now) == ()
    assert len(node_changes(now, before)) == 1


def test_a_policy_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ConfigError, match="on_change must be 'pin' or 'upgrade'"):
        Engine.memory(on_change="guess")


NAMES = ("a", "b", "c", "d", "e")


def drawn(edges: Mapping[str, set[str]], door: Door) -> Graph:
    """Return a graph of nodes that tell what they were given, of which `gate` waits at the door."""
    graph = Graph("drawn")

    @graph.node
    async def gate(ctx: Context) -> str:
        await ctx.do(door, effect="read")
        return "gate"

    def telling(name: str) -> Callable[..., Any]:
        def tell(*given: Any) -> Any:
            return [name, *given]

        return tell

    for name, needs in edges.items():
        graph.add_node(name, telling(name), after=sorted(needs), inputs="each", output=True)
    return graph


@st.composite
def two_versions(draw: st.DrawFn) -> tuple[dict[str, set[str]], dict[str, set[str]]]:
    """Two graphs over the same names, alike in all that does not depend on the gate."""

    def shape() -> dict[str, set[str]]:
        made: dict[str, set[str]] = {}
        for place, name in enumerate(NAMES[: draw(st.integers(1, 5))]):
            before = [*NAMES[:place], "gate"]
            made[name] = draw(st.sets(st.sampled_from(before), max_size=3)) & {*made, "gate"}
        return made

    old, new = shape(), shape()
    free = {name for name in old if not depends(old, name)}
    for name in sorted(free):
        new[name] = old[name]
    ordered = {name: new[name] for name in NAMES if name in new}
    for name in ordered:
        if name not in old and not depends(ordered, name):
            ordered[name] = {*ordered[name], "gate"}
        if name in old and name not in free and not depends(ordered, name):
            ordered[name] = {*ordered[name], "gate"}
    return old, ordered


def depends(edges: Mapping[str, set[str]], name: str) -> bool:
    """Say whether a node waits for the gate, by whatever way."""
    return "gate" in edges[name] or any(one in edges and depends(edges, one) for one in edges[name])


@settings(deadline=None, max_examples=60)
@given(versions=two_versions())
def test_an_upgraded_run_ends_as_one_that_began_with_the_new_code(
    versions: tuple[dict[str, set[str]], dict[str, set[str]]],
) -> None:
    old, new = versions

    async def both() -> tuple[Any, Any]:
        store = MemoryStore()
        await stopped(store, lambda door: drawn(old, door))
        async with Engine.memory() as engine:
            expected = await (await engine.start(drawn(new, opened())))
        return await gone_on(store, drawn(new, opened())), expected

    found, expected = asyncio.run(both())
    assert found == expected


# Patches


def patching(door: Door, said: list[str], *, patch: bool, steps: int = 2) -> Graph:
    graph = Graph("p")

    @graph.node(output=True)
    async def work(ctx: Context, round: int = 1) -> int:
        if patch and await ctx.patched("shorter"):
            said.append(f"{ctx.step} new")
        else:
            said.append(f"{ctx.step} old")
            await ctx.now()
        if round == 1:
            await ctx.uuid()
            await ctx.do(door, effect="read")
        if round < steps:
            ctx.goto("work", round=round + 1)
        return round

    return graph


async def test_what_was_recorded_without_a_patch_takes_the_old_path_and_the_rest_the_new_one() -> (
    None
):
    store, said = MemoryStore(), list[str]()
    await stopped(store, lambda door: patching(door, said, patch=False))
    new = patching(opened(), said, patch=True)
    assert await gone_on(store, new, "pin") == 2
    # once by the old code, once resumed, once new; then a replay of both stretches
    assert said[:3] == ["work#1 old", "work#1 old", "work#2 new"]
    assert said[3:] == ["work#1 old", "work#1 old", "work#2 new"]
    async with Engine(store) as engine:
        marks = [
            e.address for e in await history(engine.run("r")) if "patched" in (e.address or "")
        ]
    assert marks == ["work#2/patched:shorter#1"]


async def test_a_patch_is_recorded_once_and_the_path_kept_by_whoever_resumes() -> None:
    store, said = MemoryStore(), list[str]()
    await stopped(store, lambda door: patching(door, said, patch=True))
    assert await gone_on(store, patching(opened(), said, patch=True), "pin") == 2
    assert {one for one in said if "old" in one} == set()


async def test_an_activation_that_had_recorded_nothing_takes_the_new_path() -> None:
    store, said = MemoryStore(), list[str]()

    def waiting(door: Door, *, patch: bool) -> Graph:
        graph = Graph("w")

        @graph.node
        async def work(ctx: Context) -> bool:
            await door()
            return patch and await ctx.patched("shorter")

        return graph

    await stopped(store, lambda door: waiting(door, patch=False))
    assert await gone_on(store, waiting(opened(), patch=True), "pin") is True
    assert said == []


async def test_two_branches_agree_on_a_patch_in_every_mode() -> None:
    graph = Graph("b")

    @graph.node
    async def work(ctx: Context) -> list[bool]:
        async def branch() -> bool:
            taken = await ctx.patched("x")
            await ctx.now()
            return taken and await ctx.patched("x")

        return [*await asyncio.gather(branch(), branch(), branch())]

    for always in (False, True):
        async with Engine.memory(always_replay=always) as engine:
            run = await engine.start(graph)
            assert await run == [True, True, True]
            assert (await run.replay()).identical


async def test_a_patch_has_a_name() -> None:
    graph = Graph("b")

    @graph.node
    async def work(ctx: Context) -> bool:
        return await ctx.patched("no name")

    async with Engine.memory() as engine:
        with pytest.raises(RunFailedError, match="an id begins with a letter"):
            await (await engine.start(graph))
