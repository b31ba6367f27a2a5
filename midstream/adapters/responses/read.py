"""Requests of Responses to neutral conversations.

Neighbouring items of the model are one answer. What refers to the server's memory (an earlier response, a stored conversation)
cannot be read; it goes home as it came, and is a loss elsewhere.
Source: developers.openai.com/api/reference, Responses; the SDK's request types.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import JsonValue

from midstream.adapters.answer import mapping, text
from midstream.adapters.as_read import read_message, read_tool
from midstream.adapters.imported import (
    Imported,
    ShownPart,
    as_written,
    messages_of,
    segments_of,
    unknown_keys,
)
from midstream.adapters.openai.read import output_setting
from midstream.adapters.outcome import ERROR, says_error
from midstream.adapters.output import SETTING
from midstream.adapters.responses.items import ASSISTANT, DIALECT, own_items
from midstream.adapters.responses.parse import parts_of, wire_of
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import (
    Document,
    Image,
    Message,
    Opaque,
    Part,
    Role,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)

_MESSAGE = frozenset(("type", "role", "content"))
_OUTPUTS = ("function_call_output", "custom_tool_call_output")
_OUTPUT = frozenset(("type", "call_id", "output", "id", "status"))
_FROM_OUTSIDE = ("_output", "_response", "item_reference")
_TEXT = frozenset(("type", "text"))
_IMAGE = frozenset(("type", "image_url"))
_AUTOMATIC = _IMAGE | {"detail"}
_FILE_ID = frozenset(("type", "file_id"))
_FILE = frozenset(("type", "file_data", "file_url", "file_id", "filename"))
_TOOL = frozenset(("type", "name", "description", "parameters", "strict"))
_NAMES: Mapping[str, str] = {
    "max_output_tokens": "max_tokens",
    "temperature": "temperature",
    "top_p": "top_p",
    "parallel_tool_calls": "parallel_tool_calls",
}


def read(body: Mapping[str, Any], *, provider: str = "openai-responses") -> Imported:
    """Return what a request says.

    Args:
        body: The request, as JSON.
        provider: Who was asked, for the origin of the answers in it.

    Raises:
        ConversionError: Its input is neither a text nor a list of items.
    """
    model = text(body.get("model"))
    given = body.get("input")
    items = messages_of(body, "input") if given is not None and not isinstance(given, str) else []
    reading = _Reading(f"{provider}:{model}")
    messages = list(reading.messages(items))
    if isinstance(given, str):
        messages.append((1, read_message("user", (Text(text=given),), given, DIALECT)))
    left_out = {"model", "input"} if given is not None else {"model"}
    instructions, declared = body.get("instructions"), body.get("tools")
    if instructions and isinstance(instructions, str):
        left_out.add("instructions")
        messages.insert(0, (1, _instruction(instructions)))
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


def _instruction(said: str) -> Message:
    return read_message("system", (Text(text=said),), {"instructions": said}, DIALECT)


class _Reading:
    """What the items before have said, for those that refer to it."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._names: dict[str, str] = {}  # of calls, by id

    def messages(self, items: list[dict[str, Any]]) -> Iterator[tuple[int, Message]]:
        answer: list[dict[str, Any]] = []
        for place, item in enumerate(items, start=1):
            if _is_answer(item):
                answer.append(item)
                continue
            if answer:
                yield place - len(answer), self._answer(answer, place)
                answer = []
            output = item.get("type") in _OUTPUTS
            yield place, self._result(item) if output else _turn(item)
        if answer:
            yield len(items) + 1 - len(answer), self._answer(answer, len(items))

    def _answer(self, items: list[dict[str, Any]], place: int) -> Message:
        short = items[0].get("content")
        if len(items) == 1 and "type" not in items[0] and isinstance(short, str):
            # In its short form; the service itself says it in the long one.
            return read_message("assistant", (Text(text=short),), items, DIALECT, (), self._origin)
        parts: list[Part] = []
        unsaid: list[str] = []
        for number, item in enumerate(wire_of(items, str(place))):
            content = item.get("content")
            if "type" not in item or isinstance(content, str):  # a message in its short form
                parts += _blocks(content)[0]
                continue
            parts += parts_of(item, {})
            if item.get("type") in ("function_call", "custom_tool_call"):
                unsaid += unknown_keys(item, _CALL, f"[{number}].")
        parts = list(as_written(parts))
        calls = [part for part in parts if isinstance(part, ToolCall)]
        for call in calls:
            self._names[call.id] = call.name
        same = own_items(parts, [call.id for call in calls], lambda name: name) == items
        native: Any = None if same else items
        said = tuple(parts)
        return read_message("assistant", said, native, DIALECT, tuple(unsaid), self._origin)

    def _result(self, item: dict[str, Any]) -> Message:
        id_ = text(item.get("call_id"))
        parts, unsaid = _blocks(item.get("output"), "output")
        first = parts[0] if parts else None
        failed = isinstance(first, Text) and says_error(first.text)
        if isinstance(first, Text) and first.text.startswith(ERROR):
            parts[0] = Text(text=first.text.removeprefix(ERROR))
        result = ToolResult(
            id=id_, name=self._names.get(id_, ""), parts=tuple(parts), is_error=failed
        )
        unsaid = [*unknown_keys(item, _OUTPUT), *unsaid]
        return read_message("tool", (result,), item, DIALECT, tuple(unsaid))


