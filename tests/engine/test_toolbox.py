"""Tools by name, in scopes, and the options of tools that are refused."""

from __future__ import annotations

from typing import Any

import pytest

from midstream import Context, Graph, Toolbox, tool
from midstream.errors import ConfigError
from tests.conftest import MakeEngine
from tests.engine.stage import call, calling


def search(query: str) -> str:
    """Look it up."""
    return f"found {query}"


def other(query: str) -> str:
    return f"other {query}"


def test_a_scope_sees_what_is_around_it_and_hides_what_has_its_name() -> None:
    house = Toolbox([search], name="house")
    team = house.scope("team")
    team.tool(name="search")(other)
    added = team.tool(other)
    assert house.names == ("search",)
    assert team.names == ("search", "other")
    assert team["search"].function is other
    assert house["search"].function is search
    assert list(team) == [team["search"], added]
    assert (len(team), "other" in team, "other" in house) == (2, True, False)
    assert repr(house) == "Toolbox('house': search)"


def test_some_of_the_tools_are_a_box_of_their_own() -> None:
    box = Toolbox([search, other])
    assert box.only("other").names == ("other",)
    with pytest.raises(ConfigError, match="there is no tool 'none' in 'tools'; there are: search"):
        box.only("none")


def test_a_name_stands_for_one_tool_in_a_scope() -> None:
    box = Toolbox([search])
    made = box["search"]
    assert box.add(made) is made
    with pytest.raises(ConfigError, match="has a tool 'search' already"):
        box.add(other, name="search")


async def test_a_box_is_passed_wherever_tools_are(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    box = Toolbox([tool(effect="read")(search)]).scope("inner")

    @graph.node
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("go", tools=box)).text

    def model(messages: Any) -> Any:
        told = messages[-1].parts[0]
        asked = calling(call("c", "search", '{"query":"otters"}'))
        return asked if messages[-1].role == "user" else told.text

    engine = await make_engine(models={"m": model}, model="p:m")
    assert await (await engine.start(graph)) == "found otters"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"effect": "none"}, "effect must be"),
        ({"on_error": "ignore"}, "on_error must be"),
        ({"concurrency": 0}, "concurrency must be 1 or more"),
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"confirm": True, "confirm_timeout": -1}, "confirm_timeout must be more than 0"),
        ({"editable": ["query"]}, "pass confirm=True"),
        ({"confirm": True, "editable": ["nope"]}, "there is no such parameter; there are: query"),
    ],
)
def test_a_wrong_option_of_a_tool_is_refused(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        tool(**options)(search)
