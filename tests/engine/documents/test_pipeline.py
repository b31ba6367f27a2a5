"""Pipelines: stages as nodes, agents and actions as the reader knows them, and the native form afterwards."""

# Graphs of lambdas say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false

from __future__ import annotations

from typing import Any

import pytest

from midstream import Agent, Continue, Engine, Graph
from midstream.errors import GraphError
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
