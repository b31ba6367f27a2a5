"""Parts of Gemini's turns, as the service gives them and takes them back: the one form that both directions share.

A thought signature belongs to the part it came on. Here it is a part of its own before that one, since whoever else is told
the conversation has to be told that there was something that only Gemini reads.
Source: ai.google.dev/api/caching#Part and ai.google.dev/gemini-api/docs/thought-signatures.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from hashlib import sha256
from typing import Any

from midstream.adapters.answer import mapping, text
from midstream.adapters.wire import arguments_object, arguments_text, is_array, is_object
from midstream.events.content import (
    Audio,
    Document,
    Image,
    Opaque,
    Part,
    Reasoning,
    ServerTool,
    Text,
    ToolCall,
)

DIALECT = "gemini"
MODEL = "model"
"""The role of an answer."""
MADE = re.compile(r"unnamed_[0-9a-f]{24}")
"""Ids that stand here for calls to which the service gave none; the service is never told them."""
_SERVER_TOOLS: Mapping[str, str] = {
    "executableCode": "code_execution",
    "codeExecutionResult": "code_execution",
    "toolCall": "server_tool",
    "toolResponse": "server_tool",
}
_FILES = ("https://generativelanguage.googleapis.com/", "gs://")
"""Addresses that only the service can read."""


def camel(given: Any) -> dict[str, Any]:
    """Return an object with its keys as the service writes them; it takes `function_call` for `functionCall`."""
    return {_camel(key) if "_" in key else key: value for key, value in mapping(given).items()}


def _camel(key: str) -> str:
    head, *rest = key.split("_")
    return head + "".join(word[:1].upper() + word[1:] for word in rest)


def made_id(*of: object) -> str:
    """Return an id for a call that has none, always the same for the same place; see `MADE`."""
    return "unnamed_" + sha256("\0".join(map(str, of)).encode("utf-8", "replace")).hexdigest()[:24]


def wire_id(call: ToolCall) -> str:
    """Return the id that the service knows a call by; empty where it gave none."""
    return "" if MADE.fullmatch(call.id) else call.id


def parts_of(block: Mapping[str, Any], call_id: str, names: Mapping[str, str]) -> list[Part]:
    """Return a part of a turn in neutral form: its signature first, then the part.

    Args:
        block: As it came.
        call_id: The id to give a call.
        names: The tools whose names were changed for the provider, by what stood for them.
    """
    said = camel(block)
    proof = text(said.get("thoughtSignature"))
    signature: list[Part] = [Reasoning(proof=proof, redacted=True)] if proof else []
    match said:
        case {"text": str(words), "thought": True}:
            return [Reasoning(text=words, proof=proof or None)]
        case {"functionCall": call} if is_object(call):
            return [*signature, _call(camel(call), call_id, names)]
        case {"text": str(words)}:
            return [*signature, *([Text(text=words)] if words or not proof else [])]
        case {"inlineData": data} | {"fileData": data} if is_object(data):
            shown = medium(camel(data))
            whole = Opaque(dialect=DIALECT, data=dict(block))
            return [whole] if shown is None else [*signature, shown]
        case _:
            return [_other(said, block)]


def _call(call: Mapping[str, Any], call_id: str, names: Mapping[str, str]) -> ToolCall:
    name = text(call.get("name"))
    arguments = call.get("args")
    return ToolCall(
        id=call_id,
        name=names.get(name, name),
        arguments=arguments_text({} if arguments is None else arguments),
    )


def medium(data: Mapping[str, Any]) -> Image | Document | Audio | None:
    """Return bytes or a file, by its type; None for what is neither image nor sound nor document."""
    kind = text(data.get("mimeType"))
    given: dict[str, Any] = {"media_type": kind}
    uri = text(data.get("fileUri"))
    if uri.startswith(_FILES):
        given |= {"file_id": uri, "provider": DIALECT}
    elif uri:
        given["url"] = uri
    else:
        given["data"] = text(data.get("data")).translate(_PLAIN)
    if kind.startswith("image/"):
        return Image(**given)
    if kind.startswith("audio/") and "url" not in given:
        return Audio(**given)
    if not kind or kind.startswith(("audio/", "video/")):
        return None
    return Document(**given, name=text(data.get("displayName")))


_PLAIN = str.maketrans("-_", "+/")
"""From the base64 of addresses, which the service takes as well."""


def _other(said: Mapping[str, Any], block: Mapping[str, Any]) -> ServerTool | Opaque:
    kind = next((key for key in _SERVER_TOOLS if is_object(said.get(key))), "")
    if kind:
        return _server_tool(kind, camel(said[kind]), block)
    return Opaque(dialect=DIALECT, data=dict(block))


def _server_tool(kind: str, said: Mapping[str, Any], block: Mapping[str, Any]) -> ServerTool:
    name = text(said.get("toolType")) or text(said.get("toolName")) or _SERVER_TOOLS[kind]
    asked = kind in ("executableCode", "toolCall")
    words = said.get("output", said.get("response"))
    return ServerTool(
        dialect=DIALECT,
        name=name.lower(),
        id=text(said.get("id")),
        input=said.get("code", said.get("args")) if asked else None,
        text="" if asked else words if isinstance(words, str) else arguments_text(words or {}),
        data=dict(block),
    )


def own_parts(
    parts: Iterable[Part], ids: Sequence[str], called: Callable[[str], str]
) -> list[dict[str, Any]] | None:
    """Return the parts of an answer as the service gave them, each signature on its part.

    Args:
        parts: What was said, in order.
        ids: The id of each call; empty for one without.
        called: What the service calls a tool.

    Returns:
        The parts, or None where there is one that the service did not say.
    """
    blocks: list[dict[str, Any]] = []
    told = iter(ids)
    signature: dict[str, str] = {}
    for part in parts:
        block: dict[str, Any] | None
        match part:
            case Reasoning(summary=(_, *_)):
                return None
            case Reasoning(text="", proof=None | ""):
                continue
            case Reasoning(redacted=True, text="", proof=str(proof)):
                blocks += [{"text": "", **signature}] if signature else []
                signature = {"thoughtSignature": proof}
                continue
            case Reasoning():
                own = {"thoughtSignature": part.proof} if part.proof else {}
                block = {"text": part.text, "thought": True, **own}
            case Text():
                block = {"text": part.text}
            case ToolCall():
                block = _own_call(part, next(told), called(part.name))
            case (
                ServerTool(dialect=dialect, data=dict(data))
                | Opaque(dialect=dialect, data=dict(data))
            ) if dialect == DIALECT:
                blocks += [{"text": "", **signature}] if signature else []
                signature, block = {}, dict(data)
            case _:
                block = _shown(part)
        if block is None:
            return None
        blocks.append({**block, **signature})
        signature = {}
    return [*blocks, {"text": "", **signature}] if signature else blocks


def _shown(part: Part) -> dict[str, Any] | None:
    if isinstance(part, Image | Audio) and part.data is not None:
        return {"inlineData": {"mimeType": part.media_type, "data": part.data}}
    return None


def _own_call(call: ToolCall, id_: str, name: str) -> dict[str, Any] | None:
    found = arguments_object(call.arguments)
    if found is None or call.form == "text":
        return None
    about = {"id": id_} if id_ else {}
    return {"functionCall": {**about, "name": name, "args": found}}


def blocks_of(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the parts of a turn that are objects."""
    parts = content.get("parts")
    return [part for part in parts if is_object(part)] if is_array(parts) else []


def call_of(block: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the call in a part, or None."""
    found = block.get("functionCall", block.get("function_call"))
    return found if is_object(found) else None
