"""Where control goes: goto, trigger, predicates, skips, loops, and what each means for those who wait."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Run
from midstream.errors import GraphError, RunFailedError
from tests.engine.stage import Door, history, place, turns, types


async def result(graph: Graph, **inputs: Any) -> Any:
    async with Engine.memory() as engine:
        return await (await engine.start(graph, **inputs))


async def told(graph: Graph, **inputs: Any) -> tuple[Any, list[str]]:
    """Return the output, and each activation's end as `address type`, in order."""
    async with Engine.memory() as engine:
        run = await engine.start(graph, **inputs)
        output = await run
        events = await history(run)
    ends = ("node.completed", "node.skipped", "node.failed")
    return output, [f"{e.address} {e.type[5:]}" for e in events if e.type in ends]


def sum_to(last: int) -> Graph:
    """Add the numbers up to the last one in a loop of one node."""
    graph = Graph("sum")

    @graph.node
    async def add(ctx: Context, number: int = 1, total: int = 0) -> int:
        if number < last:
            ctx.goto("add", number=number + 1, total=total + number)
        return total + number

    return graph


async def test_a_node_may_go_to_itself_until_it_is_done() -> None:
    output, ends = await told(sum_to(100))
    assert output == 5050
    assert len(ends) == 100
    assert ends[-1] == "add#100 completed"


async def test_goto_takes_the_place_of_the_ordinary_successors() -> None:
    graph = Graph("g")

    @graph.node
    async def first(ctx: Context) -> str:
        ctx.goto("other", word="hello")
        return "first"

    @graph.node(after=["first"])
    async def ordinary() -> str:
        return "ordinary"

    @graph.node(start=False, output=True)
    async def other(word: str) -> str:
        return word

    output, ends = await told(graph)
    assert output == "hello"
    assert ends == ["first#1 completed", "ordinary#1 skipped", "other#1 completed"]


async def test_trigger_comes_in_addition_to_the_ordinary_successors() -> None:
    graph = Graph("g")

    @graph.node
    async def first(ctx: Context) -> str:
        ctx.trigger("other", word="hello")
        return "first"

    @graph.node(output=True)
    async def ordinary(first: str) -> str:
        return f"after {first}"

    @graph.node(start=False, output=True)
    async def other(word: str) -> str:
        return word

    assert await result(graph) == {"ordinary": "after first", "other": "hello"}


async def test_one_node_may_be_triggered_many_times_and_who_waits_for_it_waits_for_all() -> None:
    graph = Graph("g")
    done: list[int] = []

    @graph.node
    async def choose(ctx: Context) -> int:
        for number in range(5):
            ctx.trigger("work", number=number)
        return 5

    @graph.node(start=False)
    async def work(number: int) -> int:
        for _ in range(5 - number):
            await asyncio.sleep(0)
        done.append(number)
        return number

    @graph.node(after=["work"])
    async def collect(choose: int) -> list[int]:
        return sorted(done)

    output, ends = await told(graph)
    assert output == [0, 1, 2, 3, 4]
    assert {f"work#{number} completed" for number in range(1, 6)} <= set(ends)
    assert ends[-1] == "collect#1 completed"
    assert ends.count("collect#1 completed") == 1


async def test_who_waits_for_a_node_that_nothing_went_to_does_not_wait() -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> int:
        return 0

    @graph.node(start=False)
    async def work() -> int:
        return 1

    @graph.node(after=["work"])
    async def collect(choose: int) -> str:
        return "nothing to collect"

    assert await result(graph) == "nothing to collect"


async def test_a_loop_goes_back_with_the_values_of_what_is_outside_it() -> None:
    graph = Graph("g")
    researched: list[str] = []

    @graph.node
    async def research(topic: str) -> str:
        researched.append(topic)
        return f"facts on {topic}"

    @graph.node
    async def plan(research: str, ctx: Context, tries: int = 1) -> dict[str, Any]:
        return {"text": f"{research}, {tries}", "tries": tries}

    @graph.node
    async def review(plan: dict[str, Any], ctx: Context) -> str:
        if plan["tries"] < 3:
            ctx.goto("plan", tries=plan["tries"] + 1)
        return str(plan["text"])

    @graph.node(output=True)
    async def publish(review: str, research: str) -> str:
        return f"{review} ({research})"

    output, ends = await told(graph, topic="otters")
    assert output == "facts on otters, 3 (facts on otters)"
    assert researched == ["otters"]
    assert ends == [
        "research#1 completed",
        *(f"{node}#{n} completed" for n in (1, 2, 3) for node in ("plan", "review")),
        "publish#1 completed",
    ]


