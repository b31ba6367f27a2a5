"""Schemas of answers as services can hold a model to, and the wish in each wire format."""

from __future__ import annotations

from typing import Any, Literal, Optional, Union

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from midstream import convert
from midstream.adapters import ModelResponse, Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.output import as_said
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.schema import can_be_strict
from midstream.adapters.schema_rules import ANTHROPIC, OPENAI, lowered
from midstream.engine.requests.structured import output
from midstream.events.content import Text, ToolCall, assistant, user
from midstream.testing.wire_judge import judge


class Stop(BaseModel):
    """A place to stop."""

    name: str = Field(min_length=2, description="as people call it")
    minutes: int = Field(ge=0, le=600, default=30)
    kind: Literal["sight", "meal"] = "sight"


class Trip(BaseModel):
    city: str
    stops: list[Stop]
    note: Optional[str] = None  # noqa: UP045  # as people write it
    price: Union[int, str] = 0  # noqa: UP007  # as above


class Tree(BaseModel):
    value: int
    children: list[Tree] = []


class Loose(TypedDict, total=False):
    words: list[str]


class Table(BaseModel):
    counts: dict[str, int]


TYPES: list[Any] = [Trip, Stop, Loose, list[Stop], int | str, Tree]


def strict(schema: dict[str, Any]) -> dict[str, Any]:
    found = lowered(schema, OPENAI)
    assert found is not None
    return found.schema


@pytest.mark.parametrize("kind", TYPES)
def test_a_schema_that_can_be_enforced_is_strict_by_the_rules_of_openai(kind: Any) -> None:
    told = strict(dict(output(kind).wanted.schema or {}))
    assert can_be_strict(told)
    assert strict(told) == told


def test_what_is_not_enforced_is_told_in_words() -> None:
    found = lowered(output(Trip).wanted.schema or {}, OPENAI)
    assert found is not None
    name = found.schema["$defs"]["Stop"]["properties"]["name"]
    assert name["description"] == "as people call it\n\n{minLength: 2}"
    assert any("minLength" in change for change in found.changed)
    assert any("note, price" in change for change in found.changed)


def test_names_that_nobody_knows_cannot_be_enforced() -> None:
    schema = output(Table).wanted.schema or {}
    assert lowered(schema, OPENAI) is None
    assert lowered(schema, ANTHROPIC) is None


def test_anthropic_enforces_no_recursion_and_openai_does() -> None:
    schema = output(Tree).wanted.schema or {}
    assert lowered(schema, OPENAI) is not None
    assert lowered(schema, ANTHROPIC) is None


def test_anthropic_lets_optional_fields_be_left_out() -> None:
    found = lowered(output(Trip).wanted.schema or {}, ANTHROPIC)
    assert found is not None
    assert found.schema["required"] == ["city", "stops"]
    assert found.schema["additionalProperties"] is False


@pytest.mark.parametrize("schema", [{}, {"type": "object", "properties": {"a": {}}}, {"not": {}}])
def test_a_schema_that_allows_anything_cannot_be_enforced(schema: dict[str, Any]) -> None:
    assert lowered(schema, OPENAI) is None


Schema = dict[str, Any]


def array_of(item: Schema) -> Schema:
    return {"type": "array", "items": item, "uniqueItems": True}


def either(one: Schema, other: Schema) -> Schema:
    return {"anyOf": [one, other]}


def described(schema: Schema) -> Schema:
    return {"allOf": [schema], "description": "d"}


def object_of(fields: dict[str, Schema], some: int) -> Schema:
    return {"type": "object", "properties": fields, "required": list(fields)[:some]}


def holding(inner: st.SearchStrategy[Schema]) -> st.SearchStrategy[Schema]:
    fields = st.dictionaries(st.sampled_from("abc"), inner, min_size=1)
    return st.one_of(
        st.builds(array_of, inner),
        st.builds(either, inner, inner),
        st.builds(described, inner),
        st.builds(object_of, fields, st.integers(0, 3)),
    )


def schemas() -> st.SearchStrategy[dict[str, Any]]:
    leaf: st.SearchStrategy[dict[str, Any]] = st.sampled_from(
        [{"type": "string"}, {"type": "integer", "minimum": 1}, {"enum": ["a", 1]}, {"const": "x"}]
    )
    return st.recursive(leaf, holding, max_leaves=8)


@given(schemas())
def test_lowering_again_changes_nothing(inner: dict[str, Any]) -> None:
    root = {"type": "object", "properties": {"x": inner}, "required": ["x"]}
    for rules in (OPENAI, ANTHROPIC):
        once = lowered(root, rules)
        assert once is not None
        twice = lowered(once.schema, rules)
        assert twice is not None
        assert twice.schema == once.schema


ADAPTERS: dict[str, Any] = {
    "openai": OpenAIAdapter(api_key="k"),
    "responses": ResponsesAdapter(api_key="k"),
    "anthropic": AnthropicAdapter(api_key="k"),
}
DIALECTS: dict[str, Literal["openai-chat", "anthropic"]] = {
    "openai": "openai-chat",
    "anthropic": "anthropic",
}


def asked(provider: str, model: str, kind: Any, **settings: Any) -> Any:
    adapter = ADAPTERS[provider]
    view = adapter.render(adapter.begin(model), Segment(1, (user("plan"),)))
    return adapter.request(view, {"output_schema": output(kind).setting, **settings})


