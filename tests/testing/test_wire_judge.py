"""The judge refuses what the vendors refuse, and takes what they take."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from midstream.testing import RULES, WireDialect, judge

Edit = Callable[[dict[str, Any]], object]


def openai_request() -> dict[str, Any]:
    """A request with instructions, two parallel calls with their results, and a question after them."""
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
        for n in (1, 2)
    ]
    return {
        "model": "gpt-4o",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "Weather?"}]},
            {"role": "assistant", "content": None, "tool_calls": calls},
            {"role": "tool", "tool_call_id": "call_1", "content": "sun"},
            {"role": "tool", "tool_call_id": "call_2", "content": "rain"},
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
                },
            }
        ],
        "tool_choice": "auto",
    }


def anthropic_request() -> dict[str, Any]:
    """The same conversation on the other wire."""
    calls: list[dict[str, Any]] = [
        {"type": "tool_use", "id": f"toolu_{n}", "name": "weather", "input": {}} for n in (1, 2)
    ]
    results = [
        {"type": "tool_result", "tool_use_id": f"toolu_{n}", "content": "sun"} for n in (1, 2)
    ]
    return {
        "model": "claude-opus-4-6",
        "max_tokens": 100,
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": "Weather?"},
            {"role": "assistant", "content": [{"type": "text", "text": "I look."}, *calls]},
            {"role": "user", "content": [*results, {"type": "text", "text": "And?"}]},
        ],
        "tools": [
            {
                "name": "weather",
                "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
            }
        ],
        "tool_choice": {"type": "auto"},
    }


def responses_request() -> dict[str, Any]:
    """The same conversation as items, with reasoning before the calls."""
    calls = [
        {"type": "function_call", "call_id": f"call_{n}", "name": "weather", "arguments": "{}"}
        for n in (1, 2)
    ]
    outputs = [
        {"type": "function_call_output", "call_id": f"call_{n}", "output": "sun"} for n in (1, 2)
    ]
    thought: dict[str, Any] = {
        "type": "reasoning",
        "id": "rs_1",
        "summary": [],
        "encrypted_content": "c2ln",
    }
    return {
        "model": "gpt-5",
        "store": False,
        "input": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Weather?"},
            thought,
            *({**call, "id": f"fc_{n}"} for n, call in enumerate(calls)),
            *outputs,
            {"role": "user", "content": "And?"},
        ],
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "strict": False,
                "parameters": {"type": "object", "properties": {}},
            }
        ],
    }


def gemini_request() -> dict[str, Any]:
    """The same conversation as contents, as a model of Gemini 3 wants its calls signed."""
    calls: list[dict[str, Any]] = [
        {"functionCall": {"id": f"c{n}", "name": "weather", "args": {}}} for n in (1, 2)
    ]
    calls[0]["thoughtSignature"] = "c2ln"
    results = [
        {"functionResponse": {"id": f"c{n}", "name": "weather", "response": {"output": "sun"}}}
        for n in (1, 2)
    ]
    schema: dict[str, Any] = {"type": "object", "properties": {}}
    return {
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Weather?"}]},
            {"role": "model", "parts": calls},
            {"role": "user", "parts": results},
        ],
        "tools": [{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": schema}]}],
        "generationConfig": {"temperature": 0.5},
    }


REQUESTS = {
    "openai-chat": openai_request,
    "openai-responses": responses_request,
    "anthropic": anthropic_request,
    "gemini": gemini_request,
}
IN_MESSAGES = ["openai-chat", "anthropic"]
"""The dialects that hold a conversation in `messages`."""


@dataclass(frozen=True)
class Case:
    """A rule, an edit that breaks it, and where that shows; `good` is the nearest edit that does not."""

    rule: str
    dialect: WireDialect
    path: str
    bad: Edit
    good: Edit = lambda request: None
    api_version: str | None = None
    model: str = ""


def put(*path: str | int, to: Any) -> Edit:
    def edit(request: dict[str, Any]) -> None:
        here: Any = request
        for part in path[:-1]:
            here = here[part]
        here[path[-1]] = to

    return edit


def drop(*path: str | int) -> Edit:
    def edit(request: dict[str, Any]) -> None:
        here: Any = request
        for part in path[:-1]:
            here = here[part]
        del here[path[-1]]

    return edit


def append(*path: str | int, item: Any) -> Edit:
    def edit(request: dict[str, Any]) -> None:
        here: Any = request
        for part in path:
            here = here[part]
        here.append(item)

    return edit


def both(*edits: Edit) -> Edit:
    def edit(request: dict[str, Any]) -> None:
        for one in edits:
            one(request)

    return edit


IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
ORPHAN = {"role": "tool", "tool_call_id": "call_9", "content": "?"}
TWICE = {"role": "tool", "tool_call_id": "call_2", "content": "again"}
CALL = ("messages", 2, "tool_calls", 0)
FUNCTION = ("tools", 0, "function")
BLOCK = ("messages", 1, "content")
NEW = "2026-10-21"
OLD = "2023-06-01"


def rename(call_id: str) -> Edit:
    return both(put(*CALL, "id", to=call_id), put("messages", 3, "tool_call_id", to=call_id))


def rename_use(call_id: str) -> Edit:
    return both(
        put(*BLOCK, 1, "id", to=call_id),
        put("messages", 2, "content", 0, "tool_use_id", to=call_id),
    )


def prefill(text: str, model: str = "claude-haiku-4-5") -> Edit:
    message = {"role": "assistant", "content": [{"type": "text", "text": text}]}
    return both(append("messages", item=message), put("model", to=model))


def insert_user(request: dict[str, Any]) -> None:
    request["messages"].insert(4, {"role": "user", "content": "hurry"})


def text_before_results(request: dict[str, Any]) -> None:
    request["messages"][2]["content"].reverse()


def choice(mode: str, *names: str) -> Edit:
    allowed = {"allowedFunctionNames": list(names)} if names else {}
    return put("toolConfig", to={"functionCallingConfig": {"mode": mode, **allowed}})


def recall(call_id: str) -> Edit:
    return both(put("input", 3, "call_id", to=call_id), put("input", 5, "call_id", to=call_id))


DECLARED = ("tools", 0, "functionDeclarations", 0)
GEMINI: WireDialect = "gemini"
RESPONSES: WireDialect = "openai-responses"
OPENAI: WireDialect = "openai-chat"
ANTHROPIC: WireDialect = "anthropic"
CASES = [
    Case("schema", OPENAI, "/messages/1/content/0/text", put(*BLOCK, 0, "text", to=1)),
    Case("schema", OPENAI, "/surprise", put("surprise", to=1)),
    Case("schema", OPENAI, "/messages/5/parts", put("messages", 5, "parts", to=[])),
    Case("schema", OPENAI, "/model", drop("model")),
    Case(
        "schema",
        OPENAI,
        "/messages/2/tool_calls/0/function/parsed_arguments",
        put(*CALL, "function", "parsed_arguments", to={}),
        put(*CALL, "index", to=0),
    ),
    Case("schema", ANTHROPIC, "/max_tokens", drop("max_tokens")),
    Case("schema", ANTHROPIC, "/max_tokens", put("max_tokens", to="100"), put("max_tokens", to=1)),
    Case("schema", ANTHROPIC, "/max_tokens", put("max_tokens", to=True)),
    Case("schema", ANTHROPIC, "/messages/1/content/1/index", put(*BLOCK, 1, "index", to=0)),
    Case("schema", ANTHROPIC, "/messages/1/content/0/type", put(*BLOCK, 0, "type", to="txt")),
    Case("schema", ANTHROPIC, "/messages/2/role", put("messages", 2, "role", to="tool")),
    Case("surrogate", OPENAI, "/messages/5/content", put("messages", 5, "content", to="\ud83d")),
    Case(
        "surrogate",
        ANTHROPIC,
        "/messages/0/content",
        put("messages", 0, "content", to="a\ude00"),
        put("messages", 0, "content", to="a\U0001f600"),
    ),
    Case("messages-empty", OPENAI, "/messages", put("messages", to=[])),
    Case("messages-empty", ANTHROPIC, "/messages", put("messages", to=[])),
    Case(
        "content-empty",
        OPENAI,
        "/messages/5/content",
        put("messages", 5, "content", to=[]),
        put("messages", 5, "content", to=""),
    ),
    Case(
        "content-empty",
        OPENAI,
        "/messages/6",
        append("messages", item={"role": "assistant", "content": None}),
        append("messages", item={"role": "assistant", "content": ""}),
    ),
    Case("content-empty", ANTHROPIC, "/messages/0/content", put("messages", 0, "content", to="")),
    Case("content-empty", ANTHROPIC, "/messages/0/content", put("messages", 0, "content", to=[])),
    Case("text-empty", ANTHROPIC, "/messages/1/content/0", put(*BLOCK, 0, "text", to="")),
    Case(
        "text-empty",
        ANTHROPIC,
        "/messages/2/content/0/content/0",
        put("messages", 2, "content", 0, "content", to=[{"type": "text", "text": ""}]),
        put("messages", 2, "content", 0, "content", to=""),
    ),
    Case(
        "text-blank",
        ANTHROPIC,
        "/messages/2/content/2",
        put("messages", 2, "content", 2, "text", to=" \n"),
        put(*BLOCK, 0, "text", to=" \n"),  # the assistant may
    ),
    Case("text-blank", ANTHROPIC, "/system/0", put("system", 0, "text", to=" ")),
    Case(
        "block-role",
        OPENAI,
        "/messages/4/content/0",
        put("messages", 4, "content", to=[IMAGE]),
        put("messages", 5, "content", to=[IMAGE]),
    ),
    Case(
        "block-role",
        ANTHROPIC,
        "/messages/0/content/0",
        put(
            "messages", 0, "content", to=[{"type": "tool_use", "id": "t", "name": "f", "input": {}}]
        ),
    ),
    Case("call-unanswered", OPENAI, "/messages/2", drop("messages", 4)),
    Case("call-unanswered", OPENAI, "/messages/2", insert_user),
    Case("call-unanswered", ANTHROPIC, "/messages/1", drop("messages", 2, "content", 1)),
    Case("call-unanswered", ANTHROPIC, "/messages/1", drop("messages", 2)),
    Case("result-orphan", OPENAI, "/messages/6", append("messages", item=ORPHAN)),
    Case(
        "result-orphan",
        ANTHROPIC,
        "/messages/2",
        put("messages", 2, "content", 0, "tool_use_id", to="toolu_9"),
    ),
    Case(
        "result-duplicate",
        OPENAI,
        "/messages/5",
        lambda request: request["messages"].insert(5, TWICE),
    ),
    Case(
        "result-duplicate",
        ANTHROPIC,
        "/messages/2",
        lambda request: request["messages"][2]["content"].insert(
            0, {"type": "tool_result", "tool_use_id": "toolu_1"}
        ),
    ),
    Case("result-late", ANTHROPIC, "/messages/2", text_before_results),
    Case("call-id-duplicate", OPENAI, "/messages/2/tool_calls", rename("call_2")),
    Case("call-id-duplicate", ANTHROPIC, "/messages/1", rename_use("toolu_2")),
    Case("call-id", OPENAI, "/messages/2/tool_calls/0/id", rename("c" * 41), rename("c:" * 20)),
    Case(
        "call-id", ANTHROPIC, "/messages/1/content/1/id", rename_use("f:0"), rename_use("t" * 400)
    ),
    Case(
        "calls-empty",
        OPENAI,
        "/messages/6/tool_calls",
        append("messages", item={"role": "assistant", "content": "x", "tool_calls": []}),
        append("messages", item={"role": "assistant", "content": "x"}),
    ),
    Case(
        "arguments",
        OPENAI,
        "/messages/2/tool_calls/0/function/arguments",
        put(*CALL, "function", "arguments", to={}),
        put(*CALL, "function", "arguments", to='{"cut'),
    ),
    Case("arguments", ANTHROPIC, "/messages/1/content/1/input", put(*BLOCK, 1, "input", to="{}")),
    Case(
        "tool-name",
        OPENAI,
        "/tools/0/function/name",
        put(*FUNCTION, "name", to="a" * 65),
        put(*FUNCTION, "name", to="a" * 64),
    ),
    Case("tool-name", OPENAI, "/tools/0/function/name", put(*FUNCTION, "name", to="a.b")),
    Case(
        "tool-name",
        ANTHROPIC,
        "/tools/0/name",
        put("tools", 0, "name", to="a" * 129),
        put("tools", 0, "name", to="a" * 128),
    ),
    Case(
        "tool-name",
        ANTHROPIC,
        "/messages/1/content/1/name",
        put(*BLOCK, 1, "name", to="n" * 201),
        put(*BLOCK, 1, "name", to="server.tool with space"),
    ),
    Case(
        "tool-name-duplicate",
        ANTHROPIC,
        "/tools",
        append("tools", item={"name": "weather", "input_schema": {"type": "object"}}),
        append("tools", item={"name": "time", "input_schema": {"type": "object"}}),
    ),
    Case(
        "tools-empty",
        OPENAI,
        "/tools",
        both(put("tools", to=[]), drop("tool_choice")),
        both(drop("tools"), drop("tool_choice")),
    ),
    Case(
        "tool-schema-root",
        OPENAI,
        "/tools/0/function/parameters",
        put(*FUNCTION, "parameters", to={"type": "array"}),
        put(*FUNCTION, "parameters", to={}),
    ),
    Case(
        "tool-schema-root",
        ANTHROPIC,
        "/tools/0/input_schema",
        put("tools", 0, "input_schema", to={"$ref": "#/$defs/A"}),
    ),
    Case(
        "tool-schema-root",
        ANTHROPIC,
        "/tools/0/input_schema/anyOf",
        put("tools", 0, "input_schema", "anyOf", to=[{}]),
        put("tools", 0, "input_schema", "properties", "city", to={"anyOf": [{"type": "string"}]}),
    ),
    Case("tool-choice", OPENAI, "/tool_choice", drop("tools"), drop("tool_choice")),
    Case(
        "tool-choice",
        OPENAI,
        "/tool_choice",
        put("tool_choice", to={"type": "function", "function": {"name": "time"}}),
        put("tool_choice", to={"type": "function", "function": {"name": "weather"}}),
    ),
    Case(
        "tool-choice",
        ANTHROPIC,
        "/tool_choice",
        drop("tools"),
        both(drop("tools"), put("tool_choice", to={"type": "none"})),
    ),
    Case(
        "tool-choice",
        ANTHROPIC,
        "/tool_choice/name",
        put("tool_choice", to={"type": "tool", "name": "time"}),
    ),
    Case(
        "parallel-without-tools",
        OPENAI,
        "/parallel_tool_calls",
        both(drop("tools"), drop("tool_choice"), put("parallel_tool_calls", to=False)),
        put("parallel_tool_calls", to=False),
    ),
    Case(
        "stream-options",
        OPENAI,
        "/stream_options",
        put("stream_options", to={"include_usage": True}),
        both(put("stream_options", to={"include_usage": True}), put("stream", to=True)),
    ),
    Case("range", OPENAI, "/temperature", put("temperature", to=2.1), put("temperature", to=2)),
    Case("range", ANTHROPIC, "/temperature", put("temperature", to=1.1), put("temperature", to=1)),
    Case("version", ANTHROPIC, "/temperature", put("temperature", to=1), api_version=NEW),
    Case("version", ANTHROPIC, "/top_p", put("top_p", to=0.9), api_version=NEW),
    Case("version", ANTHROPIC, "/top_k", put("top_k", to=5), api_version=NEW),
    Case("prefill", ANTHROPIC, "/messages/3", prefill("The answer is "), prefill("The answer is")),
    Case(
        "prefill",
        ANTHROPIC,
        "/messages/3",
        prefill("The answer is", "claude-opus-4-6"),
        prefill("The answer is", "claude-opus-4-5"),
    ),
    Case(
        "schema",
        GEMINI,
        "/contents/0/parts/0/texts",
        put("contents", 0, "parts", 0, "texts", to="x"),
    ),
    Case("schema", GEMINI, "/contents", put("contents", to="hi")),
    Case(
        "schema",
        GEMINI,
        "/generationConfig/maxTokens",
        put("generationConfig", "maxTokens", to=5),
        put("generationConfig", "max_output_tokens", to=5),
    ),
    Case(
        "schema",
        GEMINI,
        "/contents/1/parts/0/functionCall/args",
        put("contents", 1, "parts", 0, "functionCall", "args", to="{}"),
    ),
    Case("messages-empty", GEMINI, "/contents", put("contents", to=[])),
    Case("role", GEMINI, "/contents/0/role", put("contents", 0, "role", to="system")),
    Case("content-empty", GEMINI, "/contents/0/parts", put("contents", 0, "parts", to=[])),
    Case(
        "content-empty",
        GEMINI,
        "/contents/0/parts/0",
        put("contents", 0, "parts", 0, to={"thought": True}),
    ),
    Case("block-role", GEMINI, "/contents/1/parts/0", put("contents", 1, "role", to="user")),
    Case("call-placement", GEMINI, "/contents/0", drop("contents", 0)),
    Case("call-unanswered", GEMINI, "/contents/1", drop("contents", 2, "parts", 1)),
    Case("call-unanswered", GEMINI, "/contents/1", drop("contents", 2)),
    Case(
        "result-orphan",
        GEMINI,
        "/contents/2",
        put("contents", 2, "parts", 0, "functionResponse", "name", to="other"),
    ),
    Case(
        "tool-name",
        GEMINI,
        "/tools/0/functionDeclarations/0/name",
        put(*DECLARED, "name", to="1st"),
    ),
    Case(
        "tool-name",
        GEMINI,
        "/contents/1/parts/0/functionCall",
        both(
            put("contents", 1, "parts", 0, "functionCall", "name", to="a b"),
            put("contents", 2, "parts", 0, "functionResponse", "name", to="a b"),
        ),
    ),
    Case(
        "tool-name-duplicate",
        GEMINI,
        "/tools/0/functionDeclarations/1/name",
        append(*DECLARED[:-1], item={"name": "weather"}),
        append(*DECLARED[:-1], item={"name": "other"}),
    ),
    Case(
        "tool-schema-root",
        GEMINI,
        "/tools/0/functionDeclarations/0/parametersJsonSchema",
        put(*DECLARED, "parametersJsonSchema", to={"type": "string"}),
    ),
    Case(
        "tool-choice",
        GEMINI,
        "/toolConfig/functionCallingConfig",
        choice("ANY", "other"),
        choice("ANY", "weather"),
    ),
    Case(
        "tool-choice",
        GEMINI,
        "/toolConfig/functionCallingConfig",
        choice("AUTO", "weather"),
        choice("AUTO"),
    ),
    Case(
        "tool-choice",
        GEMINI,
        "/toolConfig/functionCallingConfig",
        both(choice("ANY"), drop("tools")),
        both(choice("NONE"), drop("tools")),
    ),
    Case(
        "range",
        GEMINI,
        "/generationConfig/temperature",
        put("generationConfig", "temperature", to=2.1),
        put("generationConfig", "temperature", to=2),
    ),
    Case(
        "range",
        GEMINI,
        "/generationConfig/stopSequences",
        put("generationConfig", "stopSequences", to=list("abcdef")),
        put("generationConfig", "stopSequences", to=list("abcde")),
    ),
    Case(
        "signature",
        GEMINI,
        "/contents/1",
        drop("contents", 1, "parts", 0, "thoughtSignature"),
        model="gemini-3-pro-preview",
    ),
    Case(
        "prefill",
        GEMINI,
        "/contents/3",
        append("contents", item={"role": "model", "parts": [{"text": "So"}]}),
        model="gemini-3.5-flash",
    ),
    Case("schema", RESPONSES, "/input", put("input", to=3), put("input", to="hi")),
    Case("schema", RESPONSES, "/store", put("store", to="no")),
    Case("messages-empty", RESPONSES, "/input", put("input", to=[])),
    Case("item-id", RESPONSES, "/input/3/id", put("input", 3, "id", to="msg_1")),
    Case("item-id", RESPONSES, "/input/4/id", put("input", 4, "id", to="fc_0")),
    Case(
        "item-id",
        RESPONSES,
        "/input/3/id",
        put("input", 3, "id", to="fc_" + "x" * 62),
        put("input", 3, "id", to="fc_" + "x" * 61),
    ),
    Case("call-id", RESPONSES, "/input/3/call_id", recall("c" * 65), recall("c" * 64)),
    Case("call-id-duplicate", RESPONSES, "/input/4", put("input", 4, "call_id", to="call_1")),
    Case("call-unanswered", RESPONSES, "/input/3", drop("input", 5)),
    Case("result-orphan", RESPONSES, "/input/5", put("input", 5, "call_id", to="call_9")),
    Case(
        "reasoning-follower",
        RESPONSES,
        "/input/8",
        append("input", item={"type": "reasoning", "id": "rs_2", "summary": []}),
        both(),
    ),
    Case("tool-name", RESPONSES, "/tools/0/name", put("tools", 0, "name", to="a b")),
    Case("tool-name", RESPONSES, "/input/3/name", put("input", 3, "name", to="a b")),
    Case(
        "tool-schema-root",
        RESPONSES,
        "/tools/0/parameters",
        put("tools", 0, "parameters", to={"type": "string"}),
        put("tools", 0, "parameters", to={"type": "object"}),
    ),
    Case(
        "tool-choice",
        RESPONSES,
        "/tool_choice",
        put("tool_choice", to={"type": "function", "name": "other"}),
        put("tool_choice", to={"type": "function", "name": "weather"}),
    ),
    Case(
        "tool-choice",
        RESPONSES,
        "/tool_choice",
        both(put("tool_choice", to="required"), drop("tools")),
        put("tool_choice", to="required"),
    ),
    Case(
        "range",
        RESPONSES,
        "/max_output_tokens",
        put("max_output_tokens", to=15),
        put("max_output_tokens", to=16),
    ),
    Case("range", RESPONSES, "/temperature", put("temperature", to=2.1), put("temperature", to=2)),
]


def edited(case: Case, edit: Edit) -> dict[str, Any]:
    request = copy.deepcopy(REQUESTS[case.dialect]())
    edit(request)
    return request


NAMES = [f"{case.dialect}-{case.rule}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_request_that_breaks_a_rule_is_refused_by_that_rule_at_that_place(case: Case) -> None:
    found = judge(
        case.dialect, edited(case, case.bad), api_version=case.api_version, model=case.model
    )

    assert (case.rule, case.path) in {(v.rule, v.path) for v in found}


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_nearest_request_that_keeps_the_rule_is_taken(case: Case) -> None:
    assert (
        judge(case.dialect, edited(case, case.good), api_version=case.api_version, model=case.model)
        == ()
    )


def test_every_rule_has_a_case() -> None:
    assert {case.rule for case in CASES} == set(RULES)


@pytest.mark.parametrize("parameter", ["temperature", "top_p", "top_k"])
def test_the_older_anthropic_version_takes_sampling_parameters(parameter: str) -> None:
    request = {**anthropic_request(), parameter: 1}

    assert judge("anthropic", request, api_version=OLD) == ()


def test_the_newer_anthropic_version_refuses_documents_of_the_assistant() -> None:
    document = {
        "type": "document",
        "source": {"type": "text", "media_type": "text/plain", "data": "x"},
    }
    message = {"role": "assistant", "content": [document]}
    request = {**anthropic_request(), "messages": [{"role": "user", "content": "a"}, message]}

    assert "version" in {v.rule for v in judge("anthropic", request, api_version=NEW)}
    assert "version" not in {v.rule for v in judge("anthropic", request, api_version=OLD)}


@pytest.mark.parametrize("dialect", IN_MESSAGES)
def test_turns_need_not_alternate_nor_begin_with_the_user(dialect: WireDialect) -> None:
    request = REQUESTS[dialect]()
    request["messages"] = [
        {"role": "assistant", "content": "Hello."},
        {"role": "user", "content": "a"},
        {"role": "user", "content": "b"},
    ]

    assert judge(dialect, request) == ()


def test_anthropic_counts_neighbouring_messages_of_one_role_as_one_turn() -> None:
    request = anthropic_request()
    text, first, second = request["messages"][1]["content"]
    request["messages"][1:2] = [
        {"role": "assistant", "content": [text, first]},
        {"role": "assistant", "content": [second]},
    ]

    assert judge("anthropic", request) == ()


@pytest.mark.parametrize("dialect", IN_MESSAGES)
def test_an_id_may_come_again_in_a_later_turn(dialect: WireDialect) -> None:
    request = REQUESTS[dialect]()
    request["messages"] += copy.deepcopy(request["messages"][1:])

    assert judge(dialect, request) == ()


NONSENSE: list[Any] = [None, 7, [3], [{"role": 5, "content": {}}], [{"tool_calls": [[]]}]]


@pytest.mark.parametrize("dialect", IN_MESSAGES)
@pytest.mark.parametrize("messages", NONSENSE)
def test_a_request_that_is_nonsense_is_refused_and_not_a_crash(
    dialect: WireDialect, messages: Any
) -> None:
    assert judge(dialect, {**REQUESTS[dialect](), "messages": messages})


WRONG_TURNS: list[Any] = [None, 7, [3], [{"role": 5, "parts": {}}], {"parts": [[]]}]


@pytest.mark.parametrize("key", ["contents", "systemInstruction", "tools", "generationConfig"])
@pytest.mark.parametrize("value", WRONG_TURNS)
def test_a_gemini_request_that_is_nonsense_is_no_crash(key: str, value: Any) -> None:
    found = judge("gemini", {**gemini_request(), key: value}, model="gemini-3-pro")

    assert found or (value is None and key != "contents") or key == "tools"


@pytest.mark.parametrize("value", [None, 7, [3], [{"role": 5, "content": {}}], [{"type": "x"}]])
def test_a_responses_request_that_is_nonsense_is_refused_and_not_a_crash(value: Any) -> None:
    assert judge("openai-responses", {**responses_request(), "input": value})


def test_gemini_takes_either_spelling_of_a_key() -> None:
    request = gemini_request()
    request["system_instruction"] = request.pop("systemInstruction")
    part = request["contents"][1]["parts"][0]
    part["function_call"] = part.pop("functionCall")

    assert judge("gemini", request, model="gemini-3-pro") == ()


def test_gemini_asks_for_signatures_in_the_running_loop_only() -> None:
    request = gemini_request()
    del request["contents"][1]["parts"][0]["thoughtSignature"]
    request["contents"].append({"role": "user", "parts": [{"text": "And?"}]})

    assert judge("gemini", request, model="gemini-3-pro") == ()


def test_a_violation_reads_as_a_place_a_finding_and_a_rule() -> None:
    found = judge("anthropic", {**anthropic_request(), "max_tokens": -1})

    assert str(found[0]) == "/max_tokens: -1 is below 0 (range)"