async def test_when_control_goes_back_a_join_waits_for_all_that_comes_anew() -> None:
    graph = Graph("g")
    slow_runs = 0

    @graph.node
    async def top(round: int = 1) -> int:
        return round

    @graph.node
    async def quick(top: int) -> int:
        return top

    @graph.node
    async def slow(top: int) -> int:
        nonlocal slow_runs
        slow_runs += 1
        await turns(10 * slow_runs)
        return top

    @graph.node(output=True)
    async def join(quick: int, slow: int, ctx: Context) -> list[int]:
        if quick < 3:
            ctx.goto("top", round=quick + 1)
        return [quick, slow]

    output, ends = await told(graph)
    assert output == [3, 3]
    assert [end for end in ends if end.startswith("join")] == [
        f"join#{number} completed" for number in (1, 2, 3)
    ]


@pytest.mark.parametrize("chosen", ["left", "right"])
async def test_a_predicate_decides_and_the_branch_not_taken_is_skipped_to_its_end(
    chosen: str,
) -> None:
    graph = Graph("g")

    @graph.node
    async def choose(way: str) -> str:
        return way

    @graph.node(when=lambda choose: choose == "left")
    async def left(choose: str) -> str:
        return "L"

    @graph.node(when=lambda choose: choose == "right")
    async def right(choose: str) -> str:
        return "R"

    @graph.node
    async def further(left: str) -> str:
        return f"{left}!"

    @graph.node(output=True)
    async def join(further: str = "-", right: str = "-") -> str:
        return further + right

    output, ends = await told(graph, way=chosen)
    assert output == ("L!-" if chosen == "left" else "-R")
    assert ("further#1 skipped" in ends) == (chosen == "right")


async def test_why_a_node_was_skipped_is_in_the_log() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("b", lambda a: a, when=lambda a: a > 1)
    graph.add_node("c", lambda b: b)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run is None
        reasons = {
            e.address: e.data["reason"] for e in await history(run) if e.type == "node.skipped"
        }
    assert reasons == {"b#1": "its when= said no", "c#1": "b#1 was skipped"}


async def test_a_predicate_is_asked_once_and_never_again_when_the_run_is_resumed() -> None:
    asked: list[int] = []
    door = Door()

    def enough(first: int) -> bool:
        asked.append(first)
        return first > 0

    def build() -> Graph:
        graph = Graph("g")
        graph.add_node("first", lambda: 1)
        graph.add_node("second", _waiting(door), when=enough, after=["first"])
        return graph

    engine = Engine.memory()
    store = engine._given  # pyright: ignore[reportPrivateUsage]
    async with engine:
        await engine.start(build(), run_id="r")
        await door.reached()
    door.open()
    async with Engine(store, graphs=[build()]) as engine:
        assert await (await engine.resume("r")) == "through"
    assert asked == [1]


def _waiting(door: Door) -> Callable[..., Any]:
    async def second() -> str:
        await door()
        return "through"

    return second


async def test_a_predicate_that_raises_fails_its_node() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 0)
    graph.add_node("b", lambda a: a, when=lambda a: 1 / a > 0)
    with pytest.raises(RunFailedError, match=r"b#1: ZeroDivisionError: when= of node 'b'"):
        await result(graph)


def test_a_predicate_that_would_have_to_be_awaited_is_refused() -> None:
    async def wrong(a: int) -> bool:
        return True

    graph = Graph("g")
    graph.add_node("a", lambda: 0)
    with pytest.raises(GraphError, match="node 'b': when must be a plain function"):
        graph.add_node("b", lambda a: a, when=wrong)


async def test_a_call_does_not_ask_the_predicate() -> None:
    graph = Graph("g")

    @graph.node
    async def a(ctx: Context) -> int:
        ctx.goto("b", word="called")
        return 0

    @graph.node(when=lambda a: False, output=True)
    async def b(a: int, word: str = "by itself") -> str:
        return word

    assert await result(graph) == "called"


async def test_local_state_is_kept_between_the_activations_of_a_node() -> None:
    graph = Graph("g")

    @graph.node
    async def count(ctx: Context) -> int:
        ctx.local["seen"] = ctx.local.get("seen", 0) + 1
        if ctx.local["seen"] < 4:
            ctx.goto("count")
        return int(ctx.local["seen"])

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == 4
        kept = [e.data["local"] for e in await history(run) if e.type == "node.completed"]
    assert kept == [{"seen": number} for number in (1, 2, 3, 4)]


async def test_an_attempt_that_fails_leaves_no_trace_in_local_state_or_control() -> None:
    from midstream import Retry

    graph = Graph("g")

    @graph.node(retry=Retry(attempts=2, delay=0, on=frozenset(("OSError",))))
    async def count(ctx: Context) -> int:
        ctx.local["seen"] = ctx.local.get("seen", 0) + 1
        ctx.trigger("other")
        if ctx.attempt == 1:
            raise OSError
        return int(ctx.local["seen"])

    @graph.node(start=False)
    async def other() -> None: ...

    output, ends = await told(graph)
    assert output == {"count": 1, "other": None}
    assert ends.count("other#1 completed") == 1
    assert "other#2 completed" not in ends


