"""What Anthropic Messages refuses although its types allow it.

Neighbouring messages of one role count as one turn: two assistant messages with a call each, then one user message
with both results, is accepted, and so is an id that comes again in a later turn.

Sources: the quoted messages in `RULES`; https://platform.claude.com/docs/en/api/messages
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from midstream.testing.json_reading import as_list, as_object, as_text, objects
from midstream.testing.violations import Violation, violation
from midstream.testing.wire_schema import SAMPLING

Block: TypeAlias = Mapping[str, Any]

VERSION_WITHOUT_SAMPLING = "2026-10-21"

_ID = re.compile(r"[a-zA-Z0-9_-]+")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")
_HISTORY_NAME_LENGTH = 200
_ASSISTANT_BLOCKS = ("tool_use", "thinking", "redacted_thinking", "server_tool_use", "mcp_tool_use")
_NO_PREFILL = re.compile(
    r".*claude-(opus-4-[6-9]|sonnet-4-[6-9]|(opus|sonnet|haiku)-5|fable|mythos)"
)
_CONTINUED = ("compaction", "tool_use", "server_tool_use", "mcp_tool_use")


@dataclass(slots=True)
class _Turn:
    """Neighbouring messages of one role, instructions in between left out."""

    role: str
    index: int
    blocks: list[tuple[int, Block]] = field(default_factory=list[tuple[int, Block]])

    def ids(self, kind: str, key: str) -> list[str]:
        return [as_text(block.get(key)) for _, block in self.blocks if block.get("type") == kind]


def anthropic_violations(
    request: Mapping[str, Any], api_version: str | None
) -> Iterator[Violation]:
    """Apply the rules of Messages beyond its types."""
    messages = objects(request.get("messages"))
    if request.get("messages") == []:
        yield violation("messages-empty", ("messages",), "at least one message is required")
    for index, message in messages:
        yield from _message(index, message, last=index == len(messages) - 1)
    yield from _system(request)
    yield from _pairing(_turns(messages))
    yield from _prefill(request, messages)
    yield from _tools(request)
    yield from _parameters(request)
    if api_version == VERSION_WITHOUT_SAMPLING:
        yield from _version(request, messages)


def _blocks(message: Mapping[str, Any]) -> list[tuple[int, Block]]:
    content = message.get("content")
    if isinstance(content, str):
        return [(0, {"type": "text", "text": content})]
    return objects(content)


def _message(index: int, message: Mapping[str, Any], *, last: bool) -> Iterator[Violation]:
    role, content = message.get("role"), message.get("content")
    at = ("messages", index)
    if content in ("", [], None):
        final = last and role == "assistant"
        if not final and not (role == "system" and message.get("output_config")):
            yield violation(
                "content-empty", (*at, "content"), "messages must have non-empty content"
            )
        return
    for i, block in _blocks(message):
        where = (*at, "content", i)
        yield from _text(where, block, role)
        yield from _placed(where, block, role)
        yield from _identified(where, block)


def _text(at: tuple[str | int, ...], block: Block, role: Any) -> Iterator[Violation]:
    text = block.get("text")
    if block.get("type") == "text" and isinstance(text, str):
        if not text:
            yield violation("text-empty", at, "text content blocks must be non-empty")
        elif not text.strip() and role != "assistant":
            yield violation("text-blank", at, f"{text!r} has only whitespace")
    if block.get("type") == "tool_result":
        for i, part in objects(block.get("content")):
            if part.get("type") == "text" and part.get("text") == "":
                yield violation(
                    "text-empty", (*at, "content", i), "text content blocks must be non-empty"
                )


def _placed(at: tuple[str | int, ...], block: Block, role: Any) -> Iterator[Violation]:
    kind = block.get("type")
    if kind in _ASSISTANT_BLOCKS and role != "assistant":
        yield violation("block-role", at, f"`{kind}` blocks can only be in `assistant` messages")
    if kind == "tool_result" and role != "user":
        yield violation("block-role", at, f"`{kind}` blocks can only be in `user` messages")


def _identified(at: tuple[str | int, ...], block: Block) -> Iterator[Violation]:
    key = {"tool_use": "id", "tool_result": "tool_use_id"}.get(as_text(block.get("type")))
    if key is None:
        return
    call_id = block.get(key)
    if isinstance(call_id, str) and not _ID.fullmatch(call_id):
        yield violation("call-id", (*at, key), f"{call_id!r} does not match '^[a-zA-Z0-9_-]+$'")
    if key == "id":
        name = block.get("name")
        if isinstance(name, str) and not 1 <= len(name) <= _HISTORY_NAME_LENGTH:
            yield violation("tool-name", (*at, "name"), f"{len(name)} characters, not 1..200")
        if "input" in block and not isinstance(block["input"], dict):
            yield violation("arguments", (*at, "input"), "expected an object")


def _system(request: Mapping[str, Any]) -> Iterator[Violation]:
    for i, block in objects(request.get("system")):
        yield from _text(("system", i), block, "system")


def _turns(messages: list[tuple[int, Mapping[str, Any]]]) -> list[_Turn]:
    turns: list[_Turn] = []
    for index, message in messages:
        role = as_text(message.get("role"))
        if role == "system":
            continue
        if not turns or turns[-1].role != role:
            turns.append(_Turn(role, index))
        turns[-1].blocks += [(index, block) for _, block in _blocks(message)]
    return turns


def _pairing(turns: list[_Turn]) -> Iterator[Violation]:
    nothing = _Turn("", -1)
    padded = [nothing, *turns, nothing]
    for before, turn, after in zip(padded, turns, padded[2:], strict=False):
        if turn.role == "assistant":
            yield from _asked(turn, after)
        elif turn.role == "user":
            yield from _answered(before, turn)


def _asked(turn: _Turn, after: _Turn) -> Iterator[Violation]:
    at = ("messages", turn.index)
    calls = turn.ids("tool_use", "id")
    results = after.ids("tool_result", "tool_use_id")
    missing = [call_id for call_id in dict.fromkeys(calls) if call_id not in results]
    if missing:
        found = (
            f"`tool_use` ids without `tool_result` blocks immediately after: {', '.join(missing)}"
        )
        yield violation("call-unanswered", at, found)
    for call_id, count in Counter(calls).items():
        if count > 1:
            yield violation("call-id-duplicate", at, f"{call_id!r} occurs {count} times")


def _answered(before: _Turn, turn: _Turn) -> Iterator[Violation]:
    at = ("messages", turn.index)
    calls = before.ids("tool_use", "id")
    for call_id, count in Counter(turn.ids("tool_result", "tool_use_id")).items():
        if call_id not in calls:
            yield violation(
                "result-orphan", at, f"no `tool_use` {call_id!r} in the previous message"
            )
        if count > 1:
            yield violation("result-duplicate", at, f"{call_id!r} has {count} results")
    other = False
    for index, block in turn.blocks:
        if block.get("type") != "tool_result":
            other = True
        elif other:
            yield violation(
                "result-late", ("messages", index), "`tool_result` blocks must come first"
            )
            return


def _prefill(
    request: Mapping[str, Any], messages: list[tuple[int, Mapping[str, Any]]]
) -> Iterator[Violation]:
    if not messages or messages[-1][1].get("role") != "assistant":
        return
    index, message = messages[-1]
    blocks = [block for _, block in _blocks(message)]
    text = as_text(blocks[-1].get("text")) if blocks else ""
    if text != text.rstrip():
        yield violation("prefill", ("messages", index), "final assistant text ends in whitespace")
    kinds = [as_text(block.get("type")) for block in blocks]
    continued = any(kind in _CONTINUED or kind.endswith("_tool_result") for kind in kinds)
    model = as_text(request.get("model"))
    if _NO_PREFILL.match(model) and not continued and not request.get("fallback_credit_token"):
        found = f"{model} does not support prefill; the conversation must end with a user message"
        yield violation("prefill", ("messages", index), found)


def _tools(request: Mapping[str, Any]) -> Iterator[Violation]:
    tools = objects(request.get("tools"))
    names = [as_text(tool.get("name")) for _, tool in tools if tool.get("name")]
    for name, count in Counter(names).items():
        if count > 1:
            yield violation("tool-name-duplicate", ("tools",), f"{name!r} occurs {count} times")
    for i, tool in tools:
        if tool.get("type") in (None, "custom"):
            yield from _tool(("tools", i), tool)
    choice = as_object(request.get("tool_choice"))
    kind, wanted = choice.get("type"), choice.get("name")
    if kind in ("any", "tool", "auto") and not tools and not request.get("mcp_servers"):
        yield violation("tool-choice", ("tool_choice",), "only allowed while providing tools")
    elif kind == "tool" and wanted not in names:
        yield violation(
            "tool-choice", ("tool_choice", "name"), f"{wanted!r} is not among the tools"
        )


def _tool(at: tuple[str | int, ...], tool: Mapping[str, Any]) -> Iterator[Violation]:
    name, schema = tool.get("name"), tool.get("input_schema")
    if isinstance(name, str) and not _NAME.fullmatch(name):
        yield violation("tool-name", (*at, "name"), f"{name!r} does not match {_NAME.pattern!r}")
    if isinstance(schema, dict):
        root = as_object(schema)
        if root.get("type") != "object":
            yield violation(
                "tool-schema-root", (*at, "input_schema"), "the root must be of type 'object'"
            )
        for key in ("oneOf", "allOf", "anyOf"):
            if key in root:
                yield violation(
                    "tool-schema-root", (*at, "input_schema", key), "not at the top level"
                )


def _parameters(request: Mapping[str, Any]) -> Iterator[Violation]:
    for key in ("temperature", "top_p"):
        value = request.get(key)
        if isinstance(value, int | float) and not 0 <= value <= 1:
            yield violation("range", (key,), f"{value} is not in 0..1")
    tokens = request.get("max_tokens")
    if isinstance(tokens, int) and tokens < 0:
        yield violation("range", ("max_tokens",), f"{tokens} is below 0")


def _version(
    request: Mapping[str, Any], messages: list[tuple[int, Mapping[str, Any]]]
) -> Iterator[Violation]:
    for key in SAMPLING:
        if key in request:
            yield violation(
                "version", (key,), f"no such parameter in version {VERSION_WITHOUT_SAMPLING}"
            )
    for index, message in messages:
        for i, block in objects(message.get("content")):
            at = ("messages", index, "content", i)
            if message.get("role") == "assistant" and block.get("type") == "document":
                yield violation(
                    "version", at, "`document` blocks cannot be in `assistant` messages"
                )
            cited = block.get("type") == "text" and as_list(block.get("citations"))
            if message.get("role") == "user" and cited:
                yield violation("version", (*at, "citations"), "user text cannot have citations")
