"""Requests made from the vendors' own types: for each field and each of its variants one request that has little else.

The types are walked, not listed, so that a new release of an SDK brings its new fields along. A field is exercised by the
variants of its type; a variant that holds itself again is given once more with what it needs only.
"""

from __future__ import annotations

import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    Literal,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from pydantic import BaseModel
from typing_extensions import is_typeddict

_WRAPPED = (Annotated, Required, NotRequired)
_LISTS = (list, Iterable, Sequence, set, frozenset, tuple)
_PLAIN: dict[Any, list[Any]] = {
    str: ["text"],
    int: [1],
    float: [0.5],
    bool: [True, False],
    bytes: ["aGk="],
    object: ["anything"],
    Any: ["anything"],
    types.NoneType: [None],
}


def variants(of: Any, seen: tuple[Any, ...] = ()) -> Iterator[Any]:
    """Yield values of a type, each with one more thing in it than it needs; the first has the least."""
    of = _bare(of)
    origin, given = get_origin(of), get_args(of)
    if of in _PLAIN:
        yield from _PLAIN[of]
    elif is_typeddict(of):
        yield from _objects(of, seen)
    elif origin is Literal:
        yield from given
    elif origin in (Union, types.UnionType):
        for one in given:
            yield from variants(one, seen)
    elif origin in _LISTS:
        yield from ([one] for one in variants(given[0], seen))
        yield []
    elif origin in (dict, Mapping):
        yield from ({"key": one} for one in variants(given[1], seen))
        yield {}
    elif not (isinstance(of, type) and issubclass(of, BaseModel)):  # what has a type of its own
        yield "text"  # an enumeration, a date, or a file


def _objects(of: Any, seen: tuple[Any, ...]) -> Iterator[dict[str, Any]]:
    hints = get_type_hints(of, include_extras=True)
    least = _least(of, seen)
    if least is None:
        return
    yield least
    if of in seen:
        return
    for name, type_ in hints.items():
        for value in variants(type_, (*seen, of)):
            if least.get(name, _NOTHING) != value:
                yield {**least, name: value}


_NOTHING = object()


def _least(of: Any, seen: tuple[Any, ...]) -> dict[str, Any] | None:
    """Return an object with what it needs only, or None where it needs itself."""
    if seen.count(of) > 1:
        return None
    made: dict[str, Any] = {}
    hints = get_type_hints(of, include_extras=True)
    for name in hints:
        if name in of.__required_keys__ or get_origin(hints[name]) is Required:
            value = next(variants(hints[name], (*seen, of)), _NOTHING)
            if value is _NOTHING:
                return None
            made[name] = value
    return made


def _bare(of: Any) -> Any:
    while True:
        if type(of).__name__ == "TypeAliasType":  # of typing, or of typing_extensions
            of = of.__value__
        elif get_origin(of) in _WRAPPED:
            of = get_args(of)[0]
        else:
            return of
