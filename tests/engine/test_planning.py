"""A model plans: what it draws is checked, refused once with reasons, recorded as changes of the graph, and followed."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from midstream import Context, Continue, Engine, Event, Graph, Limits, Run, tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.engine.ready.plan import Plan, PlannedEdge, PlannedNode
from midstream.errors import GraphError, NodeError, PlanError, RunFailedError
from midstream.events.memory import MemoryStore
from midstream.projections.run_state import fold_run
from midstream.projections.timeline import line
from midstream.testing import Answer, ProviderServer
from tests.engine.experience.test_library import Killed
from tests.engine.stage import JumpingClock, history, types
from tests.engine.test_reflection import CountingStore


def double(number: int) -> int:
    """Twice a number."""
    return 2 * number


def add(one: int, other: int = 1) -> int:
    """A sum."""
    return one + other


def gather(results: list[int]) -> list[int]:
    """All in order."""
    return results


def fails() -> int:
    """Never any."""
    raise ValueError("as planned")


def is_small(number: int) -> bool:
    """Whether it is below 20."""
    return number < 20


def title(words: str) -> str:
    """In capitals."""
    return words.title()


@tool(effect="read")
async def look(query: str) -> str:
    """Look something up."""
    return f"found {query}"


USABLE = (double, add, gather, is_small, title, look)


def node(name: str, use: str, inputs: str | None = None, **args: Any) -> dict[str, Any]:
    return {"name": name, "use": use, "args": args, "inputs": inputs}


def edge(source: str, target: str, to: str = "", rounds: int = 0, when: str = "") -> dict[str, Any]:
    return {"source": source, "target": target, "to": to, "rounds": rounds, "when": when}


def plan(
    nodes: Sequence[Any], edges: Sequence[Any] = (), output: Sequence[str] = ()
) -> dict[str, Any]:
    return {"nodes": list(nodes), "edges": list(edges), "output": list(output)}


def planning(**options: Any) -> Graph:
    """Return a graph with a node before a plan, one after it, and one that nothing goes to."""
    graph = Graph("planning", limits=Limits(activations=500))

    @graph.node
    async def first() -> int:
        return 5

    @graph.node(start=False)
    async def never() -> int:
        return 0

    given: dict[str, Any] = {"model": "planner", "nodes": USABLE, **options}
    graph.plan("answer", goal="a number", after=[first], **given)

    @graph.node(output=True)
    async def report(answer: Any) -> Any:
        return {"answer": answer}

    return graph


Answers = Sequence[Any] | Callable[[Any], str]


async def played(
    *answers: Any, graph: Graph | None = None, **options: Any
) -> tuple[Any, list[Event]]:
    """Return the output of a run whose planner answers this, or how it failed, and its events."""
    said = [one if isinstance(one, str) else json.dumps(one) for one in answers]
    made = planning() if graph is None else graph
    async with Engine.memory(models={"planner": said}, **options) as engine:
        run = await engine.start(made)
        return await ended(run), await history(run)


async def ended(run: Run) -> Any:
    try:
        return await run
    except RunFailedError as error:
        return error


def kinds(error: Any) -> dict[str, str]:
    """Return how a run has failed: the kind of error of each node."""
    assert isinstance(error, RunFailedError)
    return {one.node: one.kind for one in error.failures if isinstance(one, NodeError)}


TWO = plan([node("a", "double", number=4), node("b", "add")], [edge("a", "b", "one")])


async def test_a_plan_is_followed_and_its_result_is_the_output_of_the_node() -> None:
    output, events = await played(TWO)
    assert output == {"answer": 9}
    added = [event for event in events if event.type == "node.added"]
    assert [event.data["name"] for event in added] == ["a", "b"]
    assert {event.address for event in added} == {"answer.plan#1"}
    completed = next(
        e for e in events if e.type == "node.completed" and e.address == "answer.plan#1"
    )
    assert completed.seq == types(events).index("node.completed", added[0].seq) + 1
    assert completed.data["output"] == {
        "nodes": [
            {"name": "a", "use": "double", "args": {"number": 4}},
            {"name": "b", "use": "add"},
        ],
        "edges": [{"source": "a", "target": "b", "to": "one"}],
        "output": ["b"],
    }


async def test_several_results_are_a_mapping_and_the_plan_may_choose_them() -> None:
    nodes = [node("a", "double", number=4), node("b", "double", number=5)]
    assert (await played(plan(nodes)))[0] == {"answer": {"a": 8, "b": 10}}
    assert (await played(plan(nodes, output=["b"])))[0] == {"answer": 10}


async def test_results_come_in_the_order_of_the_edges_and_take_nodes_of_the_graph() -> None:
    nodes = [node("all", "gather", "merge"), node("a", "double", number=4), node("b", "double")]
    edges = [edge("b", "all"), edge("first", "all"), edge("a", "all"), edge("first", "b", "number")]
    assert (await played(plan(nodes, edges)))[0] == {"answer": [10, 5, 8]}


async def test_a_loop_goes_back_as_often_as_it_may() -> None:
    loop = edge("a", "a", "number", rounds=3)
    output, events = await played(plan([node("a", "double", number=1)], [loop]))
    assert output == {"answer": 16}
    assert types(events).count("edge.decided") == 3


async def test_a_loop_over_several_nodes_goes_back_while_a_function_says_so() -> None:
    nodes = [node("a", "double", number=1), node("b", "add"), node("c", "double")]
    back = edge("b", "a", "number", rounds=10, when="is_small")
    edges = [edge("a", "b", "one"), back, edge("b", "c", "number")]
    output, events = await played(plan(nodes, edges))
    assert output == {"answer": 62}  # 3, 7, 15, 31
    assert types(events).count("edge.decided") == 3
    state = fold_run(events)
    assert [a for a in state.activations if a[1] == "#"] == [
        *(f"{name}#{n}" for n in range(1, 5) for name in "ab"),
        "c#1",
    ]


async def test_a_tool_of_a_plan_is_called_as_a_node_calls_it() -> None:
    output, events = await played(plan([node("a", "look", query="x")]))
    assert output == {"answer": "found x"}
    assert "tool.completed" in types(events)


ONE = node("a", "double", number=1)

REFUSED: Mapping[str, tuple[dict[str, Any], str]] = {
    "an unknown function": (plan([node("a", "explode")]), "uses 'explode', which it cannot"),
    "a function of the graph that is not the plan's": (
        plan([node("a", "first")]),
        "uses 'first', which it cannot",
    ),
    "no nodes": (plan([]), "it has no nodes"),
    "too many nodes": (
        plan([node(f"n{n}", "double", number=n) for n in range(21)]),
        "21 nodes, and 20 are the most",
    ),
    "too many edges": (plan([ONE], [edge("first", "a")] * 401), "401 edges, and 400"),
    "two nodes of a name": (plan([ONE, ONE]), "two nodes are named 'a'"),
    "a name that is taken": (plan([node("first", "double", number=1)]), "a node 'first' already"),
    "a name that is none": (plan([node("1 a", "double", number=1)]), "must begin with a letter"),
    "an edge from nowhere": (plan([ONE], [edge("x", "a")]), "there is no node 'x'"),
    "an edge to nowhere": (plan([ONE], [edge("a", "x")]), "'x' is no node of the plan"),
    "an edge to a node of the graph": (
        plan([ONE], [edge("a", "report")]),
        "'report' is no node of the plan",
    ),
    "an output that is none": (plan([ONE], output=["x"]), "output 'x' is no node of the plan"),
    "an edge from what never runs": (
        plan([ONE], [edge("never", "a")]),
        "node 'never' has no output and will have none",
    ),
    "an edge from what waits for the plan": (
        plan([node("a", "double")], [edge("report", "a", "number")]),
        "would close a cycle",
    ),
    "a cycle": (
        plan(
            [node("a", "double"), node("b", "double")],
            [edge("a", "b", "number"), edge("b", "a", "number")],
        ),
        "is a loop without a bound: give the edge that leads back rounds from 1 to 10",
    ),
    "a node that waits for itself": (
        plan([ONE], [edge("a", "a")]),
        "a → a is a loop without a bound",
    ),
    "too many rounds": (plan([ONE], [edge("a", "a", rounds=11)]), "11 rounds, and 10 are the most"),
    "a loop that does not come back": (
        plan([ONE, node("b", "double", number=1)], [edge("b", "a", rounds=1)]),
        "'a' does not lead to 'b'",
    ),
    "a loop out of the plan": (
        plan([ONE], [edge("first", "a", rounds=1)]),
        "'first' is no node of the plan",
    ),
    "two loops from a node": (
        plan([ONE], [edge("a", "a", rounds=1), edge("a", "a", rounds=2)]),
        "a node goes back to one node only",
    ),
    "a loop that gives what nobody takes": (
        plan([ONE], [edge("a", "a", "x", rounds=1)]),
        "node 'a' has no parameter 'x'",
    ),
    "a loop that asks what it cannot": (
        plan([ONE], [edge("a", "a", rounds=1, when="first")]),
        "'first' cannot be asked",
    ),
    "a loop that asks a tool": (
        plan([ONE], [edge("a", "a", rounds=1, when="look")]),
        "'look' must be a plain function of one value",
    ),
    "an argument too few": (plan([node("a", "add")]), "parameter 'one' of node 'a' has no value"),
    "an argument too many": (
        plan([node("a", "double", number=1, more=2)]),
        "has no parameter 'more'",
    ),
    "an argument of another type": (
        plan([node("a", "double", number="many")]),
        "argument 'number' wants",
    ),
    "an output that cannot fit": (
        plan(
            [node("all", "gather", "merge"), node("t", "title")],
            [edge("first", "all"), edge("all", "t", "words")],
        ),
        "wants a text, but node 'all' returns a list",
    ),
    "an edge to a parameter that there is not": (
        plan([ONE], [edge("first", "a", "x")]),
        "has no parameter 'x' for take to fill",
    ),
    "a parameter that is given twice": (
        plan([ONE], [edge("first", "a", "number")]),
        "parameter 'number' of node 'a' is given twice",
    ),
    "a parameter that takes two outputs": (
        plan([node("a", "double"), node("b", "add", one=1)], [edge("first", "a", "number")] * 2),
        "parameter 'number' of node 'a' is given twice",
    ),
    "no plan": ({"steps": []}, "nodes: Field required"),
}


@pytest.mark.parametrize("case", REFUSED)
async def test_a_plan_that_cannot_be_followed_is_refused_and_told_why_once(case: str) -> None:
    refused, why = REFUSED[case]
    said: list[str] = []
    answers = iter([refused, TWO])

    def planner(messages: Any) -> str:
        said.append(messages[-1].text)
        return json.dumps(next(answers))

    async with Engine.memory(models={"planner": planner}) as engine:
        run = await engine.start(planning())
        assert await run == {"answer": 9}
    assert len(said) == 2
    assert why in said[1]


@pytest.mark.parametrize("case", REFUSED)
async def test_a_plan_that_is_refused_twice_changes_nothing_and_fails_by_name(case: str) -> None:
    refused, why = REFUSED[case]
    error, events = await played(refused, refused)
    assert isinstance(error, RunFailedError)
    assert kinds(error) == {"answer.plan": "PlanError"}
    assert why in str(error)
    assert not {"node.added", "edge.added", "edge.decided"} & set(types(events))
    assert [*fold_run(events).topology.nodes] == [
        "first",
        "never",
        "answer.plan",
        "answer",
        "report",
    ]


async def test_nonsense_is_refused_like_a_wrong_plan() -> None:
    assert (await played("I would rather not.", TWO))[0] == {"answer": 9}
    error, _ = await played("no", "no")
    assert kinds(error) == {"answer.plan": "PlanError"}


async def test_several_reasons_are_told_together_and_not_too_many() -> None:
    many = plan([node(f"n{n}", "explode") for n in range(12)], [edge("x", "n1")])
    error, _ = await played(many, many)
    assert str(error).count("which it cannot") == 8
    assert "and 5 more" in str(error)


async def test_a_parameter_named_like_an_input_takes_it() -> None:
    graph = Graph("g")
    graph.register(double, name="twice")
    graph.plan("answer", goal=lambda number: f"more than {number}", nodes=[add, "twice"], model="p")
    graph.add_node("last", lambda answer: answer, output=True)
    told: list[str] = []

    def planner(messages: Any) -> str:
        told.append(messages[-1].text)
        return json.dumps(plan([node("a", "twice")]))

    async with Engine.memory(models={"p": planner}) as engine:
        assert await (await engine.start(graph, number=4)) == 8
    assert told[0].startswith("more than 4\n")
    assert "- add(one: int, other: int (optional)): A sum." in told[0]
    assert "- twice(number: int): Twice a number." in told[0]


@pytest.mark.parametrize("city", ["Rome", None])
async def test_a_goal_is_a_template_over_nodes_and_inputs(city: str | None) -> None:
    graph = Graph("g")
    graph.add_node("days", lambda: 3)
    goal = "{{ days }} days in {{ city }}{% if style is defined %}, {{ style }}{% endif %}"
    graph.plan("answer", goal=goal, nodes=[double], model="p", output=True)
    told: list[str] = []

    def planner(messages: Any) -> str:
        told.append(messages[-1].text)
        return json.dumps(plan([ONE]))

    async with Engine.memory(models={"p": planner}) as engine:
        if city is None:
            with pytest.raises(GraphError, match="input 'city' is missing"):
                await engine.start(graph)
            return
        assert await (await engine.start(graph, city=city)) == 2
        await (await engine.start(graph, city=city, style="plain"))
    assert [one.partition("\n")[0] for one in told] == ["3 days in Rome", "3 days in Rome, plain"]


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"goal": "{{ days"}, "plan 'answer': goal, line 1"),
        ({"nodes": []}, "names nothing"),
        ({"nodes": ["nobody"]}, "there is no function 'nobody'"),
        ({"max_nodes": 0}, "must be 1 or more"),
        ({"max_rounds": 0}, "must be 1 or more"),
        ({"on_failure": "explode"}, "on_failure must be"),
    ],
)
def test_a_planner_that_could_not_plan_is_refused(options: dict[str, Any], why: str) -> None:
    given: dict[str, Any] = {"goal": "x", "nodes": [double], **options}
    with pytest.raises(GraphError, match=why):
        Graph("g").plan("answer", **given)


def test_a_goal_is_said_by_a_plain_function() -> None:
    async def goal() -> str:
        return ""

    with pytest.raises(GraphError, match="goal must be a plain function"):
        Graph("g").plan("answer", goal=goal, nodes=[double])  # type: ignore[arg-type]  # the mistake


async def test_the_limits_of_a_plan_are_those_that_its_node_says() -> None:
    graph = planning(max_nodes=1, max_rounds=1)
    error, _ = await played(TWO, TWO, graph=graph)
    assert "2 nodes, and 1 are the most" in str(error)
    again = plan([ONE], [edge("a", "a", rounds=2)])
    error, _ = await played(again, again, graph=planning(max_rounds=1))
    assert "2 rounds, and 1 are the most" in str(error)


async def test_a_plan_that_is_skipped_skips_who_waits_for_it() -> None:
    output, events = await played({}, {}, graph=planning(on_failure="skip"))
    assert output is None
    assert types(events)[-1] == "run.completed"


async def test_a_value_may_stand_in_for_a_plan_that_could_not_be_made() -> None:
    output, events = await played({}, {}, graph=planning(on_failure=Continue(None)))
    assert output == {"answer": None}
    assert types(events)[-1] == "run.completed"


async def test_a_value_may_stand_in_for_each_node_of_a_plan_that_fails() -> None:
    drawn = plan([node("a", "double", number=2), node("b", "fails")])
    graph = planning(on_failure=Continue("instead"), nodes=[double, fails])
    output, events = await played(drawn, graph=graph)
    assert output == {"answer": {"a": 4, "b": "instead"}}
    added = [e.data["definition"] for e in events if e.type == "node.added"]
    assert [one["on_failure"] for one in added] == [{"continue": "instead"}] * 2


async def test_any_node_can_follow_a_plan_of_its_own() -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> str:
        draft = Plan(
            nodes=(
                PlannedNode(name="a", use="double", args={"number": 3}),
                PlannedNode(name="b", use="add"),
            ),
            edges=(PlannedEdge(source="a", target="b", to="one"),),
        )
        ctx.add_plan(draft, into="last")
        with pytest.raises(PlanError, match="uses 'double', which it cannot"):
            ctx.add_plan(draft, functions=["add"])
        with pytest.raises(PlanError, match="a node 'a' already") as refused:
            ctx.add_plan(draft, dry_run=True)
        assert (refused.value.node, len(refused.value.reasons)) == ("choose", 1)
        return "chosen"

    graph.register(double)
    graph.register(add)

    @graph.node(after=[choose], inputs="named", output=True)
    def last(outputs: dict[str, Any]) -> dict[str, Any]:
        return outputs

    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == {"choose": "chosen", "b": 7}


async def test_a_loop_whose_beginning_was_taken_out_does_not_go_back() -> None:
    graph = Graph("g")

    @graph.node
    async def choose(ctx: Context) -> None:
        draft = Plan(
            nodes=(
                PlannedNode(name="a", use="double", args={"number": 1}),
                PlannedNode(name="b", use="double", args={"number": 2}),
            ),
            edges=(
                PlannedEdge(source="a", target="b"),
                PlannedEdge(source="b", target="a", rounds=3),
            ),
        )
        ctx.add_plan(draft)
        ctx.remove_node("a")

    graph.register(double)
    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == {"choose": None, "b": 4}
        assert "edge.decided" not in types(await history(run))


async def test_a_plan_is_visible_wherever_a_run_is_looked_at() -> None:
    async with Engine.memory(models={"planner": [json.dumps(TWO)]}) as engine:
        run = await engine.start(planning())
        await run
        events = await history(run)
        told = [line(event) for event in events]
        assert any(one.type == "node.added" and "a" in one.text for one in told)
        steps = (await run.trace()).steps
        assert {"answer.plan#1", "a#1", "b#1", "answer#1"} <= steps.keys()
        assert steps["answer#1"].parents == ("answer.plan#1", "b#1")
        state = await run.state()
        assert {"a", "b"} <= state.topology.nodes.keys()


async def test_a_replay_uses_the_plan_of_the_log_and_asks_nobody() -> None:
    asked: list[Any] = []

    def planner(messages: Any) -> str:
        asked.append(messages)
        return json.dumps(TWO if len(asked) > 1 else {})

    async with Engine.memory(models={"planner": planner}) as engine:
        run = await engine.start(planning())
        assert await run == {"answer": 9}
        report = await run.replay()
        assert report.identical, str(report)
        assert len(asked) == 2


async def test_always_replaying_plans_once() -> None:
    output, events = await played({}, TWO, always_replay=True)
    assert output == {"answer": 9}
    assert types(events).count("node.added") == 2


LOOPING = plan(
    [node("a", "double", number=1), node("b", "look", query="x"), node("c", "gather", "merge")],
    [edge("a", "a", "number", rounds=2), edge("a", "c"), edge("first", "c")],
    ["c", "b"],
)


async def test_planning_ends_the_same_wherever_its_process_dies() -> None:
    expected = await told(MemoryStore())
    assert expected[0] == {"answer": {"c": [8, 5], "b": "found x"}}
    died = 0
    for at in range(1, 40):
        for written in (False, True):
            inner = MemoryStore()
            try:
                await told(CountingStore(inner, at, written=written))
            except Killed:
                died += 1
            assert await told(inner, later=100.0) == expected, (at, written)
    assert died >= 16


async def told(store: Any, *, later: float = 0.0) -> Any:
    """Run to the end in a process of its own, and return the output and what the graph has become."""
    clock = JumpingClock()
    clock.time += later

    def planner(messages: Any) -> str:
        return json.dumps(LOOPING if len(messages) > 2 else {})

    graph = planning()
    models: Any = {"planner": planner}
    async with Engine(store, graphs=[graph], recover=False, models=models, clock=clock) as engine:
        run = await engine.start(graph, run_id="r")
        output = await run
        shapes = (await run.state()).topology.nodes
        facts = [e.data for e in await history(run) if e.type in ("node.added", "edge.added")]
    return output, {name: shape.waits_for for name, shape in shapes.items()}, facts


@pytest.mark.parametrize("model", ["openai:gpt-4o", "anthropic:claude-sonnet-4-5"])
async def test_any_provider_can_plan_and_is_told_the_form_of_a_plan(model: str) -> None:
    drawn: list[dict[str, Any]] = [{"nodes": []}, TWO]
    answers = [Answer(text=json.dumps(one)) for one in drawn]
    with ProviderServer(answers) as server:
        adapters = {
            "openai": OpenAIAdapter(api_key="k", base_url=server.openai_url),
            "anthropic": AnthropicAdapter(api_key="k", base_url=server.anthropic_url),
        }
        async with Engine.memory(adapters=adapters) as engine:
            assert await (await engine.start(planning(model=model))) == {"answer": 9}
        assert server.refused == []
        assert "PlannedNode" in json.dumps(server.requests[0].body)
        assert "it has no nodes" in json.dumps(server.requests[1].body)
