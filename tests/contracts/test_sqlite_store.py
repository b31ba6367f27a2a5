"""The store in SQLite keeps the contract."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from midstream.events import EventStore
from midstream.events.sealing import Encryption
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import StoreContract, StoreMachine
from midstream.testing.removing import RemovingContract


class TestSqliteStore(StoreContract, RemovingContract):
    persistent = True

    async def make_store(self, folder: Path) -> EventStore:
        return await SqliteStore.open(folder / "log.db", synchronous="normal")


KEYS = Encryption(keys={"2026": b"k" * 32})


class TestSealedSqliteStore(StoreContract, RemovingContract):
    """With encryption, it is the same store."""

    persistent = True
    sealed = True

    async def make_store(self, folder: Path) -> EventStore:
        return await SqliteStore.open(folder / "log.db", synchronous="normal", encryption=KEYS)


class SealedMachine(StoreMachine):
    persistent = True

    async def make_store(self, folder: Path) -> EventStore:
        return await SqliteStore.open(folder / "log.db", synchronous="normal", encryption=KEYS)


class SqliteMachine(StoreMachine):
    persistent = True

    async def make_store(self, folder: Path) -> EventStore:
        return await SqliteStore.open(folder / "log.db", synchronous="normal")


TestSqliteMachine = SqliteMachine.TestCase
TestSqliteMachine.settings = settings(max_examples=25, stateful_step_count=20, deadline=None)

TestSealedMachine = SealedMachine.TestCase
TestSealedMachine.settings = settings(max_examples=15, stateful_step_count=20, deadline=None)
