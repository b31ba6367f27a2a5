"""Crediting lessons with what came of the calls that they were offered to, and moving those that do not earn their place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from midstream.engine.experience.advisor import LESSONS
from midstream.engine.experience.ranking import hurts, uplift
from midstream.events.envelope import Event
from midstream.events.experience_facts import LessonCredited, LessonMoved, Offer
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import HALF_LIFE, ExperienceState, Lesson
from midstream.projections.outcomes import outcome_of, signals

ENOUGH = 16
"""Weighed outcomes on both sides together before a lesson is judged."""

EACH = 3
"""Of them, on either side: few, for a lesson that looks harmful is soon told to hardly anybody."""

SURE = 0.9
"""The probability that a lesson hurts from which on it is not told any more."""

SUPPORT = 3
"""Runs that a lesson must rest on to become active by itself, where that is wanted."""

SOURCES = 2
"""Authors of what was said in them."""

_UNUSED = 3 * HALF_LIFE


def credits_of(run_id: str, events: Sequence[Event]) -> tuple[LessonCredited, ...]:
    """Return what came of each call of a run that lessons were offered to; calls without an outcome are left out."""
    found = signals(events)
    made: list[LessonCredited] = []
    for event in events:
        if event.type != "memory.read" or event.data["memory"] != LESSONS:
            continue
        step = event.address or ""
        offers = [Offer.model_validate(one) for one in event.data["items"]["offers"]]
        outcome = outcome_of(found, step)
        if outcome is None or not offers:
            continue
        made.append(
            LessonCredited(
                run=run_id,
                step=step,
                told=tuple(offer.id for offer in offers if not offer.why),
                untold=tuple(offer.id for offer in offers if offer.why),
                outcome=round(outcome.value, 6),
                weight=outcome.weight,
            )
        )
    return tuple(made)


def news(state: ExperienceState, credits_: Iterable[LessonCredited]) -> list[Fact]:
    """Return those credits that say something that was not known."""
    fresh: list[Fact] = []
    for made in credits_:
        known = state.credits.get((made.run, made.step))
        same = known is not None and (known.outcome, known.weight) == (made.outcome, made.weight)
        if not same and made.run not in state.erased:
            fresh.append(made)
    return fresh


def upkeep(state: ExperienceState) -> list[Fact]:
    """Return the lessons that are to be moved: those that hurt, and those that nothing has needed for long."""
    moves: list[Fact] = []
    for lesson in state.lessons.values():
        if lesson.status not in ("active", "shadow"):
            continue
        if _judged(lesson) and hurts(lesson) > SURE:
            mean, _ = uplift(lesson)
            reason = f"calls go worse with it: {mean:+.2f}, {hurts(lesson):.0%} sure"
            moves.append(LessonMoved(id=lesson.id, status="quarantined", reason=reason))
        elif len(state.runs) - lesson.last > _UNUSED and lesson.kind != "skill":
            reason = f"not told in {len(state.runs) - lesson.last} runs"
            moves.append(LessonMoved(id=lesson.id, status="retired", reason=reason))
    return moves


def promotions(state: ExperienceState) -> list[Fact]:
    """Return the moves of candidates that so many runs and sources support that nobody has to be asked."""
    moves: list[Fact] = []
    for lesson in state.lessons.values():
        runs = {run for run, _ in lesson.evidence}
        sources = set(lesson.evidence.values())
        waits = lesson.status in ("candidate", "shadow") and lesson.trust != "external"
        supported = len(runs) >= SUPPORT and len(sources) >= SOURCES
        if waits and supported and lesson.tried is not False and not state.rivals(lesson.id):
            reason = f"{len(runs)} runs support it, in the words of {len(sources)} sources"
            moves.append(LessonMoved(id=lesson.id, status="active", reason=reason))
    return moves


def _judged(lesson: Lesson) -> bool:
    with_all = lesson.with_ok + lesson.with_bad
    without_all = lesson.without_ok + lesson.without_bad
    return min(with_all, without_all) >= EACH and with_all + without_all >= ENOUGH
