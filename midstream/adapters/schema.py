"""A tool's JSON Schema as both vendors take it: an object at the root, with nothing to choose there.

Source: recorded 400s, `input_schema does not support oneOf, allOf, or anyOf at the top level` and `schema must have type
'object' and not have 'oneOf'/'anyOf'/'allOf'/'enum'/'not' at the top level`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from midstream.adapters.wire import is_array, is_object

INPUT = "input"
"""The one argument of a tool of free text, for a provider that knows only arguments."""

_CHOICES = ("oneOf", "anyOf", "allOf", "enum", "not")
_NOT_STRICT = (
    *("oneOf", "allOf", "not", "if", "then", "else", "patternProperties"),
    *("dependentRequired", "dependentSchemas"),
)


def object_schema(schema: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the schema with an object at its root, and what had to be left out for that.

    Properties that only a left-out branch declares are kept as optional ones, so that a model still sees them.
    """
    root = _resolved(schema)
    removed = tuple(key for key in _CHOICES if key in root)
    if root.get("type", "object") != "object":
        return {"type": "object", "properties": {}}, ("type", *removed)
    properties: dict[str, Any] = {}
    for key in removed:
        branches: Any = root[key]
        for branch in branches if is_array(branches) and key != "enum" else ():
            if is_object(branch) and is_object(branch.get("properties")):
                properties.update(branch["properties"])
    own = root.get("properties")
    properties.update(own if is_object(own) else {})
    kept = {key: value for key, value in root.items() if key not in (*_CHOICES, "type")}
    return {"type": "object", **kept, "properties": properties}, removed


def can_be_strict(schema: Any) -> bool:
    """Tell whether OpenAI can hold a model to the schema: closed objects, of which every property is required.

    Source: developers.openai.com/api/docs/guides/structured-outputs, supported schemas; recorded 400s.
    """
    if is_array(schema):
        return all(can_be_strict(item) for item in schema)
    if not is_object(schema):
        return True
    if any(key in schema for key in _NOT_STRICT):
        return False
    properties = schema.get("properties")
    if schema.get("type") == "object" or properties is not None:
        required = schema.get("required")
        names = set(properties) if is_object(properties) else set[str]()
        if schema.get("additionalProperties") is not False:
            return False
        if names - set(required if is_array(required) else ()):
            return False
    inner: list[Any] = [schema.get("items"), schema.get("anyOf")]
    for key in ("properties", "$defs", "definitions"):
        found = schema.get(key)
        inner += list(found.values()) if is_object(found) else []
    return all(can_be_strict(item) for item in inner)


def _resolved(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with a reference at its root, into its own definitions, put in its place."""
    root: dict[str, Any] = dict(schema)
    seen = set[str]()
    while isinstance(root.get("$ref"), str) and root["$ref"] not in seen:
        seen.add(root["$ref"])
        target: Any = dict(schema)
        for step in root.pop("$ref").removeprefix("#").strip("/").split("/"):
            target = target.get(step) if is_object(target) else None
        found: dict[str, Any] = target if is_object(target) else {}
        root = {**found, **root}
    root.pop("$ref", None)
    return root
