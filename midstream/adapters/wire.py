"""JSON as the providers speak it: bytes for digests, arguments of calls, and texts that are no valid Unicode."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, TypeGuard

import orjson

from midstream.errors import ConversionError

_long_number = re.compile("[0-9](?:[0-9]{14}|[eE][+-]?[0-9]{3})").search
"""Finds numbers of which the fast parser may change the form or the value."""
_ONLY_TEXTS = frozenset((str,))
_SAME_TEXT = frozenset((str, int, bool, type(None)))
"""Types of values that both encoders write alike; they differ in the form of floats."""
_SURROGATE = re.compile("[\ud800-\udfff]")
_GIVE = "give what a parser of JSON returns"
INVALID = "_invalid_arguments"
"""The key under which arguments that are no JSON object are told to a provider that takes only objects."""


def encode(value: Any) -> bytes:
    """Return the value as JSON, also where it holds integers or depths that the fast encoder refuses."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


quick: Callable[[Any], bytes] = orjson.dumps
"""Returns a value as JSON; raises TypeError where it holds half a character, or an integer or a depth that is too much for it."""


def arguments_object(text: str) -> dict[str, Any] | None:
    """Return the arguments of a call as an object that can be sent as JSON, or None; no arguments at all are `{}`.

    Numbers keep their form: 1.0 stays a float, and an integer of any length stays exact.
    """
    try:
        read: dict[str, Any] = orjson.loads(text or "{}")
    except orjson.JSONDecodeError:
        pass  # the other parser reads more
    else:
        if read.__class__ is not dict:
            return None
        for value in read.values():
            if type(value) is not str:
                if _long_number(text) is not None:
                    break
                return read
        else:
            return read
    try:
        value = json.loads(text or "{}", parse_constant=_refuse)
        json.dumps(value, allow_nan=False)
    except (ValueError, RecursionError):
        return None
    return value if is_object(value) else None


def arguments_text(value: Any) -> str:
    """Return an object as the text of arguments: one fixed form, with the keys in their order."""
    if is_object(value) and _SAME_TEXT.issuperset(map(type, value.values())):
        try:
            return orjson.dumps(value).decode()
        except TypeError:
            pass  # half a character, or an integer that only the other encoder takes
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def unwrapped(arguments: str) -> str:
    """Return arguments as the model wrote them, where they had been put into an object; see `INVALID`."""
    if INVALID not in arguments:
        return arguments
    found = arguments_object(arguments)
    given = found.get(INVALID) if found is not None and len(found) == 1 else None
    return given if isinstance(given, str) else arguments


def without_surrogates(value: Any) -> Any:
    """Return the value with U+FFFD in the place of each half character.

    Both providers refuse them; cutting a text by code units or bytes makes them.
    """
    if isinstance(value, str):
        return _SURROGATE.sub("\ufffd", value)
    if is_object(value):
        return {without_surrogates(key): without_surrogates(item) for key, item in value.items()}
    if is_array(value):
        return [without_surrogates(item) for item in value]
    return value


def is_object(value: Any) -> TypeGuard[dict[str, Any]]:
    """Tell whether a value that came as JSON is an object."""
    return isinstance(value, dict)


def is_array(value: Any) -> TypeGuard[list[Any]]:
    """Tell whether a value that came as JSON is an array."""
    return isinstance(value, list)


def copy_of_json(value: Any, where: str) -> Any:
    """Return a copy of JSON, which shares nothing with it that could be changed.

    Args:
        value: What should be JSON.
        where: What it is, as in `request`; for the error.

    Raises:
        ConversionError: Something in it is none; says where.
    """
    if value is None or isinstance(value, str | int | float):
        return value
    if is_array(value):
        return [copy_of_json(item, f"{where}[{place}]") for place, item in enumerate(value)]
    if not is_object(value):
        raise ConversionError(f"{where} is {type(value).__name__}, which JSON has not; {_GIVE}")
    for key in value:
        if not isinstance(key, str):  # pyright: ignore[reportUnnecessaryIsInstance]  # whoever calls
            raise ConversionError(f"{where} has the key {key!r}, which is no text; {_GIVE}")
    return {key: copy_of_json(item, f"{where}.{key}") for key, item in value.items()}


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is not JSON")
