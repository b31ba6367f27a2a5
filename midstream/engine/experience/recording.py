"""Recording what looking at a run came to: its drafts, as far as they are worth it, and that it was looked at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from midstream.engine.experience.drafting import Author, facts_of
from midstream.engine.experience.gates import LessonDraft, least, trusts
from midstream.engine.experience.ledger import Ledger
from midstream.events.envelope import Event
from midstream.events.experience_facts import ExperienceDistilled, LessonDrafted, Origin, Trust
from midstream.events.payloads import Fact
from midstream.projections.experience import ExperienceState


@dataclass(frozen=True, slots=True)
class Distilled:
    """What looking at one run came to.

    Attributes:
        run_id: The run.
        lessons: The ids of lessons that were written or supported.
        refused: Why drafts were refused.
        known: The run was looked at before, and nothing has been said of it since.
    """

    run_id: str
    lessons: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    known: bool = False


def staged(events: Sequence[Event]) -> bool:
    """Say whether a run is a try of a what-if: nobody learns from that."""
    return any(event.type == "run.forked" and event.data.get("rehearsal") for event in events)


def trusted(
    drafts: Sequence[LessonDraft], events: Sequence[Event], origin: Origin, graph: str
) -> list[tuple[LessonDraft, Author]]:
    """Return each draft with its author: as trusted as the least of its evidence, and a model no more than a model."""
    by_seq = trusts(events)
    actors = {event.seq: event.actor for event in events}
    own: tuple[Trust, ...] = ("model",) if origin == "model" else ()
    nodes = set(events[0].data.get("definition", {}).get("nodes", {}))
    return [
        (
            draft._replace(
                node=draft.node if draft.node in nodes else "",
                evidence=tuple(
                    one.model_copy(update={"by": actors.get(one.seq, "")}) for one in draft.evidence
                ),
            ),
            Author(origin, least([*own, *(by_seq[one.seq] for one in draft.evidence)]), graph),
        )
        for draft in drafts
    ]


async def recorded(
    ledger: Ledger,
    run_id: str,
    drafts: Sequence[tuple[LessonDraft, Author]],
    refused: Sequence[str],
    looked: tuple[str, int],
) -> Distilled:
    """Record what drafts come to and that the run was looked at, in one append."""
    distiller, upto = looked
    reasons: list[str] = []

    def decide(state: ExperienceState) -> Sequence[Fact]:
        facts: list[Fact] = []
        reasons[:] = refused
        for draft, author in drafts:
            made, why = facts_of(state, ledger.index, draft, author)
            known = {one.id for one in facts if isinstance(one, LessonDrafted)}
            facts += [one for one in made if getattr(one, "id", "") not in known]
            reasons.extend([why] if why else [])
        if state.distilled.get((run_id, distiller), 0) >= upto:
            return []
        done = ExperienceDistilled(
            run=run_id, upto=upto, distiller=distiller, refused=tuple(reasons)
        )
        return [*facts, done]

    facts = await ledger.record(decide)
    names = dict.fromkeys(str(getattr(one, "id", "")) for one in facts)
    return Distilled(run_id, tuple(name for name in names if name), tuple(reasons), known=not facts)
