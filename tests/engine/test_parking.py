"""Runs that only wait: put aside without task and state, and woken by an answer, a moment or a wish."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Retry, Run
from midstream.engine.driving.host import Host
from midstream.errors import RunCancelledError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.store import EventStore, Head
from tests.conftest import MakeEngine
from tests.engine.stage import Door, HandClock, history, types, until
from tests.engine.test_people import asked
from tests.stores import StoreAround

SOON: dict[str, Any] = {"park_after": 0.01}


def host_of(engine: Engine) -> Host:
    return engine._here()  # pyright: ignore[reportPrivateUsage]


async def in_the_lot(engine: Engine, run: Run) -> None:
    """Wait until the run is put aside."""
    async with asyncio.timeout(20):
        while run.id not in host_of(engine).lot:  # noqa: ASYNC110  # it has no event of its own
            await asyncio.sleep(0.001)


async def parked(engine: Engine, run: Run) -> None:
    """Wait until the run is put aside, and see that nothing of it is left in memory."""
    await in_the_lot(engine, run)
    assert run.id not in host_of(engine).live
    named = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in named if name.startswith("midstream:")]


def waiting() -> Graph:
    graph = Graph("waiting")

    @graph.node
    async def work(ctx: Context) -> Any:
        before = await ctx.uuid()
        answer = await ctx.ask("Well?")
        return [answer, before == await ctx.uuid() or before]

    return graph


async def test_a_run_that_waits_for_a_person_is_put_aside_and_goes_on(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(**SOON)
    run = await engine.start(waiting())
    await parked(engine, run)
    await run.answer((await asked(run)).id, value="x")
    assert (await run)[0] == "x"
    told = types(await history(run))
    assert told.count("value.recorded") == 2
    assert "run.resumed" not in told


async def test_an_answer_from_another_engine_wakes_it(make_engine: MakeEngine) -> None:
    engine, other = await make_engine(**SOON), await make_engine(recover=False)
    run = await engine.start(waiting())
    await parked(engine, run)
    await other.run(run.id).answer((await asked(run)).id, value="x")
    assert (await run)[0] == "x"


async def test_whoever_awaits_a_parked_run_gets_its_output(make_engine: MakeEngine) -> None:
    engine = await make_engine(**SOON)
    run = await engine.start(waiting())
    output = asyncio.ensure_future(run._outcome())  # pyright: ignore[reportPrivateUsage]
    await parked(engine, run)
    await run.answer((await asked(run)).id, value="x")
    assert (await output)[0] == "x"


async def test_a_distant_timer_wakes_it_and_a_near_one_keeps_it(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def nap(ctx: Context, seconds: float) -> float:
        await ctx.sleep(seconds)
        return seconds

    clock = HandClock()
    engine = await make_engine(clock=clock, **SOON)
    near = await engine.start(graph, seconds=20)
    far = await engine.start(graph, seconds=86400)
    farther = await engine.start(graph, seconds=90000)
    for run in (far, farther):
        await in_the_lot(engine, run)
    assert near.id in host_of(engine).live
    clock.advance(20)
    assert await near == 20
    clock.advance(86400)
    assert await far == 86400
    assert farther.id in host_of(engine).lot
    clock.advance(3600)
    assert await farther == 90000


async def test_a_deadline_wakes_it(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> Any:
        return await ctx.ask("Well?", timeout=3600, default="nobody")

    clock = HandClock()
    engine = await make_engine(clock=clock, **SOON)
    run = await engine.start(graph)
    await parked(engine, run)
    clock.advance(3600)
    assert await run == "nobody"


async def test_a_node_between_two_distant_attempts_rests(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node(retry=Retry(attempts=2, delay=3600, longest=3600, on=frozenset({"ValueError"})))
    async def work(ctx: Context) -> int:
        if ctx.attempt == 1:
            raise ValueError
        return ctx.attempt

    clock = HandClock()
    engine = await make_engine(clock=clock, **SOON)
    run = await engine.start(graph)
    await parked(engine, run)
    clock.advance(3600)
    assert await run == 2


async def test_branches_that_all_wait_rest_and_one_that_works_does_not(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")
    door = Door()

    async def knock() -> str:
        await door()
        return "opened"

    @graph.node
    async def work(ctx: Context) -> Any:
        return await asyncio.gather(
            ctx.ask("One?"), ctx.ask("Two?"), ctx.do(knock, effect="idempotent")
        )

    engine = await make_engine(**SOON)
    run = await engine.start(graph)
    await door.reached()
    await asyncio.sleep(0.05)
    assert run.id in host_of(engine).live
    door.open()
    await parked(engine, run)
    for question, answer in zip(await run.questions(), "ab", strict=True):
        await run.answer(question.id, value=answer)
    assert await run == ["a", "b", "opened"]
    assert door.visits == 1


async def test_a_node_that_works_keeps_the_run_of_one_that_waits(make_engine: MakeEngine) -> None:
    graph = waiting()
    door = Door()

    @graph.node
    async def other() -> str:
        await door()
        return "done"

    engine = await make_engine(**SOON)
    run = await engine.start(graph)
    await door.reached()
    await asyncio.sleep(0.05)
    assert run.id in host_of(engine).live
    door.open()
    await parked(engine, run)
    assert door.visits == 1


async def test_a_paused_run_rests_and_goes_on(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> str:
        await ctx.ask("Well?")
        return str((await ctx.uuid())[:0]) + "done"

    engine = await make_engine(**SOON)
    run = await engine.start(graph)
    question = await asked(run)
    await run.pause()
    await run.answer(question.id, value=1)
    await run.resume()
    assert await run == "done"


async def test_a_paused_run_with_nothing_under_way_rests(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    door = Door()

    @graph.node
    async def first() -> str:
        await door()
        return "a"

    @graph.node
    async def second(first: str) -> str:
        return first + "b"

    engine = await make_engine(**SOON)
    run = await engine.start(graph)
    await door.reached()
    await run.pause()
    door.open()
    await parked(engine, run)
    await run.resume()
    assert await run == "ab"


async def test_a_parked_run_can_be_cancelled_and_noted(make_engine: MakeEngine) -> None:
    engine = await make_engine(**SOON)
    run = await engine.start(waiting())
    await parked(engine, run)
    await run.note("seen")
    await parked(engine, run)
    await run.cancel("enough")
    with pytest.raises(RunCancelledError):
        await run
    assert "question.withdrawn" in types(await history(run))


async def test_starting_a_parked_run_again_is_the_same_run(make_engine: MakeEngine) -> None:
    engine = await make_engine(**SOON)
    graph = waiting()
    run = await engine.start(graph, run_id="r")
    await parked(engine, run)
    again = await engine.start(graph, run_id="r")
    await run.answer((await asked(again)).id, value="x")
    assert (await again)[0] == "x"


async def test_a_closed_engine_lets_go_of_what_it_had_parked(make_engine: MakeEngine) -> None:
    graph = waiting()
    async with make_engine(**SOON) as engine:
        run = await engine.start(graph, run_id="r")
        await parked(engine, run)
    other = await make_engine(graphs=[graph], recover=False)
    (taken,) = await other.recover()
    await taken.answer((await asked(taken)).id, value="x")
    assert (await taken)[0] == "x"


class Meddling(StoreAround):
    """A store in which something is appended while a driver puts its run aside."""

    def __init__(self, inner: EventStore) -> None:
        super().__init__(inner)
        self.meddle: Any = None

    async def head(self, run_id: RunId) -> Head | None:
        meddle, self.meddle = self.meddle, None
        if meddle is not None:
            await meddle()
        return await super().head(run_id)


async def test_what_comes_while_a_run_is_put_aside_is_not_missed(make_engine: MakeEngine) -> None:
    store = Meddling(MemoryStore())
    engine = await make_engine(store=store, **SOON)
    stranger = await make_engine(store=store, recover=False)
    run = await engine.start(waiting())
    question = await asked(run)

    async def answer() -> None:
        await stranger.run(run.id).answer(question.id, value="x")

    store.meddle = answer
    assert (await run)[0] == "x"


async def test_a_run_that_is_answered_at_once_is_never_put_aside(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    run = await engine.start(waiting())
    question = await asked(run)
    live = host_of(engine).live[run.id]
    await run.answer(question.id, value="x")
    await until(live.task.done)
    assert (await run)[0] == "x"
