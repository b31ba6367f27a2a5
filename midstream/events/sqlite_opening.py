"""Opening what is sealed in an SQLite file: events, their blobs, and snapshots."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence

from midstream.errors import SealedError
from midstream.events.codec import references
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.sealing import BLOB, Sealer, erased, owner_of
from midstream.events.sqlite_job import in_one_hop
from midstream.events.sqlite_keys import Keys
from midstream.events.sqlite_reading import Reading
from midstream.events.store import Snapshot

Kept = Callable[[Sequence[str]], Awaitable[dict[str, bytes]]]
"""Returns those of some blobs that are there, as they are kept."""


class Opening:
    """Opens content with the keys that stand in the file at that moment.

    Args:
        reading: Reads the file.
        keys: The keys of the store.
        kept: Where sealed blobs come from.
    """

    def __init__(self, reading: Reading, keys: Keys, kept: Kept) -> None:
        self._reading = reading
        self._keys = keys
        self._kept = kept

    async def events(self, events: list[Event], sealed: Sequence[int], *, with_blobs: bool) -> None:
        """Open the events at some places of a list; those whose keys were destroyed have no data.

        Raises:
            SealedError: The keys are not here.
        """
        owners = {place: owner_of(events[place]) for place in sealed}
        sealers = await self._sealers(list(dict.fromkeys(owners.values())))
        blobs: dict[str, bytes] | None = None
        if with_blobs:
            wanted = {name for place in sealed for name in references(events[place].body)}
            blobs = await self._kept(list(wanted)) if wanted else {}
        for place, owner in owners.items():
            sealer = sealers[owner]
            event = events[place]
            events[place] = erased(event) if sealer is None else sealer.event(event, blobs)

    async def snapshot(self, run_id: RunId, snapshot: Snapshot) -> Snapshot | None:
        """Return a snapshot opened, or None where its key was destroyed.

        Raises:
            SealedError: The key is not here.
        """
        if not snapshot.body.startswith(BLOB):
            return snapshot
        sealer = (await self._sealers([run_id]))[run_id]
        if sealer is None:
            return None
        try:
            return snapshot._replace(body=sealer.open_blob(snapshot.body))
        except ValueError as error:
            raise SealedError(run_id, "its snapshot was not sealed with its key") from error

    async def _sealers(self, runs: Sequence[str]) -> Mapping[str, Sealer | None]:
        connection = await self._reading.connection()
        await self._keys.prepare(connection, runs)
        return await in_one_hop(connection, lambda there: self._keys.sealers(there, runs))
