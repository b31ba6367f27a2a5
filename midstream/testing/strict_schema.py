"""A strict reading of the type that an SDK gives to its request.

pydantic's own run is too kind for a judge: it validates `Iterable[...]` lazily, so that nothing inside
`messages` is looked at, it ignores unknown keys, and it turns one scalar into another. So the core schema
that pydantic builds from the type is walked here with the rules of JSON: an iterable is an array, an unknown
key is a fault (unless the type allows more keys), nothing is converted.

Source: https://docs.pydantic.dev/latest/api/pydantic_core_schema/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from pydantic import TypeAdapter

from midstream.testing.json_reading import as_list, as_object

Path: TypeAlias = tuple[str | int, ...]
Node: TypeAlias = Mapping[str, Any]
"""A schema, or a part of one."""
FaultKind: TypeAlias = Literal["kind", "value", "tag", "missing", "unknown"]

TAGS = ("type", "role")
"""Keys by which the vendors tell the members of a union apart."""

_INNER = {
    "definitions": "schema",
    "json-or-python": "json_schema",
    "lax-or-strict": "strict_schema",
    "function-wrap": "schema",
    "function-after": "schema",
    "function-before": "schema",
    "default": "schema",
}
_SCALARS: Mapping[str, tuple[str, tuple[type, ...]]] = {
    "str": ("a string", (str,)),
    "bool": ("a boolean", (bool,)),
    "int": ("an integer", (int,)),
    "float": ("a number", (int, float)),
    "none": ("null", (type(None),)),
    "bytes": ("a string of base64", (str,)),
}


@dataclass(frozen=True, slots=True)
class SchemaFault:
    """One place where a value does not fit the type.

    Attributes:
        path: Keys and indices from the root of the value.
        kind: `kind` (another kind of JSON value), `value` (not one of the allowed ones), `tag` (the same, of
            the key that chooses among the members of a union), `missing` or `unknown` (a key).
        message: What was wanted and what was found.
    """

    path: Path
    kind: FaultKind
    message: str


class StrictSchema:
    """The core schema of one type, and the walk over it."""

    def __init__(
        self, annotation: Any, *, spelled: Callable[[str], str] = str, models: bool = False
    ) -> None:
        """Build the schema; tens of milliseconds for the request type of a vendor.

        Args:
            annotation: The type.
            spelled: How the names of the type's fields are spelled, given a key of the JSON.
            models: The vendor has models for what is sent; of the others, a model is what only comes back.
        """
        self._spelled = spelled
        adapter: TypeAdapter[Any] = TypeAdapter(annotation)
        root: Any = adapter.core_schema
        self._root: Node = root
        self._definitions = {node["ref"]: node for node in _nodes(root) if "ref" in node}
        self._checks: Mapping[str, Callable[[Any, Node, Path], list[SchemaFault]]] = {
            "nullable": self._nullable,
            "literal": _literal,
            "list": self._array,
            "generator": self._array,
            "dict": self._mapping,
            "typed-dict": self._object,
            "union": self._union,
            "tagged-union": self._union,
            "model": self._model if models else _response_only,
            "is-instance": _response_only,
        }

    def faults(self, value: Any) -> tuple[SchemaFault, ...]:
        """Say where a JSON value does not fit; empty when it fits.

        Of the members of a union, the faults of the nearest one are told: the one with the right tag.
        """
        return tuple(self._check(value, self._root, ()))

    def _check(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        node = self._resolve(node)
        if node["type"] in _SCALARS:
            return _scalar(value, node, path)
        check = self._checks.get(node["type"])
        return check(value, node, path) if check else []  # `any`, and validators without a schema

    def _resolve(self, node: Node) -> Node:
        while True:
            kind = node["type"]
            if kind == "definition-ref":
                node = self._definitions[node["schema_ref"]]
            elif kind == "chain":
                node = node["steps"][-1]
            elif kind in _INNER:
                node = node[_INNER[kind]]
            else:
                return node

    def _nullable(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        return [] if value is None else self._check(value, node["schema"], path)

    def _array(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        if not isinstance(value, list):
            return [_wrong_kind(path, "an array", value)]
        inner: Node = node.get("items_schema") or {"type": "any"}
        return [
            f for i, item in enumerate(as_list(value)) for f in self._check(item, inner, (*path, i))
        ]

    def _mapping(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        if not isinstance(value, dict):
            return [_wrong_kind(path, "an object", value)]
        entries = as_object(value)
        inner: Node = node.get("values_schema") or {"type": "any"}
        return [f for key, item in entries.items() for f in self._check(item, inner, (*path, key))]

    def _model(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        inner = node["schema"]
        while inner["type"] != "model-fields":
            inner = inner["schema"]
        fields = {
            name: {"schema": field["schema"], "required": field["schema"]["type"] != "default"}
            for name, field in inner["fields"].items()
        }
        return self._object(value, {"fields": fields}, path)

    def _object(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        if not isinstance(value, dict):
            return [_wrong_kind(path, "an object", value)]
        keys = {self._spelled(key): key for key in as_object(value)}
        entries = {spelled: as_object(value)[key] for spelled, key in keys.items()}
        fields: Mapping[str, Node] = {
            f.get("validation_alias") or k: f for k, f in node["fields"].items()
        }
        wrong_tag = self._wrong_tag(entries, fields, path)
        if wrong_tag:
            return wrong_tag
        faults: list[SchemaFault] = []
        for key, field in fields.items():
            if key in entries:
                faults += self._check(entries[key], field["schema"], (*path, keys[key]))
            elif field.get("required", node.get("total", True)):
                faults.append(SchemaFault((*path, key), "missing", "field required"))
        if not _allows_more(node):
            faults += [
                SchemaFault((*path, keys[key]), "unknown", "extra inputs are not permitted")
                for key in entries
                if key not in fields
            ]
        return faults

    def _wrong_tag(
        self, entries: Mapping[str, Any], fields: Mapping[str, Node], path: Path
    ) -> list[SchemaFault]:
        """Stop at a tag that belongs to another member: its other keys would only be noise."""
        for tag in TAGS:
            if tag not in fields or tag not in entries:
                continue
            faults = self._check(entries[tag], fields[tag]["schema"], (*path, tag))
            if faults:
                return [SchemaFault(f.path, "tag", f.message) for f in faults]
        return []

    def _union(self, value: Any, node: Node, path: Path) -> list[SchemaFault]:
        choices = node["choices"]
        members = list(as_object(choices).values()) or as_list(choices)
        nearest: list[SchemaFault] | None = None
        for member in members:
            faults = self._check(value, _unlabelled(member), path)
            if not faults:
                return []
            if nearest is None or _distance(faults, path) < _distance(nearest, path):
                nearest = faults
        return nearest or []


def _nodes(root: Any) -> Iterator[Node]:
    stack = [root]
    while stack:
        here = stack.pop()
        if isinstance(here, dict):
            entries = as_object(here)
            if isinstance(entries.get("type"), str):
                yield entries
            stack.extend(entries.values())
        elif isinstance(here, list | tuple):
            stack.extend(here)  # pyright: ignore[reportUnknownArgumentType]  # a schema


def _distance(faults: list[SchemaFault], path: Path) -> tuple[bool, bool, int]:
    """How far a value is from a member of a union: another kind of value, another tag, number of faults."""
    return (
        any(f.path == path for f in faults),
        any(
            f.kind in ("tag", "missing") and f.path[:-1] == path and f.path[-1] in TAGS
            for f in faults
        ),
        len(faults),
    )


def _unlabelled(member: Any) -> Node:
    """A member of a union may come with a label."""
    return as_object(member) or as_object(member[0])


def _allows_more(node: Node) -> bool:
    config: Mapping[str, Any] = node.get("config") or {}
    return "allow" in (config.get("extra_fields_behavior"), node.get("extra_behavior"))


def _literal(value: Any, node: Node, path: Path) -> list[SchemaFault]:
    allowed: Sequence[Any] = node["expected"]
    if any(type(value) is type(one) and value == one for one in allowed):
        return []
    return [SchemaFault(path, "value", f"expected one of {list(allowed)!r}, got {_short(value)}")]


def _scalar(value: Any, node: Node, path: Path) -> list[SchemaFault]:
    wanted, types = _SCALARS[node["type"]]
    if isinstance(value, bool) and bool not in types:  # a bool is an int in Python, and not in JSON
        return [_wrong_kind(path, wanted, value)]
    return [] if isinstance(value, types) else [_wrong_kind(path, wanted, value)]


def _response_only(value: Any, node: Node, path: Path) -> list[SchemaFault]:
    name = getattr(node.get("cls"), "__name__", "object")
    return [
        SchemaFault(path, "kind", f"expected a request object, got {_short(value)}, as of {name}")
    ]


def _wrong_kind(path: Path, wanted: str, value: Any) -> SchemaFault:
    return SchemaFault(path, "kind", f"expected {wanted}, got {_short(value)}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
