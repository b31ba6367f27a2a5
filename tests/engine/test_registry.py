"""What a graph's nodes can be made of by name: functions, tools, and what validates the values of either."""

from __future__ import annotations

from typing import Any

import pytest

from midstream import Context, Engine, Graph, ToolContext, tool
from midstream.engine.nodes.validating import VALIDATE, validation_of
from midstream.errors import GraphError, NodeError
from tests.engine.stage import history, types


@tool(effect="read")
async def search(query: str, most: int = 3, *, call: ToolContext) -> list[str]:
    """Look something up."""
    return [f"{query} {number} at attempt {call.attempt}" for number in range(most)]


async def test_a_registered_tool_becomes_a_node_that_records_its_call() -> None:
    graph = Graph("g")
    assert graph.register(search) is search
    assert graph.register(search) is search  # again is not another one

    @graph.node
    async def first(ctx: Context) -> str:
        ctx.add_node("found", search, args={"query": "x"}, output=True)
        return "y"

    async with Engine.memory() as engine:
        run = await engine.start(graph)
        assert await run == [f"x {number} at attempt 1" for number in range(3)]
        assert "tool.requested" in types(await history(run))


def test_a_tool_has_the_parameters_that_the_engine_does_not_fill() -> None:
    graph = Graph("g")
    graph.register(search)
    node = graph.add_node("look", "search")
    assert [p.name for p in node.free] == ["query", "most"]
    assert node.wants_context
    assert graph.name_of_function(search) == "search"
    assert graph.known_functions() == ("look", "search")


def test_another_tool_of_the_same_name_is_refused() -> None:
    graph = Graph("g")
    graph.register(search)
    with pytest.raises(GraphError, match="has another function 'search'"):
        graph.register(tool(name="search")(lambda: None))


def test_names_that_several_functions_share_are_not_among_the_known() -> None:
    graph = Graph("g")

    def one() -> int:
        return 1

    graph.add_node("a", one)
    one = lambda: 2  # noqa: E731  # a second function of another name
    one.__name__ = "one"
    graph.add_node("b", one)
    assert graph.known_functions() == ("a", "b")


def work(city: str, days: float, note: str | None, anything, ctx: Context) -> str:  # type: ignore[no-untyped-def]  # pyright: ignore[reportMissingParameterType, reportUnknownParameterType]  # a user's function
    return city


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"city": "  "}, "'city' of 'work' is blank"),
        ({"days": float("nan")}, "'days' of 'work' is nan, which is no number"),
        ({"anything": None}, "'anything' of 'work' is not there"),
        ({"note": None}, ""),
    ],
)
async def test_a_validation_refuses_what_cannot_be_meant(
    changed: dict[str, Any], problem: str
) -> None:
    graph = Graph("g")
    graph.register(work)  # pyright: ignore[reportUnknownArgumentType]  # see above
    validate = graph.function_named(f"{VALIDATE}work")
    given = {"city": "Rome", "days": 2.0, "note": "n", "anything": 1, **changed}
    if problem:
        with pytest.raises(NodeError, match=problem):
            await validate(**given)
    else:
        assert await validate(**given) == ["city", "days", "note", "anything"]


async def test_a_validation_takes_any_number_where_its_function_does() -> None:
    def count(first: str, *rest: str) -> int:
        return len(rest)

    validate = validation_of(count)
    assert await validate("a", "b") == ["value 1", "value 2"]
    with pytest.raises(NodeError, match="'value 2' of 'count' is blank"):
        await validate("a", "")


def test_what_validates_an_unknown_function_is_unknown() -> None:
    with pytest.raises(GraphError, match="there is no function 'work'"):
        Graph("g").function_named(f"{VALIDATE}work")
