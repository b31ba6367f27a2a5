"""The law of documents: a graph that is written and read is the same graph."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import ContextPolicy, Continue, Engine, Graph, Limits, Retry
from midstream.engine.nodes.node_spec import PLAN_OPTIONS
from midstream.engine.ready import functions as ready
from midstream.errors import GraphError, RunFailedError
from tests.engine.documents import code

NAMES = ("a", "b", "c", "d-1", "e.2")
KINDS = ("function", "llm", "tool", "agent", "question", "map", "subgraph", "plan")


def plain_text(text: str) -> str:
    """Return a text in which Jinja2 finds nothing."""
    return text.replace("{", "(").replace("\0", "")


TEXT = (
    st.text(max_size=6)
    | st.sampled_from(["no", "on", "1", "~", " a\n b \n", "\x85x\u2028", "é: -", "null"])
).map(plain_text)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
SETTINGS = st.dictionaries(st.sampled_from(("temperature", "max_tokens")), st.integers(0, 9))


def pick(draw: st.DrawFn, options: dict[str, st.SearchStrategy[Any]]) -> dict[str, Any]:
    """Return some of these options."""
    names = draw(st.lists(st.sampled_from(sorted(options)), unique=True, max_size=6))
    return {name: draw(options[name]) for name in names}


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """Graphs with nodes of every kind, and every option."""
    graph = Graph(
        "law",
        version=draw(st.sampled_from(("", "2"))),
        context=draw(st.sampled_from((None, "trim", ContextPolicy("trim", keep=3)))),
        limits=draw(st.sampled_from((Limits(), Limits(activations=9, seconds=2.5, depth=3)))),
        on_failure=draw(st.sampled_from(("fail", "reflect"))),
        on_change=draw(st.sampled_from((None, "pin", "upgrade"))),
        description=draw(TEXT),
        variables=draw(st.dictionaries(st.text("cinty", min_size=1, max_size=4), JSON, max_size=2)),
    )
    graph.register(code.handle, name="handle")
    graph.register(lambda number: number, name="unnamed")
    graph.add_node("handler", code.handle, start=False, on_failure="fail")
    for name in NAMES[: draw(st.integers(1, len(NAMES)))]:
        add(draw, graph, name)
    return graph


def add(draw: st.DrawFn, graph: Graph, name: str) -> None:
    before = [known for known in graph.nodes if known != "handler"]
    some = st.lists(st.sampled_from(before), unique=True, max_size=2) if before else st.just([])
    retry = Retry(attempts=4, on=frozenset(("timeout", "ValueError")))
    options = pick(
        draw,
        {
            "after": some,
            "output": st.booleans(),
            "retry": st.sampled_from((retry, Retry(), Retry(attempts=1, delay=2.0))),
            "timeout": st.sampled_from((1.5, 60.0)),
            "idle_timeout": st.just(2.0),
            "total_timeout": st.just(3.0),
            "model": st.sampled_from(("a:b", "group:fast")),
            "when": st.sampled_from(("{{ number > 3 }}", code.is_big, "handle", "unnamed")),
            "on_failure": st.sampled_from(
                ("fail", "skip", "reflect", "handler", Continue(None), Continue([1]))
            ),
            "compensate": st.sampled_from(("handler", code.double)),
            "start": st.just(True),
            "distribute": st.booleans(),
        },
    )
    match draw(st.sampled_from(KINDS)):
        case "function":
            function: Any = draw(st.sampled_from((code.double, code.add, code.looped, "unnamed")))
            graph.add_node(name, function, **options)
            if function is code.add and before:
                graph.add_edge(before[0], name, to="one")
        case "llm":
            form: Any = draw(st.sampled_from((None, code.Sights, list[str], {"type": "integer"})))
            extra = pick(
                draw,
                {
                    "system": TEXT,
                    "tools": st.just([code.search]),
                    "thread": st.sampled_from((None, "t")),
                    "max_turns": st.integers(1, 5),
                    "experience": st.sampled_from((True, "x")),
                    "context": st.sampled_from(("trim", ContextPolicy("summarise", keep=1))),
                    "settings": SETTINGS,
                },
            )
            graph.llm(name, draw(TEXT) + "{{ city }}", schema=form, **extra, **options)
        case "tool":
            given = draw(st.fixed_dictionaries({"query": JSON.map(no_templates)}))
            graph.tool(name, code.search, arguments={**given, "limit": "{{ number }}"}, **options)
        case "agent":
            extra = pick(
                draw,
                {
                    "agent_type": st.sampled_from((code.GUIDE, "by name")),
                    "memory": st.just("m"),
                    "max_iterations": st.integers(1, 4),
                    "schema": st.just(code.Sights),
                },
            )
            graph.agent(name, draw(TEXT), **extra, **options)
        case "question":
            extra = pick(draw, {"show": JSON.map(no_templates), "schema": st.just(int)})
            ends: Any = draw(
                st.sampled_from(({}, {"within": 9.0, "default": None}, {"deadline": "{{ end }}"}))
            )
            graph.question(name, draw(TEXT), **extra, **ends, **options)
        case "plan":
            extra = pick(
                draw,
                {
                    "max_nodes": st.integers(1, 30),
                    "max_rounds": st.integers(1, 30),
                    "experience": st.sampled_from((True, False, "x")),
                    "settings": SETTINGS,
                },
            )
            goal: Any = draw(st.sampled_from(("a plan", "sights of {{ city }}", code.aim)))
            allowed = {k: v for k, v in options.items() if k in PLAN_OPTIONS}
            if allowed.get("on_failure") == "handler":
                del allowed["on_failure"]
            graph.plan(
                name, goal=goal, nodes=[code.search, code.looped, "handle"], **extra, **allowed
            )
        case _:
            each: Any = draw(st.sampled_from((code.double, ready.llm("{{ item }}", schema=int))))
            over = draw(st.sampled_from(("number", "{{ city.all }}", code.items)))
            key = draw(st.sampled_from((None, "{{ item }}", code.key_of, "handle")))
            order = draw(st.sampled_from(("results", "completed")))
            options.pop("distribute", None)
            graph.map(name, each, over=over, key=key, order=order, concurrency=2, **options)  # type: ignore[arg-type]  # drawn


INNER = Graph("inner", variables={"size": 1}, on_failure="reflect")
INNER.tool("looked", code.search, query="{{ city }}", limit="{{ size }}")
INNER.add_node("told", code.described, take={"facts": "looked"})


def inner_graph() -> Graph:
    """Return the one graph that is inside others: two of one name are refused."""
    return INNER


def no_templates(value: Any) -> Any:
    """Return JSON in which Jinja2 finds nothing."""
    match value:
        case str():
            return plain_text(value)
        case list():
            return [no_templates(one) for one in value]  # pyright: ignore[reportUnknownVariableType]  # JSON
        case dict():
            return {plain_text(key): no_templates(one) for key, one in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
        case _:
            return value


GIVEN: dict[str, Any] = {
    "functions": {"unnamed": lambda number: number},
    "agents": {"guide": code.GUIDE},
}


@settings(deadline=None, max_examples=50)
@given(graph=graphs())
def test_a_graph_that_is_written_and_read_is_the_same(graph: Graph) -> None:
    data = graph.to_data()
    for read in (
        Graph.from_data(data, **GIVEN),
        Graph.from_json(graph.to_json(), **GIVEN),
        Graph.from_yaml(graph.to_yaml(), **GIVEN),
    ):
        assert read.digest == graph.digest
        assert read.definition == graph.definition
        assert read.to_data() == data
        assert read.input_names == graph.input_names
        assert (read.name, read.version, read.description) == (
            graph.name,
            graph.version,
            graph.description,
        )
        assert (read.limits, dict(read.variables)) == (graph.limits, dict(graph.variables))
        assert read.on_change == graph.on_change
    assert graph.to_mermaid().startswith("flowchart TD\n")


def by_code() -> Graph:
    graph = Graph("trip", variables={"number": 2})
    graph.tool("find", code.search, query="in {{ city }}", limit="{{ number }}")
    graph.add_node("told", code.described, output=True)
    graph.llm("plan", "Go to {{ told }}", output=True, retry=Retry(attempts=2))
    graph.map("twice", code.double, over="{{ [number, 5] }}", key=code.key_of, output=True)
    graph.add_node("looped", code.looped, output=True)
    graph.add_node("broken", code.fail, on_failure="handler", output=True)
    graph.add_node("handler", code.handle, start=False, output=True)
    graph.add_node("big", code.double, when=code.is_big, output=True)
    graph.add_node("inside", INNER, args={"size": 1}, output=True)
    graph.map("each", INNER, over="{{ [city] }}", output=True)
    return graph


BY_HAND = """
format: 1
name: trip
variables: {number: 2}
nodes:
  find:
    type: tool
    tool: tests.engine.documents.code:search
    arguments: {query: "in {{ city }}", limit: "{{ number }}"}
  told: {type: function, function: "tests.engine.documents.code:described", output: true}
  plan:
    type: llm
    prompt: Go to {{ told }}
    output: true
    retry: {attempts: 2}
  twice:
    type: map
    each: {type: function, function: "tests.engine.documents.code:double"}
    over: "{{ [number, 5] }}"
    key: {function: "tests.engine.documents.code:key_of"}
    output: true
  looped: {type: function, function: "tests.engine.documents.code:looped", output: true}
  broken:
    type: function
    function: tests.engine.documents.code:fail
    on_failure: handler
    output: true
  handler:
    type: function
    function: tests.engine.documents.code:handle
    start: false
    output: true
  big:
    type: function
    function: tests.engine.documents.code:double
    when: {function: "tests.engine.documents.code:is_big"}
    output: true
  inside: {type: subgraph, graph: inner, args: {size: 1}, output: true}
  each: {type: map, each: {type: subgraph, graph: inner}, over: "{{ [city] }}", output: true}
