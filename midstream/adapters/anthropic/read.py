"""Requests of Messages to neutral conversations.

Source: platform.claude.com/docs, Messages; the SDK's request types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import JsonValue

from midstream.adapters.answer import mapping, text
from midstream.adapters.anthropic.parse import part_of, plain
from midstream.adapters.anthropic.returning import DIALECT
from midstream.adapters.as_read import read_message, read_tool
from midstream.adapters.imported import Imported, ShownPart, messages_of, segments_of, unknown_keys
from midstream.adapters.output import SETTING
from midstream.adapters.wire import INVALID, is_array, is_object
from midstream.events.content import (
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Role,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

_TEXT = frozenset(("type", "text"))
_MEDIUM = frozenset(("type", "source"))
_DOCUMENT = frozenset(("type", "source", "title", "content"))
_RESULT = frozenset(("type", "tool_use_id", "content", "is_error"))
_CALL = frozenset(("type", "id", "name", "input"))
_THOUGHT = frozenset(("type", "thinking", "signature", "data"))
_SAID = _TEXT | _CALL | _THOUGHT | {"citations"}
_MESSAGE = frozenset(("role", "content"))
_TOOL = frozenset(("name", "description", "input_schema", "type", "strict"))

Read = tuple[Part, tuple[str, ...]]
"""A block in neutral form, and which of its fields that does not say."""


def read(body: Mapping[str, Any], *, provider: str = "anthropic") -> Imported:
    """Return what a request says.

    Args:
        body: The request, as JSON.
        provider: Who was asked, for the origin of the answers in it.

    Raises:
        ConversionError: It has no messages.
    """
    items = messages_of(body)
    model = text(body.get("model"))
    reading = _Reading(f"{provider}:{model}")
    messages = [(place, reading.message(item)) for place, item in enumerate(items, start=1)]
    left_out = {"model", "messages"}
    system, declared = body.get("system"), body.get("tools")
    if system and isinstance(system, str | list):
        messages.insert(0, (1, _instruction(system)))
        left_out.add("system")
    tools: tuple[ToolSpec, ...] | None = None
    if is_array(declared) and declared:
        tools = tuple(_tool(mapping(item)) for item in declared)
        left_out.add("tools")
    settings, said = _settings(body)
    return Imported(
        segments=segments_of(messages, items, tools),
        settings=settings,
        model=model,
        rest={key: value for key, value in body.items() if key not in left_out},
        said=said,
    )


def _instruction(content: Any) -> Message:
    parts: list[Part] = []
    unsaid: list[str] = []
    for block, path in _blocks(content):
        part, fields = _user_block(block, path)
        parts.append(part)
        unsaid += fields
    as_told = is_array(content) and all(
        is_object(block) and block.keys() == _TEXT and text(block["text"]).strip()
        for block in content
    )
    native = None if as_told else {"system": content}
    return read_message("system", tuple(parts), native, DIALECT, tuple(unsaid))


class _Reading:
    """What the messages before have said, for those that refer to it."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._names: dict[str, str] = {}  # of calls, by id

    def message(self, item: dict[str, Any]) -> Message:
        role = text(item.get("role"))
        if role == "assistant":
            return self._answer(item)
        content = item.get("content")
        if role == "user" and isinstance(content, str) and len(item) == 2 and content.strip():
            return read_message("user", (Text(text=content),), None, DIALECT)
        parts: list[Part] = []
        unsaid = [*unknown_keys(item, _MESSAGE)]
        for block, path in _blocks(content):
            part, fields = (
                self._result(block, path)
                if block.get("type") == "tool_result"
                else _user_block(block, path)
            )
            parts.append(part)
            unsaid += fields
        answers = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
        speaks: Role = "system" if role == "system" else "tool" if answers else "user"
        return read_message(speaks, tuple(parts), item, DIALECT, tuple(unsaid))

    def _answer(self, item: dict[str, Any]) -> Message:
        content = item.get("content")
        parts: list[Part] = []
        unsaid = [*unknown_keys(item, _MESSAGE)]
        same = is_array(content) and len(item) == 2 and bool(content)
        for block, path in _blocks(content):
            said = block.get("text")
            if said and len(block) == 2 and block.get("type") == "text" and isinstance(said, str):
                parts.append(Text(text=said))  # most are, and nothing else is to be asked of them
                continue
            part = part_of(block, {})
            if isinstance(part, ToolCall):
                written = _call(part, block)
                same = same and written is part
                part = written
                self._names[part.id] = part.name
            same = same and plain(part, block) == block and block.get("text") != ""
            parts.append(part)
            if not same and not isinstance(part, Opaque | ServerTool):
                unsaid += unknown_keys(block, _SAID, path)
        native, told = None if same else item, tuple(parts)
        return read_message("assistant", told, native, DIALECT, tuple(unsaid), self._origin)

    def _result(self, block: Mapping[str, Any], path: str) -> Read:
        id_ = text(block.get("tool_use_id"))
        parts: list[ShownPart] = []
        unsaid = [*unknown_keys(block, _RESULT, path)]
        for inner, place in _blocks(block.get("content"), f"{path}content"):
            part, fields = _user_block(inner, place)
            if isinstance(part, ShownPart):
                parts.append(part)
                unsaid += fields
        result = ToolResult(
            id=id_,
            name=self._names.get(id_, ""),
            parts=tuple(parts),
            is_error=block.get("is_error") is True,
        )
        return result, tuple(unsaid)


