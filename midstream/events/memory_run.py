"""A run as the store in memory keeps it."""

from __future__ import annotations

from dataclasses import dataclass, field

from midstream.events.envelope import Event, genesis
from midstream.events.ids import RunId
from midstream.events.store import Snapshot, Status


@dataclass(slots=True)
class MemoryRun:
    """A run in memory: its line in the list of runs, and its own events."""

    run_id: RunId
    graph: str
    tags: dict[str, str]
    created_at: int
    status: Status = "running"
    events: list[Event] = field(default_factory=list[Event])
    epoch: int = 0
    holder: str | None = None
    snapshots: dict[str, Snapshot] = field(default_factory=dict[str, Snapshot])
    parent: MemoryRun | None = None
    base: int = 0
    """The last event that is its parent's; its own follow."""

    @property
    def seq(self) -> int:
        """The newest event."""
        return self.base + len(self.events)

    @property
    def digest(self) -> bytes:
        """Of the newest event."""
        if self.events:
            return self.events[-1].digest
        return genesis(self.run_id) if self.parent is None else self.parent.event(self.base).digest

    def owner(self, seq: int) -> MemoryRun:
        """Return the run that recorded an event of this one."""
        run = self
        while run.parent is not None and seq <= run.base:
            run = run.parent
        return run

    def event(self, seq: int) -> Event:
        """Return an event of this run, whoever recorded it."""
        owner = self.owner(seq)
        return owner.events[seq - owner.base - 1]
