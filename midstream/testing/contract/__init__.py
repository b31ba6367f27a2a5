"""What every event store must do, as tests: for whoever writes one.

Subclass both in a test module, with pytest and pytest-asyncio::

    class TestMyStore(StoreContract):
        persistent = True

        async def make_store(self, folder: Path) -> EventStore:
            return await MyStore.open(folder / "log")


    class MyMachine(StoreMachine):
        persistent = True

        async def make_store(self, folder: Path) -> EventStore:
            return await MyStore.open(folder / "log")


    TestMyMachine = MyMachine.TestCase

`pytest.register_assert_rewrite("midstream.testing.contract")` in `conftest.py` makes failures tell more.
"""

from __future__ import annotations

from midstream.testing.contract.appending import Appending
from midstream.testing.contract.forking import Forking
from midstream.testing.contract.hostile import Hostile
from midstream.testing.contract.keeping import Keeping
from midstream.testing.contract.leasing import Leasing
from midstream.testing.contract.listing import Listing
from midstream.testing.contract.machine import StoreMachine
from midstream.testing.contract.ordering import Ordering
from midstream.testing.contract.reading import Reading
from midstream.testing.contract.reopening import Reopening
from midstream.testing.contract.stage import (
    FORK,
    NOBODY,
    NOW,
    ODD,
    OTHER,
    RUN,
    created,
    created_end,
    events_of,
    forked,
    note,
    notes_of,
    outcomes,
    scanned,
)
from midstream.testing.contract.watching import Watching


class StoreContract(
    Appending,
    Ordering,
    Reading,
    Forking,
    Leasing,
    Listing,
    Keeping,
    Watching,
    Reopening,
    Hostile,
):
    """The promises of `EventStore`, one test each.

    Attributes:
        persistent: Whether a store that is made again in the same folder has what the closed one had.
        sealed: Whether it seals content, so that what is stored is not what was given.
    """


__all__ = [
    "FORK",
    "NOBODY",
    "NOW",
    "ODD",
    "OTHER",
    "RUN",
    "StoreContract",
    "StoreMachine",
    "created",
    "created_end",
    "events_of",
    "forked",
    "note",
    "notes_of",
    "outcomes",
    "scanned",
]
