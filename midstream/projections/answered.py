"""The answered model calls of a run, with what is needed to price them: who was asked, when, for how many tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from midstream.events.envelope import REPLAY, Event
from midstream.projections.fold import Handler


@dataclass(frozen=True, slots=True)
class Answered:
    """One answered model call.

    Attributes:
        step: Its address.
        model: Who was asked, as `provider:model`.
        served: The name under which the provider served it, or empty for the model's.
        at: When it answered, in seconds since 1970.
        usage: Its tokens, by the names of `Usage`.
        cost: What it cost in US dollars, as text; None where no price was known.
        source: Which price list said so.
        parents: The calls whose conversation it continues.
        seq: The event of its answer.
        replayed: Another run's log answered, and nobody was paid.
    """

    step: str
    model: str
    served: str
    at: float
    usage: Mapping[str, int]
    cost: str | None
    source: str
    parents: tuple[str, ...]
    seq: int
    replayed: bool


@dataclass(slots=True)
class AnsweredState:
    """The answered calls of a run, in the order of their answers."""

    calls: dict[str, Answered] = field(default_factory=dict[str, Answered])
    _asked: dict[str, tuple[str, tuple[str, ...]]] = field(
        default_factory=dict[str, tuple[str, tuple[str, ...]]]
    )

    def requested(self, event: Event) -> None:
        """Take in that a model was asked."""
        step, data = event.address or "", event.data
        known = self._asked.get(step, ("", ()))
        self._asked[step] = data["model"], tuple(data.get("parents", known[1]))

    def responded(self, event: Event) -> None:
        """Take in that it answered."""
        step, data = event.address or "", event.data
        model, parents = self._asked.get(step, ("", ()))
        cost: Mapping[str, Any] = data.get("cost") or {}
        self.calls[step] = Answered(
            step,
            model,
            data.get("served", ""),
            event.at / 1e6,
            data.get("usage", {}),
            cost.get("amount"),
            cost.get("source", ""),
            parents,
            event.seq,
            event.actor == REPLAY,
        )


class AnsweredProjection:
    """The fold that gives an `AnsweredState`."""

    handlers: Mapping[str, Handler[AnsweredState]] = {
        "model.requested": AnsweredState.requested,
        "model.responded": AnsweredState.responded,
    }

    def initial(self) -> AnsweredState:
        """See `Projection.initial`."""
        return AnsweredState()


ANSWERED = AnsweredProjection()
"""The one that everybody uses: it has no state of its own."""
