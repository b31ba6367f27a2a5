"""Conversations follow causality, and are recorded by what is new in them."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from midstream import Context, Event, Graph, Message, Run, tool
from midstream.events.content import ToolCall, assistant
from tests.conftest import MakeEngine
from tests.engine.stage import calling


class Listener:
    """A model that remembers what it was told, and answers with what it was asked."""

    def __init__(self) -> None:
        self.heard: dict[str, list[str]] = {}

    def __call__(self, messages: Sequence[Message]) -> str:
        self.heard[messages[-1].text] = [message.text for message in messages]
        return f"re {messages[-1].text}"


async def listened(make_engine: MakeEngine, graph: Graph) -> tuple[Listener, Run]:
    listener = Listener()
    engine = await make_engine(models={"m": listener}, model="m")
    run = await engine.start(graph)
    await run
    return listener, run


async def requests(run: Run) -> list[Event]:
    return [event async for event in run.events() if event.type == "model.requested"]


def branching() -> Graph:
    graph = Graph("branching")

    @graph.node
    async def top(ctx: Context) -> None:
        await ctx.llm("top")

    @graph.node(after=["top"])
    async def left(ctx: Context) -> None:
        await ctx.llm("left")

    @graph.node(after=["top"])
    async def silent() -> None: ...

    @graph.node(after=["silent"])
    async def right(ctx: Context) -> None:
        await ctx.llm("right")

    @graph.node(after=["left", "right"])
    async def join(ctx: Context) -> None:
        await ctx.llm("join")
        await ctx.llm("again")
        await ctx.llm("alone", thread=None)

    return graph


async def test_a_node_sees_what_its_ancestors_said_and_not_a_parallel_branch(
    make_engine: MakeEngine,
) -> None:
    heard = (await listened(make_engine, branching()))[0].heard
    assert heard["left"] == ["top", "re top", "left"]
    assert heard["right"] == ["top", "re top", "right"]


async def test_a_join_begins_with_the_first_parents_whole_conversation(
    make_engine: MakeEngine,
) -> None:
    heard = (await listened(make_engine, branching()))[0].heard
    assert heard["join"] == ["top", "re top", "left", "re left", "right", "re right", "join"]
    assert heard["again"] == [*heard["join"], "re join", "again"]


async def test_no_thread_is_no_history(make_engine: MakeEngine) -> None:
    heard = (await listened(make_engine, branching()))[0].heard
    assert heard["alone"] == ["alone"]


async def test_a_named_thread_is_shared_by_whoever_names_it(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def one(ctx: Context) -> None:
        await ctx.llm("one", thread="t")
        await ctx.llm("other", thread="u")

    @graph.node(after=["one"])
    async def two(ctx: Context) -> None:
        await ctx.llm("two", thread="t")

    heard = (await listened(make_engine, graph))[0].heard
    assert heard["two"] == ["one", "re one", "two"]
    assert heard["other"] == ["other"]


async def test_branches_of_a_node_do_not_hear_each_other_and_what_follows_hears_all(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node
    async def act(ctx: Context) -> None:
        await ctx.llm("first")

        async def branch(name: str) -> None:
            await ctx.llm(name)
            await ctx.llm(f"{name} more")

        await asyncio.gather(branch("a"), branch("b"))
        await ctx.llm("after")

    heard = (await listened(make_engine, graph))[0].heard
    assert heard["a more"] == ["first", "re first", "a", "re a", "a more"]
    assert heard["b"] == ["first", "re first", "b"]
    assert sorted(heard["after"]) == sorted(
        ["first", "re first", "after"]
        + [text for name in ("a", "b") for text in (name, f"re {name}")]
        + [text for name in ("a more", "b more") for text in (name, f"re {name}")]
    )


async def test_only_what_changed_of_instruction_and_tools_is_recorded(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    def look() -> int:
        return 1

    graph = Graph("g")

    @graph.node
    async def act(ctx: Context) -> None:
        await ctx.llm("0", system="brief", tools=[look])
        await ctx.llm("1", system="brief", tools=[look])
        await ctx.llm("2", tools=[look])
        await ctx.llm("3", system="long", tools=[look])
        await ctx.llm("4", system="long")

    _, run = await listened(make_engine, graph)
    data = [event.data for event in await requests(run)]
    assert [one.get("system") for one in data] == ["brief", None, None, "long", None]
    told = [None if one.get("tools") is None else len(one["tools"]) for one in data]
    assert told == [1, None, None, None, 0]
    assert [len(one["messages"]) for one in data] == [1] * 5


async def test_the_log_grows_by_the_same_bytes_each_turn(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def talk(ctx: Context) -> None:
        for n in range(100, 140):
            await ctx.llm(f"turn {n}", system="be brief")

    engine = await make_engine(models={"m": lambda messages: "x" * 100}, model="m")
    run = await engine.start(graph)
    await run
    asked = [len(event.body) for event in await requests(run)]
    assert set(asked[2:]) == {asked[1]}


async def test_a_long_tool_loop_grows_by_the_same_bytes_each_turn(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    def look() -> int:
        return 1

    def model(messages: Sequence[Message]) -> Any:
        if len(messages) > 30:
            return assistant("done")
        return calling(ToolCall(id=f"c{100 + len(messages)}", name="look"))

    graph = Graph("g")

    @graph.node
    async def loop(ctx: Context) -> None:
        await ctx.llm("go", tools=[look], max_turns=50)

    engine = await make_engine(models={"m": model}, model="m")
    run = await engine.start(graph)
    await run
    # An address has the turn's number: a digit more from the tenth on, in itself and in the parent that is named.
    sizes = [len(event.body) for event in await requests(run)]
    assert max(sizes[2:]) - min(sizes[2:]) <= 1


async def test_the_neutral_conversation_is_told_as_it_was(make_engine: MakeEngine) -> None:
    listener, run = await listened(make_engine, branching())
    told = await run.messages(step="join#1")
    assert [message.text for message in told] == ["alone", "re alone"]
    joined = next(
        event
        for event in await requests(run)
        if event.data["messages"][0]["parts"][0]["text"] == "again"
    )
    told = await run.messages(step=joined.address)
    assert [message.text for message in told] == [*listener.heard["again"], "re again"]
