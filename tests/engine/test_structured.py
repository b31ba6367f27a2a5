"""Answers of a given type."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel

from midstream import Context, Graph, Message, tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.scripted import ScriptedAdapter
from midstream.errors import ConfigError, OutputError, RunFailedError
from midstream.events.content import Refusal
from midstream.testing import Answer, Call, ProviderServer
from tests.conftest import MakeEngine
from tests.engine.stage import Door, call, calling, history, types


class Trip(BaseModel):
    city: str
    days: int = 3


class Odd:
    """Nothing that pydantic knows."""


@dataclass
class Point:
    x: int
    y: int


def asking(output: Any, **options: Any) -> Graph:
    graph = Graph("asking")

    @graph.node
    async def ask(ctx: Context) -> str:
        reply = await ctx.llm("plan", output=output, **options)
        return f"{reply.output!r} in {reply.turns}"

    return graph


@pytest.mark.parametrize(
    ("output", "answer", "expected"),
    [
        (Trip, '{"city": "Rome"}', "Trip(city='Rome', days=3)"),
        (Point, '{"x": 1, "y": 2}', "Point(x=1, y=2)"),
        (list[int], '{"value": [1, 2]}', "[1, 2]"),
        (int | str, '{"value": "a"}', "'a'"),
        (Trip, 'Here:\n```json\n{"city": "Rome", "days": 1}\n```', "Trip(city='Rome', days=1)"),
    ],
)
async def test_an_answer_is_a_value(
    make_engine: MakeEngine, output: Any, answer: str, expected: str
) -> None:
    engine = await make_engine(models={"m": [answer]})
    assert await (await engine.start(asking(output), model="m")) == f"{expected} in 1"


async def test_a_model_is_told_once_what_is_wrong(make_engine: MakeEngine) -> None:
    told: list[Message] = []

    def mend(messages: Any) -> str:
        told[:] = messages
        return '{"city": "Rome"}' if len(messages) > 1 else '{"days": "many"}'

    engine = await make_engine(models={"m": mend})
    run = await engine.start(asking(Trip), model="m")
    assert await run == "Trip(city='Rome', days=3) in 2"
    assert [message.role for message in told] == ["user", "assistant", "user"]
    assert "city: Field required; days: Input should be a valid integer" in told[2].text
    assert types(await history(run)).count("model.requested") == 2


async def test_an_answer_that_stays_wrong_is_a_named_error(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": ["no", "{}"]})
    run = await engine.start(asking(Trip), model="m")
    with pytest.raises(
        RunFailedError, match=r"bad_output: .*city: Field required.*also after"
    ) as ended:
        await run
    assert ended.value.failures[0].kind == "bad_output"  # type: ignore[attr-defined]  # a NodeError


async def test_what_cannot_be_mended_is_not_asked_for_again(make_engine: MakeEngine) -> None:
    from midstream.adapters import ModelResponse
    from midstream.events.content import assistant

    answers: list[Any] = [
        ModelResponse(assistant('{"city": "Ro'), finish="length"),
        Message(role="assistant", parts=(Refusal(text="no"),)),
    ]
    for answer, why in zip(answers, ("raise max_tokens", "refused to answer"), strict=True):
        engine = await make_engine(models={"m": [answer]})
        run = await engine.start(asking(Trip), model="m")
        with pytest.raises(RunFailedError, match=why):
            await run


async def test_the_error_says_what_was_said(make_engine: MakeEngine) -> None:
    caught: list[OutputError] = []
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> None:
        try:
            await ctx.llm("plan", output=Trip)
        except OutputError as error:
            caught.append(error)

    engine = await make_engine(models={"m": ["no", "still no"]})
    await (await engine.start(graph, model="m"))
    assert caught[0].text == "still no"
    assert caught[0].problem == "there is no JSON object in it"
    assert caught[0].step.endswith("/turn#2")


async def test_a_type_without_a_schema_is_refused_before_anything_is_asked(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models={"m": ["x"]})
    run = await engine.start(asking(Odd), model="m")
    with pytest.raises(RunFailedError, match=ConfigError.__name__):
        await run
    assert "model.requested" not in types(await history(run))


async def test_tools_come_before_the_answer(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    def look(city: str) -> str:
        return f"{city} is far"

    models = {"m": [calling(call("1", "look", '{"city": "Rome"}')), "{}", '{"city": "Rome"}']}
    engine = await make_engine(models=models)
    run = await engine.start(asking(Trip, tools=[look], max_turns=2), model="m")
    assert await run == "Trip(city='Rome', days=3) in 3"


async def test_a_resumed_run_validates_what_is_recorded_and_asks_nobody(
    make_engine: MakeEngine,
) -> None:
    graph = asking(Trip)
    async with make_engine(models={"m": ["{}", '{"city": "Rome"}']}, always_replay=True) as engine:
        assert await (await engine.start(graph, model="m")) == "Trip(city='Rome', days=3) in 2"


@pytest.mark.parametrize("streamed", [False, True])
async def test_both_wires_give_the_value_also_after_a_migration_in_the_middle(
    make_engine: MakeEngine, streamed: bool
) -> None:
    door, graph = Door(), Graph("moved")

    @tool(effect="read")
    async def look(city: str) -> str:
        await door()
        return f"{city} is far"

    @graph.node
    async def ask(ctx: Context) -> list[str]:
        reply = await ctx.llm("plan", output=Trip, tools=[look])
        return [repr(reply.output), reply.model, str(reply.turns)]

    answers = [
        Answer(calls=(Call("look", {"city": "Rome"}),)),
        Answer(text='{"days": "x"}'),
        Answer(text='{"city": "Rome", "days": 2}'),
    ]
    with ProviderServer(answers) as server:
        adapters = {
            "openai": OpenAIAdapter(api_key="k", base_url=server.openai_url),
            "anthropic": AnthropicAdapter(api_key="k", base_url=server.anthropic_url),
        }
        engine = await make_engine(adapters=adapters)
        run = await engine.start(graph, model="openai:gpt-4o")
        await door.reached()
        await run.migrate("anthropic:claude-opus-4-8")
        stream = run.stream() if streamed else None
        if stream is not None:
            await anext(stream)
        door.open()
        assert await run == ["Trip(city='Rome', days=2)", "anthropic:claude-opus-4-8", "3"]
        if stream is not None:
            await stream.aclose()  # type: ignore[attr-defined]  # it is a generator
        bodies = [seen.body for seen in server.requests]
        assert server.refused == []
    assert bodies[0]["response_format"]["json_schema"]["strict"] is True
    assert bodies[1]["output_config"]["format"]["type"] == "json_schema"
    assert bodies[2]["messages"][-1]["role"] == "user"


async def test_a_model_without_a_mode_of_its_own_answers_by_a_tool(make_engine: MakeEngine) -> None:
    answer = Answer(calls=(Call("Trip", {"city": "Rome", "days": 2}),))
    with ProviderServer([answer, answer]) as server:
        adapters = {
            "openai": OpenAIAdapter(api_key="k", base_url=server.openai_url),
            "anthropic": AnthropicAdapter(api_key="k", base_url=server.anthropic_url),
        }
        engine = await make_engine(adapters=adapters)
        for model in ("openai:gpt-3.5-turbo", "anthropic:claude-3-haiku-20240307"):
            run = await engine.start(asking(Trip), model=model)
            assert await run == "Trip(city='Rome', days=2) in 1"
            said = (await run.messages())[-1]
            assert (
                said.text == '{"city": "Rome", "days": 2}'
                or said.text == '{"city":"Rome","days":2}'
            )
            assert not said.tool_calls
        assert server.refused == []


async def test_a_scripted_model_sees_what_is_wanted(make_engine: MakeEngine) -> None:
    adapter = ScriptedAdapter({"m": ['{"city": "Rome"}']}, provider="s")
    engine = await make_engine(adapters={"s": adapter})
    await (await engine.start(asking(Trip), model="s:m"))
    assert adapter.requests[0].body["settings"]["output_schema"]["name"] == "Trip"
