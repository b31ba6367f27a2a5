"""Requests of Chat Completions to neutral conversations.

Source: developers.openai.com/api/reference, Chat Completions; what compatible servers add is kept as it came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pydantic import JsonValue

from midstream.adapters.answer import mapping, text
from midstream.adapters.as_read import read_message, read_tool
from midstream.adapters.folding import folded
from midstream.adapters.imported import (
    Imported,
    ShownPart,
    as_written,
    messages_of,
    segments_of,
    unknown_keys,
)
from midstream.adapters.openai.parse import THOUGHTS, parts_of, plain, wire_of
from midstream.adapters.openai.returning import DIALECT
from midstream.adapters.outcome import ERROR, says_error
from midstream.adapters.output import SETTING
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import (
    Audio,
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

_ROLES: Mapping[str, Role] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
    "tool": "tool",
    "function": "tool",
}
_ANSWER = frozenset(
    ("role", "content", "tool_calls", "function_call", "refusal", "audio", *THOUGHTS)
)
_RESULT = frozenset(("role", "content", "tool_call_id", "name"))
_SAID = frozenset(("role", "content"))
_CALL = frozenset(("id", "type", "function", "custom", "index"))
_FUNCTION = frozenset(("name", "arguments"))
_TEXT = frozenset(("type", "text"))
_URL = frozenset(("url",))
_DECLARED = frozenset(("type", "function", "custom"))
_TOOL = frozenset(("name", "description", "parameters"))
_TOOL_SAID = _TOOL | {"strict"}
_FORM = frozenset(("name", "schema", "description", "strict"))


def read(body: Mapping[str, Any], *, provider: str = "openai") -> Imported:
    """Return what a request says.

    Args:
        body: The request, as JSON.
        provider: Who was asked, for the origin of the answers in it.

    Raises:
        ConversionError: It has no messages.
    """
    items = messages_of(body)
    model = text(body.get("model"))
    reading = _Reading(provider, model)
    messages = [(place, reading.message(item, place)) for place, item in enumerate(items, start=1)]
    settings, said = _settings(body)
    return Imported(
        segments=segments_of(folded(messages, items), items, _tools(body)),
        settings=settings,
        model=model,
        rest={
            key: value
            for key, value in body.items()
            if key not in ("model", "messages") and (key != "tools" or not value)
        },
        said=said | {"tools", "functions"},
    )


class _Reading:
    """What the messages before have said, for those that refer to it."""

    def __init__(self, provider: str, model: str) -> None:
        self._provider = provider
        self._origin = f"{provider}:{model}"
        self._names: dict[str, str] = {}  # of calls, by id

    def message(self, item: dict[str, Any], place: int) -> Message:
        role = _ROLES.get(text(item.get("role")), "user")
        if role == "assistant":
            return self._answer(item, place)
        if role == "tool":
            return self._result(item)
        content = item.get("content")
        parts, unsaid = _content(content)
        as_told = (
            isinstance(content, str)
            and item.keys() == _SAID
            and item["role"] == role
            and bool(content.strip())
        )
        known = _SAID if text(item.get("role")) in _ROLES else _SAID - {"role"}
        native = None if as_told else item
        return read_message(role, parts, native, DIALECT, (*unknown_keys(item, known), *unsaid))

    def _answer(self, item: dict[str, Any], place: int) -> Message:
        said = item.get("content")
        if item.keys() == _SAID and isinstance(said, str) and said:  # as most are
            spoken = (Text(text=said),)
            return read_message("assistant", spoken, None, DIALECT, (), self._origin)
        told, others = wire_of(item, str(place))
        read = parts_of(told, others, {}, self._provider)
        parts = as_written(read)
        for part in parts:
            if isinstance(part, ToolCall):
                self._names[part.id] = part.name
        same = told == item and told == plain(told) and parts == read
        native, unsaid = (None, ()) if same else (item, tuple(_unsaid(item)))
        return read_message("assistant", parts, native, DIALECT, unsaid, self._origin)

    def _result(self, item: dict[str, Any]) -> Message:
        id_ = text(item.get("tool_call_id"))
        name = text(item.get("name"))
        if not id_ and name:  # the role `function`, of before there were ids
            id_ = next((i for i in reversed(self._names) if self._names[i] == name), "")
        content = item.get("content")
        found, unsaid = _content(content)
        parts: list[ShownPart] = [part for part in found if isinstance(part, ShownPart)]
        first = parts[0] if parts else None
        failed = isinstance(first, Text) and says_error(first.text)
        if isinstance(first, Text) and first.text.startswith(ERROR):
            parts[0] = Text(text=first.text.removeprefix(ERROR))
        plain = item.keys() == {"role", "tool_call_id", "content"}
        as_told = isinstance(content, str) and not failed and plain and bool(id_)
        as_told = as_told and item["role"] == "tool"
        result = ToolResult(
            id=id_, name=self._names.get(id_, name), parts=tuple(parts), is_error=failed
        )
        native = None if as_told else item
        unsaid = (*unknown_keys(item, _RESULT), *unsaid)
        return read_message("tool", (result,), native, DIALECT, unsaid)


def _content(content: Any) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Return the parts of a message's content, and the paths of what they do not say."""
    if isinstance(content, str):
        return (Text(text=content),), ()
    parts: list[Part] = []
    unsaid: list[str] = []
    for place, block in enumerate(content if is_array(content) else ()):
        if isinstance(block, str):
            parts.append(Text(text=block))
            continue
        part, known = _part(mapping(block))
        parts.append(Opaque(dialect=DIALECT, data=block) if part is None else part)
        if part is not None:
            unsaid += unknown_keys(block, known, f"content[{place}].")
        if isinstance(part, Image) and is_object(block["image_url"]):
            unsaid += unknown_keys(block["image_url"], _URL, f"content[{place}].image_url.")
    return tuple(parts), tuple(unsaid)


