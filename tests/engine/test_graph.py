"""Graphs: what is bound by name, and what is refused before a run."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import pytest

import midstream
from midstream import Context, From, Graph, Retry
from midstream.errors import GraphError

if TYPE_CHECKING:
    from collections.abc import Mapping


def value() -> int:
    return 1


def test_a_parameter_named_like_a_node_waits_for_it() -> None:
    graph = Graph("g")
    graph.add_node("first", value)

    @graph.node
    def second(first: int) -> int:
        return first

    assert graph.definition == {"nodes": {"first": {}, "second": {"values": {"first": "first"}}}}
    assert graph.input_names == {}


def test_a_node_may_be_declared_before_the_one_it_needs() -> None:
    graph = Graph("g")

    @graph.node
    def second(first: int) -> int:
        return first

    graph.add_node("first", value)
    assert graph.input_names == {}


def test_any_other_parameter_is_an_input() -> None:
    graph = Graph("g")

    @graph.node
    def greet(name: str, greeting: str = "hello") -> str:
        return f"{greeting} {name}"

    assert graph.input_names == {"name": True, "greeting": False}


def test_an_input_is_required_where_one_node_has_no_default_for_it() -> None:
    graph = Graph("g")
    graph.add_node("a", lambda size=1: size)
    graph.add_node("b", lambda size: size)
    assert graph.input_names == {"size": True}


def test_from_names_the_node_where_the_names_differ() -> None:
    graph = Graph("g")
    graph.add_node("plan", value)

    @graph.node
    def write(outline: Annotated[int, From("plan")]) -> int:
        return outline

    assert graph.definition["nodes"]["write"] == {"values": {"outline": "plan"}}  # type: ignore[index,call-overload]


def test_from_is_read_beside_a_name_that_exists_for_type_checkers_only() -> None:
    graph = Graph("g")
    graph.add_node("plan", value)

    @graph.node
    def write(outline: Annotated[int, From("plan")], extra: Mapping[str, int]) -> int:
        return outline

    assert graph.input_names == {"extra": True}


def test_the_context_is_handed_in_by_its_type_or_its_name() -> None:
    graph = Graph("g")

    @graph.node
    async def typed(world: Context) -> None: ...

    @graph.node
    async def named(ctx) -> None: ...  # type: ignore[no-untyped-def]  # that is the point

    assert graph.input_names == {}


def test_after_takes_names_and_functions() -> None:
    graph = Graph("g")

    @graph.node
    def first() -> None: ...

    @graph.node(after=[first])
    def second() -> None: ...

    @graph.node(after=["first", second])
    def third() -> None: ...

    nodes: Any = graph.definition["nodes"]
    assert nodes["second"] == {"after": ["first"]}
    assert nodes["third"] == {"after": ["first", "second"]}


def test_the_definition_holds_every_option() -> None:
    graph = Graph("g")
    graph.add_node("n", value, output=True, pure=True, retry=Retry(2), timeout=3.0, model="p:m")
    nodes: Any = graph.definition["nodes"]
    assert nodes["n"] == {
        "output": True,
        "pure": True,
        "retry": Retry(2).data(),
        "timeout": 3.0,
        "model": "p:m",
    }


def test_a_cycle_is_named() -> None:
    graph = Graph("g")
    graph.add_node("tail", lambda b: b)
    graph.add_node("a", lambda c: c)
    graph.add_node("b", lambda a: a)
    graph.add_node("c", lambda b: b)
    with pytest.raises(GraphError, match=r"cycle: (a → c → b → a|b → a → c → b|c → b → a → c)"):
        _ = graph.definition


def test_a_node_after_itself_is_a_cycle() -> None:
    graph = Graph("g")
    graph.add_node("a", value, after=["a"])
    with pytest.raises(GraphError, match="a → a"):
        _ = graph.definition


def test_a_parameter_of_the_nodes_own_name_is_refused() -> None:
    with pytest.raises(GraphError, match="wait for itself"):
        Graph("g").add_node("a", lambda a: a)


def test_after_an_unknown_node_is_refused_with_those_there_are() -> None:
    graph = Graph("g")
    graph.add_node("a", value, after=["b"])
    with pytest.raises(GraphError, match=r"after 'b'.*there are a"):
        _ = graph.definition


def test_from_an_unknown_node_is_refused() -> None:
    graph = Graph("g")

    @graph.node
    def write(outline: Annotated[int, From("plan")]) -> int:
        return outline

    with pytest.raises(GraphError, match=r"'outline'.*From\('plan'\)"):
        _ = graph.definition


def test_an_empty_graph_is_refused() -> None:
    with pytest.raises(GraphError, match="no node"):
        _ = Graph("g").definition


def test_a_name_is_taken_once() -> None:
    graph = Graph("g")
    graph.add_node("a", value)
    with pytest.raises(GraphError, match="has a node 'a' already"):
        graph.add_node("a", value)


@pytest.mark.parametrize("name", ["", "1a", "a/b", "a#1", "a b", "ä"])
def test_a_name_that_would_not_fit_an_address_is_refused(name: str) -> None:
    with pytest.raises(GraphError, match="must begin with"):
        Graph("g").add_node(name, value)
    with pytest.raises(GraphError, match="must begin with"):
        Graph(name)


def test_a_lambda_needs_a_name() -> None:
    with pytest.raises(GraphError, match="pass name="):
        Graph("g").add_node(None, lambda: 1)


@pytest.mark.parametrize(
    "function", [lambda *a: a, lambda **k: k, lambda a, /: a], ids=["*a", "**k", "a, /"]
)
def test_a_parameter_that_cannot_be_bound_by_name_is_refused(function: Any) -> None:
    with pytest.raises(GraphError, match="cannot be bound by name"):
        Graph("g").add_node("a", function)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
@pytest.mark.parametrize("option", ["timeout", "idle_timeout", "total_timeout"])
def test_a_timeout_of_nothing_or_for_ever_is_refused(option: str, seconds: float) -> None:
    options: Any = {option: seconds}
    with pytest.raises(GraphError, match=f"{option} must be more than 0 seconds and finite"):
        Graph("g").add_node("a", value, **options)


def test_missing_and_unknown_inputs_are_refused_with_what_there_is() -> None:
    graph = Graph("g")
    graph.add_node("greet", lambda name: name)
    graph.check_inputs(["name"])
    with pytest.raises(GraphError, match="'name' is missing; it takes name"):
        graph.check_inputs([])
    with pytest.raises(GraphError, match="no node takes an input 'nmae'"):
        graph.check_inputs(["name", "nmae"])


def test_a_node_that_is_added_changes_the_digest() -> None:
    graph = Graph("g")
    graph.add_node("a", value)
    before = graph.digest
    graph.add_node("b", value)
    assert graph.digest != before


def test_two_graphs_alike_have_one_digest() -> None:
    one, other = Graph("one"), Graph("other")
    for graph in (one, other):
        graph.add_node("a", value, retry=Retry(on=frozenset("abcdef")))
    assert one.digest == other.digest


PROGRAM = """
from midstream import Graph, Retry
graph = Graph("g")
graph.add_node("a", lambda x: x, retry=Retry(on=frozenset("abcdefghij")), timeout=1.5)
graph.add_node("b", lambda a: a, after=["a"])
print(graph.digest)
"""


def test_the_digest_is_the_same_in_every_process() -> None:
    package = str(Path(midstream.__file__).parent.parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": package},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


async def add(a: int, b: int) -> int:
    await asyncio.sleep(0)
    return a + b


class Adder:
    async def __call__(self, a: int) -> int:
        return a + 1


@pytest.mark.parametrize("function", [partial(add, b=1), Adder()], ids=["partial", "object"])
def test_anything_that_can_be_called_is_a_node(function: Any) -> None:
    made = Graph("g").add_node("n", function)
    assert made.is_async
    assert made.parameters[0].source == "a"


def test_what_is_done_on_failure_is_said_for_all_nodes_that_say_nothing() -> None:
    graph = Graph("g", on_failure="reflect")
    graph.add_node("a", lambda: 1, compensate=lambda: None)
    graph.add_node("b", lambda: 1, on_failure="fail")
    assert [node.on_failure for node in graph.nodes.values()] == ["reflect", "fail", "fail"]
    with pytest.raises(GraphError, match="on_failure must be 'fail' or 'reflect', not 'skip'"):
        Graph("g", on_failure="skip")  # type: ignore[arg-type]  # the mistake