_CALL = frozenset(("type", "id", "call_id", "name", "arguments", "input", "status"))


def _is_answer(item: Mapping[str, Any]) -> bool:
    """Tell whether the model said the item: all that nobody else is known to say."""
    role, kind = item.get("role"), text(item.get("type"))
    if role is not None:
        return text(role) == ASSISTANT
    return kind == "tool_search_output" or not kind.endswith(_FROM_OUTSIDE)


def _turn(item: dict[str, Any]) -> Message:
    role = item.get("role")
    content = item.get("content")
    if role == "user" and len(item) == 2 and content and isinstance(content, str):
        return read_message("user", (Text(text=content),), None, DIALECT)
    parts, unsaid = _blocks(content)
    if text(item.get("type")) not in ("", "message"):
        parts, unsaid = [Opaque(dialect=DIALECT, data=item)], []
    speaks: Role = "system" if role in ("system", "developer") else "user"
    left = (*unknown_keys(item, _MESSAGE), *unsaid) if parts and content else ()
    return read_message(speaks, tuple(parts), item, DIALECT, left)


def _blocks(content: Any, path: str = "content") -> tuple[list[ShownPart], list[str]]:
    """Return the parts of a content, and the paths of what they do not say."""
    if isinstance(content, str):
        return [Text(text=content)], []
    parts: list[ShownPart] = []
    unsaid: list[str] = []
    for place, block in enumerate(content if is_array(content) else ()):
        part, known = _part(mapping(block))
        parts.append(part)
        if not isinstance(part, Opaque):
            unsaid += unknown_keys(mapping(block), known, f"{path}[{place}].")
    return parts, unsaid


def _part(block: Mapping[str, Any]) -> tuple[ShownPart, frozenset[str]]:
    match block:
        case {"type": "input_text" | "output_text" | "text", "text": str(said)}:
            return Text(text=said), _TEXT
        case {"type": "input_image", "image_url": str(url)}:
            known = _AUTOMATIC if block.get("detail") == "auto" else _IMAGE
            head, comma, data = url.partition(",")
            if comma and head.startswith("data:") and head.endswith(";base64"):
                return Image(media_type=head[5:-7] or "image/png", data=data), known
            return Image(url=url), known
        case {"type": "input_image", "file_id": str(file_id)}:
            return Image(file_id=file_id, provider="openai"), _FILE_ID
        case {"type": "input_file"}:
            return _document(block), _FILE
        case _:
            return Opaque(dialect=DIALECT, data=dict(block)), frozenset()


def _document(file: Mapping[str, Any]) -> Document:
    name = text(file.get("filename"))
    if text(file.get("file_id")):
        return Document(file_id=file["file_id"], provider="openai", name=name)
    if text(file.get("file_url")):
        return Document(url=file["file_url"], name=name)
    head, comma, data = text(file.get("file_data")).partition(",")
    if comma and head.startswith("data:"):
        kind = head[5:].removesuffix(";base64") or "application/pdf"
        return Document(media_type=kind, data=data, name=name)
    return Document(data=head or None, name=name)


def _tool(item: Mapping[str, Any]) -> ToolSpec:
    kind, name = text(item.get("type")), text(item.get("name"))
    if kind not in ("function", "custom") or not name:
        hints: dict[str, dict[str, JsonValue]] = {DIALECT: dict(item)}
        return ToolSpec(name=name or kind, hosted=DIALECT, hints=hints, dialect=DIALECT)
    form: Literal["json", "text"] = "text" if kind == "custom" else "json"
    parameters, strict = item.get("parameters"), item.get("strict")
    return read_tool(
        name,
        text(item.get("description")),
        parameters if is_object(parameters) else {},
        dict(item),
        DIALECT,
        unknown_keys(item, _TOOL),
        form=form,
        strict=strict if isinstance(strict, bool) else None,
    )


def _settings(body: Mapping[str, Any]) -> tuple[dict[str, JsonValue], frozenset[str]]:
    """Return the settings in neutral words, and the fields that are said by them."""
    settings: dict[str, JsonValue] = {}
    said: set[str] = set()
    for key, name in _NAMES.items():
        if body.get(key) is not None:
            settings[name] = body[key]
            said.add(key)
    choice = body.get("tool_choice")
    named = choice if isinstance(choice, str) else mapping(choice).get("name")
    if isinstance(named, str):
        settings["tool_choice"] = named
        said.add("tool_choice")
    reasoning = mapping(body.get("reasoning"))
    if text(reasoning.get("effort")):
        settings["reasoning_effort"] = reasoning["effort"]
        if set(reasoning) == {"effort"}:
            said.add("reasoning")
    wanted = output_setting(mapping(body.get("text")).get("format"))
    if wanted is not None:
        settings[SETTING] = wanted
        if set(mapping(body.get("text"))) == {"format"}:
            said.add("text")
    return settings, frozenset(said)
