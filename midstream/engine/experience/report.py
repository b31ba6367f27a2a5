"""What lessons have been worth: each by itself, and calls with any against calls with none."""

from __future__ import annotations

import math
from dataclasses import dataclass

from midstream.engine.experience.ranking import hurts, tokens_of, uplift
from midstream.projections.experience import ExperienceState, Lesson


@dataclass(frozen=True, slots=True)
class Worth:
    """What one lesson has been worth.

    Attributes:
        lesson: The lesson.
        uplift: What it adds to the chance of a good outcome, as far as is known.
        deviation: The standard deviation of that.
        hurts: The probability that it does harm.
        told: Weighed outcomes with it.
        untold: Weighed outcomes without it.
        tokens: What telling it takes, about.
    """

    lesson: Lesson
    uplift: float
    deviation: float
    hurts: float
    told: float
    untold: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Report:
    """What all lessons of a tenant have been worth.

    Attributes:
        lessons: Those in force, and those that were taken out of it, the most useful first.
        with_any: The mean outcome of calls that were told something, or None.
        with_none: That of calls that lessons fitted and that were told nothing, or None.
        calls_with: How many calls that were.
        calls_without: The same of the others.
        deviation: The standard deviation of the difference of both means.
        conflicts: Pairs of lessons that contradict each other, both active.
    """

    lessons: tuple[Worth, ...]
    with_any: float | None
    with_none: float | None
    calls_with: int
    calls_without: int
    deviation: float
    conflicts: tuple[tuple[str, str], ...]


def report_of(state: ExperienceState) -> Report:
    """Return the report of what has been learnt."""
    told = [one.outcome for one in state.credits.values() if one.told]
    untold = [one.outcome for one in state.credits.values() if not one.told]
    worth = sorted(
        map(_worth, state.lessons.values()), key=lambda one: (-one.uplift, one.lesson.id)
    )
    conflicts = tuple(
        pair
        for pair in state.conflicts
        if all(state.lessons[name].status == "active" for name in pair)
    )
    return Report(
        tuple(worth),
        _mean(told),
        _mean(untold),
        len(told),
        len(untold),
        math.sqrt(_variance(told) + _variance(untold)),
        conflicts,
    )


def _worth(lesson: Lesson) -> Worth:
    mean, deviation = uplift(lesson)
    return Worth(
        lesson,
        mean,
        deviation,
        hurts(lesson),
        lesson.with_ok + lesson.with_bad,
        lesson.without_ok + lesson.without_bad,
        tokens_of(lesson),
    )


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _variance(values: list[float]) -> float:
    """Return the variance of the mean."""
    if len(values) < 2:
        return 0.0
    mean = sum(values) / len(values)
    return sum((value - mean) ** 2 for value in values) / (len(values) - 1) / len(values)
