"""Requests that are read and written again: at home as they were, elsewhere valid and with what was said."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import midstream
from midstream.adapters import Adapter, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.batch import converted_lines
from midstream.adapters.dialect import dialect
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.sse import events
from midstream.errors import ConfigError, ConversionError, MalformedAnswerError
from midstream.events.content import user
from tests.adapters import conversations as talk
from tests.adapters.rules import violations
from tests.adapters.said import missing

LIGHT = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
NAMES = ["openai-chat", "openai-responses", "anthropic", "gemini"]
PAIRS = [(one, other) for one in NAMES for other in NAMES if one != other]
RULES: Mapping[str, Any] = {
    "openai-chat": "openai",
    "openai-responses": "openai-responses",
    "anthropic": "anthropic",
    "gemini": "gemini",
}
TURNS = {"openai-responses": "input", "gemini": "contents"}
ADAPTERS: Mapping[str, tuple[Adapter, str]] = {
    "openai-chat": (OpenAIAdapter(api_key="k"), "gpt-4o"),
    "openai-responses": (ResponsesAdapter(api_key="k"), "gpt-5"),
    "anthropic": (AnthropicAdapter(api_key="k"), "claude-sonnet-4-5"),
    "gemini": (GeminiAdapter(api_key="k"), "gemini-2.5-flash"),
}
UNKNOWN: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    st.sampled_from(["x_extra", "cache_control", "note"]),
    st.sampled_from([None, True, 1, "a", {"type": "ephemeral"}, []]),
    max_size=2,
)


@st.composite
def requests(draw: st.DrawFn, name: str) -> dict[str, Any]:
    """Requests that a provider takes, with fields that nobody knows in any place."""
    adapter, model = ADAPTERS[name]
    view = adapter.begin(model)
    for segment in draw(talk.conversations()):
        view = adapter.render(view, segment)
    body: dict[str, Any] = json.loads(json.dumps(adapter.request(view, {}).body))
    body |= draw(UNKNOWN)
    for message in body[TURNS.get(name, "messages")]:
        message |= {} if name == "anthropic" else draw(UNKNOWN)
        content = message.get("parts" if name == "gemini" else "content")
        if isinstance(content, list) and content and draw(st.booleans()):
            content[0] |= draw(UNKNOWN)
    for tool in body.get("tools", ()):
        tool |= draw(UNKNOWN)
    return body


@pytest.mark.parametrize("name", NAMES)
@LIGHT
@given(data=st.data())
def test_a_request_comes_home_as_it_was(name: str, data: st.DataObject) -> None:
    body = data.draw(requests(name))
    before = json.dumps(body)
    found = midstream.convert(body, source=name, target=name)
    assert found.request == body
    assert found.losses == found.repairs == ()
    assert json.dumps(body) == before


@pytest.mark.parametrize(("source", "target"), PAIRS)
@LIGHT
@given(data=st.data())
def test_a_request_is_valid_elsewhere_and_comes_back_with_what_was_said(
    source: str, target: str, data: st.DataObject
) -> None:
    body = data.draw(requests(source))
    there = midstream.convert(body, source=source, target=target)
    assert violations(RULES[target], there.request) == []
    if kinds(there)["tool_aliased"]:
        return  # a name that the dialect between refuses
    back = midstream.convert(there.request, source=target, target=source)
    assert missing(dialect(source).read(body), dialect(source).read(back.request)) == []


@pytest.mark.parametrize(("name", "target"), PAIRS)
@LIGHT
@given(data=st.data())
def test_a_longer_request_begins_as_the_shorter_one_does_elsewhere(
    name: str, target: str, data: st.DataObject
) -> None:
    body = data.draw(requests(name))
    adapter, model = ADAPTERS[target]
    segments = dialect(name).read(body).segments
    view = adapter.begin(model)
    for segment in segments:
        grown = adapter.render(view, segment)
        assert grown.tape.list()[: len(view.tape)] == view.tape.list()
        view = grown


CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "developer", "content": [{"type": "text", "text": "Be brief."}]},
        {"role": "user", "name": "ada", "content": "weather in Rome?"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {
                    "id": "call_1",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{ "city": "Rome" }'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {
                "name": "weather",
                "description": "The weather.",
                "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
            },
        }
    ],
    "temperature": 0.5,
    "logit_bias": {"50256": -100},
    "stream": True,
}
CLAUDE: dict[str, Any] = {
    "model": "claude-sonnet-4-5",
    "max_tokens": 100,
    "system": "Be brief.",
    "messages": [
        {
            "role": "user",
            "content": [{"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}],
        },
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "go on"},
    ],
    "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 2}],
}


def kinds(found: midstream.Converted) -> Counter[str]:
    return Counter(change.kind for change in (*found.losses, *found.repairs))


def test_what_has_no_words_elsewhere_is_a_loss() -> None:
    found = midstream.convert(CHAT, source="openai-chat", target="anthropic")
    assert kinds(found) == {"hint_dropped": 1, "setting_dropped": 2}
    assert any("name" in change.detail for change in found.losses)
    assert any(change.detail.startswith("logit_bias=") for change in found.losses)
    assert found.request["stream"] is True


def test_the_tools_of_another_service_are_a_loss() -> None:
    found = midstream.convert(CLAUDE, source="anthropic", target="openai-chat")
    assert kinds(found) == {"hint_dropped": 1, "tool_dropped": 1}
    assert "tools" not in found.request


def test_another_model_of_the_same_vendor_is_asked_in_its_own_way() -> None:
    """The conversation is as it was; the settings are those that the model takes."""
    found = midstream.convert(CHAT, source="openai-chat", target="openai-chat", model="o3")
    assert found.request["messages"] == CHAT["messages"]
    assert "temperature" not in found.request
    assert found.request["logit_bias"] == CHAT["logit_bias"]


def test_an_answer_becomes_the_last_message_and_its_calls_are_closed() -> None:
    answer = {
        "choices": [
            {"finish_reason": "tool_calls", "message": CHAT["messages"][2]},
        ]
    }
    request = {**CHAT, "messages": CHAT["messages"][:2]}
    for response in (answer, json.dumps(answer), json.dumps(answer).encode()):
        found = midstream.convert(
            request, source="openai-chat", target="anthropic", response=response
        )
        assert [m["role"] for m in found.request["messages"]] == ["user", "assistant", "user"]
        assert kinds(found)["result_synthesised"] == 1


def test_a_streamed_answer_is_the_same_as_one_in_one_piece() -> None:
    pieces = [
        {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "hel"}}]},
        {"choices": [{"index": 0, "delta": {"content": "lo"}, "finish_reason": "stop"}]},
    ]
    whole = {
        "choices": [{"finish_reason": "stop", "message": {"role": "assistant", "content": "hello"}}]
    }
    streamed = "".join(f"data: {json.dumps(piece)}\r\n\r\n" for piece in pieces)
    told = [
        midstream.convert(CHAT, source="openai-chat", target="anthropic", response=response)
        for response in (streamed + "data: [DONE]\r\n\r\n", pieces, whole)
    ]
    assert told[0] == told[1] == told[2]


def test_an_answer_that_was_cut_off_is_refused() -> None:
    with pytest.raises(MalformedAnswerError):
        midstream.convert(CHAT, source="openai-chat", target="anthropic", response="data: {}\n\n")


def test_events_of_several_lines_are_one_and_the_end_mark_ends() -> None:
    text = ": note\nevent: x\ndata: {\ndata: }\n\ndata:[1]\n\ndata: [DONE]\n\ndata: 3\n\n"
    assert list(events(text)) == [{}, [1]]


def test_calls_spread_over_two_answers_are_one_turn() -> None:
    """H-016: and at home they are two again."""
    call: dict[str, Any] = {"type": "tool_use", "name": "f", "input": {}}
    body: dict[str, Any] = {
        **CLAUDE,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [{**call, "id": "a"}]},
            {"role": "assistant", "content": [{**call, "id": "b"}]},
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": id_, "content": id_} for id_ in "ab"
                ],
            },
        ],
    }
    assert midstream.convert(body, source="anthropic", target="anthropic").request == body
    told = midstream.convert(body, source="anthropic", target="openai-chat")
    assert [m["role"] for m in told.request["messages"]] == [
        *("system", "user", "assistant", "tool", "tool")
    ]
    assert "result_synthesised" not in kinds(told)


def test_a_failed_result_is_one_again_after_a_dialect_without_a_flag() -> None:
    """H-041: with the text that it had."""
    for said in ("boom", "Error: boom"):
        result = {"type": "tool_result", "tool_use_id": "a", "content": said, "is_error": True}
        body: dict[str, Any] = {
            "model": "claude-sonnet-4-5",
            "max_tokens": 9,
            "messages": [
                {"role": "user", "content": "x"},
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}],
                },
                {"role": "user", "content": [result]},
            ],
        }
        there = midstream.convert(body, source="anthropic", target="openai-chat").request
        back = midstream.convert(there, source="openai-chat", target="anthropic").request
        assert back["messages"][2]["content"] == [result]


def test_a_view_that_came_home_goes_on() -> None:
    """The calls that were read are answered by results of a run."""
    body = {**CHAT, "messages": CHAT["messages"][:3]}
    adapter, model = ADAPTERS["openai-chat"]
    view = adapter.begin(model)
    for segment in dialect("openai-chat").read(body).segments:
        view = adapter.render(view, segment)
    assert [call.id for call in view.open] == ["call_1"]
    view = adapter.render(view, Segment(9, (user("stop"),)))
    assert view.tape.list()[:3] == body["messages"]
    assert [item["role"] for item in view.tape.list()[3:]] == ["tool", "user"]


@pytest.mark.parametrize(
    ("given_", "error"),
    [
        ({"source": "openai-chat", "target": "smoke"}, ConfigError),
        ({"source": "smoke", "target": "gemini"}, ConfigError),
        ({"source": "openai-chat", "target": "anthropic", "response": "{"}, ConversionError),
        (
            {"source": "openai-chat", "target": "anthropic", "response": "data: x\n\n"},
            ConversionError,
        ),
    ],
)
def test_what_cannot_be_converted_says_why(given_: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        midstream.convert(CHAT, **given_)


@pytest.mark.parametrize("body", [[], {}, {"messages": 3}, {"messages": [1]}])
def test_a_body_without_messages_is_refused(body: Any) -> None:
    with pytest.raises(ConversionError):
        midstream.convert(body, source="anthropic", target="openai-chat")


def test_a_bad_line_of_a_batch_stops_nothing() -> None:
    lines = [
        b"nonsense\n",
        b"\n",
        orjson.dumps({"id": 1, "source": "anthropic", "request": {}, "targets": ["openai-chat"]}),
        orjson.dumps(
            {"id": 2, "source": "openai-chat", "request": CHAT, "targets": ["smoke", "anthropic"]}
        ),
        orjson.dumps({"id": 3, "source": "openai-chat", "request": CHAT}),
    ]
    rows = [orjson.loads(row) for row in converted_lines(lines)]
    assert [(row["id"], row["target"], "error" in row) for row in rows] == [
        (None, None, True),
        (1, "openai-chat", True),
        (2, "smoke", True),
        (2, "anthropic", False),
        (3, None, True),
    ]
    assert rows[3].keys() == {"id", "target", "request", "losses", "repairs"}


def test_converting_loads_no_sdk() -> None:
    code = (
        "import midstream, sys\n"
        "midstream.convert({'messages': []}, source='openai-chat', target='anthropic')\n"
        "assert not {'openai', 'anthropic'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_image_of_a_result_is_in_the_result_again_after_a_dialect_of_texts() -> None:
    """H-043: and the request between goes home as it was."""
    source = {"type": "base64", "media_type": "image/png", "data": talk.PNG}
    shown = [{"type": "text", "text": "here"}, {"type": "image", "source": source}]
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": id_, "name": "f", "input": {}} for id_ in "ab"
    ]
    results: list[dict[str, Any]] = [
        {"type": "tool_result", "tool_use_id": "a", "content": shown},
        {"type": "tool_result", "tool_use_id": "b", "content": "none"},
    ]
    body: dict[str, Any] = {
        "model": "claude-sonnet-4-5",
        "max_tokens": 9,
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": calls},
            {"role": "user", "content": results},
        ],
    }
    there = midstream.convert(body, source="anthropic", target="openai-chat").request
    assert [m["role"] for m in there["messages"]] == ["user", "assistant", "tool", "tool", "user"]
    back = midstream.convert(there, source="openai-chat", target="anthropic").request
    assert back["messages"] == body["messages"]
    assert midstream.convert(there, source="openai-chat", target="openai-chat").request == there


def test_a_stream_may_hold_line_separators_inside_its_json() -> None:
    said = "one\u2028two\u0085three\x1cfour"
    piece = {"choices": [{"delta": {"content": said}, "finish_reason": "stop"}]}
    answer = f"data: {json.dumps(piece, ensure_ascii=False)}\r\n\r\n"
    found = midstream.convert(CHAT, source="openai-chat", target="openai-chat", response=answer)
    assert found.request["messages"][-1] == {"role": "assistant", "content": said}
