"""Who plays in a try of a what-if: the log of the parent answers, advises and reflects, and models only where they are asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import JsonValue

from midstream.engine.driving.as_recorded import RecordedAdvice, RecordedReflections
from midstream.engine.models.rendering import Rendering
from midstream.engine.providers import Providers
from midstream.engine.recording.rehearsal import Answers, is_live, read_parent
from midstream.engine.requests.advice import Advice
from midstream.events.agent_facts import MemoryRead
from midstream.events.content import Message
from midstream.events.fork_facts import Rehearsal
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.projections.run_state import RunState

LESSONS = "lessons"
"""The name by which looking up lessons is recorded as a memory that was asked."""


@dataclass(frozen=True, slots=True)
class RehearsalCast:
    """What a `Runner` is given for a try.

    Attributes:
        answers: From the log.
        providers: Who renders, and who answers what happens.
        advisor: Says what was said, and the lesson that is tried.
        reflector: Says what was said.
        models: Whom the parent asked.
    """

    answers: Answers
    providers: Rendering
    advisor: TriedAdvice
    reflector: RecordedReflections
    models: Sequence[str]


async def rehearsal_cast(
    store: EventStore, run_id: RunId, state: RunState, providers: Providers
) -> RehearsalCast:
    """Return who plays in a fork that tries a what-if.

    Raises:
        RunNotFoundError: Its parent is gone, so nobody can answer.
    """
    forked: Any = state.rehearsal
    plan = Rehearsal.model_validate(forked["rehearsal"])
    told = await read_parent(store, forked)
    own = [event async for event in store.read(run_id, after=state.forked_at)]
    rendering = Rendering(providers)
    rendering.router = providers.router
    answers = Answers(plan, told, own, rendering.viewed)
    models = [event.data["model"] for event in told.events if event.type == "model.requested"]
    return RehearsalCast(
        answers,
        rendering,
        TriedAdvice(told.events, plan),
        RecordedReflections(told.events),
        tuple(dict.fromkeys(models)),
    )


class TriedAdvice:
    """Advises calls as they were, and those that happen with the lesson that is tried; see `Advisor`.

    Args:
        events: Of the parent, since the fork left it.
        plan: What is tried.
    """

    def __init__(self, events: Sequence[Any], plan: Rehearsal) -> None:
        self._recorded = RecordedAdvice(events)
        self._plan = plan

    async def advise(
        self,
        state: RunState,
        *,
        run_id: str,
        call: str,
        messages: Sequence[Message],
        wanted: bool | str | None,
    ) -> Advice | None:
        """See `Advisor.advise`."""
        found = await self._recorded.advise(
            state, run_id=run_id, call=call, messages=messages, wanted=wanted
        )
        plan = self._plan
        if not plan.told or wanted is False or not is_live(call, plan.live):
            return found
        offers: list[JsonValue] = [{"id": plan.lesson, "score": 1.0}]
        if found is None:
            items: dict[str, JsonValue] = {"call": call, "offers": offers}
            return Advice(MemoryRead(memory=LESSONS, query="", items=items), plan.told)
        items = {**found.fact.items, "offers": [*_offers(found.fact), *offers]}
        fact = found.fact.model_copy(update={"items": items})
        text = f"{found.text}\n{plan.told}" if found.text else plan.told
        return replace(found, fact=fact, text=text)


def _offers(fact: MemoryRead) -> list[Any]:
    offers: Any = fact.items.get("offers", [])
    return list(offers)
