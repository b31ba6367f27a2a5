"""Reading JSON without losing digits."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.events.json_text import read_json

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab0"), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES, st.booleans())
def test_what_was_written_is_read_to_the_last_digit(value: Any, as_bytes: bool) -> None:
    text = json.dumps(value)
    found = read_json(text.encode() if as_bytes else text)
    assert repr(found) == repr(value)


@pytest.mark.parametrize("text", ["", "{", "NaN", "[Infinity]", "[1234567890123456789012345,]"])
def test_what_is_no_json_is_refused(text: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        read_json(text)


def test_a_long_integer_deeper_than_the_standard_library_reads_is_no_error() -> None:
    text = "[" * 1000 + "1234567890123456789" + "]" * 1000
    value: Any = read_json(text)
    for _ in range(1000):
        value = value[0]
    assert value == 1234567890123456789
