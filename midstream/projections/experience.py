"""What has been learnt: the lessons of one tenant, what they rest on, and what they have been worth, folded from facts.

The stream `system:experience:TENANT` is all that this needs. Counts are kept with and without a lesson: with, where it was
told to a model; without, where it fitted and was not told. Their difference is what the lesson is worth.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.payloads import VERSIONS
from midstream.events.system import PREFIX
from midstream.projections.fold import Handler

HALF_LIFE = 500
"""Runs with an outcome after which a lesson that was not told counts half."""

Use = tuple[str, str]
"""A run, and the `memory.read` in it."""


@dataclass(slots=True)
class Lesson:
    """What is known of one lesson; its words never change.

    Attributes:
        id: Its id.
        data: The data of its `lesson.drafted`.
        status: See `LessonStatus`.
        reason: Of its newest move.
        evidence: Who said it, by run and seq of each event that it rests on.
        with_ok: Weighed good outcomes of calls to which it was told.
        with_bad: Bad ones.
        without_ok: Good outcomes of calls that it fitted and to which it was not told.
        without_bad: Bad ones.
        told: How often an outcome of a call is known to which it was told.
        last: The outcome, counted in the tenant, of the newest call that it was told to, or at which it was written.
        tried: Whether its newest trial passed, or None.
        seq: The event that drafted it.
    """

    id: str
    data: Mapping[str, Any]
    status: str = "candidate"
    reason: str = ""
    evidence: dict[tuple[str, int], str] = field(default_factory=dict[tuple[str, int], str])
    with_ok: float = 0.0
    with_bad: float = 0.0
    without_ok: float = 0.0
    without_bad: float = 0.0
    told: int = 0
    last: int = 0
    tried: bool | None = None
    seq: int = 0

    @property
    def when(self) -> str:
        """The situation that it is for."""
        return str(self.data["when"])

    @property
    def do(self) -> str:
        """The advice."""
        return str(self.data["do"])

    @property
    def kind(self) -> str:
        """See `LessonKind`."""
        return str(self.data.get("kind", "do"))

    @property
    def graph(self) -> str:
        """The graph that it is for, or empty."""
        return str(self.data.get("graph", ""))

    @property
    def node(self) -> str:
        """The node that it is for, or empty."""
        return str(self.data.get("node", ""))

    @property
    def trust(self) -> str:
        """See `Trust`; a lesson that passed its trial is verified, unless it rests on text from outside."""
        given = str(self.data.get("trust", "external"))
        return "verified" if self.tried and given == "model" else given

    @property
    def origin(self) -> str:
        """See `Origin`."""
        return str(self.data.get("origin", "model"))

    @property
    def confidence(self) -> float:
        """How sure its author was."""
        return float(self.data.get("confidence", 0.5))

    @property
    def name(self) -> str:
        """Of a skill, or empty."""
        return str(self.data.get("name", ""))


@dataclass(slots=True)
class Credit:
    """What came of one call to which lessons were offered."""

    told: tuple[str, ...]
    untold: tuple[str, ...]
    outcome: float
    weight: float


TRIAL = 0.5
"""How much a try of a trial counts beside the outcome of a call."""


@dataclass(slots=True)
class Tried:
    """What came of trying a lesson at a step."""

    outcomes: tuple[float, ...]
    before: float


@dataclass(slots=True)
class ExperienceState:
    """All that one tenant has learnt, after event number `seq` of its stream.

    Attributes:
        seq: The newest event in it.
        lessons: By id, in the order they were written.
        credits: By run and step.
        trials: By lesson, run and step, the newest one.
        conflicts: Pairs of lessons that contradict each other, in the order of their ids.
        distilled: By run and distiller, the newest event that was looked at.
        erased: Runs that are not to be used any more.
        runs: Runs with a known outcome, in order.
    """

    seq: int = 0
    lessons: dict[str, Lesson] = field(default_factory=dict[str, Lesson])
    credits: dict[Use, Credit] = field(default_factory=dict[Use, Credit])
    trials: dict[tuple[str, str, str], Tried] = field(
        default_factory=dict[tuple[str, str, str], Tried]
    )
    conflicts: dict[tuple[str, str], str] = field(default_factory=dict[tuple[str, str], str])
    distilled: dict[tuple[str, str], int] = field(default_factory=dict[tuple[str, str], int])
    erased: dict[str, None] = field(default_factory=dict[str, None])
    runs: dict[str, None] = field(default_factory=dict[str, None])

    def rivals(self, lesson: str) -> list[str]:
        """Return the active lessons that contradict this one."""
        others = [
            second if first == lesson else first
            for first, second in self.conflicts
            if lesson in (first, second)
        ]
        return [name for name in others if self.lessons[name].status == "active"]


def stream_of(tenant: str) -> RunId:
    """Return the stream in which what a tenant has learnt is kept."""
    return RunId(f"{PREFIX}experience:{tenant}")


def _drafted(state: ExperienceState, event: Event) -> None:
    data = event.data
    if data["id"] in state.lessons:
        return  # two processes had the same idea; the words of a lesson never change
    made = Lesson(data["id"], data, last=len(state.runs), seq=event.seq)
    _add_evidence(state, made, data)
    replaced = state.lessons.get(data.get("supersedes", ""))
    if replaced is not None:
        made.evidence.update(replaced.evidence)
    state.lessons[made.id] = made


def _add_evidence(state: ExperienceState, lesson: Lesson, data: Mapping[str, Any]) -> None:
    for one in data.get("evidence", ()):
        if one["run"] not in state.erased:
            lesson.evidence[one["run"], one["seq"]] = one.get("by", "")


def _supported(state: ExperienceState, event: Event) -> None:
    lesson = state.lessons.get(event.data["id"])
    if lesson is not None:
        _add_evidence(state, lesson, event.data)


def _moved(state: ExperienceState, event: Event) -> None:
    lesson = state.lessons.get(event.data["id"])
    if lesson is not None:
        lesson.status, lesson.reason = event.data["status"], event.data.get("reason", "")
        replaced = state.lessons.get(lesson.data.get("supersedes", ""))
        if lesson.status == "active" and replaced is not None and replaced.status != "retired":
            # Not before: a draft that nobody has looked at must not silence a lesson that works.
            replaced.status, replaced.reason = "superseded", f"by {lesson.id}"


def _contradicted(state: ExperienceState, event: Event) -> None:
    first, second = sorted((event.data["id"], event.data["other"]))
    if first in state.lessons and second in state.lessons and first != second:
        state.conflicts[first, second] = event.data.get("reason", "")


def _credited(state: ExperienceState, event: Event) -> None:
    data = event.data
    use = (data["run"], data["step"])
    if data["run"] in state.erased:
        return
    before = state.credits.pop(use, None)
    made = Credit(
        tuple(data.get("told", ())), tuple(data.get("untold", ())), data["outcome"], data["weight"]
    )
    state.credits[use] = made
    state.runs[data["run"]] = None
    if before is not None:
        _count_anew(state, {*before.told, *before.untold, *made.told, *made.untold})
        return
    for name in made.told:
        _count(state.lessons.get(name), made, told=True, now=len(state.runs))
    for name in made.untold:
        _count(state.lessons.get(name), made, told=False, now=len(state.runs))


def _count(lesson: Lesson | None, credit: Credit, *, told: bool, now: int) -> None:
    if lesson is None:
        return
    ok, bad = credit.weight * credit.outcome, credit.weight * (1 - credit.outcome)
    if told:
        lesson.with_ok += ok
        lesson.with_bad += bad
        lesson.told += 1
        lesson.last = max(lesson.last, now)
    else:
        lesson.without_ok += ok
        lesson.without_bad += bad


def _count_anew(state: ExperienceState, names: Iterable[str]) -> None:
    """Count what lessons were worth from all credits: one of those was changed or taken away."""
    wanted = {name: state.lessons[name] for name in names if name in state.lessons}
    for lesson in wanted.values():
        lesson.with_ok = lesson.with_bad = lesson.without_ok = lesson.without_bad = 0.0
        lesson.told = 0
    for credit in state.credits.values():
        for told, listed in ((True, credit.told), (False, credit.untold)):
            for name in listed:
                _count(wanted.get(name), credit, told=told, now=0)
    for (name, _, _), trial in state.trials.items():
        if name in wanted:
            _count_trial(wanted[name], trial)


def _count_trial(lesson: Lesson, trial: Tried) -> None:
    """Count tries as outcomes with a lesson, and what had come of the step as as many without."""
    number = len(trial.outcomes)
    ok, before = sum(trial.outcomes), trial.before * number
    lesson.with_ok += TRIAL * ok
    lesson.with_bad += TRIAL * (number - ok)
    lesson.without_ok += TRIAL * before
    lesson.without_bad += TRIAL * (number - before)


def _tried(state: ExperienceState, event: Event) -> None:
    data = event.data
    lesson = state.lessons.get(data["id"])
    if lesson is not None and data["run"] not in state.erased:
        lesson.tried = data["passed"]
        key = lesson.id, data["run"], data["step"]
        state.trials[key] = Tried(tuple(data["outcomes"]), data["before"])
        _count_anew(state, (lesson.id,))


def _distilled(state: ExperienceState, event: Event) -> None:
    data = event.data
    state.distilled[data["run"], data["distiller"]] = data["upto"]


def _erased(state: ExperienceState, event: Event) -> None:
    run = event.data["run"]
    touched: set[str] = set()
    state.erased[run] = None
    for lesson in state.lessons.values():
        had = len(lesson.evidence)
        for key in [key for key in lesson.evidence if key[0] == run]:
            del lesson.evidence[key]
        if had and not lesson.evidence and lesson.status not in ("retired", "superseded"):
            lesson.status, lesson.reason = "retired", "no evidence is left"
    for tried in [tried for tried in state.trials if tried[1] == run]:
        del state.trials[tried]
        touched.add(tried[0])
    gone = [use for use in state.credits if use[0] == run]
    for use in gone:
        credit = state.credits.pop(use)
        touched.update(credit.told, credit.untold)
    _count_anew(state, touched)


_HANDLERS: Mapping[str, Handler[ExperienceState]] = {
    "lesson.drafted": _drafted,
    "lesson.supported": _supported,
    "lesson.moved": _moved,
    "lesson.contradicted": _contradicted,
    "lesson.credited": _credited,
    "lesson.tried": _tried,
    "experience.distilled": _distilled,
    "experience.erased": _erased,
}


def apply_experience(state: ExperienceState, event: Event) -> None:
    """Fold one event of the stream; one of a newer version is passed over, and what it says is not used."""
    handler = _HANDLERS.get(event.type)
    if handler is not None and event.version == VERSIONS[event.type]:
        handler(state, event)
    state.seq = event.seq


def fold_experience(
    events: Iterable[Event], state: ExperienceState | None = None
) -> ExperienceState:
    """Return what the events of a tenant's stream say; a given state is changed and goes on from where it is."""
    state = ExperienceState() if state is None else state
    for event in events:
        apply_experience(state, event)
    return state
