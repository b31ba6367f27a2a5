"""Lessons that become active by themselves: when enough runs and enough people say the same, and it is wanted."""

from __future__ import annotations

from typing import Any

import pytest

from midstream.engine.experience.credit import promotions
from midstream.projections.experience import ExperienceState, Lesson
from tests.engine.experience.taught import engine, ran

SAID = "say what each museum costs, in euros"


async def said_of(opened: Any, *authors: str) -> None:
    """Have one run each be told the same."""
    for number, author in enumerate(authors):
        run = await ran(opened, f"r{number}")
        await run.feedback("plan#1", kind="correction", text=SAID, by=author)


@pytest.mark.parametrize(
    ("authors", "status"),
    [
        (("ann", "bob", "ann"), "active"),
        (("ann", "ann", "ann"), "candidate"),  # one voice
        (("ann", "bob"), "candidate"),  # two runs
    ],
)
async def test_enough_runs_and_sources_activate_a_lesson(
    authors: tuple[str, ...], status: str
) -> None:
    async with engine() as opened:
        await said_of(opened, *authors)
        await opened.experience.distil(auto_activate=True)
        (lesson,) = await opened.experience.lessons()
        assert lesson.status == status
        assert set(lesson.evidence.values()) == {f"user:{author}" for author in authors}


async def test_nothing_is_activated_unless_it_is_wanted() -> None:
    async with engine() as opened:
        await said_of(opened, "ann", "bob", "eve")
        await opened.experience.distil()
        (lesson,) = await opened.experience.lessons()
        assert lesson.status == "candidate"
        await opened.experience.distil(
            auto_activate=True
        )  # also later, though nothing new was said
        (lesson,) = await opened.experience.lessons()
        assert (lesson.status, lesson.reason) == (
            "active",
            "3 runs support it, in the words of 3 sources",
        )


def supported(**data: Any) -> Lesson:
    """A candidate that three runs and sources support."""
    made = Lesson("L-1", {"when": "w", "do": "d", "trust": "person", **data})
    made.evidence = {(f"r{n}", 1): f"user:{n}" for n in range(3)}
    return made


def test_what_rests_on_text_from_outside_or_is_disputed_waits_for_a_person() -> None:
    state = ExperienceState(lessons={"L-1": supported()})
    assert len(promotions(state)) == 1
    state.lessons["L-1"] = supported(trust="external")
    assert promotions(state) == []
    failed = supported()
    failed.tried = False
    state.lessons["L-1"] = failed
    assert promotions(state) == []
    rival = Lesson("L-2", {"when": "w", "do": "not d", "trust": "person"}, status="active")
    state = ExperienceState(lessons={"L-1": supported(), "L-2": rival})
    state.conflicts["L-1", "L-2"] = "they cannot both be right"
    assert promotions(state) == []
