"""Whether a value is what a JSON Schema asks for, and where it is not: for answers that come from other processes.

Where the schema was made from a Python type, pydantic converts the value afterwards; but whoever takes an answer in may
have nothing but the log. Keywords that are not known here ask for nothing.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from midstream.adapters.wire import is_object

_TYPES: Mapping[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "null": (type(None),),
    "array": (list, tuple),
    "object": (dict,),
}
_BOUNDS = (
    ("minimum", "at least", operator.ge),
    ("maximum", "at most", operator.le),
    ("exclusiveMinimum", "more than", operator.gt),
    ("exclusiveMaximum", "less than", operator.lt),
)
_DEEPEST = 64


def misfits(schema: Mapping[str, Any], value: Any, path: str = "value") -> tuple[str, ...]:
    """Return where and how the value does not fit, in words; empty where it does.

    Args:
        schema: JSON Schema, with references into itself.
        value: Plain JSON data.
        path: How the value is named.
    """
    return tuple(_Checker(schema).misfits(schema, value, path, 0))


class _Checker:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def misfits(self, schema: Any, value: Any, path: str, depth: int) -> Iterator[str]:
        if schema is False or depth > _DEEPEST:
            yield f"{path}: nothing is accepted here"
        if not isinstance(schema, Mapping) or depth > _DEEPEST:
            return
        known = cast("Mapping[str, Any]", schema)
        if "$ref" in known:
            yield from self.misfits(self._resolved(known["$ref"]), value, path, depth + 1)
        kind = _kind(known.get("type"), value)
        if kind:
            yield f"{path}: {_shown(value)} is not {kind}"
            return
        yield from _values(known, value, path)
        yield from self._choices(known, value, path, depth)
        match value:
            case str():
                yield from _texts(known, value, path)
            case bool():
                pass
            case int() | float():
                yield from _numbers(known, value, path)
            case list() | tuple():
                yield from self._items(known, cast("Sequence[Any]", value), path, depth)
            case dict():
                yield from self._properties(known, cast("dict[str, Any]", value), path, depth)
            case _:
                pass

    def _resolved(self, reference: str) -> Any:
        target: Any = self._root
        for step in reference.removeprefix("#").strip("/").split("/"):
            if step:
                name = step.replace("~1", "/").replace("~0", "~")
                inside: Mapping[str, Any] = target if is_object(target) else {}
                target = inside.get(name)
        return target

    def _fits(self, schema: Any, value: Any, depth: int) -> bool:
        return next(self.misfits(schema, value, "", depth + 1), None) is None

    def _choices(
        self, schema: Mapping[str, Any], value: Any, path: str, depth: int
    ) -> Iterator[str]:
        for part in schema.get("allOf", ()):
            yield from self.misfits(part, value, path, depth + 1)
        for key in ("anyOf", "oneOf"):
            branches = schema.get(key)
            if branches is None:
                continue
            fitting = sum(self._fits(branch, value, depth) for branch in branches)
            if fitting == 0:
                yield f"{path}: {_shown(value)} is none of the {len(branches)} accepted forms"
            elif fitting > 1 and key == "oneOf":
                yield f"{path}: {_shown(value)} is more than one of forms that exclude each other"
        if "not" in schema and self._fits(schema["not"], value, depth):
            yield f"{path}: {_shown(value)} is what is excluded"

    def _items(
        self, schema: Mapping[str, Any], value: Sequence[Any], path: str, depth: int
    ) -> Iterator[str]:
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            yield f"{path}: {len(value)} items, where {least} to {most} are accepted"
        first = schema.get("prefixItems", ())
        for place, item in enumerate(value):
            part = first[place] if place < len(first) else schema.get("items", True)
            yield from self.misfits(part, item, f"{path}[{place}]", depth + 1)

    def _properties(
        self, schema: Mapping[str, Any], value: Mapping[str, Any], path: str, depth: int
    ) -> Iterator[str]:
        for name in schema.get("required", ()):
            if name not in value:
                yield f"{path}.{name}: it is missing"
        properties = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        for name, item in value.items():
            if name in properties:
                yield from self.misfits(properties[name], item, f"{path}.{name}", depth + 1)
            elif others is False:
                known = ", ".join(properties) or "none"
                yield f"{path}.{name}: there is no such property; there are: {known}"
            else:
                yield from self.misfits(others, item, f"{path}.{name}", depth + 1)


def _kind(wanted: Any, value: Any) -> str:
    """Return the kind that the value should be of, where it is not."""
    names: list[str] = [wanted] if isinstance(wanted, str) else list(wanted or ())
    if not names or any(_is(name, value) for name in names):
        return ""
    return " or ".join(names)


def _is(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return name == "boolean"
    if name == "integer" and isinstance(value, float):
        return value.is_integer()
    return isinstance(value, _TYPES.get(name, (object,)))


def _values(schema: Mapping[str, Any], value: Any, path: str) -> Iterator[str]:
    if "const" in schema and not _same(schema["const"], value):
        yield f"{path}: {_shown(value)} is not {_shown(schema['const'])}"
    if "enum" in schema and not any(_same(one, value) for one in schema["enum"]):
        yield f"{path}: {_shown(value)} is none of {', '.join(_shown(one) for one in schema['enum'])}"


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _texts(schema: Mapping[str, Any], value: str, path: str) -> Iterator[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", len(value))
    if not least <= len(value) <= most:
        yield f"{path}: {len(value)} characters, where {least} to {most} are accepted"
    pattern = schema.get("pattern")
    if pattern is not None and not _matches(pattern, value):
        yield f"{path}: {_shown(value)} does not match {pattern!r}"


def _matches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:  # of another dialect; the one who made the schema checks it
        return True


def _numbers(schema: Mapping[str, Any], value: float, path: str) -> Iterator[str]:
    for key, words, holds in _BOUNDS:
        bound = schema.get(key)
        if bound is not None and not holds(value, bound):
            yield f"{path}: {value} is not {words} {bound}"
    step = schema.get("multipleOf")
    if step and abs(value / step - round(value / step)) > 1e-9:
        yield f"{path}: {value} is not a multiple of {step}"


def _shown(value: Any) -> str:
    return f"{value!r:.80}"
