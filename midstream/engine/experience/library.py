"""What has been learnt, in hand: distil, search, add, activate, quarantine, retire, credit, erase, and report."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from midstream.engine.driving.host import Host
from midstream.engine.experience.advisor import TENANT, offered
from midstream.engine.experience.credit import credits_of, news, promotions, upkeep
from midstream.engine.experience.distil import (
    SYSTEM,
    VERSION,
    by_rule,
    gist,
    prompt,
    read_drafts,
    trajectory,
)
from midstream.engine.experience.drafting import lesson_id, neighbours
from midstream.engine.experience.feedback import actor_of
from midstream.engine.experience.gates import LessonDraft, refusal, uncited
from midstream.engine.experience.ledger import DEFAULT, Ledger, Ledgers
from midstream.engine.experience.ranking import AdviceLimits
from midstream.engine.experience.recording import Distilled, recorded, staged, trusted
from midstream.engine.experience.report import Report, report_of
from midstream.engine.experience.skills import facts_of_skills, read_folder
from midstream.engine.experience.trial_verbs import TrialVerbs, unknown
from midstream.engine.requests.one_question import ask_once
from midstream.errors import LessonError, RunNotFoundError
from midstream.events.envelope import Event
from midstream.events.experience_facts import (
    ExperienceErased,
    LessonDrafted,
    LessonKind,
    LessonMoved,
    LessonStatus,
    Origin,
)
from midstream.events.ids import RunId
from midstream.events.payloads import (
    Fact,
)
from midstream.projections.experience import ExperienceState, Lesson

_JUDGED = frozenset(
    ("feedback.added", "run.failed", "question.answered", "tool.failed", "plan.revised")
)
_OPEN = ("candidate", "shadow", "active", "quarantined")


@dataclass(frozen=True, slots=True)
class Found:
    """A lesson that fits a text.

    Attributes:
        lesson: The lesson.
        score: What it was ranked by.
        why: Empty where a call would be told it, else why not.
    """

    lesson: Lesson
    score: float
    why: str


class Experience(TrialVerbs):
    """What the runs of a store have taught; `engine.experience`.

    Lessons belong to a tenant: the tag `tenant` of a run, `default` where it has none. Nothing crosses tenants.
    """

    def __init__(self, host: Host, ledgers: Ledgers, limits: AdviceLimits) -> None:
        super().__init__(host, ledgers)
        self._limits = limits

    async def state(self, *, tenant: str = DEFAULT) -> ExperienceState:
        """Return all that a tenant has learnt; shared, so do not change it."""
        return await self._ledgers.of(tenant).refresh()

    async def lessons(
        self, *, tenant: str = DEFAULT, status: LessonStatus | None = None
    ) -> tuple[Lesson, ...]:
        """Return lessons in the order they were written, all or those of one status."""
        state = await self.state(tenant=tenant)
        return tuple(one for one in state.lessons.values() if status in (None, one.status))

    async def search(
        self, query: str, *, graph: str = "", node: str = "", tenant: str = DEFAULT, seed: str = ""
    ) -> tuple[Found, ...]:
        """Return the lessons that a call with these words would be offered, the best first; nothing is recorded.

        Args:
            query: Any text.
            graph: The graph that the call is made in.
            node: The node.
            tenant: Whose lessons.
            seed: Another one throws other dice.
        """
        ledger = self._ledgers.of(tenant)
        state = await ledger.refresh()
        offers = offered(ledger, query, graph=graph, node=node, seed=seed, limits=self._limits)
        return tuple(Found(state.lessons[one.id], one.score, one.why) for one in offers)

    async def add(
        self,
        when: str,
        do: str,
        *,
        kind: LessonKind = "do",
        graph: str = "",
        node: str = "",
        tenant: str = DEFAULT,
        status: LessonStatus = "active",
        confidence: float = 1.0,
        by: str = "",
    ) -> Lesson:
        """Write a lesson by hand.

        Args:
            when: The situation that it is for; it is looked up by this.
            do: The advice.
            kind: See `LessonKind`.
            graph: Only for this graph.
            node: Only for this node.
            tenant: Whose.
            status: `active`, `shadow` or `candidate`.
            confidence: How sure you are, from 0 to 1.
            by: Who writes it.

        Raises:
            LessonError: It is no lesson: too long, an order to the model, a secret, a link.
        """
        draft = LessonDraft(kind, when.strip(), do.strip(), confidence=confidence, node=node)
        refused = refusal(draft.when, draft.do)
        if refused:
            raise LessonError("", f"the lesson was not kept: {refused}; say it in other words")
        name = lesson_id(graph, draft)
        made = LessonDrafted(
            id=name,
            kind=kind,
            when=draft.when,
            do=draft.do,
            graph=graph,
            node=node,
            confidence=confidence,
            trust="person",
            origin="person",
        )

        def decide(state: ExperienceState) -> Sequence[Fact]:
            facts: list[Fact] = [] if name in state.lessons else [made]
            known = state.lessons.get(name)
            if status != ("candidate" if known is None else known.status):
                facts.append(LessonMoved(id=name, status=status, reason="written by hand"))
            return facts

        ledger = self._ledgers.of(tenant)
        await ledger.record(decide, actor=actor_of(by, "person"))
        return ledger.state.lessons[name]

    async def import_skills(
        self, folder: str | Path, *, tenant: str = DEFAULT, by: str = ""
    ) -> tuple[Lesson, ...]:
        """Take the skills of a folder in force, in the versions that stand there; what is unchanged is left alone.

        Raises:
            ConfigError: A file is no skill; nothing was recorded.
        """
        skills = await asyncio.to_thread(read_folder, folder)
        ledger = self._ledgers.of(tenant)
        await ledger.record(
            lambda state: facts_of_skills(state, skills), actor=actor_of(by, "person")
        )
        return tuple(ledger.state.lessons[skill.id] for skill in skills)

    async def activate(
        self, lesson: str, *, reason: str = "", tenant: str = DEFAULT, by: str = ""
    ) -> Lesson:
        """Have a lesson told to calls that it fits; one that it refines is replaced by it.

        Raises:
            LessonError: There is no such lesson.
        """
        return await self._move(lesson, "active", reason, tenant, by)

    async def shadow(
        self, lesson: str, *, reason: str = "", tenant: str = DEFAULT, by: str = ""
    ) -> Lesson:
        """Have a lesson looked up and not told, to see how calls go without it; see `activate`."""
        return await self._move(lesson, "shadow", reason, tenant, by)

    async def quarantine(
        self, lesson: str, *, reason: str = "", tenant: str = DEFAULT, by: str = ""
    ) -> Lesson:
        """Have a lesson told to nobody until somebody has looked at it; see `activate`."""
        return await self._move(lesson, "quarantined", reason, tenant, by)

    async def retire(
        self, lesson: str, *, reason: str = "", tenant: str = DEFAULT, by: str = ""
    ) -> Lesson:
        """Have a lesson told to nobody any more; it stays in the log. See `activate`."""
        return await self._move(lesson, "retired", reason, tenant, by)

    async def _move(
        self, lesson: str, status: LessonStatus, reason: str, tenant: str, by: str
    ) -> Lesson:
        ledger = self._ledgers.of(tenant)

        def decide(state: ExperienceState) -> Sequence[Fact]:
            found = state.lessons.get(lesson)
            if found is None:
                raise unknown(lesson, tenant)
            if status == "active" and not found.evidence and found.origin in ("model", "rule"):
                raise LessonError(
                    lesson, f"lesson {lesson!r} has no evidence left; write it by hand to keep it"
                )
            return (
                []
                if found.status == status
                else [LessonMoved(id=lesson, status=status, reason=reason)]
            )

        await ledger.record(decide, actor=actor_of(by, "person"))
        return ledger.state.lessons[lesson]

    async def distil(
        self, run_id: str | None = None, *, model: str = "", auto_activate: bool = False
    ) -> tuple[Distilled, ...]:
        """Make lessons of what was said of runs; they are candidates until somebody activates them.

        What came of the calls that lessons were offered to is credited in passing. A run that nothing was said of since
        it was last looked at is left alone, so this can be repeated at any time.

        Args:
            run_id: The run; None for every run that something was said of.
            model: Who reads the runs, as `provider:model`; empty takes the words of feedback as they are.
            auto_activate: Activate candidates that three runs support in the words of two sources; never one that rests on
                text from outside, or contradicts an active lesson.

        Raises:
            RunNotFoundError: There is no such run.
            AdapterError: The model refused or failed; nothing was recorded of this run.
        """
        wanted = [RunId(run_id)] if run_id is not None else await self._judged_runs()
        done = tuple([await self._distil(one, model) for one in wanted])
        if auto_activate:
            await self._promote(one.run_id for one in done)
        return done

    async def _promote(self, run_ids: Iterable[str]) -> None:
        """Activate what has enough support, of the tenants of these runs."""
        tenants = {await self._tenant_of(RunId(one)): None for one in run_ids}
        for tenant in tenants:
            await self._ledgers.of(tenant).record(promotions)

    async def _tenant_of(self, run_id: RunId) -> str:
        async for event in self._host.store.read(run_id, to=1):
            return str(event.data.get("tags", {}).get(TENANT, DEFAULT))
        raise RunNotFoundError(run_id)

    async def _judged_runs(self) -> list[RunId]:
        found: dict[RunId, None] = {}
        async for page in self._host.store.scan(types=_JUDGED):
            found.update((event.run_id, None) for event in page)
        return list(found)

    async def _distil(self, run_id: RunId, model: str) -> Distilled:
        events = [event async for event in self._host.store.read(run_id)]
        ledger = self._ledger_of(events)
        await self._credit(ledger, run_id, events)
        state = await ledger.refresh()
        distiller = f"{model or 'rule'}/{VERSION}"
        upto = max((event.seq for event in events if event.type in _JUDGED), default=0)
        if (
            staged(events)
            or run_id in state.erased
            or state.distilled.get((run_id, distiller), 0) >= upto
        ):
            return Distilled(run_id, known=True)
        graph = str(events[0].data.get("graph", ""))
        origin: Origin = "model" if model else "rule"
        if model:
            drafts, refused = await self._by_model(ledger, run_id, graph, events, model)
        else:
            drafts, refused = by_rule(run_id, graph, events), ()
        return await recorded(
            ledger, run_id, trusted(drafts, events, origin, graph), refused, (distiller, upto)
        )

    async def _by_model(
        self, ledger: Ledger, run_id: RunId, graph: str, events: Sequence[Event], model: str
    ) -> tuple[tuple[LessonDraft, ...], tuple[str, ...]]:
        record, shown = trajectory(events)
        near = neighbours(ledger.state, ledger.index, gist(graph, events))
        answer = await ask_once(self._host.providers, model, SYSTEM, prompt(record, graph, near))
        drafts, refused = read_drafts(answer, run_id, near)
        unfounded = [reason for draft in drafts if (reason := uncited(draft, shown))]
        founded = tuple(draft for draft in drafts if not uncited(draft, shown))
        return founded, (*refused, *unfounded)

    def _ledger_of(self, events: Sequence[Event]) -> Ledger:
        tags: dict[str, Any] = dict(events[0].data.get("tags", {}))
        return self._ledgers.of(str(tags.get(TENANT, DEFAULT)))

    async def credit(self, run_id: str) -> int:
        """Credit the lessons that were offered to a run with what came of its calls, and return how many calls that were.

        Lessons that hurt are quarantined by this, and those that nothing needs retire. What is credited already is left
        alone; a later judgement of the same step replaces an earlier one.
        """
        events = [event async for event in self._host.store.read(RunId(run_id))]
        return await self._credit(self._ledger_of(events), run_id, events)

    async def _credit(self, ledger: Ledger, run_id: str, events: Sequence[Event]) -> int:
        made = () if staged(events) else credits_of(run_id, events)
        if not made:
            return 0
        recorded = await ledger.record(lambda state: news(state, made))
        await ledger.record(upkeep)
        return len(recorded)

    async def erase(
        self, run_id: str, *, tenant: str = DEFAULT, reason: str = "", by: str = ""
    ) -> tuple[str, ...]:
        """Use nothing any more that a run has taught; lessons without any other evidence retire.

        Returns:
            The lessons that retired.
        """
        ledger = self._ledgers.of(tenant)
        before = {
            name for name, one in (await ledger.refresh()).lessons.items() if one.status in _OPEN
        }

        def decide(state: ExperienceState) -> Sequence[Fact]:
            return [] if run_id in state.erased else [ExperienceErased(run=run_id, reason=reason)]

        await ledger.record(decide, actor=actor_of(by, "person"))
        return tuple(name for name in before if ledger.state.lessons[name].status == "retired")

    async def forget(
        self,
        runs: Collection[str],
        sealed: Collection[str],
        *,
        tenant: str,
        reason: str = "",
        actor: str,
    ) -> tuple[str, ...]:
        """Let go of what runs have taught whose content was erased; see `Engine.erase`.

        Args:
            runs: The runs.
            sealed: Those of them whose content stands in the tenant's stream, readable or not.
            tenant: Whose stream.
            reason: Why; recorded.
            actor: Who wants it.

        Returns:
            The lessons that nobody is told any more.
        """
        ledger = self._ledgers.of(tenant)
        before = {
            name for name, one in (await ledger.refresh()).lessons.items() if one.status in _OPEN
        }

        def decide(state: ExperienceState) -> Sequence[Fact]:
            known = {run for one in state.lessons.values() for run, _ in one.evidence}
            known |= {run for run, _ in state.credits} | set(sealed)
            return [
                ExperienceErased(run=run, reason=reason, forgotten=True)
                for run in sorted(known.intersection(runs))
                if run not in state.erased
            ]

        await ledger.record(decide, actor=actor)
        left = ledger.state.lessons
        return tuple(
            sorted(name for name in before if name not in left or left[name].status == "retired")
        )

    async def report(self, *, tenant: str = DEFAULT) -> Report:
        """Return what lessons have been worth, each by itself and all together."""
        return report_of(await self.state(tenant=tenant))

    async def rebuild(self, *, tenant: str = DEFAULT) -> None:
        """Drop the index of a tenant's lessons and make it anew from the log."""
        ledger = self._ledgers.of(tenant)
        ledger.index.rebuild(await ledger.refresh())
