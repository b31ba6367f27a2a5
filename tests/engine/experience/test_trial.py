"""Trials: a lesson that helps, one that harms, one that does nothing; and what is recorded of them."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest

from midstream import Context, Engine, Graph
from midstream.errors import BudgetError, LessonError
from midstream.events.codec import encode
from midstream.events.content import Message
from midstream.events.experience_facts import Evidence, LessonSupported
from midstream.events.payloads import Cost, Usage
from midstream.projections.experience import fold_experience, stream_of
from tests.engine.stage import history

trip = Graph("trip")


@trip.node
async def plan(city: str, ctx: Context) -> str:
    return (await ctx.llm(f"A day plan for {city}.", model="s:m")).text


@trip.node
async def publish(plan: str, ctx: Context) -> str:
    return (await ctx.llm(f"Publish: {plan}", model="s:m", thread=None)).text


def obedient(said: Sequence[Message]) -> str:
    """Start with the castle if told to, with the river if told to that, and else with the zoo."""
    text = said[-1].text
    first = next((one for one in ("castle", "river") if one in text), "zoo")
    return f"start with the {first}"


def castle(output: Any) -> bool:
    return output is not None and "castle" in output


async def taught(engine: Engine, text: str, run_id: str = "r", city: str = "Salzburg") -> str:
    """Return a lesson that was taught by a run."""
    run = await engine.start(trip, run_id=run_id, city=city)
    await run
    await run.feedback("plan#1", kind="correction", text=text, by="ann")
    (done,) = await engine.experience.distil(run_id)
    return done.lessons[0]


def opened(**options: Any) -> Engine:
    return Engine.memory(**{"models": {"s:m": obedient}, **options})


async def test_a_lesson_that_helps_passes_and_becomes_active() -> None:
    async with opened() as engine:
        lesson = await taught(engine, "start with the castle")
        done = await engine.experience.trial(lesson, judge=castle, times=2, move=True)
        assert (done.verdict, done.moved) == ("helped", "active")
        (one,) = done.tests
        assert (one.run_id, one.step, one.before) == ("r", "plan#1", 0.0)
        assert one.outcomes == (1.0, 1.0)
        found = (await engine.experience.state()).lessons[lesson]
        assert (found.tried, found.status) == (True, "active")
        assert (found.with_ok, found.with_bad) == (1.0, 0.0)
        assert (found.without_ok, found.without_bad) == (0.0, 1.0)
        fork = await history(engine.run(one.tries[0]))
        read = next(event for event in fork if event.type == "memory.read")
        assert read.data["items"]["offers"] == [{"id": lesson, "score": 1.0}]
        assert str(done).splitlines()[-1].startswith(f"{lesson} helped, and is active now")


async def test_a_lesson_that_harms_where_it_had_gone_well_is_quarantined() -> None:
    def strict(said: Sequence[Message]) -> str:
        text = said[-1].text
        return "start with the river" if "river" in text else "start with the castle"

    def good(output: Any) -> bool:
        return str(output) == "start with the castle"

    async with opened(models={"s:m": strict}) as engine:
        await (await engine.start(trip, run_id="well", city="Graz"))
        run = await engine.start(trip, run_id="r", city="Linz")
        await run
        await run.feedback("plan#1", kind="correction", text="start with the river", by="ann")
        (done,) = await engine.experience.distil("r")
        (lesson,) = done.lessons
        await engine.experience.activate(lesson, by="ann")
        tried = await engine.experience.trial(lesson, judge=good, times=1, move=True)
        assert (tried.verdict, tried.moved) == ("harmed", "quarantined")
        assert [(one.run_id, one.source, one.gain) for one in tried.tests] == [
            ("r", True, -1.0),
            ("well", False, -1.0),
        ]
        assert (await engine.experience.state()).lessons[lesson].tried is False


async def test_harm_to_another_run_outweighs_what_it_helped() -> None:
    def torn(said: Sequence[Message]) -> str:
        text = said[-1].text
        told = "castle" in text
        return "good" if told == ("Salzburg" in text) else "bad"

    async with opened(models={"s:m": torn}) as engine:
        await (await engine.start(trip, run_id="well", city="Graz"))
        lesson = await taught(engine, "start with the castle")
        tried = await engine.experience.trial(lesson, judge=lambda output: output == "good")
        assert [one.gain for one in tried.tests] == [1.0, -1.0]
        assert (tried.verdict, tried.moved) == ("harmed", "")
        assert (await engine.experience.state()).lessons[lesson].status == "candidate"


async def test_a_candidate_that_changes_nothing_retires() -> None:
    async with opened() as engine:
        lesson = await taught(engine, "be nice")
        tried = await engine.experience.trial(lesson, judge=castle, times=1, move=True)
        assert (tried.verdict, tried.moved) == ("neither", "retired")
        assert "changed nothing" in (await engine.experience.state()).lessons[lesson].reason


async def test_what_failed_by_itself_is_judged_by_whether_it_fails_again() -> None:
    graph = Graph("strict")

    @graph.node
    async def work(ctx: Context) -> str:
        text = (await ctx.llm("Write.", model="s:m")).text
        if "castle" not in text:
            raise ValueError("no castle in it")
        return text

    async with opened(graphs=[graph]) as engine:
        run = await engine.start(graph, run_id="r")
        with pytest.raises(Exception, match="no castle"):
            await run
        lesson = await engine.experience.add("writing", "start with the castle", node="work")
        failed = next(event for event in await history(run) if event.type == "run.failed")
        await rests_on(engine, lesson.id, "r", failed.seq)
        tried = await engine.experience.trial(lesson.id, times=2)
        assert tried.verdict == "helped"
        assert tried.tests[0].before == pytest.approx(0.2)
        assert tried.tests[0].outcomes == (1.0, 1.0)
        other = await engine.experience.add("writing", "be nice", node="work")
        await rests_on(engine, other.id, "r", failed.seq)
        again = await engine.experience.trial(other.id, times=1)
        assert again.verdict == "neither"
        assert again.tests[0].outcomes == pytest.approx((0.2,))


async def rests_on(engine: Engine, lesson: str, run: str, seq: int) -> None:
    """Have a lesson rest on an event."""
    fact = LessonSupported(id=lesson, evidence=(Evidence(run=run, seq=seq),))
    stream = stream_of("default")
    head = await engine.store.head(stream)
    assert head is not None
    await engine.store.append(stream, [encode(fact, at=1)], expected=head.seq)


async def test_a_model_judges_by_what_people_had_said() -> None:
    asked: list[str] = []

    def judge(said: Sequence[Message]) -> str:
        asked.append(said[-1].text)
        answer = said[-1].text.rpartition("judge:")[2]
        return f'Here: {{"score": {1.0 if "castle" in answer else 0.1}}}'

    async with opened(models={"s:m": obedient, "s:judge": judge}) as engine:
        lesson = await taught(engine, "start with the castle")
        tried = await engine.experience.trial(lesson, model="s:judge", times=1, passing=0)
        assert tried.verdict == "helped"
        assert tried.tests[0].before == pytest.approx(0.2)
        assert tried.tests[0].outcomes == (1.0,)
        assert "start with the castle" in asked[0]
        assert "start with the zoo" in asked[0]


async def test_a_judge_that_gives_no_score_is_an_error() -> None:
    async with opened(models={"s:m": obedient, "s:judge": ["well", "well"]}) as engine:
        lesson = await taught(engine, "start with the castle")
        with pytest.raises(LessonError, match="gave no score"):
            await engine.experience.trial(lesson, model="s:judge")


async def test_what_only_people_can_judge_is_not_tried_without_a_judge() -> None:
    async with opened() as engine:
        lesson = await taught(engine, "start with the castle")
        with pytest.raises(LessonError, match="pass judge="):
            await engine.experience.trial(lesson)
        assert [info.run_id for info in await engine.runs()] == ["r"]


async def test_a_lesson_without_evidence_cannot_be_tried() -> None:
    async with opened() as engine:
        lesson = await engine.experience.add("planning", "start with the castle")
        with pytest.raises(LessonError, match="no evidence that says"):
            await engine.experience.trial(lesson.id, judge=castle)
        with pytest.raises(LessonError, match="has no lesson 'moon'"):
            await engine.experience.trial("moon", judge=castle)


async def test_tries_are_no_experience_and_a_trial_is_folded_again() -> None:
    async with opened() as engine:
        lesson = await taught(engine, "start with the castle")
        tried = await engine.experience.trial(lesson, judge=castle, times=1)
        fork = engine.run(tried.tests[0].tries[0])
        await fork.feedback("plan#1", kind="positive", by="ann")
        (done,) = await engine.experience.distil(fork.id)
        assert done.known
        events = [event async for event in engine.store.read(stream_of("default"))]
        assert fold_experience(events) == await engine.experience.state()
        await engine.experience.erase("r")
        state = await engine.experience.state()
        assert state.trials == {}
        assert state.lessons[lesson].with_ok == 0.0


def priced(provider: str, name: str, usage: Usage, at: float) -> Cost:
    return Cost(amount="1", source="ours 1")


async def test_a_trial_has_a_price_and_a_limit() -> None:
    async with opened(pricing=priced) as engine:
        await (await engine.start(trip, run_id="well", city="castle town"))
        lesson = await taught(engine, "start with the castle")
        estimates = await engine.experience.trial_estimate(lesson, judge=castle, times=2)
        assert [one.least for one in estimates] == [Decimal(2), Decimal(2)]
        with pytest.raises(BudgetError):
            await engine.experience.trial(lesson, judge=castle, times=2, limit=1)
        done = await engine.experience.trial(lesson, judge=castle, times=2, limit=4)
        assert done.cost == 4
        assert done.verdict == "helped"


async def test_a_call_that_wants_no_experience_is_told_none() -> None:
    graph = Graph("silent")

    @graph.node
    async def plan(ctx: Context) -> str:
        return (await ctx.llm("A plan.", model="s:m", experience=False)).text

    async with opened(graphs=[graph]) as engine:
        run = await engine.start(graph, run_id="r")
        await run
        await run.feedback("plan#1", kind="correction", text="start with the castle", by="ann")
        (done,) = await engine.experience.distil("r")
        tried = await engine.experience.trial(done.lessons[0], judge=castle, times=1)
        assert tried.verdict == "neither"
