"""The calls of a run that have not ended, told without reading what the others said."""

from __future__ import annotations

from collections.abc import Sequence

from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.store import EventStore
from midstream.projections.outline import OF_CALLS
from midstream.projections.run_state import RunState, apply

BARE = frozenset(
    (
        "model.requested",
        "tool.requested",
        "tool.completed",
        "value.recorded",
        "timer.set",
        "timer.fired",
        "node.completed",
    )
)
"""Facts of which a summary needs no more than that they are there."""

_BEGIN = frozenset(("model.requested", "tool.requested", "timer.set", "question.asked"))
_LATER = frozenset(("model.failed", "tool.failed", "tool.unknown", "tool.retried"))
"""What may leave a call open."""


class OpenCalls:
    """Keeps account of which calls are open while events go by."""

    def __init__(self) -> None:
        self._begun: dict[str, list[int]] = {}
        self._later: list[Event] = []

    def taken_out_of(self, page: Sequence[Event]) -> list[Event]:
        """Return the events that are about no call."""
        rest: list[Event] = []
        begun = self._begun
        for event in page:
            type_ = event.type
            if type_ not in OF_CALLS:
                rest.append(event)
            elif type_ in _BEGIN:
                begun.setdefault(event.address or "", []).append(event.seq)
            elif type_ in _LATER and (type_[-6:] != "failed" or "retry_at" in event.data):
                self._later.append(event)
            else:
                begun.pop(event.address or "", None)
        return rest

    async def put_into(self, state: RunState, store: EventStore, run_id: RunId) -> None:
        """Fold what is known of the calls that are open, read for them alone."""
        seq = state.seq
        events = [event for event in self._later if event.address in self._begun]
        for seqs in self._begun.values():
            for at in seqs:
                events += [event async for event in store.read(run_id, after=at - 1, to=at)]
        for event in sorted(events, key=lambda event: event.seq):
            apply(state, event)
        state.seq = seq
