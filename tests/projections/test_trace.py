"""The steps of a run: one for each address, with what led to it and what it used."""

from __future__ import annotations

from decimal import Decimal

from hypothesis import given
from hypothesis import strategies as st

from midstream.projections.trace import Trace, trace
from tests.projections.logs import recorded


def test_every_address_is_a_step_and_every_parent_came_before() -> None:
    log = recorded()
    steps = trace(log).steps
    assert set(steps) == {event.address for event in log if event.address}
    for step in steps.values():
        assert all(steps[parent].seq < step.seq for parent in step.parents)
        assert step.within == "" or steps[step.within].seq < step.seq


def test_a_step_tells_what_it_is_and_what_it_used() -> None:
    found = trace(recorded())
    first = found.steps["first#1"]
    assert (first.type, first.name, first.status, first.input_tokens) == (
        "node",
        "first",
        "completed",
        8,
    )
    (asked, again) = [s for s in found.within("first#1") if s.type == "model_call"]
    assert (asked.name, asked.input_tokens, asked.cost) == ("p:m", 5, Decimal(5))
    called = found.within(asked.id)
    assert [(s.type, s.name, s.status) for s in called] == [
        ("tool_call", "look", "completed"),
        ("tool_call", "look", "failed"),
    ]
    assert called[1].error.startswith("ZeroDivisionError")
    assert again.parents == (asked.id,)
    assert found.steps["last#1"].parents == ("left#1", "right#1")
    right = found.steps["right#1"]
    assert (right.attempts, right.status, right.error) == (2, "completed", "")
    assert right.seconds is not None
    assert right.seconds >= 0


def test_a_run_that_failed_says_where() -> None:
    found = trace(recorded(fail=True))
    assert found.steps["right#1"].status == "failed"
    assert found.steps["right#1"].error.startswith("ValueError")
    assert "last#1" not in found.steps


@given(st.booleans(), st.integers(min_value=0, max_value=60))
def test_tracing_in_two_parts_is_tracing_at_once(fail: bool, cut: int) -> None:
    log = recorded(fail)
    found = Trace()
    for event in log[:cut]:
        found.add(event)
    assert found.data() == trace(log[:cut]).data()
    for event in log[cut:]:
        found.add(event)
    assert found.data() == trace(log).data()
