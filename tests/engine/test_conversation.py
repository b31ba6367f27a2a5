"""Recorded conversations as runs, and conversations that go on."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream import tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.engine.runs.conversation_graph import conversation
from midstream.engine.runs.run import Run
from midstream.errors import ConfigError, ConversionError, RunExistsError
from midstream.testing import Answer, Call, ProviderServer
from tests.conftest import MakeEngine

TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "weather",
            "description": "Look out of the window.",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
        },
    }
]
CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "temperature": 0.5,
    "max_completion_tokens": 99,
    "metadata": {"team": "blue"},
    "stream": True,
    "messages": [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "name": "ada", "content": [{"type": "text", "text": "Rome or Oslo?"}]},
        {"role": "assistant", "content": "Rome."},
        {"role": "user", "content": "Is it raining there?"},
    ],
    "tools": TOOLS,
}
ANSWER: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1,
    "model": "gpt-4o-2024-08-06",
    "choices": [
        {
            "index": 0,
            "finish_reason": "tool_calls",
            "message": {
                "role": "assistant",
                "content": None,
                "tool_calls": [
                    {
                        "id": "call_1",
                        "type": "function",
                        "function": {"name": "weather", "arguments": '{"city": "Rome"}'},
                    }
                ],
            },
        }
    ],
    "usage": {"prompt_tokens": 50, "completion_tokens": 10, "total_tokens": 60},
}
MESSAGES: dict[str, Any] = {
    "model": "claude-opus-4-8",
    "max_tokens": 99,
    "system": [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}],
    "metadata": {"user_id": "u"},
    "messages": [
        {"role": "user", "content": "Rome or Oslo?"},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "sig"},
                {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "toolu_1",
                    "content": "rain",
                    "cache_control": {"type": "ephemeral"},
                }
            ],
        },
    ],
    "tools": [{"name": "weather", "input_schema": {"type": "object", "properties": {}}}],
}


async def settled(run: Run) -> None:
    async with asyncio.timeout(15):
        await run.parked()


def wired(server: ProviderServer) -> dict[str, Any]:
    return {
        "openai": OpenAIAdapter(api_key="k", base_url=server.openai_url),
        "anthropic": AnthropicAdapter(api_key="k", base_url=server.anthropic_url),
    }


@pytest.mark.parametrize(
    ("source", "request_"),
    [("openai-chat", CHAT), ("anthropic", MESSAGES)],
    ids=["chat", "messages"],
)
async def test_an_imported_request_is_at_home_what_was_recorded(
    make_engine: MakeEngine, source: str, request_: dict[str, Any]
) -> None:
    engine = await make_engine(adapters={}, recover=False)
    run = await engine.import_conversation(request_, source=source, run_id="r")
    provider = (await run.state()).model.partition(":")[0]
    view = await run.view(provider)
    assert view.request == request_
    assert view.changes == ()
    other = await run.view("anthropic" if provider == "openai" else "openai")
    assert other.losses
    assert all(change.seq > 0 for change in other.changes)


async def test_a_half_finished_tool_loop_is_moved_and_continued(make_engine: MakeEngine) -> None:
    with ProviderServer([Answer(text="Yes."), Answer(text="No.")]) as server:
        engine = await make_engine(adapters=wired(server), recover=False)
        run = await engine.import_conversation(CHAT, source="openai-chat", response=ANSWER)
        await run.migrate("anthropic:claude-opus-4-8")
        await run.resume()
        await settled(run)
        unknown = next(iter((await run.state()).open_calls))
        await run.settle(unknown, result="rain")
        await settled(run)
        await run.say("And in Oslo?", by="ada")
        await settled(run)
        await run.say(None)
        assert await run == "No."
        assert server.refused == []
        bodies = [seen.body for seen in server.requests]
    assert [message["role"] for message in bodies[0]["messages"]] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "user",
    ]
    assert bodies[0]["messages"][4]["content"][0]["content"] == "rain"
    assert bodies[1]["messages"][: len(bodies[0]["messages"])] == bodies[0]["messages"]
    assert (await run.usage()).total.input_tokens > 50


async def test_with_the_code_of_its_tools_it_goes_on_by_itself(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    def weather(city: str = "") -> str:
        """Another description than the one that the model was told."""
        return f"sun in {city}"

    answers = [Answer(calls=(Call("weather", {"city": "Oslo"}),)), Answer(text="Sun.")]
    with ProviderServer(answers) as server:
        graph = conversation([weather])
        engine = await make_engine(adapters=wired(server), recover=False, graphs=[graph])
        run = await engine.import_conversation(CHAT, source="openai-chat")
        await run.resume()
        await settled(run)
        assert (await run.messages())[-1].text == "Sun."
        first, second = (seen.body for seen in server.requests)
        assert server.refused == []
    assert first == {key: value for key, value in CHAT.items() if key != "stream"}
    assert second["tools"] == TOOLS
    assert second["metadata"] == {"team": "blue"}
    assert second["messages"][: len(first["messages"])] == first["messages"]


async def test_a_conversation_is_resumed_by_another_process(make_engine: MakeEngine) -> None:
    with ProviderServer([Answer(text="Yes."), Answer(text="No.")]) as server:
        async with make_engine(adapters=wired(server), recover=False) as first:
            run = await first.import_conversation(CHAT, source="openai-chat", run_id="r")
            await run.resume()
            await settled(run)
        second = await make_engine(adapters=wired(server), recover=False)
        again = await second.resume("r", conversation())
        await again.say("And in Oslo?")
        await settled(again)
        assert [message.text for message in await again.messages()][-2:] == ["And in Oslo?", "No."]
        assert len(server.requests) == 2


async def test_what_cannot_be_imported_is_refused_and_nothing_is_recorded(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(recover=False)
    with pytest.raises(ConversionError, match="no list of messages"):
        await engine.import_conversation({"model": "x"}, source="openai-chat", run_id="r")
    with pytest.raises(ConfigError, match="not known"):
        await engine.import_conversation(CHAT, source="latin", run_id="r")
    assert not await engine.runs()
    await engine.import_conversation(CHAT, source="openai-chat", run_id="r")
    with pytest.raises(RunExistsError):
        await engine.import_conversation(CHAT, source="openai-chat", run_id="r")


async def test_nobody_hears_what_is_said_after_the_end(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"gpt-4o": ["x"]}, recover=False)
    run = await engine.import_conversation(CHAT, source="openai-chat")
    await run.say(None)
    await run.resume()
    assert await run == "x"
    with pytest.raises(ConfigError, match="ended"):
        await run.say("hello?")
