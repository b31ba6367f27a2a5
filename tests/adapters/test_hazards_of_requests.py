"""Conversion hazards of what stands around a conversation: settings, media, files of a provider, streams, processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from midstream import convert
from midstream.adapters import Adapter, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.anthropic.parse import Assembly
from midstream.adapters.anthropic.parse import parse as parse_messages
from midstream.adapters.compatible import PROFILES, CompatibleAdapter
from midstream.adapters.estimate import tokens as estimated
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.openai.parse import parse as parse_chat
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.wire import INVALID
from midstream.errors import MalformedAnswerError
from midstream.events.content import (
    Image,
    Message,
    Part,
    Reasoning,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    user,
)
from tests.adapters.conversations import PNG

OPENAI, RESPONSES = OpenAIAdapter(api_key="k"), ResponsesAdapter(api_key="k")
ANTHROPIC, GEMINI = AnthropicAdapter(api_key="k"), GeminiAdapter(api_key="k")
HOMES: dict[str, tuple[Adapter, str]] = {
    "openai-chat": (OPENAI, "gpt-4o"),
    "openai-responses": (RESPONSES, "gpt-5"),
    "anthropic": (ANTHROPIC, "claude-sonnet-4-5"),
    "gemini": (GEMINI, "gemini-3-pro-preview"),
}


def asked(name: str, *messages: Message, **settings: Any) -> tuple[dict[str, Any], set[str]]:
    adapter, model = HOMES[name]
    model = settings.pop("model", model)
    view = adapter.render(adapter.begin(model), Segment(1, messages, tools=(ToolSpec(name="f"),)))
    request = adapter.request(view, settings)
    kinds = {change.kind for change in (*view.changes, *request.changes)}
    return json.loads(json.dumps(request.body)), kinds


def answer(*parts: Part, origin: str) -> Message:
    return Message(role="assistant", parts=parts, origin=origin)


def results(id_: str) -> Message:
    return Message(role="tool", parts=(ToolResult(id=id_, name="f", parts=(Text(text="r"),)),))


def test_h007_instructions_of_a_request_are_in_its_head_and_no_turn() -> None:
    said = {"model": "gpt-5", "instructions": "Be brief.", "input": "hi"}
    assert convert(said, source="openai-responses", target="openai-responses").request == said
    other = {**said, "instructions": "Be long."}
    for body, text in ((said, "Be brief."), (other, "Be long.")):
        found = convert(body, source="openai-responses", target="anthropic").request
        assert [block["text"] for block in found["system"]] == [text]
        assert [turn["role"] for turn in found["messages"]] == ["user"]


def test_h067_thoughts_between_calls_stay_where_they_were() -> None:
    def thought(text: str) -> Reasoning:
        return Reasoning(text=text, proof="c2ln")

    origin = "anthropic:claude-sonnet-4-5"
    view = ANTHROPIC.render(
        ANTHROPIC.begin("claude-sonnet-4-5"),
        Segment(
            1,
            (
                user("x"),
                answer(thought("one"), ToolCall(id="a", name="f"), origin=origin),
                results("a"),
                answer(thought("two"), ToolCall(id="b", name="f"), origin=origin),
                results("b"),
            ),
            tools=(ToolSpec(name="f"),),
        ),
    )
    kinds = [
        (turn["role"], [block["type"] for block in turn["content"]])
        for turn in view.tape.list()[1:]
    ]
    loop = [("assistant", ["thinking", "tool_use"]), ("user", ["tool_result"])]
    assert kinds == [*loop, *loop]
    assert view.tape.list()[3]["content"][0] == {
        "type": "thinking",
        "thinking": "two",
        "signature": "c2ln",
    }


@pytest.mark.parametrize("name", HOMES)
def test_h071_thinking_that_is_turned_off_in_a_loop_changes_nothing_that_was_told(
    name: str,
) -> None:
    adapter, model = HOMES[name]
    origin = f"{adapter.provider}:{model}"
    thought = Reasoning(text="hm", item_id="rs_1", proof="c2ln")
    call = answer(thought, ToolCall(id="call_1", name="f", item_id="fc_1"), origin=origin)
    loop = (user("x"), call, results("call_1"))
    on, _ = asked(name, *loop, reasoning_effort="high", max_tokens=30_000)
    off, _ = asked(name, *loop, reasoning_effort="none", max_tokens=30_000)
    for key in ("messages", "input", "contents", "system", "tools"):
        assert on.get(key) == off.get(key)


@pytest.mark.parametrize(
    ("model", "limit", "thinking", "kind"),
    [
        ("claude-sonnet-4-5", 30_000, {"type": "enabled", "budget_tokens": 16_384}, None),
        (
            "claude-sonnet-4-5",
            2_048,
            {"type": "enabled", "budget_tokens": 2_047},
            "setting_clamped",
        ),
        ("claude-sonnet-4-5", 1_024, None, "setting_dropped"),
        ("claude-opus-4-8", 2_048, {"type": "adaptive"}, None),
        ("claude-fable-5", 2_048, {"type": "adaptive"}, None),
    ],
)
def test_h073_a_model_is_told_to_think_by_a_budget_or_by_an_effort_as_it_knows(
    model: str, limit: int, thinking: Any, kind: str | None
) -> None:
    body, kinds = asked(
        "anthropic", user("x"), model=model, reasoning_effort="high", max_tokens=limit
    )
    assert body.get("thinking") == thinking
    assert kinds == ({kind} if kind else set())


def test_h078_a_hint_of_one_dialect_is_reported_elsewhere_and_there_again_at_home() -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://e.org/a.png", "detail": "high"}}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": [picture]}]}
    found = convert(body, source="openai-chat", target="anthropic")
    assert [change.kind for change in found.losses] == ["hint_dropped"]
    assert "detail" in found.losses[0].detail
    # to another model of the vendor, whose request is made anew
    again = convert(body, source="openai-chat", target="openai-chat", model="gpt-5").request
    assert again["messages"][0]["content"] == [picture]


def test_h080_what_is_known_of_a_document_goes_home_and_is_reported_elsewhere() -> None:
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "the text"},
        "title": "A title",
        "context": "from the archive",
        "citations": {"enabled": True},
    }
    body = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": [document]}],
    }
    assert convert(body, source="anthropic", target="anthropic").request == body
    for target in ("openai-chat", "openai-responses", "gemini"):
        found = convert(body, source="anthropic", target=target)
        assert "hint_dropped" in {change.kind for change in found.losses}
        assert "A title" in json.dumps(found.request)


@pytest.mark.parametrize("source", ["openai-responses", "anthropic"])
def test_h089_a_compaction_that_only_its_issuer_can_read_is_reported(source: str) -> None:
    bodies: dict[str, dict[str, Any]] = {
        "openai-responses": {
            "model": "gpt-5",
            "input": [
                {"type": "compaction", "id": "cmp_1", "encrypted_content": "c2ln"},
                {"role": "user", "content": "x"},
            ],
        },
        "anthropic": {
            "model": "claude-opus-4-8",
            "max_tokens": 9,
            "messages": [
                {"role": "assistant", "content": [{"type": "compaction", "content": None}]},
                {"role": "user", "content": "x"},
            ],
        },
    }
    body = bodies[source]
    assert convert(body, source=source, target=source).request == body
    for target in HOMES.keys() - {source}:
        found = convert(body, source=source, target=target)
        assert {change.kind for change in found.losses} == {"opaque_dropped"}, target


def test_h094_a_number_is_sent_as_it_was_given() -> None:
    for name in ("openai-chat", "gemini"):
        body, kinds = (
            asked(name, user("x"), temperature=0.7, model="gemini-2.5-flash")
            if (name == "gemini")
            else asked(name, user("x"), temperature=0.7)
        )
        assert '"temperature": 0.7' in json.dumps(body)
        assert kinds == set()
    chat = {"model": "gpt-4o", "temperature": 0.7, "messages": [{"role": "user", "content": "x"}]}
    there = convert(chat, source="openai-chat", target="gemini", model="gemini-2.5-flash").request
    back = convert({**there, "model": "g"}, source="gemini", target="openai-chat", model="gpt-4o")
    assert back.request["temperature"] == 0.7


def test_h100_h101_labels_and_tiers_of_one_service_are_not_told_to_another() -> None:
    body = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"a": "1"},
        "user": "u1",
        "service_tier": "flex",
        "store": True,
    }
    found = convert(body, source="openai-chat", target="anthropic")
    assert not found.request.keys() & {"metadata", "user", "service_tier", "store"}
    assert {change.detail.partition("=")[0] for change in found.losses} == {
        "metadata",
        "user",
        "service_tier",
        "store",
    }
    claude = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "metadata": {"user_id": "u1"},
    }
    assert convert(claude, source="anthropic", target="anthropic").request == claude
    assert "metadata" not in convert(claude, source="anthropic", target="openai-chat").request


def test_h102_fields_that_one_dialect_has_go_to_it_and_to_no_other() -> None:
    own: dict[str, Any] = {
        "native": {"dialect": "anthropic", "fields": {"betas": ["x-1"]}, "said": []}
    }
    body, kinds = asked("anthropic", user("x"), **own)
    assert (body["betas"], kinds) == (["x-1"], set())
    for name in HOMES.keys() - {"anthropic"}:
        body, kinds = asked(name, user("x"), **own)
        assert "betas" not in body
        assert kinds == {"setting_dropped"}


def started(id_: str) -> dict[str, Any]:
    message: dict[str, Any] = {"id": id_, "model": "m", "content": [], "usage": {"input_tokens": 1}}
    return {"type": "message_start", "message": message}


def streamed(*events: dict[str, Any]) -> Message:
    assembly = Assembly({})
    for event in events:
        assembly.add(event)
    return parse_messages(assembly.whole(), provider="anthropic", model="m", names={}).message


def said(text: str) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "text_delta", "text": text},
        },
    ]


END: list[dict[str, Any]] = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}},
    {"type": "message_stop"},
]


def test_h109_a_beginning_that_comes_twice_is_one() -> None:
    assert streamed(started("a"), started("a"), *said("hi"), *END).text == "hi"


def test_h109_two_answers_in_one_stream_are_not_one() -> None:
    with pytest.raises(MalformedAnswerError):
        streamed(started("a"), *said("hi"), started("b"), *said("there"), *END)


def test_h111_a_call_that_was_cut_off_is_kept_as_it_came_and_told_as_no_object() -> None:
    message = streamed(
        started("a"),
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 0,
            "delta": {"type": "input_json_delta", "partial_json": '{"note": "The'},
        },
        {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}, "usage": {}},
        {"type": "message_stop"},
    )
    [call] = message.tool_calls
    assert call.arguments == '{"note": "The'
    view = ANTHROPIC.render(ANTHROPIC.begin("claude-opus-4-8"), Segment(1, (user("x"), message)))
    assert view.tape.list()[-1]["content"][0]["input"] == {INVALID: '{"note": "The'}
    view = GEMINI.render(GEMINI.begin("gemini-2.5-flash"), Segment(1, (user("x"), message)))
    [part] = view.tape.list()[-1]["parts"]
    assert part["functionCall"]["args"] == {INVALID: '{"note": "The'}
    assert "arguments_wrapped" in {change.kind for change in view.changes}


def test_h117_the_model_that_answered_is_not_taken_for_the_one_that_was_asked() -> None:
    data = {
        "id": "r",
        "model": "gpt-4o-2024-08-06",
        "choices": [{"message": {"content": "hi"}, "finish_reason": "stop"}],
    }
    found = parse_chat(data, provider="openai", model="gpt-4o", names={})
    assert (found.served, found.message.origin) == ("gpt-4o-2024-08-06", "openai:gpt-4o")


def test_h122_a_length_is_estimated_of_what_each_target_is_told() -> None:
    conversation = (user("x" * 400), assistant("y" * 400))
    sizes: dict[str, int] = {}
    for name, (adapter, model) in HOMES.items():
        view = adapter.render(adapter.begin(model), Segment(1, conversation))
        sizes[name] = estimated(view)
        picture = Message(role="user", parts=(Image(data=PNG),))
        more = adapter.render(view, Segment(2, (picture,)))
        assert estimated(more) - sizes[name] > 100, "an image is more than its name"
    assert all(200 <= tokens <= 300 for tokens in sizes.values()), sizes
    assert len(set(sizes.values())) > 1, "each has its own words around the text"


@pytest.mark.parametrize(
    ("name", "model", "field", "most"),
    [
        ("openai-chat", "gpt-4o-2024-05-13", "max_tokens", 4_096),
        ("openai-responses", "gpt-4o", "max_output_tokens", 16_384),
        ("anthropic", "claude-3-haiku-20240307", "max_tokens", 4_096),
        ("gemini", "gemini-2.0-flash", "maxOutputTokens", 8_192),
    ],
)
def test_h123_a_limit_above_what_a_model_can_say_is_lowered(
    name: str, model: str, field: str, most: int
) -> None:
    body, kinds = asked(name, user("x"), model=model, max_tokens=64_000)
    assert {**body, **body.get("generationConfig", {})}[field] == most
    assert kinds == {"setting_clamped"}


@pytest.mark.parametrize(
    ("source", "field", "value"),
    [
        ("openai-responses", "prompt", {"id": "pmpt_1"}),
        ("openai-responses", "previous_response_id", "resp_1"),
        ("openai-responses", "conversation", "conv_1"),
        ("anthropic", "container", "container_1"),
        ("gemini", "cachedContent", "cachedContents/1"),
    ],
)
def test_h124_what_is_on_a_providers_server_is_a_loss_elsewhere(
    source: str, field: str, value: Any
) -> None:
    turns: dict[str, dict[str, Any]] = {
        "openai-responses": {"model": "gpt-5", "input": [{"role": "user", "content": "x"}]},
        "anthropic": {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "messages": [{"role": "user", "content": "x"}],
        },
        "gemini": {
            "model": "gemini-2.5-flash",
            "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        },
    }
    body = {**turns[source], field: value}
    assert convert(body, source=source, target=source).request == body
    for target in HOMES.keys() - {source}:
        found = convert(body, source=source, target=target)
        assert field not in found.request
        assert [change.detail.partition("=")[0] for change in found.losses] == [field]


def test_h125_what_a_service_left_out_of_its_own_view_is_still_told_to_others() -> None:
    edits = {"applied_edits": [{"type": "clear_tool_uses_20250919", "cleared_tool_uses": 1}]}
    data = {
        "id": "msg_1",
        "model": "claude-sonnet-4-5",
        "content": [{"type": "text", "text": "ok"}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 1, "output_tokens": 1},
        "context_management": edits,
    }
    found = parse_messages(data, provider="anthropic", model="claude-sonnet-4-5", names={})
    call = ToolCall(id="toolu_1", name="f")
    old = answer(call, origin="anthropic:claude-sonnet-4-5")
    body, _ = asked("openai-chat", user("x"), old, results("toolu_1"), found.message)
    assert [turn["role"] for turn in body["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert body["messages"][2]["content"] == "r"


PROGRAM = """
from midstream.adapters import Segment
from midstream.events.content import Message, Text, ToolCall, ToolResult, ToolSpec, user
from tests.adapters.test_hazards_of_requests import HOMES

