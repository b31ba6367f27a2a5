"""The vendors' own request types, and where the services take more than these say.

The types come from the SDK that is installed, so a judge of an old SDK knows less than one of a new SDK. They are
imported when first asked for.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

from pydantic import BaseModel

from midstream.testing.json_reading import as_list, as_object
from midstream.testing.strict_schema import Path, SchemaFault, StrictSchema
from midstream.testing.violations import Violation, WireDialect, violation

Source: TypeAlias = Literal[
    "openai-chat", "openai-responses", "anthropic", "anthropic-beta", "gemini"
]

SAMPLING = ("temperature", "top_p", "top_k")
"""Left the Anthropic types with SDK 1; the older API version still takes them."""

_TOLERATED: Mapping[WireDialect, tuple[tuple[frozenset[str], re.Pattern[str]], ...]] = {
    "openai-chat": (
        # null stands for an optional parameter that is left out
        (frozenset({"kind", "value"}), re.compile(r"/(?!(?:model|messages) )[a-z_]+ null")),
        (
            frozenset({"kind"}),
            re.compile(r"/messages/\d+/(name|refusal|function_call|tool_calls|audio) null"),
        ),
        # more keys in a declared tool are ignored
        (frozenset({"unknown"}), re.compile(r"/tools/\d+/(function/)?[^/]+ .*")),
        # what a stream helper accumulated, or a gateway added to an assistant message
        (frozenset({"unknown"}), re.compile(r"/messages/\d+/tool_calls/\d+/index .*")),
        (
            frozenset({"unknown"}),
            re.compile(r"/messages/\d+/(annotations|parsed|reasoning(_content|_signature)?) .*"),
        ),
        (frozenset({"unknown"}), re.compile(r"/messages/\d+/(content/\d+/cache_control|name) .*")),
    ),
    "openai-responses": (
        (frozenset({"kind", "value"}), re.compile(r"/(?!(?:model|input) )[a-z_]+ null")),
        # what the service fills in, or gave itself
        (frozenset({"missing"}), re.compile(r"/tools/\d+/strict value")),
        (
            frozenset({"missing"}),
            re.compile(r"/input/\d+/(id|content/\d+/(annotations|detail)) value"),
        ),
        (
            frozenset({"value", "unknown", "kind"}),
            re.compile(r"/input/\d+/(status|action/sources) .*"),
        ),
        (frozenset({"tag", "value"}), re.compile(r"/input/\d+/content/\d+/type value")),
    ),
    "gemini": (
        (frozenset({"kind"}), re.compile(r"/(?!contents )[a-zA-Z_]+ null")),
        (frozenset({"kind"}), re.compile(r"/tools value")),  # one tool stands for a list of it
        (frozenset({"unknown"}), re.compile(r"/generation_?[cC]onfig/image_?[cC]onfig value")),
    ),
    "anthropic": (
        (frozenset({"unknown"}), re.compile(r"/output_format .*")),  # now output_config.format
    ),
}
"""What recorded requests with status 200 contain although the types do not know it: kinds of fault, path and value."""


@functools.cache
def _strict(source: Source) -> StrictSchema:
    annotation: Any
    if source == "openai-chat":
        from openai.types.chat import completion_create_params as chat

        annotation = chat.CompletionCreateParams
    elif source == "openai-responses":
        from openai.types.responses import response_create_params as responses

        annotation = responses.ResponseCreateParams
    elif source == "anthropic":
        from anthropic.types import message_create_params as stable

        annotation = stable.MessageCreateParams
    elif source == "anthropic-beta":
        from anthropic.types.beta import message_create_params as beta

        annotation = beta.MessageCreateParams
    else:
        return StrictSchema(_gemini_request(), spelled=_snake, models=True)
    return StrictSchema(annotation)


def _gemini_request() -> Any:
    """The body that the SDK of Gemini sends; it has a type for each field, and none for the whole."""
    from google.genai import types

    class Request(BaseModel):
        contents: list[types.Content]
        system_instruction: types.Content = types.Content()
        tools: list[types.Tool] = []
        tool_config: types.ToolConfig = types.ToolConfig()
        safety_settings: list[types.SafetySetting] = []
        generation_config: types.GenerationConfig = types.GenerationConfig()
        cached_content: str = ""
        model: str = ""
        labels: Mapping[str, str] = {}
        model_armor_config: types.ModelArmorConfig = types.ModelArmorConfig()

    return Request


def _snake(key: str) -> str:
    return re.sub("(?<!^)([A-Z])", r"_\1", key).lower()


def schema_violations(dialect: WireDialect, request: Mapping[str, Any]) -> Iterator[Violation]:
    """Where the request does not fit the SDK's type, the beta type included."""
    body = dict(request)
    if dialect == "anthropic":
        body = {key: value for key, value in body.items() if key not in SAMPLING}
    faults = _untolerated(dialect, body, dialect)
    if faults and dialect == "anthropic":
        faults = min(faults, _untolerated(dialect, body, "anthropic-beta"), key=len)
    for fault in faults:
        yield violation("schema", fault.path, fault.message)


def _untolerated(
    dialect: WireDialect, body: Mapping[str, Any], source: Source
) -> list[SchemaFault]:
    return [f for f in _strict(source).faults(body) if not _tolerated(dialect, f, body)]


def _tolerated(dialect: WireDialect, fault: SchemaFault, body: Mapping[str, Any]) -> bool:
    place = "".join(f"/{part}" for part in fault.path)
    value = "null" if _at(body, fault.path) is None else "value"
    return any(
        fault.kind in kinds and pattern.fullmatch(f"{place} {value}")
        for kinds, pattern in _TOLERATED[dialect]
    )


def _at(value: Any, path: Path) -> Any:
    for part in path:
        value = as_object(value).get(part, ...) if isinstance(part, str) else as_list(value)[part]
    return value
