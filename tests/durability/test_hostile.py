"""Hostile input: each is a named error, nothing is half recorded, and the run ends or waits in a defined state."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Message, Retry, Run, tool
from midstream.errors import (
    ConfigError,
    GraphError,
    NotRecordableError,
    RunFailedError,
    RunNotFoundError,
    ToolError,
)
from midstream.events.content import ToolCall, ToolResult, assistant
from midstream.projections.run_state import RunState, fold_run
from tests.conftest import MakeEngine

TEN_MEGABYTES = "x" * 10_000_000


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


class NotJson:
    """A value of a type that nobody knows."""


LOOP: list[Any] = []
LOOP.append(LOOP)

UNRECORDABLE: dict[str, Any] = {
    "half of a surrogate pair": "\ud800",
    "a surrogate as a key": {"\udfff": 1},
    "not a number": float("nan"),
    "infinity": [float("inf")],
    "an integer of 70 bits": 1 << 70,
    "json of 10,000 levels": nested(10_000),
    "json of 129 levels": nested(129),
    "an object": NotJson(),
    "a number as a key": {1: 2},
    "bytes that are not text": b"\xff\xfe",
    "a list that holds itself": LOOP,
}

RECORDABLE: dict[str, Any] = {
    "a text with NUL": "a\x00b",
    "ten megabytes": TEN_MEGABYTES,
    "ten megabytes in a list": [TEN_MEGABYTES, {"deep": TEN_MEGABYTES}],
    "json of 120 levels": nested(120),
    "a user's own blob mark": {"$blob": "0" * 64},
    "a large blob mark": {"$blob": TEN_MEGABYTES, "json": True},
    "separators of lines": "\u2028\u2029\r\n",
    "the largest integer": 2**63 - 1,
    "nothing": None,
}


async def sound(engine: Engine, run: Run) -> RunState:
    """See that the log verifies and folds, and return where the run stands."""
    assert (await engine.verify(run.id)).sound
    return fold_run([event async for event in engine.store.read(run.id)])


def one_node(body: Callable[[Context], Awaitable[Any]]) -> Graph:
    graph = Graph("hostile")

    @graph.node
    async def do(ctx: Context) -> Any:
        return await body(ctx)

    return graph


async def ends(engine: Engine, body: Callable[[Context], Awaitable[Any]]) -> tuple[RunState, Run]:
    """Run a graph of one node to its end."""
    run = await engine.start(one_node(body))
    async with asyncio.timeout(20):
        with suppress(RunFailedError):
            await run
    return await sound(engine, run), run


@pytest.mark.parametrize("name", UNRECORDABLE)
async def test_a_tool_result_that_is_not_json_is_a_failed_tool(
    make_engine: MakeEngine, name: str
) -> None:
    @tool(effect="read")
    async def bad() -> Any:
        return UNRECORDABLE[name]

    async def use(ctx: Context) -> str:
        with pytest.raises(ToolError, match="result of 'bad'") as caught:
            await ctx.tool(bad)
        return caught.value.kind

    state, _ = await ends(await make_engine(), use)
    assert (state.status, state.output) == ("completed", "not_recordable")


@pytest.mark.parametrize("name", UNRECORDABLE)
async def test_a_node_output_that_is_not_json_is_a_failed_node(
    make_engine: MakeEngine, name: str
) -> None:
    async def give(ctx: Context) -> Any:
        return UNRECORDABLE[name]

    state, _ = await ends(await make_engine(), give)
    assert state.status == "failed"
    assert state.failed_data["do#1"]["kind"] == "not_recordable"


@pytest.mark.parametrize("name", UNRECORDABLE)
async def test_an_input_that_is_not_json_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine, name: str
) -> None:
    graph = Graph("hostile")

    @graph.node
    async def take(value: Any) -> None:
        pass

    engine = await make_engine()
    with pytest.raises(NotRecordableError, match="input 'value'"):
        await engine.start(graph, run_id="r", value=UNRECORDABLE[name])
    assert await engine.store.head(engine.run("r").id) is None


@pytest.mark.parametrize("name", UNRECORDABLE)
async def test_arguments_notes_and_prompts_that_are_not_json_are_refused_where_they_are_given(
    make_engine: MakeEngine, name: str
) -> None:
    called = False

    @tool(effect="read")
    async def take(value: Any) -> None:
        nonlocal called
        called = True

    async def use(ctx: Context) -> str:
        with pytest.raises(NotRecordableError):
            await ctx.tool(take, value=UNRECORDABLE[name])
        with pytest.raises(NotRecordableError):
            await ctx.note(UNRECORDABLE[name])
        with pytest.raises(NotRecordableError):
            await ctx.llm("hello", model="m", temperature=UNRECORDABLE[name])
        return "refused"

    engine = await make_engine(models={"m": ["hi"]})
    state, run = await ends(engine, use)
    assert (state.output, called, dict(state.calls)) == ("refused", False, {})
    with pytest.raises(NotRecordableError, match="note"):
        await run.note(UNRECORDABLE[name])


@pytest.mark.parametrize("name", RECORDABLE)
async def test_what_is_json_comes_back_as_it_was(make_engine: MakeEngine, name: str) -> None:
    value = RECORDABLE[name]

    @tool(effect="read")
    async def give() -> Any:
        return value

    async def use(ctx: Context) -> bool:
        return bool((await ctx.tool(give)) == value)

    state, _ = await ends(await make_engine(), use)
    assert (state.status, state.output) == ("completed", True)
    call = next(call for call in state.calls.values() if call.kind == "tool")
    assert (call.outcome or {}).get("result") == value


async def test_half_a_surrogate_pair_in_a_prompt_or_an_answer_is_a_named_error(
    make_engine: MakeEngine,
) -> None:
    async def ask(ctx: Context) -> str:
        with pytest.raises(NotRecordableError):
            await ctx.llm("\ud800", model="m")
        with pytest.raises(NotRecordableError):
            await ctx.llm("hello", model="m", system="\ud800")
        return (await ctx.llm("answer", model="m")).text

    def answer(messages: Sequence[Message]) -> str:
        return "\ud800"

    engine = await make_engine(models={"m": answer})
    state, _ = await ends(engine, ask)
    assert state.status == "failed"
    assert state.open_calls == {}


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ('{"place":', "bad_arguments"),
        ("[1]", "bad_arguments"),
        ('"text"', "bad_arguments"),
        ('{"place": NaN}', "bad_arguments"),
        ('{"place": "x", "extra": 1}', "bad_arguments"),
        ("{}", "bad_arguments"),
        ('{"place": 5}', "bad_arguments"),
        ('{"place": "\\ud800"}', "bad_arguments"),
        ('{"place": "x", "place_": ' + "[" * 2000 + "]" * 2000 + "}", "bad_arguments"),
        ('{"place": "x", "big": ' + "9" * 400 + "}", "bad_arguments"),
    ],
)
async def test_a_model_that_gives_broken_arguments_is_told_so_and_goes_on(
    make_engine: MakeEngine, arguments: str, kind: str
) -> None:
    called = False

    @tool(effect="unsafe")
    async def go(place: str) -> str:
        nonlocal called
        called = True
        return place

    state = await model_calls(await make_engine(models=asks("go", arguments)), go)
    failed = [call.outcome or {} for call in state.calls.values() if call.kind == "tool"]
    assert [outcome["kind"] for outcome in failed] == [kind]
    assert not called


async def test_a_model_that_asks_for_an_unknown_tool_is_told_so_and_goes_on(
    make_engine: MakeEngine,
) -> None:
    @tool
    async def go() -> None:
        pass

    state = await model_calls(await make_engine(models=asks("../etc\x00", "{}")), go)
    failed = [call.outcome or {} for call in state.calls.values() if call.kind == "tool"]
    assert [outcome["kind"] for outcome in failed] == ["unknown_tool"]


async def test_a_model_that_gives_two_calls_one_id_gets_a_result_for_each(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def go(n: int) -> int:
        return n

    calls = [ToolCall(id="same", name="go", arguments=f'{{"n":{n}}}') for n in (1, 2)]

    def answer(messages: Sequence[Message]) -> Message | str:
        return "done" if messages[-1].role == "tool" else assistant("", *calls)

    state = await model_calls(await make_engine(models={"m": answer}), go)
    results = [
        (call.outcome or {})["result"] for call in state.calls.values() if call.kind == "tool"
    ]
    assert sorted(results) == [1, 2]


def asks(name: str, arguments: str) -> dict[str, Any]:
    def answer(messages: Sequence[Message]) -> Message | str:
        last = messages[-1]
        if last.role != "tool":
            return assistant("", ToolCall(id="c", name=name, arguments=arguments))
        (result,) = (part for part in last.parts if isinstance(part, ToolResult))
        return "done" if result.is_error else "not told"

    return {"m": answer}


async def model_calls(engine: Engine, *tools: Any) -> RunState:
    async def use(ctx: Context) -> str:
        return (await ctx.llm("go", model="m", tools=tools)).text

    state, _ = await ends(engine, use)
    assert (state.status, state.output) == ("completed", "done")
    return state


async def test_a_graph_with_a_cycle_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("loop")
    graph.add_node("a", _takes("b"))
    graph.add_node("b", _takes("a"))
    await refused(await make_engine(), graph, "has a cycle: a → b → a")


async def test_a_node_parameter_that_nobody_provides_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("lonely")
    graph.add_node("a", _takes("missing"))
    await refused(await make_engine(), graph, "input 'missing' is missing")


async def test_an_input_that_no_node_takes_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("closed")
    graph.add_node("a", _takes("known"))
    await refused(
        await make_engine(), graph, "no node takes an input 'unknown'", known=1, unknown=2
    )


def _takes(name: str) -> Callable[..., Any]:
    scope: dict[str, Any] = {}
    exec(f"def function({name}): return {name}", scope)  # a parameter of any name
    return scope["function"]  # type: ignore[no-any-return]


async def refused(engine: Engine, graph: Graph, words: str, **inputs: Any) -> None:
    with pytest.raises(GraphError, match=words):
        await engine.start(graph, run_id="r", **inputs)
    with pytest.raises(RunNotFoundError):
        await engine.run("r").state()


@pytest.mark.parametrize("run_id", ["", " ", "a/b", "a\x00", "\ud800", "x" * 129, "-a"])
async def test_a_run_id_that_is_not_one_is_refused(make_engine: MakeEngine, run_id: str) -> None:
    engine = await make_engine()
    with pytest.raises(ConfigError, match="run_id"):
        await engine.start(one_node(_nothing), run_id=run_id)


async def _nothing(ctx: Context) -> None:
    pass


async def test_a_missing_key_fails_the_node_by_name_and_nothing_is_asked(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)

    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hello", model="openai:gpt-4o")).text

    state, run = await ends(await make_engine(), ask)
    assert (state.status, dict(state.open_calls)) == ("failed", {})
    with pytest.raises(RunFailedError, match="OPENAI_API_KEY"):
        await run


async def test_an_unreachable_server_is_a_failed_connection_after_its_retries(
    make_engine: MakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    retry = Retry(attempts=2, delay=0.0)

    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hello", model="openai:gpt-4o", retry=retry)).text

    state, _ = await ends(await make_engine(), ask)
    assert (state.status, dict(state.open_calls)) == ("failed", {})
    assert state.failed_data["do#1"]["kind"] == "connection"
    (call,) = state.calls.values()
    assert (call.attempt, call.status) == (2, "failed")


async def test_a_model_nobody_answers_for_fails_the_node_by_name(make_engine: MakeEngine) -> None:
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("hello", model="nobody:x")).text

    state, run = await ends(await make_engine(), ask)
    assert state.status == "failed"
    with pytest.raises(RunFailedError, match="nobody"):
        await run
