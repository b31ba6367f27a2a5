"""Tools that OpenAI's service calls itself: one item for the call and for what came of it.

Source: developers.openai.com/api/docs/guides/tools, and the SDK's types of output items.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from pydantic import JsonValue

from midstream.adapters.answer import mapping, text
from midstream.adapters.responses.items import DIALECT
from midstream.adapters.wire import is_array
from midstream.events.content import ServerTool

_OWN = frozenset(
    (
        "web_search_call",
        "file_search_call",
        "code_interpreter_call",
        "image_generation_call",
        "mcp_call",
        "mcp_list_tools",
        "tool_search_call",
        "tool_search_output",
    )
)


def server_tool(item: Mapping[str, Any]) -> ServerTool | None:
    """Return the item as a part, or None where it is none of the service's own tools."""
    kind = text(item.get("type"))
    if kind not in _OWN or item.get("execution") == "client":
        return None
    name = kind.removesuffix("_call")
    if kind == "mcp_call":
        name = ".".join(filter(None, (text(item.get("server_label")), text(item.get("name")))))
    return ServerTool(
        dialect=DIALECT,
        name=name or kind,
        id=text(item.get("id")),
        input=_input(kind, item),
        text="\n".join(filter(None, _words(kind, item))),
        data=dict(item),
    )


def _input(kind: str, item: Mapping[str, Any]) -> JsonValue:
    match kind:
        case "web_search_call":
            action = mapping(item.get("action"))
            return {key: value for key, value in action.items() if key != "sources"}
        case "file_search_call":
            return {"queries": item.get("queries")}
        case "code_interpreter_call":
            return {"code": item.get("code")}
        case "image_generation_call":
            return {"prompt": item.get("revised_prompt")}
        case "mcp_call":
            return text(item.get("arguments"))
        case "tool_search_call":
            return item.get("arguments")
        case _:
            return None


_READABLE: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "web_search_call": (("action", "sources"), ("title", "url", "name")),
    "file_search_call": (("results",), ("filename", "text")),
    "code_interpreter_call": (("outputs",), ("logs", "url")),
    "mcp_list_tools": (("tools",), ("name", "description")),
    "tool_search_output": (("tools",), ("name", "description")),
}
"""By the type of an item: where the list of what came of it is, and what can be read of each entry."""


def _words(kind: str, item: Mapping[str, Any]) -> list[str]:
    """Return a line for each thing in what came of the call that can be read."""
    if kind == "mcp_call":
        error = item.get("error")
        said = text(error) or (json.dumps(error, ensure_ascii=False) if error else "")
        return [text(item.get("output")), said]
    path, keys = _READABLE.get(kind, ((), ()))
    found: Any = item if path else ()
    for step in path:
        found = mapping(found).get(step)
    return [_line(entry, *keys) for entry in _all(found)]


def _all(given: Any) -> list[Mapping[str, Any]]:
    return [mapping(value) for value in given] if is_array(given) else []


def _line(value: Mapping[str, Any], *keys: str) -> str:
    return " - ".join(filter(None, (text(value.get(key)).strip() for key in keys)))
