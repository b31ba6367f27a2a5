"""What `engine.experience` does about trials of lessons."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

from midstream.engine.debugging.tries import Estimate
from midstream.engine.driving.host import Host
from midstream.engine.experience.feedback import actor_of
from midstream.engine.experience.ledger import DEFAULT, Ledger, Ledgers
from midstream.engine.experience.trial import Judge, Trial, Trials, facts_of_trial
from midstream.engine.graphs.graph import Graph
from midstream.errors import LessonError
from midstream.events.experience_facts import LessonMoved


class TrialVerbs:
    """The part of `Experience` that tries lessons; see there."""

    def __init__(self, host: Host, ledgers: Ledgers) -> None:
        self._host = host
        self._ledgers = ledgers

    async def trial(
        self,
        lesson: str,
        *,
        times: int = 3,
        passing: int = 2,
        judge: Judge | None = None,
        model: str = "",
        limit: Decimal | float | None = None,
        move: bool = False,
        graph: Graph | None = None,
        tenant: str = DEFAULT,
        by: str = "",
    ) -> Trial:
        """Try a lesson: the run that taught it is tried again at the step that went wrong, with the lesson.

        Only that step happens, and the log answers for the rest; see `Run.replay`. What failed by itself is judged by
        whether it fails again. What people had said needs a `judge` or a `model`. The same is done with steps that had
        gone well, to see that the lesson does no harm there. What comes of it is recorded, and counts for what the lesson
        is worth.

        Args:
            lesson: Its id.
            times: How often each step happens.
            passing: On how many runs that went well it is tried, too.
            judge: A function of what a step returned: how good that is, from 0 to 1, or whether it is.
            model: Who judges by what people had said.
            limit: US dollars that all tries together may cost.
            move: A lesson that helped becomes active, unless it rests on text from outside; one that did harm is
                quarantined, and a candidate that changed nothing retires.
            graph: The code of the runs; None takes what is registered.
            tenant: Whose lesson.
            by: Who wants it.

        Raises:
            LessonError: There is no such lesson, it rests on nothing that can be tried, or nobody can judge it.
            BudgetError: It would cost more than the limit.
        """
        ledger, trials = await self._trials(lesson, times, passing, judge, model, graph, tenant)
        done = await trials.run(None if limit is None else Decimal(str(limit)))
        facts = facts_of_trial(done, ledger.state.lessons[lesson], move=move)
        await ledger.record(lambda state: facts, actor=actor_of(by, "program"))
        moved = ledger.state.lessons[lesson].status if isinstance(facts[-1], LessonMoved) else ""
        return replace(done, moved=moved)

    async def trial_estimate(
        self,
        lesson: str,
        *,
        times: int = 3,
        passing: int = 2,
        judge: Judge | None = None,
        model: str = "",
        tenant: str = DEFAULT,
    ) -> tuple[Estimate, ...]:
        """Return what a trial would cost for each run, judging left out; nobody is asked. See `trial`."""
        _, trials = await self._trials(lesson, times, passing, judge, model, None, tenant)
        return tuple(await trials.estimates())

    async def _trials(
        self,
        lesson: str,
        times: int,
        passing: int,
        judge: Judge | None,
        model: str,
        graph: Graph | None,
        tenant: str,
    ) -> tuple[Ledger, Trials]:
        ledger = self._ledgers.of(tenant)
        found = (await ledger.refresh()).lessons.get(lesson)
        if found is None:
            raise unknown(lesson, tenant)
        return ledger, Trials(
            self._host,
            found,
            times=times,
            passing=passing,
            judge=judge,
            model=model,
            graph=graph,
        )


def unknown(lesson: str, tenant: str) -> LessonError:
    """Return that there is no such lesson."""
    return LessonError(
        lesson,
        f"tenant {tenant!r} has no lesson {lesson!r}; list them with `midstream experience list`",
    )
