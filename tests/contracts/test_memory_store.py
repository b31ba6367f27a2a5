"""The store in memory keeps the contract: it is the reference, so this is also a test of the contract."""

from __future__ import annotations

from pathlib import Path

from hypothesis import settings

from midstream.events import EventStore, MemoryStore
from midstream.testing.contract import StoreContract, StoreMachine
from midstream.testing.removing import RemovingContract


class TestMemoryStore(StoreContract, RemovingContract):
    async def make_store(self, folder: Path) -> EventStore:
        return MemoryStore()


class MemoryMachine(StoreMachine):
    async def make_store(self, folder: Path) -> EventStore:
        return MemoryStore()


TestMemoryMachine = MemoryMachine.TestCase
TestMemoryMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
