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


REQUESTS = {"openai-chat": openai_request, "anthropic": anthropic_request}


@dataclass(frozen=True)
class Case:
    """A rule, an edit that breaks it, and where that shows; `good` is the nearest edit that does not."""

    rule: str
    dialect: WireDialect
    path: str
    bad: Edit
    good: Edit = lambda request: None
    api_version: str | None = None


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
]


def edited(case: Case, edit: Edit) -> dict[str, Any]:
    request = copy.deepcopy(REQUESTS[case.dialect]())
    edit(request)
    return request


NAMES = [f"{case.dialect}-{case.rule}-{number}" for number, case in enumerate(CASES)]


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_request_that_breaks_a_rule_is_refused_by_that_rule_at_that_place(case: Case) -> None:
    found = judge(case.dialect, edited(case, case.bad), api_version=case.api_version)

    assert (case.rule, case.path) in {(v.rule, v.path) for v in found}


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_the_nearest_request_that_keeps_the_rule_is_taken(case: Case) -> None:
    assert judge(case.dialect, edited(case, case.good), api_version=case.api_version) == ()


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


@pytest.mark.parametrize("dialect", REQUESTS)
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


@pytest.mark.parametrize("dialect", REQUESTS)
def test_an_id_may_come_again_in_a_later_turn(dialect: WireDialect) -> None:
    request = REQUESTS[dialect]()
    request["messages"] += copy.deepcopy(request["messages"][1:])

    assert judge(dialect, request) == ()


NONSENSE: list[Any] = [None, 7, [3], [{"role": 5, "content": {}}], [{"tool_calls": [[]]}]]


@pytest.mark.parametrize("dialect", REQUESTS)
@pytest.mark.parametrize("messages", NONSENSE)
def test_a_request_that_is_nonsense_is_refused_and_not_a_crash(
    dialect: WireDialect, messages: Any
) -> None:
    assert judge(dialect, {**REQUESTS[dialect](), "messages": messages})


def test_a_violation_reads_as_a_place_a_finding_and_a_rule() -> None:
    found = judge("anthropic", {**anthropic_request(), "max_tokens": -1})

    assert str(found[0]) == "/max_tokens: -1 is below 0 (range)"