@pytest.mark.parametrize(
    ("provider", "model", "way"),
    [
        ("openai", "gpt-4o", "native"),
        ("openai", "gpt-5", "native"),
        ("openai", "gpt-3.5-turbo", "output_as_tool"),
        ("openai", "o1-mini", "output_as_text"),
        ("responses", "gpt-4o", "native"),
        ("responses", "gpt-4", "output_as_tool"),
        ("responses", "o1-mini", "output_as_text"),
        ("anthropic", "claude-sonnet-4-5", "native"),
        ("anthropic", "claude-opus-4-8", "native"),
        ("anthropic", "claude-3-haiku", "output_as_tool"),
    ],
)
@pytest.mark.parametrize("kind", TYPES)
def test_a_model_is_held_to_the_form_as_well_as_it_can_be(
    provider: str, model: str, way: str, kind: Any
) -> None:
    request = asked(provider, model, kind)
    if provider in DIALECTS:
        assert judge(DIALECTS[provider], request.body) == ()
    ways = {change.kind for change in request.changes} & {"output_as_tool", "output_as_text"}
    recursive = kind is Tree and provider == "anthropic"
    if recursive:
        assert ways == {"output_as_tool"} if "fable" not in model else True
        return
    assert ways == ({way} if way != "native" else set())


def test_one_that_thinks_is_not_made_to_call_a_tool() -> None:
    request = asked("anthropic", "claude-sonnet-4", Trip, reasoning_effort="high")
    assert [change.kind for change in request.changes] == ["output_as_text"]
    assert "JSON Schema" in request.body["messages"][-1]["content"]


def test_effort_and_form_share_a_field_of_anthropic() -> None:
    body = asked("anthropic", "claude-opus-4-8", Trip, reasoning_effort="low").body
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["type"] == "json_schema"


def test_an_answer_that_came_as_a_call_is_a_text_afterwards() -> None:
    call = ToolCall(id="1", name="Trip", arguments='{"city": "Rome"}')
    other = ToolCall(id="2", name="look")
    alone = as_said(ModelResponse(assistant("hm", call), finish="tool_calls"), "Trip")
    assert alone.message.parts == (Text(text="hm"), Text(text='{"city": "Rome"}'))
    assert alone.finish == "stop"
    both = as_said(ModelResponse(assistant("", call, other), finish="tool_calls"), "Trip")
    assert both.message.tool_calls == (other,)
    assert both.finish == "tool_calls"
    assert as_said(ModelResponse(assistant("", call)), "").message.tool_calls == (call,)


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
REQUESTS: dict[str, dict[str, Any]] = {
    "openai-chat": {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "x"}],
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "answer", "schema": FORM, "strict": True},
        },
    },
    "openai-responses": {
        "model": "gpt-4o",
        "input": [{"role": "user", "content": "x"}],
        "text": {
            "format": {"type": "json_schema", "name": "answer", "schema": FORM, "strict": True}
        },
    },
    "anthropic": {
        "model": "claude-opus-4-8",
        "max_tokens": 9,
        "messages": [{"role": "user", "content": "x"}],
        "output_config": {"format": {"type": "json_schema", "schema": FORM}},
    },
}


@pytest.mark.parametrize("source", REQUESTS)
@pytest.mark.parametrize("target", REQUESTS)
def test_the_form_goes_along_to_every_other_wire_format(source: str, target: str) -> None:
    found = convert(REQUESTS[source], source=source, target=target)
    wanted = REQUESTS[target]
    for key in ("response_format", "text", "output_config"):
        assert found.request.get(key) == wanted.get(key)
    assert not [change for change in found.losses if "format" in change.detail]


def test_any_object_goes_along_between_the_two_of_openai_and_is_told_to_anthropic_in_words() -> (
    None
):
    request = {
        "model": "gpt-4o",
        "messages": [{"role": "user", "content": "json"}],
        "response_format": {"type": "json_object"},
    }
    responses = convert(request, source="openai-chat", target="openai-responses")
    assert responses.request["text"] == {"format": {"type": "json_object"}}
    messages = convert(request, source="openai-chat", target="anthropic")
    assert [change.kind for change in messages.repairs] == ["output_as_text"]
    assert not messages.losses


def test_the_older_field_of_anthropic_is_read() -> None:
    request = {**REQUESTS["anthropic"], "output_format": {"type": "json_schema", "schema": FORM}}
    del request["output_config"]
    found = convert(request, source="anthropic", target="openai-chat")
    assert found.request["response_format"] == REQUESTS["openai-chat"]["response_format"]


@pytest.mark.parametrize("value", [7, {"name": 7}, {"name": "x", "schema": 7}])
def test_a_wish_that_is_none_is_dropped_and_said(value: Any) -> None:
    adapter = ADAPTERS["openai"]
    view = adapter.render(adapter.begin("gpt-4o"), Segment(1, (user("x"),)))
    request = adapter.request(view, {"output_schema": value})
    assert [change.kind for change in request.changes] == ["setting_dropped"]
    assert "response_format" not in request.body


def test_a_value_that_is_no_object_is_asked_for_inside_of_one() -> None:
    wanted = output(list[int])
    assert TypeAdapter(list[int]).json_schema() == wanted.wanted.schema["properties"]["value"]  # type: ignore[index]  # it has one
    assert wanted.read(assistant('{"value": [1, 2]}')) == [1, 2]
