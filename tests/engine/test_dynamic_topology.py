"""A running graph that changes itself: what may be changed, when it takes effect, and that it survives the process."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import pytest

from midstream import Context, Engine, From, Graph
from midstream.errors import GraphError, RunFailedError, TopologyError
from midstream.events.memory import MemoryStore
from tests.engine.stage import Door, TellingStore, history, types


def workshop(choose: Callable[[Context], None], door: Door | None = None) -> Graph:
    """Return a graph whose one node changes it, with functions to make nodes of."""
    graph = Graph("workshop")

    @graph.node(name="choose", output=True)
    async def chosen(ctx: Context) -> str:
        choose(ctx)
        return "chosen"

    @graph.node
    async def beside() -> int:
        if door is not None:
            await door()
        return 7

    @graph.node
    async def last(beside: int) -> int:
        return beside

    @graph.function
    def double(number: int) -> int:
        return 2 * number

    @graph.function
    def add(one: int, other: int) -> int:
        return one + other

    @graph.function
    def gather(results: list[Any]) -> list[Any]:
        return results

    return graph


async def outcome(choose: Callable[[Context], None]) -> Any:
    async with Engine.memory() as engine:
        return await (await engine.start(workshop(choose)))


async def test_a_node_that_is_added_runs_when_the_one_that_added_it_has_completed() -> None:
    def choose(ctx: Context) -> None:
        ctx.add_node("twice", "double", args={"number": 21}, output=True)

    async with Engine.memory() as engine:
        run = await engine.start(workshop(choose))
        assert await run == {"choose": "chosen", "twice": 42}
        events = await history(run)
    kinds = types(events)
    assert kinds.index("node.added") + 1 == kinds.index("node.completed", kinds.index("node.added"))
    added = next(event for event in events if event.type == "node.added")
    assert added.address == "choose#1"
    assert added.data["definition"] == {
        "function": "double",
        "args": {"number": 21},
        "output": True,
    }


async def test_workers_and_who_waits_for_them_keep_the_order_they_were_named_in() -> None:
    def choose(ctx: Context) -> None:
        for number in (3, 1, 2):
            ctx.add_node(f"w{number}", "double", args={"number": number})
        ctx.add_node("all", "gather", after=["w3", "w1", "w2"], inputs="merge", output=True)

    assert await outcome(choose) == {"choose": "chosen", "all": [6, 2, 4]}


@pytest.mark.parametrize(
    ("inputs", "after", "expected"),
    [("each", ["w1", "w2"], 6), ("unpack", ["pair"], 5), ("none", ["w1"], 30)],
)
async def test_outputs_become_arguments_as_the_node_says(
    inputs: Any, after: list[str], expected: int
) -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> None:
        ctx.add_node("w1", "double", args={"number": 1})
        ctx.add_node("w2", "double", args={"number": 2})
        ctx.add_node("pair", "two", after=["w1", "w2"], inputs="each")
        ctx.add_node("sum", "add", after=after, inputs=inputs, output=True)

    graph.register(lambda number: 2 * number, name="double")
    graph.register(lambda one=10, other=20: one + other, name="add")
    graph.register(lambda one, other: {"one": one, "other": other - 1}, name="two")
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == expected


async def test_any_number_of_outputs_can_be_taken_by_a_function_that_takes_any_number() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda: 2)
    graph.add_node("all", lambda first, *rest: [first, rest], after=["a", "b"], inputs="each")
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == [1, [2]]


async def test_an_added_node_takes_outputs_and_inputs_by_the_names_of_its_parameters() -> None:
    graph = Graph("g")

    @graph.node
    async def first(ctx: Context) -> int:
        ctx.add_node("second", "both", output=True)
        return 5

    @graph.function
    def both(value: Annotated[int, From("first")], more: int) -> int:
        return value + more

    graph.add_node("takes", lambda more: more)
    async with Engine.memory() as engine:
        assert await (await engine.start(graph, more=4)) == 9


async def test_edges_may_be_added_and_nodes_and_edges_removed_before_they_are_needed() -> None:
    graph = Graph("g")
    order: list[str] = []

    @graph.node
    async def choose(ctx: Context) -> None:
        ctx.add_node("extra", "note", args={"name": "extra"})
        ctx.add_edge("extra", "end")
        ctx.remove_edge("choose", "early")
        ctx.remove_node("useless")
        ctx.add_edge("early", "end", to="word")

    @graph.function
    def note(name: str) -> str:
        order.append(name)
        return name

    @graph.node(after=["choose"])
    async def early() -> str:
        return note("early")

    @graph.node(after=["choose"])
    async def useless() -> str:
        return note("useless")

    @graph.node(after=["choose", "useless"], output=True)
    async def end(word: str = "nothing") -> str:
        note("end")
        return word

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == "early"
        state = await run.state()
    assert sorted(order[:-1]) == ["early", "extra"]
    assert order[-1] == "end"
    assert "useless" not in state.topology.nodes
    assert state.topology.nodes["end"].waits_for == ("choose", "extra", "early")


def _given(ctx: Context) -> None:
    ctx.add_node("new", "double", args={"number": 1})
    ctx.add_edge("new", "last", to="beside")


def _given_then_taken_away(ctx: Context) -> None:
    _given(ctx)
    ctx.remove_node("new")


def _given_then_cut(ctx: Context) -> None:
    _given(ctx)
    ctx.remove_edge("new", "last")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda ctx: ctx.add_node("x", "unknown"), "there is no function 'unknown'"),
        (lambda ctx: ctx.add_node("x", lambda: 1), "does not know the function '<lambda>'"),
        (
            lambda ctx: ctx.add_node("last", "double", args={"number": 1}),
            "has a node 'last' already",
        ),
        (lambda ctx: ctx.add_node("x y", "double"), "node name 'x y' must begin with a letter"),
        (lambda ctx: ctx.add_node("x", "double"), "parameter 'number' of node 'x' has no value"),
        (lambda ctx: ctx.add_node("x", "double", args={"n": 1}), "has no parameter 'n'"),
        (lambda ctx: ctx.add_node("x", "double", args={"number": []}), "argument 'number' wants"),
        (lambda ctx: ctx.add_node("x", "gather", after=["no"], inputs="merge"), "no node 'no'"),
        (lambda ctx: ctx.add_node("x", "double", compensate=lambda: 1), "must name a node"),
        (
            lambda ctx: ctx.add_node("x", "double", on_failure="last", args={"number": 1}),
            "start=False",
        ),
        (
            lambda ctx: ctx.add_node("x", "double", on_failure="no", args={"number": 1}),
            "graph 'workshop' has no node 'no'",
        ),
        (lambda ctx: ctx.add_node("x", "double", join=3, args={"number": 1}), "join=3, but"),
        (lambda ctx: ctx.remove_node("no"), "has no node 'no'; there are choose, beside, last"),
        (lambda ctx: ctx.remove_node("choose"), "node 'choose' runs, so it cannot be removed"),
        (lambda ctx: ctx.remove_node("beside"), "node 'beside' runs"),
        (lambda ctx: ctx.add_edge("no", "last"), "no node 'no'; there are"),
        (lambda ctx: ctx.add_edge("last", "beside"), "node 'beside' runs, so what it waits for"),
        (lambda ctx: ctx.add_edge("beside", "last"), "waits for 'beside' already"),
        (lambda ctx: ctx.add_edge("choose", "last", to="no"), "no free parameter 'no'"),
        (lambda ctx: ctx.add_edge("last", "last"), "would close a cycle"),
        (lambda ctx: ctx.remove_edge("choose", "last"), "does not wait for 'choose'"),
        (lambda ctx: ctx.remove_edge("beside", "last"), "takes the output of 'beside'"),
        (_given_then_taken_away, "node 'last' takes the output of 'new'; remove that node first"),
        (_given_then_cut, "node 'last' takes the output of 'new'; the edge goes with"),
    ],
)
async def test_what_cannot_be_changed_is_refused_before_anything_is_recorded(
    change: Callable[[Context], None], found: str
) -> None:
    async with Engine.memory() as engine:
        door = Door()

        def choose(ctx: Context) -> None:
            door.open()
            change(ctx)

        run = await engine.start(workshop(choose, door))
        with pytest.raises(RunFailedError, match=r"choose#1: \w+Error: .*" + found):
            await run
        kinds = set(types(await history(run)))
    assert not {kind for kind in kinds if kind.startswith("edge.") or kind == "node.added"}


async def test_a_cycle_among_added_nodes_is_refused() -> None:
    def choose(ctx: Context) -> None:
        ctx.add_node("a", "gather", after=["last"], inputs="merge")
        ctx.add_node("b", "gather", after=["a"], inputs="merge")
        ctx.add_edge("b", "a")

    with pytest.raises(RunFailedError, match="an edge b → a would close a cycle; go back with"):
        await outcome(choose)


def race(choose: Callable[[Context], None]) -> Graph:
    """Return a graph whose one node changes what joins of some wait for."""
    graph = Graph("race")
    graph.add_node("choose", choose)
    for name in ("a", "b", "c"):
        graph.add_node(name, lambda: 1, after=["choose"])
    graph.add_node("two_of", lambda: "two", after=["a", "b", "c"], join=2)
    graph.add_node("one_of", lambda: "one", after=["c"], join="any")
    graph.add_node("folds", lambda total, value: total, after=["c"], join="reduce")
    graph.register(lambda: 1, name="one")
    return graph


def _twice(ctx: Context) -> None:
    ctx.remove_edge("a", "two_of")
    ctx.remove_edge("b", "two_of")


def _added_then_taken_away(ctx: Context) -> None:
    ctx.add_node("new", "one", after=["a", "b"], join=2)
    ctx.remove_edge("a", "new")


def _added_and_removed(ctx: Context) -> None:
    ctx.add_node("late", "one")
    ctx.add_edge("late", "two_of")
    ctx.remove_edge("a", "two_of")
    ctx.remove_edge("b", "two_of")
    ctx.remove_node("late")


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (
            _twice,
            "node 'two_of' of join=2 has to wait for at least 2, and without 'b' it would wait for 1",
        ),
        (_added_then_taken_away, "node 'new' of join=2 .* without 'a'"),
        (_added_and_removed, "node 'two_of' of join=2 .* without 'late'"),
        (lambda ctx: ctx.remove_edge("c", "one_of"), "node 'one_of' of join='any'"),
        (lambda ctx: ctx.remove_edge("c", "folds"), "node 'folds' of join='reduce'"),
        (lambda ctx: ctx.remove_node("c"), "node 'one_of' of join='any' .* without 'c'"),
    ],
)
async def test_a_join_cannot_be_left_fewer_nodes_than_it_needs(
    change: Callable[[Context], None], found: str
) -> None:
    caught: list[TopologyError] = []

    def choose(ctx: Context) -> None:
        try:
            change(ctx)
        except TopologyError as error:
            caught.append(error)
            raise

    async with Engine.memory() as engine:
        run = await engine.start(race(choose))
        with pytest.raises(RunFailedError, match=f"run of graph 'race': .*{found}.*; have it wait"):
            await run
        kinds = set(types(await history(run)))
    assert kinds.isdisjoint({"node.added", "edge.added", "edge.removed"})
    assert caught[0].node in ("two_of", "one_of", "folds", "new")


async def test_a_join_that_waits_for_another_one_instead_may_lose_one() -> None:
    def choose(ctx: Context) -> None:
        for name in ("x", "y"):
            ctx.add_node(name, "one")
            ctx.add_edge(name, "two_of")
        for name in ("a", "b", "c"):
            ctx.remove_edge(name, "two_of")

    async with Engine.memory() as engine:
        run = await engine.start(race(choose))
        assert (await run)["two_of"] == "two"
        state = await run.state()
    assert state.topology.nodes["two_of"].waits_for == ("x", "y")


async def test_of_two_who_take_from_one_join_the_one_that_ends_first_may() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def quick(ctx: Context) -> None:
        ctx.remove_edge("a", "join")

    @graph.node
    async def slow(ctx: Context) -> None:
        ctx.remove_edge("b", "join")
        await door()

    @graph.node(after=["quick"])
    async def opens() -> None:
        door.open()

    for name in ("a", "b", "c"):
        graph.add_node(name, lambda: 1, after=["opens", "slow"])
    graph.add_node("join", lambda: 1, after=["a", "b", "c"], join=2)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        with pytest.raises(
            RunFailedError, match=r"slow#1: TopologyError: .* node 'join' of join=2"
        ):
            await run
        assert types(await history(run)).count("edge.removed") == 1


async def test_a_node_that_is_added_removed_and_added_again_in_one_change_is_the_last_one() -> None:
    def choose(ctx: Context) -> None:
        ctx.add_node("x", "one", after=["a"])
        ctx.add_edge("x", "two_of")
        ctx.remove_node("x")
        ctx.add_node("x", "one", after=["b"])
        ctx.add_edge("x", "one_of")

    async with Engine.memory() as engine:
        run = await engine.start(race(choose))
        await run
        nodes = (await run.state()).topology.nodes
    assert nodes["x"].waits_for == ("b",)
    assert nodes["one_of"].waits_for == ("c", "x")
    assert nodes["two_of"].waits_for == ("a", "b", "c")


async def test_the_last_output_cannot_be_removed() -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> None:
        ctx.remove_node("out")

    @graph.node(after=["choose"], output=True)
    async def out() -> int:
        return 1

    with pytest.raises(RunFailedError, match="without node 'out' the run would have no output"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_a_node_that_has_run_cannot_be_removed() -> None:
    graph = Graph("g")
    graph.add_node("first", lambda: 1)

    @graph.node(after=["first"])
    async def choose(ctx: Context) -> None:
        ctx.remove_node("first")

    with pytest.raises(RunFailedError, match="node 'first' has run, so it cannot be removed"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))


async def test_of_two_changes_that_exclude_each_other_the_one_that_ends_first_is_made() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def quick(ctx: Context) -> None:
        ctx.add_node("x", "value")

    @graph.node
    async def slow(ctx: Context) -> None:
        ctx.add_node("x", "value")
        await door()

    @graph.node(after=["x"], start=False)
    async def never() -> None: ...

    @graph.node(after=["quick"])
    async def opens() -> None:
        door.open()

    graph.nodes.pop("never")
    graph.register(lambda: 1, name="value")
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        with pytest.raises(
            RunFailedError, match=r"slow#1: TopologyError: .* has a node 'x' already"
        ):
            await run
        assert types(await history(run)).count("node.added") == 1


async def test_changes_and_the_end_of_who_made_them_are_one_append() -> None:
    def choose(ctx: Context) -> None:
        for number in range(3):
            ctx.add_node(f"w{number}", "double", args={"number": number})

    store = TellingStore(MemoryStore())
    async with Engine(store) as engine:
        await (await engine.start(workshop(choose)))
    changed = [append for append in store.appends if "node.added" in append]
    assert len(changed) == 1
    place = changed[0].index("node.added")
    assert changed[0][place : place + 4] == (*["node.added"] * 3, "node.completed")


async def test_a_changed_graph_is_the_same_after_a_resume_in_another_process() -> None:
    def build(door: Door) -> Graph:
        graph = Graph("g")

        @graph.node(name="choose")
        async def chosen(ctx: Context) -> int:
            for number in (1, 2):
                ctx.add_node(f"w{number}", "work", args={"number": number})
            ctx.add_node("all", "gather", after=["w1", "w2"], inputs="merge", output=True)
            return 0

        @graph.function
        async def work(number: int) -> int:
            await door()
            return 10 * number

        graph.register(lambda found: found, name="gather")
        return graph

    store, door = MemoryStore(), Door()
    async with Engine(store) as engine:
        await engine.start(build(door), run_id="r")
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second)]) as engine:
        assert await (await engine.resume("r")) == [10, 20]


async def test_a_run_without_the_code_of_an_added_node_says_what_is_missing() -> None:
    door = Door()

    def build(*, whole: bool) -> Graph:
        graph = Graph("g")

        @graph.node(name="choose")
        async def chosen(ctx: Context) -> None:
            ctx.add_node("w", "work")

        if whole:
            graph.register(door, name="work")
        return graph

    store = MemoryStore()
    async with Engine(store) as engine:
        await engine.start(build(whole=True), run_id="r")
        await door.reached()
    async with Engine(store, graphs=[build(whole=False)]) as engine:
        run = await engine.resume("r")
        with pytest.raises(GraphError, match="there is no function 'work'"):
            await run


def test_the_same_verbs_change_a_graph_before_it_runs() -> None:
    graph = Graph("g")
    graph.register(lambda: 1, name="one")
    graph.add_node("a", "one")
    graph.add_node("b", "one")
    graph.add_node("c", lambda value=0: value)
    graph.add_edge("a", "b")
    graph.add_edge("b", "c", to="value")
    assert graph.definition["nodes"] == {
        "a": {},
        "b": {"after": ["a"]},
        "c": {"values": {"value": "b"}, "optional": ["b"]},
    }
    graph.remove_edge("a", "b")
    graph.remove_node("a")
    assert graph.definition["nodes"] == {
        "b": {},
        "c": {"values": {"value": "b"}, "optional": ["b"]},
    }


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda graph: graph.remove_node("x"), "no node 'x'; there are a, b, c, "),
        (lambda graph: graph.remove_node("a"), "node 'b' takes the output of 'a'"),
        (lambda graph: graph.remove_edge("a", "b"), "parameter 'a' of node 'b' takes the output"),
        (lambda graph: graph.remove_edge("b", "c"), "'c' does not wait for 'b'"),
        (lambda graph: graph.add_edge("a", "c", to="no"), "no free parameter 'no'"),
        (lambda graph: graph.add_edge("a", "x"), "no node 'x'"),
        (
            lambda graph: graph.remove_edge("c", "two_of"),
            "node 'two_of' of join=2 has to wait for at least 2, and without 'c' it would wait for 1; have it wait for "
            "another one first, with add_edge, or remove it before",
        ),
        (lambda graph: graph.remove_node("c"), "node 'two_of' of join=2 .* without 'c'"),
        (lambda graph: graph.remove_edge("c", "one_of"), "node 'one_of' of join='any'"),
        (lambda graph: graph.remove_edge("c", "folds"), "node 'folds' of join='reduce'"),
        (lambda graph: graph.register(abs, name="one"), "has another function 'one'"),
        (lambda graph: graph.add_node("d", "two"), "there is no function 'two'; there are"),
    ],
)
def test_a_wrong_change_of_a_graph_is_refused(change: Callable[[Graph], Any], found: str) -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda a: a)
    graph.add_node("c", lambda: 1)
    graph.add_node("two_of", lambda: 1, after=["c"], when=lambda b: b, join=2)
    graph.add_node("one_of", lambda: 1, after=["c"], join="any")
    graph.add_node("folds", lambda total, value: value, after=["c"], join="reduce")
    graph.register(str, name="one")
    before = dict(graph.nodes)
    with pytest.raises(GraphError, match=found):
        change(graph)
    assert graph.nodes == before


def test_a_name_that_several_functions_share_does_not_name_one() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda: 2)
    with pytest.raises(GraphError, match="several nodes have functions '<lambda>'"):
        graph.function_named("<lambda>")
    assert graph.function_named("b")() == 2


async def test_a_list_is_distributed_over_the_successors_in_their_order() -> None:
    graph = Graph("g")
    graph.add_node("split", lambda: ["x", "y"], distribute=True)
    graph.add_node("a", lambda split: f"a{split}")
    graph.add_node("b", lambda split: f"b{split}")
    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == {"a": "ax", "b": "by"}


async def test_a_list_of_another_length_than_there_are_successors_fails_the_node_that_gave_it() -> (
    None
):
    graph = Graph("g")
    graph.add_node("split", lambda: ["x", "y", "z"], distribute=True)
    graph.add_node("a", lambda split: split)
    with pytest.raises(RunFailedError, match=r"split#1: bad_value: .* a list of 1 items"):
        async with Engine.memory() as engine:
            await (await engine.start(graph))
