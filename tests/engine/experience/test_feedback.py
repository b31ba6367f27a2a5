"""Feedback: on any step, at any time, from any process, once, and without disturbing anybody."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream import Context, Engine, Event, Graph
from midstream.engine.experience.feedback import nearest
from midstream.errors import ConfigError, RunNotFoundError, StepNotFoundError
from midstream.projections.timeline import line
from tests.engine.stage import Door, history, types

talk = Graph("talk")


@talk.node
async def ask(ctx: Context) -> str:
    return (await ctx.llm("Name a river.")).text


MODELS: dict[str, Any] = {"m": ["Salzach"]}


def given_in(events: list[Event]) -> list[Event]:
    return [event for event in events if event.type == "feedback.added"]


async def test_feedback_stands_in_the_run_with_its_step_and_author() -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk)
        await run
        await run.feedback("ask#1", kind="correction", text="say where", by="ann")
        await run.feedback(kind="score", score=0.25, by="ci", source="program")
        said, scored = given_in(await history(run))
    assert (said.address, said.actor) == ("ask#1", "user:ann")
    assert (said.data["kind"], said.data["text"]) == ("correction", "say where")
    assert (scored.address, scored.actor) == (None, "program:ci")
    assert line(said).text == "correction: say where"
    assert line(scored).text == "score 0.25"


async def test_a_model_call_is_a_step_too() -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk)
        await run
        (call,) = (await run.state()).calls
        await run.feedback(call, kind="positive")
        assert given_in(await history(run))[0].address == call


async def test_the_same_feedback_of_the_same_author_counts_once() -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk)
        await run
        first = await run.feedback("ask#1", kind="negative", by="ann")
        assert await run.feedback("ask#1", kind="negative", by="ann") == first
        assert await run.feedback("ask#1", kind="negative", by="bob") != first
        assert await run.feedback(kind="negative", by="ann") != first
        assert len(given_in(await history(run))) == 3


async def test_an_id_counts_once_and_belongs_to_one_feedback() -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk)
        await run
        for _ in range(2):
            assert await run.feedback(kind="positive", text="a", id="f1") == "f1"
        assert await run.feedback(kind="positive", text="a", id="f2") == "f2"
        with pytest.raises(ConfigError, match="other feedback with the id 'f1'"):
            await run.feedback(kind="positive", text="b", id="f1")
        assert len(given_in(await history(run))) == 2


async def test_feedback_at_the_same_time_from_two_engines_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    async with Engine.open(path, models=MODELS, model="m") as engine:
        run = await engine.start(talk, run_id="r")
        await run
    async with Engine.open(path) as one, Engine.open(path) as two:
        handles = [engine.run("r") for engine in (one, two) for _ in range(3)]
        await asyncio.gather(*(handle.feedback("ask#1", kind="positive") for handle in handles))
        assert len(given_in(await history(one.run("r")))) == 1


async def test_an_unknown_step_is_refused_with_the_steps_that_exist() -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk, run_id="r")
        await run
        with pytest.raises(
            StepNotFoundError, match=r"has no step 'aks#1'; did you mean 'ask#1'"
        ) as e:
            await run.feedback("aks#1", kind="positive")
        assert (e.value.run_id, e.value.step) == ("r", "aks#1")
        assert "ask#1" in e.value.nearest
        with pytest.raises(StepNotFoundError):
            await run.feedback("", kind="positive")
        with pytest.raises(RunNotFoundError):
            await engine.run("none").feedback(kind="positive")
        assert not given_in(await history(run))


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"kind": "bad"}, "none of positive, negative, correction, score"),
        ({"kind": "score"}, "needs score="),
        ({"kind": "score", "score": 1.5}, "from 0"),
        ({"kind": "positive", "score": float("nan")}, "from 0"),
        ({"kind": "correction", "text": " "}, "needs text="),
        ({"kind": "positive", "source": "model"}, "'person' or 'program'"),
    ],
)
async def test_feedback_that_says_nothing_is_refused(options: Any, expected: str) -> None:
    async with Engine.memory(models=MODELS, model="m") as engine:
        run = await engine.start(talk)
        await run
        with pytest.raises(ConfigError, match=expected):
            await run.feedback("ask#1", **options)
        assert not given_in(await history(run))


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_run_that_goes_on_is_not_disturbed(tmp_path: Path, *, elsewhere: bool) -> None:
    door = Door()
    graph = Graph("waiting")

    @graph.node
    async def first() -> int:
        return 1

    @graph.node
    async def second(first: int, ctx: Context) -> int:
        await door()
        return first + int(await ctx.random() >= 0)

    path = tmp_path / "runs.db"
    async with Engine.open(path, models={}) as driving, Engine.open(path, recover=False) as other:
        run = await driving.start(graph, run_id="r")
        await door.reached()
        handle = other.run("r") if elsewhere else run
        await handle.feedback("first#1", kind="positive")
        await handle.feedback("second#1", kind="negative")
        with pytest.raises(StepNotFoundError):
            await handle.feedback("third#1", kind="negative")
        door.open()
        assert await run == 2
        events = await history(run)
    assert door.visits == 1
    assert types(events).count("feedback.added") == 2
    assert "run.resumed" not in types(events)


@given(st.text(max_size=8), st.lists(st.text(min_size=1, max_size=8), max_size=12, unique=True))
def test_the_nearest_steps_exist(step: str, there: list[str]) -> None:
    found = nearest(step, there)
    assert set(found) <= set(there)
    assert bool(found) == bool(there)
    assert len(found) == len(set(found)) <= 8
