"""Budgets: checked before the call, counted from the log, of a run or of all runs with a tag."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from midstream import Budget, Context, Engine, Graph, Message, tool
from midstream.adapters.base import ModelResponse
from midstream.errors import ConfigError, RunFailedError
from midstream.events.content import assistant
from midstream.events.payloads import Cost, Usage
from tests.conftest import MakeEngine
from tests.engine.stage import HandClock, call, calling, history, types, until
from tests.engine.test_people import asked


def ten(messages: Sequence[Message]) -> ModelResponse:
    """Answer with ten tokens."""
    return ModelResponse(assistant("yes"), Usage(input_tokens=6, output_tokens=4))


def a_cent(provider: str, model: str, usage: Usage, at: float) -> Cost:
    return Cost(amount="0.01")


def asking(times: int = 5, parallel: bool = False) -> Graph:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> int:
        if parallel:
            asked = (ctx.llm(f"q{n}", thread=None) for n in range(times))
            return len(await asyncio.gather(*asked))
        return len([await ctx.llm(f"q{n}", thread=None) for n in range(times)])

    return graph


OPTIONS: dict[str, Any] = {"models": {"m": ten, "cheap": ten}, "model": "p:m", "pricing": a_cent}


@pytest.mark.parametrize(
    ("budget", "calls", "what"),
    [
        (Budget("b", model_calls=3), 3, "model_calls"),
        (Budget("b", tokens=35), 3, "tokens"),
        (Budget("b", money=0.025), 2, "money"),
        (Budget("b", money=Decimal("0.03")), 3, "money"),
    ],
)
async def test_a_call_that_would_exceed_a_budget_is_not_made(
    make_engine: MakeEngine, budget: Budget, calls: int, what: str
) -> None:
    engine = await make_engine(budgets=[budget], **OPTIONS)
    run = await engine.start(asking())
    with pytest.raises(RunFailedError, match=f"budget 'b' of .* {what} is reached"):
        await run
    events = await history(run)
    assert types(events).count("model.responded") == calls
    (exceeded,) = [event for event in events if event.type == "budget.exceeded"]
    assert (exceeded.data["what"], exceeded.actor) == (what, "policy:budget:b")


async def test_parallel_calls_count_before_they_are_answered(make_engine: MakeEngine) -> None:
    engine = await make_engine(budgets=[Budget("b", model_calls=2)], **OPTIONS)
    run = await engine.start(asking(6, parallel=True))
    with pytest.raises(RunFailedError, match="budget 'b'"):
        await run
    assert types(await history(run)).count("model.requested") <= 2


async def test_what_was_spent_counts_after_a_restart(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> None:
        for n in range(3):
            await ctx.llm(f"q{n}", thread=None)
        await ctx.ask("Go on?")
        for n in range(3):
            await ctx.llm(f"r{n}", thread=None)

    budgets = [Budget("b", model_calls=4)]
    async with make_engine(budgets=budgets, **OPTIONS) as engine:
        run = await engine.start(graph, run_id="r")
        question = await asked(run)
    engine = await make_engine(budgets=budgets, graphs=[graph], recover=False, **OPTIONS)
    await engine.run("r").answer(question.id, value=1)
    run = await engine.resume("r")
    with pytest.raises(RunFailedError, match="budget 'b' of 4 model_calls is reached: 4 spent"):
        await run
    assert types(await history(run)).count("model.responded") == 4


async def test_a_run_that_is_paused_goes_on_with_as_much_again(make_engine: MakeEngine) -> None:
    budget = Budget("b", model_calls=2, on_exceed="pause")
    engine = await make_engine(budgets=[budget], **OPTIONS)
    run = await engine.start(asking(5))
    for spent in (2, 4):
        async with asyncio.timeout(20):
            while (await run.state()).status != "paused":  # noqa: ASYNC110  # seen in the log alone
                await asyncio.sleep(0)
        assert types([e async for e in engine.store.read(run.id)]).count("model.responded") == spent
        await run.resume()
        await until(lambda: True)
    assert await run == 5
    assert types(await history(run)).count("budget.exceeded") == 2


async def test_a_run_that_is_downgraded_goes_on_with_the_other_model(
    make_engine: MakeEngine,
) -> None:
    budget = Budget("b", money=0.02, on_exceed="downgrade", downgrade_to="p:cheap")
    engine = await make_engine(budgets=[budget], **OPTIONS)
    run = await engine.start(asking(5))
    assert await run == 5
    events = await history(run)
    asked = [event.data["model"] for event in events if event.type == "model.requested"]
    assert asked == ["p:m", "p:m", "p:cheap", "p:cheap", "p:cheap"]
    (switched,) = [event for event in events if event.type == "model.switched"]
    assert switched.data["reason"] == "budget:b"


async def test_tool_calls_are_counted_where_a_model_makes_them_and_where_a_node_does(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="read")
    async def look(n: int) -> int:
        return n

    def model(messages: Sequence[Message]) -> Any:
        return calling(*(call(f"c{n}", "look", f'{{"n":{n}}}') for n in range(2)))

    graph = Graph("g")

    @graph.node
    async def node(ctx: Context) -> None:
        await ctx.tool(look, n=9)
        await ctx.llm("go", tools=[look])

    engine = await make_engine(
        models={"m": model}, model="p:m", budgets=[Budget("b", tool_calls=4)]
    )
    run = await engine.start(graph)
    with pytest.raises(RunFailedError, match="budget 'b' of 4 tool_calls is reached: 3 spent"):
        await run
    assert types(await history(run)).count("tool.requested") == 3


async def test_a_run_may_take_only_so_long(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def slow(ctx: Context) -> None:
        await ctx.llm("first", thread=None)
        await ctx.sleep(100)
        await ctx.llm("second", thread=None)

    clock = HandClock()
    engine = await make_engine(clock=clock, budgets=[Budget("b", seconds=60)], **OPTIONS)
    run = await engine.start(graph)
    await until(lambda: clock.sleepers > 0)
    clock.advance(100)
    with pytest.raises(RunFailedError, match="budget 'b' of 60 seconds is reached"):
        await run


async def test_a_customer_has_a_budget_over_all_runs_and_engines_and_a_window(
    make_engine: MakeEngine,
) -> None:
    clock = HandClock()
    budget = Budget("daily", model_calls=3, tag="customer", window=86400)
    options: dict[str, Any] = {"clock": clock, "budgets": [budget], "recover": False, **OPTIONS}
    first, second = await make_engine(**options), await make_engine(**options)

    async def spend(engine: Engine, customer: str, times: int) -> Any:
        tags = {"customer": customer} if customer else {}
        return await (await engine.start(asking(times), tags=tags))

    assert await spend(first, "a", 2) == 2
    assert await spend(second, "b", 3) == 3
    assert await spend(first, "", 5) == 5
    with pytest.raises(RunFailedError, match="budget 'daily' of 3 model_calls"):
        await spend(second, "a", 2)
    with pytest.raises(RunFailedError, match="budget 'daily'"):
        await spend(first, "a", 1)
    clock.advance(86401)
    assert await spend(first, "a", 3) == 3


Calls = tuple[int, tuple["Calls", ...]]
"""How often a run asks a model, and the runs that it starts then."""

CALLS: st.SearchStrategy[Calls] = st.recursive(
    st.tuples(st.integers(0, 3), st.just(())),
    lambda inner: st.tuples(st.integers(0, 2), st.lists(inner, max_size=3).map(tuple)),
    max_leaves=5,
)


def total(calls: Calls) -> int:
    return calls[0] + sum(total(inner) for inner in calls[1])


def tree(calls: Calls, name: str = "g") -> Graph:
    """Return a graph that does it, one after the other."""
    graph = Graph(name)
    below = [tree(inner, f"{name}-{place}") for place, inner in enumerate(calls[1])]

    @graph.node
    async def ask(ctx: Context) -> None:
        for place in range(calls[0]):
            await ctx.llm(f"q{place}", thread=None)
        for inner in below:
            await ctx.subrun(inner)

    return graph


@settings(max_examples=25, deadline=None)
@given(CALLS, st.integers(1, 6))
@example((1, ((1, ((2, ()),)), (3, ()))), 5)
def test_a_run_spends_no_more_than_its_budget_with_all_that_it_starts(
    calls: Calls, limit: int
) -> None:
    async def made() -> tuple[int, str]:
        options = {**OPTIONS, "budgets": [Budget("b", model_calls=limit)]}
        async with Engine.memory(**options) as engine:
            run = await engine.start(tree(calls))
            with suppress(RunFailedError):
                await run
            logs = [await history(engine.run(info.run_id)) for info in await engine.runs()]
            asked = sum(types(events).count("model.requested") for events in logs)
            return asked, (await run.state()).status

    asked, status = asyncio.run(made())
    assert asked == min(limit, total(calls))
    assert status == ("failed" if total(calls) > limit else "completed")


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({}, "limits nothing"),
        ({"tokens": 1, "on_exceed": "cry"}, "on_exceed must be"),
        ({"tokens": 1, "on_exceed": "downgrade"}, "go together"),
        ({"tokens": 1, "downgrade_to": "p:m"}, "go together"),
        ({"tokens": 1, "window": 3.0}, "a window is of a tag"),
        ({"seconds": 1, "tag": "t"}, "seconds are of a run"),
    ],
)
def test_a_budget_that_makes_no_sense_is_refused(options: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Budget("b", **options)
