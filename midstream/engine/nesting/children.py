"""The runs that a run has started, as its driver sees to them: begun, heard of, and closed where this one ends."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from midstream.engine.graphs.decide import open_children
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.recording.recorder import Recorder
from midstream.events import payloads
from midstream.events.ids import Address
from midstream.projections.run_state import Call, RunState


class Children:
    """Sees to the runs that one run has started.

    Args:
        recorder: Writes the run that has started them.
        subruns: Starts runs, and hears of their ends; None where there are none.
    """

    __slots__ = ("_recorder", "_subruns")

    def __init__(self, recorder: Recorder, subruns: Subruns | None) -> None:
        self._recorder = recorder
        self._subruns = subruns

    @property
    def _state(self) -> RunState:
        return self._recorder.state

    def rejoin(self) -> None:
        """See that the ends of runs that were started before will be told."""
        for subruns, call in self._open():
            subruns.errand(partial(subruns.rejoin, self._recorder.run_id, call))

    def begin(self) -> None:
        """Start those that this run ends after, and whose node was ended between the intent and the start."""
        for subruns, call in self._open():
            if not subruns.hears_of(call):
                subruns.errand(partial(subruns.attach, self._recorder.run_id, call))

    def _open(self) -> Iterator[tuple[Subruns, Call]]:
        if self._subruns is not None:
            for call in open_children(self._state):
                yield self._subruns, call

    def close(self, address: Address, reason: str) -> None:
        """Have one of them end."""
        self._recorder.add(payloads.SubrunClosing(reason=reason), address)
        if self._subruns is not None:
            call, parent = self._state.calls[address], self._recorder.run_id
            self._subruns.errand(partial(self._subruns.cancel, parent, call, reason))

    def cancel_all(self, reason: str) -> None:
        """Have all of them end, because the run that started them is cancelled."""
        told = f"the run that started it was cancelled{f': {reason}' if reason else ''}"
        for child in open_children(self._state):
            if "closing" not in child.request:
                self.close(Address(child.address), told)

    def ended(self) -> bool:
        """Say whether all of them have ended, but for those that were left to themselves."""
        return not open_children(self._state)
