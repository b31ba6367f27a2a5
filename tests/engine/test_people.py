"""Asking people: one question, one answer, from any process, and nothing before the wait happens again."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence
from datetime import UTC, datetime
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from midstream import Context, Graph, Retry, Run
from midstream.engine.people.answers import OpenQuestion
from midstream.errors import (
    AlreadyAnsweredError,
    AnswerTooLateError,
    ConfigError,
    QuestionNotFoundError,
    RunCancelledError,
    RunFailedError,
    RunNotFoundError,
    WrongAnswerError,
)
from midstream.events.codec import encode
from midstream.events.envelope import Draft
from midstream.events.ids import Address, RunId
from midstream.events.memory import MemoryStore
from midstream.events.people_facts import QuestionAnswered
from midstream.events.store import EventStore, Head
from tests.conftest import MakeEngine
from tests.engine.stage import BEGINNING, HandClock, history, types, until
from tests.stores import StoreAround


class Wanted(BaseModel):
    city: str
    days: int = Field(ge=1)


def confirming(**options: Any) -> Graph:
    graph = Graph("g")

    @graph.node
    async def publish(ctx: Context) -> Any:
        found = await ctx.confirm("Publish?", show={"draft": "x"}, **options)
        return [found.approved, found.remark, found.by, found.expired]

    return graph


def asking(**options: Any) -> Graph:
    graph = Graph("g")

    @graph.node
    async def trip(ctx: Context) -> Any:
        return await ctx.ask("Where to?", **options)

    return graph


async def asked(run: Run) -> OpenQuestion:
    """Return the one question of a run, once it was asked."""
    async with asyncio.timeout(20):
        while not (found := await run.questions()):  # noqa: ASYNC110  # seen in the log alone
            await asyncio.sleep(0)
    (only,) = found
    return only


@pytest.mark.parametrize("approved", [True, False])
async def test_a_person_says_yes_or_no(make_engine: MakeEngine, approved: bool) -> None:
    engine = await make_engine()
    run = await engine.start(confirming())
    question = await asked(run)
    assert (question.kind, question.text, question.show) == ("confirm", "Publish?", {"draft": "x"})
    await run.answer(question.id, approved=approved, value="well", by="alice")
    assert await run == [approved, "well", "alice", False]
    answered = next(e for e in await history(run) if e.type == "question.answered")
    assert (answered.actor, answered.address) == ("user:alice", question.step)


async def test_a_value_comes_back_as_the_type_that_was_asked_for(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def trip(ctx: Context) -> str:
        wanted = await ctx.ask("Where to?", schema=Wanted)
        assert isinstance(wanted, Wanted)
        return f"{wanted.city} for {wanted.days}"

    engine = await make_engine()
    run = await engine.start(graph)
    question = await asked(run)
    with pytest.raises(WrongAnswerError, match=r"value\.days: 0 is not at least 1") as refused:
        await run.answer(question.id, value={"city": "Tokyo", "days": 0})
    assert len(refused.value.misfits) == 1
    await run.answer(question.step, value={"city": "Tokyo", "days": 3})
    assert await run == "Tokyo for 3"
    assert types(await history(run)).count("question.answered") == 1


@pytest.mark.parametrize(
    ("schema", "value"),
    [(None, {"any": [1]}), (Literal["a", "b"], "b"), ({"type": "integer"}, 3), (list[int], [1])],
)
async def test_any_type_can_be_asked_for(make_engine: MakeEngine, schema: Any, value: Any) -> None:
    engine = await make_engine()
    run = await engine.start(asking(schema=schema))
    await run.answer((await asked(run)).id, value=value)
    assert await run == value


async def test_a_second_answer_is_refused_with_who_was_quicker(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    run = await engine.start(confirming())
    question = await asked(run)
    await run.answer(question.id, approved=True, by="alice")
    with pytest.raises(AlreadyAnsweredError, match="answered by alice at event") as refused:
        await run.answer(question.id, approved=False, by="bob")
    assert refused.value.by == "alice"
    assert (await run)[2] == "alice"


async def test_of_many_answers_at_once_one_counts(make_engine: MakeEngine) -> None:
    driver, other = await make_engine(), await make_engine(recover=False)
    run = await driver.start(confirming())
    question = await asked(run)

    async def answer(number: int) -> str:
        handle = (driver, other)[number % 2].run(run.id)
        try:
            await handle.answer(question.id, approved=True, by=f"p{number}")
        except AlreadyAnsweredError as refused:
            return f"refused for {refused.by}"
        return f"p{number}"

    said = await asyncio.gather(*(answer(number) for number in range(12)))
    (winner,) = [one for one in said if one.startswith("p")]
    assert set(said) == {winner, f"refused for {winner}"}
    assert (await run)[2] == winner
    assert types(await history(run)).count("question.answered") == 1


async def test_an_unknown_question_is_refused_with_those_that_wait(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    run = await engine.start(confirming())
    question = await asked(run)
    with pytest.raises(QuestionNotFoundError, match=f"waiting for an answer: {question.id}"):
        await run.answer("q-none", approved=True)
    with pytest.raises(RunNotFoundError):
        await engine.run("nobody").answer("q-none", approved=True)
    await run.answer(question.id, approved=True)
    await run
    with pytest.raises(QuestionNotFoundError, match="waiting for an answer: none"):
        await run.answer("q-none", approved=True)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "it asks for yes or no"),
        ({"value": True}, "it asks for yes or no"),
        ({"approved": True, "arguments": {"a": 1}}, "takes no arguments"),
    ],
)
async def test_a_confirmation_takes_yes_or_no(
    make_engine: MakeEngine, given: dict[str, Any], wrong: str
) -> None:
    engine = await make_engine()
    run = await engine.start(confirming())
    with pytest.raises(WrongAnswerError, match=wrong):
        await run.answer((await asked(run)).id, **given)


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({}, "pass value="),
        ({"approved": True}, "and neither approved nor arguments"),
        ({"value": 1, "arguments": {"a": 1}}, "and neither approved nor arguments"),
    ],
)
async def test_a_free_question_takes_a_value(
    make_engine: MakeEngine, given: dict[str, Any], wrong: str
) -> None:
    engine = await make_engine()
    run = await engine.start(asking())
    with pytest.raises(WrongAnswerError, match=wrong):
        await run.answer((await asked(run)).id, **given)


@pytest.mark.parametrize(
    ("options", "output"),
    [
        ({"timeout": 60}, [False, None, "", True]),
        ({"deadline": BEGINNING + 60, "default": True}, [True, None, "", True]),
        ({"deadline": datetime.fromtimestamp(BEGINNING + 60, UTC)}, [False, None, "", True]),
        ({"deadline": BEGINNING + 60, "timeout": 9000}, [False, None, "", True]),
    ],
)
async def test_when_nobody_answers_in_time_the_default_holds(
    make_engine: MakeEngine, options: dict[str, Any], output: Any
) -> None:
    clock = HandClock()
    engine = await make_engine(clock=clock)
    run = await engine.start(confirming(**options))
    question = await asked(run)
    assert question.deadline == BEGINNING + 60
    await until(lambda: clock.sleepers > 0)
    clock.advance(59)
    assert await run.questions()
    clock.advance(1)
    assert await run == output
    with pytest.raises(AnswerTooLateError, match="its deadline had passed"):
        await run.answer(question.id, approved=True)


async def test_an_answer_after_the_deadline_is_too_late_even_where_nobody_drives(
    make_engine: MakeEngine,
) -> None:
    clock = HandClock()
    async with make_engine(clock=clock) as engine:
        run = await engine.start(asking(timeout=60), run_id="r")
        question = await asked(run)
    clock.advance(100)
    other = await make_engine(clock=clock, recover=False)
    with pytest.raises(AnswerTooLateError, match="expired 40 s ago"):
        await other.run("r").answer(question.id, value=1)


async def test_a_value_without_an_answer_is_the_default_or_an_error(
    make_engine: MakeEngine,
) -> None:
    clock = HandClock()
    engine = await make_engine(clock=clock)
    with_default = await engine.start(asking(timeout=1, default=None))
    without = await engine.start(asking(timeout=1))
    await asked(with_default)
    await asked(without)
    await until(lambda: clock.sleepers == 2)
    clock.advance(1)
    assert await with_default is None
    with pytest.raises(
        RunFailedError, match=r"QuestionExpiredError: question q-.* not answered in"
    ):
        await without


class QuickPerson(StoreAround):
    """A store in which somebody answers just before the driver says that the time is over."""

    def __init__(self, inner: EventStore) -> None:
        super().__init__(inner)
        self.said = False

    def append(
        self,
        run_id: RunId,
        drafts: Sequence[Draft],
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Awaitable[Head]:
        for draft in drafts:
            if draft.type == "question.expired" and not self.said:
                self.said = True
                answer = QuestionAnswered(id="quick", approved=True, by="alice")
                quick = encode(answer, at=draft.at, address=Address(draft.address or ""))
                super().append(run_id, [quick], expected=expected)
        return super().append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)


async def test_whoever_is_first_in_the_log_wins_against_the_clock(make_engine: MakeEngine) -> None:
    clock = HandClock()
    engine = await make_engine(clock=clock, store=QuickPerson(MemoryStore()))
    run = await engine.start(confirming(timeout=1))
    await asked(run)
    await until(lambda: clock.sleepers > 0)
    clock.advance(1)
    assert await run == [True, None, "alice", False]


async def test_nothing_before_the_wait_happens_again(make_engine: MakeEngine) -> None:
    graph = Graph("g")
    done: list[str] = []

    async def act(what: str) -> str:
        done.append(what)
        return what

    @graph.node
    async def work(ctx: Context) -> list[Any]:
        first = await ctx.do(act, effect="unsafe", what="before")
        approved = (await ctx.confirm("Go on?")).approved
        return [first, approved, await ctx.do(act, what="after")]

    async with make_engine() as engine:
        run = await engine.start(graph, run_id="r")
        question = await asked(run)
    async with make_engine(recover=False) as stranger:
        await stranger.run("r").answer(question.id, approved=True, by="bob")
    engine = await make_engine(graphs=[graph])
    assert await (await engine.resume("r")) == ["before", True, "after"]
    assert done == ["before", "after"]


async def test_two_alike_questions_side_by_side_are_two_questions(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def twice(ctx: Context) -> Any:
        return await asyncio.gather(ctx.ask("Well?"), ctx.ask("Well?"))

    engine = await make_engine()
    run = await engine.start(graph)
    async with asyncio.timeout(20):
        while len(found := await run.questions()) < 2:  # noqa: ASYNC110  # seen in the log alone
            await asyncio.sleep(0)
    await run.answer(found[1].id, value="second")
    await run.answer(found[0].id, value="first")
    assert await run == ["first", "second"]


async def test_a_question_outlives_a_failed_attempt_of_its_node(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node(retry=Retry(attempts=2, delay=0, on=frozenset({"ValueError"})))
    async def work(ctx: Context) -> Any:
        async def fail() -> None:
            if ctx.attempt == 1:
                await ctx.now()
                raise ValueError

        return (await asyncio.gather(ctx.ask("Well?"), fail()))[0]

    engine = await make_engine()
    run = await engine.start(graph)
    await run.answer((await asked(run)).id, value="once")
    assert await run == "once"
    assert types(await history(run)).count("question.asked") == 1


async def test_cancelling_withdraws_what_was_asked(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    run = await engine.start(confirming())
    question = await asked(run)
    await run.cancel("enough")
    with pytest.raises(RunCancelledError):
        await run
    assert "question.withdrawn" in types(await history(run))
    with pytest.raises(AnswerTooLateError, match="was withdrawn at event"):
        await run.answer(question.id, approved=True)
    assert await run.questions() == ()


async def test_a_timer_that_is_cancelled_has_not_fired(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def nap(ctx: Context) -> None:
        await ctx.sleep(3600)

    engine = await make_engine(clock=HandClock())
    run = await engine.start(graph)
    async for event in run.events():
        if event.type == "timer.set":
            await run.cancel()
    told = types(await history(run))
    assert "timer.cancelled" in told
    assert "timer.fired" not in told


async def test_the_engine_lists_what_waits_in_all_runs(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    runs = [await engine.start(confirming(), run_id=f"r{n}") for n in range(3)]
    for run in runs:
        await asked(run)
    await runs[0].answer((await asked(runs[0])).id, approved=True)
    await runs[0]
    assert {one.run_id for one in await engine.questions()} == {"r1", "r2"}


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ({"timeout": 0}, "timeout must be more than 0"),
        ({"default": True}, "give it a timeout or a deadline"),
        ({"deadline": datetime(2030, 1, 1)}, "says no time zone"),  # noqa: DTZ001  # that is the point
    ],
)
async def test_a_wrong_option_is_refused(
    make_engine: MakeEngine, options: dict[str, Any], wrong: str
) -> None:
    engine = await make_engine()
    with pytest.raises(RunFailedError, match=wrong) as failed:
        await (await engine.start(confirming(**options)))
    assert ConfigError.__name__ in str(failed.value)


async def test_a_type_that_has_no_schema_cannot_be_asked_for(make_engine: MakeEngine) -> None:
    engine = await make_engine()
    with pytest.raises(RunFailedError, match="a person cannot be asked for"):
        await (await engine.start(asking(schema=asyncio.Event)))
