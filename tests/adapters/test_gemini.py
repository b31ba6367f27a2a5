"""Gemini: what it is told, what it answers, and the hazards of both, by their number in the catalogue.

Cases of our own, after the vendor's documentation; recorded traffic is in test_corpus.py.
"""

from __future__ import annotations

from typing import Any

import pytest

import midstream
from midstream.adapters import ModelResponse, Segment, View
from midstream.adapters.base import Delta
from midstream.adapters.convert import answered
from midstream.adapters.dialect import dialect
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.gemini.declared import json_schema
from midstream.adapters.gemini.parse import Assembly, parse
from midstream.adapters.gemini.plain import FILLER
from midstream.adapters.gemini.render import UNSIGNED
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.imported import Imported
from midstream.errors import ConversionError, MalformedAnswerError
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
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
from tests.adapters.conversations import PDF, PNG
from tests.adapters.rules import violations

GEMINI = GeminiAdapter(api_key="k")
FLASH, NEW = "gemini-2.5-flash", "gemini-3-pro-preview"
SIGNED = "c2lnbmF0dXJl"


def told(*messages: Message, model: str = FLASH, **head: Any) -> tuple[list[Any], set[str]]:
    view = GEMINI.render(GEMINI.begin(model), Segment(1, messages, **head))
    return view.tape.list(), {change.kind for change in view.changes}


def call(id_: str = "a", name: str = "f", arguments: str = "{}") -> ToolCall:
    return ToolCall(id=id_, name=name, arguments=arguments)


def answer(*parts: Part, origin: str = "openai:gpt-4o") -> Message:
    return Message(role="assistant", parts=parts, origin=origin)


def results(*given: ToolResult) -> Message:
    return Message(role="tool", parts=given)


def result(id_: str = "a", *parts: Any, error: bool = False) -> ToolResult:
    return ToolResult(id=id_, name="f", parts=parts, is_error=error)


def parsed(*parts: dict[str, Any], reason: Any = "STOP", **more: Any) -> ModelResponse:
    candidate = {"content": {"role": "model", "parts": list(parts)}, "finishReason": reason}
    data = {"candidates": [candidate], "responseId": "r1", **more}
    return parse(data, provider="gemini", model=FLASH, names={})


def settings(model: str, tools: tuple[ToolSpec, ...] = (), **asked: Any) -> tuple[Any, set[str]]:
    view = GEMINI.render(GEMINI.begin(model), Segment(1, (user("x"),), tools=tools))
    request = GEMINI.request(view, asked)
    return request.body, {change.kind for change in request.changes}


def test_h001_leading_instructions_are_in_the_head_with_their_borders() -> None:
    view = GEMINI.render(GEMINI.begin(FLASH), Segment(1, (system("a"), system("b"), user("x"))))

    assert view.head["systemInstruction"] == {"parts": [{"text": "a"}, {"text": "b"}]}
    assert view.tape.list() == [{"role": "user", "parts": [{"text": "x"}]}]


def test_h001_a_model_without_instructions_is_told_them_by_the_user() -> None:
    items, kinds = told(system("a"), user("x"), model="gemma-3-27b-it")

    assert items[0] == {"role": "user", "parts": [{"text": INSTRUCTION + "a"}]}
    assert "instruction_degraded" in kinds


def test_h004_a_later_instruction_is_a_turn_of_the_user() -> None:
    items, kinds = told(user("x"), assistant("y"), system("b"), user("z"), system=None)

    assert [item["role"] for item in items] == ["user", "model", "user", "user"]
    assert "instruction_degraded" in kinds


@pytest.mark.parametrize(("first", "filled"), [(Text(text="hi"), False), (call(), True)])
def test_h010_a_call_is_never_the_first_turn(first: Part, filled: bool) -> None:
    items, kinds = told(answer(first))

    assert (items[0]["parts"] == [{"text": FILLER}]) == filled
    assert ("filler_inserted" in kinds) == filled


