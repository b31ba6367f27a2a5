"""What is read is what validating it would have made; and what is converted shares nothing with what was given."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.adapters.as_read import read_message, read_tool
from midstream.adapters.convert import convert
from midstream.adapters.wire import arguments_object, arguments_text, copy_of_json
from midstream.errors import ConversionError
from midstream.events.content import Message, Role, Text, ToolSpec

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
JSON = st.recursive(
    SCALARS | st.text(st.characters(codec=None)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(), JSON, max_size=3)
ROLES: st.SearchStrategy[Role] = st.sampled_from(["system", "user", "assistant", "tool"])
UNSAID = st.lists(st.text(), max_size=2).map(tuple)


@given(ROLES, JSON, st.none() | st.just("openai:gpt-4o"), UNSAID)
def test_a_message_that_is_read_is_what_validating_makes(
    role: Role, native: Any, origin: str | None, unsaid: tuple[str, ...]
) -> None:
    parts = (Text(text="hello"),)
    read = read_message(role, parts, native, "anthropic", unsaid, origin)
    made = Message(
        role=role, parts=parts, native=native, dialect="anthropic", unsaid=unsaid, origin=origin
    )
    assert read == made
    assert list(read.__dict__) == list(made.__dict__)
    assert read.model_copy(update={"role": "user"}) == made.model_copy(update={"role": "user"})
    assert read.model_dump(exclude_defaults=True) == made.model_dump(exclude_defaults=True)


@given(OBJECTS, JSON, UNSAID, st.none() | st.booleans(), st.sampled_from(["json", "text"]))
def test_a_tool_that_is_read_is_what_validating_makes(
    parameters: dict[str, Any], native: Any, unsaid: tuple[str, ...], strict: Any, form: Any
) -> None:
    read = read_tool("f", "about", parameters, native, "gemini", unsaid, form=form, strict=strict)
    made = ToolSpec(
        name="f",
        description="about",
        parameters=parameters,
        native=native,
        dialect="gemini",
        unsaid=unsaid,
        form=form,
        strict=strict,
    )
    assert read == made
    assert list(read.__dict__) == list(made.__dict__)
    assert read.model_dump(exclude_defaults=True) == made.model_dump(exclude_defaults=True)


@given(JSON)
def test_arguments_have_one_form_whoever_writes_them(value: Any) -> None:
    assert arguments_text(value) == json.dumps(value, ensure_ascii=False, separators=(",", ":"))


@given(OBJECTS | st.dictionaries(st.text(), st.text()))
def test_arguments_keep_their_numbers_and_texts(value: dict[str, Any]) -> None:
    written = json.dumps(value)
    found = arguments_object(written)
    assert found == value
    assert json.dumps(found) == written


@given(JSON)
def test_a_copy_of_json_is_equal_and_shares_nothing(value: Any) -> None:
    copied = copy_of_json(value, "request")
    assert copied == value
    kept = copy.deepcopy(value)
    _spoil(copied)
    assert value == kept


def _spoil(value: Any) -> None:
    if isinstance(value, list):
        for item in value:  # pyright: ignore[reportUnknownVariableType]  # JSON
            _spoil(item)
        value.clear()
    elif isinstance(value, dict):
        for item in value.values():  # pyright: ignore[reportUnknownVariableType]  # JSON
            _spoil(item)
        value.clear()


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (("a",), "messages[0].content is tuple"),
        ([{1: "a"}], "messages[0].content[0] has the key 1, which"),
    ],
)
def test_a_request_that_is_no_json_is_refused_with_the_place(content: Any, place: str) -> None:
    request = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    with pytest.raises(ConversionError, match="which") as refused:
        convert(request, source="openai-chat", target="anthropic")
    assert place in str(refused.value)


def test_changing_what_was_converted_leaves_the_request_alone() -> None:
    block = {"type": "text", "text": "hi", "cache_control": {"type": "ephemeral"}}
    request = {"model": "claude-opus-4-8", "messages": [{"role": "user", "content": [block]}]}
    kept = copy.deepcopy(request)
    made = convert(request, source="anthropic", target="anthropic")
    made.request["messages"][0]["content"][0].clear()
    assert request == kept
