"""Trying a lesson: the run that taught it is tried again at the step that went wrong, with the lesson.

So are runs that went well, to see that it does no harm there.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

from midstream.engine.debugging.tries import Estimate, Try
from midstream.engine.debugging.what_if import Wanted, estimate_what_if, what_if
from midstream.engine.driving.fork import TRIED
from midstream.engine.driving.host import Host
from midstream.engine.driving.moments import cut_at
from midstream.engine.experience.judging import Asked, by_model, by_signals
from midstream.engine.experience.ranking import HEAD, line_of
from midstream.engine.graphs.graph import Graph
from midstream.errors import LessonError, RunNotFoundError
from midstream.events.envelope import Event
from midstream.events.experience_facts import LessonMoved, LessonTried
from midstream.events.ids import RunId, activation_of, node_of
from midstream.events.payloads import Fact
from midstream.events.store import RunQuery
from midstream.projections.experience import Lesson
from midstream.projections.outcomes import Signal, outcome_of, signals
from midstream.projections.run_state import RunState

Judge = Callable[[Any], float | bool | Awaitable[float | bool]]
"""Is given what a step returned, and says how good that is, from 0 to 1."""

Verdict = Literal["helped", "harmed", "neither"]

MARGIN = 0.2
"""How much better or worse, from 0 to 1, something has to be to count."""

_LOOKED_AT = 200
"""Runs that are looked at for some that went well, the newest first."""


@dataclass(frozen=True, slots=True)
class Tested:
    """What came of a step of one run with the lesson.

    Attributes:
        run_id: The run.
        step: The step that happened again.
        before: How good it was, from 0 to 1.
        outcomes: How good each try was; tries that could not come to an end are left out.
        tries: The forks.
        source: The run taught the lesson; else it is one that had gone well.
        cost: In US dollars.
    """

    run_id: RunId
    step: str
    before: float
    outcomes: tuple[float, ...]
    tries: tuple[str, ...]
    source: bool
    cost: Decimal

    @property
    def gain(self) -> float:
        """How much better it was with the lesson, on the mean."""
        return sum(self.outcomes) / len(self.outcomes) - self.before if self.outcomes else 0.0


@dataclass(frozen=True, slots=True)
class Trial:
    """What a trial of a lesson came to.

    Attributes:
        lesson: Its id.
        verdict: `helped` where it made the step better that taught it, and none worse; `harmed` where it made any worse.
        tests: By run; the one that taught the lesson comes first.
        moved: The status that the lesson has because of it, or empty.
    """

    lesson: str
    verdict: Verdict
    tests: tuple[Tested, ...]
    moved: str = ""

    @property
    def passed(self) -> bool:
        """The lesson helped."""
        return self.verdict == "helped"

    @property
    def cost(self) -> Decimal:
        """In US dollars, of calls whose price is known."""
        return sum((one.cost for one in self.tests), Decimal(0))

    def __str__(self) -> str:
        lines = [
            f"{one.run_id}  {one.step}  before {one.before:.2f}  with it "
            f"{', '.join(f'{value:.2f}' for value in one.outcomes) or 'nothing'}  {one.gain:+.2f}"
            for one in self.tests
        ]
        moved = f", and is {self.moved} now" if self.moved else ""
        return "\n".join((*lines, f"{self.lesson} {self.verdict}{moved}; cost ${self.cost:.4f}"))


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a lesson is tried, and how good it was there."""

    run_id: RunId
    events: Sequence[Event]
    step: str
    said: tuple[Signal, ...]
    source: bool


