"""What the events of a run say about how well it went; silence says nothing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.events.codec import decode, encode
from midstream.events.content import user
from midstream.events.envelope import Event
from midstream.events.experience_facts import FeedbackAdded
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    Fact,
    Failure,
    ModelRequested,
    NodeCompleted,
    RunCompleted,
    RunFailed,
    ToolFailed,
)
from midstream.projections.outcomes import Signal, outcome_of, signals


def event(fact: Fact, step: str | None = None, seq: int = 1) -> Event:
    draft = encode(fact, at=1, address=None if step is None else Address(step))
    return decode(
        (
            RunId("r"),
            seq,
            seq,
            1,
            draft.type,
            1,
            "engine",
            None,
            draft.address,
            None,
            draft.body,
            b"",
        )
    )


def feedback(kind: Any = "positive", step: str | None = None, seq: int = 1, **more: Any) -> Event:
    return event(FeedbackAdded(id=more.pop("id", str(seq)), kind=kind, **more), step, seq)


def test_a_run_that_ended_and_that_nobody_judged_has_no_outcome() -> None:
    found = signals([event(NodeCompleted(), "plan#1"), event(RunCompleted())])
    assert found == ()
    assert outcome_of(found) is None


@pytest.mark.parametrize(
    ("fact", "step", "expected"),
    [
        (FeedbackAdded(id="1", kind="positive"), "plan#1", (1.0, 1.0)),
        (FeedbackAdded(id="1", kind="negative"), "plan#1", (0.0, 1.0)),
        (FeedbackAdded(id="1", kind="correction", text="x"), "plan#1", (0.2, 1.0)),
        (FeedbackAdded(id="1", kind="score", score=0.7), "plan#1", (0.7, 1.0)),
        (FeedbackAdded(id="1", kind="negative", score=0.4), "plan#1", (0.4, 1.0)),
        (RunFailed(failures=(Failure(address="a", kind="k", message="m"),)), None, (0.2, 0.4)),
        (ToolFailed(kind="bad_arguments"), "plan#1/llm:1#1/call:0#1", (0.3, 0.3)),
        (ModelRequested(model="m", messages=(user("not JSON"),)), "a#1/llm:1#1/turn#2", (0.3, 0.3)),
    ],
)
def test_each_signal_has_its_outcome_and_weight(
    fact: Fact, step: str | None, expected: tuple[float, float]
) -> None:
    (found,) = signals([event(fact, step)])
    assert (found.outcome, found.weight) == expected


@pytest.mark.parametrize(
    ("fact", "step"),
    [
        (ToolFailed(kind="exception"), "plan#1/tool:x:1#1"),
        (ModelRequested(model="m", messages=(user("hello"),)), "a#1/llm:1#1"),
        (ModelRequested(model="m"), "a#1/llm:1#1/turn#2"),
    ],
)
def test_what_is_no_judgement_is_no_signal(fact: Fact, step: str) -> None:
    assert signals([event(fact, step)]) == ()


def test_feedback_that_was_recorded_twice_counts_once() -> None:
    assert len(signals([feedback(id="a", seq=1), feedback(id="a", seq=2), feedback(id="b")])) == 2


@pytest.mark.parametrize(
    ("said_of", "concerns"),
    [
        ("", True),
        ("plan#1", True),
        ("plan#1/llm:1#1", True),
        ("plan#1/llm:1#1/turn#2", True),
        ("plan#1/llm:1#1/memory#1", True),
        ("plan#1/llm:1#2", False),
        ("plan#2", False),
        ("check#1", False),
    ],
)
def test_a_step_is_judged_by_what_is_said_of_it_and_of_the_whole(
    said_of: str, *, concerns: bool
) -> None:
    found = [Signal(said_of, 0.0, 1.0, 1, "feedback")]
    assert (outcome_of(found, "plan#1/llm:1#1/memory#1") is not None) == concerns


@given(
    st.lists(
        st.builds(
            Signal, st.just(""), st.floats(0, 1), st.floats(0.1, 1), st.just(1), st.just("feedback")
        ),
        min_size=1,
    )
)
def test_an_outcome_lies_between_its_signals(found: list[Signal]) -> None:
    outcome = outcome_of(found)
    assert outcome is not None
    said = [one.outcome for one in found]
    assert min(said) - 1e-9 <= outcome.value <= max(said) + 1e-9
    assert outcome.weight == max(one.weight for one in found)
