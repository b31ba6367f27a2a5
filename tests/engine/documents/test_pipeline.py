"""Pipelines: stages as nodes, agents and actions as the reader knows them, and the native form afterwards."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

import json
from typing import Any

import pytest

from midstream import Agent, Continue, Engine, Graph, tool
from midstream.engine.ready.planner import planned_of
from midstream.errors import GraphError, RunFailedError
from tests.engine.documents import code

PIPELINE = """
name: report
version: "1.2"
description: A report
variables: {topic: tea}
stages:
  - name: research
    agent: scout
    action: search
    timeout_seconds: 30
    retry_policy: {max_attempts: 4, backoff_seconds: 0.5, backoff_multiplier: 3}
  - name: check
    agent: scout
    action: fail
    depends_on: [research]
    continue_on_failure: true
  - name: write
    agent: writer
    action: draft
    depends_on: [research, check]
    retry_policy: {max_retries: 1}
"""


class Scout:
    """An agent whose methods are its actions."""

    def search(self, topic: str) -> list[str]:
        return [f"{topic} is hot"]

    def fail(self, research: list[str]) -> None:
        raise ValueError(research)


def known() -> dict[str, Any]:
    return {
        "agents": {"scout": Scout(), "writer": Agent("writer", system="You write")},
        "actions": {"draft": "Write about {{ topic }}: {{ research | join('; ') }}"},
    }


async def test_a_pipeline_runs_as_a_graph() -> None:
    graph = Graph.from_yaml(PIPELINE, **known())
    assert (graph.name, graph.version, graph.description) == ("report", "1.2", "A report")
    async with Engine.memory(models={"m": lambda said: said[-1].text}) as engine:
        run = await engine.start(graph, model="m")
        assert await run == "Write about tea: tea is hot"
        assert dict((await run.state()).inputs) == {"topic": "tea"}


def test_the_options_of_a_stage_are_those_of_its_node() -> None:
    nodes = Graph.from_yaml(PIPELINE, **known()).nodes
    research, check, write = nodes["research"], nodes["check"], nodes["write"]
    assert (research.timeout, research.retry.attempts, research.retry.delay) == (30, 4, 0.5)
    assert research.retry.factor == 3
    assert research.retry.on == {"*"}
    assert (check.after, check.on_failure) == (("research",), Continue(None))
    assert (write.after, write.retry.attempts) == (("research", "check"), 2)


def test_a_pipeline_is_written_in_the_native_form() -> None:
    graph = Graph.from_yaml(PIPELINE, **known())
    data = graph.to_data()
    assert data["nodes"]["write"]["type"] == "agent"
    assert data["functions"] == {"scout.search": None, "scout.fail": None}
    scout = known()["agents"]["scout"]
    functions = {"scout.search": scout.search, "scout.fail": scout.fail}
    again = Graph.from_json(graph.to_json(), functions=functions, agents=known()["agents"])
    assert again.digest == graph.digest
    assert again.to_data() == data


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        (
            ("agent: writer", "agent: poet"),
            {},
            "line 17: stages.2: action 'draft' is a task, but 'poet' is no Agent; agents are scout, writer",
        ),
        (
            ("action: search", "action: sing"),
            {},
            "stages.0: there is no action 'sing' of agent 'scout'",
        ),
        (("action: search", "action: __init__"), {}, "there is no action '__init__'"),
        (("name: check", "name: research"), {}, "there is a stage 'research' already"),
        (("depends_on: [research]", "depends_on: [nothing]"), {}, "is after 'nothing'"),
        (
            ("depends_on: [research]", "depend_on: [research]"),
            {},
            "stages.1.depend_on: unknown key",
        ),
        (("max_retries: 1", "tries: 1"), {}, "stages.2.retry_policy.tries: unknown key"),
        ((), {"actions": {"search": "a task", "draft": ""}}, "'scout' is no Agent"),
        (("name: check", "name: 'not a name'"), {}, "line 12: stages.1: graph 'report': node name"),
    ],
)
def test_what_is_wrong_in_a_pipeline_is_told(
    change: tuple[str, str] | tuple[()], given: dict[str, Any], said: str
) -> None:
    text = PIPELINE.replace(*change) if change else PIPELINE
    with pytest.raises(GraphError) as caught:
        Graph.from_yaml(text, **{**known(), **given})
    assert said in str(caught.value)


def test_an_action_may_be_a_function_by_agent_and_action() -> None:
    text = "name: x\nstages: [{name: a, agent: any, action: act}, {name: b, action: act}]"
    graph = Graph.from_yaml(text, actions={"any.act": code.double, "act": code.looped})
    assert graph.nodes["a"].function is code.double
    assert graph.nodes["b"].function is code.looped
    assert Graph.from_yaml(graph.to_yaml()).digest == graph.digest


def test_an_agent_may_be_a_mapping_of_its_actions() -> None:
    text = "name: x\nstages: [{name: a, agent: one, action: act}]"
    graph = Graph.from_yaml(text, agents={"one": {"act": code.double}})
    assert graph.nodes["a"].function is code.double


PLANNING = """
name: outing
variables: {city: Rome}
stages:
  - {name: places, agent: scout, action: look}
  - name: day
    agent: guide
    action: fill
    depends_on: [places]
    timeout_seconds: 30
    retry_policy: {max_attempts: 2}
    plan:
      nodes: [visit, scout.eat]
      model: planner
      max_nodes: 4
      max_rounds: 2
      settings: {temperature: 0.5}
  - {name: told, agent: scout, action: tell, depends_on: [day]}
