"""Replaying: what was recorded is found again by the same code, and by code that was changed it is not."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Retry, Run, tool
from midstream.engine.debugging.replay import ReplayReport
from midstream.errors import GraphError, RateLimitError, ReplayError, RunError
from midstream.events.memory import MemoryStore
from tests.conftest import MakeEngine
from tests.engine.stage import Door, JumpingClock, calling, history
from tests.engine.stage import call as wish
from tests.projections.logs import NoWait, eventful, model, price


@tool(effect="read")
async def look(place: str) -> str:
    """Look around."""
    return f"seen {place}"


Parts = dict[str, Callable[..., Awaitable[Any]]]


async def begin(city: str, ctx: Context) -> str:
    await ctx.now()
    return (await ctx.llm(f"greet {city}", system="be brief", tools=[look])).text


async def left(begin: str, ctx: Context) -> list[Any]:
    found = await asyncio.gather(*(ctx.tool(look, place=f"{begin} {n}") for n in range(3)))
    return sorted(found)


async def right(begin: str, ctx: Context) -> str:
    await ctx.sleep(5)
    await ctx.note({"rested": True})
    if ctx.attempt == 1:
        raise ConnectionError("once")
    return (await ctx.llm("go on", temperature=0.5)).text


async def end(left: list[Any], right: str, ctx: Context) -> str:
    return f"{left} {right} {await ctx.random() < 1}"


def walk(**changed: Callable[..., Any]) -> Graph:
    """Return the graph, with some of its nodes changed."""
    graph = Graph("walk")
    retry = Retry(attempts=2, delay=1.0, on=frozenset(("ConnectionError",)))
    for node in (begin, left, right, end):
        options: dict[str, Any] = {"retry": retry} if node is right else {}
        graph.add_node(node.__name__, changed.get(node.__name__, node), **options)
    return graph


def answer(said: Any) -> Any:
    if said[-1].role == "user" and said[-1].text == "greet Rome":
        return calling(wish("c1", "look", '{"place": "forum"}'), wish("c2", "look", "[]"))
    return f"<{len(said)}>"


async def recorded(engine: Engine) -> Run:
    run = await engine.start(walk(), run_id="r", model="s:m", city="Rome")
    await run
    await run.note("afterwards")
    return run


@pytest.fixture
async def run(make_engine: MakeEngine) -> Run:
    return await recorded(await make_engine(models={"s:m": answer}, clock=JumpingClock()))


def line_of(function: Callable[..., Any], words: str) -> int:
    lines, first = inspect.getsourcelines(function)
    return first + next(place for place, text in enumerate(lines) if words in text)


async def test_the_same_code_is_identical(run: Run) -> None:
    report = await run.replay()
    assert report.identical, report
    assert report.seq == (await run.state()).seq
    assert report.compared > 15
    assert "identical" in str(report)
    report.check()


async def test_what_does_not_matter_is_not_found(run: Run) -> None:
    async def begin(city: str, ctx: Context) -> str:
        """Say something."""
        moment = await ctx.now()
        assert moment
        told = f"greet {city}"
        return (await ctx.llm(told, system="be brief", tools=[look])).text

    assert (await run.replay(graph=walk(begin=begin))).identical


async def test_a_changed_prompt_is_found_at_its_line(run: Run) -> None:
    async def right(begin: str, ctx: Context) -> str:
        await ctx.sleep(5)
        await ctx.note({"rested": True})
        if ctx.attempt == 1:
            raise ConnectionError("once")
        return (await ctx.llm("go on now", temperature=0.5)).text

    report = await run.replay(graph=walk(right=right))
    found = report.divergence
    assert found is not None
    assert found.step.startswith("right#1/llm:")
    assert found.recorded.startswith("model.requested")
    assert (found.file, found.line) == (__file__, line_of(right, "go on now"))
    assert "messages.0.parts.0.text: 'go on' → 'go on now'" in [str(d) for d in found.differences]
    assert f"--at {found.seq - 1}" in str(report)
    with pytest.raises(ReplayError, match="go on now"):
        report.check()


async def test_changed_arguments_of_a_tool_are_found(run: Run) -> None:
    async def left(begin: str, ctx: Context) -> list[Any]:
        found = await asyncio.gather(*(ctx.tool(look, place=f"{begin} {n}!") for n in range(3)))
        return sorted(found)

    found = (await run.replay(graph=walk(left=left))).divergence
    assert found is not None
    assert found.step.startswith("left#1/tool:look")
    assert (found.differences[0].path, found.differences[0].right) == ("arguments.place", "<3> 0!")


async def test_a_call_that_is_made_no_more_is_found(run: Run) -> None:
    async def begin(city: str, ctx: Context) -> str:
        return (await ctx.llm(f"greet {city}", system="be brief", tools=[look])).text

    found = (await run.replay(graph=walk(begin=begin))).divergence
    assert found is not None
    assert found.recorded.startswith("value.recorded begin#1/now#1")
    assert found.now.startswith("model.requested")


async def test_a_call_that_is_new_is_found(run: Run) -> None:
    async def end(left: list[Any], right: str, ctx: Context) -> str:
        number = await ctx.random()
        await ctx.uuid()
        return f"{left} {right} {number < 1}"

    found = (await run.replay(graph=walk(end=end))).divergence
    assert found is not None
    assert (found.step, found.recorded.partition(" ")[0]) == ("end#1", "node.completed")
    assert found.now.startswith("value.recorded end#1/uuid#1")
    assert found.line == line_of(end, "ctx.uuid")


async def test_another_output_is_found(run: Run) -> None:
    async def left(begin: str, ctx: Context) -> list[Any]:
        found = await asyncio.gather(*(ctx.tool(look, place=f"{begin} {n}") for n in range(3)))
        return sorted(found, reverse=True)

    found = (await run.replay(graph=walk(left=left))).divergence
    assert found is not None
    assert (found.step, [d.path for d in found.differences]) == ("left#1", ["output.0", "output.2"])
    assert (found.file, found.line) == (__file__, left.__code__.co_firstlineno)


async def test_code_that_raises_or_hangs_is_found(run: Run) -> None:
    async def left(begin: str, ctx: Context) -> list[Any]:
        raise LookupError(begin)

    found = (await run.replay(graph=walk(left=left))).divergence
    assert found is not None
    assert found.now.startswith("node.failed left#1 LookupError")

    async def end(left: list[Any], right: str, ctx: Context) -> str:
        await asyncio.sleep(60)
        return ""

    found = (await run.replay(graph=walk(end=end), patience=0.05)).divergence
    assert found is not None
    assert (found.step, found.now) == ("end#1/random#1", "")
    assert "does not come to it" in str(found)


async def test_code_that_takes_its_time_is_waited_for(run: Run) -> None:
    async def end(left: list[Any], right: str, ctx: Context) -> str:
        await asyncio.sleep(0.3)
        return f"{left} {right} {await ctx.random() < 1}"

    assert (await run.replay(graph=walk(end=end))).identical


async def test_another_shape_of_the_graph_is_found_in_strict_mode_only(run: Run) -> None:
    slower = walk()
    shaped = Graph("walk", version="2")
    for name, node in slower.nodes.items():
        shaped.add_node(name, node.function, retry=node.retry, timeout=9.0)
    found = (await run.replay(graph=shaped)).divergence
    assert found is not None
    assert (found.seq, found.differences[0].path) == (1, "nodes.begin.timeout")
    tolerant = await run.replay(graph=shaped, strict=False)
    assert tolerant.identical
    assert tolerant.notes == ("recorded by version '' of the code, replayed by '2'",)


async def test_a_tool_that_is_described_otherwise_is_found_in_strict_mode_only(run: Run) -> None:
    @tool(effect="read", name="look")
    async def other(place: str) -> str:
        """Look around with care."""
        return ""

    async def begin(city: str, ctx: Context) -> str:
        await ctx.now()
        return (await ctx.llm(f"greet {city}", system="be brief", tools=[other])).text

    found = (await run.replay(graph=walk(begin=begin))).divergence
    assert found is not None
    assert "tools.0.description" in [d.path for d in found.differences]
    assert (await run.replay(graph=walk(begin=begin), strict=False)).identical


async def test_a_part_of_a_run_is_replayed(run: Run) -> None:
    report = await run.replay(at=7)
    assert (report.identical, report.seq) == (True, 7)


async def test_the_code_must_be_known(make_engine: MakeEngine) -> None:
    store = MemoryStore()
    async with Engine(store, models={"s:m": answer}, clock=JumpingClock()) as engine:
        await recorded(engine)
    async with Engine(store, models={}) as engine:
        with pytest.raises(GraphError, match="needs the code of graph 'walk'; known here: "):
            await engine.run("r").replay()
        with pytest.raises(GraphError, match="not 'eventful'"):
            await engine.run("r").replay(graph=eventful())
        assert (await engine.run("r").replay(graph=walk())).identical


async def test_nothing_is_asked_and_nothing_is_recorded(make_engine: MakeEngine) -> None:
    asked: list[Any] = []

    def count(said: Any) -> Any:
        asked.append(said)
        return answer(said)

    engine = await make_engine(models={"s:m": count}, clock=JumpingClock())
    run = await recorded(engine)
    log, calls = [event async for event in engine.store.read(run.id)], len(asked)
    assert (await run.replay()).identical
    assert [event async for event in engine.store.read(run.id)] == log
    assert len(asked) == calls


@settings(max_examples=30, deadline=None)
@given(fail=st.booleans(), data=st.data())
async def test_every_run_and_every_fork_of_it_replays(fail: bool, data: st.DataObject) -> None:
    def briefly(said: Any) -> str:
        return "n"

    answers: dict[str, Any] = {"p:m": model, "p:n": briefly}
    async with Engine.memory(models=answers, pricing=price, clock=NoWait()) as engine:
        run = await engine.start(eventful(), run_id="r", fail=fail)
        with suppress(RunError):
            await run
        assert (await run.replay()).identical
        fork = await run.fork(at=data.draw(st.integers(1, (await run.state()).seq)))
        with suppress(RunError):
            await fork
        report = await fork.replay()
        assert report.identical, report


async def test_a_run_that_was_taken_over_migrated_and_cancelled_replays() -> None:
    store, door = MemoryStore(), Door()

    async def slowly(said: Any) -> Any:
        if len(said) > 1:
            await door()
        return answer(said)

    async with Engine(store, models={"s:m": slowly}, clock=JumpingClock()) as engine:
        await engine.start(walk(), run_id="r", model="s:m", city="Rome")
        await door.reached()
    models: dict[str, Any] = {"s:m": answer, "s:n": [RateLimitError("wait"), "fine", "fine too"]}
    async with Engine(
        store, models=models, graphs=(walk(),), recover=False, clock=JumpingClock()
    ) as engine:
        run = engine.run("r")
        await run.migrate("s:n")
        await run.resume()
        await run
        types = [event.type for event in await history(run)]
        assert {"run.resumed", "model.switched", "model.failed"} <= set(types)
        report: ReplayReport = await run.replay()
        assert report.identical, report


async def test_a_cancelled_run_replays_also_where_its_driver_heard_of_it_late() -> None:
    door = Door()
    graph = Graph("g")

    @graph.node
    async def wait(ctx: Context) -> Any:
        await asyncio.gather(ctx.tool(look, place="here"), ctx.do(door))

    async with Engine.memory(models={}) as engine:
        run = await engine.start(graph, run_id="r")
        await door.reached()
        await run.cancel("enough")
        report = await run.replay()
        assert report.identical, report


async def test_a_run_without_a_model_replays_where_none_is_known() -> None:
    graph = Graph("g")

    @graph.node
    async def seen(ctx: Context) -> Any:
        return await ctx.tool(look, place="here")

    async with Engine.memory() as engine:
        run = await engine.start(graph, run_id="r")
        await run
        assert (await run.replay()).identical


async def test_a_node_that_ran_out_of_time_replays() -> None:
    graph = Graph("g")

    @graph.node(timeout=0.05)
    async def slow(ctx: Context) -> Any:
        await ctx.do(asyncio.sleep, delay=30.0)

    async with Engine.memory(models={}) as engine:
        run = await engine.start(graph, run_id="r")
        with suppress(RunError):
            await run
        report = await run.replay()
        assert report.identical, report