calls = tuple(ToolCall(id=f"functions.f:{n}", name=f"a tool {n}") for n in range(9))
done = tuple(ToolResult(id=c.id, name=c.name, parts=(Text(text="r"),)) for c in reversed(calls))
segments = (
    Segment(1, (user("x"),), tools=tuple(ToolSpec(name=call.name) for call in calls)),
    Segment(2, (Message(role="assistant", parts=calls, origin="groq:kimi"),)),
    Segment(3, (Message(role="tool", parts=done[1:]),)),
)
for adapter, model in HOMES.values():
    view = adapter.begin(model)
    for segment in segments:
        view = adapter.render(view, segment)
    print(adapter.request(view, {"temperature": 0.5, "stop": ["b", "a"]}).digest)
"""


def test_h126_h127_a_conversation_is_the_same_bytes_in_each_process_and_at_any_time() -> None:
    told: set[str] = set()
    for seed in ("1", "2"):
        env = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM], env=env, capture_output=True, text=True, check=True
        )
        assert len(done.stdout.split()) == len(HOMES)
        told.add(done.stdout)
    assert len(told) == 1


def test_h131_calls_from_before_there_were_tools_are_calls() -> None:
    body: dict[str, Any] = {
        "model": "gpt-4o",
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "content": None,
                "function_call": {"name": "f", "arguments": "{}"},
            },
            {"role": "function", "name": "f", "content": "r"},
        ],
        "functions": [{"name": "f", "parameters": {"type": "object", "properties": {}}}],
    }
    assert convert(body, source="openai-chat", target="openai-chat").request == body
    found = convert(body, source="openai-chat", target="anthropic").request
    [call] = [block for block in found["messages"][1]["content"] if block["type"] == "tool_use"]
    [done] = found["messages"][2]["content"]
    assert (call["name"], done["tool_use_id"], done["content"]) == ("f", call["id"], "r")


def test_h132_the_same_run_is_told_to_each_gateway_in_its_own_dialect() -> None:
    """Bedrock and Vertex have other wire formats for Claude, and are for adapters of one's own."""
    conversation = (
        user("x"),
        answer(
            Reasoning(text="hm", proof="c2ln"),
            Text(text="so"),
            ToolCall(id="toolu_" + "1" * 60, name="f"),
            origin="anthropic:claude-sonnet-4-5",
        ),
        results("toolu_" + "1" * 60),
    )
    told: dict[str, list[Any]] = {}
    for name, profile in PROFILES.items():
        adapter = CompatibleAdapter(profile, api_key="k", base_url="http://127.0.0.1/v1")
        view = adapter.render(adapter.begin("deepseek-reasoner"), Segment(1, conversation))
        told[name] = view.tape.list()
        call, done = told[name][1]["tool_calls"][0], told[name][2]
        assert profile.ids.holds(call["id"])
        assert done["tool_call_id"] == call["id"]
    assert told["mistral"][2]["name"] == "f"
    assert told["deepseek"][1]["reasoning_content"] == " "
    assert "reasoning_content" not in told["groq"][1]
