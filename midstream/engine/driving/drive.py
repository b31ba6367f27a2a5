"""What the parts of a runner share, and ask of it: a part is given the runner, and makes nothing before it is needed.

A thousand runs are driven side by side, most of which never fail, rest or run a graph inside them; each method that is
handed out and each object that stands by takes memory in all of them, and time of the garbage collector.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from midstream.engine.clock import Clock
from midstream.engine.models.model_calls import Models
from midstream.engine.nesting.nesting import Code, Nests
from midstream.engine.nesting.subruns import Subruns
from midstream.engine.recording.calls import Signal
from midstream.engine.recording.parking import Parked, Rest
from midstream.engine.recording.recorder import Recorder
from midstream.events.ids import Address

if TYPE_CHECKING:
    from midstream.engine.planning.reflection import Reflector


class Drive(Protocol):
    """The driving of one run; see `Runner`.

    Attributes:
        recorder: Writes the run.
        code: Of the run.
        models: Asks models.
        clock: Tells the time.
        changed: Is notified when somebody else's events were folded.
        subruns: Starts runs for it, or None.
        always_replay: See `Engine`.
        closing: The driving is about to end: nothing begins any more.
    """

    recorder: Recorder
    code: Code
    models: Models
    clock: Clock
    changed: Signal
    subruns: Subruns | None
    always_replay: bool
    closing: bool

    @property
    def nests(self) -> Nests:
        """Performs activations that run graphs."""
        ...

    @property
    def rest(self) -> Rest:
        """Is told when an activation begins to wait."""
        ...

    @property
    def reflector(self) -> Reflector:
        """Says why activations failed, and what to do otherwise."""
        ...

    async def recall(self) -> None:
        """Read the outputs that a snapshot left out."""
        ...

    def end(self, outcome: BaseException | Parked | None) -> None:
        """End the driving: with an error, because the run only waits, or, once all is durable, because it has ended."""
        ...

    def end_inside(self, address: Address, reason: str, retry_at: float | None) -> None:
        """End what is under way inside an activation that runs a graph: why, and when that is tried again."""
        ...

    def cancel(self, cause: int, reason: str) -> None:
        """End the run: the event that asks for it, and why."""
        ...
