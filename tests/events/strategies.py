"""Arbitrary payloads of every type, made from the annotations of their fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from midstream.events.codec import INLINE
from midstream.events.payloads import PAYLOADS, Fact

TEXTS = st.text(max_size=12) | st.sampled_from(
    ["\0", "$blob", "ü" * (INLINE + 1), "x" * 600, '{"$blob":"0"}']
)
INTEGERS = st.integers(-(2**63), 2**63 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | INTEGERS | FLOATS | TEXTS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(TEXTS, inner, max_size=4)
        | st.dictionaries(st.sampled_from(["$blob", "value", "json"]), inner, max_size=3)
    ),
    max_leaves=12,
)


def values(annotation: Any) -> st.SearchStrategy[Any]:
    """Return values of a field with this annotation."""
    simple: dict[Any, st.SearchStrategy[Any]] = {
        str: TEXTS,
        int: INTEGERS,
        float: FLOATS,
        bool: st.booleans(),
        NoneType: st.none(),
        JsonValue: JSON,
    }
    if annotation in simple:
        return simple[annotation]
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return values(arguments[0])
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin in (Union, UnionType):
        return st.one_of(*map(values, arguments))
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=3).map(tuple)
    if origin in (Mapping, dict):
        return st.dictionaries(TEXTS, values(arguments[1]), max_size=3)
    assert issubclass(annotation, BaseModel), annotation
    return models(annotation)


def _later(annotation: Any) -> Callable[[], st.SearchStrategy[Any]]:
    return lambda: values(annotation)


def models(cls: type[BaseModel]) -> st.SearchStrategy[Any]:
    """Return instances of a model, any of the fields that have a default left out."""
    required: dict[str, st.SearchStrategy[Any]] = {}
    optional: dict[str, st.SearchStrategy[Any]] = {}
    for name, field in cls.model_fields.items():
        place = required if field.is_required() else optional
        place[name] = st.deferred(_later(field.annotation))
    return st.fixed_dictionaries(required, optional=optional).map(lambda data: cls(**data))


def payloads() -> st.SearchStrategy[Fact]:
    """Return payloads of every type."""
    return st.sampled_from(sorted(PAYLOADS)).flatmap(lambda tag: models(PAYLOADS[tag]))
