"""A message of any provider's wire format in lines that people can read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from midstream.adapters.wire import is_array, is_object
from midstream.cli.output import as_json

_TEXTS = ("text", "thinking", "content", "output", "refusal", "input_text", "output_text")
_HIDDEN = frozenset(
    ("signature", "encrypted_content", "data", "thoughtSignature", "thought_signature")
)
_LONG = 60


def wire_lines(item: Any) -> Iterator[str]:
    """Return the lines of one wire message: who speaks, what it says, what it calls, what came of it."""
    if not is_object(item):
        yield as_json(item)
        return
    who = str(item.get("role") or item.get("type") or "")
    said = False
    for line in _content(item):
        said = True
        yield f"{who}: {line}"
    for call in item.get("tool_calls") or ():
        said = True
        yield f"{who}: {_call(call)}"
    if not said:
        rest = {key: value for key, value in item.items() if key not in ("role", "type")}
        yield f"{who}: {as_json(_short(rest))}"


def _content(item: Mapping[str, Any]) -> Iterator[str]:
    if item.get("type") in ("function_call", "custom_tool_call"):
        yield f"calls {item.get('name')}({item.get('arguments', item.get('input', ''))}) [{item.get('call_id')}]"
        return
    given = item.get("content", item.get("parts", item.get("output")))
    about = item.get("tool_call_id") or item.get("call_id")
    mark = f"[{about}] " if about else ""
    if isinstance(given, str):
        yield mark + given
    elif is_array(given):
        for block in given:
            yield mark + _block(block)


def _block(block: Any) -> str:
    if not is_object(block):
        return as_json(block)
    kind = str(block.get("type", ""))
    if kind in ("tool_use", "server_tool_use"):
        return f"calls {block.get('name')}({as_json(block.get('input'))}) [{block.get('id')}]"
    if kind == "tool_result":
        inner = block.get("content")
        shown = inner if isinstance(inner, str) else "\n".join(map(_block, inner or ()))
        failed = " failed" if block.get("is_error") else ""
        return f"[{block.get('tool_use_id')}]{failed} {shown}"
    for key in _TEXTS:
        if isinstance(block.get(key), str):
            return f"({kind}) {block[key]}" if key == "thinking" else str(block[key])
    return as_json(_short(block))


def _call(call: Any) -> str:
    if not is_object(call):
        return as_json(call)
    about = call.get(str(call.get("type", "function"))) or call
    return f"calls {about.get('name')}({about.get('arguments', about.get('input', ''))}) [{call.get('id')}]"


def _short(value: Any) -> Any:
    """Return a value without what nobody can read."""
    if is_object(value):
        return {key: "…" if key in _HIDDEN else _short(inner) for key, inner in value.items()}
    if is_array(value):
        return [_short(inner) for inner in value]
    if isinstance(value, str) and len(value) > _LONG and " " not in value:
        return f"{value[:_LONG]}…"
    return value
