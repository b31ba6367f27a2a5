"""From a draft to facts: gated, compared with what is known, and never written over anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from midstream.engine.experience.embedding import cosine
from midstream.engine.experience.gates import LessonDraft, refusal
from midstream.engine.experience.index import Index
from midstream.events.experience_facts import (
    LessonContradicted,
    LessonDrafted,
    LessonSupported,
    Origin,
    Trust,
)
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import ExperienceState, Lesson

SAME = 0.92
"""Lessons that are more alike than this say the same."""

NEAR = 0.8
"""Lessons that are more alike than this are about the same thing."""

NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes a lesson, and on whose word.

    Attributes:
        origin: Who writes it.
        trust: That of its evidence and its author, the lesser.
        graph: The graph that it is for, or empty.
    """

    origin: Origin
    trust: Trust
    graph: str = ""


def neighbours(state: ExperienceState, index: Index, text: str) -> list[Lesson]:
    """Return the lessons in force that are nearest to a text, the nearest first."""
    found = index.relevance(state, text, known=True)
    return [state.lessons[name] for name in sorted(found, key=lambda name: (-found[name], name))][
        :NEIGHBOURS
    ]


def facts_of(
    state: ExperienceState, index: Index, draft: LessonDraft, author: Author
) -> tuple[list[Fact], str]:
    """Return what a draft comes to, and, where that is nothing, why.

    The same as a known lesson: evidence for that one. A refinement: a lesson that replaces the other one once it is active.
    A contradiction: a lesson, and a note that both cannot be right.
    """
    refused = refusal(draft.when, draft.do)
    if refused:
        return [], f"{refused}: {draft.do[:80]!r}"
    relation, other = _related(state, index, draft, author)
    if relation == "same" and other is not None:
        known = {(one.run, one.seq) for one in draft.evidence} <= other.evidence.keys()
        return ([], "") if known else ([LessonSupported(id=other.id, evidence=draft.evidence)], "")
    replaces = other is not None and (
        relation == "refines" or (relation == "contradicts" and draft.kind == other.kind == "fact")
    )
    made = LessonDrafted(
        id=lesson_id(author.graph, draft),
        kind=draft.kind,
        when=draft.when,
        do=draft.do,
        cause=draft.cause,
        graph=author.graph,
        node=draft.node,
        evidence=draft.evidence,
        confidence=draft.confidence,
        trust=author.trust,
        origin=author.origin,
        supersedes=other.id if other is not None and replaces else "",
    )
    if made.id in state.lessons:
        return [], ""
    facts: list[Fact] = [made]
    if relation == "contradicts" and other is not None and not replaces:
        facts.append(LessonContradicted(id=made.id, other=other.id, reason=draft.cause[:200]))
    return facts, ""


def lesson_id(graph: str, draft: LessonDraft) -> str:
    """Return the id of a lesson: the same for the same words in the same scope, so that a repeated append is recognised."""
    said = "\0".join((graph, draft.node, draft.kind, draft.when, draft.do))
    return f"L-{sha256(said.encode('utf-8', 'replace')).hexdigest()[:10]}"


def _related(
    state: ExperienceState, index: Index, draft: LessonDraft, author: Author
) -> tuple[str, Lesson | None]:
    """Return how a draft is related to a known lesson of the same scope, by its author's word or by how alike they are."""
    named = state.lessons.get(draft.other)
    if draft.relation and named is not None and _same_scope(named, draft, author):
        return draft.relation, named
    near = neighbours(state, index, f"{draft.when} {draft.do}")
    return _alike(index, [one for one in near if _same_scope(one, draft, author)], draft)


def _same_scope(lesson: Lesson, draft: LessonDraft, author: Author) -> bool:
    return (lesson.graph, lesson.node) == (author.graph, draft.node)


def _alike(index: Index, near: Sequence[Lesson], draft: LessonDraft) -> tuple[str, Lesson | None]:
    whole, advice = index.vector_of(draft.when, draft.do), index.vector_of(draft.do)
    for lesson in near:
        # Lessons of one node share the words of `when`: their advice has to be alike, too.
        alike = min(cosine(whole, index.vector(lesson)), cosine(advice, index.vector_of(lesson.do)))
        opposite = (lesson.kind == "avoid") != (draft.kind == "avoid")
        if alike >= (NEAR if opposite else SAME):
            return ("contradicts" if opposite else "same"), lesson
    return "", None
