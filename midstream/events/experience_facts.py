"""The facts of experience: what people and programs said of steps, what was learnt from it, and what that was worth.

`feedback.added` and `memory.read` stand in the run that they are about. The others are about many runs, and stand in the
stream `system:experience:TENANT` of the tenant whose runs taught them.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from midstream.events.fact import Fact

FeedbackKind = Literal["positive", "negative", "correction", "score"]
"""What feedback says: it was right, it was wrong, what would have been right, or how good it was."""

FeedbackSource = Literal["person", "program"]
"""Who gives feedback: somebody, or a test, a validator, a callback."""


class FeedbackAdded(Fact):
    """Somebody, or a program, said how good a step or a whole run was; at any time, also after the run has ended.

    The step is the event's address; none means the run. Who gave it is the event's actor.

    Attributes:
        id: Of this feedback; feedback that is given twice counts once.
        kind: `positive`, `negative`, `correction` (the text says what would have been right) or `score`.
        score: From 0 to 1; set for `score`, and possible beside any other kind.
        text: Why, or what would have been right.
        source: `person`, or `program`.
    """

    type: Literal["feedback.added"] = "feedback.added"
    id: str
    kind: FeedbackKind
    score: float | None = None
    text: str = ""
    source: FeedbackSource = "person"


LessonKind = Literal["do", "avoid", "fact", "workflow", "preference", "skill"]
"""What a lesson is: something to do, to avoid, to know, a way to work, a taste, or a curated skill."""

LessonStatus = Literal["candidate", "shadow", "active", "quarantined", "retired", "superseded"]
"""How far a lesson is: waiting for somebody, looked up but not told, told, or no more for one of three reasons."""

Trust = Literal["person", "verified", "model", "external"]
"""On whose word a lesson rests, the most trusted first: a person's, a test's, a model's, or text from outside."""

Origin = Literal["person", "rule", "model", "skill"]
"""Who wrote a lesson: a person, the rule, a model, or the file of a skill."""

Withheld = Literal["budget", "rank", "similar", "conflict", "doubt", "explore", "shadow"]
"""Why a lesson that fits was not told: no room, others are better, one like it was told, it contradicts another one, it
did not look useful this time, nothing was told to see how it goes without, or it is only being watched."""


class Evidence(BaseModel):
    """An event that a lesson rests on.

    Attributes:
        run: Its run.
        seq: Its number.
        by: Who said it, as the event's actor; empty where nobody looked.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    run: str
    seq: int
    by: str = ""


class Offer(BaseModel):
    """A lesson that fits a call.

    Attributes:
        id: The lesson.
        score: What it was ranked by.
        why: Empty where it was told, else why it was not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)
    id: str
    score: float
    why: Withheld | Literal[""] = ""


class LessonDrafted(Fact):
    """A lesson was written; it is never rewritten.

    Attributes:
        id: Of the lesson.
        kind: See `LessonKind`.
        when: The situation that it is for, and what it is looked up by.
        do: The advice.
        cause: Why, for people; never told to a model.
        graph: Only for this graph; empty for all.
        node: Only for this node; empty for all.
        evidence: What it rests on.
        confidence: How sure its author is, from 0 to 1.
        trust: That of its least trusted evidence.
        origin: Who wrote it.
        name: Of a skill; empty for others.
        digest: Of a skill's content, in hex.
        supersedes: The lesson that it refines or replaces, or empty.
    """

    type: Literal["lesson.drafted"] = "lesson.drafted"
    id: str
    kind: LessonKind = "do"
    when: str
    do: str
    cause: str = ""
    graph: str = ""
    node: str = ""
    evidence: tuple[Evidence, ...] = ()
    confidence: float = 0.5
    trust: Trust = "external"
    origin: Origin = "model"
    name: str = ""
    digest: str = ""
    supersedes: str = ""


class LessonSupported(Fact):
    """More evidence says the same as a lesson."""

    type: Literal["lesson.supported"] = "lesson.supported"
    id: str
    evidence: tuple[Evidence, ...]


class LessonMoved(Fact):
    """A lesson has another status from here on.

    Attributes:
        id: The lesson.
        status: The new status.
        reason: Why.
    """

    type: Literal["lesson.moved"] = "lesson.moved"
    id: str
    status: LessonStatus
    reason: str = ""


class LessonContradicted(Fact):
    """Two lessons cannot both be right; neither is told while both are active."""

    type: Literal["lesson.contradicted"] = "lesson.contradicted"
    id: str
    other: str
    reason: str = ""


class LessonCredited(Fact):
    """What came of a call to which lessons were offered; a later one of the same step replaces it.

    Attributes:
        run: The run.
        step: The `memory.read` in it.
        told: The lessons that were told.
        untold: Those that fitted and were not.
        outcome: From 0 to 1.
        weight: How much the outcome counts, from 0 to 1.
    """

    type: Literal["lesson.credited"] = "lesson.credited"
    run: str
    step: str
    told: tuple[str, ...] = ()
    untold: tuple[str, ...] = ()
    outcome: float
    weight: float


class LessonTried(Fact):
    """A lesson was tried: the run that taught it was forked, and its step was run again with the lesson.

    Attributes:
        id: The lesson.
        run: The run that was forked.
        step: The step that was run again.
        outcomes: What came of each try, from 0 to 1.
        before: What had come of it without the lesson.
        passed: The lesson helped; of a run that had gone well, it did no harm.
        tries: The forks in which it was tried.
    """

    type: Literal["lesson.tried"] = "lesson.tried"
    id: str
    run: str
    step: str
    outcomes: tuple[float, ...]
    before: float
    passed: bool
    tries: tuple[str, ...] = ()


class ExperienceDistilled(Fact):
    """A run was looked at for lessons.

    Attributes:
        run: The run.
        upto: The newest event that was looked at.
        distiller: The model that was asked, or `rule`, and the version of what it was told, as in `rule/1`.
        refused: Why drafts were refused.
    """

    type: Literal["experience.distilled"] = "experience.distilled"
    run: str
    upto: int
    distiller: str
    refused: tuple[str, ...] = ()


class ExperienceErased(Fact):
    """What a run taught is not to be used any more; a lesson without any other evidence retires.

    Attributes:
        run: The run.
        reason: Why.
        forgotten: The content of the run was erased, and the words of lessons that rest on it alone with it.
    """

    type: Literal["experience.erased"] = "experience.erased"
    run: str
    reason: str = ""
    forgotten: bool = False