class Trials:
    """Tries one lesson.

    Args:
        host: Drives the tries.
        lesson: The lesson.
        times: How often each step happens.
        passing: On how many runs that went well it is tried, too.
        judge: Says how good what a step returned is; None for what says so by itself, or a model.
        model: Who judges by what people had said, where nothing says so by itself; empty for nobody.
        graph: The code; None for what is registered.
    """

    def __init__(
        self,
        host: Host,
        lesson: Lesson,
        *,
        times: int,
        passing: int,
        judge: Judge | None,
        model: str,
        graph: Graph | None,
    ) -> None:
        self._host = host
        self._lesson = lesson
        self._times = times
        self._passing = passing
        self._judge = judge
        self._model = model
        self._graph = graph

    async def estimates(self) -> list[Estimate]:
        """Return what the tries would cost, for each run; nobody is asked."""
        return [
            await estimate_what_if(self._host, place.run_id, self._wanted(place, None))
            for place in await self._places()
        ]

    async def run(self, limit: Decimal | None) -> Trial:
        """Try the lesson.

        Raises:
            LessonError: It has no evidence that can be tried, or nobody can judge what comes of it.
        """
        places = await self._places()
        share = None if limit is None else limit / len(places)
        tests = tuple([await self._test(place, share) for place in places])
        if not tests[0].outcomes:
            raise LessonError(
                self._lesson.id,
                f"no try of lesson {self._lesson.id!r} came to the end of step {tests[0].step}; "
                f"look at {', '.join(tests[0].tries)} for why",
            )
        return Trial(self._lesson.id, verdict_of(tests), tests)

    async def _test(self, place: _Place, limit: Decimal | None) -> Tested:
        found = await what_if(self._host, place.run_id, self._wanted(place, limit))
        outcomes = [await self._outcome(place, one) for one in found.tries]
        return Tested(
            place.run_id,
            place.step,
            await self._before(place),
            tuple(value for value in outcomes if value is not None),
            tuple(one.run_id for one in found.tries),
            place.source,
            found.cost,
        )

    def _wanted(self, place: _Place, limit: Decimal | None) -> Wanted:
        return Wanted(
            (place.step,),
            times=self._times,
            changed="stop",
            graph=self._graph,
            limit=limit,
            lesson=self._lesson.id,
            told=f"{HEAD}\n{line_of(self._lesson)}",
        )

    # Where

    async def _places(self) -> list[_Place]:
        source = await self._source()
        if self._judge is None and not self._model and not by_itself(source.said):
            raise LessonError(
                self._lesson.id,
                f"what was said of {source.step} of run {source.run_id!r} was said by people: nobody can tell whether a try is "
                "better; pass judge=, a function of what the step returns, or model=, who judges by their words",
            )
        return [source, *await self._passed(source)]

    async def _source(self) -> _Place:
        for run, seq in self._lesson.evidence:
            try:
                events = [event async for event in self._host.store.read(RunId(run))]
            except RunNotFoundError:
                continue
            step = _step_of(events, seq, self._lesson.node)
            if step:
                said = tuple(one for one in signals(events) if one.seq == seq)
                said = said or _about(events, step)
                if said:
                    return _Place(RunId(run), events, step, said, source=True)
        raise LessonError(
            self._lesson.id,
            f"lesson {self._lesson.id!r} has no evidence that says how well a step of a run went; "
            "a lesson can be tried where its evidence is feedback on a step, or a failure",
        )

    async def _passed(self, source: _Place) -> list[_Place]:
        """Return steps of the same node that had gone well in other runs."""
        found: list[_Place] = []
        graph = str(source.events[0].data.get("graph", ""))
        tags = dict(source.events[0].data.get("tags", {}))
        query = RunQuery(status=frozenset(("completed",)), graph=graph, limit=_LOOKED_AT)
        for info in await self._host.store.runs(query) if self._passing else ():
            same = info.tags.get("tenant") == tags.get("tenant") and TRIED not in info.tags
            if not same or info.run_id == source.run_id or info.parent == source.run_id:
                continue
            place = await self._well(info.run_id, node_of(source.step))
            found += [] if place is None else [place]
            if len(found) == self._passing:
                break
        return found

    async def _well(self, run_id: RunId, node: str) -> _Place | None:
        events = [event async for event in self._host.store.read(run_id)]
        for event in events:
            if event.type == "node.completed" and node_of(event.address or "") == node:
                step = event.address or ""
                place = _Place(run_id, events, step, _about(events, step), source=False)
                good = await self._before(place)
                return place if good >= 1 - MARGIN else None
        return None

    # How good

    async def _before(self, place: _Place) -> float:
        if self._judge is not None:
            output = (await cut_at(self._host.store, place.run_id, None)).state
            return await self._judged(_output(output, place.step))
        known = outcome_of(place.said)
        return 1.0 if known is None else known.value

    async def _outcome(self, place: _Place, one: Try) -> float | None:
        """Return how good a try was, or None where it did not come to the end of the step."""
        fork = RunId(one.run_id)
        state = (await cut_at(self._host.store, fork, None)).state
        if not _ended(state, place.step):
            return None
        if self._judge is not None:
            return await self._judged(_output(state, place.step))
        events = [event async for event in self._host.store.read(fork, after=state.forked_at)]
        failed = by_signals(events)
        if failed is not None or by_itself(place.said) or not self._model:
            return 1.0 if failed is None else failed
        asked = Asked(
            tuple(one.text for one in place.said if one.text),
            await self._said(place),
            _output(state, place.step),
        )
        return await by_model(self._host.providers, self._model, asked)

    async def _said(self, place: _Place) -> Any:
        state = (await cut_at(self._host.store, place.run_id, None)).state
        return _output(state, place.step)

    async def _judged(self, output: Any) -> float:
        assert self._judge is not None
        said = self._judge(output)
        value = float(await said if inspect.isawaitable(said) else said)
        return min(max(value, 0.0), 1.0)


