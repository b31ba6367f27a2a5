"""Which lessons a call is told: how well they fit, what they have been worth, and a seeded bit of chance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Literal

from midstream.engine.experience.embedding import Vector, cosine

if TYPE_CHECKING:
    from midstream.events.experience_facts import Offer, Withheld
    from midstream.projections.experience import ExperienceState, Lesson

TRUSTED: Mapping[str, float] = {"person": 1.15, "verified": 1.1, "model": 1.0, "external": 0.6}
"""What a lesson's score is multiplied by, by whose word it rests on."""

_ALIKE = 0.9
_NEW = 3
_HOPE = 0.05
_LISTED = 20


@dataclass(frozen=True, slots=True)
class AdviceLimits:
    """How much a call is told.

    Attributes:
        lessons: At most so many.
        tokens: At most so many.
        skills: At most so many skills, besides.
        skill_tokens: At most so many tokens of skills.
        explore: The part of the calls that is told nothing at first, to see how it goes without; it shrinks as outcomes
            come in.
    """

    lessons: int = 3
    tokens: int = 400
    skills: int = 1
    skill_tokens: int = 2000
    explore: float = 0.15


def uplift(lesson: Lesson) -> tuple[float, float]:
    """Return what a lesson adds to the chance of a good outcome, and the standard deviation of that.

    Beta distributions over both sides, each begun with one good and one bad outcome.
    """
    with_mean, with_var = _beta(lesson.with_ok, lesson.with_bad)
    without_mean, without_var = _beta(lesson.without_ok, lesson.without_bad)
    return with_mean - without_mean, math.sqrt(with_var + without_var)


def hurts(lesson: Lesson) -> float:
    """Return the probability that calls go worse with a lesson than without, by the normal approximation."""
    mean, deviation = uplift(lesson)
    return 0.5 * math.erfc(mean / (deviation * math.sqrt(2)))


def _beta(ok: float, bad: float) -> tuple[float, float]:
    a, b = 1 + ok, 1 + bad
    return a / (a + b), a * b / ((a + b) ** 2 * (a + b + 1))


def choose(
    state: ExperienceState,
    relevance: Mapping[str, float],
    vector: Callable[[Lesson], Vector],
    *,
    seed: str,
    limits: AdviceLimits,
) -> tuple[Offer, ...]:
    """Return the lessons that fit, the best first, each with the reason where it is not told.

    Args:
        state: The lessons.
        relevance: How well each fits, from 0 to 1.
        vector: Gives the vector of a lesson.
        seed: The same seed over the same state chooses the same.
        limits: How much may be told.
    """
    from midstream.events.experience_facts import Offer

    chance = Random(seed)
    scored = sorted(
        (
            _scored(state, state.lessons[name], fit, chance)
            for name, fit in sorted(relevance.items())
        ),
        key=lambda one: (-one[0], one[2].id),
    )[:_LISTED]
    outcomes = len(state.credits)
    silent = chance.random() < limits.explore / math.sqrt(1 + outcomes / 20)
    told: list[Lesson] = []
    offers: list[Offer] = []
    for score, doubted, lesson in scored:
        why = _why_not(state, lesson, doubted=doubted, silent=silent)
        why = why or _no_room(lesson, told, vector, limits)
        if not why:
            told.append(lesson)
        offers.append(Offer(id=lesson.id, score=round(score, 6), why=why))
    return tuple(offers)


def _scored(
    state: ExperienceState, lesson: Lesson, fit: float, chance: Random
) -> tuple[float, bool, Lesson]:
    """Return a lesson's score, and whether it does not look useful this time."""
    from midstream.projections.experience import HALF_LIFE

    drawn = chance.betavariate(1 + lesson.with_ok, 1 + lesson.with_bad) - chance.betavariate(
        1 + lesson.without_ok, 1 + lesson.without_bad
    )
    if lesson.told < _NEW:  # told a few times before anything is made of it
        drawn = max(drawn, _HOPE)
    age = len(state.runs) - lesson.last
    decay = 0.5 + 0.5 * 2 ** (-age / HALF_LIFE)
    specific = 1 + 0.25 * (bool(lesson.graph) + bool(lesson.node))
    score = fit * (1 + drawn) * decay * specific * TRUSTED[lesson.trust]
    return score, drawn <= 0, lesson


def _why_not(
    state: ExperienceState, lesson: Lesson, *, doubted: bool, silent: bool
) -> Withheld | Literal[""]:
    if lesson.status != "active":
        return "shadow"
    if state.rivals(lesson.id):
        return "conflict"
    if silent:
        return "explore"
    return "doubt" if doubted else ""


def _no_room(
    lesson: Lesson, told: list[Lesson], vector: Callable[[Lesson], Vector], limits: AdviceLimits
) -> Withheld | Literal[""]:
    skill = lesson.kind == "skill"
    others = [other for other in told if (other.kind == "skill") == skill]
    most, tokens = (
        (limits.skills, limits.skill_tokens) if skill else (limits.lessons, limits.tokens)
    )
    if len(others) >= most:
        return "rank"
    if any(cosine(vector(lesson), vector(other)) > _ALIKE for other in others):
        return "similar"
    taken = sum(tokens_of(other) for other in others)
    return "budget" if taken + tokens_of(lesson) > tokens else ""


def tokens_of(lesson: Lesson) -> int:
    """Return about how many tokens it takes to tell a lesson."""
    return len(line_of(lesson)) // 4 + 1


def line_of(lesson: Lesson) -> str:
    """Return a lesson as a model is told it."""
    if lesson.kind == "skill":
        return f"[{lesson.id}] {lesson.name} (when {lesson.when}):\n{lesson.do}"
    advice = f"avoid this: {lesson.do}" if lesson.kind == "avoid" else lesson.do
    return f"[{lesson.id}] When {lesson.when}: {advice}"


HEAD = "Advice from earlier runs, which may not fit here; leave aside what does not:"


def told_text(state: ExperienceState, offers: tuple[Offer, ...]) -> str:
    """Return what a model is told of the offers, or an empty text."""
    lines = [line_of(state.lessons[offer.id]) for offer in offers if not offer.why]
    return "\n".join([HEAD, *lines]) if lines else ""
