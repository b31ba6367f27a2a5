"""Which values can be recorded, and where one that cannot is.

The log is JSON. A value that JSON cannot carry (NaN, a lone surrogate, an object of unknown type, a structure deeper than
a reader will take) is refused before anything is written, by an error that names the place.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, cast

from pydantic import JsonValue
from pydantic_core import PydanticSerializationError, to_jsonable_python

from midstream.errors import NotRecordableError

MAX_DEPTH = 128
"""How deep a recorded value may nest; orjson writes at most 254 levels, and an envelope has some of its own."""

MAX_INTEGER = 2**63 - 1
"""The largest integer in a recorded value: what orjson writes without loss (64 bits, signed)."""


def plain(value: Any, path: str = "value") -> JsonValue:
    """Return the value as plain JSON data, or say what in it cannot be recorded.

    Pydantic models, dataclasses, sets, tuples, dates, enums, UUIDs, paths and decimals become what pydantic's JSON mode
    makes of them. The result shares no container with the argument.

    Args:
        value: Any value.
        path: How errors name it, as in `output of node 'plan'`.

    Raises:
        NotRecordableError: Something in it is not JSON.
    """
    kind = cast("object", type(value))  # a class of its own is nothing to look into
    if kind is str:
        _check_text(value, path)
        return value  # type: ignore[no-any-return]  # its type was just compared
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]  # its type was just compared
    if kind is int or kind is float:
        return _number(value, path)
    try:
        return _copied(value, 0)
    except (_OddError, NotRecordableError):
        return _plain(value, path, 0)


class _OddError(Exception):
    """A value is not just plain JSON: it is converted, or the place in it is named that cannot be."""


def _copied(value: Any, depth: int) -> JsonValue:
    """Return what is plain JSON already, at a third of the cost of finding a place in it that is not."""
    kind = cast("object", type(value))
    if kind is str:
        return value if value.isascii() else _text(value)
    if kind is int or kind is float:
        return _number(value, "")
    if value is None or kind is bool:
        return value  # type: ignore[no-any-return]  # its type was just compared
    depth += 1
    if kind is list and depth <= MAX_DEPTH:
        return [_copied(item, depth) for item in value]
    if kind is dict and depth <= MAX_DEPTH:
        return {_text(key): _copied(item, depth) for key, item in value.items()}
    raise _OddError


def _text(value: Any) -> str:
    if type(value) is not str:
        raise _OddError
    _check_text(value, "")
    return value


def own(value: JsonValue) -> JsonValue:
    """Return plain JSON data again, in containers of its own: what user code does to them stays there."""
    if type(value) is dict:
        return {key: own(item) for key, item in value.items()}
    if type(value) is list:
        return [own(item) for item in value]
    return value


def _plain(value: Any, path: str, depth: int) -> JsonValue:
    if depth > MAX_DEPTH:
        raise NotRecordableError(
            path, f"it nests deeper than {MAX_DEPTH} levels", "flatten it, or record it as text"
        )
    match value:
        case None | bool():
            return value
        case str() if type(value) is str:
            _check_text(value, path)
            return value
        case int() | float() if type(value) in (int, float):
            return _number(value, path)
        case list() | tuple():
            items = cast("Sequence[Any]", value)  # what it holds is looked at next
            return [_plain(item, f"{path}[{i}]", depth + 1) for i, item in enumerate(items)]
        case dict() | Mapping():
            return {
                _key(key, path): _plain(item, f"{path}.{key}", depth + 1)
                for key, item in cast("Any", value).items()
            }
        case _:
            return _converted(value, path, depth)


def _converted(value: Any, path: str, depth: int) -> JsonValue:
    """Let pydantic convert one level that is no plain container, then check what came of it."""
    try:
        made = to_jsonable_python(value, inf_nan_mode="constants")
    except (PydanticSerializationError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise NotRecordableError(
            path,
            f"a value of type {type(value).__name__} is not JSON",
            "return plain data or a pydantic model, or convert it first",
        ) from error
    if type(made) is type(value):
        raise NotRecordableError(
            path, f"a value of type {type(value).__name__} is not JSON", "convert it first"
        )
    return _plain(made, path, depth)


def _number(value: float, path: str) -> float:
    if type(value) is float and not isfinite(value):
        raise NotRecordableError(
            path, f"{value!r} has no place in JSON", "use None, or a text, for what is not a number"
        )
    if type(value) is int and not -MAX_INTEGER - 1 <= value <= MAX_INTEGER:
        raise NotRecordableError(
            path, f"an integer of {value.bit_length()} bits", "record it as text"
        )
    return value


def _key(key: Any, path: str) -> str:
    if type(key) is not str:
        raise NotRecordableError(
            path, f"the key {key!r} is of type {type(key).__name__}", "use texts as keys"
        )
    _check_text(key, path)
    return key


def _check_text(text: str, path: str) -> None:
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotRecordableError(
            path,
            f"half of a surrogate pair ({text[error.start]!r}) at character {error.start}",
            'decode the bytes with errors="replace", or cut texts between characters',
        ) from error