async def test_going_to_a_node_that_runs_starts_another_activation_beside_it() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def work(ctx: Context, part: int = 1) -> int:
        if part == 1:
            await door()
        else:
            door.open()
        return part

    @graph.node
    async def call(ctx: Context) -> None:
        await door.reached()
        ctx.trigger("work", part=2)

    @graph.node(output=True)
    async def after(work: int) -> int:
        return work

    output, ends = await told(graph)
    assert output == 2
    assert [end for end in ends if end.startswith("after")] == ["after#1 completed"]


async def test_going_to_a_node_that_still_waits_runs_it_at_once_and_only_once() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def slow() -> str:
        await door()
        return "slow"

    @graph.node
    async def quick(ctx: Context) -> None:
        ctx.goto("last", slow="not waited for")

    @graph.node(output=True)
    async def last(slow: str) -> str:
        door.open()
        return slow

    output, ends = await told(graph)
    assert output == "not waited for"
    assert [end for end in ends if end.startswith("last")] == ["last#1 completed"]
    assert ends[-1] == "slow#1 completed"


@pytest.mark.parametrize(
    ("go", "found"),
    [
        (lambda ctx: ctx.goto("nowhere"), "there is no node 'nowhere'; there are a, b"),
        (lambda ctx: ctx.trigger("b", wrong=1), "node 'b' has no parameter 'wrong'; it takes word"),
        (lambda ctx: ctx.goto("b"), "parameter 'word' of node 'b' would have no value"),
    ],
)
async def test_control_cannot_go_where_nothing_could_run(
    go: Callable[[Context], None], found: str
) -> None:
    graph = Graph("g")

    @graph.node
    async def a(ctx: Context) -> None:
        go(ctx)

    @graph.node(start=False)
    async def b(word: str) -> str:
        return word

    with pytest.raises(RunFailedError, match=f"a#1: TopologyError: .*{found}"):
        await result(graph)


async def test_where_control_went_and_the_end_of_the_activation_are_one_append() -> None:
    from midstream.events.memory import MemoryStore
    from tests.engine.stage import TellingStore

    store = TellingStore(MemoryStore())
    async with Engine(store) as engine:
        await (await engine.start(sum_to(3)))
    together = [append for append in store.appends if "edge.decided" in append]
    assert together
    for append in together:
        place_ = append.index("edge.decided")
        assert append[place_ + 1] == "node.completed"


async def test_several_outputs_are_a_mapping_of_those_that_ran() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1)
    graph.add_node("yes", lambda a: "yes", when=lambda a: a == 1, output=True)
    graph.add_node("no", lambda a: "no", when=lambda a: a != 1, output=True)
    assert await result(graph) == {"yes": "yes"}


async def test_the_output_is_that_of_the_last_activation_that_completed() -> None:
    graph = Graph("g")

    @graph.node(output=True, when=lambda n: n < 3)
    async def out(n: int) -> int:
        return n

    @graph.node
    async def n(start: int = 1) -> int:
        return start

    @graph.node(after=["out"])
    async def again(n: int, ctx: Context) -> None:
        ctx.goto("n", start=n + 1)

    output, ends = await told(graph)
    assert output == 2
    assert [e for e in ends if e.startswith("out")] == [
        "out#1 completed",
        "out#2 completed",
        "out#3 skipped",
    ]


async def test_a_fast_branch_never_waits_for_a_slow_one() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def slow() -> str:
        await door()
        return "slow"

    @graph.node
    async def fast() -> str:
        return "fast"

    @graph.node
    async def after_fast(fast: str) -> str:
        return fast

    @graph.node
    async def last(after_fast: str) -> str:
        door.open()
        return after_fast

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        await run
        events = await history(run)
    assert place(events, "node.completed", "last#1") < place(events, "node.completed", "slow#1")


async def test_a_paused_run_goes_nowhere_until_it_goes_on() -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def a(ctx: Context) -> None:
        await door()
        ctx.trigger("b", word="x")

    @graph.node(start=False, output=True)
    async def b(word: str) -> str:
        return word

    async with Engine.memory() as engine:
        run: Run = await engine.start(graph)
        await door.reached()
        await run.pause()
        door.open()
        await turns()
        state = await run.state()
        assert "b" in state.called
        assert "b#1" not in state.activations
        await run.resume()
        assert await run == "x"


async def test_every_decision_is_in_words_in_the_timeline() -> None:
    from midstream.projections.timeline import line

    async with Engine.memory() as engine:
        run = await engine.start(sum_to(2))
        await run
        events = await history(run)
    said = {line(e).type: line(e).text for e in events if e.type == "edge.decided"}
    assert said == {"edge.decided": "goto add(number=2, total=1)"}
    assert types(events).count("edge.decided") == 1
    called = next(e for e in events if e.address == "add#2" and e.type == "node.scheduled")
    assert line(called).text == "(called by add#1)"
