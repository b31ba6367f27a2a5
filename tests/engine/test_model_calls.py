"""Asking models: turns, tools, attempts, deadlines."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import pytest

from midstream import Context, Graph, Message, Retry, tool
from midstream.adapters.base import ModelResponse
from midstream.errors import (
    AuthenticationError,
    BadRequestError,
    RateLimitError,
    RunFailedError,
)
from midstream.events.content import ToolResult, assistant, user
from midstream.events.payloads import Cost, Usage
from tests.conftest import MakeEngine
from tests.engine.stage import (
    BEGINNING,
    Door,
    HandClock,
    JumpingClock,
    call,
    calling,
    history,
    turns,
    types,
    until,
)


def asking(*prompts: str, **options: Any) -> Graph:
    """Return a graph of one node that asks model `m` these, one after the other."""
    graph = Graph("asking")

    @graph.node
    async def ask(ctx: Context) -> list[str]:
        return [(await ctx.llm(prompt, model="m", **options)).text for prompt in prompts]

    return graph


def told(messages: Any) -> list[ToolResult]:
    """Return the results in the last message that a model was told."""
    return [part for part in messages[-1].parts if isinstance(part, ToolResult)]


async def test_an_answer_and_what_it_took_come_back(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> list[Any]:
        reply = await ctx.llm("hi", model="p:m", temperature=0.5)
        return [
            reply.text,
            reply.model,
            reply.finish,
            reply.turns,
            reply.usage.input_tokens,
            str(reply.cost),
            reply.step.startswith("ask#1/llm:"),
        ]

    answer = ModelResponse(assistant("hello"), Usage(input_tokens=7), finish="length")

    def price(provider: str, model: str, usage: Usage, at: float) -> Cost:
        return Cost(amount=f"0.00{usage.input_tokens}")

    engine = await make_engine(models={"p:m": [answer]}, pricing=price)
    run = await engine.start(graph)
    assert await run == ["hello", "p:m", "length", 1, 7, "0.007", True]
    assert (await run.usage()).total.cost == Decimal("0.007")


async def test_parallel_calls_run_side_by_side_and_are_told_in_their_order(
    make_engine: MakeEngine,
) -> None:
    order: list[int] = []
    second_done = asyncio.Event()

    @tool(effect="read")
    async def look(n: int) -> int:
        if n == 1:
            await second_done.wait()
        order.append(n)
        second_done.set()
        return n * 10

    def model(messages: Any) -> Any:
        if len(messages) == 1:
            return calling(call("a", "look", '{"n": 1}'), call("b", "look", '{"n": 2}'))
        return ",".join(f"{one.id}={one.text}" for one in told(messages))

    engine = await make_engine(models={"m": model})
    run = await engine.start(asking("go", tools=[look]))
    assert await run == ["a=10,b=20"]
    assert order == [2, 1]


async def test_intents_of_parallel_calls_are_recorded_before_any_of_them_begins(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(
        models={"m": [calling(call("a", "look"), call("b", "look")), "done"]}
    )
    seen: list[int] = []

    @tool(effect="read")
    async def look() -> None:
        state = await engine.run("r").state()
        seen.append(sum(one.kind == "tool" for one in state.calls.values()))

    await (await engine.start(asking("go", tools=[look]), run_id="r"))
    assert seen == [2, 2]


WRONG = {
    "unknown": (call("a", "lok"), "there is no tool 'lok'; there are: look"),
    "malformed": (call("a", "look", '{"n": '), "not a JSON object"),
    "no object": (call("a", "look", "[1]"), "not a JSON object"),
    "bad type": (call("a", "look", '{"n": "many"}'), "n: Input should be a valid integer"),
    "missing": (call("a", "look", "{}"), "n: Field required"),
    "too many": (call("a", "look", '{"n": 1, "m": 2}'), "m: Extra inputs are not permitted"),
    "too large": (call("a", "look", '{"n": 18446744073709551615}'), "64 bits"),
    "too deep": (call("a", "look", '{"n": ' + "[" * 200 + "]" * 200 + "}"), "deeper than"),
    "raises": (call("a", "look", '{"n": 0}'), "division by zero"),
    "not json": (call("a", "look", '{"n": -1}'), "has no place in JSON"),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
async def test_a_model_is_told_what_is_wrong_with_its_call(
    make_engine: MakeEngine, wrong: tuple[Any, str]
) -> None:
    @tool(effect="read")
    async def look(n: int) -> float:
        return float("inf") if n < 0 else 1 / n

    def model(messages: Any) -> Any:
        if len(messages) == 1:
            return calling(wrong[0])
        (result,) = told(messages)
        return f"{result.is_error} {result.text}"

    engine = await make_engine(models={"m": model})
    (text,) = await (await engine.start(asking("go", tools=[look])))
    assert text.startswith("True ")
    assert wrong[1] in text


async def test_calls_are_not_made_where_no_tools_were_given(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": [calling(call("a", "look"), text="I would")]})
    assert await (await engine.start(asking("go"))) == ["I would"]


async def test_a_model_that_never_stops_calling_ends_in_a_limit(make_engine: MakeEngine) -> None:
    @tool(effect="read")
    async def look() -> int:
        return 1

    asked: list[int] = []

    def model(messages: Any) -> Any:
        asked.append(1)
        return calling(call(f"c{len(asked)}", "look"))

    engine = await make_engine(models={"m": model})
    with pytest.raises(RunFailedError, match=r"LimitError.*after 3 turns; raise max_turns"):
        await (await engine.start(asking("go", tools=[look], max_turns=3)))
    assert len(asked) == 3


async def test_an_answer_with_calls_of_one_id_gives_each_its_own_result(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def look(n: int) -> int:
        return n

    engine = await make_engine(
        models={
            "m": [
                calling(call("x", "look", '{"n": 1}')),
                calling(call("x", "look", '{"n": 2}')),
                "done",
            ]
        }
    )
    run = await engine.start(asking("go", tools=[look]))
    assert await run == ["done"]
    results = [
        event.data["result"] for event in await history(run) if event.type == "tool.completed"
    ]
    assert results == [1, 2]


async def test_a_transient_failure_is_tried_again_when_the_provider_asks(
    make_engine: MakeEngine,
) -> None:
    clock = JumpingClock()
    limited = RateLimitError("slow down", provider="p", model="m", status=429, retry_after=90.0)
    engine = await make_engine(models={"m": [limited, "fine"]}, clock=clock)
    run = await engine.start(asking("go"))
    assert await run == ["fine"]
    failed = next(event for event in await history(run) if event.type == "model.failed")
    assert failed.data["retry_at"] == BEGINNING + 90
    assert failed.data["status"] == 429
    assert max(clock.waits) == 90.0


async def test_a_permanent_failure_is_not_tried_again(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": [AuthenticationError("no key"), "fine"]})
    run = await engine.start(asking("go"))
    with pytest.raises(RunFailedError, match="ask#1: authentication: no key"):
        await run
    assert types(await history(run)).count("model.requested") == 1


async def test_transient_failures_end_when_the_policy_is_exhausted(make_engine: MakeEngine) -> None:
    errors = [RateLimitError(f"no {n}") for n in range(3)]
    engine = await make_engine(models={"m": errors}, clock=JumpingClock())
    run = await engine.start(asking("go", retry=Retry(attempts=3)))
    with pytest.raises(RunFailedError, match="rate_limit: no 2"):
        await run


async def test_a_recorded_failure_is_the_error_it_was(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> list[Any]:
        try:
            await ctx.llm("hi", model="p:m")
        except BadRequestError as error:
            await ctx.now()
            return [
                type(error).__name__,
                error.provider,
                error.model,
                error.status,
                error.request_id,
            ]
        return []

    refused = BadRequestError("no", provider="p", model="m", status=400, request_id="q1")
    engine = await make_engine(models={"p:m": [refused]})
    assert await (await engine.start(graph)) == ["BadRequestError", "p", "m", 400, "q1"]


async def test_an_answer_that_does_not_come_in_time_is_a_timeout(make_engine: MakeEngine) -> None:
    asked: list[int] = []

    async def slow_at_first(messages: Any) -> str:
        asked.append(1)
        if len(asked) == 1:
            await asyncio.Event().wait()
        return "fine"

    engine = await make_engine(models={"m": slow_at_first}, clock=JumpingClock())
    run = await engine.start(asking("go", timeout=0.02, retry=Retry(attempts=99)))
    assert await run == ["fine"]
    failed = next(event for event in await history(run) if event.type == "model.failed")
    assert failed.data["kind"] == "timeout"


async def test_a_wait_for_a_retry_is_shared_by_both_sides_of_a_resume(
    make_engine: MakeEngine,
) -> None:
    clock, asked = HandClock(), 0

    def model(messages: Any) -> Any:
        nonlocal asked
        asked += 1
        return RateLimitError("wait", retry_after=100.0) if asked == 1 else "fine"

    graph = asking("go")
    async with make_engine(models={"m": model}, clock=clock, recover=False) as first:
        await first.start(graph, run_id="r")
        await until(lambda: clock.sleepers == 1)
    clock.advance(99)
    second = await make_engine(models={"m": model}, clock=clock, graphs=[graph], recover=False)
    run = await second.resume("r")
    await until(lambda: clock.sleepers == 1)
    await turns()
    assert asked == 1
    clock.advance(1)
    assert await run == ["fine"]


async def test_a_recorded_answer_is_never_asked_for_again(make_engine: MakeEngine) -> None:
    graph, door, asked = Graph("g"), Door(), []

    def model(messages: Any) -> str:
        asked.append(messages[-1].text)
        return f"re {messages[-1].text}"

    async def wait() -> None:
        await door()

    @graph.node
    async def ask(ctx: Context) -> list[str]:
        replies = await asyncio.gather(
            *(ctx.llm(f"q{n}", model="m", thread=None) for n in range(3))
        )
        await ctx.do(wait, effect="read")
        last = await ctx.llm("end", model="m")
        return [*(reply.text for reply in replies), last.text]

    async with make_engine(models={"m": model}, recover=False) as first:
        await first.start(graph, run_id="r")
        await door.reached()
    door.open()
    second = await make_engine(models={"m": model}, graphs=[graph], recover=False)
    assert await (await second.resume("r")) == ["re q0", "re q1", "re q2", "re end"]
    assert sorted(asked) == ["end", "q0", "q1", "q2"]


async def test_alike_calls_side_by_side_are_calls_of_their_own(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> list[str]:
        replies = await asyncio.gather(*(ctx.llm("same", model="m", thread=None) for _ in range(3)))
        return sorted(reply.text for reply in replies)

    engine = await make_engine(models={"m": ["a", "b", "c"]})
    assert await (await engine.start(graph)) == ["a", "b", "c"]


async def test_a_prompt_may_be_messages(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> str:
        one = await ctx.llm(user("a"), model="m", thread=None)
        many = await ctx.llm([user("a"), assistant("b"), user("c")], model="m", thread=None)
        return f"{one.text} {many.text}"

    engine = await make_engine(models={"m": lambda messages: str(len(messages))})
    assert await (await engine.start(graph)) == "1 3"


@pytest.mark.parametrize("where", ["prompt", "message", "system", "setting"])
async def test_what_json_cannot_carry_is_refused_by_name_and_nothing_is_half_recorded(
    make_engine: MakeEngine, where: str
) -> None:
    graph, bad = Graph("g"), "half \ud800"

    @graph.node
    async def ask(ctx: Context) -> None:
        prompts: dict[str, str | Message] = {"prompt": bad, "message": user(bad)}
        prompt = prompts.get(where, "hi")
        system = bad if where == "system" else None
        more: dict[str, Any] = {"stop": bad} if where == "setting" else {}
        await ctx.llm(prompt, model="m", system=system, **more)

    engine = await make_engine(models={"m": ["x"]})
    run = await engine.start(graph)
    with pytest.raises(RunFailedError, match="ask#1: not_recordable"):
        await run
    assert "model.requested" not in types(await history(run))


async def test_no_model_at_all_is_a_named_error(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> None:
        await ctx.llm("hi")

    engine = await make_engine()
    with pytest.raises(RunFailedError, match="ConfigError: no model is named"):
        await (await engine.start(graph))


async def test_the_model_is_that_of_call_node_run_and_engine_in_this_order(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @graph.node(model="p:node")
    async def named(ctx: Context) -> list[str]:
        return [(await ctx.llm("hi", model="p:call")).text, (await ctx.llm("hi")).text]

    @graph.node
    async def plain(ctx: Context) -> str:
        return (await ctx.llm("hi")).text

    scripts = {name: ["?"] * 3 for name in ("p:call", "p:node", "p:run", "p:engine")}
    engine = await make_engine(models=scripts, model="p:engine")
    for given, expected in (("p:run", "p:run"), ("", "p:engine")):
        run = await engine.start(graph, model=given)
        await run
        asked = {
            (event.address or "")[:5]: event.data["model"]
            for event in await history(run)
            if event.type == "model.requested"
        }
        assert asked == {"named": "p:node", "plain": expected}


async def test_two_tools_of_one_name_are_refused(make_engine: MakeEngine) -> None:
    def look() -> int:
        return 1

    engine = await make_engine(models={"m": ["x"]})
    with pytest.raises(RunFailedError, match="two tools are named 'look'"):
        await (await engine.start(asking("go", tools=[look, look])))


async def test_an_adapter_that_breaks_fails_the_node_and_closes_the_call(
    make_engine: MakeEngine,
) -> None:
    def model(messages: Any) -> str:
        raise LookupError("a bug")

    engine = await make_engine(models={"m": model})
    run = await engine.start(asking("go"))
    with pytest.raises(RunFailedError, match="ask#1: LookupError: a bug"):
        await run
    assert not (await run.state()).open_calls


async def test_a_paused_run_does_not_begin_the_tools_of_an_answer_that_comes(
    make_engine: MakeEngine,
) -> None:
    door, called = Door(), []

    @tool(effect="read")
    async def look() -> int:
        called.append(1)
        return 1

    async def model(messages: Any) -> Any:
        if len(messages) > 1:
            return "done"
        await door()
        return calling(call("a", "look"), call("b", "look"))

    engine = await make_engine(models={"m": model})
    run = await engine.start(asking("go", tools=[look]))
    await door.reached()
    await run.pause()
    door.open()
    await turns(200)
    assert not called
    assert types([event async for event in engine.store.read(run.id)])[-1] == "model.responded"
    await run.resume()
    assert await run == ["done"]
    assert len(called) == 2
