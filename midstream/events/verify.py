"""Checking a log: that every event is what was written, in the order it was written in."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from midstream.errors import CorruptLogError
from midstream.events.catalog import FORKED
from midstream.events.codec import SEALED, references
from midstream.events.envelope import Event, genesis, link
from midstream.events.ids import RunId
from midstream.events.keeping import Removing, Tombstone
from midstream.events.store import EventStore, Head, as_stored


@dataclass(frozen=True, slots=True)
class Verdict:
    """What checking one run found.

    Attributes:
        run_id: The run.
        events: How many events were checked.
        head: The newest event; kept elsewhere, it is the anchor of a later check.
        anchored: Whether the tail was checked against an anchor. A chain alone cannot show that its newest events were
            cut off.
        damage: The first place that is not as it was written, or None.
        seq: Its event, or None.
        removed: When the run was removed, in microseconds since 1970; 0 where it is there. Of such a run, only where it stood
            can be checked, and only against an anchor.
    """

    run_id: RunId
    events: int
    head: Head | None
    anchored: bool
    damage: str | None = None
    seq: int | None = None
    removed: int = 0

    @property
    def sound(self) -> bool:
        """Nothing was found."""
        return self.damage is None


async def verify(store: EventStore, run_id: RunId, *, anchor: Head | None = None) -> Verdict:
    """Recompute the chain of a run, check every blob it refers to, and compare with the anchor where there is one.

    Args:
        store: Where the run is.
        run_id: The run.
        anchor: A head of this run that was kept elsewhere.

    Raises:
        RunNotFoundError: There is no such run.
    """
    if isinstance(store, Removing) and (stone := await store.removed(run_id)) is not None:
        return _of_removed(stone, anchor)
    place = _Place()
    try:
        async for event in as_stored(store, run_id):
            damage = place.step(event) or await _damaged_blob(store, event)
            if damage is None and anchor is not None and event.seq == anchor.seq:
                damage = (
                    None
                    if event.digest == anchor.digest
                    else "it is not the event that the anchor names"
                )
            if damage is not None:
                return Verdict(run_id, place.sound, None, False, damage, place.sound + 1)
            place.sound = event.seq
    except CorruptLogError as error:
        return Verdict(run_id, place.sound, None, False, str(error), error.seq or place.sound + 1)
    if anchor is not None and place.sound < anchor.seq:
        cut = f"the log ends at event {place.sound}, the anchor names event {anchor.seq}"
        return Verdict(run_id, place.sound, None, False, cut, place.sound + 1)
    if place.run_id != run_id:
        other = f"the log ends with events of run {place.run_id!r}"
        return Verdict(run_id, place.sound, None, False, other, place.sound + 1)
    head = Head(place.sound, place.position, place.digest)
    return Verdict(run_id, place.sound, head, anchor is not None)


def _of_removed(stone: Tombstone, anchor: Head | None) -> Verdict:
    """Compare where a run stood with an anchor; one that was kept earlier than that says nothing of its end."""
    damage: str | None = None
    if anchor is not None and anchor.seq > stone.seq:
        damage = f"it was removed at event {stone.seq}, the anchor names event {anchor.seq}"
    elif anchor is not None and (anchor.seq, anchor.digest) != (stone.seq, stone.digest):
        if anchor.seq == stone.seq:
            damage = "it is said to have ended with another event than the anchor names"
        anchor = None
    head = Head(stone.seq, 0, stone.digest) if damage is None else None
    seq = None if damage is None else stone.seq
    return Verdict(stone.run_id, 0, head, anchor is not None, damage, seq, stone.at)


class _Place:
    """How far the chain has been followed."""

    def __init__(self) -> None:
        self.run_id = ""
        self.digest = b""
        self.sound = 0
        self.position = 0

    def step(self, event: Event) -> str | None:
        """Follow the chain by one event; return what is wrong with it, or None."""
        if event.seq != self.sound + 1:
            return f"event {self.sound + 1} is missing, event {event.seq} follows"
        if event.run_id != self.run_id and (damage := self._another(event)):
            return damage
        if event.position <= self.position:
            return "it stands before its predecessor in the store"
        self.position = event.position
        try:
            self.digest = link(
                self.digest,
                event.seq,
                event.stored,
                event.at,
                event.actor,
                event.cause,
                event.address,
                event.epoch,
                event.body,
            )
        except TypeError as error:
            return f"its envelope is not what any event has ({error})"
        if self.digest != event.digest:
            return "its digest does not follow from its content and predecessor"
        return None

    def _another(self, event: Event) -> str | None:
        """Go over to another run's events, which is right for the first one, and where a fork begins."""
        if self.sound == 0:
            self.digest = genesis(event.run_id)
        elif event.stored[0] != FORKED:
            return f"it is of run {event.run_id!r}, and no fork begins there"
        elif event.body.startswith(SEALED):
            pass  # what it says of its parent is sealed, but its digest follows from the parent's
        elif (event.data.get("seq"), event.data.get("digest")) != (self.sound, self.digest.hex()):
            return "it is a fork of another event than the one before it"
        self.run_id = event.run_id
        return None


async def _damaged_blob(store: EventStore, event: Event) -> str | None:
    for blob in references(event.body):
        if sha256(await store.blob(blob)).hexdigest() != blob:
            return f"blob {blob} is not what its digest says"
    return None


def anchors(verdicts: Mapping[RunId, Verdict]) -> dict[str, dict[str, str | int]]:
    """Return the heads of sound runs as plain data, to be kept elsewhere."""
    return {
        run_id: {"seq": verdict.head.seq, "digest": verdict.head.digest.hex()}
        for run_id, verdict in verdicts.items()
        if verdict.head is not None
    }
