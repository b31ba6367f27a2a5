"""Gemini's requests to neutral conversations, in either spelling: `functionCall` or `function_call`.

Source: ai.google.dev/api/generate-content; recorded requests for what the service takes besides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.answer import mapping, text
from midstream.adapters.as_read import read_message
from midstream.adapters.folding import folded
from midstream.adapters.gemini.asked import settings_of
from midstream.adapters.gemini.declared import tools_of
from midstream.adapters.gemini.parse import message_of
from midstream.adapters.gemini.parts import DIALECT, MODEL, blocks_of, camel, made_id, parts_of
from midstream.adapters.gemini.returning import SYSTEM
from midstream.adapters.imported import (
    Imported,
    ShownPart,
    as_written,
    messages_of,
    segments_of,
    unknown_keys,
)
from midstream.adapters.wire import arguments_text, is_array, is_object
from midstream.events.content import Message, Part, Role, Text, ToolCall, ToolResult

_CONTENT = frozenset(("role", "parts"))
_PARTS = frozenset(("parts",))
_ROLES = frozenset(("", "user", "function", "tool"))
"""Of turns that no model said."""
_PART = frozenset(("text", "inlineData", "fileData", "functionCall", "thought", "thoughtSignature"))
_MEDIUM = frozenset(("data", "mimeType", "fileUri", "displayName"))
_RESULT = frozenset(("id", "name", "response", "parts"))


def read(body: Mapping[str, Any], *, provider: str = "gemini") -> Imported:
    """Return what a request says.

    Args:
        body: The request, as JSON; the model is in the address of a request, and may be named in the body as well.
        provider: Who was asked, for the origin of the answers in it.

    Raises:
        ConversionError: It has no contents.
    """
    items = messages_of(body, "contents")
    model = text(body.get("model"))
    reading = _Reading(f"{provider}:{model.removeprefix('models/')}")
    messages = [(place, reading.message(item, place)) for place, item in enumerate(items, start=1)]
    left_out = {"model", "contents"}
    told = folded(messages, items)
    for key in body.keys() & SYSTEM:
        if is_object(body[key]) and not left_out & SYSTEM:
            told.insert(0, (1, _instruction(key, body[key])))
            left_out.add(key)
    tools = tools_of(body.get("tools"))
    if tools:
        left_out.add("tools")
    settings, besides = settings_of(body)
    if tools:
        besides.pop("tools", None)
    return Imported(
        segments=segments_of(told, items, tools or None),
        settings=settings,
        model=model,
        rest={key: value for key, value in body.items() if key not in left_out},
        said=frozenset(key for key in body if not camel({key: 0}).keys() & besides.keys()),
        besides=besides,
    )


def _instruction(key: str, given: Mapping[str, Any]) -> Message:
    texts = [text(block.get("text")) for block in blocks_of(given)]
    parts = tuple(Text(text=said) for said in texts)
    unsaid = _unsaid(given, known=_CONTENT)
    return read_message("system", parts, {key: dict(given)}, DIALECT, (*unsaid,))


class _Reading:
    """What the turns before have said, for those that refer to it."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._open: list[tuple[str, str]] = []  # the calls of the last answer: id and name

    def message(self, item: dict[str, Any], place: int) -> Message:
        if item.get("role") == MODEL:
            return self._answer(item, place)
        parts: list[Part] = []
        for number, block in enumerate(blocks_of(item)):
            said = camel(block)
            if is_object(said.get("functionResponse")):
                parts.append(self._result(camel(said["functionResponse"]), place, number))
            else:
                parts += parts_of(block, "", {})
        as_told = item == {"role": "user", "parts": [{"text": _only_text(parts)}]}
        answers = bool(parts) and all(isinstance(part, ToolResult) for part in parts)
        unsaid = _unsaid(item, known=_CONTENT if text(item.get("role")) in _ROLES else _PARTS)
        speaks: Role = "tool" if answers else "user"
        native = None if as_told else item
        return read_message(speaks, tuple(parts), native, DIALECT, (*unsaid,))

    def _answer(self, item: dict[str, Any], place: int) -> Message:
        message = message_of(item, str(place), {})
        parts = as_written(message.parts)
        self._open += [(part.id, part.name) for part in parts if isinstance(part, ToolCall)]
        rebuilt = {"role": MODEL, "parts": blocks_of(item)}
        same = message.native is None and rebuilt == item and len(blocks_of(item)) > 0
        same = same and parts == message.parts and not _has_empty(item)
        return message.model_copy(
            update={
                "parts": parts,
                "origin": self._origin,
                "native": None if same else item,
                "dialect": DIALECT,
                "unsaid": () if same else (*_unsaid(item, known=_CONTENT),),
            }
        )

    def _result(self, given: Mapping[str, Any], place: int, number: int) -> ToolResult:
        """Return a result; one without an id answers the first open call of its name."""
        name, id_ = text(given.get("name")), text(given.get("id"))
        found = next((call for call in self._open if call[0] == id_ and id_), None)
        found = found or next((call for call in self._open if call[1] == name), None)
        if found is not None:
            self._open.remove(found)
        texts, failed = _said(given.get("response"))
        media = given.get("parts")
        shown = [
            part
            for block in (media if is_array(media) else ())
            for part in parts_of(mapping(block), "", {})
            if isinstance(part, ShownPart)
        ]
        return ToolResult(
            id=found[0] if found else id_ or made_id(place, number, name),
            name=name,
            parts=(*(Text(text=said) for said in texts), *shown),
            is_error=failed,
        )


def _said(response: Any) -> tuple[list[str], bool]:
    """Return the texts of a result, and whether it says that the tool failed; what is no text is told as JSON."""
    if not is_object(response):
        return ([] if response is None else [arguments_text(response)]), False
    if len(response) != 1 or not response.keys() <= {"output", "error"}:
        return ([arguments_text(response)] if response else []), False
    (key, value), *_ = response.items()
    if isinstance(value, str):
        return ([value] if value else []), key == "error"
    if is_array(value) and len(value) > 1 and all(isinstance(item, str) for item in value):
        return list(value), key == "error"
    return [arguments_text(value)], key == "error"


def _only_text(parts: list[Part]) -> str | None:
    only = parts[0] if len(parts) == 1 else None
    return only.text if isinstance(only, Text) else None


def _has_empty(item: Mapping[str, Any]) -> bool:
    bare = (block for block in blocks_of(item) if block.keys() <= {"text", "thought"})
    return any(not block.get("text") for block in bare)


def _unsaid(item: Mapping[str, Any], *, known: frozenset[str]) -> Iterator[str]:
    """Return the paths of what the parts of a turn do not say."""
    yield from unknown_keys(item, known)
    for place, block in enumerate(blocks_of(item)):
        said = camel(block)
        path = f"parts[{place}]."
        kinds = [key for key in said if key in _PART or key == "functionResponse"]
        if not kinds:
            continue  # opaque, or a tool of the service
        yield from unknown_keys(said, _PART | {"functionResponse"}, path)
        for key in ("inlineData", "fileData"):
            yield from unknown_keys(camel(said.get(key)), _MEDIUM, f"{path}{key}.")
        result = camel(said.get("functionResponse"))
        yield from unknown_keys(result, _RESULT, f"{path}functionResponse.")
