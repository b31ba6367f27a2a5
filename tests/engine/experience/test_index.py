"""Finding lessons: by words and meaning, in their scope, and with nothing that is not in the log."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream.engine.experience.embedding import Trigrams, Vector, cosine
from midstream.engine.experience.index import Index, terms_of
from midstream.events.experience_facts import LessonMoved
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import ExperienceState, fold_experience
from tests.projections.test_experience import FACTS, drafted, events_of

LESSONS = [
    ("L-1", "planning a trip by train", "look at the night trains first", "trip", "plan"),
    ("L-2", "planning any trip", "ask how many children come along", "trip", ""),
    ("L-3", "writing a summary", "name the sources", "", ""),
    ("L-4", "planning a trip by train", "book seats", "other", ""),
    ("L-5", "checking a bill", "add the numbers again", "trip", "check"),
]


def learnt(*more: Fact) -> ExperienceState:
    facts: list[Fact] = []
    for name, when, do, graph, node in LESSONS:
        fact = drafted(name, graph=graph, node=node)
        facts += [
            fact.model_copy(update={"when": when, "do": do}),
            LessonMoved(id=name, status="active"),
        ]
    return fold_experience(events_of([*facts, *more]))


def indexed(state: ExperienceState) -> Index:
    index = Index(Trigrams())
    index.update(state, state.lessons)
    return index


def test_what_fits_best_comes_first_and_other_scopes_do_not_come() -> None:
    state = learnt()
    index = indexed(state)
    found = index.relevance(state, "plan a trip by night train", graph="trip", node="plan")
    assert max(found, key=lambda name: found[name]) == "L-1"
    assert found.keys() <= {"L-1", "L-2", "L-3"}
    assert "L-1" not in index.relevance(state, "train", graph="trip", node="check")
    assert index.relevance(state, "train", graph="trip", node="plan").keys() <= {
        "L-1",
        "L-2",
        "L-3",
    }


@pytest.mark.parametrize("status", ["candidate", "quarantined", "retired", "superseded"])
def test_only_lessons_in_force_are_found(status: str) -> None:
    state = learnt(LessonMoved.model_validate({"id": "L-1", "status": status}))
    assert "L-1" not in indexed(state).relevance(state, "night train", graph="trip", node="plan")


@pytest.mark.parametrize(
    "text",
    [
        'when_text: "x" OR 1',
        "train AND NOT plan",
        "NEAR(train plan, 3)",
        '") OR lesson_words MATCH ("',
        "tr* ^plan -trip +a",
        "'; DROP TABLE lesson; --",
        "{when_text do_text} : train",
        "\0 train",
        "",
        "?!",
    ],
)
def test_operators_in_a_text_are_words(text: str) -> None:
    state = learnt()
    index = indexed(state)
    found = index.relevance(state, text, graph="trip", node="plan")
    assert found.keys() <= {"L-1", "L-2", "L-3"}
    assert index.relevance(state, "night train", graph="trip", node="plan")


@given(st.text(max_size=200))
@settings(max_examples=200)
def test_no_text_is_a_search_expression(text: str) -> None:
    expression = terms_of(text)
    for term in expression.split(" OR ") if expression else ():
        assert term.startswith('"')
        assert term.endswith('"')
        assert '"' not in term[1:-1]
    state = learnt()
    indexed(state).relevance(state, text, graph="trip", node="plan")


@given(st.lists(FACTS, max_size=20), st.integers(0, 20))
@settings(max_examples=50)
def test_the_tables_are_those_of_the_log_however_they_were_made(
    facts: list[Fact], cut: int
) -> None:
    events = events_of(facts)
    state = ExperienceState()
    grown = Index(Trigrams())
    for part in (events[:cut], events[cut:]):
        fold_experience(part, state)
        grown.update(state, sorted(state.lessons))
    fresh = Index(Trigrams())
    fresh.update(state, sorted(state.lessons))
    assert grown.tables() == fresh.tables()
    before = grown.tables()
    grown.rebuild(state)
    assert grown.tables() == before


@given(st.text(max_size=100))
def test_a_vector_has_length_one_or_none(text: str) -> None:
    (vector,) = Trigrams().embed([text])
    length = math.sqrt(cosine(vector, vector))
    assert length == pytest.approx(1.0, abs=1e-3) or length == 0.0
    assert list(vector) == list(Trigrams().embed([text])[0])


def test_words_that_are_alike_are_near() -> None:
    first, second, third = Trigrams().embed(["planning trips", "plan a trip", "quarterly balance"])
    assert cosine(first, second) > cosine(first, third)


class Constant:
    """An embedder of somebody's own, to which all texts mean the same."""

    name = "constant"

    def __init__(self) -> None:
        self.texts = 0

    def embed(self, texts: Sequence[str]) -> Sequence[Vector]:
        self.texts += len(texts)
        return [(1.0, 0.0)] * len(texts)


def test_another_embedder_is_asked_once_for_each_lesson() -> None:
    state, embedder = learnt(), Constant()
    index = Index(embedder)
    index.update(state, state.lessons)
    for _ in range(3):
        assert index.relevance(state, "anything", graph="trip", node="plan").keys() == {
            "L-1",
            "L-2",
            "L-3",
        }
    assert embedder.texts == 3 + 3
