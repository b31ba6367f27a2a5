"""Ready-made nodes: models, tools, agents and people asked by data, in a graph and in a running node."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnusedFunction=false, reportUnknownLambdaType=false, reportUnknownMemberType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from midstream import Agent, Context, Engine, Graph, Message, Retry, tool
from midstream.engine.ready import functions as ready
from midstream.errors import ConfigError, GraphError, RunFailedError
from midstream.events.memory import MemoryStore
from tests.conftest import MakeEngine
from tests.engine.stage import JumpingClock, call, calling, history
from tests.engine.test_people import asked


class Sights(BaseModel):
    names: list[str]

    @field_validator("names")
    @classmethod
    def some(cls, names: list[str]) -> list[str]:
        if not names:
            raise ValueError("name at least one")
        return names


@tool(effect="read")
async def search(query: str, limit: int = 3) -> list[str]:
    """Search for something."""
    return [f"{query} {number}" for number in range(limit)]


@tool(effect="read")
async def late(timeout: int, model: str = "") -> list[Any]:
    return [timeout, model]


def said(messages: Sequence[Message]) -> str:
    return messages[-1].text


async def test_a_template_that_names_a_node_waits_for_it(make_engine: MakeEngine) -> None:
    graph = Graph("trip")
    graph.llm("plan", "A plan from {{ find[0] }}, {{ find | length }} sights, in {{ city }}")
    graph.tool("find", search, query="sights in {{ city }}", limit="{{ days * 2 }}")
    assert graph.definition["nodes"]["plan"]["values"] == {"find": "find"}  # type: ignore[call-overload,index]
    assert graph.input_names == {"city": True, "days": True}
    engine = await make_engine(models={"m": said})
    run = await engine.start(graph, city="Rome", days=1, model="m")
    assert await run == "A plan from sights in Rome 0, 2 sights, in Rome"
    assert (await run.replay()).identical


async def test_the_answer_has_the_form_that_is_asked_for(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.llm("typed", "typed", output=Sights)
    graph.llm("plain", "plain", schema={"type": "object", "properties": {"n": {"type": "integer"}}})
    graph.llm("both", "{{ typed.names }} {{ plain.n }}", output=True)

    def answer(messages: Sequence[Message]) -> str:
        return {"typed": '{"names": ["Forum"]}', "plain": '{"n": 2}'}.get(
            said(messages), said(messages)
        )

    engine = await make_engine(models={"m": answer})
    assert await (await engine.start(graph, model="m")) == '["Forum"] 2'


async def test_a_model_is_told_where_it_does_not_answer_by_the_json_schema(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")
    graph.llm("count", "How many?", schema={"type": "integer", "minimum": 3})
    engine = await make_engine(models={"m": ['{"value": 1}', '{"value": 4}']})
    run = await engine.start(graph, model="m")
    assert await run == 4
    told = [e.data for e in await history(run) if e.type == "model.requested"][-1]
    assert "at least 3" in str(told)


async def test_settings_tools_and_options_are_those_of_the_call(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.llm(
        "ask",
        "Where?",
        system="You know {{ city }}",
        tools=[search],
        model="m",
        temperature=0.5,
        settings={"max_tokens": 7},
        retry=Retry(attempts=2),
    )
    engine = await make_engine(
        models={"m": [calling(call("c1", "search", '{"query": "x"}')), "there"]}
    )
    run = await engine.start(graph, city="Rome")
    assert await run == "there"
    first = next(e.data for e in await history(run) if e.type == "model.requested")
    assert first["system"] == "You know Rome"
    assert first["settings"] == {"temperature": 0.5, "max_tokens": 7}
    assert graph.nodes["ask"].retry == Retry(attempts=2)


async def test_an_agent_in_a_graph_is_the_one_of_a_context(make_engine: MakeEngine) -> None:
    guide = Agent("guide", system="You guide", tools=[search], model="m")
    graph = Graph("g")
    graph.agent("go", "Show me {{ city }}", agent_type=guide, memory="talks")
    engine = await make_engine(
        models={"m": [calling(call("c1", "search", '{"query": "x"}')), "the Forum"]}
    )
    run = await engine.start(graph, city="Rome")
    assert await run == "the Forum"
    events = await history(run)
    began = next(e.data for e in events if e.type == "agent.started")
    assert (began["agent_type"], began["task"], began["tools"]) == (
        "guide",
        "Show me Rome",
        ["search"],
    )
    assert "memory.written" in [e.type for e in events]


async def test_a_question_waits_for_a_person_and_gives_the_answer(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.question(
        "where", "From {{ city }} to where?", schema={"type": "string"}, show={"from": "{{ city }}"}
    )
    graph.question("sure", "To {{ where }}?", kind="confirm", output=True)
    engine = await make_engine()
    run = await engine.start(graph, city="Rome")
    question = await asked(run)
    assert (question.text, question.show) == ("From Rome to where?", {"from": "Rome"})
    await run.answer(question.id, value="Oslo", by="alice")
    sure = await asked(run)
    assert (sure.kind, sure.text) == ("confirm", "To Oslo?")
    await run.answer(sure.id, approved=True)
    assert await run is True


@pytest.mark.parametrize(
    "when", [{"within": 60.0}, {"deadline": "2040-01-01T00:00:00+00:00"}, {"deadline": "{{ end }}"}]
)
async def test_a_question_nobody_answers_ends_with_its_default(when: dict[str, Any]) -> None:
    graph = Graph("g")
    graph.question("where", "Where?", default=None, **when)
    graph.question("sure", "Sure?", kind="confirm", default=True, within=1.0, output=True)
    graph.add_node("both", lambda where, sure: [where, sure], output=True)
    inputs = {"end": "2040-01-01T00:00:00+00:00"} if "{{ end }}" in when.values() else {}
    async with Engine.memory(clock=JumpingClock()) as engine:
        assert (await (await engine.start(graph, inputs=inputs)))["both"] == [None, True]


async def test_a_map_renders_each_item(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.map(
        "ask",
        ready.llm("{{ item.name }} in {{ city }}"),
        over="{{ wanted | selectattr('near') | list }}",
        key="{{ item.name }}",
    )
    engine = await make_engine(models={"m": said})
    wanted = [
        {"name": "a", "near": True},
        {"name": "b", "near": False},
        {"name": "c", "near": True},
    ]
    run = await engine.start(graph, wanted=wanted, city="Rome", model="m")
    assert await run == ["a in Rome", "c in Rome"]
    assert "ask#1[c]" in (await run.state()).activations


async def test_a_condition_may_be_a_template(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("size", lambda n: n)
    graph.tool("big", search, query="big", when="{{ size > 3 }}", output=True)
    graph.tool("small", search, query="small", limit=1, when="{{ size <= 3 }}", output=True)
    engine = await make_engine()
    assert await (await engine.start(graph, n=2)) == {"small": ["small 0"]}
    assert len((await (await engine.start(graph, n=4)))["big"]) == 3


async def test_a_running_node_adds_what_a_graph_is_made_of() -> None:
    guide = Agent("guide", system="You guide")

    def made() -> Graph:
        graph = Graph("g")
        graph.register(search, name="search")
        graph.agents["guide"] = guide

        @graph.node(output=True)
        async def choose(city: str, ctx: Context) -> str:
            ctx.add_node("found", ready.tool(search, query="{{ city }}", limit=1))
            ctx.add_node("told", ready.llm("{{ found[0] }}!", schema={"type": "string"}))
            ctx.add_node("shown", ready.agent("{{ told }}", agent_type=guide), output=True)
            return city

        return graph

    def answer(messages: Sequence[Message]) -> str:
        return '{"value": "Rome!"}' if said(messages) == "Rome 0!" else said(messages)

    store = MemoryStore()
    async with Engine(store, models={"m": answer}) as engine:
        run = await engine.start(made(), city="Rome", model="m", run_id="r")
        assert await run == {"choose": "Rome", "shown": "Rome!"}
        added = [e.data for e in await history(run) if e.type == "node.added"]
    assert added[0]["definition"]["ready"] == {
        "type": "tool",
        "tool": "search",
        "arguments": {"query": "{{ city }}", "limit": 1},
    }
    async with Engine(store, models={"m": answer}, graphs=[made()]) as engine:
        assert (await engine.run("r").replay()).identical


async def test_what_another_process_would_not_find_cannot_be_added_in_a_run() -> None:
    async def outcome(function: Any) -> str:
        graph = Graph("g")

        @graph.node
        async def choose(ctx: Context) -> None:
            ctx.add_node("added", function)

        async with Engine.memory() as engine:
            with pytest.raises(RunFailedError) as caught:
                await (await engine.start(graph))
        return str(caught.value)

    assert "no function 'search'" in await outcome(ready.tool(search, query="x"))
    assert "does not know the agent 'guide'" in await outcome(
        ready.agent("x", agent_type=Agent("guide"))
    )


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda g: g.tool("t", search), "node 't': tool 'search' needs an argument 'query'"),
        (lambda g: g.tool("t", search, query="x", quary="y"), "has no parameter 'quary'; it takes"),
        (lambda g: g.tool("t", late, timeout=3), "is an option of nodes and an argument"),
        (lambda g: g.llm("p", "{{ a"), "graph 'g': node 'p': prompt, line 1"),
        (lambda g: g.llm("p", "{{ ctx }}"), "'ctx' has a meaning of its own"),
        (lambda g: g.llm("p", "{{ p }}"), "it would wait for itself"),
        (lambda g: g.llm("p", "x", max_turns=0), "node 'p': max_turns"),
        (lambda g: g.llm("p", "x", tools=[search, search]), "two tools are named 'search'"),
        (lambda g: g.llm("p", "x", when="{{ a }} b"), "gives text"),
        (lambda g: g.question("q", "x", default=1), "give it within"),
        (lambda g: g.question("q", "x", kind="confirm", schema=int), "takes no schema"),
        (lambda g: g.question("q", "x", kind="maybe"), "node 'q': kind"),
        (lambda g: g.llm("p", "x", take={"a": "b"}), "no parameter 'a' for take"),
        (
            lambda g: g.map("m", ready.llm("{{ item }}"), over="a", key="{{ b }}"),
            "'b' is not known here",
        ),
        (lambda g: g.llm("p", "x", model="a:b", task_group="c"), "names its model twice"),
    ],
)
def test_what_is_wrong_is_refused_when_the_graph_is_built(make: Any, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        make(Graph("g"))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda g: g.question("q", "x", deadline="tomorrow"), "no moment"),
        (lambda g: g.question("q", "x", deadline="2040-01-01T00:00:00"), "no time zone"),
        (lambda g: g.llm("p", "x", context="cut"), "'cut' is none of"),
    ],
)
def test_a_wrong_option_is_refused_when_the_graph_is_built(make: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        make(Graph("g"))


def test_two_agents_of_one_name_are_refused() -> None:
    graph = Graph("g")
    graph.agent("a", "x", agent_type=Agent("guide"))
    with pytest.raises(GraphError, match="another agent 'guide'"):
        graph.agent("b", "x", agent_type=Agent("guide", system="else"))


def test_two_tools_of_one_name_are_refused() -> None:
    def other() -> None: ...

    graph = Graph("g")
    graph.tool("a", search, query="x")
    graph.tool("b", search, query="y")
    other.__name__ = "search"
    with pytest.raises(GraphError, match="another function 'search'"):
        graph.tool("c", other)


async def test_what_a_template_misses_is_told_with_node_line_and_remedy() -> None:
    graph = Graph("g")
    graph.add_node("facts", lambda: {"name": "Forum"})
    graph.llm("plan", "Go to\n{{ facts.nam }}")
    async with Engine.memory(models={"m": ["x"]}) as engine:
        with pytest.raises(RunFailedError) as caught:
            await (await engine.start(graph, model="m"))
    told = str(caught.value)
    assert "graph 'g': node 'plan': prompt, line 2" in told
    assert "no 'nam' in an object that has 'name'" in told
    assert "is defined" in told


def test_a_changed_prompt_is_another_graph() -> None:
    def digest(prompt: str) -> str:
        graph = Graph("g")
        graph.llm("plan", prompt)
        return graph.digest

    assert digest("a") == digest("a") != digest("b")


def test_a_template_takes_a_node_by_another_name() -> None:
    graph = Graph("g")
    graph.tool("deep-search", search, query="x")
    graph.llm("plan", "{{ facts }}", take={"facts": "deep-search"})
    nodes: Any = graph.definition["nodes"]
    assert nodes["plan"]["values"] == {"facts": "deep-search"}


@pytest.mark.parametrize(
    ("options", "model"),
    [
        ({"llm_wrapper": "group:a", "task_group": "b", "llm_client": "c:d"}, "group:a"),
        ({"task_group": "b", "polling_pool": "p"}, "group:b"),
        ({"polling_pool": "p", "llm_client": "c:d"}, "pool:p"),
        ({"llm_client": "c:d"}, "c:d"),
        ({"model": "c:d"}, "c:d"),
        ({}, ""),
    ],
)
def test_a_node_names_its_model_by_wrapper_group_pool_or_client(
    options: dict[str, Any], model: str
) -> None:
    graph = Graph("g")

    @graph.node(**options)
    async def plan(ctx: Context) -> None: ...

    assert graph.llm("ask", "x", **options).model == graph.nodes["plan"].model == model
