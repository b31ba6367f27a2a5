"""Looking up what fits a model call, and saying what was offered to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pydantic import JsonValue

from midstream.engine.experience.ledger import DEFAULT, Ledger, Ledgers
from midstream.engine.experience.ranking import AdviceLimits, choose, told_text
from midstream.engine.requests.advice import Advice
from midstream.events.content import Message
from midstream.events.ids import node_of
from midstream.projections.run_state import RunState

if TYPE_CHECKING:
    from midstream.events.experience_facts import Offer

TENANT = "tenant"
"""The tag of a run that says whose it is."""

LESSONS = "lessons"
"""The name by which looking up lessons is recorded as a memory that was asked."""

_QUERY = 2000


class LessonAdvisor:
    """Advises the calls of runs; see `Advisor`.

    Args:
        ledgers: What has been learnt.
        limits: How much a call is told.
        always: Calls are advised unless they say otherwise.
    """

    def __init__(self, ledgers: Ledgers, limits: AdviceLimits, *, always: bool) -> None:
        self._ledgers = ledgers
        self._limits = limits
        self._always = always

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
        from midstream.events.agent_facts import MemoryRead

        if wanted is False or (wanted is None and not self._always):
            return None
        ledger = self._ledgers.of(state.tags.get(TENANT, DEFAULT))
        await ledger.refresh()
        node = node_of(call)
        said = wanted if isinstance(wanted, str) else " ".join(one.text for one in messages)
        query = f"{state.graph} {node} {said}"[:_QUERY]
        offers = offered(
            ledger,
            query,
            graph=state.graph,
            node=node,
            seed=f"{run_id}/{call}",
            limits=self._limits,
        )
        items: dict[str, JsonValue] = {
            "tenant": ledger.tenant,
            "call": call,
            "offers": [offer.model_dump(exclude_defaults=True) for offer in offers],
        }
        fact = MemoryRead(memory=LESSONS, query=query, items=items)
        return Advice(fact, told_text(ledger.state, offers))


def offered(
    ledger: Ledger, query: str, *, graph: str, node: str, seed: str, limits: AdviceLimits
) -> tuple[Offer, ...]:
    """Return the lessons that fit, as far as they have been read; the same seed chooses the same."""
    relevance = ledger.index.relevance(ledger.state, query, graph=graph, node=node)
    return choose(ledger.state, relevance, ledger.index.vector, seed=seed, limits=limits)
