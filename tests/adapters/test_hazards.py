"""Conversion hazards, by their number in the catalogue: what goes wrong when a conversation changes its provider."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import JsonValue

from midstream.adapters import Segment, View
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.anthropic.parse import parse as parse_messages
from midstream.adapters.convert import convert
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.openai.parse import Assembly
from midstream.adapters.openai.parse import parse as parse_chat
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.schema import object_schema
from midstream.events.content import (
    Image,
    Message,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    system,
    user,
)
from midstream.events.payloads import Change
from tests.adapters.conversations import JPEG, PNG
from tests.adapters.rules import violations

OPENAI = OpenAIAdapter(api_key="k")
ANTHROPIC = AnthropicAdapter(api_key="k")
GPT, CLAUDE, NEW_CLAUDE = "gpt-4o", "claude-sonnet-4-5", "claude-opus-4-8"


def rendered(model: str, *segments: Segment) -> tuple[View, list[Change]]:
    adapter = ANTHROPIC if model.startswith("claude") else OPENAI
    view, changes = adapter.begin(model), list[Change]()
    for segment in segments:
        view = adapter.render(view, segment)
        changes += view.changes
    return view, changes


def told(model: str, *messages: Message, **head: Any) -> tuple[list[Any], set[str]]:
    view, changes = rendered(model, Segment(1, messages, **head))
    return view.tape.list(), {change.kind for change in changes}


def body(model: str, *messages: Message, **settings: Any) -> tuple[dict[str, Any], set[str]]:
    view, _ = rendered(model, Segment(1, messages, tools=(ToolSpec(name="f"),)))
    adapter = ANTHROPIC if model.startswith("claude") else OPENAI
    request = adapter.request(view, settings)
    return dict(request.body), {change.kind for change in request.changes}


def call(id_: str = "a", name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=id_, name=name, arguments=arguments)


def answer(*parts: Part, origin: str | None = None) -> Message:
    return Message(role="assistant", parts=parts, origin=origin)


def results(*given: ToolResult) -> Message:
    return Message(role="tool", parts=given)


def result(id_: str = "a", text: str | None = "r", *, error: bool = False) -> ToolResult:
    parts = () if text is None else (Text(text=text),)
    return ToolResult(id=id_, name="f", parts=parts, is_error=error)


def test_h001_leading_instructions_keep_their_borders() -> None:
    view, changes = rendered(CLAUDE, Segment(1, (system("a"), system("b"), user("x"))))
    assert [block["text"] for block in view.head["system"]] == ["a", "b"]
    assert view.tape.list() == [{"role": "user", "content": "x"}]
    items, _ = told(GPT, system("a"), system("b"), user("x"))
    assert [item["role"] for item in items] == ["system", "system", "user"]
    assert changes == []


@pytest.mark.parametrize(
    ("model", "role"), [("gpt-5", "developer"), ("gpt-4o", "system"), ("o1-mini", "user")]
)
def test_h002_the_role_of_an_instruction_is_the_models(model: str, role: str) -> None:
    items, kinds = told(model, user("x"), system="a")
    assert items[0] == {"role": role, "content": "a"}
    assert ("instruction_degraded" in kinds) == (role == "user")


def test_h004_a_later_instruction_is_never_put_into_the_head() -> None:
    conversation = (user("x"), assistant("y"), system("b"), user("z"), assistant("w"))
    view, kinds = rendered(CLAUDE, Segment(1, conversation, system="a"))
    assert len(view.head["system"]) == 1
    assert "instruction_degraded" in {change.kind for change in kinds}
    items, _ = told(NEW_CLAUDE, *conversation, system="a")
    assert [item["role"] for item in items] == ["user", "assistant", "user", "system", "assistant"]


def test_h005_an_instruction_is_an_entry_right_before_the_answer_it_is_for() -> None:
    view, _ = rendered(NEW_CLAUDE, Segment(1, (user("x"),)), Segment(2, (), system="b"))
    request = ANTHROPIC.request(view, {})
    assert request.body["messages"][-1]["role"] == "system"
    after = ANTHROPIC.render(view, Segment(3, (assistant("y"),)))
    assert after.tape.list()[:-1] == request.body["messages"]


@pytest.mark.parametrize("model", [GPT, CLAUDE, NEW_CLAUDE])
def test_h006_an_instruction_waits_for_the_results(model: str) -> None:
    """H-039: and so does what the user said between a call and its results."""
    items, kinds = told(
        model,
        answer(call("a"), call("b")),
        results(result("b")),
        system("s"),
        user("hurry"),
        results(result("a")),
    )
    text = json.dumps(items)
    assert max(text.rindex('"a"'), text.rindex('"b"')) < text.index("hurry")
    assert "reordered" in kinds
    assert "result_synthesised" not in kinds


def test_h008_h049_what_changes_on_the_way_leaves_the_beginning_as_it_was() -> None:
    first = Segment(1, (user("x"),), system="a", tools=(ToolSpec(name="f"),))
    for model in (GPT, CLAUDE):
        before, _ = rendered(model, first)
        after, changes = rendered(model, first, Segment(2, (user("y"),), system="b"))
        assert after.tape.list()[: len(before.tape)] == before.tape.list()
        assert after.head == before.head
        assert "instruction_appended" in {change.kind for change in changes}
        _, changes = rendered(model, first, Segment(2, (user("y"),), tools=(ToolSpec(name="g"),)))
        assert [(change.kind, change.seq) for change in changes] == [("prefix_broken", 2)]


def test_h009_neighbouring_turns_of_one_role_stay_apart() -> None:
    for model in (GPT, CLAUDE):
        items, kinds = told(model, user("a"), user("b"))
        assert [item["content"] for item in items] == ["a", "b"]
        assert kinds == set()


def test_h010_a_conversation_may_begin_with_an_answer() -> None:
    for model in (GPT, CLAUDE):
        items, kinds = told(model, assistant("hello"), user("x"))
        assert [item["role"] for item in items] == ["assistant", "user"]
        assert kinds == set()


def test_h011_h012_nothing_is_taken_for_the_beginning_of_an_answer() -> None:
    """H-013: nor is white space at its end a fault then."""
    request, kinds = body(CLAUDE, user("x"), assistant("The answer is "))
    assert request["messages"][-1] == {"role": "user", "content": "Continue."}
    assert "filler_inserted" in kinds
    request, kinds = body(GPT, user("x"), assistant("The answer is "))
    assert request["messages"][-1]["role"] == "assistant"


def test_h015_results_are_one_turn_or_several_as_the_dialect_has_it() -> None:
    turns = (answer(call("a"), call("b")), results(result("a")), results(result("b")))
    assert [item["role"] for item in told(GPT, *turns)[0]] == ["assistant", "tool", "tool"]
    items, _ = told(CLAUDE, *turns)
    assert [block["tool_use_id"] for block in items[1]["content"]] == ["a", "b"]


def test_h017_h018_empty_texts_are_left_out_where_they_are_refused() -> None:
    items, kinds = told(CLAUDE, user(""), user(" "), answer(Text(text="")), user("x"))
    assert items == [{"role": "user", "content": "x"}]
    assert kinds == {"empty_dropped"}
    own = answer(Text(text="\n\n"), call(), origin="anthropic:claude-opus-4-8")
    assert told(CLAUDE, own)[0][0]["content"][0]["text"] == "\n\n"
    foreign = answer(Text(text="\n\n"), call(), origin="openai:gpt-4o")
    assert told(CLAUDE, foreign)[0][0]["content"][0]["type"] == "tool_use"
    items, kinds = told(GPT, user(""), answer(Text(text="")))
    assert [item["content"] for item in items] == ["", ""]


def test_h019_text_stays_next_to_calls() -> None:
    items, _ = told(CLAUDE, answer(Text(text="I look"), call()))
    assert [block["type"] for block in items[0]["content"]] == ["text", "tool_use"]
    items, _ = told(GPT, answer(Text(text="I look"), call()))
    assert items[0]["content"] == "I look"
    assert "content" not in told(GPT, answer(call()))[0][0]


def test_h020_the_order_of_an_answer_is_kept_or_its_loss_is_reported() -> None:
    turn = answer(Text(text="a"), call(), Text(text="b"))
    items, kinds = told(CLAUDE, turn)
    assert [block["type"] for block in items[0]["content"]] == ["text", "tool_use", "text"]
    assert kinds == set()
    assert told(GPT, turn)[1] == {"order_lost"}


def test_h021_h022_texts_are_not_joined() -> None:
    both = Message(role="user", parts=(Text(text="a"), Text(text="b")))
    for model in (GPT, CLAUDE):
        assert [part["text"] for part in told(model, both)[0][0]["content"]] == ["a", "b"]
        assert told(model, user("a"))[0][0]["content"] == "a"


def test_h023_half_characters_are_replaced() -> None:
    for model in (GPT, CLAUDE):
        items, kinds = told(
            model, user("\ud83d"), system="\ud83d", tools=(ToolSpec(name="\ud83d"),)
        )
        assert "\ufffd" in str(items)
        assert "unicode_repaired" in kinds
    found = parse_chat(
        {"choices": [{"message": {"content": "\ud83d"}, "finish_reason": "stop"}]},
        provider="openai",
        model="m",
        names={},
    )
    assert found.message.text == "\ufffd"


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_h024_h025_ids_that_do_not_fit_are_mapped_without_meeting(model: str) -> None:
    """H-029: nor do two calls of one id meet."""
    ids = ["functions.f:0", "functions_f_0", "x" * 390 + "a", "x" * 390 + "b", "é", ""]
    turn = answer(*(call(id_) for id_ in ids), call("same"), call("same", "g"))
    items, kinds = told(model, turn, results(*(result(id_) for id_ in ids)))
    if model == GPT:
        made = [item["id"] for item in items[0]["tool_calls"]]
        assert [item["tool_call_id"] for item in items[1:]] == made
        assert max(map(len, made)) <= 40
    else:
        made = [block["id"] for block in items[0]["content"]]
        assert [block["tool_use_id"] for block in items[1]["content"]] == made
    assert len(set(made)) == 8
    assert made[1] == "functions_f_0"
    assert "id_mapped" in kinds


def test_h027_a_call_without_an_id_gets_one_that_does_not_change() -> None:
    calls = [
        {"function": {"name": "f", "arguments": "{}"}, "id": id_} for id_ in ("", None, "a", "a")
    ]
    data = {"id": "r", "choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    first, again = (parse_chat(data, provider="p", model="m", names={}) for _ in range(2))
    ids = [found.id for found in first.message.tool_calls]
    assert len(set(ids)) == 4
    assert first == again


def test_h028_an_id_of_an_earlier_turn_may_come_again() -> None:
    turn = (answer(call("a", arguments='{"n":1}')), results(result("a", "one")))
    again = (answer(call("a", arguments='{"n":2}')), results(result("a", "two")))
    items, kinds = told(CLAUDE, *turn, user("x"), *again)
    assert [item["content"][0].get("content") for item in (items[1], items[4])] == ["one", "two"]
    assert kinds == set()


def test_h032_arguments_are_sent_as_they_were_written() -> None:
    raw = '{"b":1, "a":1.0, "n":123456789012345678901234567890}'
    assert (
        told(GPT, answer(call(arguments=raw)))[0][0]["tool_calls"][0]["function"]["arguments"]
        == raw
    )
    sent = told(CLAUDE, answer(call(arguments=raw)))[0][0]["content"][0]["input"]
    assert json.dumps(sent) == '{"b": 1, "a": 1.0, "n": 123456789012345678901234567890}'


@pytest.mark.parametrize(
    "raw", ['{"x":17,"y":25', "[]", "null", '"15 * 4"', '{"n":NaN}', '{"n":1e999}']
)
def test_h033_h034_arguments_that_are_no_object_are_told_inside_one(raw: str) -> None:
    foreign = answer(call(arguments=raw), origin="openai:gpt-4o")
    items, kinds = told(CLAUDE, foreign)
    assert items[0]["content"][0]["input"] == {"_invalid_arguments": raw}
    assert kinds == {"arguments_wrapped"}
    assert told(GPT, foreign)[0][0]["tool_calls"][0]["function"]["arguments"] == raw
    assert told(CLAUDE, answer(call(arguments="")))[0][0]["content"][0]["input"] == {}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_h037_a_call_that_was_interrupted_is_closed(model: str) -> None:
    items, kinds = told(model, answer(call("a"), call("b")), results(result("a")), user("x"))
    assert "This call was interrupted" in json.dumps(items)
    assert kinds >= {"result_synthesised"}


@pytest.mark.parametrize("model", [GPT, CLAUDE])
def test_h038_a_result_that_nobody_asked_for_is_told_as_text(model: str) -> None:
    lost = ToolResult(id="z", name="f", parts=(Text(text="r"), Image(data=PNG)))
    items, kinds = told(model, user("x"), results(lost))
    assert "Result of tool f" in json.dumps(items)
    assert PNG in json.dumps(items)
    assert "orphan_result_degraded" in kinds


def test_h040_the_last_of_two_results_counts() -> None:
    items, kinds = told(CLAUDE, answer(call()), results(result("a", "old"), result("a", "new")))
    assert items[1]["content"][0]["content"] == "new"
    assert kinds == {"duplicate_dropped"}


def test_h041_a_failed_tool_is_seen_to_have_failed() -> None:
    failed = (
        answer(call("a"), call("b")),
        results(result("a", "boom", error=True), result("b", "Error: x", error=True)),
    )
    items, kinds = told(GPT, *failed)
    assert [item["content"] for item in items[1:]] == ["Error:\nboom", "Error: x"]
    assert kinds == {"error_prefixed"}
    items, kinds = told(CLAUDE, *failed)
    assert all(block["is_error"] for block in items[1]["content"])
    assert kinds == set()


def test_h043_images_of_results_come_after_all_of_them() -> None:
    shown = ToolResult(id="a", name="f", parts=(Image(data=PNG),))
    turns = (answer(call("a"), call("b")), results(shown, result("b")))
    items, kinds = told(GPT, *turns)
    assert [item["role"] for item in items] == ["assistant", "tool", "tool", "user"]
    assert items[3]["content"][1]["type"] == "image_url"
    assert kinds == {"image_moved"}
    items, kinds = told(CLAUDE, *turns)
    assert items[1]["content"][0]["content"][0]["type"] == "image"
    assert kinds == set()


def test_h044_an_empty_result_is_an_empty_text() -> None:
    turns = (answer(call()), results(result("a", None)))
    assert told(CLAUDE, *turns)[0][1]["content"][0]["content"] == ""
    assert told(GPT, *turns)[0][1]["content"] == ""


def test_h047_h048_calls_of_tools_that_are_not_declared_stay() -> None:
    for model in (GPT, CLAUDE):
        items, kinds = told(model, answer(call("a", "gone")), results(result()), tools=())
        assert "gone" in json.dumps(items)
        assert kinds == set()


@pytest.mark.parametrize(("model", "longest"), [(GPT, 64), (CLAUDE, 128)])
def test_h050_names_that_do_not_fit_are_mapped_there_and_back(model: str, longest: int) -> None:
    names = ["server.tool/with space", "n" * 150 + "a", "n" * 150 + "b", "", "ok"]
    adapter = ANTHROPIC if model == CLAUDE else OPENAI
    segment = Segment(1, (user("x"),), tools=tuple(ToolSpec(name=name) for name in names))
    request = adapter.request(adapter.render(adapter.begin(model), segment), {})
    sent = [tool.get("function", tool)["name"] for tool in request.body["tools"]]
    assert len(set(sent)) == 5
    assert max(map(len, sent)) <= longest
    assert [request.names.get(name, name) for name in sent] == names
    block: dict[str, Any] = {"type": "tool_use", "id": "t", "name": sent[0], "input": {}}
    found = parse_messages(
        {"content": [block], "stop_reason": "tool_use"},
        provider="p",
        model="m",
        names=request.names,
    )
    assert found.message.tool_calls[0].name == names[0]


def test_h051_no_tools_are_no_list_and_a_second_of_a_name_is_dropped() -> None:
    for model in (GPT, CLAUDE):
        adapter = ANTHROPIC if model == CLAUDE else OPENAI
        view, _ = rendered(model, Segment(1, (user("x"),), tools=()))
        assert "tools" not in adapter.request(view, {"tool_choice": "auto"}).body
        _, kinds = told(model, user("x"), tools=(ToolSpec(name="f"), ToolSpec(name="f")))
        assert kinds == {"tool_dropped"}


SCHEMAS: list[tuple[dict[str, Any], dict[str, Any], tuple[str, ...]]] = [
    ({}, {"type": "object", "properties": {}}, ()),
    ({"properties": {"a": {}}}, {"type": "object", "properties": {"a": {}}}, ()),
    ({"type": "string"}, {"type": "object", "properties": {}}, ("type",)),
    (
        {"anyOf": [{"properties": {"a": {}}}, {"type": "null"}]},
        {"type": "object", "properties": {"a": {}}},
        ("anyOf",),
    ),
    (
        {"$ref": "#/$defs/A", "$defs": {"A": {"type": "object", "required": []}}},
        {
            "type": "object",
            "properties": {},
            "required": [],
            "$defs": {"A": {"type": "object", "required": []}},
        },
        (),
    ),
]


@pytest.mark.parametrize(("schema", "told_as", "removed"), SCHEMAS)
def test_h052_the_root_of_a_schema_is_an_object(
    schema: dict[str, Any], told_as: dict[str, Any], removed: tuple[str, ...]
) -> None:
    assert object_schema(schema) == (told_as, removed)


@pytest.mark.parametrize(
    ("choice", "chat", "messages"),
    [
        ("auto", "auto", {"type": "auto"}),
        ("none", "none", {"type": "none"}),
        ("required", "required", {"type": "any"}),
        ("f", {"type": "function", "function": {"name": "f"}}, {"type": "tool", "name": "f"}),
    ],
)
def test_h056_the_choice_of_tools_has_a_word_in_each_dialect(
    choice: str, chat: Any, messages: Any
) -> None:
    assert body(GPT, user("x"), tool_choice=choice)[0]["tool_choice"] == chat
    assert body(CLAUDE, user("x"), tool_choice=choice)[0]["tool_choice"] == messages
    alone = body(CLAUDE, user("x"), parallel_tool_calls=False)[0]["tool_choice"]
    assert alone == {"type": "auto", "disable_parallel_tool_use": True}


def test_h057_a_model_that_refuses_to_be_forced_is_not() -> None:
    for model, settings in (("claude-fable-5", {}), (CLAUDE, {"reasoning_effort": "low"})):
        request, kinds = body(model, user("x"), tool_choice="required", **settings)
        assert request["tool_choice"] == {"type": "auto"}
        assert "setting_mapped" in kinds
    assert body(NEW_CLAUDE, user("x"), tool_choice="required", reasoning_effort="low")[0][
        "tool_choice"
    ] == {"type": "any"}


def test_h058_an_effort_that_is_refused_with_tools_is_dropped() -> None:
    request, kinds = body("gpt-5.4-mini", user("x"), reasoning_effort="low")
    assert "reasoning_effort" not in request
    assert kinds == {"setting_dropped"}


def test_h059_h063_reasoning_goes_back_to_its_issuer_only() -> None:
    """H-062: word for word, also where there are none."""
    thoughts = (
        Reasoning(text="", proof="sig"),
        Reasoning(proof="hidden", redacted=True),
        Text(text="so"),
    )
    items, kinds = told(CLAUDE, answer(*thoughts, origin="anthropic:claude-opus-4-8"))
    assert items[0]["content"] == [
        {"type": "thinking", "thinking": "", "signature": "sig"},
        {"type": "redacted_thinking", "data": "hidden"},
        {"type": "text", "text": "so"},
    ]
    assert kinds == set()
    for model in (GPT, CLAUDE):
        items, kinds = told(model, answer(*thoughts, origin="google:gemini"))
        assert "sig" not in json.dumps(items)
        assert kinds == {"reasoning_dropped"}


def test_h061_thinking_by_budget_waits_for_the_end_of_a_foreign_loop() -> None:
    loop = (user("x"), answer(call(), origin="openai:gpt-4o"), results(result()))
    request, kinds = body(CLAUDE, *loop, reasoning_effort="high")
    assert "thinking" not in request
    assert "thinking_suspended" in kinds
    assert (
        "thinking" in body(CLAUDE, *loop, assistant("done"), user("y"), reasoning_effort="high")[0]
    )


def test_h075_an_image_is_what_its_bytes_are() -> None:
    shown = Message(role="user", parts=(Image(media_type="image/png", data=JPEG),))
    items, kinds = told(CLAUDE, shown)
    assert items[0]["content"][0]["source"]["media_type"] == "image/jpeg"
    assert kinds == {"image_type_corrected"}
    items, kinds = told(GPT, Message(role="user", parts=(Image(data="Qk0="),)))
    assert items[0]["content"] == "[image]"
    assert kinds == {"image_dropped"}


def test_h087_a_refusal_is_told_in_the_words_of_the_dialect() -> None:
    turn = answer(Refusal(text="no"), origin="openai:gpt-4o")
    assert told(GPT, turn)[0] == [{"role": "assistant", "refusal": "no"}]
    items, kinds = told(CLAUDE, turn)
    assert items[0]["content"] == [{"type": "text", "text": "no"}]
    assert kinds == {"refusal_as_text"}


def test_h090_h093_settings_have_the_models_names_and_ranges() -> None:
    asked = {"temperature": 1.5, "max_tokens": 10**9, "stop": ["\n"]}
    request, kinds = body(CLAUDE, user("x"), **asked)
    assert request["max_tokens"] == 64_000
    assert request.keys().isdisjoint({"temperature", "stop_sequences"})
    assert kinds == {"setting_dropped", "setting_clamped"}
    request, _ = body("gpt-5", user("x"), **asked)
    assert request["max_completion_tokens"] == 128_000
    assert request.keys().isdisjoint({"temperature", "stop", "max_tokens"})
    request, _ = body(GPT, user("x"), **asked)
    assert (request["max_tokens"], request["temperature"]) == (16_384, 1.5)


def test_h104_a_forced_call_that_ends_with_stop_is_a_call() -> None:
    calls = [{"id": "a", "function": {"name": "f", "arguments": "{}"}, "type": "function"}]
    data = {"choices": [{"message": {"tool_calls": calls}, "finish_reason": "stop"}]}
    assert parse_chat(data, provider="p", model="m", names={}).finish == "tool_calls"


def test_h106_h107_usage_means_the_same_of_both() -> None:
    messages: dict[str, Any] = {
        "content": [],
        "stop_reason": "end_turn",
        "usage": {
            "input_tokens": 10,
            "cache_creation_input_tokens": 100,
            "cache_read_input_tokens": 1000,
            "output_tokens": 5,
        },
    }
    chat = {
        "choices": [{"message": {"content": "x"}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 1110,
            "prompt_tokens_details": {"cached_tokens": 1000, "cache_write_tokens": 100},
            "completion_tokens": 5,
        },
    }
    one = parse_messages(messages, provider="p", model="m", names={}).usage
    assert one == parse_chat(chat, provider="p", model="m", names={}).usage


def test_h110_pieces_of_calls_find_their_call_with_and_without_an_index() -> None:
    for pieces in (
        [(0, "a", "f", ""), (0, None, None, '{"x"'), (1, "b", "g", "{}"), (0, None, None, ":1}")],
        [(None, "a", "f", '{"x":1}'), (None, "b", "g", "{}")],
        [(0, "a", "f", '{"x":1}'), (0, "b", "g", "{}")],
    ):
        assembly = Assembly({})
        for index, id_, name, arguments in pieces:
            piece: dict[str, Any] = {"function": {"name": name, "arguments": arguments}, "id": id_}
            piece |= {} if index is None else {"index": index}
            assembly.add({"choices": [{"index": 0, "delta": {"tool_calls": [piece]}}]})
        assembly.add({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]})
        found = parse_chat(assembly.whole(), provider="p", model="m", names={}).message.tool_calls
        assert [(item.id, item.name, item.arguments) for item in found] == [
            ("a", "f", '{"x":1}'),
            ("b", "g", "{}"),
        ]


def test_an_answer_is_kept_in_the_providers_words_only_where_ours_do_not_say_the_same() -> None:
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"b": 1, "a": 1.0}}
    plain = parse_messages(
        {"content": [block], "stop_reason": "tool_use"}, provider="anthropic", model="m", names={}
    ).message
    assert plain.native is None
    more = {**block, "caller": {"type": "direct"}}
    kept = parse_messages(
        {"content": [more], "stop_reason": "tool_use"}, provider="anthropic", model="m", names={}
    ).message
    assert told(CLAUDE, kept)[0][0]["content"] == [more]
    assert told(GPT, kept)[0] == told(GPT, plain)[0]
    raw = {
        "role": "assistant",
        "content": "x",
        "refusal": None,
        "annotations": [],
        "tool_calls": [
            {
                "index": 0,
                "id": "a",
                "type": "function",
                "function": {"name": "f", "arguments": "{}"},
            }
        ],
    }
    data = {"choices": [{"message": raw, "finish_reason": "tool_calls"}]}
    assert parse_chat(data, provider="openai", model="m", names={}).message.native is None
    raw["reasoning_content"] = "hm"
    found = parse_chat(data, provider="openai", model="m", names={}).message
    assert told(GPT, found)[0][0]["reasoning_content"] == "hm"
    assert found.parts[0] == Reasoning(text="hm")


def test_a_block_of_tomorrow_goes_back_to_its_provider_as_it_came() -> None:
    block: JsonValue = {"type": "of_tomorrow", "x": None, "y": [1]}
    data = {"content": [block], "stop_reason": "end_turn"}
    found = parse_messages(data, provider="anthropic", model="m", names={}).message
    assert found.parts == (Opaque(dialect="anthropic", data=block),)
    assert told(CLAUDE, found)[0][0]["content"] == [block]
    assert told(GPT, found)[1] == {"opaque_dropped"}


def test_a_conversation_that_went_away_and_came_back_is_what_it_was() -> None:
    """X to Y to X: what Y was not told is in the log, and there again."""
    turns = (
        user("hi"),
        answer(
            Reasoning(text="t", proof="s"),
            Text(text="I look"),
            call("toolu_1"),
            origin="anthropic:m",
        ),
        results(result("toolu_1", "42")),
        answer(Text(text="and"), call("call_2", "g", '{"b": 1}'), origin="openai:gpt-4o"),
        results(result("call_2", "bad", error=True)),
    )
    segments = [Segment(seq + 1, (turn,)) for seq, turn in enumerate(turns)]
    alone, _ = rendered(CLAUDE, *segments[:3])
    whole, _ = rendered(CLAUDE, *segments)
    away, _ = rendered(GPT, *segments)
    assert whole.tape.list()[:3] == alone.tape.list()
    for view in (whole, away):
        text = json.dumps(view.tape.list())
        assert all(word in text for word in ("hi", "I look", "toolu_1", "42", "call_2", "bad"))


SEARCH: dict[str, Any] = {
    "type": "server_tool_use",
    "id": "srvtoolu_1",
    "name": "web_search",
    "input": {"query": "x"},
}
FOUND: dict[str, Any] = {
    "type": "web_search_tool_result",
    "tool_use_id": "srvtoolu_1",
    "content": [],
}


def paused_answer(*blocks: dict[str, Any]) -> Message:
    data = {"id": "m", "content": list(blocks), "stop_reason": "pause_turn"}
    return parse_messages(data, provider="anthropic", model=NEW_CLAUDE, names={}).message


def test_h084_a_search_that_was_never_answered_goes_when_the_run_goes_on() -> None:
    """H-085: as long as it may be gone on with, the turn is sent as it came."""
    said = {"type": "text", "text": "I look."}
    view, _ = rendered(
        NEW_CLAUDE, Segment(1, (user("x"),)), Segment(2, (paused_answer(said, SEARCH),))
    )
    request = ANTHROPIC.request(view, {})
    assert request.body["messages"][-1] == {"role": "assistant", "content": [said, SEARCH]}
    assert violations("anthropic", request.body) == []

    on = ANTHROPIC.render(view, Segment(3, (paused_answer(FOUND, said),)))
    assert on.tape.list()[:2] == request.body["messages"]

    off = ANTHROPIC.render(view, Segment(3, (user("leave it"),)))
    assert off.tape.list()[: len(view.tape)] == view.tape.list()
    assert [item["content"] for item in off.tape.list()[1:]] == [[said], "leave it"]
    assert [(change.kind, change.seq) for change in off.changes] == [("part_dropped", 3)]
    assert violations("anthropic", ANTHROPIC.request(off, {}).body) == []


def test_h084_a_turn_of_nothing_but_such_a_call_leaves_nothing() -> None:
    items, kinds = told(NEW_CLAUDE, user("x"), paused_answer(SEARCH), user("y"))
    assert items == [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]
    assert "part_dropped" in kinds


def test_h119_of_more_than_four_cache_marks_the_newest_are_sent() -> None:
    """And nothing of what was told changes: the marks are outside of what the service compares."""
    mark: dict[str, dict[str, JsonValue]] = {"anthropic": {"cache_control": {"type": "ephemeral"}}}
    turns = [
        Message(role="user", parts=(Text(text=str(number), hints=mark),)) for number in range(5)
    ]
    tools = (ToolSpec(name="f", hints=mark),)
    view, _ = rendered(CLAUDE, Segment(1, tuple(turns), tools=tools))
    request = ANTHROPIC.request(view, {})

    asked = ["cache_control" in json.dumps(item) for item in request.body["messages"]]
    assert asked == [False, True, True, True, True]
    assert "cache_control" not in request.body["tools"][0]
    assert "cache_control" in json.dumps(view.tape.list()[0])
    assert [change.kind for change in request.changes] == ["hint_dropped"]
    four, _ = rendered(CLAUDE, Segment(1, tuple(turns[1:])))
    assert ANTHROPIC.request(four, {}).changes == ()


def test_h028_an_id_may_come_again_in_a_later_turn_of_responses() -> None:
    """The results are paired with the call before them; and Gemini has no ids to mix up."""
    turn = (answer(call("a", arguments='{"n":1}')), results(result("a", "one")))
    again = (answer(call("a", arguments='{"n":2}')), results(result("a", "two")))
    segment = Segment(1, (user("x"), *turn, user("y"), *again))
    responses = ResponsesAdapter(api_key="k")
    view = responses.render(responses.begin("gpt-5"), segment)
    outputs = [item for item in view.tape.list() if item.get("type") == "function_call_output"]
    assert [item["output"] for item in outputs] == ["one", "two"]
    assert violations("openai-responses", responses.request(view, {}).body) == []
    gemini = GeminiAdapter(api_key="k")
    view = gemini.render(gemini.begin("gemini-3-pro-preview"), segment)
    assert violations("gemini", gemini.request(view, {}).body, "gemini-3-pro-preview") == []


def test_h049_tools_that_were_added_on_the_way_go_home_and_are_a_loss_elsewhere() -> None:
    added: dict[str, Any] = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{"type": "function", "name": "rate", "parameters": {}, "strict": True}],
    }
    body: dict[str, Any] = {"model": "gpt-5", "input": [{"role": "user", "content": "x"}, added]}
    assert convert(body, source="openai-responses", target="openai-responses").request == body
    for target in ("openai-chat", "anthropic", "gemini"):
        found = convert(body, source="openai-responses", target=target)
        assert [change.kind for change in found.losses] == ["part_dropped"], target


def responses_view(model: str, *segments: Segment) -> tuple[View, list[Change]]:
    adapter = ResponsesAdapter(api_key="k")
    view = adapter.render_all(adapter.begin(model), segments)
    return view, list(view.changes)


F, G, H = (ToolSpec(name=name) for name in "fgh")


def chosen(view: View, **settings: Any) -> tuple[Any, set[str]]:
    request = ResponsesAdapter(api_key="k").request(view, settings)
    assert violations("openai-responses", request.body, "gpt-5") == []
    return request.body.get("tool_choice"), {change.kind for change in request.changes}


def test_h049_tools_that_come_on_the_way_in_responses_leave_the_list_at_the_beginning() -> None:
    first = Segment(1, (user("x"),), tools=(F,))
    before, _ = responses_view("gpt-5", first)
    view, changes = responses_view("gpt-5", first, Segment(2, (user("y"),), tools=(F, G)))
    assert view.head == before.head
    [declared] = view.head["tools"]
    assert view.tape.list()[1] == {
        "type": "additional_tools",
        "role": "developer",
        "tools": [{**declared, "name": "g"}],
    }
    assert [(change.kind, change.seq) for change in changes] == [("tools_appended", 2)]
    assert chosen(view) == (None, set())
    assert chosen(view, tool_choice="required") == ("required", set())
    # a tool that is not in the list at the beginning cannot be named
    assert chosen(view, tool_choice="g") == (None, {"setting_mapped"})
    again, changes = responses_view(
        "gpt-5", first, Segment(2, (user("y"),), tools=(F, G)), Segment(3, (), tools=(F, G))
    )
    assert len(again.tape) == len(view.tape)


def test_h049_tools_that_go_on_the_way_are_forbidden_and_stay_in_the_list() -> None:
    first = Segment(1, (user("x"),), tools=(F, H))
    view, changes = responses_view("gpt-5", first, Segment(2, (user("y"),), tools=(F,)))
    assert [tool["name"] for tool in view.head["tools"]] == ["f", "h"]
    assert [(change.kind, change.detail) for change in changes] == [("tools_withheld", "h")]
    allowed = {"type": "allowed_tools", "tools": [{"type": "function", "name": "f"}]}
    assert chosen(view) == ({**allowed, "mode": "auto"}, set())
    assert chosen(view, tool_choice="required") == ({**allowed, "mode": "required"}, set())
    assert chosen(view, tool_choice="none") == ("none", set())
    assert chosen(view, tool_choice="f")[0] == {"type": "function", "name": "f"}
    assert chosen(view, tool_choice="h") == ({**allowed, "mode": "auto"}, {"setting_mapped"})
    both, _ = responses_view("gpt-5", first, Segment(2, (user("y"),), tools=(F, G)))
    assert chosen(both) == (None, {"setting_mapped"})  # it would have to name `g`
    back, _ = responses_view(
        "gpt-5", first, Segment(2, (user("y"),), tools=(F,)), Segment(3, (), tools=(F, H))
    )
    assert chosen(back) == (None, set())


def test_h049_tools_that_come_between_a_call_and_its_result_wait_for_it() -> None:
    f, g = ToolSpec(name="f"), ToolSpec(name="g")
    begun = Segment(1, (user("x"), answer(call())), tools=(f,))
    view, _ = responses_view("gpt-5", begun, Segment(2, (), tools=(f, g)))
    assert view.tape.list()[-1]["type"] == "function_call"
    request = ResponsesAdapter(api_key="k").request(view, {})
    kinds = ["function_call", "function_call_output", "additional_tools"]
    assert [item.get("type") for item in request.body["input"][1:]] == kinds
    answered, _ = responses_view(
        "gpt-5", begun, Segment(2, (), tools=(f, g)), Segment(3, (results(result()),))
    )
    assert [item.get("type") for item in answered.tape.list()[1:]] == kinds


def test_h049_no_tool_is_left_to_call_where_all_are_gone() -> None:
    view, _ = responses_view(
        "gpt-5", Segment(1, (user("x"),), tools=(ToolSpec(name="f"),)), Segment(2, (), tools=())
    )
    request = ResponsesAdapter(api_key="k").request(view, {"tool_choice": "required"})
    assert request.body["tool_choice"] == "none"
    assert "setting_mapped" in {change.kind for change in request.changes}


def test_h049_a_tool_that_is_declared_otherwise_breaks_the_prefix_and_says_so() -> None:
    f, other = ToolSpec(name="f"), ToolSpec(name="f", description="otherwise")
    view, changes = responses_view(
        "gpt-5", Segment(1, (user("x"),), tools=(f,)), Segment(2, (user("y"),), tools=(other,))
    )
    assert [change.kind for change in changes] == ["prefix_broken"]
    assert view.head["tools"][0]["description"] == "otherwise"
    _, changes = responses_view(
        "gpt-4o",
        Segment(1, (user("x"),), tools=(f,)),
        Segment(2, (user("y"),), tools=(f, ToolSpec(name="g"))),
    )
    assert [change.kind for change in changes] == ["prefix_broken"]  # it knows no such item
