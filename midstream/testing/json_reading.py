"""Read JSON that may be anything: what is not of the wanted kind reads as empty.

The judge reads requests which the schema has already refused, and the server shows them to an answer function, so
neither may stumble over a list where an object should be.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def as_object(value: Any) -> Mapping[str, Any]:
    """The object, or an empty one."""
    return value if isinstance(value, dict) else {}  # pyright: ignore[reportUnknownVariableType]  # JSON


def as_list(value: Any) -> list[Any]:
    """The array, or an empty one."""
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]  # JSON


def as_text(value: Any) -> str:
    """The string, or an empty one."""
    return value if isinstance(value, str) else ""


def objects(value: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """The objects of an array with their indices."""
    return [(i, as_object(item)) for i, item in enumerate(as_list(value)) if isinstance(item, dict)]


def strings(
    value: Any, path: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every string in a JSON value, with its path; keys are not included."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for key, item in as_object(value).items():
            yield from strings(item, (*path, key))
    elif isinstance(value, list):
        for i, item in enumerate(as_list(value)):
            yield from strings(item, (*path, i))
