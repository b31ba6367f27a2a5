"""Values for parameters: taken from the log, checked against annotations."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from midstream import From, Graph
from midstream.errors import GraphError, RunFailedError
from tests.conftest import MakeEngine
from tests.engine.stage import history, types


class City(BaseModel):
    name: str
    people: int


class Size(Enum):
    SMALL = "small"


def odd_city() -> dict[str, Any]:
    return {"name": "Tokyo", "people": "many"}


def city() -> City:
    return City(name="Tokyo", people=37)


async def test_a_model_that_a_node_returns_is_a_model_again_in_the_next(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")
    graph.add_node("city", city)

    @graph.node
    def people(city: City) -> int:
        return city.people

    engine = await make_engine()
    assert await (await engine.start(graph)) == 37


async def test_inputs_are_checked_against_their_annotations(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    def kinds(city: City, when: datetime, size: Size, words: set[str]) -> list[str]:
        return [type(value).__name__ for value in (city, when, size, words)]

    engine = await make_engine()
    run = await engine.start(
        graph, city=city(), when=datetime(2026, 1, 1, tzinfo=UTC), size=Size.SMALL, words={"a"}
    )
    assert await run == ["City", "datetime", "Size", "set"]


async def test_a_value_that_does_not_fit_fails_the_node_and_names_the_place(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")
    graph.add_node("city", odd_city)

    @graph.node
    def people(city: City) -> int:
        return city.people

    engine = await make_engine()
    with pytest.raises(RunFailedError, match=r"'city' of node 'people' wants .*at people") as told:
        await (await engine.start(graph))
    assert [(one.node, one.kind) for one in told.value.failures] == [("people", "bad_value")]  # type: ignore[attr-defined]


async def test_metadata_of_an_annotation_is_obeyed_beside_from(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("number", lambda: -1)

    @graph.node
    def root(of: Annotated[int, From("number"), Field(ge=0)]) -> int:
        return of

    engine = await make_engine()
    with pytest.raises(RunFailedError, match="greater than or equal to 0"):
        await (await engine.start(graph))


async def test_a_default_stands_in_for_an_input_that_was_not_given(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("shown", lambda size=3: size)
    engine = await make_engine()
    assert await (await engine.start(graph)) == 3
    assert await (await engine.start(graph, size=4)) == 4


class Opaque:
    """A class that pydantic knows nothing about."""


async def test_a_type_that_pydantic_does_not_know_takes_the_value_as_it_is(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node
    def taken(value: Opaque) -> str:
        return type(value).__name__

    engine = await make_engine()
    assert await (await engine.start(graph, value=1)) == "int"


def growing(source: list[int]) -> list[int]:
    source.append(1)
    return source


def growing_untyped(source) -> list[int]:  # type: ignore[no-untyped-def]  # that is the point
    source.append(1)
    return source  # type: ignore[no-any-return]  # a list


def growing_plain(source: list) -> list[int]:  # type: ignore[type-arg]  # that is the point
    source.append(1)
    return source


def nothing() -> list[int]:
    return []


@pytest.mark.parametrize("grow", [growing, growing_untyped, growing_plain])
async def test_a_node_that_changes_its_argument_changes_it_for_nobody_else(
    make_engine: MakeEngine, grow: Callable[[Any], Any]
) -> None:
    graph = Graph("g")
    graph.add_node("source", nothing)
    graph.add_node("one", grow, pure=True, output=True)
    graph.add_node("other", lambda source: source, after=["one"], output=True)
    engine = await make_engine()
    assert await (await engine.start(graph)) == {"one": [1], "other": []}


async def test_inputs_are_refused_before_anything_is_recorded(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("greet", lambda name: name)
    engine = await make_engine()
    with pytest.raises(GraphError, match="missing"):
        await engine.start(graph, run_id="r")
    with pytest.raises(GraphError, match="no node takes"):
        await engine.start(graph, run_id="r", name="x", age=1)
    assert not await engine.runs()


async def test_each_marked_node_is_in_the_output_by_name(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    graph.add_node("a", lambda: 1, output=True)
    graph.add_node("b", lambda a: a + 1, output=True)
    graph.add_node("c", lambda b: b + 1)
    engine = await make_engine()
    run = await engine.start(graph)
    assert await run == {"a": 1, "b": 2}
    assert types(await history(run)).count("node.completed") == 3