def test_h011_a_request_never_ends_with_the_models_turn() -> None:
    view = GEMINI.render(GEMINI.begin(FLASH), Segment(1, (user("x"), assistant("y"))))
    request = GEMINI.request(view, {})

    assert request.body["contents"][-1] == {"role": "user", "parts": [{"text": FILLER}]}


def test_h015_results_are_one_turn_in_the_order_of_the_calls() -> None:
    items, _ = told(
        user("x"),
        answer(Text(text="I look"), call("a"), call("b", "g")),
        results(result("b", Text(text="2")), result("a", Text(text="1"))),
    )

    assert items[1]["parts"] == [
        {"text": "I look"},
        {"functionCall": {"id": "a", "name": "f", "args": {}}},
        {"functionCall": {"id": "b", "name": "g", "args": {}}},
    ]
    found = [part["functionResponse"] for part in items[2]["parts"]]
    assert found == [
        {"id": "a", "name": "f", "response": {"output": "1"}},
        {"id": "b", "name": "g", "response": {"output": "2"}},
    ]


def test_h017_an_empty_text_is_left_out() -> None:
    items, kinds = told(user(""), answer(Text(text=""), Text(text="y")))

    assert items == [{"role": "model", "parts": [{"text": "y"}]}]
    assert "empty_dropped" in kinds


@pytest.mark.parametrize("raw", ['{"x":17,"y":25', "[]", "null", '"15 * 4"'])
def test_h033_h034_arguments_that_are_no_object_come_back_as_they_were(raw: str) -> None:
    body = {
        "messages": [
            {"role": "user", "content": "x"},
            {
                "role": "assistant",
                "tool_calls": [
                    {
                        "id": "a",
                        "type": "function",
                        "function": {"name": "f", "arguments": raw},
                    }
                ],
            },
            {"role": "tool", "tool_call_id": "a", "content": "y"},
        ]
    }
    there = midstream.convert(body, source="openai-chat", target="gemini")
    back = midstream.convert(there.request, source="gemini", target="openai-chat")

    assert violations("gemini", there.request) == []
    assert back.request["messages"] == body["messages"]


def test_h037_h039_a_call_without_a_result_is_closed_in_its_place() -> None:
    items, kinds = told(
        user("x"), answer(call("a"), call("b")), results(result("a", Text(text="1"))), user("go on")
    )

    assert "result_synthesised" in kinds
    found = [part["functionResponse"] for part in items[2]["parts"]]
    assert [found[0]["response"], list(found[1]["response"])] == [{"output": "1"}, ["error"]]
    assert items[3] == {"role": "user", "parts": [{"text": "go on"}]}


@pytest.mark.parametrize(
    ("parts", "error", "response"),
    [
        ((), False, {}),
        ((Text(text=""),), False, {}),
        ((Text(text="sun"),), False, {"output": "sun"}),
        ((Text(text="a"), Text(text="b")), False, {"output": ["a", "b"]}),
        ((Text(text="boom"),), True, {"error": "boom"}),
        ((), True, {"error": ""}),
        ((Text(text='{"output":1}'),), False, {"output": '{"output":1}'}),
    ],
)
def test_h041_h042_h044_a_result_is_an_object_and_read_again_as_it_was(
    parts: Any, error: bool, response: Any
) -> None:
    items, _ = told(user("x"), answer(call()), results(result("a", *parts, error=error)))

    assert items[2]["parts"][0]["functionResponse"]["response"] == response
    read = dialect("gemini").read({"contents": items}).segments[-1].messages[0].parts[0]
    assert isinstance(read, ToolResult)
    assert read.is_error == error
    assert read.parts == tuple(part for part in parts if part.text)


