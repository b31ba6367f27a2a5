"""Diffs of runs: where they part, the cause, and what differs after that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import RunNotFoundError
from midstream.events.payloads import ToolCompleted
from midstream.projections.diff import diff_runs, plain_diff
from midstream.projections.diff_steps import Steps
from tests.conftest import MakeEngine
from tests.engine.test_fork import MODELS, ended, trip
from tests.projections.logs import recorded
from tests.projections.test_outcomes import event


async def test_a_run_does_not_differ_from_itself(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    found = await run.diff(run.id)
    assert (bool(found), found.first, found.cause, found.output) == (False, None, "", ())
    assert found.common == (await run.state()).seq


async def test_a_fork_that_does_the_same_does_not_differ(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    fork = await run.fork(at="plan#1")
    await fork
    assert not await run.diff(fork)


async def test_forks_part_where_one_was_changed_and_the_cause_is_named(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    fork = await run.fork(at="plan#1", model="s:n")
    await fork
    found = await run.diff(fork)
    assert found.first is not None
    assert (found.common, found.shared, found.first.step.partition("/")[0]) == (5, True, "plan#1")
    assert found.cause.startswith("right run: model.switched run goes on with s:n")
    assert found.first.differences[0].path == "model"
    assert found.first.text == ("@@ -1 +1 @@", "-<1 days: <sights in Tokyo>>", "+n")
    assert [one.step for one in found.steps if "/" not in one.step] == ["plan#1", "publish#1", ""]
    assert [(one.path, one.right) for one in found.output] == [("", "! n")]
    assert (found.left.calls, found.right.calls) == (1, 1)
    assert found.right.tokens < found.left.tokens


async def test_of_two_forks_the_common_part_is_found_however_they_are_related(
    make_engine: MakeEngine,
) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    first = await run.fork(at="plan#1", set={"research": ["zoo"]})
    await first
    second = await first.fork(set={"plan": "other"})
    await second
    third = await run.fork(at=3, paused=True)
    assert (await first.diff(second)).common == 10
    assert (await second.diff(first)).common == 10
    assert (await run.diff(second)).common == 5
    assert (await third.diff(second)).common == 3
    found = await run.diff(first)
    assert found.cause == "right run: run.forked from run r at event 5, with other research#1"
    assert plain_diff(found)["steps"][0]["differences"][0]["path"].startswith("messages")


async def test_runs_that_share_nothing_are_aligned_by_step(make_engine: MakeEngine) -> None:
    engine = await make_engine(models=MODELS)
    run = await ended(engine)
    same = await engine.start(trip(), city="Tokyo")
    await same
    assert not await run.diff(same)
    other = await engine.start(trip(), city="Rome")
    await other
    found = await run.diff(other)
    assert (found.shared, found.common, found.cause) == (
        False,
        0,
        "they were started with other values: inputs.city",
    )
    until = await run.diff(same, at=4)
    assert until.first is not None
    assert until.cause == "only one of them has gone on to research#1"
    with pytest.raises(RunNotFoundError):
        await run.diff("nobody")


@given(st.booleans(), st.booleans(), st.data())
def test_a_diff_finds_a_difference_if_there_is_one(left: bool, right: bool, data: Any) -> None:
    ours, theirs = recorded(left), recorded(right)
    found = diff_runs("a", "b", ours, theirs)
    assert bool(found) == (left != right)
    mirrored = diff_runs("b", "a", theirs, ours)
    assert {one.step for one in found.steps} == {one.step for one in mirrored.steps}
    cut = data.draw(st.integers(1, len(ours) - 3))
    assert diff_runs("a", "b", ours, ours[:cut])


async def test_steps_are_told_when_somebody_looks_and_are_the_same_ever_after() -> None:
    left = [event(ToolCompleted(result=n), f"t{n}#1", n) for n in (1, 2, 3)]
    right = [event(ToolCompleted(result=n + n % 2), f"t{n}#1", n) for n in (1, 2, 3)]
    steps = Steps(left, right)
    assert (len(steps), repr(steps)) == (2, "Steps(2 that differ)")
    assert [one.step for one in steps] == ["t1#1", "t3#1"]
    assert steps[-1] is steps[1]
    assert steps[:1] == (steps[0],)
    assert steps == tuple(steps)
    assert hash(steps) == hash(tuple(steps))
    assert steps != Steps(left, left)
    with pytest.raises(IndexError):
        steps[2]