def _part(block: Mapping[str, Any]) -> tuple[Part | None, frozenset[str]]:
    """Return a block of content in neutral form, and which of its fields that says; None where it cannot be read."""
    match block:
        case {"type": "text", "text": str(said)}:
            return Text(text=said), frozenset(("type", "text"))
        case {"type": "image_url", "image_url": {"url": str(url)} | str(url)}:
            return _image(url), frozenset(("type", "image_url"))
        case {"type": "input_audio", "input_audio": {"data": str(data)} as heard}:
            kind = _AUDIO.get(text(heard.get("format")), f"audio/{text(heard.get('format'))}")
            return Audio(media_type=kind, data=data), frozenset(("type", "input_audio"))
        case {"type": "file", "file": file} if is_object(file):
            return _document(file), frozenset(("type", "file"))
        case {"type": "document_url", "document_url": str(url)}:  # of Mistral
            return Document(url=url), frozenset(("type", "document_url"))
        case _:
            return None, frozenset()


_AUDIO: Mapping[str, str] = {"wav": "audio/wav", "mp3": "audio/mpeg"}


def _document(file: Mapping[str, Any]) -> Document:
    name = text(file.get("filename"))
    if text(file.get("file_id")):
        return Document(file_id=file["file_id"], provider="openai", name=name)
    data = text(file.get("file_data"))
    head, comma, body = data.partition(",")
    if comma and head.startswith("data:"):
        kind = head[5:].removesuffix(";base64") or "application/pdf"
        return Document(media_type=kind, data=body, name=name)
    if data.startswith(("https://", "http://")):
        return Document(url=data, name=name)
    return Document(data=data or None, name=name)


def _image(url: str) -> Image:
    """Return an image by its address, which may hold its bytes."""
    head, comma, data = url.partition(",")
    if comma and head.startswith("data:") and head.endswith(";base64"):
        return Image(media_type=head[5:-7] or "image/png", data=data)
    return Image(url=url)


