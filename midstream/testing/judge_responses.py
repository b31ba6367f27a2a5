"""What OpenAI Responses refuses although its types allow it.

Sources: the quoted messages in `RULES`; https://developers.openai.com/api/reference/resources/responses
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.testing.json_reading import as_list, as_object, as_text, objects
from midstream.testing.violations import Violation, violation

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_ID_LENGTH = 64
_LEAST_OUTPUT = 16
_RANGES = (("temperature", 0, 2), ("top_p", 0, 1), ("top_logprobs", 0, 20))
_PREFIX = {
    "message": "msg",
    "function_call": "fc",
    "reasoning": "rs",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "custom_tool_call": "ctc",
}
_OUTPUTS = {
    "function_call": "function_call_output",
    "custom_tool_call": "custom_tool_call_output",
}
_SPEAKERS = ("user", "system", "developer")


def responses_violations(request: Mapping[str, Any]) -> Iterator[Violation]:
    """Apply the rules of Responses beyond its types."""
    chained = bool(request.get("previous_response_id") or request.get("conversation"))
    given = request.get("input")
    if given in (None, []) and not (
        chained or request.get("prompt") or request.get("instructions")
    ):
        yield violation("messages-empty", ("input",), "expected at least one item")
    items = objects(given)
    yield from _items(items)
    if not chained:
        yield from _pairing(items)
    yield from _reasoning(items, chained=chained)
    yield from _tools(request)
    yield from _parameters(request)


def _items(items: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, item in items:
        kind, id_ = as_text(item.get("type")), as_text(item.get("id"))
        at = ("input", index)
        if id_ and kind != "item_reference":
            prefix = _PREFIX.get(kind, "")
            if not id_.startswith(prefix):
                yield violation("item-id", (*at, "id"), f"expected it to begin with {prefix!r}")
            if len(id_) > _ID_LENGTH and kind != "reasoning":
                yield violation("item-id", (*at, "id"), f"{len(id_)} characters, at most 64")
            if id_ in seen:
                yield violation("item-id", (*at, "id"), f"duplicate item {id_!r}")
            seen.add(id_)
        name = item.get("name")
        if kind in _OUTPUTS and isinstance(name, str) and not _NAME.fullmatch(name):
            yield violation("tool-name", (*at, "name"), f"{name!r} is no function name")
        call_id = item.get("call_id")
        if isinstance(call_id, str) and not 0 < len(call_id) <= _ID_LENGTH:
            found = f"{len(call_id)} characters, 1 to {_ID_LENGTH} are allowed"
            yield violation("call-id", (*at, "call_id"), found)


def _pairing(items: list[tuple[int, Mapping[str, Any]]]) -> Iterator[Violation]:
    """Apply that each call has one output after it, of its kind; what the service keeps may hold the other half."""
    asked: dict[str, tuple[int, str]] = {}
    answered: set[str] = set()
    kept = any(item.get("type") in ("item_reference", "compaction") for _, item in items)
    for index, item in items:
        kind, call_id = as_text(item.get("type")), as_text(item.get("call_id"))
        if kind in _OUTPUTS:
            if call_id in asked and call_id not in answered:
                yield violation("call-id-duplicate", ("input", index), f"{call_id!r} is open")
            asked[call_id] = (index, _OUTPUTS[kind])
            answered.discard(call_id)
        elif kind in _OUTPUTS.values():
            wanted = asked.get(call_id, (0, ""))[1]
            if wanted != kind and not kept:
                yield violation("result-orphan", ("input", index), f"no call {call_id!r}")
            answered.add(call_id)
    for call_id, (index, _) in asked.items():
        if call_id not in answered:
            yield violation("call-unanswered", ("input", index), f"no output for {call_id!r}")


def _reasoning(items: list[tuple[int, Mapping[str, Any]]], *, chained: bool) -> Iterator[Violation]:
    for place, (index, item) in enumerate(items):
        after = items[place + 1][1] if place + 1 < len(items) else None
        if item.get("type") != "reasoning" or not item.get("id"):
            continue
        kind = as_text((after or {}).get("type"))
        alone = after is None and not chained
        if alone or (after or {}).get("role") in _SPEAKERS or kind in _OUTPUTS.values():
            yield violation("reasoning-follower", ("input", index), "nothing of its answer follows")


def _tools(request: Mapping[str, Any]) -> Iterator[Violation]:
    names: set[str] = set()
    for i, tool in objects(request.get("tools")):
        name = tool.get("name")
        if tool.get("type") not in ("function", "custom") or not isinstance(name, str):
            continue
        names.add(name)
        if not _NAME.fullmatch(name):
            yield violation("tool-name", ("tools", i, "name"), f"{name!r} is no function name")
        parameters = as_object(tool.get("parameters"))
        if parameters and parameters.get("type") != "object":
            where = ("tools", i, "parameters")
            yield violation("tool-schema-root", where, "the root must be of type 'object'")
    choice = request.get("tool_choice")
    wanted = as_object(choice)
    if wanted.get("type") == "function" and names and wanted.get("name") not in names:
        found = f"{wanted.get('name')!r} is not among the tools"
        yield violation("tool-choice", ("tool_choice",), found)
    if choice == "required" and not as_list(request.get("tools")):
        yield violation("tool-choice", ("tool_choice",), "there are no tools to choose from")


def _parameters(request: Mapping[str, Any]) -> Iterator[Violation]:
    for key, low, high in _RANGES:
        value = request.get(key)
        if isinstance(value, int | float) and not low <= value <= high:
            yield violation("range", (key,), f"{value} is not in {low}..{high}")
    limit = request.get("max_output_tokens")
    if isinstance(limit, int) and limit < _LEAST_OUTPUT:
        yield violation("range", ("max_output_tokens",), f"expected a value >= {_LEAST_OUTPUT}")
