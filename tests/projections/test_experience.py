"""What has been learnt is a fold: of any facts, in any parts, and with what was erased gone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from midstream.events.codec import decode, encode
from midstream.events.envelope import Event
from midstream.events.experience_facts import (
    Evidence,
    ExperienceDistilled,
    ExperienceErased,
    LessonContradicted,
    LessonCredited,
    LessonDrafted,
    LessonMoved,
    LessonSupported,
    LessonTried,
)
from midstream.events.ids import RunId
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import (
    TRIAL,
    ExperienceState,
    fold_experience,
    stream_of,
)

NAMES = st.sampled_from(["L-1", "L-2", "L-3"])
RUNS = st.sampled_from(["r1", "r2", "r3"])
EVIDENCE = st.lists(st.builds(Evidence, run=RUNS, seq=st.integers(1, 4)), max_size=3).map(tuple)
PART = st.sampled_from([0.0, 0.25, 0.5, 1.0])
TOLD = st.lists(NAMES, max_size=2, unique=True).map(tuple)
FACTS: st.SearchStrategy[Fact] = st.one_of(
    st.builds(
        LessonDrafted,
        id=NAMES,
        when=st.just("w"),
        do=st.just("d"),
        evidence=EVIDENCE,
        supersedes=st.one_of(st.just(""), NAMES),
    ),
    st.builds(LessonSupported, id=NAMES, evidence=EVIDENCE),
    st.builds(LessonMoved, id=NAMES, status=st.sampled_from(["active", "shadow", "retired"])),
    st.builds(LessonContradicted, id=NAMES, other=NAMES),
    st.builds(
        LessonCredited,
        run=RUNS,
        step=st.just("s"),
        told=TOLD,
        untold=TOLD,
        outcome=PART,
        weight=PART,
    ),
    st.builds(
        LessonTried,
        id=NAMES,
        run=RUNS,
        step=st.just("s"),
        outcomes=st.just((1.0,)),
        before=PART,
        passed=st.booleans(),
    ),
    st.builds(ExperienceDistilled, run=RUNS, upto=st.integers(1, 4), distiller=st.just("rule/1")),
    st.builds(ExperienceErased, run=RUNS),
)


def events_of(facts: Sequence[Fact]) -> list[Event]:
    found: list[Event] = []
    for seq, fact in enumerate(facts, 1):
        draft = encode(fact, at=seq)
        found.append(
            decode(
                (
                    RunId(stream_of("t")),
                    seq,
                    seq,
                    seq,
                    draft.type,
                    1,
                    "engine",
                    None,
                    None,
                    None,
                    draft.body,
                    b"",
                )
            )
        )
    return found


@given(st.lists(FACTS, max_size=30), st.integers(0, 30))
def test_folding_in_two_parts_is_folding_at_once(facts: list[Fact], cut: int) -> None:
    events = events_of(facts)
    first = fold_experience(events[:cut])
    assert fold_experience(events[cut:], first) == fold_experience(events)


@given(st.lists(FACTS, max_size=30), RUNS)
def test_nothing_of_an_erased_run_is_left(facts: list[Fact], run: str) -> None:
    state = fold_experience(events_of([*facts, ExperienceErased(run=run)]))
    assert not [use for use in state.credits if use[0] == run]
    assert not [key for key in state.trials if key[1] == run]
    assert not [key for one in state.lessons.values() for key in one.evidence if key[0] == run]


@given(st.lists(FACTS, max_size=30))
def test_counts_are_those_of_the_credits(facts: list[Fact]) -> None:
    # Lessons exist from the start here: a credit counts for those that are known when it is given.
    known = [LessonDrafted(id=name, when="w", do="d") for name in ("L-1", "L-2", "L-3")]
    later = [fact for fact in facts if not isinstance(fact, LessonDrafted)]
    state = fold_experience(events_of([*known, *later]))
    for name, lesson in state.lessons.items():
        told = [one for one in state.credits.values() for listed in one.told if listed == name]
        assert lesson.told == len(told)
        tried = [one for (lesson_, _, _), one in state.trials.items() if lesson_ == name]
        counted = sum(one.weight * one.outcome for one in told)
        assert lesson.with_ok == counted + sum(TRIAL * sum(one.outcomes) for one in tried)


def drafted(name: str, **options: Any) -> LessonDrafted:
    return LessonDrafted(id=name, when="w", do="d", **options)


def state_after(*facts: Fact) -> ExperienceState:
    return fold_experience(events_of(facts))


def test_a_lesson_is_replaced_when_the_one_that_refines_it_becomes_active() -> None:
    old = drafted("L-1", evidence=(Evidence(run="r1", seq=1),))
    first = [old, LessonMoved(id="L-1", status="active"), drafted("L-2", supersedes="L-1")]
    state = state_after(*first)
    assert state.lessons["L-1"].status == "active"
    assert list(state.lessons["L-2"].evidence) == [("r1", 1)]
    state = state_after(*first, LessonMoved(id="L-2", status="active"))
    assert (state.lessons["L-1"].status, state.lessons["L-2"].status) == ("superseded", "active")


def test_a_lesson_without_evidence_left_retires_and_one_with_some_does_not() -> None:
    both = (Evidence(run="r1", seq=1), Evidence(run="r2", seq=1))
    state = state_after(
        drafted("L-1", evidence=both[:1]),
        drafted("L-2", evidence=both),
        drafted("L-3"),
        ExperienceErased(run="r1"),
    )
    assert [one.status for one in state.lessons.values()] == ["retired", "candidate", "candidate"]


def test_a_later_credit_of_a_step_replaces_the_earlier_one() -> None:
    def credit(outcome: float) -> LessonCredited:
        return LessonCredited(run="r", step="s", told=("L-1",), outcome=outcome, weight=1.0)

    state = state_after(drafted("L-1"), credit(1.0), credit(0.0))
    lesson = state.lessons["L-1"]
    assert (lesson.with_ok, lesson.with_bad, lesson.told, len(state.runs)) == (0.0, 1.0, 1, 1)


def test_lessons_that_contradict_each_other_are_rivals_while_both_are_active() -> None:
    facts = [drafted("L-1"), drafted("L-2"), LessonContradicted(id="L-2", other="L-1")]
    active = [LessonMoved(id=name, status="active") for name in ("L-1", "L-2")]
    assert state_after(*facts, active[0]).rivals("L-1") == []
    state = state_after(*facts, *active)
    assert (state.rivals("L-1"), state.rivals("L-2")) == (["L-2"], ["L-1"])
    assert state_after(*facts, *active, LessonMoved(id="L-1", status="retired")).rivals("L-2") == []