def by_itself(said: Sequence[Signal]) -> bool:
    """Say whether signals come of themselves when the same happens again: failures do, people's words do not."""
    return all(one.kind not in ("feedback", "refused") for one in said)


def verdict_of(tests: Sequence[Tested]) -> Verdict:
    """Return what tests say of a lesson; the first one is of the run that taught it."""
    tried = [one for one in tests if one.outcomes]
    if any(one.gain <= -MARGIN for one in tried):
        return "harmed"
    return "helped" if tests[0].gain >= MARGIN else "neither"


def facts_of_trial(trial: Trial, lesson: Lesson, *, move: bool) -> list[Fact]:
    """Return what is recorded of a trial: each test, the one of the run that taught the lesson last, and the lesson's move.

    A lesson that rests on text from outside is not activated by a trial: somebody has to look at it.
    """
    facts: list[Fact] = []
    for one in reversed(trial.tests):
        passed = trial.passed if one.source else one.gain > -MARGIN
        facts.append(
            LessonTried(
                id=lesson.id,
                run=one.run_id,
                step=one.step,
                outcomes=tuple(round(value, 6) for value in one.outcomes),
                before=round(one.before, 6),
                passed=passed,
                tries=one.tries,
            )
        )
    status = new_status(trial.verdict, lesson) if move else ""
    if status:
        reason = f"its trial {_REASONS[trial.verdict]}: {trial.tests[0].gain:+.2f}"
        facts.append(LessonMoved(id=lesson.id, status=status, reason=reason))
    return facts


_REASONS: Mapping[str, str] = {
    "helped": "helped",
    "harmed": "did harm",
    "neither": "changed nothing",
}


def new_status(verdict: Verdict, lesson: Lesson) -> Literal["active", "quarantined", "retired", ""]:
    """Return the status that a lesson gets by a trial, or empty where it stays as it is."""
    match verdict:
        case "helped":
            waits = lesson.status in ("candidate", "shadow", "quarantined")
            return "active" if waits and lesson.trust != "external" else ""
        case "harmed":
            return "quarantined" if lesson.status in ("candidate", "shadow", "active") else ""
        case "neither":
            return "retired" if lesson.status in ("candidate", "shadow") else ""


def _step_of(events: Sequence[Event], seq: int, node: str) -> str:
    """Return the step that an event says something of, or an empty text; of a model call, the call itself."""
    event = next((one for one in events if one.seq == seq), None)
    if event is None:
        return ""
    address = event.address or ""
    if event.type == "run.failed":
        address = next((str(one["address"]) for one in event.data.get("failures", ())), "")
    if not address and node:
        ended = [one.address or "" for one in events if one.type == "node.completed"]
        address = next((one for one in reversed(ended) if node_of(one) == node), "")
    is_call = event.type == "feedback.added" and "/llm:" in address and "/call:" not in address
    return address if is_call else activation_of(address)


def _about(events: Sequence[Event], step: str) -> tuple[Signal, ...]:
    found = outcome_of(signals(events), step)
    return () if found is None else found.signals


def _ended(state: RunState, step: str) -> bool:
    made = state.activations.get(step) or state.calls.get(step)
    return made is not None and made.status in ("completed", "failed")


def _output(state: RunState, step: str) -> Any:
    """Return what a step returned; of a model call, its words."""
    if step in state.activations:
        made = state.activations[step]
        return made.output if made.status == "completed" else None
    call = state.calls.get(step)
    parts: Sequence[Mapping[str, Any]]
    parts = ((call.outcome if call else None) or {}).get("message", {}).get("parts", ())
    return "".join(part.get("text", "") for part in parts if part["type"] == "text")