graphs:
  inner:
    variables: {size: 1}
    on_failure: reflect
    nodes:
      looked:
        type: tool
        tool: tests.engine.documents.code:search
        arguments: {query: "{{ city }}", limit: "{{ size }}"}
      told: {type: function, function: "tests.engine.documents.code:described", take: {facts: looked}}
"""


@pytest.mark.parametrize(
    "graph",
    [
        by_code(),
        Graph.from_json(by_code().to_json()),
        Graph.from_yaml(by_code().to_yaml()),
        Graph.from_yaml(BY_HAND),
    ],
    ids=("code", "json", "yaml", "by hand"),
)
async def test_the_same_graph_in_either_form_does_the_same(graph: Graph) -> None:
    assert graph.digest == by_code().digest
    async with Engine.memory(models={"m": lambda said: said[-1].text}) as engine:
        run = await engine.start(graph, city="Rome", model="m")
        assert await run == {
            "told": "in Rome 0, in Rome 1",
            "plan": "Go to in Rome 0, in Rome 1",
            "twice": [4, 10],
            "looped": 3,
            "handler": "ValueError",
            "inside": "Rome 0",
            "each": ["Rome 0"],
        }
        assert {"twice#1[k2]", "looped#3"} <= set((await run.state()).activations)


async def test_a_run_goes_on_with_the_same_graph_in_the_other_form() -> None:
    async with Engine.memory(models={"m": ["x"]}, graphs=[Graph.from_yaml(BY_HAND)]) as engine:
        run = await engine.start(by_code(), city="Rome", model="m")
        with pytest.raises(RunFailedError):
            await (await engine.start(broken(), number=1))
        assert (await run)["plan"] == "x"
        assert (await run.replay(graph=Graph.from_yaml(BY_HAND))).identical


def broken() -> Graph:
    graph = Graph("broken")
    graph.add_node("broken", code.fail)
    return Graph.from_data(graph.to_data())


PLANNING = """
name: planning
functions: {handle: "tests.engine.documents.code:handle"}
nodes:
  answer:
    type: plan
    goal: What is in {{ city }}?
    nodes: ["tests.engine.documents.code:search", handle]
    max_nodes: 3
    settings: {temperature: 0}
    output: true
