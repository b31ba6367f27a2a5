"""JSON Schema as a service can hold a model to: each vendor enforces a part of the language, and refuses the rest.

What a service does not enforce is told in the description of its place, so that a model may still follow it; the caller
validates against the whole schema anyway.
Source: developers.openai.com/api/docs/guides/structured-outputs, supported schemas; platform.claude.com/docs, structured
outputs, JSON Schema limitations; `anthropic.lib._parse._transform` and `openai.lib._pydantic` of the SDKs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.adapters.wire import arguments_text, is_array, is_object

_SHAPE = frozenset(
    ("type", "properties", "required", "items", "anyOf", "enum", "description", "title", "$ref")
)
_SILENT = frozenset(("default", "examples", "example", "deprecated", "readOnly", "writeOnly"))
_META = frozenset(("$schema", "$id", "$comment", "discriminator", "$defs", "definitions"))
_FORMATS = frozenset(
    ("date-time", "time", "date", "duration", "email", "hostname", "ipv4", "ipv6", "uuid")
)
_IMPOSSIBLE = frozenset(
    (
        *("not", "if", "then", "else", "patternProperties", "prefixItems", "contains"),
        *("dependentRequired", "dependentSchemas", "propertyNames", "unevaluatedProperties"),
    )
)


@dataclass(frozen=True, slots=True)
class Rules:
    """What one service enforces.

    Attributes:
        keywords: Constraints that it takes beside the shape.
        formats: Of strings.
        all_required: Every property must be required.
        recursive: A schema may refer to itself.
        item_counts: The values of `minItems` that it takes; None for any.
    """

    keywords: frozenset[str]
    formats: frozenset[str]
    all_required: bool
    recursive: bool
    item_counts: frozenset[int] | None = None


OPENAI = Rules(
    frozenset(
        (
            *("pattern", "format", "multipleOf", "minimum", "maximum"),
            *("exclusiveMinimum", "exclusiveMaximum", "minItems", "maxItems"),
        )
    ),
    _FORMATS,
    all_required=True,
    recursive=True,
)
ANTHROPIC = Rules(
    frozenset(("format", "minItems", "const")),
    _FORMATS | {"uri"},
    all_required=False,
    recursive=False,
    item_counts=frozenset((0, 1)),
)


@dataclass(frozen=True, slots=True)
class Lowered:
    """A schema that a service enforces.

    Attributes:
        schema: The schema.
        changed: What is otherwise than its author wrote it, for people.
    """

    schema: dict[str, Any]
    changed: tuple[str, ...] = ()


class _Cannot(Exception):  # noqa: N818  # no error: the schema is outside of what a service enforces
    """The schema says something that the service cannot be held to."""


def lowered(schema: Mapping[str, Any], rules: Rules) -> Lowered | None:
    """Return the schema as the service takes it, or None where it cannot be said there."""
    try:
        root = rooted(schema)
        if not rules.recursive and _recursive(root):
            return None
        work = _Lowering(rules)
        told = work.schema(root, "")
        definitions = root.get("$defs", root.get("definitions"))
        if is_object(definitions):
            key = "$defs" if "$defs" in root else "definitions"
            told[key] = {name: work.schema(item, name) for name, item in definitions.items()}
    except (_Cannot, RecursionError):
        return None
    if told.get("type") != "object":
        return None
    return Lowered(told, tuple(work.changed))


def rooted(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema with a reference at its root put in its place."""
    root = dict(schema)
    seen: set[str] = set()
    while isinstance(root.get("$ref"), str) and root["$ref"] not in seen:
        seen.add(root["$ref"])
        target: Any = schema
        for step in root.pop("$ref").removeprefix("#").strip("/").split("/"):
            target = target.get(step) if is_object(target) else None
        root = {**(target if is_object(target) else {}), **root}
    root.pop("$ref", None)
    return root


def _recursive(root: Mapping[str, Any]) -> bool:
    """Tell whether a definition leads back to itself, or the schema to its root."""
    definitions: Mapping[str, Any] = root.get("$defs") or root.get("definitions") or {}
    leads = {name: _references(item) for name, item in definitions.items()}
    if "" in _references(root):
        return True
    for name in leads:
        seen: set[str] = set()
        stack = list(leads[name])
        while stack:
            other = stack.pop()
            if other == name:
                return True
            if other not in seen:
                seen.add(other)
                stack += leads.get(other, ())
    return False


