"""Joins that need not wait for all, and nodes that run once for each item."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest

from midstream import Context, Continue, Engine, Graph, Limits, Retry
from midstream.errors import GraphError, RunFailedError
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from tests.engine.stage import Door, JumpingClock, TellingStore, history, types


async def run_of(graph: Graph, **inputs: Any) -> tuple[Any, list[Event]]:
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph, **inputs)
        return await run, await history(run)


def skipped(events: list[Event]) -> dict[str, str]:
    return {str(e.address): e.data["reason"] for e in events if e.type == "node.skipped"}


async def test_of_any_the_first_wins_and_the_losers_are_ended_with_the_cause_in_the_log() -> None:
    graph = Graph("race")
    ended: list[str] = []

    @graph.node
    async def quick() -> str:
        return "quick"

    @graph.node
    async def slow(ctx: Context) -> str:
        try:
            await ctx.sleep(1e9)
            await asyncio.Event().wait()
        finally:
            ended.append("slow")
        return "slow"

    @graph.node
    async def further(slow: str) -> str:
        return slow

    @graph.node(join="any", after=["quick", "further"], inputs="merge")
    async def first(found: list[str]) -> list[str]:
        return found

    before = asyncio.all_tasks()
    output, events = await run_of(graph)
    assert output == ["quick"]
    assert skipped(events) == {
        "slow#1": "first#1 has enough without it",
        "further#1": "first#1 has enough without it",
    }
    assert ended in (["slow"], [])  # it may not have begun
    assert asyncio.all_tasks() == before


async def test_a_loser_that_will_not_be_ended_can_do_nothing_any_more() -> None:
    graph = Graph("race")
    door = Door()

    @graph.node
    async def quick() -> str:
        await door.reached()
        return "quick"

    @graph.node
    async def stubborn(ctx: Context) -> str:
        with suppress(asyncio.CancelledError):
            await door()
        await ctx.note("still here")
        return "stubborn"

    @graph.node(join="any")
    async def first(quick: str = "", stubborn: str = "") -> str:
        return quick or stubborn

    output, events = await run_of(graph)
    assert output == "quick"
    assert "note.added" not in types(events)
    assert [e.type for e in events if e.address == "stubborn#1"] == [
        "node.scheduled",
        "node.skipped",
    ]


async def test_open_calls_of_a_loser_are_closed() -> None:
    graph = Graph("race")
    door = Door()

    async def tool() -> None:
        await door()

    @graph.node
    async def quick() -> str:
        await door.reached()
        return "quick"

    @graph.node
    async def slow(ctx: Context) -> None:
        await ctx.do(tool, effect="read")

    @graph.node(join="any")
    async def first(quick: str = "", slow: str = "") -> str:
        return quick

    _, events = await run_of(graph)
    assert [e.type for e in events if str(e.address).startswith("slow#1/")] == [
        "tool.requested",
        "tool.failed",
    ]


async def test_what_somebody_else_waits_for_is_not_ended() -> None:
    graph = Graph("race")

    @graph.node
    async def quick() -> str:
        return "quick"

    @graph.node
    async def slow() -> str:
        await asyncio.sleep(0.01)
        return "slow"

    @graph.node(join="any", output=True)
    async def first(quick: str = "", slow: str = "") -> str:
        return quick or slow

    @graph.node(output=True)
    async def other(slow: str) -> str:
        return slow

    output, events = await run_of(graph)
    assert output == {"first": "quick", "other": "slow"}
    assert skipped(events) == {}


async def test_two_of_three_are_enough() -> None:
    graph = Graph("quorum")

    def voter(name: str, delay: int) -> Callable[..., Any]:
        async def vote() -> str:
            for _ in range(delay):
                await asyncio.sleep(0)
            return name

        return vote

    for name, delay in (("a", 1), ("b", 300), ("c", 5)):
        graph.add_node(name, voter(name, delay))
    graph.add_node(
        "most", lambda found: sorted(found), after=["a", "b", "c"], join=2, inputs="merge"
    )
    output, events = await run_of(graph)
    assert output == ["a", "c"]
    assert set(skipped(events)) == {"b#1"}


async def test_a_join_that_can_no_longer_have_enough_is_skipped() -> None:
    graph = Graph("quorum")
    graph.add_node("start", lambda: 1)
    for name in ("a", "b"):
        graph.add_node(name, lambda start: start, when=lambda start: start > 1)
    graph.add_node("most", lambda found: len(found), after=["a", "b"], join="any", inputs="merge")
    output, events = await run_of(graph)
    assert output is None
    assert skipped(events)["most#1"] == "only 0 of 1 it needs have completed"


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"join": 3, "after": ["a", "b"]}, "join=3, but it waits for 2 nodes only"),
        (
            {"join": 0, "after": ["a"]},
            "join must be 'all', 'any', 'reduce' or a number from 1, not 0",
        ),
        ({"join": "some", "after": ["a"]}, "join must be 'all'"),
        ({"join": "any"}, "it waits for nothing"),
    ],
)
def test_a_join_that_makes_no_sense_is_refused(options: Any, found: str) -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda: 1)
    with pytest.raises(GraphError, match=found):
        _defined(graph, options)


def _defined(graph: Graph, options: Any) -> None:
    graph.add_node("c", lambda: 1, **options)
    _ = graph.definition


def test_a_join_of_some_has_to_do_without_the_others() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda: 1)
    graph.add_node("c", lambda a, b: a, join="any")
    with pytest.raises(GraphError, match="parameter 'a' may get no value: give it a default"):
        _ = graph.definition


async def test_a_race_in_a_loop_is_run_anew_each_time() -> None:
    graph = Graph("g")

    @graph.node
    async def top(round: int = 1) -> int:
        return round

    graph.add_node("a", lambda top: top)
    graph.add_node("b", lambda top: 10 * top)

    @graph.node(join="any", after=["a", "b"], inputs="merge", output=True)
    async def winner(found: list[int], ctx: Context) -> list[int]:
        ctx.local["round"] = ctx.local.get("round", 0) + 1
        if ctx.local["round"] < 3:
            ctx.goto("top", round=ctx.local["round"] + 1)
        return found

    output, events = await run_of(graph)
    assert output in ([3], [30], [3, 30])
    assert sum(e.type == "node.completed" and str(e.address)[:6] == "winner" for e in events) == 3


def squares(over: Any = "numbers", **options: Any) -> Graph:
    graph = Graph("squares")

    async def square(number: int) -> int:
        return number * number

    graph.map("square", square, over=over, **options)
    graph.add_node("total", lambda square: sum(square), output=True)
    return graph


async def test_a_map_runs_once_for_each_item_and_returns_the_list() -> None:
    output, events = await run_of(squares(), numbers=[1, 2, 3])
    assert output == 14
    items = [e for e in events if e.type == "node.scheduled" and str(e.address).endswith("]")]
    assert [(e.address, e.data) for e in items] == [
        (f"square#1[{place}]", {"index": place}) for place in range(3)
    ]
    done = next(e for e in events if e.type == "node.completed" and e.address == "square#1")
    assert dict(done.data) == {}  # the log has each output once


async def test_a_map_over_nothing_is_empty() -> None:
    output, _ = await run_of(squares(), numbers=[])
    assert output == 0


async def test_items_may_have_names_and_results_the_order_in_which_they_completed() -> None:
    graph = Graph("g")

    async def work(item: dict[str, Any], factor: int) -> str:
        for _ in range(item["wait"]):
            await asyncio.sleep(0)
        return str(item["id"]) * factor

    graph.map(
        "work",
        work,
        over="items",
        key=lambda item: item["id"],
        order="completed",
        args={"factor": 2},
    )
    items = [{"id": "slow/1", "wait": 30}, {"id": "quick #2", "wait": 0}]
    output, events = await run_of(graph, items=items)
    assert output == ["quick #2quick #2", "slow/1slow/1"]
    addresses = [str(e.address) for e in events if e.type == "node.completed"]
    assert addresses == ["work#1[quick %232]", "work#1[slow%2F1]", "work#1"]


@pytest.mark.parametrize("how", ["map", "nodes"])
async def test_one_becomes_ten_thousand_and_these_become_one(how: str) -> None:
    graph, many = Graph("wide"), range(10_000)
    graph.add_node("one", lambda: list(many), pure=True)
    if how == "map":
        graph.map("each", lambda item: item + 1, over="one", pure=True)
        graph.add_node("all", lambda each: sum(each), pure=True)
    else:
        names = [f"n{number}" for number in many]
        for number, name in enumerate(names):
            graph.add_node(name, lambda n: n + 1, after=["one"], args={"n": number}, pure=True)
        graph.add_node("all", lambda found: sum(found), after=names, inputs="merge", pure=True)
    output, events = await run_of(graph)
    assert output == sum(many) + len(many)
    done = [event.address for event in events if event.type == "node.completed"]
    assert len(done) == len(set(done)) == len(many) + (3 if how == "map" else 2)


async def test_an_async_generator_gives_items_one_by_one_and_only_as_many_as_are_wanted() -> None:
    graph = Graph("g")
    given: list[int] = []
    under_way: list[int] = []
    most = 0

    async def numbers(count: int) -> AsyncIterator[int]:
        for number in range(count):
            given.append(number)
            yield number
            assert len(given) - len(under_way) <= 4

    async def work(number: int) -> int:
        nonlocal most
        running = len(given) - len(under_way)
        most = max(most, running)
        await asyncio.sleep(0)
        under_way.append(number)
        return number

    graph.map("work", work, over=numbers, concurrency=2)
    output, events = await run_of(graph, count=7)
    assert output == list(range(7))
    assert most <= 3
    items = [e for e in events if e.type == "node.scheduled" and str(e.address)[-1] == "]"]
    assert items[6].data == {"index": 6, "item": 6}  # nothing else has it


async def test_no_more_items_are_under_way_than_was_said() -> None:
    graph = Graph("g")
    now, most = 0, 0

    async def work(number: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.001)
        now -= 1
        return number

    graph.map("work", work, over="numbers", concurrency=3)
    output, _ = await run_of(graph, numbers=list(range(20)))
    assert output == list(range(20))
    assert most == 3


@pytest.mark.parametrize("over", ["numbers", "function"])
async def test_a_map_that_was_interrupted_does_not_repeat_what_it_has_done(over: str) -> None:
    done: list[int] = []

    def build(door: Door) -> Graph:
        async def numbers() -> AsyncIterator[int]:
            for number in range(6):
                yield number

        async def work(number: int) -> int:
            if number == 3:
                await door()
            done.append(number)
            return number

        graph = Graph("g")
        graph.map("work", work, over="numbers" if over == "numbers" else numbers, concurrency=1)
        graph.add_node("total", lambda work: sum(work))
        return graph

    store, door = MemoryStore(), Door()
    given = {"numbers": list(range(6))} if over == "numbers" else {}
    async with Engine(store) as engine:
        await engine.start(build(door), run_id="r", inputs=given)
        await door.reached()
    second = Door()
    second.open()
    async with Engine(store, graphs=[build(second)]) as engine:
        assert await (await engine.resume("r")) == 15
    assert done == [0, 1, 2, 3, 4, 5]


async def test_an_item_that_fails_is_tried_again_by_itself() -> None:
    graph = Graph("g")
    tried: list[int] = []

    async def work(number: int, ctx: Context) -> int:
        tried.append(number)
        if number == 1 and ctx.attempt < 3:
            raise OSError("not yet")
        return number

    graph.map("work", work, over="numbers", retry=Retry(attempts=3, on=frozenset(("OSError",))))
    output, _ = await run_of(graph, numbers=[0, 1, 2])
    assert output == [0, 1, 2]
    assert sorted(tried) == [0, 1, 1, 1, 2]


async def test_an_item_that_is_no_more_than_a_call_is_tried_again_as_often_as_is_said() -> None:
    tried: list[int] = []

    async def work(number: int) -> int:
        tried.append(number)
        await asyncio.sleep(0)
        if number == 1 and tried.count(1) < 3:
            raise OSError("not yet")
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers", retry=Retry(attempts=3, on=frozenset(("OSError",))))
    output, events = await run_of(graph, numbers=[0, 1, 2])
    assert output == [0, 1, 2]
    assert sorted(tried) == [0, 1, 1, 1, 2]
    of_one = [e for e in events if e.address == "work#1[1]"]
    assert [e.type for e in of_one] == [
        "node.scheduled",
        *("node.failed", "node.started") * 2,
        "node.completed",
    ]
    assert [e.data.get("attempt", 1) for e in of_one if e.type == "node.failed"] == [1, 2]
    assert "await asyncio" not in of_one[1].data["traceback"]
    assert 'raise OSError("not yet")' in of_one[1].data["traceback"]


async def test_items_end_in_the_log_in_the_order_in_which_they_ended() -> None:
    ended: list[str] = []
    door = asyncio.Event()

    async def work(number: int) -> int:
        await door.wait()
        ended.append(f"work#1[{number}]")
        if number % 3 == 1:
            raise ValueError(f"bad {number}")
        return number

    async def opener() -> None:
        await asyncio.sleep(0.001)
        door.set()

    graph = Graph("g")
    graph.map("work", work, over="numbers", on_failure=Continue(-1))
    graph.add_node("opener", opener)
    async with Engine.memory() as engine:
        run = await engine.start(graph, numbers=list(range(30)))
        output = (await run)["work"]
        events = await history(run)
    assert output == [-1 if number % 3 == 1 else number for number in range(30)]
    told = [e for e in events if e.type == "node.completed" and str(e.address).endswith("]")]
    assert [e.address for e in told] == ended


async def test_items_that_end_at_the_same_moment_end_in_one_append() -> None:
    store = TellingStore(MemoryStore())
    door = asyncio.Event()
    begun: list[int] = []

    async def work(number: int) -> int:
        begun.append(number)
        if len(begun) == 100:
            door.set()
        await door.wait()
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers")
    async with Engine(store) as engine:
        assert await (await engine.start(graph, numbers=list(range(100)))) == list(range(100))
    assert max(append.count("node.completed") for append in store.appends) >= 99


@pytest.mark.parametrize("most", [None, 100, 40])
async def test_items_that_have_a_place_are_scheduled_in_one_append(most: int | None) -> None:
    store = TellingStore(MemoryStore())

    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers", concurrency=most)
    async with Engine(store) as engine:
        assert await (await engine.start(graph, numbers=list(range(100)))) == list(range(100))
    scheduled = [append.count("node.scheduled") for append in store.appends]
    # The map itself begins with its first items: it does nothing that has to wait for its log.
    assert max(scheduled) == 1 + min(64, most or 64)
    assert sum(scheduled) == 101


async def test_a_map_whose_items_a_function_gives_waits_until_its_beginning_is_durable() -> None:
    store = TellingStore(MemoryStore())
    durable: list[bool] = []

    def numbers() -> list[int]:
        durable.append(any("node.scheduled" in append for append in store.appends))
        return [1, 2]

    async def work(number: int) -> int:
        return number

    graph = Graph("g")
    graph.map("work", work, over=numbers)
    async with Engine(store) as engine:
        assert await (await engine.start(graph)) == [1, 2]
    assert durable == [True]


async def test_the_first_items_of_a_long_list_begin_before_the_last_are_scheduled() -> None:
    store = MemoryStore()
    scheduled: list[int] = []

    async def work(number: int) -> int:
        head = await store.head(RunId("r"))
        assert head is not None
        scheduled.append(head.seq)
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers")
    async with Engine(store) as engine:
        run = await engine.start(graph, run_id="r", numbers=list(range(2000)))
        assert await run == list(range(2000))
    assert scheduled[0] < 100


async def test_no_more_items_are_under_way_in_the_log_than_was_said() -> None:
    async def work(number: int) -> int:
        await asyncio.sleep(0)
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers", concurrency=3)
    output, events = await run_of(graph, numbers=list(range(20)))
    assert output == list(range(20))
    now, most = 0, 0
    for event in events:
        if str(event.address).endswith("]"):
            now += {"node.scheduled": 1, "node.completed": -1}[event.type]
            most = max(most, now)
    assert most == 3


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (lambda: float("nan"), "not_recordable"),
        (asyncio.CancelledError, "cancelled"),
        (TimeoutError, "timeout"),
        (lambda: ExceptionGroup("both", [KeyError("a"), OSError()]), "KeyError"),
    ],
    ids=["not JSON", "cancelled by somebody else", "timeout", "group"],
)
async def test_whatever_ends_an_item_is_the_failure_of_that_item(
    raised: Callable[[], Any], kind: str
) -> None:
    async def work(number: int) -> Any:
        await asyncio.sleep(0)
        if number == 1:
            what = raised()
            if isinstance(what, BaseException):
                raise what
            return what
        return number

    graph = Graph("g")
    graph.map("work", work, over="numbers", on_failure=Continue(-1))
    output, events = await run_of(graph, numbers=[0, 1, 2])
    assert output == [0, -1, 2]
    failed = [(e.address, e.data["kind"]) for e in events if e.type == "node.failed"]
    assert failed == [("work#1[1]", kind)]


async def test_an_item_is_its_own_copy_of_what_the_list_holds() -> None:
    def work(found: list[int]) -> list[int]:
        found.append(len(found))
        return found

    graph = Graph("g")
    graph.add_node("lists", lambda: [[1], [1, 2]], pure=True)
    graph.map("work", work, over="lists", pure=True)
    graph.add_node(
        "both", lambda lists, work: [lists, work], after=["work"], pure=True, output=True
    )
    output, _ = await run_of(graph)
    assert output == [[[1], [1, 2]], [[1, 1], [1, 2, 2]]]


@pytest.mark.parametrize(
    ("policy", "expected"), [("skip", [0, 2]), (Continue(-1), [0, -1, 2])], ids=["skip", "continue"]
)
async def test_an_item_that_fails_for_good_is_left_out_or_replaced(
    policy: Any, expected: list[int]
) -> None:
    graph = Graph("g")

    async def work(number: int) -> int:
        if number == 1:
            raise ValueError("odd")
        return number

    graph.map("work", work, over="numbers", on_failure=policy)
    output, _ = await run_of(graph, numbers=[0, 1, 2])
    assert output == expected


async def test_a_map_fails_of_its_items_once_those_under_way_have_settled() -> None:
    graph = Graph("g")
    done: list[int] = []

    async def work(number: int) -> int:
        if number < 5:
            raise ValueError(f"bad {number}")
        await asyncio.sleep(0.001)
        done.append(number)
        return number

    graph.map("work", work, over="numbers")
    with pytest.raises(
        RunFailedError, match=r"ValueError: map 'work' failed for 5 of its items: "
    ) as e:
        await run_of(graph, numbers=list(range(7)))
    assert "work#1[0]: ValueError: bad 0; " in str(e.value)
    assert "and 2 more" in str(e.value)
    assert done == [5, 6]


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("text", "is mapped over 'text', which is no list"),
        ({"a": 1}, "which is no list"),
        ([1, 1], "has two items with the key '1'"),
        ([1, "x"], "ValueError: invalid literal"),
    ],
    ids=["text", "dict", "twice", "key raises"],
)
async def test_what_cannot_be_mapped_fails_the_map(given: Any, found: str) -> None:
    with pytest.raises(RunFailedError, match=found):
        await run_of(squares(key=int), numbers=given)


async def test_an_item_has_no_control_over_the_graph() -> None:
    graph = Graph("g")

    async def work(number: int, ctx: Context) -> None:
        ctx.goto("work")

    graph.map("work", work, over="numbers")
    with pytest.raises(RunFailedError, match="an item of a map cannot send control elsewhere"):
        await run_of(graph, numbers=[1])


async def test_a_map_can_be_called_with_its_items() -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> None:
        ctx.goto("work", numbers=[4, 5])

    graph.map("work", lambda number: -number, over="numbers", start=False, output=True)
    output, _ = await run_of(graph)
    assert output == [-4, -5]


async def test_a_map_is_ended_with_all_its_items_when_it_loses_a_race() -> None:
    graph = Graph("g")
    door = Door()

    async def work(number: int) -> None:
        await door()

    @graph.node
    async def quick() -> str:
        await door.reached()
        return "quick"

    graph.map("work", work, over="numbers")
    graph.add_node(
        "first", lambda found: len(found), after=["quick", "work"], join="any", inputs="merge"
    )
    before = asyncio.all_tasks()
    output, events = await run_of(graph, numbers=[1, 2, 3])
    assert output == 1
    assert "work#1" in skipped(events)
    assert asyncio.all_tasks() == before


async def test_a_map_stops_at_the_limit_of_activations() -> None:
    graph = squares()
    graph.limits = Limits(activations=10)
    with pytest.raises(
        RunFailedError, match="limit: map 'square' comes up against the limit of 10"
    ):
        await run_of(graph, numbers=list(range(100)))


async def test_when_another_node_fails_a_map_begins_no_further_items() -> None:
    graph = Graph("g")
    door = Door()
    begun: list[int] = []

    async def work(number: int) -> None:
        begun.append(number)
        await door()

    @graph.node
    async def fails() -> None:
        await door.reached()
        asyncio.get_running_loop().call_later(0.01, door.open)
        raise ValueError("no")

    graph.map("work", work, over="numbers", concurrency=1)
    with pytest.raises(RunFailedError, match="fails#1: ValueError: no") as e:
        await run_of(graph, numbers=[1, 2, 3])
    assert begun == [1]
    assert len(e.value.failures) == 1


@pytest.mark.parametrize(
    ("options", "found"),
    [
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"inputs": "merge"}, "inputs= has no meaning"),
    ],
    ids=["concurrency", "inputs"],
)
def test_a_map_that_makes_no_sense_is_refused(options: Any, found: str) -> None:
    with pytest.raises(GraphError, match=found):
        squares(**options)


def test_a_map_needs_a_function_that_takes_an_item() -> None:
    graph = Graph("g")
    with pytest.raises(GraphError, match="its function takes no item"):
        graph.map("work", lambda: 1, over="numbers")


async def test_a_join_reduces_what_it_waits_for_in_the_order_of_completion() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def slow() -> str:
        await door()
        return "slow"

    graph.add_node("quick", lambda: "quick")

    @graph.node(after=["quick"])
    async def last_but_one() -> str:
        await door.reached()
        door.open()
        return "then"

    def note(told: list[str], value: str) -> list[str]:
        return [*told, value]

    graph.add_node("told", note, join="reduce", initial=[], after=["slow", "quick", "last_but_one"])

    @graph.node(join="reduce", after=["slow", "quick"])
    async def both(so_far: str, value: str, ctx: Context) -> str:
        return f"{so_far}, {value} {await ctx.random() < 1}"

    graph.add_node("end", lambda told, both: [told, both])
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph)
        output: Any = await run
        assert output == [["quick", "then", "slow"], "quick, slow True"]
        assert (await run.replay()).identical


async def test_a_reduction_of_nothing_is_where_it_begins() -> None:
    graph = Graph("g")
    graph.add_node("gone", lambda: 1, when=lambda: False)
    graph.add_node("there", lambda: 2)
    graph.add_node("total", lambda a, b: a + b, join="reduce", initial=5, after=["gone", "there"])
    output, _ = await run_of(graph)
    assert output == 7


def test_a_reduction_that_could_not_work_is_refused() -> None:
    graph = Graph("g")
    with pytest.raises(GraphError, match="must take what has come of it so far and the next value"):
        graph.add_node("one", lambda value: value, join="reduce", after=["a"])
    with pytest.raises(GraphError, match="pass join='reduce'"):
        graph.add_node("two", lambda a, b: a, initial=3)
    with pytest.raises(GraphError, match="inputs= has no meaning"):
        graph.add_node("three", lambda a, b: a, join="reduce", inputs="each")
    graph.add_node("four", lambda a, b: a, join="reduce")
    with pytest.raises(GraphError, match="waits for nothing"):
        _ = graph.digest


async def test_a_reduction_is_added_to_a_run_and_made_again_elsewhere() -> None:
    def build() -> Graph:
        graph = Graph("g")

        @graph.node
        async def begin(ctx: Context) -> int:
            ctx.add_node(
                "total", "plus", join="reduce", initial=1, after=["begin", "x"], output=True
            )
            return 2

        graph.add_node("x", lambda: 4)
        graph.register(lambda a, b: a + b, name="plus")
        return graph

    store = MemoryStore()
    async with Engine(store) as engine:
        assert await (await engine.start(build(), run_id="r")) == 7
    async with Engine(store, graphs=[build()]) as engine:
        assert (await engine.run("r").replay()).identical


async def test_a_reduction_is_kept_as_a_document() -> None:
    def plus(a: int, b: int) -> int:
        return a + b

    graph = Graph("g")
    graph.register(lambda: 2, name="two")
    graph.register(plus)
    graph.add_node("a", "two")
    graph.add_node("b", "two")
    graph.add_node("total", "plus", join="reduce", initial=0, after=["a", "b"])
    again = Graph.from_json(graph.to_json(), functions=dict(graph.functions))
    assert again.digest == graph.digest
    assert (await run_of(again))[0] == 4