def test_h042_a_structured_result_of_somebody_else_is_read_as_json() -> None:
    given: dict[str, Any] = {
        "contents": [
            {"role": "user", "parts": [{"text": "x"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"b": 1}}}]},
            {
                "role": "user",
                "parts": [{"functionResponse": {"name": "f", "response": {"t": [1, 2]}}}],
            },
        ]
    }
    found = midstream.convert(given, source="gemini", target="openai-chat").request["messages"]

    assert found[2]["content"] == '{"t":[1,2]}'
    assert found[1]["tool_calls"][0]["id"] == found[2]["tool_call_id"]
    assert midstream.convert(given, source="gemini", target="gemini").request == given


@pytest.mark.parametrize(("model", "inside"), [(FLASH, False), (NEW, True)])
def test_h043_images_of_results_are_in_them_where_the_model_takes_them_there(
    model: str, inside: bool
) -> None:
    shown = (Text(text="here"), Image(data=PNG))
    items, kinds = told(user("x"), answer(call()), results(result("a", *shown)), model=model)

    blob = {"inlineData": {"mimeType": "image/png", "data": PNG}}
    response = items[2]["parts"][0]["functionResponse"]
    assert (response.get("parts") == [blob]) == inside
    assert ("image_moved" in kinds) != inside
    if not inside:
        assert items[3]["parts"][1] == blob
    read = dialect("gemini").read({"contents": items}).segments[-1].messages
    assert [m.parts for m in read] == [
        (ToolResult(id="a", name="f", parts=(Text(text="here"), Image(data=PNG))),)
    ]


def test_h045_a_result_has_the_name_of_its_call() -> None:
    nameless = ToolResult(id="a", name="", parts=(Text(text="1"),))
    items, _ = told(user("x"), answer(call("a", "f g")), results(nameless))

    name = items[1]["parts"][0]["functionCall"]["name"]
    assert items[2]["parts"][0]["functionResponse"]["name"] == name != "f g"


@pytest.mark.parametrize("name", ["1st", "-x", "é", "a b", "n" * 65, ""])
def test_h050_a_name_that_does_not_fit_is_mapped_there_and_back(name: str) -> None:
    view = GEMINI.render(
        GEMINI.begin(FLASH), Segment(1, (user("x"),), tools=(ToolSpec(name=name),))
    )
    request = GEMINI.request(view, {"tool_choice": name})

    assert violations("gemini", request.body) == []
    (alias,) = request.names
    data: dict[str, Any] = {
        "candidates": [
            {
                "content": {"parts": [{"functionCall": {"name": alias, "args": {}}}]},
                "finishReason": "STOP",
            }
        ]
    }
    found = parse(data, provider="gemini", model=FLASH, names=request.names)
    assert [call.name for call in found.message.tool_calls] == [name]
    assert found.message.native is None


def test_h050_names_with_dots_and_colons_are_taken_as_they_are() -> None:
    view = GEMINI.render(
        GEMINI.begin(FLASH), Segment(1, (user("x"),), tools=(ToolSpec(name="server.tool:v1"),))
    )

    assert GEMINI.request(view, {}).names == {}