"""

DRAWN = """{"nodes": [{"name": "look", "use": "search", "args": {"query": "Rome"}}], "edges": []}"""


def planning_by_code() -> Graph:
    graph = Graph("planning")
    graph.register(code.handle, name="handle")
    graph.plan(
        "answer",
        goal="What is in {{ city }}?",
        nodes=[code.search, "handle"],
        max_nodes=3,
        settings={"temperature": 0},
        output=True,
    )
    return graph


async def test_a_plan_that_is_data_plans_as_the_one_that_is_code() -> None:
    graph, read = planning_by_code(), Graph.from_yaml(PLANNING)
    assert read.digest == graph.digest
    assert read.to_data() == graph.to_data()
    assert graph.to_data()["nodes"]["answer"]["type"] == "plan"
    assert 'n0[("answer.plan")]' in read.to_mermaid()
    async with Engine.memory(models={"m": [DRAWN]}) as engine:
        run = await engine.start(graph, city="Rome", model="m")
        assert await run == ["Rome 0", "Rome 1", "Rome 2"][: len(await run)]
        assert "look#1" in (await run.state()).activations
        # What the model was asked is the same to the letter, or its answer would not be found again.
        assert (await run.replay(graph=read)).identical


def test_a_plan_that_was_changed_by_hand_cannot_be_written() -> None:
    graph = planning_by_code()
    graph.add_node("before", code.items)
    graph.add_edge("before", "answer")
    with pytest.raises(GraphError, match=r"only what graph.plan\('answer', …\) has made"):
        graph.to_data()