def _blocks(content: Any, path: str = "content") -> Iterator[tuple[dict[str, Any], str]]:
    """Return the blocks of a content, each with its path; a text is one block."""
    if isinstance(content, str):
        yield {"type": "text", "text": content}, f"{path}."
    elif is_array(content):
        for place, block in enumerate(content):
            yield (
                block if is_object(block) else {"type": "text", "text": str(block)},
                f"{path}[{place}].",
            )


def _user_block(block: dict[str, Any], path: str) -> Read:
    match block:
        case {"type": "text", "text": str(said)}:
            return Text(text=said), unknown_keys(block, _TEXT, path)
        case {"type": "image", "source": {"type": "base64", "data": str(data)} as source}:
            image = Image(media_type=text(source.get("media_type")) or "image/png", data=data)
            return image, unknown_keys(block, _MEDIUM, path)
        case {"type": "image", "source": {"type": "url", "url": str(url)}}:
            return Image(url=url), unknown_keys(block, _MEDIUM, path)
        case {"type": "image", "source": {"type": "file", "file_id": str(file_id)}}:
            return Image(file_id=file_id, provider=DIALECT), tuple(
                unknown_keys(block, _MEDIUM, path)
            )
        case {"type": "document", "source": source} if is_object(source):
            document = _document(source, text(block.get("title")))
            return document, tuple(unknown_keys(block, _DOCUMENT, path))
        case {"type": "search_result", "source": str(source), "content": content} if is_array(
            content
        ):
            said = "\n".join(text(mapping(inner).get("text")) for inner in content)
            name = text(block.get("title")) or source
            found = Document(media_type="text/plain", url=source, name=name, text=said)
            return found, tuple(unknown_keys(block, _DOCUMENT, path))
        case _:
            return Opaque(dialect=DIALECT, data=block), ()


def _document(source: Mapping[str, Any], name: str) -> Document:
    match source:
        case {"type": "base64", "data": str(data)}:
            kind = text(source.get("media_type")) or "application/pdf"
            return Document(media_type=kind, data=data, name=name)
        case {"type": "url", "url": str(url)}:
            return Document(url=url, name=name)
        case {"type": "file", "file_id": str(file_id)}:
            return Document(file_id=file_id, provider=DIALECT, name=name)
        case {"type": "text", "data": str(said)}:
            return Document(media_type="text/plain", text=said, name=name)
        case {"type": "content", "content": content}:
            said = "\n".join(text(block.get("text")) for block, _ in _blocks(content))
            return Document(media_type="text/plain", text=said, name=name)
        case _:
            return Document(name=name)


def _call(call: ToolCall, block: Mapping[str, Any]) -> ToolCall:
    """Return the call with its arguments as the model wrote them, where they had to be put into an object."""
    given = mapping(block.get("input"))
    if set(given) == {INVALID} and isinstance(given[INVALID], str):
        return call.model_copy(update={"arguments": given[INVALID]})
    return call


def _tool(item: Mapping[str, Any]) -> ToolSpec:
    schema, name = item.get("input_schema"), item.get("name")
    if not is_object(schema) or not isinstance(name, str):
        return ToolSpec(
            name=text(name) or text(item.get("type")),
            hosted=DIALECT,
            hints={DIALECT: dict(item)},
            dialect=DIALECT,
        )
    same = set(item) == {"name", "description", "input_schema"} and bool(item["description"])
    return read_tool(
        name,
        text(item.get("description")),
        schema,
        None if same else dict(item),
        DIALECT,
        () if same else unknown_keys(item, _TOOL),
        strict=item["strict"] if isinstance(item.get("strict"), bool) else None,
    )


def _settings(body: Mapping[str, Any]) -> tuple[dict[str, JsonValue], frozenset[str]]:
    """Return the settings in neutral words, and the fields that are said by them."""
    settings: dict[str, JsonValue] = {}
    said: set[str] = set()
    for key, name in _NAMES.items():
        value = body.get(key)
        if value is not None:
            settings[name] = value
            said.add(key)
    choice = mapping(body.get("tool_choice"))
    kind = text(choice.get("type"))
    if kind:
        settings["tool_choice"] = (
            text(choice.get("name")) if kind == "tool" else _CHOICES.get(kind, kind)
        )
        said.add("tool_choice")
    if choice.get("disable_parallel_tool_use") is True:
        settings["parallel_tool_calls"] = False
    effort = _effort(body)
    known = set[str]()
    if effort:
        settings["reasoning_effort"] = effort
        said.add("thinking")
        known.add("effort")
    older = body.get("output_format")
    form = mapping(mapping(body.get("output_config")).get("format", older))
    if form.get("type") == "json_schema" and is_object(form.get("schema")):
        settings[SETTING] = {"name": "answer", "schema": form["schema"], "strict": True}
        known.add("format")
        if older is not None:
            said.add("output_format")
    if known >= set(mapping(body.get("output_config"))):
        said.add("output_config")
    if mapping(body.get("thinking")).get("type") == "disabled":
        said.add("thinking")
    return settings, frozenset(said)


_NAMES: Mapping[str, str] = {
    "max_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "stop_sequences": "stop",
}
_CHOICES: Mapping[str, str] = {"any": "required"}
_BUDGETS = ((1_024, "low"), (4_096, "medium"))


def _effort(body: Mapping[str, Any]) -> str:
    """Return how much the model is to think; a budget of tokens as the nearest level that `ask` gives one for."""
    level = text(mapping(body.get("output_config")).get("effort"))
    if level:
        return level
    thinking = mapping(body.get("thinking"))
    budget = thinking.get("budget_tokens")
    if thinking.get("type") == "enabled" and isinstance(budget, int):
        return next((name for most, name in _BUDGETS if budget <= most), "high")
    return ""
