"""Which lessons a call is told: seeded, within limits, and by what they have been worth."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.engine.experience.credit import upkeep
from midstream.engine.experience.embedding import Trigrams
from midstream.engine.experience.index import Index
from midstream.engine.experience.ranking import (
    AdviceLimits,
    choose,
    hurts,
    line_of,
    tokens_of,
    told_text,
    uplift,
)
from midstream.events.experience_facts import (
    LessonContradicted,
    LessonCredited,
    LessonDrafted,
    LessonMoved,
    Offer,
)
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import HALF_LIFE, ExperienceState, Lesson, fold_experience
from tests.projections.test_experience import events_of

NO_CHANCE = AdviceLimits(explore=0.0)


def lesson(name: str, do: str = "", status: str = "active", **options: object) -> list[Fact]:
    made = LessonDrafted.model_validate(
        {
            "id": name,
            "when": "planning",
            "do": do or f"advice {name * 3}",
            "trust": "person",
            **options,
        }
    )
    return [made, LessonMoved.model_validate({"id": name, "status": status})]


def outcomes(name: str, *, told: bool, good: int, bad: int) -> list[Fact]:
    side = {"told": (name,)} if told else {"untold": (name,)}
    return [
        LessonCredited.model_validate(
            {
                "run": f"{name}{told}{place}",
                "step": "s",
                **side,
                "outcome": float(place < good),
                "weight": 1.0,
            }
        )
        for place in range(good + bad)
    ]


def offers(
    state: ExperienceState, seed: str = "s", limits: AdviceLimits = NO_CHANCE
) -> dict[str, Offer]:
    fits = dict.fromkeys(state.lessons, 1.0)
    found = choose(state, fits, Index(Trigrams()).vector, seed=seed, limits=limits)
    return {offer.id: offer for offer in found}


def learnt(*facts: list[Fact]) -> ExperienceState:
    return fold_experience(events_of([fact for listed in facts for fact in listed]))


WORDS = ["swim early", "cook slowly", "read aloud", "walk the dog", "paint it blue", "sing low"]


def many(number: int = 6) -> list[list[Fact]]:
    return [lesson(f"L-{place}", do=WORDS[place]) for place in range(number)]


@given(st.text(max_size=8))
def test_the_same_seed_chooses_the_same(seed: str) -> None:
    state = learnt(*many())
    assert offers(state, seed) == offers(state, seed)


def test_a_new_active_lesson_is_told() -> None:
    state = learnt(lesson("L-1"))
    assert all(not offers(state, str(seed))["L-1"].why for seed in range(50))


def test_no_more_lessons_are_told_than_the_limits_allow() -> None:
    found = offers(learnt(*many()))
    assert [one.why for one in found.values()] == ["", "", "", "rank", "rank", "rank"]
    small = offers(learnt(*many()), limits=AdviceLimits(tokens=20, explore=0.0))
    assert [one.why for one in small.values()].count("budget") >= 4


@given(st.integers(0, 200), st.integers(0, 5), st.text(max_size=4))
@settings(max_examples=50)
def test_what_is_told_keeps_within_the_tokens(tokens: int, lessons: int, seed: str) -> None:
    state = learnt(*many())
    found = offers(state, seed, AdviceLimits(lessons=lessons, tokens=tokens))
    told = [state.lessons[name] for name, one in found.items() if not one.why]
    assert len(told) <= lessons
    assert sum(tokens_of(one) for one in told) <= tokens


def test_why_a_lesson_is_not_told_is_said() -> None:
    state = learnt(
        lesson("L-1", do="start with the castle"),
        lesson("L-2", do="start with the castles"),
        lesson("L-3", status="shadow", do="something else"),
        lesson("L-4", do="never use tables"),
        lesson("L-5", do="always use figures"),
        [LessonContradicted(id="L-4", other="L-5")],
    )
    why = {name: one.why for name, one in offers(state).items()}
    assert sorted(why.values()) == ["", "conflict", "conflict", "shadow", "similar"]
    assert (why["L-3"], why["L-4"]) == ("shadow", "conflict")


def test_a_part_of_the_calls_is_told_nothing_to_see_how_it_goes_without() -> None:
    state = learnt(lesson("L-1"))
    limits = AdviceLimits(explore=0.15)
    silent = sum(offers(state, str(seed), limits)["L-1"].why == "explore" for seed in range(1000))
    assert 110 < silent < 190


def test_a_lesson_that_hurt_is_told_less_than_one_that_helped() -> None:
    state = learnt(
        lesson("L-good", do="swim early"),
        lesson("L-bad", do="cook slowly"),
        outcomes("L-good", told=True, good=9, bad=1),
        outcomes("L-good", told=False, good=3, bad=7),
        outcomes("L-bad", told=True, good=2, bad=5),
        outcomes("L-bad", told=False, good=5, bad=2),
    )
    told = {"L-good": 0, "L-bad": 0}
    for seed in range(200):
        for name, one in offers(state, str(seed)).items():
            told[name] += not one.why
    assert told["L-good"] > 190
    assert told["L-bad"] < 30
    assert uplift(state.lessons["L-good"])[0] > 0.3
    assert hurts(state.lessons["L-bad"]) > 0.9 > 0.1 > hurts(state.lessons["L-good"])


def test_a_lesson_that_hurts_is_quarantined_once_enough_is_known() -> None:
    few = learnt(
        lesson("L-1"),
        outcomes("L-1", told=True, good=0, bad=2),
        outcomes("L-1", told=False, good=20, bad=0),
    )
    assert upkeep(few) == []
    enough = learnt(
        lesson("L-1"),
        outcomes("L-1", told=True, good=0, bad=3),
        outcomes("L-1", told=False, good=13, bad=0),
    )
    (move,) = upkeep(enough)
    assert isinstance(move, LessonMoved)
    assert (move.id, move.status) == ("L-1", "quarantined")


def test_a_hard_task_is_no_reason_to_blame_a_lesson() -> None:
    state = learnt(
        lesson("L-1"),
        outcomes("L-1", told=True, good=3, bad=17),
        outcomes("L-1", told=False, good=0, bad=20),
    )
    assert upkeep(state) == []


def test_a_lesson_that_nothing_needs_retires_and_a_skill_does_not() -> None:
    runs = outcomes("other", told=True, good=3 * HALF_LIFE + 1, bad=0)
    state = learnt(lesson("L-1"), lesson("S-1", kind="skill"), runs)
    (move,) = upkeep(state)
    assert isinstance(move, LessonMoved)
    assert (move.id, move.status) == ("L-1", "retired")


def test_a_lesson_is_told_as_advice_with_its_id() -> None:
    state = learnt(lesson("L-1", do="swim early"), lesson("L-2", do="cook", kind="avoid"))
    text = told_text(state, tuple(Offer(id=name, score=1) for name in ("L-1", "L-2")))
    assert text.splitlines()[1:] == [
        "[L-1] When planning: swim early",
        "[L-2] When planning: avoid this: cook",
    ]
    assert "may not fit" in text
    assert told_text(state, (Offer(id="L-1", score=1, why="rank"),)) == ""
    skill = Lesson("S-a@1", {"kind": "skill", "name": "a", "when": "citing", "do": "Cite."})
    assert line_of(skill) == "[S-a@1] a (when citing):\nCite."
