"""What stands in a wire body, by its content only: no code of ours is asked what it meant to say.

Each text in the body is a leaf, with what it is by the wire format: words, an image, a document, a sound, a call, the result of
one, reasoning, a refusal, a citation, the declaration of a tool, a block that is kept as it came.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.wire import is_array, is_object

Leaf = tuple[str, str]
"""What it is, and what it says."""

_BY_TYPE = {
    "image": "image",
    "input_image": "image",
    "image_url": "image",
    "document": "document",
    "input_file": "document",
    "file": "document",
    "input_audio": "audio",
    "tool_use": "call",
    "function_call": "call",
    "custom_tool_call": "call",
    "tool_result": "result",
    "function_call_output": "result",
    "custom_tool_call_output": "result",
    "thinking": "reasoning",
    "redacted_thinking": "reasoning",
    "reasoning": "reasoning",
    "refusal": "refusal",
    "unknown": "kept",
}
_BY_KEY = {
    "tool_calls": "call",
    "functionCall": "call",
    "functionResponse": "result",
    "annotations": "citation",
    "citations": "citation",
    "refusal": "refusal",
    "reasoning": "reasoning",
    "reasoning_content": "reasoning",
    "reasoning_details": "reasoning",
    "thoughtSignature": "reasoning",
    "audio": "audio",
    "tools": "tool",
}
_BY_MEDIA = {"image": "image", "audio": "audio"}


def leaves(body: Mapping[str, Any]) -> list[Leaf]:
    """Return every text in the body with what it is."""
    return list(_leaves(json.loads(json.dumps(body)), "words"))


def _leaves(value: Any, kind: str) -> Iterator[Leaf]:
    if isinstance(value, str):
        yield kind, value
    elif is_array(value):
        for item in value:
            yield from _leaves(item, kind)
    elif is_object(value):
        kind = _kind(value, kind)
        for key, item in value.items():
            if key in ("inlineData", "fileData") and is_object(item):
                media = str(item.get("mimeType", "")).partition("/")[0]
                yield from _leaves(item, _BY_MEDIA.get(media, "document"))
            else:
                yield from _leaves(item, _BY_KEY.get(key, kind))
            if key == "arguments":
                yield from _leaves(_read(item), kind)


def _read(arguments: Any) -> Any:
    """Return what the text of arguments says; nothing where it is no JSON."""
    try:
        return json.loads(arguments)
    except (TypeError, ValueError):
        return None


def _kind(value: dict[str, Any], kind: str) -> str:
    if value.get("role") == "tool":
        return "result"
    if value.get("thought") is True:
        return "reasoning"
    named = str(value.get("type"))
    if named == "file" and "file" not in value:  # where an image or a document is kept
        return kind
    return _BY_TYPE.get(named, kind)
