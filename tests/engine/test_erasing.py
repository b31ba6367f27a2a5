"""Erasure through the engine: what is refused afterwards, what is still said, and what was learnt."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.engine.experience.embedding import Trigrams
from midstream.engine.experience.index import Index
from midstream.errors import ConfigError, LessonError, RunErasedError, RunNotFoundError, StoreError
from midstream.events.sealing import Encryption
from midstream.projections.experience import fold_experience, stream_of
from tests.engine.experience.taught import MODELS, ran

SECRET = "her diagnosis is gout"

talk = Graph("talk")


@talk.node
async def ask(ctx: Context, about: str) -> str:
    return (await ctx.llm(f"{SECRET}: {about}")).text


waiting = Graph("waiting")


@waiting.node
async def rest(ctx: Context) -> str:
    await ctx.sleep(0.05)
    await ctx.note({"said": SECRET})
    await ctx.sleep(0.05)
    return "rested"


def opened(path: Path, **more: Any) -> Engine:
    options: dict[str, Any] = {"models": MODELS, "model": "m", "encryption": Encryption(), **more}
    return Engine.open(path / "runs.db", synchronous="normal", **options)


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with opened(tmp_path) as engine:
        yield engine


def raw(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(folder.iterdir()))


async def test_an_erased_run_says_what_happened_and_nothing_of_what_was_said(
    engine: Engine, tmp_path: Path
) -> None:
    run = await engine.start(talk, run_id="r", about="x", tags={"name": "ann"})
    assert SECRET in await run
    done = await engine.erase("r", reason="asked for", by="bob")
    assert (done.runs, done.lessons) == (("r",), ())
    told = [(line.type, line.text) for line in await run.timeline()]
    assert told[0] == ("run.created", "erased")
    assert told[-1] == ("run.erased", "asked for")
    assert {text for _, text in told[:-1]} == {"erased"}
    assert (await engine.verify("r")).sound
    (info,) = await engine.runs()
    assert (info.erased, info.tags) == (True, {})
    assert (await run.trace()).steps == {}
    assert (await run.usage()).total.calls == 0


async def test_an_erased_run_is_not_continued_in_any_way(engine: Engine) -> None:
    run = await engine.start(talk, run_id="r", about="x")
    await run
    await engine.erase("r")
    for refused in (
        lambda: run.state(),
        lambda: run.state(at=2),
        lambda: run.messages(),
        lambda: run.view("scripted:m"),
        lambda: run.replay(),
        lambda: run.fork(at=2),
        lambda: run.migrate("scripted:m"),
        lambda: run.resume(),
        lambda: run.note(1),
        lambda: run.feedback(kind="positive"),
        lambda: engine.start(talk, run_id="r", about="x"),
    ):
        with pytest.raises(RunErasedError, match="was erased"):
            await refused()


async def test_a_run_that_is_driven_stops_when_it_is_erased(engine: Engine) -> None:
    run = await engine.start(waiting, run_id="r")
    await engine.erase("r")
    await asyncio.sleep(0.3)
    (info,) = await engine.runs()
    assert (info.status, info.erased) == ("cancelled", True)
    with pytest.raises(RunErasedError):
        await run.state()
    assert (await engine.verify("r")).sound
    assert not await engine.recover()


async def test_a_run_of_another_process_stops_too(tmp_path: Path) -> None:
    async with opened(tmp_path) as one, opened(tmp_path, recover=False) as two:
        await one.start(waiting, run_id="r")
        await two.erase("r")
        await asyncio.sleep(0.3)
        events = [event async for event in one.store.read((await one.runs())[0].run_id)]
        assert events[-1].type == "run.erased"


async def test_a_subject_is_erased_in_all_its_runs(engine: Engine, tmp_path: Path) -> None:
    for name, subject in (("a", "ann"), ("b", "bob"), ("c", "ann")):
        await (await engine.start(talk, run_id=name, about=name, subject=subject))
    fork = await engine.run("a").fork(at=2, run_id="f")
    await fork
    assert set((await engine.erase(subject="ann")).runs) == {"a", "c", "f"}
    assert SECRET in (await engine.run("b").state()).output
    assert (await engine.erase(subject="ann")).runs == ("a", "c", "f")
    assert b"ann" not in raw(tmp_path)


async def test_a_subject_is_refused_where_nothing_could_be_erased(tmp_path: Path) -> None:
    async with Engine.memory(models=MODELS, model="m") as memory:
        with pytest.raises(ConfigError, match="does not seal"):
            await memory.start(talk, about="x", subject="ann")
        await (await memory.start(talk, run_id="r", about="x"))
        with pytest.raises(StoreError, match="MemoryStore"):
            await memory.erase("r")
    async with opened(tmp_path, encryption=None) as engine:
        with pytest.raises(ConfigError, match="does not seal"):
            await engine.start(talk, about="x", subject="ann")
        await (await engine.start(talk, run_id="r", about="x"))
        with pytest.raises(StoreError, match="without encryption"):
            await engine.erase("r")
        assert SECRET in (await engine.run("r").state()).output


async def test_an_erasure_of_nothing_is_refused(engine: Engine) -> None:
    with pytest.raises(RunNotFoundError):
        await engine.erase("never")
    with pytest.raises(ConfigError, match="exactly one"):
        await engine.erase()
    with pytest.raises(ConfigError, match="exactly one"):
        await engine.erase("r", subject="ann")


async def lesson_of(engine: Engine, *runs: str) -> str:
    for run in runs:
        await engine.run(run).feedback("plan#1", kind="correction", text=f"{SECRET}, so no beer")
        await engine.experience.distil(run)
    (lesson,) = (await engine.experience.state()).lessons
    await engine.experience.activate(lesson)
    return lesson


async def test_what_only_an_erased_run_has_taught_is_forgotten(
    engine: Engine, tmp_path: Path
) -> None:
    await ran(engine, "r1")
    lesson = await lesson_of(engine, "r1")
    assert (await engine.experience.search("a plan", graph="trip", node="plan"))[
        0
    ].lesson.id == lesson
    async with opened(tmp_path) as other:
        assert lesson in (await other.experience.state()).lessons
        done = await engine.erase("r1")
        assert done.lessons == (lesson,)
        for one in (engine, other):
            assert (await one.experience.state()).lessons == {}
            assert await one.experience.search("a plan", graph="trip", node="plan") == ()
            with pytest.raises(LessonError):
                await one.experience.activate(lesson)
    assert SECRET.encode() not in raw(tmp_path)
    assert (await engine.verify("system:experience:default")).sound


async def test_what_others_have_taught_too_stays(engine: Engine) -> None:
    for run in ("r1", "r2"):
        await ran(engine, run)
    lesson = await lesson_of(engine, "r1", "r2")
    assert (await engine.erase("r2")).lessons == ()
    found = (await engine.experience.state()).lessons[lesson]
    assert {run for run, _ in found.evidence} == {"r1"}
    assert found.status == "active"
    assert (await engine.erase("r1")).lessons == (lesson,)


@pytest.mark.parametrize("gone", ["none", "one", "both"])
async def test_tables_of_experience_made_anew_from_the_log_are_equal(
    engine: Engine, tmp_path: Path, gone: str
) -> None:
    for run in ("r1", "r2"):
        await ran(engine, run)
        await engine.run(run).feedback("plan#1", kind="correction", text=f"not {run} but tea")
    await engine.experience.distil()
    for lesson in (await engine.experience.state()).lessons:
        await engine.experience.activate(lesson)
    await ran(engine, "r3", city="Graz")
    await engine.run("r3").feedback("plan#1", kind="positive")
    await engine.experience.distil()
    for run in {"none": (), "one": ("r1",), "both": ("r2", "r1")}[gone]:
        await engine.erase(run)
    state = await engine.experience.state()
    grown = Index(Trigrams())
    grown.rebuild(state)
    async with opened(tmp_path) as fresh:
        stream = stream_of("default")
        anew = fold_experience([event async for event in fresh.store.read(stream)])
        assert anew == state
        other = Index(Trigrams())
        other.rebuild(anew)
        assert other.tables() == grown.tables()
        await engine.experience.rebuild()
        assert (await fresh.experience.state()) == state
    for index in (grown, other):
        index.close()


async def test_erasing_again_does_what_was_left_to_do(engine: Engine) -> None:
    await ran(engine, "r1")
    lesson = await lesson_of(engine, "r1")
    store: Any = engine.store
    await store.erase(["r1"], at=1, actor="user")  # as if the process had ended right after
    assert lesson in (await engine.experience.state()).lessons
    await engine.erase("r1")
    assert (await engine.experience.state()).lessons == {}
    events = [event async for event in engine.store.read(stream_of("default"))]
    assert [event.type for event in events].count("experience.erased") == 1
    await engine.erase("r1")
    assert len([event async for event in engine.store.read(stream_of("default"))]) == len(events)


async def test_a_pruned_run_leaves_what_it_taught_until_its_subject_is_erased(
    engine: Engine,
) -> None:
    run = await engine.start(talk, run_id="t", about="x", subject="ann")
    await run
    await run.feedback("ask#1", kind="correction", text="say it in Latin please")
    await engine.experience.distil("t")
    (lesson,) = (await engine.experience.state()).lessons
    await engine.prune(older_than=0.0)
    await engine.experience.rebuild()
    assert lesson in (await engine.experience.state()).lessons
    await engine.erase(subject="ann")
    assert (await engine.experience.state()).lessons == {}


async def test_the_runs_that_a_run_has_started_are_erased_with_it_or_left_as_one_says(
    engine: Engine,
) -> None:
    inner, outer = Graph("inner"), Graph("outer")

    @inner.node
    async def deeper(ctx: Context) -> Any:
        return await ctx.subrun(talk, about="deep")

    @outer.node
    async def begin(ctx: Context) -> Any:
        return await ctx.subrun(inner)

    await (await engine.start(outer, run_id="o"))
    children = {info.run_id for info in await engine.runs() if info.run_id != "o"}
    assert len(children) == 2
    with pytest.raises(ConfigError, match=r"has started 2 other run.* pass subruns=True"):
        await engine.erase("o")
    assert not any(info.erased for info in await engine.runs())
    assert (await engine.erase("o", subruns=False)).runs == ("o",)
    # What is left of them is found by their ids, now that their parent says nothing any more.
    assert set((await engine.erase("o", subruns=True)).runs) >= children
    assert all(info.erased for info in await engine.runs())
    await engine.erase("o")  # nothing is left to ask about
