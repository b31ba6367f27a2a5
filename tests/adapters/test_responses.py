"""Responses: hazards by their number in the catalogue, and the way to the service through the real SDK."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import JsonValue

from midstream import errors
from midstream.adapters import Delta, ModelResponse, Segment, View
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.anthropic.parse import parse as parse_messages
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.prices import cost
from midstream.adapters.registry import resolve
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.responses.parse import Assembly, parse, wire_of
from midstream.events.content import (
    Audio,
    Citation,
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    user,
)
from midstream.events.payloads import Usage
from tests.adapters.conversations import PDF, PNG
from tests.adapters.rules import Dialect, violations

ADAPTER = ResponsesAdapter(api_key="k")
CHAT = OpenAIAdapter(api_key="k")
CLAUDE = AnthropicAdapter(api_key="k")
GPT = "gpt-5"
OWN = f"openai-responses:{GPT}"

REASONING: dict[str, JsonValue] = {
    "id": "rs_1",
    "type": "reasoning",
    "summary": [{"type": "summary_text", "text": "I look."}],
    "encrypted_content": "gAAA",
}
SAID: dict[str, JsonValue] = {
    "id": "msg_1",
    "type": "message",
    "status": "completed",
    "content": [{"type": "output_text", "annotations": [], "logprobs": [], "text": "Wait."}],
    "role": "assistant",
    "phase": "commentary",
}
CALLED: dict[str, JsonValue] = {
    "id": "fc_1",
    "type": "function_call",
    "status": "completed",
    "arguments": '{"b":1, "a":1.0}',
    "call_id": "call_1",
    "name": "f",
}
SEARCHED: dict[str, JsonValue] = {
    "id": "ws_1",
    "type": "web_search_call",
    "status": "completed",
    "action": {
        "type": "search",
        "query": "x",
        "sources": [{"type": "url", "url": "https://example.org"}],
    },
}
FREE: dict[str, JsonValue] = {
    "id": "ctc_1",
    "type": "custom_tool_call",
    "status": "completed",
    "call_id": "call_2",
    "input": "4 + 4",
    "name": "calc",
}


def whole(*output: JsonValue, **about: Any) -> dict[str, Any]:
    return {"id": "resp_1", "status": "completed", "model": GPT, "output": list(output), **about}


def read(*output: JsonValue, **about: Any) -> Message:
    data = whole(*output, **about)
    return parse(data, provider="openai-responses", model=GPT, names={}).message


def rendered(model: str, *messages: Message, **head: Any) -> tuple[View, set[str]]:
    view = ADAPTER.render(ADAPTER.begin(model), Segment(1, messages, **head))
    return view, {change.kind for change in view.changes}


def told(*messages: Message, model: str = GPT, **head: Any) -> tuple[list[Any], set[str]]:
    view, kinds = rendered(model, *messages, **head)
    return view.tape.list(), kinds


def answer(*parts: Part, origin: str | None = None) -> Message:
    return Message(role="assistant", parts=parts, origin=origin)


def results(*given: ToolResult) -> Message:
    return Message(role="tool", parts=given)


def result(id_: str, *parts: Any, error: bool = False) -> ToolResult:
    return ToolResult(id=id_, name="f", parts=parts, is_error=error)


def test_an_answer_goes_back_item_by_item_and_is_stored_once() -> None:
    """H-020, H-032, H-118: the order, the arguments and the phase are what they were."""
    message = read(REASONING, SAID, CALLED, SEARCHED)
    assert message.native is None
    assert told(message)[0] == [REASONING, SAID, CALLED, SEARCHED]
    assert message.tool_calls[0].item_id == "fc_1"
    assert rendered(GPT, message)[1] == set()


def test_fields_that_the_parts_have_no_place_for_go_back_too() -> None:
    more: JsonValue = {**CALLED, "namespace": "n", "status": "incomplete"}
    thought: JsonValue = {**REASONING, "content": []}
    message = read(thought, more)
    assert (message.native, told(message)[0][:2]) == (None, [thought, more])
    odd: JsonValue = {**SAID, "status": "incomplete"}
    kept = read(odd)
    assert kept.native == [odd]
    assert told(kept)[0] == [odd]
    assert message.model_validate_json(message.model_dump_json()) == message


def test_h001_h004_instructions_are_items_where_they_were_given() -> None:
    items, kinds = told(system("a"), system("b"), user("x"), system("c"), user("y"))
    roles = ["developer", "developer", "user", "developer", "user"]
    assert [item["role"] for item in items] == roles
    assert kinds == set()
    assert told(system("a"), model="gpt-4o")[0][0]["role"] == "system"


def test_h030_another_provider_is_told_the_id_that_results_answer_to() -> None:
    message = read(CALLED)
    for other, model in ((CLAUDE, "claude-sonnet-4-5"), (CHAT, "gpt-4o")):
        segment = Segment(1, (user("x"), message, results(result("call_1", Text(text="r")))))
        text = json.dumps(other.render(other.begin(model), segment).tape.list())
        assert "call_1" in text
        assert "fc_1" not in text
    foreign = answer(ToolCall(id="toolu_1", name="f", item_id="fc_9"), origin="anthropic:c")
    assert "id" not in told(foreign)[0][0]


def test_h025_an_id_that_is_too_long_is_mapped() -> None:
    long = answer(ToolCall(id="x" * 391, name="f"))
    items, kinds = told(long, results(result("x" * 391, Text(text="r"))))
    assert items[0]["call_id"] == items[1]["call_id"]
    assert len(items[0]["call_id"]) <= 64
    assert kinds == {"id_mapped"}


def test_h036_free_text_is_an_argument_elsewhere_and_free_text_again_here() -> None:
    spec = ToolSpec(name="calc", description="d", form="text")
    message = read(FREE)
    call = message.tool_calls[0]
    assert (call.form, call.arguments, call.parsed()) == ("text", "4 + 4", {"input": "4 + 4"})
    items, _ = told(message, results(result("call_2", Text(text="8"))), tools=(spec,))
    assert items == [
        FREE,
        {"type": "custom_tool_call_output", "call_id": "call_2", "output": "8"},
    ]
    view = CLAUDE.render(CLAUDE.begin("claude-sonnet-4-5"), Segment(1, (message,), tools=(spec,)))
    assert view.tape.list()[0]["content"][0]["input"] == {"input": "4 + 4"}
    assert view.head["tools"][0]["input_schema"]["required"] == ["input"]
    assert {change.kind for change in view.changes} == {"custom_tool_wrapped"}
    wrapped = answer(ToolCall(id="t", name="calc", arguments='{"input":"5"}'), origin="anthropic:c")
    items, kinds = told(wrapped, tools=(spec,))
    assert items == [{"type": "custom_tool_call", "call_id": "t", "name": "calc", "input": "5"}]
    assert kinds == set()
    assert told(message, model="gpt-4o")[0][0]["arguments"] == '{"input":"4 + 4"}'


def test_h041_h043_results_hold_images_and_files_and_say_that_they_failed() -> None:
    calls = answer(ToolCall(id="a", name="f"), ToolCall(id="b", name="f"))
    given = results(
        result("a", Text(text="see"), Image(data=PNG), Document(data=PDF, name="a.pdf")),
        result("b", Image(url="https://example.org/a.png"), error=True),
    )
    items, kinds = told(calls, given)
    assert [block["type"] for block in items[2]["output"]] == [
        "input_text",
        "input_image",
        "input_file",
    ]
    assert items[3]["output"][0] == {"type": "input_text", "text": "Error:\n"}
    assert kinds == {"error_prefixed"}


def test_h055_strict_is_always_said() -> None:
    open_schema: dict[str, JsonValue] = {"type": "object", "properties": {"a": {}}}
    closed: dict[str, JsonValue] = {
        **open_schema,
        "required": ["a"],
        "additionalProperties": False,
    }
    view, kinds = rendered(
        GPT,
        user("x"),
        tools=(
            ToolSpec(name="a", parameters=closed),
            ToolSpec(name="b", parameters=closed, strict=True),
            ToolSpec(name="c", parameters=open_schema, strict=True),
        ),
    )
    assert [tool["strict"] for tool in view.head["tools"]] == [False, True, False]
    assert kinds == {"strict_dropped"}


def test_a_tool_of_the_service_is_declared_in_its_own_words_and_not_elsewhere() -> None:
    search = ToolSpec(
        name="web_search",
        hosted="openai-responses",
        hints={"openai-responses": {"type": "web_search"}},
    )
    view, kinds = rendered(GPT, user("x"), tools=(search,))
    assert (view.head["tools"], kinds) == ([{"type": "web_search"}], set())
    elsewhere = CLAUDE.render(CLAUDE.begin("claude-opus-4-8"), Segment(1, (), tools=(search,)))
    assert [change.kind for change in elsewhere.changes] == ["tool_dropped"]


@pytest.mark.parametrize("origin", ["openai:gpt-5", "anthropic:claude-opus-4-8", None])
def test_h059_reasoning_of_another_provider_or_dialect_is_not_told(origin: str | None) -> None:
    thought = Reasoning(summary=("s",), proof="gAAA", item_id="rs_1")
    items, kinds = told(answer(thought, Text(text="so", item_id="msg_1"), origin=origin))
    assert items == [{"role": "assistant", "content": "so"}]
    assert kinds == {"reasoning_dropped"}
    own = read(REASONING, SAID)
    for other, model in ((CHAT, "gpt-5"), (CLAUDE, "claude-sonnet-4-5")):
        view = other.render(other.begin(model), Segment(1, (user("x"), own)))
        assert "gAAA" not in json.dumps(view.tape.list())
        lost = {change.kind for change in view.changes}
        assert lost == {"reasoning_dropped", "hint_dropped"}  # the phase of its words


def test_h060_a_model_that_does_not_reason_is_told_neither_reasoning_nor_the_ids_after_it() -> None:
    items, kinds = told(read(REASONING, SAID, CALLED, SEARCHED), model="gpt-4o")
    assert all("id" not in item for item in items)
    assert kinds == {"reasoning_dropped", "server_tool_degraded"}
    assert told(read(SAID, CALLED), model="gpt-4o")[0] == [SAID, CALLED]


def test_h064_reasoning_without_a_follower_or_a_body_takes_the_ids_with_it() -> None:
    bare: JsonValue = {key: value for key, value in REASONING.items() if key[0] != "e"}
    for message in (read(SAID, REASONING), read(bare, SAID)):
        items, kinds = told(message, user("x"))
        assert items[0] == {"role": "assistant", "content": "Wait.", "phase": "commentary"}
        assert kinds == {"reasoning_dropped"}
    items, kinds = told(read(REASONING), user("x"))
    assert [item.get("role") for item in items] == ["user"]


def test_an_answer_that_comes_twice_has_its_ids_once() -> None:
    """`Duplicate item found with id rs_1`."""
    message = read(REASONING, SAID)
    items, kinds = told(message, user("again"), message)
    assert [item["id"] for item in items if "id" in item] == ["rs_1", "msg_1"]
    assert kinds == {"reasoning_dropped"}


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "o3-mini"])
def test_h065_h066_nothing_is_kept_and_encrypted_reasoning_is_asked_for_where_there_is_any(
    model: str,
) -> None:
    view, _ = rendered(model, user("x"))
    body = ADAPTER.request(view, {}).body
    assert body["store"] is False
    assert body.keys().isdisjoint({"previous_response_id", "conversation"})
    assert ("include" in body) == (model != "gpt-4o")


def test_h079_h082_documents_go_as_files_or_as_what_can_be_read_of_them() -> None:
    documents = (
        Document(data=PDF),
        Document(url="https://example.org/a.pdf"),
        Document(file_id="file_1", provider="openai"),
        Document(media_type="text/csv", data="YSxi", name="t.csv"),
        Document(file_id="file_1", provider="anthropic", name="theirs.pdf"),
    )
    items, kinds = told(Message(role="user", parts=documents))
    content = items[0]["content"]
    assert [block["type"] for block in content] == ["input_file"] * 3 + ["input_text"] * 2
    assert content[3]["text"] == "Document t.csv:\n\na,b"
    assert content[4]["text"] == "[document: theirs.pdf]"
    assert kinds == {"part_degraded", "document_dropped"}


def test_h082_an_image_that_the_provider_keeps_is_named_where_the_dialect_can() -> None:
    kept = Message(role="user", parts=(Image(file_id="file_1", provider="openai"),))
    assert told(kept)[0][0]["content"][0]["file_id"] == "file_1"
    view = CHAT.render(CHAT.begin("gpt-4o"), Segment(1, (kept,)))
    assert view.tape.list()[0]["content"] == "[image]"
    assert [change.kind for change in view.changes] == ["image_dropped"]


def test_h081_audio_is_told_as_its_words() -> None:
    items, kinds = told(Message(role="user", parts=(Audio(data="x", transcript="hi"), Audio())))
    assert [block["text"] for block in items[0]["content"]] == ["hi", "[audio]"]
    assert kinds == {"part_degraded", "audio_dropped"}


def test_h083_what_the_service_did_itself_is_text_elsewhere() -> None:
    """H-031: and never a call."""
    message = read(SEARCHED, SAID)
    found = message.parts[0]
    assert isinstance(found, ServerTool)
    assert (found.name, found.text) == ("web_search", "https://example.org")
    view = CLAUDE.render(CLAUDE.begin("claude-sonnet-4-5"), Segment(1, (user("x"), message)))
    content = view.tape.list()[1]["content"]
    assert content[0]["text"] == '[web_search: {"type":"search","query":"x"}] https://example.org'
    assert {change.kind for change in view.changes} == {"server_tool_degraded", "hint_dropped"}
    theirs: list[dict[str, Any]] = [
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"q": 1}},
        {
            "type": "web_search_tool_result",
            "tool_use_id": "srvtoolu_1",
            "content": [{"type": "web_search_result", "title": "T", "url": "https://e.org"}],
        },
        {"type": "text", "text": "so"},
    ]
    data = {"content": theirs, "stop_reason": "end_turn"}
    claudes = parse_messages(data, provider="anthropic", model="m", names={}).message
    assert claudes.native is None
    home = CLAUDE.render(CLAUDE.begin("claude-sonnet-4-5"), Segment(1, (user("x"), claudes)))
    assert home.tape.list()[1]["content"] == theirs
    items, kinds = told(claudes)
    assert [item["content"] for item in items] == [
        '[web_search: {"q":1}]',
        "[web_search] T - https://e.org",
        "so",
    ]
    assert kinds == {"server_tool_degraded"}


def test_h086_citations_go_back_to_their_provider_only() -> None:
    cited: JsonValue = {
        "type": "url_citation",
        "start_index": 0,
        "end_index": 4,
        "title": "T",
        "url": "https://e.org",
    }
    block: JsonValue = {
        "type": "output_text",
        "annotations": [cited],
        "logprobs": [],
        "text": "Wait.",
    }
    item: JsonValue = {**SAID, "content": [block]}
    message = read(item)
    part = message.parts[0]
    assert isinstance(part, Text)
    assert part.citations == (
        Citation(start=0, end=4, title="T", ref="https://e.org", native=cited),
    )
    assert (message.native, told(message)) == (None, ([item], set()))
    for other, model in ((CHAT, "gpt-4o"), (CLAUDE, "claude-sonnet-4-5")):
        view = other.render(other.begin(model), Segment(1, (user("x"), message)))
        assert {change.kind for change in view.changes} == {"citations_dropped", "hint_dropped"}


def test_h087_a_refusal_goes_back_as_one_and_is_text_of_another() -> None:
    item: dict[str, JsonValue] = {**SAID, "content": [{"type": "refusal", "refusal": "no"}]}
    refused: JsonValue = {key: value for key, value in item.items() if key != "phase"}
    data = whole(refused)
    found = parse(data, provider="openai-responses", model=GPT, names={})
    assert found.finish == "refusal"
    assert told(found.message)[0] == [refused]
    items, kinds = told(answer(Refusal(text="no"), origin="openai:gpt-4o"))
    assert (items, kinds) == ([{"role": "assistant", "content": "no"}], {"refusal_as_text"})


def test_h090_h093_settings_have_this_dialects_names_and_ranges() -> None:
    asked: dict[str, JsonValue] = {
        "max_tokens": 1,
        "temperature": 1.5,
        "stop": ["\n"],
        "reasoning_effort": "xhigh",
    }
    request = ADAPTER.request(rendered(GPT, user("x"))[0], asked)
    assert request.body["max_output_tokens"] == 16
    assert request.body["reasoning"] == {"effort": "high"}
    assert request.body.keys().isdisjoint({"temperature", "stop"})
    kinds = {change.kind for change in request.changes}
    assert kinds == {"setting_dropped", "setting_clamped", "limit_tight"}
    tools = (ToolSpec(name="f"),)
    view, _ = rendered("gpt-5.4-mini", user("x"), tools=tools)
    body = ADAPTER.request(view, {"reasoning_effort": "low", "tool_choice": "f"}).body
    assert body["reasoning"] == {"effort": "low"}  # H-058: which Chat Completions refuses
    assert body["tool_choice"] == {"type": "function", "name": "f"}


def test_h103_h105_an_answer_that_was_cut_off_by_a_limit_says_so() -> None:
    for reason, finish in (("max_output_tokens", "length"), ("content_filter", "content_filter")):
        data = whole(CALLED, status="incomplete", incomplete_details={"reason": reason})
        assert parse(data, provider="p", model="m", names={}).finish == finish
    assert parse(whole(CALLED), provider="p", model="m", names={}).finish == "tool_calls"


def test_h106_usage_means_what_it_means_elsewhere() -> None:
    counts = {
        "input_tokens": 1110,
        "input_tokens_details": {"cached_tokens": 1000},
        "output_tokens": 50,
        "output_tokens_details": {"reasoning_tokens": 40},
    }
    found = parse(whole(SAID, usage=counts), provider="p", model="m", names={}).usage
    assert found == Usage(
        input_tokens=1110, output_tokens=50, cache_read_tokens=1000, reasoning_tokens=40
    )


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("rate_limit_exceeded", errors.RateLimitError),
        ("server_error", errors.UnavailableError),
        ("context_length_exceeded", errors.ContextWindowError),
        ("invalid_image", errors.BadRequestError),
        ("of_tomorrow", errors.UnavailableError),
    ],
)
def test_h112_a_failure_inside_of_an_answer_has_our_type(
    code: str, kind: type[errors.AdapterError]
) -> None:
    data = whole(status="failed", error={"code": code, "message": "m"})
    with pytest.raises(errors.AdapterError) as caught:
        parse(data, provider="p", model="m", names={})
    assert type(caught.value) is kind
    assembly = Assembly({})
    assembly.add({"type": "error", "code": code, "message": "m"})
    with pytest.raises(kind):
        parse(assembly.whole(), provider="p", model="m", names={})


def test_a_block_of_tomorrow_goes_back_as_it_came() -> None:
    block: JsonValue = {"id": "x_1", "type": "of_tomorrow", "n": None}
    message = read(block, SAID)
    assert message.parts[0] == Opaque(dialect="openai-responses", data=block)
    assert told(message)[0] == [block, SAID]
    screen: JsonValue = {"id": "cu_1", "type": "computer_call", "call_id": "c", "action": {}}
    assert told(read(screen, SAID))[1] == {"opaque_dropped"}  # nobody here can answer it


def test_the_name_of_the_provider_chooses_the_dialect_and_the_price_is_the_vendors() -> None:
    assert resolve("openai-responses:gpt-5") == (ResponsesAdapter, "gpt-5")
    usage = Usage(input_tokens=1000, output_tokens=100)
    assert cost("openai-responses", "gpt-5", usage, 1_790_000_000.0) is not None


ITEMS = st.lists(
    st.sampled_from([REASONING, SAID, CALLED, SEARCHED, FREE]),
    max_size=5,
    unique_by=lambda item: str(item["id"]),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(turns=st.lists(ITEMS, max_size=4), away=st.integers(min_value=0, max_value=4))
def test_a_conversation_that_went_away_and_came_back_is_what_it_was(
    turns: list[list[dict[str, JsonValue]]], away: int
) -> None:
    """What each other provider was told is valid; what was not told is listed; the own view never changes."""
    segments: list[Segment] = []
    for turn, items in enumerate(turns):
        fresh: list[JsonValue] = [{**item, "id": f"{item['id']}{turn}"} for item in items]
        message = read(*fresh)
        answered = [result(call.id, Text(text="42")) for call in message.tool_calls]
        said = (user(f"turn {turn}"), message, *((results(*answered),) if answered else ()))
        segments.append(Segment(turn + 1, said))
        if turn == away:
            segments.append(Segment(turn + 1, (user("go on"), assistant("Claude here."))))
    view, views = ADAPTER.begin(GPT), list[View]()
    for segment in segments:
        view = ADAPTER.render(view, segment)
        views.append(view)
    assert all(
        later.tape.list()[: len(former.tape)] == former.tape.list()
        for former, later in pairwise(views)
    )
    assert violations("openai-responses", ADAPTER.request(view, {}).body) == []
    others: list[tuple[OpenAIAdapter | AnthropicAdapter, Dialect, str]] = [
        (CHAT, "openai", "gpt-4o"),
        (CLAUDE, "anthropic", "claude-sonnet-4-5"),
    ]
    for other, dialect, model in others:
        abroad, losses = other.begin(model), 0
        for segment in segments:
            abroad = other.render(abroad, segment)
            losses += sum(change.severity == "loss" for change in abroad.changes)
        assert violations(dialect, other.request(abroad, {}).body) == []
        parts = [p for s in segments for m in s.messages for p in m.parts]
        phases = sum(isinstance(part, Text) and part.phase != "" for part in parts)
        assert losses == phases + sum(isinstance(part, Reasoning) for part in parts)
        text = json.dumps(abroad.tape.list())
        for part in parts:
            if isinstance(part, Text):
                assert part.text in text


def client(reply: httpx2.Response, sent: list[Any]) -> ResponsesAdapter:
    def answer_once(request: httpx2.Request) -> httpx2.Response:
        sent.append(json.loads(request.content))
        assert request.url.path.endswith("/responses")
        return reply

    transport = httpx2.AsyncClient(transport=httpx2.MockTransport(answer_once))
    sdk = openai.AsyncOpenAI(api_key="k", base_url="http://127.0.0.1/v1", http_client=transport)
    return ResponsesAdapter(client=sdk)


def stream_of(*events: Mapping[str, Any]) -> httpx2.Response:
    body = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    return httpx2.Response(200, headers={"content-type": "text/event-stream"}, text=body)


DELTAS: list[dict[str, Any]] = [
    {"type": "response.created", "response": {"id": "resp_1", "status": "in_progress"}},
    {"type": "response.reasoning_summary_text.delta", "delta": "I look."},
    {"type": "response.output_item.done", "output_index": 0, "item": REASONING},
    {"type": "response.output_text.delta", "delta": "Wa"},
    {"type": "response.output_text.delta", "delta": "it."},
    {"type": "response.output_item.done", "output_index": 1, "item": SAID},
    {"type": "response.output_item.added", "output_index": 2, "item": {**CALLED, "arguments": ""}},
    {"type": "response.output_item.done", "output_index": 2, "item": CALLED},
]


@pytest.mark.parametrize("repeated", [True, False])
async def test_a_streamed_answer_and_a_whole_one_are_the_same_message(repeated: bool) -> None:
    data, sent = whole(REASONING, SAID, CALLED), list[Any]()
    empty: list[Any] = []
    request = ADAPTER.request(rendered(GPT, user("hi"))[0], {})
    once = await client(httpx2.Response(200, json=data), sent).complete(request)
    ended = data if repeated else {**data, "output": empty}
    last: dict[str, Any] = {"type": "response.completed", "response": ended}
    adapter = client(stream_of(*DELTAS, last), sent)
    pieces = [piece async for piece in adapter.stream(request)]
    assert isinstance(pieces[-1], ModelResponse)
    assert pieces[-1] == once
    deltas = [piece for piece in pieces if isinstance(piece, Delta)]
    assert "".join(delta.text for delta in deltas) == "Wait."
    assert "".join(delta.reasoning for delta in deltas) == "I look."
    assert [delta.tool for delta in deltas if delta.tool] == ["f"]
    assert sent[1] == {**sent[0], "stream": True}
    assert told(once.message)[0] == wire_of(data["output"], data["id"])


async def test_a_stream_without_its_terminal_event_is_no_answer() -> None:
    request = ADAPTER.request(rendered(GPT, user("hi"))[0], {})
    for events, kind in (
        (DELTAS, errors.MalformedAnswerError),
        ([], errors.MalformedAnswerError),
        (
            [
                *DELTAS,
                {
                    "type": "response.failed",
                    "response": whole(status="failed", error={"code": "server_error"}),
                },
            ],
            errors.UnavailableError,
        ),
        (
            [*DELTAS, {"type": "error", "code": "rate_limit_exceeded", "message": "m"}],
            errors.RateLimitError,
        ),
    ):
        with pytest.raises(errors.TransientError) as caught:
            async for _ in client(stream_of(*events), []).stream(request):
                pass
        assert type(caught.value) is kind


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (429, "insufficient_quota", errors.QuotaError),
        (429, "rate_limit_exceeded", errors.RateLimitError),
        (400, "context_length_exceeded", errors.ContextWindowError),
        (400, "model_not_found", errors.BadRequestError),
        (401, "invalid_api_key", errors.AuthenticationError),
        (500, None, errors.UnavailableError),
    ],
)
async def test_h114_a_refused_request_has_our_type(
    status: int, code: str | None, kind: type[errors.AdapterError]
) -> None:
    reply = httpx2.Response(status, json={"error": {"message": "m", "type": "t", "code": code}})
    sent: list[Any] = []
    with pytest.raises(errors.AdapterError) as caught:
        await client(reply, sent).complete(ADAPTER.request(rendered(GPT, user("hi"))[0], {}))
    assert type(caught.value) is kind
    assert caught.value.provider == "openai-responses"
    assert len(sent) == 1
