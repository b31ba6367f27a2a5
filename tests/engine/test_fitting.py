"""Whether a value is what a JSON Schema asks for: what pydantic writes fits its schema, and each keyword refuses something."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter

from midstream.engine.fitting import misfits


class Stop(BaseModel):
    name: str
    minutes: Annotated[int, Field(ge=0, le=600)] = 10
    tags: list[str] = Field(default_factory=list)
    inner: Stop | None = None


class Trip(BaseModel):
    kind: Literal["day", "night"]
    stops: tuple[Stop, ...]
    price: float | None
    extra: dict[str, int]


def stops() -> st.SearchStrategy[Stop]:
    plain = st.builds(Stop, name=st.text(), minutes=st.integers(0, 600), tags=st.lists(st.text()))
    return st.recursive(plain, lambda inner: st.builds(Stop, name=st.text(), inner=inner))


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    st.builds(
        Trip,
        kind=st.sampled_from(["day", "night"]),
        stops=st.lists(stops(), max_size=3).map(tuple),
        price=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        extra=st.dictionaries(st.text(), st.integers()),
    )
)
def test_what_a_model_writes_fits_its_schema(trip: Trip) -> None:
    assert misfits(Trip.model_json_schema(), trip.model_dump(mode="json")) == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(-1e6, 1e6) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
)
TYPES: tuple[Any, ...] = (str, int, bool, float, list[int], dict[str, str], Literal["b", "a"], None)


@given(st.sampled_from(TYPES), JSON)
def test_what_does_not_fit_is_refused_by_pydantic_too(kind: Any, value: Any) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    if not misfits(adapter.json_schema(), value):
        adapter.validate_python(value)


@pytest.mark.parametrize(
    ("schema", "value", "found"),
    [
        ({"type": "string"}, 1, "value: 1 is not string"),
        ({"type": ["string", "null"]}, 1, "string or null"),
        ({"type": "integer"}, True, "value: True is not integer"),
        ({"type": "integer"}, 1.5, "1.5 is not integer"),
        ({"const": 1}, True, "True is not 1"),
        ({"enum": ["a", "b"]}, "c", "'c' is none of 'a', 'b'"),
        ({"minLength": 2}, "a", "1 characters"),
        ({"maxLength": 1}, "ab", "2 characters"),
        ({"pattern": "^a+$"}, "b", "does not match '^a+$'"),
        ({"minimum": 1}, 0, "at least 1"),
        ({"maximum": 1}, 2, "at most 1"),
        ({"exclusiveMinimum": 1}, 1, "more than 1"),
        ({"exclusiveMaximum": 1}, 1, "less than 1"),
        ({"multipleOf": 0.1}, 0.25, "multiple of 0.1"),
        ({"minItems": 1}, [], "0 items"),
        ({"items": {"type": "null"}}, [None, 1], "value[1]: 1 is not null"),
        ({"prefixItems": [{"const": 1}], "items": False}, [1, 2], "value[1]: nothing is accepted"),
        ({"required": ["a"]}, {}, "value.a: it is missing"),
        ({"properties": {"a": {}}, "additionalProperties": False}, {"b": 1}, "there are: a"),
        ({"additionalProperties": {"type": "null"}}, {"b": 1}, "value.b: 1 is not null"),
        ({"anyOf": [{"type": "null"}, {"const": 1}]}, 2, "none of the 2 accepted forms"),
        ({"oneOf": [{"type": "integer"}, {"const": 1}]}, 1, "exclude each other"),
        ({"allOf": [{"type": "integer"}, {"minimum": 3}]}, 1, "at least 3"),
        ({"not": {"const": 1}}, 1, "is what is excluded"),
        ({"$ref": "#/$defs/a~1b", "$defs": {"a/b": {"const": 1}}}, 2, "2 is not 1"),
        ({"$ref": "#"}, 1, "nothing is accepted here"),
    ],
)
def test_each_keyword_refuses_with_the_place(
    schema: dict[str, Any], value: Any, found: str
) -> None:
    assert found in "; ".join(misfits(schema, value))


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, object),
        ({"type": "number"}, 1),
        ({"type": "integer"}, 2.0),
        ({"pattern": "(?P<"}, "a pattern of another dialect"),
        ({"unheard": "of"}, None),
        ({"oneOf": [{"type": "null"}, {"const": 1}]}, 1),
    ],
)
def test_what_asks_for_nothing_takes_everything(schema: dict[str, Any], value: Any) -> None:
    assert misfits(schema, value) == ()