def test_h053_a_schema_goes_as_json_schema_and_comes_from_the_vendors_dialect() -> None:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": {
            "a": {"$ref": "#/$defs/A"},
            "b": {"oneOf": [{"const": 1}, {"type": "number", "exclusiveMinimum": 2}]},
            "c": {"type": ["string", "null"]},
        },
        "$defs": {"A": {"type": "string"}},
    }
    body, _ = settings(FLASH, (ToolSpec(name="f", parameters=schema),))
    assert body["tools"][0]["functionDeclarations"][0]["parametersJsonSchema"] == schema

    given = {
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING", "nullable": True, "format": "date"},
            "n": {"type": "ARRAY", "items": {"any_of": [{"type": "INTEGER"}, {"type": "NULL"}]}},
        },
        "required": ["type"],
    }
    assert json_schema(given) == {
        "type": "object",
        "properties": {
            "type": {"type": ["string", "null"], "format": "date"},
            "n": {"type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "null"}]}},
        },
        "required": ["type"],
    }


@pytest.mark.parametrize(
    ("choice", "config"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        ("f", {"mode": "ANY", "allowedFunctionNames": ["f"]}),
        ("nothing", None),
    ],
)
def test_h056_the_choice_of_tools_has_its_words(choice: str, config: Any) -> None:
    body, kinds = settings(FLASH, (ToolSpec(name="f"),), tool_choice=choice)

    assert body.get("toolConfig") == (config and {"functionCallingConfig": config})
    assert ("setting_mapped" in kinds) == (config is None)
    if config:
        read = dialect("gemini").read(body)
        assert read.settings["tool_choice"] == choice
        assert "toolConfig" not in (read.besides or {})


def test_h059_foreign_reasoning_is_not_told() -> None:
    thought = Reasoning(text="hm", proof="c2ln")
    items, kinds = told(user("x"), answer(thought, Text(text="y"), origin="anthropic:claude"))

    assert items[1] == {"role": "model", "parts": [{"text": "y"}]}
    assert "reasoning_dropped" in kinds


def test_h069_a_signature_stays_on_its_part() -> None:
    """Only the first of parallel calls is signed, and texts may be signed, too."""
    parts: list[dict[str, Any]] = [
        {"text": "hm", "thought": True},
        {"text": "I look", "thoughtSignature": "dGV4dA=="},
        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": SIGNED},
        {"functionCall": {"name": "f", "args": {"a": 2}}},
    ]
    found = parsed(*parts)

    assert found.message.native is None
    assert found.finish == "tool_calls"
    given = [result(c.id, Text(text="1")) for c in found.message.tool_calls]
    items, kinds = told(user("x"), found.message, results(*given), model=NEW)
    assert items[1] == {"role": "model", "parts": parts}
    assert all("id" not in part["functionResponse"] for part in items[2]["parts"])
    assert kinds == set()


@pytest.mark.parametrize(("model", "signed"), [(FLASH, False), (NEW, True)])
def test_h069_a_call_of_another_model_has_the_vendors_word_for_a_signature(
    model: str, signed: bool
) -> None:
    items, kinds = told(
        user("x"), answer(call("a"), call("b")), results(result("a"), result("b")), model=model
    )

    found = [part.get("thoughtSignature") for part in items[1]["parts"]]
    assert found == [UNSIGNED if signed else None, None]
    assert ("signature_placeholder" in kinds) == signed
    assert violations("gemini", {"contents": items}, model) == []


def test_h070_signatures_are_there_again_when_gemini_comes_back() -> None:
    parts: list[dict[str, Any]] = [
        {"functionCall": {"id": "q1", "name": "f", "args": {}}, "thoughtSignature": SIGNED},
    ]
    message = parsed(*parts).message
    foreign = answer(Text(text="and I say"), origin="anthropic:claude-opus-4-8")
    items, _ = told(user("x"), message, results(result("q1")), foreign, user("?"), model=NEW)

    assert items[1]["parts"] == parts
    other = dialect("anthropic")
    view = other.render(View("claude-opus-4-8"), Segment(1, (user("x"), message)))
    assert [change.kind for change in view.changes] == ["reasoning_dropped"]


@pytest.mark.parametrize(
    ("model", "effort", "config"),
    [
        (FLASH, "none", {"thinkingBudget": 0}),
        (FLASH, "low", {"thinkingBudget": 1024}),
        (FLASH, "high", {"thinkingBudget": 24576}),
        ("gemini-2.5-pro", "minimal", {"thinkingBudget": 128}),
        ("models/gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        (NEW, "high", {"thinkingLevel": "HIGH"}),
        (NEW, "medium", {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM"}),
        ("gemini-3-flash-preview", "minimal", {"thinkingLevel": "MINIMAL"}),
        ("gemini-2.0-flash", "low", None),
    ],
)
def test_h072_an_effort_is_a_budget_or_a_level(model: str, effort: str, config: Any) -> None:
    body, _ = settings(model, reasoning_effort=effort)

    assert body.get("generationConfig", {}).get("thinkingConfig") == config


def test_h074_h075_what_can_be_seen_and_heard_has_its_form() -> None:
    items, kinds = told(
        Message(
            role="user",
            parts=(
                Image(media_type="image/jpeg", data=PNG),
                Image(url="https://example.org/a.webp"),
                Image(file_id="gs://b/c.png", provider="gemini"),
                Image(media_type="image/gif", data="R0lGODlh"),
                Document(data=PDF),
                Document(url="https://example.org/a.pdf"),
                Document(media_type="text/csv", text="a,b", name="t.csv"),
                Audio(media_type="audio/mpeg", data="SUQz"),
                Audio(media_type="audio/x-odd", data="AAAA", transcript="hello"),
            ),
        )
    )

    assert items[0]["parts"] == [
        {"inlineData": {"mimeType": "image/png", "data": PNG}},
        {"fileData": {"mimeType": "image/webp", "fileUri": "https://example.org/a.webp"}},
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://b/c.png"}},
        {"text": "[image]"},
        {"inlineData": {"mimeType": "application/pdf", "data": PDF}},
        {"fileData": {"mimeType": "application/pdf", "fileUri": "https://example.org/a.pdf"}},
        {"text": "Document t.csv:\n\na,b"},
        {"inlineData": {"mimeType": "audio/mp3", "data": "SUQz"}},
        {"text": "hello"},
    ]
    assert kinds == {"image_type_corrected", "image_dropped", "part_degraded"}


def test_h083_a_tool_of_the_service_is_text_elsewhere_and_itself_at_home() -> None:
    parts: list[dict[str, Any]] = [
        {"executableCode": {"language": "PYTHON", "code": "print(1)"}},
        {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1\n"}},
        {"text": "It is 1."},
    ]
    message = parsed(*parts).message

    assert isinstance(message.parts[0], ServerTool)
    assert told(user("x"), message)[0][1]["parts"] == parts
    other = dialect("openai-chat")
    view = other.render(View("gpt-4o"), Segment(1, (user("x"), message)))
    assert "print(1)" in str(view.tape.list())
    assert {change.kind for change in view.changes} == {"server_tool_degraded"}


def test_h087_a_refusal_is_told_as_text() -> None:
    items, kinds = told(user("x"), answer(Refusal(text="I cannot")))

    assert items[1]["parts"] == [{"text": "I cannot"}]
    assert "refusal_as_text" in kinds


@pytest.mark.parametrize(
    "data",
    [
        {"promptFeedback": {"blockReason": "SAFETY"}},
        {"candidates": [], "promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}},
        {"candidates": [{"finishReason": "SAFETY", "index": 0}]},
        {"candidates": [{"finishReason": "RECITATION", "content": {"role": "model"}}]},
    ],
)
def test_h088_what_the_service_withholds_is_no_turn(data: Any) -> None:
    found = parse(data, provider="gemini", model=FLASH, names={})

    assert (found.finish, found.message.parts) == ("content_filter", ())
    assert told(user("x"), found.message)[0] == [{"role": "user", "parts": [{"text": "x"}]}]


def test_h090_h092_h095_settings_have_their_names_and_ranges() -> None:
    body, kinds = settings(
        FLASH,
        temperature=3,
        top_p=0.7,
        max_tokens=10**9,
        stop=["a", "b", "c", "d", "e", "f"],
        seed=7,
        parallel_tool_calls=False,
    )

    assert body["generationConfig"] == {
        "temperature": 2,
        "topP": 0.7,
        "maxOutputTokens": 65_536,
        "stopSequences": ["a", "b", "c", "d", "e"],
        "seed": 7,
    }
    assert kinds == {"setting_clamped", "setting_dropped"}
    assert "model" not in body
    assert "stream" not in body


def test_h093_models_that_ignore_sampling_are_not_asked_for_it() -> None:
    body, kinds = settings("gemini-3.5-flash", temperature=0)

    assert "generationConfig" not in body
    assert kinds == {"setting_dropped"}


@pytest.mark.parametrize(
    ("reason", "finish"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("SAFETY", "content_filter"),
        ("MODEL_ARMOR", "content_filter"),
        ("UNEXPECTED_TOOL_CALL", "other"),
        ("OF_TOMORROW", "other"),
        (1, "stop"),
        (2, "length"),
        (99, "other"),
    ],
)
def test_h103_every_reason_has_a_word(reason: Any, finish: str) -> None:
    assert parsed({"text": "x"}, reason=reason).finish == finish


@pytest.mark.parametrize("reason", ["MALFORMED_FUNCTION_CALL", "MALFORMED_RESPONSE"])
def test_h103_a_call_that_the_service_could_not_read_is_worth_another_try(reason: str) -> None:
    with pytest.raises(MalformedAnswerError, match=reason):
        parsed(reason=reason)


@pytest.mark.parametrize("data", [{}, {"candidates": []}, [], None])
def test_an_answer_without_a_candidate_is_none(data: Any) -> None:
    with pytest.raises(MalformedAnswerError):
        parse(data, provider="gemini", model=FLASH, names={})


def test_h104_a_call_that_ends_with_stop_is_a_call() -> None:
    assert parsed({"functionCall": {"name": "f", "args": {}}}).finish == "tool_calls"


def test_h107_thoughts_are_counted_beside_the_answer() -> None:
    counts = {
        "promptTokenCount": 100,
        "cachedContentTokenCount": 60,
        "toolUsePromptTokenCount": 7,
        "candidatesTokenCount": 10,
        "thoughtsTokenCount": 90,
        "totalTokenCount": 207,
    }
    usage = parsed({"text": "x"}, usageMetadata=counts).usage

    assert (usage.input_tokens, usage.output_tokens) == (107, 100)
    assert (usage.cache_read_tokens, usage.reasoning_tokens) == (60, 90)


def chunk(*parts: dict[str, Any], **more: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": list(parts)}
    return {"candidates": [{"content": content, "index": 0, **more}], "responseId": "r1"}


def test_h108_h110_a_stream_folds_to_the_answer_in_one_piece() -> None:
    """A part that is signed is not joined with one that is not, as the vendor asks."""
    pieces = [
        chunk({"text": "h", "thought": True}),
        chunk({"text": "m", "thought": True}),
        {**chunk({"text": "I lo"}), "usageMetadata": {"candidatesTokenCount": 1}},
        chunk({"text": "ok"}),
        chunk({"functionCall": {"name": "f", "args": {}}, "thoughtSignature": SIGNED}),
        chunk({"functionCall": {"name": "g", "args": {}}}),
        {
            **chunk({"text": ""}, finishReason="STOP"),
            "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 9},
        },
    ]
    assembly = Assembly({"g": "my tool"})
    deltas = [delta for piece in pieces for delta in assembly.add(piece)]

    assert "".join(delta.reasoning for delta in deltas) == "hm"
    assert "".join(delta.text for delta in deltas) == "I look"
    assert [delta.tool for delta in deltas if delta.tool] == ["f", "my tool"]
    assert all(isinstance(delta, Delta) for delta in deltas)
    found = parse(assembly.whole(), provider="gemini", model=FLASH, names={})
    whole = parsed(
        {"text": "hm", "thought": True},
        {"text": "I look"},
        {"functionCall": {"name": "f", "args": {}}, "thoughtSignature": SIGNED},
        {"functionCall": {"name": "g", "args": {}}},
    )
    assert found.message == whole.message
    assert found.usage.output_tokens == 9


def test_a_signature_at_the_end_of_a_stream_stands_alone() -> None:
    assembly = Assembly({})
    for piece in (
        chunk({"text": "he"}),
        chunk({"text": "llo"}),
        chunk({"text": "", "thoughtSignature": SIGNED}, finishReason="STOP"),
    ):
        assembly.add(piece)
    message = parse(assembly.whole(), provider="gemini", model=FLASH, names={}).message

    assert message.text == "hello"
    assert message.native is None
    items, _ = told(user("x"), message)
    assert items[1]["parts"] == [{"text": "hello"}, {"text": "", "thoughtSignature": SIGNED}]


def test_h112_a_stream_without_its_end_is_no_answer() -> None:
    assembly = Assembly({})
    assembly.add(chunk({"text": "hello"}))

    with pytest.raises(MalformedAnswerError, match="cut off"):
        parse(assembly.whole(), provider="gemini", model=FLASH, names={})


def test_a_recorded_answer_is_json_a_stream_or_a_list() -> None:
    whole = {**chunk({"text": "hello"}, finishReason="STOP")}
    streamed = 'data: {"candidates":[{"content":{"parts":[{"text":"hel"}]}}]}\r\n\r\n'
    streamed += 'data: {"candidates":[{"content":{"parts":[{"text":"lo"}]},"finishReason":1}]}\n\n'
    pieces = [chunk({"text": "hel"}), chunk({"text": "lo"}, finishReason="STOP")]

    for response in (whole, streamed, pieces):
        assert answered(response, dialect("gemini"), FLASH).text == "hello"


SNAKE: dict[str, Any] = {
    "system_instruction": {"parts": [{"text": "Be brief."}]},
    "contents": [
        {"role": "user", "parts": [{"text": "look"}]},
        {
            "role": "model",
            "parts": [
                {
                    "function_call": {"name": "f", "args": {"a": 1}, "id": "c1"},
                    "thought_signature": SIGNED,
                }
            ],
        },
        {
            "role": "user",
            "parts": [
                {
                    "function_response": {
                        "name": "f",
                        "id": "c1",
                        "response": {"output": "a cat"},
                        "parts": [{"inline_data": {"mime_type": "image/png", "data": PNG}}],
                    }
                }
            ],
        },
    ],
    "tools": {"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT"}}]},
    "tool_config": {"function_calling_config": {"mode": "any", "allowed_function_names": ["f"]}},
    "generation_config": {
        "max_output_tokens": 9,
        "stop_sequences": ["x"],
        "response_mime_type": "application/json",
        "top_k": 5,
        "thinking_config": {"thinking_budget": 1000},
    },
    "safety_settings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}],
}


def test_either_spelling_of_a_key_is_read_and_goes_home_as_it_was() -> None:
    assert midstream.convert(SNAKE, source="gemini", target="gemini").request == SNAKE
    read: Imported = dialect("gemini").read(SNAKE)
    assert read.settings == {
        "max_tokens": 9,
        "stop": ["x"],
        "reasoning_effort": "low",
        "tool_choice": "f",
        "output_schema": {"name": "answer"},
    }
    there = midstream.convert(SNAKE, source="gemini", target="anthropic")
    body = there.request
    assert body["system"] == [{"type": "text", "text": "Be brief."}]
    assert body["messages"][2]["content"][0]["content"][1]["source"]["data"] == PNG
    assert [tool["name"] for tool in body["tools"]] == ["f"]
    details = " ".join(change.detail for change in there.losses)
    assert "topK" in details
    assert "output_schema" not in details
    assert "safetySettings" in details


def test_for_another_model_of_gemini_the_settings_are_mapped_and_the_rest_goes_along() -> None:
    found = midstream.convert(SNAKE, source="gemini", target="gemini", model=NEW)

    assert found.request["contents"] == SNAKE["contents"]
    assert found.request["generationConfig"] == {
        "maxOutputTokens": 9,
        "stopSequences": ["x"],
        "responseMimeType": "application/json",
        "topK": 5,
        "thinkingConfig": {"thinkingLevel": "LOW"},
    }
    assert found.request["safetySettings"] == SNAKE["safety_settings"]
    assert "generation_config" not in found.request
    assert found.losses == ()


def test_whether_it_is_streamed_says_the_address() -> None:
    body = {"messages": [{"role": "user", "content": "x"}], "stream": True}
    found = midstream.convert(body, source="openai-chat", target="gemini")

    assert found.request.keys() == {"contents"}
    assert [change.kind for change in found.repairs] == ["setting_mapped"]


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"a": {"type": "string"}},
    "required": ["a"],
}


@pytest.mark.parametrize(
    ("model", "tools", "way"),
    [
        (FLASH, (), "native"),
        (NEW, (ToolSpec(name="f"),), "native"),
        (FLASH, (ToolSpec(name="f"),), "tool"),
        ("gemma-3-27b-it", (), "text"),
    ],
)
def test_h097_h098_the_form_of_an_answer_is_asked_for_in_the_way_the_model_has(
    model: str, tools: tuple[ToolSpec, ...], way: str
) -> None:
    """Before Gemini 3 a form and tools exclude each other."""
    body, kinds = settings(model, tools, output_schema={"name": "trip", "schema": FORM})

    config = body.get("generationConfig", {})
    assert (config.get("responseJsonSchema") == FORM) == (way == "native")
    assert (config.get("responseMimeType") == "application/json") == (way == "native")
    assert ("output_as_tool" in kinds) == (way == "tool")
    assert ("output_as_text" in kinds) == (way == "text")
    assert violations("gemini", body, model) == []
    if way == "tool":
        assert body["toolConfig"] == {"functionCallingConfig": {"mode": "ANY"}}
    if way == "native":
        assert dialect("gemini").read(body).settings["output_schema"] == {
            "name": "answer",
            "schema": FORM,
        }


def test_h097_any_object_is_a_form_without_a_schema() -> None:
    body, _ = settings(FLASH, output_schema={"name": "any"})

    assert body["generationConfig"] == {"responseMimeType": "application/json"}


def test_fields_of_a_request_that_was_read_go_along_to_gemini_only() -> None:
    from midstream.adapters.native import native

    read = dialect("gemini").read(SNAKE)
    setting = native("gemini", read.rest, read.said)
    view = View(NEW)
    for segment in read.segments:
        view = GEMINI.render(view, segment)
    body = GEMINI.request(view, {**read.settings, "native": setting}).body
    assert body == SNAKE
    view = GEMINI.render(view, Segment(9, (assistant("and?"), user("x"))))
    body = GEMINI.request(view, {**read.settings, "native": setting}).body
    assert body["generationConfig"]["maxOutputTokens"] == 9
    assert body["safety_settings"] == SNAKE["safety_settings"]


def test_hosted_tools_go_home_and_are_a_loss_elsewhere() -> None:
    body: dict[str, Any] = {
        "contents": [{"role": "user", "parts": [{"text": "x"}]}],
        "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f"}]}],
    }
    again = midstream.convert(body, source="gemini", target="gemini", model="gemini-2.0-flash")
    assert {"googleSearch": {}} in again.request["tools"]
    there = midstream.convert(body, source="gemini", target="openai-chat")
    assert [change.kind for change in there.losses] == ["tool_dropped"]


def test_a_signed_part_of_tomorrow_is_kept_whole() -> None:
    block = {"hologram": {"n": 1}, "thoughtSignature": SIGNED}
    message = parsed({"text": "see"}, block).message

    assert told(user("x"), message)[0][1]["parts"] == [{"text": "see"}, block]


@pytest.mark.parametrize("body", [{}, {"contents": "hi"}, {"contents": [1]}])
def test_a_body_without_contents_is_refused(body: Any) -> None:
    with pytest.raises(ConversionError, match="contents"):
        dialect("gemini").read(body)


def test_the_price_of_an_answer_is_known() -> None:
    from midstream.adapters.prices import cost
    from midstream.events.payloads import Usage

    found = cost("gemini", FLASH, Usage(input_tokens=1000, output_tokens=100), 1_760_000_000.0)

    assert found is not None
    assert float(found.amount) > 0