"""


class Walker:
    """An agent whose methods are its actions."""

    def look(self, city: str) -> list[str]:
        return [f"a church in {city}"]

    def eat(self, dish: str) -> str:
        """Eat something."""
        return f"ate {dish}"

    def tell(self, day: Any = "nothing") -> str:
        return f"told: {day}"


def visit(places: list[str]) -> str:
    """Visit them all."""
    return f"saw {' and '.join(places)}"


@tool(effect="read")
async def buy(what: str) -> str:
    """Buy something."""
    return f"bought {what}"


def outing(text: str = PLANNING, **given: Any) -> Graph:
    known: dict[str, Any] = {
        "agents": {"scout": Walker()},
        "actions": {"guide.fill": "A day of {{ places | length }} places", "visit": visit},
    }
    known["agents"] |= given.pop("agents", {})
    return Graph.from_yaml(text, **{**known, **given})


def drawn(*nodes: dict[str, Any], edges: tuple[Any, ...] = ()) -> str:
    return json.dumps({"nodes": nodes, "edges": edges})


async def test_a_stage_may_plan_with_the_actions_that_it_names() -> None:
    asked: list[str] = []

    def planner(messages: Any) -> str:
        asked.append(messages[-1].text)
        return drawn(
            {"name": "walk", "use": "visit", "args": {}},
            {"name": "lunch", "use": "scout.eat", "args": {"dish": "pizza"}},
        )

    async with Engine.memory(models={"planner": planner}) as engine:
        run = await engine.start(outing())
        assert await run == "told: {'walk': 'saw a church in Rome', 'lunch': 'ate pizza'}"
    assert asked[0].startswith("A day of 1 places")
    assert "visit(" in asked[0]
    assert "scout.eat(" in asked[0]


def test_the_options_of_a_stage_that_plans_are_those_of_its_plan() -> None:
    planning = outing().nodes["day.plan"]
    assert (planning.after, planning.timeout, planning.model) == (("places",), 30, "planner")
    assert planning.retry.attempts == 2
    plan = planned_of(planning)
    assert plan is not None
    assert (plan.functions, plan.max_nodes, plan.max_rounds) == (("visit", "scout.eat"), 4, 2)
    assert plan.settings == {"temperature": 0.5}


def test_a_pipeline_that_plans_is_written_in_the_native_form() -> None:
    graph = outing()
    data = graph.to_data()
    assert data["nodes"]["day"]["type"] == "plan"
    walker = Walker()
    names = {"scout.look": walker.look, "scout.eat": walker.eat, "scout.tell": walker.tell}
    again = Graph.from_json(graph.to_json(), functions={**names, "visit": visit})
    assert again.digest == graph.digest
    assert again.to_data() == data


async def test_an_agent_that_plans_uses_its_tools_and_its_model() -> None:
    text = (
        "name: x\nstages: [{name: day, agent: guide, action: fill, plan: {settings: {top_p: 1}}}]"
    )
    guide = Agent("guide", model="p", tools=[buy], settings={"temperature": 0}, experience=False)
    graph = outing(text, agents={"guide": guide})
    plan = planned_of(graph.nodes["day.plan"])
    assert plan is not None
    assert (plan.functions, plan.experience) == (("buy",), False)
    assert plan.settings == {"temperature": 0, "top_p": 1}
    planned = drawn({"name": "b", "use": "buy", "args": {"what": "tea"}})
    async with Engine.memory(models={"p": [planned]}) as engine:
        assert await (await engine.start(graph, places=[])) == "bought tea"


def test_a_goal_is_a_function_or_stands_in_the_plan() -> None:
    def fill(places: list[str]) -> str:
        return f"all of {places}"

    by_function = outing(actions={"guide.fill": fill, "visit": visit}).nodes["day.plan"]
    plan = planned_of(by_function)
    assert plan is not None
    assert plan.goal is fill
    own = PLANNING.replace("nodes: [visit", "goal: See {{ city }}\n      nodes: [visit")
    plan = planned_of(outing(own, actions={"visit": visit}).nodes["day.plan"])
    assert plan is not None
    assert plan.goal == "See {{ city }}"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ("{}", "told: None"),
        (drawn({"name": "x", "use": "fails", "args": {}}), "told: None"),
    ],
)
async def test_a_stage_whose_plan_fails_may_be_gone_on_from(answer: str, told: str) -> None:
    def fails() -> str:
        raise ValueError("as planned")

    text = PLANNING.replace("nodes: [visit", "nodes: [fails")
    text = text.replace("    timeout_seconds", "    continue_on_failure: true\n    timeout_seconds")
    actions = {"guide.fill": "A day", "fails": fails}
    without = text.replace("continue_on_failure: true", "continue_on_failure: false")
    models: dict[str, Any] = {"planner": lambda said: answer}
    async with Engine.memory(models=models) as engine:
        assert await (await engine.start(outing(text, actions=actions))) == told
    async with Engine.memory(models=models) as engine:
        with pytest.raises(RunFailedError):
            await (await engine.start(outing(without, actions=actions)))


@pytest.mark.parametrize(
    ("change", "given", "said"),
    [
        (
            ("nodes: [visit", "nodes: [vist"),
            {},
            "line 6: stages.1: its plan names 'vist', and there is no such function; there are guide.fill, scout.look, visit",
        ),
        (("nodes: [visit, scout.eat]", "goal: x"), {}, "its plan names nothing that could be used"),
        (("nodes: [visit, scout.eat]", "nodes: ['no_module_here:x']"), {}, "cannot import"),
        (
            ("nodes: [visit, scout.eat]", "nodes: ['json:dumps']"),
            {"imports": False},
            "would be imported",
        ),
        (("max_nodes: 4", "max_nodes: 0"), {}, "stages.1.plan.max_nodes"),
        (
            ("max_nodes: 4", "most: 4"),
            {},
            "stages.1.plan.most: unknown key 'most'; known are goal,",
        ),
        (("action: fill", "action: no"), {}, "there is no agent 'guide'"),
        (
            (),
            {"agents": {"guide": Agent("guide", system="You plan")}},
            "agent 'guide' has system=, of which a stage that plans makes no use",
        ),
        (
            ("scout.eat]", "buy]"),
            {"agents": {"guide": Agent("guide", tools=[buy])}, "functions": {"buy": visit}},
            "its plan names 'buy', which two functions are named",
        ),
    ],
)
def test_what_is_wrong_in_a_stage_that_plans_is_told(
    change: tuple[str, str] | tuple[()], given: dict[str, Any], said: str
) -> None:
    with pytest.raises(GraphError) as caught:
        outing(PLANNING.replace(*change) if change else PLANNING, **given)
    assert said in str(caught.value)
