"""Tools as Gemini's requests declare them, to neutral ones, with their schemas as JSON Schema.

`parameters` is a dialect of OpenAPI 3.0: types in capitals, and `nullable` for what may be null.
Source: ai.google.dev/api/caching#Schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.answer import text
from midstream.adapters.gemini.parts import DIALECT, camel
from midstream.adapters.imported import unknown_keys
from midstream.adapters.wire import is_array, is_object
from midstream.events.content import ToolSpec

_FUNCTION = frozenset(("name", "description", "parameters", "parametersJsonSchema"))
_DECLARATIONS = "functionDeclarations"


def tools_of(given: Any) -> tuple[ToolSpec, ...]:
    """Return the tools of a request; what came stands whole beside the first, since it may be in several groups."""
    items = given if is_array(given) else [given]  # one stands for a list of it
    if not all(map(is_object, items)):
        return ()
    found: list[ToolSpec] = []
    for item in items:
        for key, value in camel(item).items():
            if key == _DECLARATIONS and is_array(value):
                found += [_function(camel(function)) for function in value]
            else:
                found.append(
                    ToolSpec(
                        name=key, hosted=DIALECT, hints={DIALECT: {key: value}}, dialect=DIALECT
                    )
                )
    if found:
        found[0] = found[0].model_copy(update={"native": given})
    return tuple(found)


def _function(said: Mapping[str, Any]) -> ToolSpec:
    given = said.get("parametersJsonSchema")
    schema: dict[str, Any] = given if is_object(given) else {}
    if not schema and is_object(said.get("parameters")):
        schema = json_schema(said["parameters"])
    return ToolSpec(
        name=text(said.get("name")),
        description=text(said.get("description")),
        parameters=schema,
        dialect=DIALECT,
        unsaid=(*unknown_keys(said, _FUNCTION),),
    )


def json_schema(schema: Any) -> Any:
    """Return a schema of the vendor's dialect as JSON Schema."""
    if not is_object(schema):
        return schema
    told: dict[str, Any] = {}
    for key, value in schema.items():
        match key:
            case "type" if isinstance(value, str):
                told["type"] = value.lower()
            case "properties" | "$defs" | "defs" if is_object(value):
                told[key] = {name: json_schema(inner) for name, inner in value.items()}
            case "items" | "additionalProperties":
                told[key] = json_schema(value)
            case "anyOf" | "any_of" | "oneOf" | "allOf" | "prefixItems" if is_array(value):
                told["anyOf" if key == "any_of" else key] = [json_schema(item) for item in value]
            case "nullable":
                pass
            case _:
                told[key] = value
    if schema.get("nullable") is True and isinstance(told.get("type"), str):
        told["type"] = [told["type"], "null"]
    return told
