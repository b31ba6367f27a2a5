"""Why a node failed and what is done otherwise: rules, models, and the same run that goes on."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from midstream import Engine, Event, Graph, Run
from midstream.engine.nodes.node import Node
from midstream.engine.planning.reflection import ReflectionReport, by_rule, read_report
from midstream.engine.planning.replanning import (
    LONGEST,
    changes_something,
    granted,
    plan_by_rule,
    read_plan,
    revised,
)
from midstream.errors import BadRequestError, RunFailedError
from midstream.events.memory import MemoryStore
from midstream.events.reflection_facts import FailureType, PlanRevised
from tests.engine.experience.test_library import DyingStore, Killed
from tests.engine.stage import JumpingClock, history, types

STEP = Node("work", lambda: None, (), timeout=100.0)


@pytest.mark.parametrize(
    ("kind", "message", "expected"),
    [
        ("timeout", "took longer than 3 s", "timeout"),
        ("ValueError", "the service timed out", "timeout"),
        ("HTTPError", "404 for /castle", "resource_error"),
        ("FileNotFoundError", "no such file", "resource_error"),
        ("ValidationError", "two fields", "input_error"),
        ("ValueError", "invalid literal", "input_error"),
        ("ZeroDivisionError", "division by zero", "logic_error"),
        ("X", "error 14041", "logic_error"),
    ],
)
def test_the_words_of_a_failure_say_what_it_was(kind: str, message: str, expected: str) -> None:
    assert by_rule("work", kind, message, 1).failure_type == expected


@pytest.mark.parametrize(
    ("type_", "expected"),
    [
        ("timeout", (200.0, 2, "")),
        ("input_error", (None, 2, "")),
        ("resource_error", (None, 0, "continue")),
        ("logic_error", (None, 0, "")),
    ],
)
def test_each_kind_of_failure_has_its_plan(type_: FailureType, expected: Any) -> None:
    plan = plan_by_rule(type_, "fix", STEP, {})
    assert (plan.timeout, plan.attempts, plan.on_failure) == expected


@given(st.floats(0.001, LONGEST))
def test_a_timeout_is_doubled_up_to_the_longest(seconds: float) -> None:
    plan = plan_by_rule("timeout", "", Node("work", lambda: None, (), timeout=seconds), {})
    assert plan.timeout == min(2 * seconds, LONGEST)
    assert (plan.attempts > 0) == (seconds < LONGEST)


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "Sure! {} I hope that helps."])
def test_a_report_is_found_in_whatever_a_model_writes(fence: str) -> None:
    text = json.dumps({"failure_type": "timeout", "root_cause": "slow", "suggested_fix": "wait"})
    found = read_report(fence.replace("{}", text), "work", 2)
    assert found == ReflectionReport("timeout", "slow", "wait", "work", 2)


@given(st.text(max_size=200))
@example("{}")
def test_nonsense_is_no_report_and_no_plan(text: str) -> None:
    assert read_report(text, "work", 1) is None
    assert isinstance(read_plan(text, "work", "m"), str)


@pytest.mark.parametrize(
    ("given_", "expected"),
    [
        ({"node": "other"}, "only node 'work'"),
        ({"timeout": 0}, "timeout must be"),
        ({"timeout": LONGEST + 1}, "timeout must be"),
        ({"timeout": True}, "timeout must be"),
        ({"attempts": 6}, "attempts must be"),
        ({"attempts": -1}, "attempts must be"),
        ({"on_failure": "explode"}, "on_failure must be"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(given_: dict[str, Any], expected: str) -> None:
    assert expected in str(read_plan(json.dumps(given_), "work", "m"))


def test_a_plan_that_changes_nothing_is_not_run_again() -> None:
    plan = PlanRevised(node="work", timeout=2.0, attempts=1)
    assert changes_something(plan, [])
    assert not changes_something(plan, [plan.model_dump()])
    assert changes_something(
        plan, [PlanRevised(node="other", timeout=2.0, attempts=1).model_dump()]
    )
    assert not changes_something(PlanRevised(node="work", timeout=2.0), [])


def test_plans_add_up_and_are_only_about_their_node() -> None:
    plans: Sequence[dict[str, Any]] = [
        {"node": "work", "timeout": 200.0, "attempts": 2, "after": 1, "activation": "work#1"},
        {"node": "other", "timeout": 7.0, "after": 1, "activation": "other#1"},
        {"node": "work", "attempts": 1, "after": 3, "activation": "work#1"},
    ]
    assert revised(STEP, plans).timeout == 200.0
    assert (granted("work", "work#1", plans), granted("work", "work#2", plans)) == (4, 1)
    assert granted("none", "none#1", plans) == 0


class Worker:
    """A graph with a node before the one that fails, as often as it is told to."""

    def __init__(self, *failures: Exception, timeout: float | None = None) -> None:
        self.failures = list(failures)
        self.tries = 0
        self.before = 0
        self.graph = Graph("work")

        @self.graph.node
        async def first() -> str:
            self.before += 1
            return "first"

        @self.graph.node(on_failure="reflect", timeout=timeout)
        async def work(first: str) -> str:
            self.tries += 1
            if self.tries <= len(self.failures):
                raise self.failures[self.tries - 1]
            return f"{first} and work"

        @self.graph.node
        async def last(work: str | None) -> str:
            return f"{work} and last"


async def done(worker: Worker, **options: Any) -> tuple[Any, list[Event]]:
    async with Engine.memory(**{"models": {}, "clock": JumpingClock(), **options}) as engine:
        run = await engine.start(worker.graph, run_id="r")
        return await ended(run), await history(run)


async def ended(run: Run) -> Any:
    try:
        return await run
    except RunFailedError as error:
        return error


async def test_a_run_goes_on_after_a_plan_and_keeps_what_was_done() -> None:
    worker = Worker(ValueError("invalid city"), ValueError("invalid city"))
    output, events = await done(worker)
    assert output == "first and work and last"
    assert (worker.before, worker.tries) == (1, 3)
    assert types(events).count("reflection.made") == types(events).count("plan.revised") == 1
    place = types(events).index("node.failed")
    assert types(events)[place : place + 3] == ["node.failed", "reflection.made", "plan.revised"]


async def test_a_run_goes_on_without_what_is_not_there() -> None:
    output, events = await done(Worker(FileNotFoundError("no such file")))
    assert output == "None and last"
    (failed,) = [event for event in events if event.type == "node.failed"]
    assert failed.data["handled"] == "continue"


async def test_a_failure_of_logic_fails_the_run_and_says_why() -> None:
    error, events = await done(Worker(ZeroDivisionError("division by zero")))
    assert isinstance(error, RunFailedError)
    assert "division by zero" in str(error)
    assert types(events)[-3:] == ["node.failed", "reflection.made", "run.failed"]


async def test_a_node_that_fails_in_the_same_way_again_is_not_planned_the_same_again() -> None:
    worker = Worker(*[ValueError("invalid city")] * 9)
    error, events = await done(worker)
    assert isinstance(error, RunFailedError)
    assert worker.tries == 3
    assert types(events).count("plan.revised") == 1
    numbers = [e.data["reflection_number"] for e in events if e.type == "reflection.made"]
    assert numbers == [1, 2]


async def test_a_timeout_is_doubled_until_it_is_enough_or_the_plans_are_used_up() -> None:
    graph = Graph("slow")
    tries: list[int] = []

    @graph.node(on_failure="reflect", timeout=0.02)
    async def slow() -> str:
        tries.append(1)
        await asyncio.sleep(0.5)
        return "done"

    async with Engine.memory(max_replans=2) as engine:
        run = await engine.start(graph)
        assert isinstance(await ended(run), RunFailedError)
        events = await history(run)
    plans = [event.data["timeout"] for event in events if event.type == "plan.revised"]
    assert plans == [0.04, 0.08]
    assert len(tries) == 5


@pytest.mark.parametrize("most", [0, 1])
async def test_a_run_is_planned_anew_no_more_often_than_allowed(most: int) -> None:
    worker = Worker(*[ValueError("invalid")] * 9)
    _, events = await done(worker, max_replans=most)
    assert types(events).count("plan.revised") == most


REPORT = json.dumps(
    {"failure_type": "logic_error", "root_cause": "a typo", "suggested_fix": "again"}
)
PLAN = json.dumps({"node": "work", "attempts": 1})


async def test_a_model_reflects_and_plans() -> None:
    output, events = await done(
        Worker(KeyError("x")), models={"critic": [REPORT, PLAN]}, reflector="critic"
    )
    assert output == "first and work and last"
    (made,) = [event for event in events if event.type == "reflection.made"]
    assert (made.data["root_cause"], made.data["by"]) == ("a typo", "critic")
    (plan,) = [event for event in events if event.type == "plan.revised"]
    assert (plan.data["by"], plan.data["reason"]) == ("critic", "again")


async def test_a_refused_plan_is_told_once_what_is_wrong_with_it() -> None:
    said: list[str] = []
    answers = iter([REPORT, json.dumps({"node": "first", "attempts": 1}), PLAN])

    def critic(messages: Any) -> str:
        said.append(messages[-1].text)
        return next(answers)

    output, _ = await done(Worker(KeyError("x")), models={"critic": critic}, reflector="critic")
    assert output == "first and work and last"
    assert "only node 'work' can be changed" in said[2]


@pytest.mark.parametrize(
    "answers",
    [
        ["nonsense"] * 3,
        [BadRequestError("no")] * 3,
        [REPORT.replace("logic_error", "magic"), "{}", "?"],
    ],
)
async def test_where_a_model_fails_the_rules_do(answers: list[Any]) -> None:
    worker = Worker(ValueError("invalid city"))
    output, events = await done(worker, models={"critic": answers}, reflector="critic")
    assert output == "first and work and last" or types(events)[-1] == "run.failed"
    (made,) = [event for event in events if event.type == "reflection.made"]
    assert (made.data["failure_type"], made.data.get("by", "rule")) == ("input_error", "rule")


async def test_always_replaying_reflects_once() -> None:
    output, events = await done(Worker(ValueError("invalid")), always_replay=True)
    assert output == "first and work and last"
    assert types(events).count("reflection.made") == 1


async def test_reflecting_ends_the_same_wherever_its_process_dies() -> None:
    counting = CountingStore(MemoryStore(), 0, written=False)
    expected = await told(counting, Worker(ValueError("invalid"), ValueError("invalid")))
    assert counting.appends >= 5
    for at in range(1, counting.appends + 1):
        for written in (False, True):
            inner = MemoryStore()
            worker = Worker(ValueError("invalid"), ValueError("invalid"))
            with pytest.raises(Killed):
                await told(CountingStore(inner, at, written=written), worker)
            # What is outside has not changed: it fails as it did, as often as it was not recorded.
            failed = [e.type async for page in inner.scan() for e in page].count("node.failed")
            worker.tries = failed
            assert await told(inner, worker, later=100.0) == expected, (at, written)


class CountingStore(DyingStore):
    """Dies at an append of the driver, too."""

    def append(
        self,
        run_id: Any,
        drafts: Any,
        *,
        expected: int,
        epoch: int | None = None,
        holder: str | None = None,
    ) -> Any:
        self.appends += 1
        if self.appends != self._at:
            return self.inner.append(run_id, drafts, expected=expected, epoch=epoch, holder=holder)

        async def die() -> Any:
            if self._written:
                await self.inner.append(
                    run_id, drafts, expected=expected, epoch=epoch, holder=holder
                )
            raise Killed

        return die()


async def told(store: Any, worker: Worker, *, later: float = 0.0) -> Any:
    """Run to the end, and return the output and what was planned; the lease of a dead driver has run out later."""
    clock = JumpingClock()
    clock.time += later
    async with Engine(
        store, graphs=[worker.graph], recover=False, models={}, clock=clock
    ) as engine:
        run = await engine.start(worker.graph, run_id="r")
        output = await run
        events = await history(run)
    facts = [
        (e.type, e.data.get("attempts"))
        for e in events
        if e.type in ("reflection.made", "plan.revised")
    ]
    return output, facts


async def test_a_replay_neither_looks_up_nor_reflects() -> None:
    worker = Worker(KeyError("x"))
    models = {"critic": [REPORT, PLAN]}
    async with Engine.memory(models=models, reflector="critic", clock=JumpingClock()) as engine:
        run = await engine.start(worker.graph)
        assert await run == "first and work and last"
        worker.tries = 0
        report = await run.replay()
        assert report.identical, str(report)
        worker.tries = 9
        assert not (await run.replay()).identical


async def test_a_replay_that_fails_where_the_run_did_not_says_so() -> None:
    worker = Worker()
    async with Engine.memory(models={}, clock=JumpingClock()) as engine:
        run = await engine.start(worker.graph)
        await run
        worker.failures.append(ValueError("invalid"))
        worker.tries = 0
        assert not (await run.replay()).identical