def _unsaid(item: Mapping[str, Any]) -> Iterator[str]:
    """Return the paths of what the parts of an answer do not say."""
    yield from unknown_keys(item, _ANSWER)
    content = item.get("content")
    for place, block in enumerate(content if is_array(content) else ()):
        if is_object(block) and block.get("type") == "text":
            yield from unknown_keys(block, _TEXT, f"content[{place}].")
    calls = item.get("tool_calls")
    for place, call in enumerate(calls if is_array(calls) else ()):
        if is_object(call) and is_object(call.get("function")):
            path = f"tool_calls[{place}]."
            yield from unknown_keys(call, _CALL, path)
            yield from unknown_keys(call["function"], _FUNCTION, f"{path}function.")


def _tools(body: Mapping[str, Any]) -> tuple[ToolSpec, ...] | None:
    """Return the declared tools, or None where the request has none."""
    given = body.get("tools")
    if is_array(given) and given:
        return tuple(_tool(mapping(item)) for item in given)
    legacy = body.get("functions")
    if is_array(legacy) and legacy:
        return tuple(_tool({"type": "function", "function": mapping(item)}) for item in legacy)
    return None


def _tool(item: Mapping[str, Any]) -> ToolSpec:
    form: Literal["json", "text"] = "text" if item.get("type") == "custom" else "json"
    about = item.get("custom" if form == "text" else "function")
    if not is_object(about) or not isinstance(about.get("name"), str):
        hints: dict[str, dict[str, JsonValue]] = {DIALECT: dict(item)}
        name = text(item.get("type")) or text(item.get("name"))
        return ToolSpec(name=name, hosted=DIALECT, hints=hints, dialect=DIALECT)
    parameters, strict = about.get("parameters"), about.get("strict")
    same = (
        set(item) == {"type", "function"}
        and item["type"] == "function"
        and _TOOL <= set(about) <= _TOOL_SAID
        and is_object(parameters)
        and isinstance(strict, bool) == ("strict" in about)
    )
    unsaid = (
        *unknown_keys(item, _DECLARED),
        *unknown_keys(about, _TOOL_SAID),
    )
    return read_tool(
        about["name"],
        text(about.get("description")),
        parameters if is_object(parameters) else {},
        None if same and isinstance(about["description"], str) else dict(item),
        DIALECT,
        unsaid,
        form=form,
        strict=strict if isinstance(strict, bool) else None,
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
    choice = body.get("tool_choice", body.get("function_call"))
    named = _choice(choice)
    if named is not None:
        settings["tool_choice"] = named
        said |= {"tool_choice", "function_call"}
    wanted = output_setting(body.get("response_format"))
    if wanted is not None:
        settings[SETTING] = wanted
        said.add("response_format")
    return settings, frozenset(said)


def output_setting(form: Any) -> dict[str, JsonValue] | None:
    """Return what an answer must be in neutral words, or None where they cannot say it; see `midstream.adapters.output`."""
    found = mapping(form)
    if found.get("type") == "json_object" and set(found) == {"type"}:
        return {"name": "answer"}
    nested = found.get("json_schema")  # beside the type in Responses
    about = nested if is_object(nested) else {k: v for k, v in found.items() if k != "type"}
    if (
        found.get("type") != "json_schema"
        or set(about) - _FORM
        or not is_object(about.get("schema"))
    ):
        return None
    return {key: value for key, value in about.items() if value is not None}


_NAMES: Mapping[str, str] = {
    "temperature": "temperature",
    "top_p": "top_p",
    "max_tokens": "max_tokens",
    "max_completion_tokens": "max_tokens",
    "stop": "stop",
    "seed": "seed",
    "parallel_tool_calls": "parallel_tool_calls",
    "reasoning_effort": "reasoning_effort",
}


def _choice(choice: Any) -> str | None:
    """Return which tools may be called, or None where neutral words cannot say it."""
    if isinstance(choice, str):
        return "required" if choice == "any" else choice
    name = mapping(mapping(choice).get("function")).get("name", mapping(choice).get("name"))
    return name if isinstance(name, str) else None
