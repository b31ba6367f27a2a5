"""Templates: what they give, what they depend on, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from midstream.engine.nodes.templates import (
    Expression,
    ItemExpression,
    Template,
    filled,
    templates_in,
)
from midstream.errors import GraphError, TemplateError
from tests.events.strategies import JSON

WHERE = "graph 'g': node 'plan': prompt"


def test_the_names_of_a_template_are_what_it_depends_on() -> None:
    made = Template("{% for one in facts %}{{ one.name }} of {{ city }}{% endfor %}", WHERE)
    assert made.names == ("city", "facts")


def test_a_name_that_is_asked_about_need_not_be_there() -> None:
    made = Template(
        "{{ city | default('Rome') }}{% if days is defined %}, {{ days }}{% endif %}", WHERE
    )
    assert made.names == ("city", "days")
    assert made.optional == {"city", "days"}
    assert made.text({}) == "Rome"
    assert made.text({"city": "Oslo", "days": 3}) == "Oslo, 3"


@given(value=JSON)
def test_a_single_expression_gives_the_value_itself(value: Any) -> None:
    made = Template("{{ given }}", WHERE)
    assert made.single
    assert made.value({"given": value}) == value


def test_in_a_text_a_value_that_is_no_text_stands_as_json() -> None:
    made = Template("{{ a }} and {{ b }} and {{ c }}", WHERE)
    assert (
        made.text({"a": "x", "b": [True, None], "c": {"d": "é"}})
        == 'x and [true,null] and {"d":"é"}'
    )
    assert Template("{{ b }}", WHERE).text({"b": [1]}) == "[1]"


def test_an_item_wins_over_a_method_of_the_same_name() -> None:
    assert Template("{{ order.items }}", WHERE).value({"order": {"items": [1]}}) == [1]
    assert Template("{{ order.items() | list }}", WHERE).value({"order": {"a": 1}}) == [("a", 1)]


@pytest.mark.parametrize(
    ("source", "values", "line", "said"),
    [
        (
            "one\n{{ facts.nam }}",
            {"facts": {"name": 1}},
            2,
            "no 'nam' in an object that has 'name'",
        ),
        ("{{ facts.nam }}", {"facts": {}}, 1, "no 'nam' in an object that has nothing"),
        ("\n\n{{ 1 / n }}", {"n": 0}, 3, "ZeroDivisionError"),
        ("{{ 1 / n }}", {"n": 0}, 1, "ZeroDivisionError"),
        ("{{ a.b.c }}", {"a": {}}, 1, "there is no 'b'"),
        ("{{ text.__class__ }}", {"text": "x"}, 1, "SecurityError"),
        ("{{ ''.__class__.__mro__ }}", {}, 1, "SecurityError"),
        ("{{ list.append(1) }}", {"list": []}, 1, "SecurityError"),
        ("{{ '{0.__class__}'.format(text) }}", {"text": ""}, 1, "SecurityError"),
        ("{{ range(10 ** 9) | list }}", {}, 1, "OverflowError"),
    ],
)
def test_what_cannot_be_rendered_is_told_with_its_place(
    source: str, values: dict[str, Any], line: int, said: str
) -> None:
    with pytest.raises(TemplateError, match="node 'plan': prompt") as caught:
        Template(source, WHERE).value(values)
    assert caught.value.line == line
    assert f"line {line} " in str(caught.value)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("x\n{{ a", "line 2"),
        ("{% include 'x' %}", "reads no other files"),
        ("{{ a | nonsense }}", "No filter named 'nonsense'"),
        ("{{ [1, 2] | random }}", "a replay could not repeat"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(source: str, said: str) -> None:
    with pytest.raises(GraphError, match=said):
        Template(source, WHERE)


def test_templates_are_found_in_data_and_filled() -> None:
    data = {"a": ["{{ n }}", "n", {"b": "<{{ n }}>"}], "c": 1}
    assert filled(templates_in(data, WHERE), {"n": 2}) == {"a": [2, "n", {"b": "<2>"}], "c": 1}


def test_a_condition_must_be_an_expression() -> None:
    assert Expression("{{ n > 1 }}", WHERE)(n=2) is True
    with pytest.raises(GraphError, match="gives text"):
        Expression("yes {{ n }}", WHERE)


def test_a_key_speaks_of_the_item_alone() -> None:
    assert ItemExpression("{{ item.id }}", WHERE)({"id": 7}) == 7
    with pytest.raises(GraphError, match="'city' is not known here"):
        ItemExpression("{{ city }}", WHERE)


def test_a_name_with_another_meaning_is_refused() -> None:
    with pytest.raises(GraphError, match="'class' has a meaning of its own"):
        Expression("{{ class }}", WHERE)
