"""Forks: what is shared, what is changed, what is refused, and that the same answers lead to the same end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, Run, tool
from midstream.adapters.scripted import Script
from midstream.engine.recording.snapshots import load_run
from midstream.errors import ConfigError, GraphError, RunExistsError
from midstream.events.codec import encode
from midstream.events.content import Message
from midstream.events.envelope import Draft, Event
from midstream.events.fork_facts import RunForked
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.store import Snapshot
from midstream.projections.run_snapshot import NAME, dump
from midstream.projections.run_state import RunState, fold_run
from tests.conftest import MakeEngine
from tests.engine.stage import Door, history, types
from tests.projections.logs import NoWait, eventful, model, price, recorded

MODELS: dict[str, Script] = {"s:m": lambda said: f"<{said[-1].text}>", "s:n": lambda said: "n"}


def trip() -> Graph:
    """Return a graph of two nodes that ask a model, and one that joins their words."""
    graph = Graph("trip")

    @graph.node
    async def research(city: str, ctx: Context) -> list[str]:
        return [(await ctx.llm(f"sights in {city}", model="s:m")).text]

    @graph.node
    async def plan(research: list[str], ctx: Context, days: int = 1) -> str:
        return (await ctx.llm(f"{days} days: {research[0]}", model="s:m", temperature=1.0)).text

    @graph.node
    async def publish(plan: str) -> str:
        return f"! {plan}"

    return graph


async def ended(engine: Engine) -> Run:
    run = await engine.start(trip(), city="Tokyo", run_id="r")
    assert await run == "! <1 days: <sights in Tokyo>>"
    return run


async def test_a_fork_at_a_step_does_that_step_anew_and_nothing_before_it(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    fork = await run.fork(at="plan#1", set={"research": ["temples"]})
    assert await fork == "! <1 days: temples>"
    events = await history(fork)
    assert [event.run_id for event in events[:5]] == ["r"] * 5
    assert types(events[5:]) == [
        "run.forked",
        "node.scheduled",
        "model.requested",
        "model.responded",
        "node.completed",
        "node.scheduled",
        "node.completed",
        "run.completed",
    ]
    assert fork.id == "r~1"
    assert (await engine.verify(fork.id)).sound


async def test_a_fork_leaves_its_parent_as_it_was(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    before = await history(run)
    await (await run.fork(at=3, model="s:n"))
    assert await history(run) == before


async def test_without_a_moment_a_fork_begins_where_the_old_value_was_not_used_yet(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    assert await (await run.fork(set={"research.0": "zoo"})) == "! <1 days: zoo>"
    assert await (await run.fork(set={"plan": "stay"})) == "! stay"
    rome = await run.fork(set={"inputs.city": "Rome"})
    assert await rome == "! <1 days: <sights in Rome>>"
    assert (await history(rome))[1].type == "run.forked"
    longer = await run.fork(set={"inputs.days": 3})
    assert await longer == "! <3 days: <sights in Tokyo>>"
    assert (await history(longer))[5].type == "run.forked"


async def test_a_fork_of_a_fork_keeps_what_the_first_one_changed(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    first = await run.fork(at="plan#1", set={"research": ["zoo"]}, paused=True)
    second = await first.fork(prompts={"plan": "say it"}, settings={"temperature": 0.0})
    assert await second == "! <say it>"
    asked = next(e for e in await history(second) if e.type == "model.requested" and e.seq > 6)
    assert asked.data["settings"] == {"temperature": 0.0}
    third = await first.fork(at=2)
    assert await third == "! <1 days: <sights in Tokyo>>"
    assert [part.run_id for part in await engine.store.lineage(third.id)] == ["r", third.id]


async def test_a_paused_fork_waits_and_a_fork_of_a_paused_one_goes_on(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    waiting = await run.fork(at="publish#1", paused=True)
    assert (await waiting.state()).status == "paused"
    assert await (await waiting.fork()) == "! <1 days: <sights in Tokyo>>"
    await waiting.resume()
    assert await waiting == "! <1 days: <sights in Tokyo>>"


async def test_a_fork_may_go_on_with_another_model(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    fork = await run.fork(at="plan#1", model="s:n", systems={"plan": "be brief"}, tags={"try": "2"})
    assert await fork == "! n"
    asked = [event for event in await history(fork) if event.type == "model.requested"][-1]
    assert (asked.data["model"], asked.data["system"]) == ("s:n", "be brief")
    (info,) = await engine.runs(tags={"try": "2"})
    assert (info.run_id, info.parent, info.forked_at) == (fork.id, "r", 5)


async def test_a_fork_may_go_on_with_another_version_of_the_graph(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    newer = trip()
    newer.version = "2"

    @newer.node(output=True)
    async def translate(publish: str) -> str:
        return publish.upper()

    fork = await run.fork(at="publish#1", graph=newer)
    assert await fork == "! <1 DAYS: <SIGHTS IN TOKYO>>"
    state = await fork.state()
    assert (state.code, state.graph_digest) == ("2", newer.digest)
    assert [event.address for event in await history(fork) if event.type == "node.scheduled"] == [
        "research#1",
        "plan#1",
        "publish#1",
        "translate#1",
    ]


async def test_what_a_tool_or_a_model_said_may_be_another_thing_in_a_fork(
    make_engine: MakeEngine,
) -> None:
    graph = Graph("g")

    @tool(effect="read")
    async def look(place: str) -> dict[str, int]:
        """Look."""
        return {"height": 3}

    @graph.node
    async def climb(ctx: Context) -> str:
        found: Any = await ctx.tool(look, place="hill")
        said = await ctx.llm(f"{found['height']} m", model="s:m")
        return f"{said.text} and {await ctx.random() < 2}"

    engine = await make_engine(models=MODELS)
    run = await engine.start(graph, run_id="r")
    assert await run == "<3 m> and True"
    calls = (await run.state()).calls
    looked, asked, drawn = calls
    assert await (await run.fork(set={f"{looked}.height": 9})) == "<9 m> and True"
    assert await (await run.fork(set={asked: "tall"})) == "tall and True"
    assert await (await run.fork(set={drawn: 5.0})) == "<3 m> and False"
    with pytest.raises(ConfigError, match="was used at event"):
        await run.fork(at=drawn, set={looked: 1})


async def test_what_was_in_flight_is_done_again_by_the_fork(make_engine: MakeEngine) -> None:
    door = Door()
    graph = Graph("g")

    @graph.node
    async def wait(ctx: Context) -> str:
        return (await ctx.llm("wait", model="s:m")).text

    async def answer(said: Any) -> str:
        await door()
        return "late"

    engine = await make_engine(models={"s:m": answer, "s:n": MODELS["s:n"]})
    run = await engine.start(graph, run_id="r")
    await door.reached()
    fork = await run.fork(model="s:n")
    assert await fork == "n"
    door.open()
    assert await run == "late"


async def test_an_unsafe_tool_in_flight_at_the_fork_is_not_repeated_unasked(
    make_engine: MakeEngine,
) -> None:
    door = Door()
    graph = Graph("g")

    @graph.node
    async def pay(ctx: Context) -> Any:
        async def charge() -> str:
            await door()
            return "paid"

        return await ctx.do(charge)

    engine = await make_engine(models={})
    run = await engine.start(graph, run_id="r")
    await door.reached()
    fork = await run.fork()
    async for event in fork.events():
        if event.type == "tool.unknown":
            assert event.data["reason"] == "in flight where the run was forked"
            await fork.settle(event.address or "", result="paid once")
    assert await fork == "paid once"
    door.open()
    assert await run == "paid"
    assert door.visits == 1


async def test_a_cancelled_run_lives_on_in_a_fork_from_before_its_end(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    door = Door()
    graph = Graph("g")

    @graph.node
    async def wait(ctx: Context) -> str:
        if await ctx.now() and not door.visits:
            await door()
        return "done"

    run = await engine.start(graph, run_id="r")
    await door.reached()
    await run.cancel()
    wished = next(e.seq for e in await history(run) if e.type == "run.cancel_requested")
    assert await (await run.fork(at=wished)) == "done"


async def test_what_cannot_be_forked_is_refused_before_anything_is_recorded(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    other = Graph("trip")
    other.add_node("elsewhere", lambda: 1)
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"at": 99}, ConfigError, "has no event 99; it has events 1 to 12"),
        ({"at": "plan#7"}, ConfigError, r"no step 'plan#7'; it has plan#1"),
        ({"set": {"nobody": 1}}, ConfigError, "nothing at 'nobody'"),
        ({"at": 3, "set": {"plan": 1}}, ConfigError, "nothing at 'plan'"),
        ({"at": 9, "set": {"research": 1}}, ConfigError, "'research#1' was used at event 6"),
        ({"at": 9, "set": {"inputs.city": 1}}, ConfigError, "'inputs.city' was used at event 2"),
        ({"at": 5, "set": {"research.x": 1}}, ConfigError, "leads nowhere"),
        ({"at": 6, "graph": other}, GraphError, "no node 'plan'"),
        ({"graph": Graph("other")}, GraphError, "not 'other'"),
        ({"run_id": "no spaces"}, ConfigError, "run_id"),
        ({"run_id": "r"}, RunExistsError, "'r' exists"),
    ]
    for options, kind, match in refused:
        with pytest.raises(kind, match=match):
            await run.fork(**options)
    assert [info.run_id for info in await engine.runs()] == ["r"]


async def test_a_fork_whose_code_is_not_known_must_be_a_paused_one() -> None:
    store = MemoryStore()
    async with Engine(store, models=MODELS) as engine:
        await ended(engine)
    async with Engine(store, models=MODELS) as engine:
        with pytest.raises(GraphError, match="needs the code of graph 'trip'"):
            await engine.run("r").fork(at=5)
        fork = await engine.run("r").fork(at=5, paused=True)
    async with Engine(store, models=MODELS, graphs=(trip(),)) as engine:
        fork = await engine.run(fork.id).resume()
        assert await fork == "! <1 days: <sights in Tokyo>>"


async def test_a_fork_of_a_long_run_begins_from_its_parents_snapshot_if_that_is_older(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    state = await load_run(engine.store, RunId("r"), upto=2)
    log = await history(run)
    body = dump(state)
    assert body is not None
    marked = body.replace(b"Tokyo", b"Kyoto")
    await engine.store.save_snapshot(RunId("r"), NAME, Snapshot(2, log[1].digest, marked))
    early, late = await run.fork(at=1, paused=True), await run.fork(at=3, paused=True)
    assert (await load_run(engine.store, early.id)).inputs == {"city": "Tokyo"}
    assert (await load_run(engine.store, late.id)).inputs == {"city": "Kyoto"}
    deeper = await late.fork(paused=True)
    assert (await load_run(engine.store, deeper.id)).inputs == {"city": "Kyoto"}


# Laws


def as_draft(event: Event) -> Draft:
    type_, version = event.stored
    rest = event.at, event.actor, event.cause, event.address, event.body
    return Draft(type_, version, *rest, (), event.data)


def essence(state: RunState) -> Any:
    """What a state says, without the numbers of events."""
    return (
        state.status,
        state.inputs,
        dict(state.pending),
        list(state.ready),
        {
            a.address: (a.status, a.attempt, a.inputs, a.sources, a.output)
            for a in state.activations.values()
        },
        {
            c.address: (c.status, c.lane, c.request, c.outcome, c.attempt)
            for c in state.calls.values()
        },
        [(s.scope, s.source, s.target) for s in state.switches],
        state.failures,
        state.output,
        state.heads,
        state.threads,
        list(state.open_calls),
        state.notes,
    )


@settings(max_examples=60, deadline=None)
@given(fail=st.booleans(), data=st.data())
async def test_a_fork_with_the_same_tail_is_the_same_run(fail: bool, data: st.DataObject) -> None:
    log = recorded(fail)
    at = data.draw(st.integers(1, len(log)))
    store = MemoryStore()
    await store.append(RunId("r"), [as_draft(event) for event in log], expected=0)
    cut = [event async for event in store.read(RunId("r"), to=at)]
    forked = RunForked(parent="r", seq=at, digest=cut[-1].digest.hex(), graph="eventful")
    tail = [as_draft(event) for event in log[at:]]
    await store.append(RunId("f"), [encode(forked, at=1), *tail], expected=at)
    fork = [event async for event in store.read(RunId("f"))]
    assert essence(fold_run(fork)) == essence(fold_run(log))
    assert essence(fold_run(fork[:at])) == essence(fold_run(log[:at]))


@settings(max_examples=40, deadline=None)
@given(data=st.data())
async def test_a_fork_that_is_answered_as_before_ends_as_before(data: st.DataObject) -> None:
    def side(said: list[Message]) -> str:
        return "n"

    scripts: dict[str, Any] = {"p:m": model, "p:n": side}
    async with Engine.memory(models=scripts, pricing=price, clock=NoWait()) as engine:
        run = await engine.start(eventful(), run_id="r", fail=False)
        output = await run
        at = data.draw(st.integers(1, (await run.state()).seq))
        fork = await run.fork(at=at)
        assert await fork == output
        deeper = await fork.fork(at=data.draw(st.integers(1, (await fork.state()).seq)))
        assert await deeper == output
        assert (await engine.verify(deeper.id)).sound


@pytest.mark.parametrize("at", [None, 7, "plan#1"])
async def test_a_paused_fork_is_what_one_would_be_that_is_driven(
    make_engine: MakeEngine, at: int | str | None
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    waiting = await run.fork(at=at, paused=True, run_id="waiting")
    going = await run.fork(at=at, run_id="going")
    assert await going == "! <1 days: <sights in Tokyo>>"
    first = [
        event
        for one in (waiting, going)
        async for event in engine.store.read(one.id)
        if event.type == "run.forked"
    ]
    left, right = ({**event.data, "id": ""} for event in first)
    assert left == right
    await waiting.resume()
    assert await waiting == await going


async def test_a_paused_fork_of_no_moment_is_refused(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    for at in (0, 99, "moon#1"):
        with pytest.raises(ConfigError, match="has no"):
            await run.fork(at=at, paused=True)


def drafting(mark: str, *, more: bool) -> Graph:
    """A loop of two nodes that goes round twice, and in another version somebody who waits for its end."""
    graph = Graph("drafting")

    @graph.node
    async def plan(ctx: Context, turn: int = 0) -> int:
        return turn

    @graph.node(output=True)
    async def review(plan: int, ctx: Context) -> str:
        if plan < 2:
            ctx.goto("plan", turn=plan + 1)
        return f"{mark}{plan}"

    if more:
        graph.add_node("log", lambda: None, after=["review"])
    return graph


async def test_a_fork_with_another_graph_loses_no_round_of_a_loop() -> None:
    async with Engine.memory() as engine:
        run = await engine.start(drafting("a", more=False), run_id="drafts")
        assert await run == "a2"
        seqs = [event.seq async for event in run.events() if event.type != "run.created"]
        for seq in seqs[:-2]:
            fork = await run.fork(at=seq, graph=drafting("b", more=True))
            assert await asyncio.wait_for(fork, 10) == "b2", seq
