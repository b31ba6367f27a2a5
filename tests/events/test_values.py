"""Which values can be recorded."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import pathlib
import uuid
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from midstream.errors import NotRecordableError
from midstream.events.values import MAX_DEPTH, plain
from tests.events.strategies import JSON


class Colour(enum.Enum):
    RED = "red"


class Number(enum.IntEnum):
    ONE = 1


class Model(BaseModel):
    when: dt.datetime
    price: decimal.Decimal


@dataclass
class Point:
    x: int
    y: tuple[int, ...]


ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters())
    | st.binary(max_size=4)
    | st.complex_numbers()
    | st.datetimes()
    | st.uuids()
    | st.sampled_from([object(), int, print, Colour.RED, Number.ONE, pathlib.Path("a"), ...]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(st.text(max_size=3) | st.integers(), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None)
@given(JSON)
def test_plain_data_stays_as_it_is(value: Any) -> None:
    assert plain(value) == value


@settings(max_examples=60, deadline=None)
@given(ANYTHING)
def test_every_value_is_either_made_plain_or_refused_by_name(value: Any) -> None:
    try:
        made = plain(value, "here")
    except NotRecordableError as refused:
        place = refused.path
        made = None
    else:
        place = "here"
    assert place.startswith("here")
    assert orjson.loads(orjson.dumps(made)) == made
    assert plain(made) == made


def test_nothing_is_shared_with_the_argument() -> None:
    value: dict[str, Any] = {"a": [1, {"b": 2}]}
    made = plain(value)
    value["a"][1]["b"] = 3
    assert made == {"a": [1, {"b": 2}]}


@pytest.mark.parametrize(
    ("value", "made"),
    [
        (
            Model(when=dt.datetime(2026, 1, 2, tzinfo=dt.UTC), price=decimal.Decimal("1.50")),
            {"when": "2026-01-02T00:00:00Z", "price": "1.50"},
        ),
        (Point(1, (2, 3)), {"x": 1, "y": [2, 3]}),
        ((1, (2,)), [1, [2]]),
        ({1: "no"}, None),
        (Colour.RED, "red"),
        (uuid.UUID(int=0), "00000000-0000-0000-0000-000000000000"),
        ({"p": pathlib.Path("a/b")}, {"p": "a/b"}),
    ],
)
def test_common_types_become_json(value: Any, made: Any) -> None:
    if made is None:
        with pytest.raises(NotRecordableError):
            plain(value)
    else:
        assert plain(value) == made


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ({"items": [1, float("nan")]}, "output.items[1]"),
        ({"a": {"b": "\ud800"}}, "output.a.b"),
        ([2**63], "output[0]"),
        ({"x": object()}, "output.x"),
        ({"x": {1: 2}}, "output.x"),
    ],
)
def test_the_error_names_the_place(value: Any, path: str) -> None:
    with pytest.raises(NotRecordableError) as refused:
        plain(value, "output")
    assert refused.value.path == path


@pytest.mark.parametrize("depth", [MAX_DEPTH, MAX_DEPTH + 1, 100_000])
def test_values_that_nest_too_deep_are_refused(depth: int) -> None:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    if depth <= MAX_DEPTH:
        assert plain(value) == value
        return
    with pytest.raises(NotRecordableError, match="deep"):
        plain(value)


def test_a_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = []
    value.append(value)
    with pytest.raises(NotRecordableError):
        plain(value)