def _references(value: Any) -> set[str]:
    """Return the names of the definitions that a schema refers to; empty for its root."""
    found: set[str] = set()
    stack = [value]
    while stack:
        item = stack.pop()
        if is_object(item):
            reference = item.get("$ref")
            if isinstance(reference, str):
                found.add(reference.removeprefix("#").rpartition("/")[2])
            stack += item.values()
        elif is_array(item):
            stack += item
    return found


@dataclass(slots=True)
class _Lowering:
    """One pass over a schema."""

    rules: Rules
    changed: list[str] = field(default_factory=list[str])

    def schema(self, given: Any, path: str) -> dict[str, Any]:
        if not is_object(given) or not given or _IMPOSSIBLE & given.keys():
            raise _Cannot  # an empty schema allows anything, which no service can be held to
        if "$ref" in given:
            return _reference(given)
        told = self._one_of(given)
        kept: dict[str, Any] = {}
        words: list[str] = []
        for key, value in told.items():
            if key in _SHAPE or (key in self.rules.keywords and self._takes(key, value)):
                kept[key] = value
            elif key == "const" and "const" not in self.rules.keywords:
                kept["enum"] = [value]
            elif key not in _SILENT and key not in _META and key != "additionalProperties":
                words.append(f"{key}: {arguments_text(value)}")
        if words:
            about = kept.get("description")
            kept["description"] = "\n\n".join(
                [*([about] if about else []), f"{{{', '.join(words)}}}"]
            )
            self.changed.append(f"{path or 'the root'} is told in words that {', '.join(words)}")
        return self._inner(kept, told, path)

    def _takes(self, key: str, value: Any) -> bool:
        if key == "format":
            return value in self.rules.formats
        counts = self.rules.item_counts
        return key != "minItems" or counts is None or value in counts

    def _one_of(self, given: dict[str, Any]) -> dict[str, Any]:
        """Return the schema with its choices as `anyOf`, and the only one of several in its place."""
        told = dict(given)
        while "allOf" in told:
            every = told.pop("allOf")
            if not is_array(every) or len(every) != 1 or not is_object(every[0]):
                raise _Cannot
            told = {**every[0], **told}
        if "oneOf" in told:
            told["anyOf"] = told.pop("oneOf")
        if "$ref" in told:
            told["anyOf"] = [{"$ref": told.pop("$ref")}]
        return told

    def _inner(self, kept: dict[str, Any], told: dict[str, Any], path: str) -> dict[str, Any]:
        if "anyOf" in kept:
            if not is_array(kept["anyOf"]):
                raise _Cannot
            kept["anyOf"] = [self.schema(item, path) for item in kept["anyOf"]]
        if kept.get("type") == "array" or "items" in kept:
            kept["items"] = self.schema(told.get("items"), f"{path}[]")
        if kept.get("type") == "object" or "properties" in kept:
            self._object(kept, told, path)
        if not {"type", "anyOf", "enum", "const"} & kept.keys():
            raise _Cannot
        return kept

    def _object(self, kept: dict[str, Any], told: dict[str, Any], path: str) -> None:
        properties = told.get("properties")
        if told.get("additionalProperties") not in (None, False, True):
            raise _Cannot  # names that nobody knows, such as those of a dict
        if not is_object(properties) or not properties:
            if told.get("additionalProperties") is not False and not path == "":
                raise _Cannot
            properties = properties or {}
        kept["properties"] = {
            name: self.schema(item, f"{path}.{name}" if path else name)
            for name, item in properties.items()
        }
        kept["additionalProperties"] = False
        required = told.get("required")
        optional = [
            name for name in properties if name not in (required if is_array(required) else ())
        ]
        if self.rules.all_required:
            kept["required"] = list(properties)
            if optional:
                self.changed.append(f"{', '.join(optional)} of {path or 'the root'} must be given")
        elif is_array(required):
            kept["required"] = [name for name in required if name in properties]


def _reference(given: dict[str, Any]) -> dict[str, Any]:
    """Return a reference, which may have nothing beside it; what it is for is told around it."""
    about = given.get("description")
    reference = {"$ref": given["$ref"]}
    return {"anyOf": [reference], "description": about} if about else reference
