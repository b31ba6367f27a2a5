"""An answer of a given form: the wish in neutral words, and the three ways of having it.

The wish is one setting, `output_schema`: `{"name", "schema", "description"?, "strict"?}`; without a schema, any JSON object
is meant. A model that can be held to a schema is given it in its own field; one that cannot is made to call a tool of that
form, whose arguments are the answer; one that calls no tools is told in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from midstream.adapters.base import ModelResponse
from midstream.adapters.schema_rules import Lowered, Rules, lowered, rooted
from midstream.adapters.wire import arguments_text, is_object
from midstream.events.content import Message, Text, ToolCall, user
from midstream.events.payloads import FinishReason

SETTING = "output_schema"
_NAME = re.compile(r"[^a-zA-Z0-9_-]")
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class OutputSchema:
    """What an answer must be.

    Attributes:
        name: Of the form; letters, digits, `_` and `-`.
        schema: JSON Schema with an object at its root; None for any JSON object.
        description: For the model, or empty.
        strict: The service is to hold the model to it; None where nobody said.
    """

    name: str
    schema: Mapping[str, Any] | None = None
    description: str = ""
    strict: bool | None = None

    def lowered(self, rules: Rules) -> Lowered | None:
        """Return the schema as a service can hold a model to, or None where it cannot, or is not to."""
        if self.schema is None or not self.strict:
            return None
        return lowered(self.schema, rules)

    @property
    def object_schema(self) -> dict[str, Any]:
        """The schema as the arguments of a tool."""
        return {"type": "object", **rooted(self.schema or {})}

    @property
    def words(self) -> str:
        """The wish in words, for a model that can be told in no other way."""
        if self.schema is None:
            return "Answer with one JSON object and nothing else."
        about = f" {self.description}" if self.description else ""
        return (
            "Answer with one JSON object and nothing else: no words around it, no code fence."
            f"{about} It must match this JSON Schema:\n{arguments_text(dict(self.schema))}"
        )


def output_schema(value: Any) -> OutputSchema | None:
    """Return the wish that a setting holds, or None where it is none."""
    if not is_object(value) or not isinstance(value.get("name", ""), str):
        return None
    schema, strict = value.get("schema"), value.get("strict")
    if schema is not None and not is_object(schema):
        return None
    name = _NAME.sub("_", value.get("name") or "answer")[:_LONGEST_NAME]
    return OutputSchema(
        name,
        schema,
        str(value.get("description") or ""),
        strict if isinstance(strict, bool) else None,
    )


def setting(wanted: OutputSchema) -> dict[str, Any]:
    """Return the wish as the setting that holds it."""
    said = {"name": wanted.name, "schema": wanted.schema, "strict": wanted.strict}
    said["description"] = wanted.description or None
    return {key: value for key, value in said.items() if value is not None}


def adapted(wanted: OutputSchema, found: Lowered) -> str:
    """Return what was changed in a schema so that a service takes it, for people."""
    return f"{wanted.name!r}: {'; '.join(found.changed)}"


def told(wanted: OutputSchema) -> Message:
    """Return the wish as a turn of the user."""
    return user(wanted.words)


def tool_name(wanted: OutputSchema, taken: frozenset[str]) -> str:
    """Return what the tool is called whose arguments are the answer, unlike any other tool."""
    name = wanted.name
    while name in taken:
        name = f"{name[: _LONGEST_NAME - 7]}_answer"
    return name


def as_said(response: ModelResponse, tool: str) -> ModelResponse:
    """Return an answer that came as the call of a tool as what it is: a text of JSON.

    Args:
        response: What the model answered.
        tool: The tool that it was made to call, or empty.
    """
    message = response.message
    if not tool or all(call.name != tool for call in message.tool_calls):
        return response
    parts = tuple(
        Text(text=part.arguments or "{}")
        if isinstance(part, ToolCall) and part.name == tool
        else part
        for part in message.parts
    )
    said = message.model_copy(update={"parts": parts, "native": None})
    finish: FinishReason = "tool_calls" if said.tool_calls else "stop"
    return replace(
        response,
        message=said,
        finish=finish if response.finish == "tool_calls" else response.finish,
    )
