"""A run of which a node has failed is planned anew: its graph is changed, what has completed stays, and it goes on."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from midstream import Context, Engine, Event, Graph
from midstream.errors import RunFailedError
from midstream.events.ids import Address
from midstream.events.memory import MemoryStore
from midstream.projections.run_snapshot import dump, restore
from midstream.projections.run_state import fold_run
from midstream.projections.timeline import line
from tests.engine.experience.test_library import Killed
from tests.engine.stage import JumpingClock, history, turns, types
from tests.engine.test_planning import edge, ended, kinds, node
from tests.engine.test_reflection import REPORT, CountingStore


class Flaky:
    """A graph of three nodes in a row and one beside them, of which the second fails so many times."""

    def __init__(
        self,
        failures: int = 1,
        error: Exception | None = None,
        first: str = "first",
        **options: Any,
    ) -> None:
        self.left = failures
        self.did: list[str] = []
        self.graph = Graph("flaky", on_failure="reflect")

        @self.graph.node(name="first")
        async def before() -> str:
            self.did.append("first")
            return first

        @self.graph.node(**options)
        async def work(first: str, city: str = "Rome") -> str:
            self.did.append("work")
            if self.left:
                self.left -= 1
                raise error or ValueError("invalid city")
            return f"{first}, work in {city}"

        @self.graph.node
        async def beside() -> str:
            self.did.append("beside")
            return "beside"

        @self.graph.node(output=True)
        async def last(work: str | None, beside: str) -> str:
            return f"{work}, {beside}, last"

        @self.graph.function
        async def rescue(place: str = "nowhere") -> str:
            """Does something else."""
            self.did.append("rescue")
            return f"rescue from {place}"


async def done(flaky: Flaky | Graph, *answers: Any, **options: Any) -> tuple[Any, list[Event]]:
    """Return how a run ends whose reflector answers this, and its events."""
    graph = flaky.graph if isinstance(flaky, Flaky) else flaky
    said = [REPORT, *(one if isinstance(one, str) else json.dumps(one) for one in answers)]
    models = {"models": {"critic": said}, "reflector": "critic"} if answers else {"models": {}}
    async with Engine.memory(**{**models, "clock": JumpingClock(), **options}) as engine:
        run = await engine.start(graph, run_id="r")
        return await ended(run), await history(run)


def revision(**changes: Any) -> dict[str, Any]:
    return {"node": "work", **changes}


# By rule


async def test_by_rule_a_validation_comes_before_a_node_whose_input_was_wrong() -> None:
    flaky = Flaky()
    output, events = await done(flaky)
    assert output == "first, work in Rome, beside, last"
    assert sorted(flaky.did) == ["beside", "first", "work", "work"]
    place = types(events).index("node.failed")
    assert types(events)[place : place + 5] == [
        "node.failed",
        "reflection.made",
        "plan.revised",
        "node.added",
        "edge.added",
    ]
    assert events[place].data["handled"] == "again"
    assert events[place + 3].data == {
        "name": "work.check",
        "definition": {"values": {"first": "first"}, "function": "validate:work"},
    }
    assert events[place + 4].data == {"source": "work.check", "target": "work"}
    state = fold_run(events)
    assert state.activations["work#1"].status == "failed"
    assert state.activations["work#2"].sources == ("first#1", "work.check#1")
    assert state.activations["work.check#1"].output == ["first"]
    assert "node work.check added, edge first → work.check, edge work.check → work" in str(
        line(events[place + 2]).text
    )


async def test_by_rule_a_node_that_takes_what_has_completed_gets_attempts_only() -> None:
    tries: list[list[int]] = []
    graph = Graph("sums", on_failure="reflect")

    async def one() -> int:
        return 1

    async def work(found: list[int]) -> int:
        tries.append(found)
        if len(tries) == 1:
            raise ValueError("invalid input: not yet")
        return sum(found)

    graph.add_node("a", one)
    graph.add_node("b", one)
    graph.add_node("work", work, after=["a", "b"], inputs="completed", output=True)
    async with Engine.memory(clock=JumpingClock()) as engine:
        run = await engine.start(graph, run_id="r")
        assert await run == 2
        added = [event.data async for event in run.events() if event.type == "node.added"]
    assert added == []  # a check before it would be one of those that it takes
    assert tries == [[1, 1], [1, 1]]


async def test_by_rule_a_value_that_is_blank_is_found_before_the_node_is_tried_again() -> None:
    flaky = Flaky(9, first=" ")
    error, _ = await done(flaky)
    assert kinds(error) == {"work.check": "bad_value"}
    assert "'first' of 'work' is blank" in str(error)
    assert flaky.did.count("work") == 1


async def test_by_rule_a_node_that_stays_wrong_is_tried_twice_more_and_no_more() -> None:
    flaky = Flaky(9)
    error, events = await done(flaky)
    assert kinds(error) == {"work": "ValueError"}
    assert flaky.did.count("work") == 3
    assert types(events).count("plan.revised") == 1
    assert types(events).count("reflection.made") == 2


@pytest.mark.parametrize("reason", ["takes nothing", "joins", "shares", "item", "called", "named"])
async def test_by_rule_no_validation_comes_where_none_can(reason: str) -> None:
    graph = Graph("g", on_failure="reflect")
    tries: list[int] = []

    def fails(value: Any = None) -> str:
        tries.append(1)
        if len(tries) == 1:
            raise ValueError("invalid")
        return "done"

    match reason:
        case "takes nothing":
            graph.add_node("work", lambda: fails(), output=True)
        case "joins":
            graph.add_node("a", lambda: 1)
            graph.add_node("b", lambda: 2, after=["a"])
            graph.add_node(
                "work", lambda x: fails(x), after=["a"], join="any", inputs="merge", output=True
            )
        case "shares":
            graph.add_node("a", lambda: [1], distribute=True)
            graph.add_node("work", lambda a: fails(a), output=True)
        case "item":
            graph.add_node("a", lambda: [1])
            graph.map("work", lambda item: fails(item), over="a", output=True)
        case "called":
            graph.add_node("a", _goes)
            graph.add_node("work", lambda x: fails(x), start=False, output=True)
        case _:
            graph.add_node("work.check", lambda: 1)
            graph.add_node("work", lambda one: fails(one), take={"one": "work.check"}, output=True)
    output, events = await done(graph)
    assert output in ("done", ["done"])
    assert len(tries) == 2
    assert types(events).count("plan.revised") == 1
    assert "node.added" not in types(events)


def _goes(ctx: Context) -> None:
    ctx.goto("work", x=1)


async def test_a_node_that_comes_again_anyway_is_only_tried_again() -> None:
    graph = Graph("g", on_failure="reflect")
    tries: list[str] = []

    @graph.node
    async def first() -> str:
        return "first"

    @graph.node
    async def work(first: str, ctx: Context) -> str:
        tries.append(ctx.step)
        if len(tries) == 1:
            await turns(100)
            raise ValueError("invalid")
        return first

    @graph.node
    async def beside(ctx: Context) -> None:
        while not tries:
            await turns(1)
        ctx.trigger(first)

    @graph.node
    async def last(work: str) -> str:
        return work

    output, events = await done(graph)
    assert output["last"] == "first"
    assert sorted(tries) == ["work#1", "work#1", "work#2"]
    assert types(events).count("plan.revised") == 1
    assert "node.added" not in types(events)


async def test_a_graph_that_says_so_reflects_on_every_node_and_each_may_say_otherwise() -> None:
    output, _ = await done(Flaky(1, FileNotFoundError("no such file")))
    assert output == "None, beside, last"
    error, events = await done(Flaky(1, on_failure="fail"))
    assert kinds(error) == {"work": "ValueError"}
    assert "reflection.made" not in types(events)


async def test_a_node_that_is_added_in_a_run_is_reflected_on_as_its_graph_says() -> None:
    graph = Graph("g", on_failure="reflect")

    @graph.node
    async def choose(ctx: Context) -> None:
        ctx.add_node("extra", "missing", output=True)

    @graph.function
    def missing() -> str:
        raise FileNotFoundError("no such file")

    output, events = await done(graph)
    assert output is None
    assert types(events).count("plan.revised") == 1


async def test_nobody_reflects_while_the_run_fails_anyway() -> None:
    graph = Graph("g")

    @graph.node
    async def fails() -> None:
        raise KeyError("x")

    @graph.node(on_failure="reflect")
    async def later() -> None:
        await turns(50)
        raise ValueError("invalid")

    error, events = await done(graph)
    assert kinds(error) == {"fails": "KeyError", "later": "ValueError"}
    assert "reflection.made" not in types(events)


# By a model


async def test_a_model_may_put_a_node_before_and_give_the_node_its_output() -> None:
    mended = revision(
        nodes=[node("mend", "rescue", place="here")], edges=[edge("mend", "work", "first")]
    )
    flaky = Flaky()
    output, events = await done(flaky, mended)
    assert output == "rescue from here, work in Rome, beside, last"
    assert flaky.did.count("first") == 1
    (plan,) = [event for event in events if event.type == "plan.revised"]
    assert plan.data["by"] == "critic"
    assert plan.data["plan"] == {
        "nodes": [{"name": "mend", "use": "rescue", "args": {"place": "here"}}],
        "edges": [{"source": "mend", "target": "work", "to": "first"}],
    }


async def test_a_model_may_go_on_with_another_node_in_place_of_the_one_that_failed() -> None:
    instead = revision(
        nodes=[node("other", "rescue")],
        edges=[edge("other", "last", "work"), edge("first", "other", "place")],
        on_failure="continue",
    )
    output, events = await done(Flaky(9), instead)
    assert output == "rescue from first, beside, last"
    assert types(events)[-1] == "run.completed"


async def test_a_model_may_take_out_what_has_not_begun() -> None:
    flaky = Flaky(9)
    flaky.graph.add_node("report", lambda: 1, after=["work"])
    output, events = await done(flaky, revision(on_failure="continue", remove=["report"]))
    assert output == "None, beside, last"
    assert "node.removed" in types(events)
    assert "report#1" not in [event.address for event in events]


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a completed node that waits": (
        revision(attempts=1, edges=[edge("beside", "first")]),
        "node 'first' has run, so what it waits for cannot be changed",
    ),
    "a completed node that is removed": (
        revision(attempts=1, remove=["beside"]),
        "node 'beside' has run, so it cannot be removed",
    ),
    "an edge from what is removed": (
        revision(
            attempts=1, nodes=[node("x", "rescue")], edges=[edge("last", "x")], remove=["last"]
        ),
        "edge last → x: there is no node 'last'",
    ),
    "the node that failed, removed": (
        revision(attempts=1, remove=["work"]),
        "node 'work' runs, so it cannot be removed",
    ),
    "another node": ({"node": "first", "attempts": 1}, "only node 'work' can be changed"),
    "an unknown function": (
        revision(attempts=1, nodes=[node("x", "explode")]),
        "there is no function 'explode'",
    ),
    "a name that is taken": (
        revision(attempts=1, nodes=[node("last", "rescue")]),
        "has a node 'last' already",
    ),
    "a node that is none": (revision(attempts=1, nodes=[{"name": "x"}]), "nodes.0.use: Field"),
    "an edge to nowhere": (
        revision(attempts=1, edges=[edge("first", "x")]),
        "there is no node 'x'",
    ),
    "a cycle": (revision(edges=[edge("last", "work")]), "would close a cycle"),
    "a cycle of one": (revision(edges=[edge("work", "work")]), "would close a cycle"),
    "an unbounded loop": (
        revision(
            attempts=1,
            nodes=[node("x", "rescue"), node("y", "rescue")],
            edges=[edge("x", "y", "place"), edge("y", "x", "place")],
        ),
        "is a loop without a bound",
    ),
    "an argument of another type": (
        revision(attempts=1, nodes=[node("x", "rescue", place=[1])]),
        "argument 'place' wants",
    ),
    "too many nodes": (
        revision(attempts=1, nodes=[node(f"x{n}", "rescue") for n in range(11)]),
        "11 nodes, and 10 are the most",
    ),
    "neither again nor without": (
        revision(nodes=[node("x", "rescue")]),
        "it does not say what becomes of node 'work'",
    ),
    "again and without": (
        revision(nodes=[node("x", "rescue")], edges=[edge("x", "work")], on_failure="continue"),
        "either done again or gone on without",
    ),
    "nothing": ({}, "it says nothing of node 'work'"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_plan_that_cannot_be_followed_is_refused_once_with_the_reason(case: str) -> None:
    refused, why = REFUSED[case]
    said: list[str] = []
    answers = iter([REPORT, json.dumps(refused), json.dumps(revision(attempts=1))])

    def critic(messages: Any) -> str:
        said.append(messages[-1].text)
        return next(answers)

    output, events = await done(Flaky(), models={"critic": critic}, reflector="critic")
    assert output == "first, work in Rome, beside, last"
    assert len(said) == 3
    assert why in said[2]
    assert "- rescue(place: str (optional)): Does something else." in said[1]
    assert "- first: completed; waits for nothing" in said[1]
    assert "- last: has not begun; waits for work, beside" in said[1]
    assert not {"node.added", "edge.added", "node.removed"} & set(types(events))


@pytest.mark.parametrize("case", REFUSED)
async def test_a_plan_that_is_refused_twice_leaves_it_to_the_rules(case: str) -> None:
    refused, _ = REFUSED[case]
    error, events = await done(Flaky(), refused, refused)
    assert kinds(error) == {"work": "ValueError"}  # the report speaks of logic
    assert not {"plan.revised", "node.added", "edge.added", "node.removed"} & set(types(events))


@pytest.mark.parametrize("where", ["item", "called"])
async def test_nothing_comes_before_what_took_its_values_from_somewhere_else(where: str) -> None:
    graph = Graph("g", on_failure="reflect")
    tries: list[int] = []

    def fails(value: Any) -> str:
        tries.append(value)
        if len(tries) == 1:
            raise ValueError("invalid")
        return "done"

    graph.add_node("a", (lambda: [1]) if where == "item" else _goes)
    if where == "item":
        graph.map("work", fails, over="a", output=True)
    else:
        graph.add_node("work", lambda x: fails(x), start=False, output=True)
    graph.register(lambda: 1, name="one")
    said: list[str] = []
    before = revision(nodes=[node("x", "one")], edges=[edge("x", "work")])
    answers = iter([REPORT, json.dumps(before), json.dumps(revision(attempts=1))])

    def critic(messages: Any) -> str:
        said.append(messages[-1].text)
        return next(answers)

    output, _ = await done(graph, models={"critic": critic}, reflector="critic")
    assert output in ("done", ["done"])
    assert "nothing can come before node 'work'" in said[2]


async def test_of_two_nodes_that_fail_together_only_as_many_are_planned_anew_as_may_be() -> None:
    graph = Graph("g", on_failure="reflect")
    tries: list[str] = []

    async def fails(name: str) -> str:
        tries.append(name)
        if tries.count(name) == 1:
            raise KeyError(name)
        return name

    async def one() -> str:
        return await fails("one")

    async def two() -> str:
        return await fails("two")

    graph.add_node("one", one)
    graph.add_node("two", two)

    def critic(messages: Any) -> str:
        text = messages[-1].text
        return json.dumps({"attempts": 1}) if "timeout now" in text else REPORT

    options: dict[str, Any] = {"models": {"critic": critic}, "reflector": "critic"}
    output, events = await done(graph, **options)
    assert output == {"one": "one", "two": "two"}
    tries.clear()
    error, events = await done(graph, **options, max_replans=1)
    assert len(kinds(error)) == 1
    assert types(events).count("plan.revised") == 1
    assert [e.data["reflection_number"] for e in events if e.type == "reflection.made"] == [1, 2]


async def test_a_node_of_a_plan_is_planned_anew_where_the_plan_says_so() -> None:
    graph = Graph("g")
    tries: list[str] = []

    async def fetch(place: str) -> str:
        """Fetch something."""
        tries.append(place)
        if len(tries) == 1:
            raise ValueError("invalid place")
        return place

    graph.add_node("city", lambda: "Rome")
    graph.plan("answer", goal="x", nodes=[fetch], model="planner", on_failure="reflect")
    graph.add_node("last", lambda answer: answer, output=True)
    drawn = {"nodes": [node("get", "fetch")], "edges": [edge("city", "get", "place")]}
    async with Engine.memory(models={"planner": [json.dumps(drawn)]}) as engine:
        run = await engine.start(graph)
        assert await run == "Rome"
        assert types(await history(run)).count("plan.revised") == 1
        assert (await run.state()).activations[Address("get.check#1")].output == ["place"]
        tries.clear()
        assert (await run.replay()).identical


async def test_a_planner_that_fails_is_reflected_on_too() -> None:
    graph = Graph("g", on_failure="reflect")
    graph.plan("answer", goal="x", nodes=[_goes], model="planner")
    graph.add_node("last", lambda answer: answer, output=True)
    async with Engine.memory(models={"planner": ["no", "no"]}) as engine:
        run = await engine.start(graph)
        assert kinds(await ended(run)) == {"answer.plan": "PlanError"}
        (made,) = [e for e in await history(run) if e.type == "reflection.made"]
        assert made.data["failed_node"] == "answer.plan"


# What is recorded

MENDED = revision(
    nodes=[node("mend", "rescue", place="here"), node("extra", "rescue")],
    edges=[edge("mend", "work", "first"), edge("mend", "extra", "place")],
)
CASES: dict[str, tuple[Callable[[], Flaky], Sequence[Any]]] = {
    "by rule": (lambda: Flaky(2), ()),
    "by a model": (lambda: Flaky(1, KeyError("x")), (REPORT, MENDED)),
    "without the node": (
        lambda: Flaky(9),
        (REPORT, revision(nodes=[node("x", "rescue")], on_failure="continue")),
    ),
}


@pytest.mark.parametrize("case", CASES)
async def test_replanning_ends_the_same_wherever_its_process_dies(case: str) -> None:
    make, answers = CASES[case]
    expected = await told(MemoryStore(), make(), answers)
    died = 0
    for at in range(1, 30):
        for written in (False, True):
            inner = MemoryStore()
            try:
                await told(CountingStore(inner, at, written=written), make(), answers)
            except Killed:
                died += 1
            flaky = make()
            # What is outside has not changed: it fails as it did, as often as it was not recorded.
            recorded = [e.type async for page in inner.scan() for e in page].count("node.failed")
            flaky.left = max(0, flaky.left - recorded)
            assert await told(inner, flaky, answers, later=100.0) == expected, (at, written)
    assert died >= 10


async def told(store: Any, flaky: Flaky, answers: Sequence[Any], *, later: float = 0.0) -> Any:
    """Run to the end in a process of its own, and return the output, the graph and what was planned."""
    clock = JumpingClock()
    clock.time += later

    def critic(messages: Any) -> str:
        planned = "timeout now" in messages[-1].text
        return json.dumps(answers[1]) if planned else answers[0]

    options: Any = {"reflector": "critic"} if answers else {}
    async with Engine(
        store,
        graphs=[flaky.graph],
        recover=False,
        models={"critic": critic},
        clock=clock,
        **options,
    ) as engine:
        run = await engine.start(flaky.graph, run_id="r")
        output = await run
        shapes = (await run.state()).topology.nodes
        events = await history(run)
    facts = [
        (e.type, e.data)
        for e in events
        if e.type in ("reflection.made", "plan.revised", "node.added", "edge.added")
    ]
    return output, {name: shape.waits_for for name, shape in shapes.items()}, facts


@pytest.mark.parametrize("case", CASES)
async def test_a_replay_follows_the_recorded_plans_and_asks_nobody(case: str) -> None:
    make, answers = CASES[case]
    flaky = make()
    left = flaky.left
    said = [one if isinstance(one, str) else json.dumps(one) for one in answers]
    options: Any = {"models": {"critic": said}, "reflector": "critic"} if said else {"models": {}}
    async with Engine.memory(clock=JumpingClock(), **options) as engine:
        run = await engine.start(flaky.graph)
        await run
        flaky.left = left
        report = await run.replay()
        assert report.identical, str(report)


async def test_always_replaying_plans_anew_once() -> None:
    flaky = Flaky(1, KeyError("x"))
    output, events = await done(flaky, MENDED, always_replay=True)
    assert output == "rescue from here, work in Rome, beside, last"
    assert types(events).count("plan.revised") == 1


async def test_what_had_completed_is_compensated_when_a_plan_does_not_help() -> None:
    undone: list[str] = []
    graph = Graph("g", on_failure="reflect")
    graph.add_node("first", lambda: "x", compensate=lambda first: undone.append(first))

    @graph.node
    async def work(first: str) -> str:
        raise ValueError("invalid")

    error, _ = await done(graph)
    assert isinstance(error, RunFailedError)
    assert undone == ["x"]


async def test_reflections_plans_and_what_people_say_are_steps_of_the_trace() -> None:
    flaky = Flaky()
    async with Engine.memory(models={}, clock=JumpingClock()) as engine:
        run = await engine.start(flaky.graph)
        await run
        await run.feedback("work#2", kind="positive", id="f1")
        await run.feedback(kind="negative", id="f2")
        steps = (await run.trace()).steps
    told = {
        step.id: (step.type, step.name, step.within, step.parents)
        for step in steps.values()
        if step.type in ("reflection", "plan", "feedback")
    }
    assert told == {
        "work#1/reflection#1": ("reflection", "input_error", "work#1", ("work#1",)),
        "work#1/plan#1": ("plan", "work", "work#1", ("work#1/reflection#1",)),
        "work#2/feedback:f1": ("feedback", "positive", "work#2", ("work#2",)),
        "feedback:f2": ("feedback", "negative", "", ()),
    }
    assert steps["work#1"].status == "failed"
    assert steps["work#2"].parents == ("first#1", "work.check#1")


def nested(fails: list[int], *, inside: bool) -> Graph:
    """Return a graph with a graph inside, in which a node fails; the one or the other reflects on it."""
    inner = Graph("inner", on_failure="reflect" if inside else "fail")

    @inner.node
    async def first(city: str) -> str:
        return city

    @inner.node(output=True)
    async def work(first: str) -> str:
        if fails:
            fails.pop()
            raise ValueError("invalid city")
        return first.upper()

    outer = Graph("outer", on_failure="fail" if inside else "reflect")
    outer.add_node("before", lambda: "rome")
    outer.subgraph("sub", inner, take={"city": "before"})
    outer.add_node("last", lambda sub: f"{sub}!", output=True)
    return outer


@pytest.mark.parametrize("inside", [True, False])
async def test_a_graph_inside_a_graph_is_planned_anew_where_it_failed(*, inside: bool) -> None:
    fails = [1]
    async with Engine.memory(models={}, clock=JumpingClock()) as engine:
        run = await engine.start(nested(fails, inside=inside))
        assert await run == "ROME!"
        events = await history(run)
        (plan,) = [event for event in events if event.type == "plan.revised"]
        assert plan.address == ("sub#1.work#1" if inside else "sub#1")
        fails.append(1)
        report = await run.replay()
        assert report.identical, str(report)


async def test_a_run_that_is_planned_anew_goes_on_from_a_snapshot_of_any_moment() -> None:
    _, events = await done(Flaky(2))
    whole = fold_run(events)
    kept = 0
    for cut in range(1, len(events)):
        body = dump(fold_run(events[:cut]))
        if body is None:
            continue
        kept += 1
        found = restore(body)
        assert found is not None
        state = fold_run(events[cut:], found)
        assert (state.status, state.output) == (whole.status, whole.output)
        assert (state.pending, state.ready) == (whole.pending, whole.ready) == ({}, {})
        assert state.topology.nodes == whole.topology.nodes
        assert state.revisions == whole.revisions
    assert kept > 10
