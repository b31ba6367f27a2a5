"""What was said, in the form that OpenTelemetry's conventions give messages; only told where somebody asks for it.

Source: https://opentelemetry.io/docs/specs/semconv/gen-ai/gen-ai-spans/#recording-content-on-attributes, with the schemas
`gen-ai-input-messages.json` and `gen-ai-output-messages.json` beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from midstream.events.content import (
    Audio,
    Document,
    Image,
    Message,
    Opaque,
    Reasoning,
    Refusal,
    ServerTool,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
)
from midstream.projections.conversation import history
from midstream.projections.run_state import RunState
from midstream.projections.span_names import Value


def heard(state: RunState, address: str) -> dict[str, Value]:
    """Return what a model call was told: the instruction, what its provider may call, and the whole conversation.

    Args:
        state: The run, as it stood when the request was recorded.
        address: The call.
    """
    instructions, said = "", list[Message]()
    tools: tuple[ToolSpec, ...] = ()
    for segment in history(state, address):
        instructions = instructions if segment.system is None else segment.system
        tools = tools if segment.tools is None else segment.tools
        said += segment.messages
    found: dict[str, Value] = {"gen_ai.input.messages": _json([_message(one) for one in said])}
    if instructions:
        found["gen_ai.system_instructions"] = _json([{"type": "text", "content": instructions}])
    if tools:
        found["gen_ai.tool.definitions"] = _json(
            [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": tool.parameters,
                }
                for tool in tools
            ]
        )
    return found


def said(data: Mapping[str, Any]) -> dict[str, Value]:
    """Return what `model.responded` says, in full."""
    message = _message(Message.model_validate(data["message"]))
    row = {**message, "finish_reason": data.get("finish", "stop")}
    return {"gen_ai.output.messages": _json([row])}


def arguments(data: Mapping[str, Any]) -> dict[str, Value]:
    """Return what a tool was called with."""
    return {"gen_ai.tool.call.arguments": _json(data.get("arguments") or {})}


def result(data: Mapping[str, Any]) -> dict[str, Value]:
    """Return what a tool returned."""
    if data.get("parts"):
        given = Message.model_validate({"role": "user", "parts": data["parts"]})
        return {"gen_ai.tool.call.result": _json([_part(part) for part in given.parts])}
    return {"gen_ai.tool.call.result": _json(data.get("result"))}


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _message(message: Message) -> dict[str, Any]:
    results = message.parts and all(isinstance(part, ToolResult) for part in message.parts)
    return {
        "role": "tool" if results else message.role,
        "parts": [_part(part) for part in message.parts],
    }


def _part(part: Any) -> dict[str, Any]:
    match part:
        case Text():
            return {"type": "text", "content": part.text}
        case Reasoning():
            return {"type": "reasoning", "content": part.text or "\n".join(part.summary)}
        case ToolCall():
            return {
                "type": "tool_call",
                "id": part.id,
                "name": part.name,
                "arguments": _read(part.arguments),
            }
        case ToolResult():
            return {"type": "tool_call_response", "id": part.id, "response": _response(part.parts)}
        case Image() | Document() | Audio():
            return _media(part)
        case Refusal():
            return {"type": "refusal", "content": part.text}
        case ServerTool():
            return {"type": "server_tool_call", "name": part.name, "content": part.text}
        case Opaque():
            return {"type": f"{part.dialect}.opaque"}
        case _:
            return {"type": str(getattr(part, "type", "other"))}


def _read(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text  # a tool of free text, or a call that was cut off


def _response(parts: Sequence[Any]) -> Any:
    texts = [part.text for part in parts if isinstance(part, Text)]
    return "\n".join(texts) if len(texts) == len(parts) else _parts(parts)


def _parts(parts: Iterable[Any]) -> list[dict[str, Any]]:
    return [_part(part) for part in parts]


def _media(part: Image | Document | Audio) -> dict[str, Any]:
    modality = {"image": "image", "audio": "audio", "document": "document"}[part.type]
    base = {"modality": modality, "mime_type": part.media_type}
    url = None if isinstance(part, Audio) else part.url
    if part.data is not None:
        return {"type": "blob", **base, "content": part.data}
    if url is not None:
        return {"type": "uri", **base, "uri": url}
    return {"type": "file", **base, "file_id": part.file_id or ""}
