"""Tools that Anthropic's service calls itself: one block for the call, one for what came of it.

Source: platform.claude.com/docs, web-search-tool, web-fetch-tool, code-execution-tool and mcp-connector.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.answer import mapping, text
from midstream.adapters.anthropic.returning import DIALECT
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import ServerTool

_READABLE = ("title", "url", "text", "stdout", "stderr", "error_code")


def server_tool(block: Mapping[str, Any]) -> ServerTool | None:
    """Return the block as a part, or None where it is no call of the service's own tools and no result of one."""
    kind = text(block.get("type"))
    if kind in ("server_tool_use", "mcp_tool_use"):
        return ServerTool(
            dialect=DIALECT,
            name=text(block.get("name")) or kind,
            id=text(block.get("id")),
            input=dict(mapping(block.get("input"))),
            data=dict(block),
        )
    if not kind.endswith("_tool_result"):
        return None
    return ServerTool(
        dialect=DIALECT,
        name=kind.removesuffix("_tool_result"),
        id=text(block.get("tool_use_id")),
        text="\n".join(_words(block.get("content"))),
        data=dict(block),
    )


def _words(content: Any) -> Iterator[str]:
    """Yield a line for each thing in a result that can be read; encrypted bodies cannot."""
    if isinstance(content, str):
        yield content
    elif is_array(content):
        for item in content:
            yield from _words(item)
    elif is_object(content):
        said = [text(content.get(key)).strip() for key in _READABLE]
        line = " - ".join(word for word in said if word)
        if line:
            yield line
        for key in ("content", "source", "data"):
            if key != "data" or content.get("type") == "text":
                yield from _words(content.get(key))
