"""Output items of Responses, as the service gives them and takes them back: the one form that both directions share.

Source: developers.openai.com/api/reference, Responses; the ids that the service accepts are from its own refusals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from midstream.adapters.wire import is_object
from midstream.events.content import (
    Audio,
    Block,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
)

DIALECT = "openai-responses"
ASSISTANT = "assistant"

_PREFIX = {
    "message": "msg",
    "function_call": "fc",
    "reasoning": "rs",
    "web_search_call": "ws",
    "file_search_call": "fs",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "mcp_call": "mcp",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "custom_tool_call": "ctc",
    "compaction": "cmp",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
}
"""What the id of an item begins with: `Expected an ID that begins with 'fc'`."""
_LONGEST_ID = 64
_ANNOTATIONS = frozenset(("file_citation", "url_citation", "container_file_citation", "file_path"))
"""How the service says where a text comes from; a citation in another provider's words is refused."""
_CLIENT_CALLS = frozenset(
    (
        "computer_call",
        "local_shell_call",
        "shell_call",
        "apply_patch_call",
        "mcp_approval_request",
    )
)
"""Calls that somebody else than a tool of the caller has to answer; nobody here does."""


def own_items(
    parts: Iterable[Part], ids: Sequence[str], called: Callable[[str], str]
) -> list[Any] | None:
    """Return the parts of an answer as the items in which the service gave them.

    Args:
        parts: What was said, in order.
        ids: The id of each call.
        called: What the service calls a tool.

    Returns:
        The items, or None where there is a part that the service did not say.
    """
    items: list[Any] = []
    told = iter(ids)
    message: dict[str, Any] = {}
    for part in parts:
        match part:
            case Text() if not _cites(part):
                return None
            case Text() | Refusal() if part.item_id and message.get("id") == part.item_id:
                message["content"].append(_more(_block(part), part))
            case Text() | Refusal():
                message = _message(part)
                items.append(message)
            case Reasoning():
                items.append(_more(_reasoning(part), part))
            case ToolCall():
                items.append(_more(_call(part, next(told), called(part.name)), part))
            case (
                ServerTool(dialect=dialect, data=dict(data))
                | Opaque(dialect=dialect, data=dict(data))
            ) if dialect == DIALECT:
                items.append(_more(data, part))
            case Image() | Document() | Audio() | ToolResult() | ServerTool() | Opaque():
                return None
    return items


def beyond(item: Mapping[str, Any], plain: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the fields of an item that its plain form has otherwise or not; None where it lacks one that that has."""
    if plain.keys() - item.keys():
        return None
    return {key: value for key, value in item.items() if key not in plain or plain[key] != value}


def can_go_back(items: Sequence[Any], *, reasons: bool) -> bool:
    """Tell whether the service takes the items of an answer back as they are, with nothing kept on its side.

    Reasoning goes back with the items that came after it, or not at all: it needs its encrypted body, and a follower. Ids
    that the service did not make, or that occur twice, are refused.

    Args:
        items: All items of one answer.
        reasons: The model that is asked reads reasoning.
    """
    ids = item_ids(items)
    if not items or len(set(ids)) < len(ids):
        return False
    if any(not is_object(item) or not _fits(item) for item in items):
        return False
    thoughts = [item for item in items if item.get("type") == "reasoning"]
    if thoughts and (not reasons or items[-1].get("type") == "reasoning"):
        return False
    return all(item.get("encrypted_content") for item in thoughts)


def item_ids(items: Iterable[Any]) -> list[str]:
    """Return the ids of the items that have one."""
    return [item["id"] for item in items if is_object(item) and isinstance(item.get("id"), str)]


def call_ids_of(items: Iterable[Any]) -> tuple[str, ...]:
    """Return the ids of the calls of the caller's tools, in order."""
    kinds = ("function_call", "custom_tool_call")
    return tuple(item["call_id"] for item in items if item.get("type") in kinds)


def _fits(item: Mapping[str, Any]) -> bool:
    kind, id_ = item.get("type"), item.get("id")
    if kind in _CLIENT_CALLS or (kind == "tool_search_call" and item.get("execution") == "client"):
        return False
    if id_ is None:
        return True
    if not isinstance(id_, str) or not id_.startswith(_PREFIX.get(str(kind), "")):
        return False
    return kind == "reasoning" or 0 < len(id_) <= _LONGEST_ID


def _cites(part: Text) -> bool:
    """Tell whether all that the text cites is cited in words of the service."""
    return all(
        is_object(citation.native) and citation.native.get("type") in _ANNOTATIONS
        for citation in part.citations
    )


def _more(item: dict[str, Any], part: Block) -> dict[str, Any]:
    return {**item, **part.hints.get(DIALECT, {})} if part.hints else item


def _message(part: Text | Refusal) -> dict[str, Any]:
    """Return a message that begins with what is said."""
    item: dict[str, Any] = {"id": part.item_id} if part.item_id else {}
    item |= {
        "type": "message",
        "status": "completed",
        "content": [_more(_block(part), part)],
        "role": ASSISTANT,
    }
    return {**item, "phase": part.phase} if isinstance(part, Text) and part.phase else item


def _block(part: Text | Refusal) -> dict[str, Any]:
    if isinstance(part, Refusal):
        return {"type": "refusal", "refusal": part.text}
    cited = [citation.native for citation in part.citations]
    return {"type": "output_text", "annotations": cited, "logprobs": [], "text": part.text}


def _reasoning(part: Reasoning) -> dict[str, Any]:
    item: dict[str, Any] = {"id": part.item_id} if part.item_id else {}
    item["type"] = "reasoning"
    if part.text:
        item["content"] = [{"type": "reasoning_text", "text": part.text}]
    item["summary"] = [{"type": "summary_text", "text": text} for text in part.summary]
    if part.proof:
        item["encrypted_content"] = part.proof
    return item


def _call(call: ToolCall, id_: str, name: str) -> dict[str, Any]:
    own = {"id": call.item_id} if call.item_id else {}
    if call.form == "text":
        about = {"call_id": id_, "input": call.arguments, "name": name}
        return {**own, "type": "custom_tool_call", "status": "completed", **about}
    about = {"arguments": call.arguments, "call_id": id_, "name": name}
    return {**own, "type": "function_call", "status": "completed", **about}
