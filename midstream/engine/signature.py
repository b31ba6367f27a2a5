"""Reading a callable: its annotations, and whether it is to be awaited; partials and callable objects included."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, get_type_hints


def annotations_of(function: Callable[..., Any]) -> Mapping[str, Any]:
    """Return the annotations as types; one that names what exists for type checkers only is left out."""
    if isinstance(function, partial):
        return annotations_of(function.func)
    if not inspect.isroutine(function):
        function = type(function).__call__
    names = getattr(inspect.unwrap(function), "__globals__", {})
    found: dict[str, Any] = {}
    for name, written in getattr(function, "__annotations__", {}).items():
        alone = type(name, (), {"__annotations__": {name: written}})
        with suppress(NameError, TypeError, AttributeError):
            found |= get_type_hints(alone, globalns=names, include_extras=True)
    return found


def is_async(function: Callable[..., Any]) -> bool:
    """Say whether calling it makes a coroutine."""
    call: Any = getattr(function, "__call__", None)  # noqa: B004  # asked for its kind, not whether it is there
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)
