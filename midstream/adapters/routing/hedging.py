"""Racing two calls for one request: when a second one is worth it, and whose answer it is then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from midstream.adapters.base import Delta, ModelResponse
from midstream.adapters.routing.config import HedgeConfig
from midstream.adapters.routing.sending import Sending
from midstream.adapters.routing.state import RoutingState
from midstream.adapters.routing.walk import Leg

_SAMPLES = 20
"""First tokens that must be known before `p95` means something."""

Show = Callable[[Delta], None]


class Race:
    """Whose answer it is: of the call that shows its first piece first; pieces of the other one are dropped.

    Args:
        show: Is given the pieces; None where nobody wants them.
    """

    def __init__(self, show: Show | None) -> None:
        self._show = show
        self.winner: Sending | None = None
        """The call whose pieces are shown."""

    def show(self, notes: Sending) -> Show | None:
        """Return what shows the pieces of one of the calls, unless the other one came before it."""
        show = self._show
        if show is None:
            return None

        def first_come(piece: Delta) -> None:
            self.winner = self.winner or notes
            if self.winner is notes:
                show(piece)

        return first_come

    def ahead(self, notes: Sending) -> bool:
        """Say whether a call has shown its first piece, and before the other one where both have."""
        return notes.first_token is not None and self.winner in (None, notes)


def hedge_of(leg: Leg) -> HedgeConfig | None:
    """Return how calls like this one are hedged, or None where they are not."""
    found: HedgeConfig | None = leg.candidate.instance.rules.hedge
    return found


def hedge_after(leg: Leg, state: RoutingState) -> float | None:
    """Return how many seconds to wait for the first token before somebody else is asked, or None for ever."""
    config = hedge_of(leg)
    if config is None:
        return None
    if config.after != "p95":
        return config.after
    known = sorted(state.habit(leg.candidate.endpoint.name).first_tokens)
    return known[int(len(known) * 0.95)] if len(known) >= _SAMPLES else None


def may_hedge(leg: Leg, state: RoutingState) -> bool:
    """Say whether the share of calls that may be hedged has room for one more."""
    config = hedge_of(leg)
    return config is not None and state.hedges + 1 <= config.extra_calls * state.calls


def is_late(task: asyncio.Task[ModelResponse], notes: Sending) -> bool:
    """Say whether a call has neither ended nor shown anything."""
    return not task.done() and notes.first_token is None


async def first_sign(
    tasks: Sequence[asyncio.Task[ModelResponse]], notes: Sequence[Sending], seconds: float | None
) -> None:
    """Wait until one of the calls has ended or shown its first piece, or the time has passed."""
    watches = [asyncio.ensure_future(one.first.wait()) for one in notes]
    try:
        await asyncio.wait([*watches, *tasks], timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for watch in watches:
            watch.cancel()
