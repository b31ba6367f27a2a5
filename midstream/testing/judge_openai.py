"""What OpenAI Chat Completions refuses although its types allow it.

Sources: the quoted messages in `RULES`; https://developers.openai.com/api/reference/resources/chat
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.testing.json_reading import as_list, as_object, as_text, objects
from midstream.testing.violations import Violation, violation

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ID_LENGTH = 40
_MAX_TOOLS = 128
_USER_PARTS = ("image_url", "input_audio", "file")
_RANGES = (
    ("temperature", 0, 2),
    ("top_p", 0, 1),
    ("presence_penalty", -2, 2),
    ("frequency_penalty", -2, 2),
    ("top_logprobs", 0, 20),
)


def openai_violations(request: Mapping[str, Any]) -> Iterator[Violation]:
    """Apply the rules of Chat Completions beyond its types."""
    messages = objects(request.get("messages"))
    if request.get("messages") == []:
        yield violation(
            "messages-empty", ("messages",), "empty array, expected at least one message"
        )
    for index, message in messages:
        yield from _content(index, message)
        yield from _calls(index, message)
    yield from _pairing(messages)
    yield from _tools(request)
    yield from _parameters(request)


def _content(index: int, message: Mapping[str, Any]) -> Iterator[Violation]:
    role, content = message.get("role"), message.get("content")
    if role == "assistant":
        stands_for_content = ("tool_calls", "function_call", "audio", "refusal")
        if content is None and not any(message.get(key) for key in stands_for_content):
            yield violation("content-empty", ("messages", index), "neither content nor tool calls")
    elif content is None or content == []:
        yield violation("content-empty", ("messages", index, "content"), f"got {content!r}")
    for i, part in objects(content):
        if part.get("type") in _USER_PARTS and role != "user":
            where = ("messages", index, "content", i)
            yield violation("block-role", where, f"{part['type']} in a message of role {role!r}")


def _calls(index: int, message: Mapping[str, Any]) -> Iterator[Violation]:
    at = ("messages", index, "tool_calls")
    if message.get("tool_calls") == []:
        yield violation("calls-empty", at, "empty array; leave the key out")
    calls = objects(message.get("tool_calls"))
    for i, call in calls:
        if len(as_text(call.get("id"))) > _ID_LENGTH:
            found = len(call["id"])
            yield violation(
                "call-id", (*at, i, "id"), f"{found} characters, at most {_ID_LENGTH} are allowed"
            )
        function = as_object(call.get("function"))
        name = function.get("name")
        if isinstance(name, str) and not _NAME.fullmatch(name):
            yield violation(
                "tool-name", (*at, i, "function", "name"), f"{name!r} is no function name"
            )
        if "arguments" in function and not isinstance(function["arguments"], str):
            where = (*at, i, "function", "arguments")
            yield violation("arguments", where, "expected a string that holds JSON")
    for call_id, count in Counter(as_text(call.get("id")) for _, call in calls).items():
        if count > 1:
            yield violation("call-id-duplicate", at, f"{call_id!r} occurs {count} times")


def _pairing(messages: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    asked: dict[str, bool] = {}
    """The ids of the last assistant message, and whether they have been answered."""
    asker = 0
    for index, message in messages:
        if message.get("role") == "tool":
            yield from _result(index, as_text(message.get("tool_call_id")), asked)
            continue
        yield from _unanswered(asker, asked)
        asker = index
        asked = {as_text(call.get("id")): False for _, call in objects(message.get("tool_calls"))}
    yield from _unanswered(asker, asked)


def _result(index: int, call_id: str, asked: dict[str, bool]) -> Iterator[Violation]:
    at = ("messages", index)
    if call_id not in asked:
        yield violation("result-orphan", at, f"no call {call_id!r} in the assistant message before")
    elif asked[call_id]:
        yield violation("result-duplicate", at, f"{call_id!r} already has a result")
    else:
        asked[call_id] = True


def _unanswered(index: int, asked: Mapping[str, bool]) -> Iterator[Violation]:
    missing = [call_id for call_id, answered in asked.items() if not answered]
    if missing:
        at = ("messages", index)
        yield violation("call-unanswered", at, f"no tool messages directly after it for {missing}")


def _tools(request: Mapping[str, Any]) -> Iterator[Violation]:
    declared = as_list(request.get("tools"))
    if request.get("tools") == []:
        yield violation("tools-empty", ("tools",), "empty array; leave the key out")
    if len(declared) > _MAX_TOOLS:
        yield violation("tools-empty", ("tools",), f"{len(declared)} tools, at most {_MAX_TOOLS}")
    names: set[str] = set()
    for i, tool in objects(declared):
        function = as_object(tool.get("function"))
        name, parameters = function.get("name"), function.get("parameters")
        at = ("tools", i, "function")
        if isinstance(name, str):
            names.add(name)
            if not _NAME.fullmatch(name):
                yield violation(
                    "tool-name", (*at, "name"), f"{name!r} does not match {_NAME.pattern!r}"
                )
        if (
            isinstance(parameters, dict)
            and parameters
            and as_object(parameters).get("type") != "object"
        ):
            yield violation(
                "tool-schema-root", (*at, "parameters"), "the root must be of type 'object'"
            )
    yield from _tool_choice(request, names)


def _tool_choice(request: Mapping[str, Any], names: set[str]) -> Iterator[Violation]:
    has_tools = bool(request.get("tools") or request.get("functions"))
    choice = request.get("tool_choice")
    if choice is not None and not has_tools:
        yield violation("tool-choice", ("tool_choice",), "there are no tools to choose from")
    wanted = as_object(as_object(choice).get("function")).get("name")
    if wanted is not None and names and wanted not in names:
        yield violation("tool-choice", ("tool_choice",), f"{wanted!r} is not among the tools")
    if request.get("parallel_tool_calls") is not None and not has_tools:
        yield violation("parallel-without-tools", ("parallel_tool_calls",), "there are no tools")


def _parameters(request: Mapping[str, Any]) -> Iterator[Violation]:
    for key, low, high in _RANGES:
        value = request.get(key)
        if isinstance(value, int | float) and not low <= value <= high:
            yield violation("range", (key,), f"{value} is not in {low}..{high}")
    if request.get("stream_options") is not None and not request.get("stream"):
        yield violation("stream-options", ("stream_options",), "only allowed when stream is true")
