"""What is said of an append that was refused: to its writer an error, and to nobody else anything."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from midstream.errors import ConcurrencyError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract.stage import created, note

RUN = RunId("r")


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_refused_append_whose_writer_has_gone_leaves_no_word(
    kind: str, tmp_path: Path
) -> None:
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    store = MemoryStore() if kind == "memory" else await SqliteStore.open(tmp_path / "a.db")
    await store.append(RUN, [created()], expected=0)
    answer = asyncio.ensure_future(store.append(RUN, [note()], expected=7))
    await asyncio.wait([answer])
    del answer
    gc.collect()
    await store.close()
    assert said == []


async def test_a_writer_that_waits_is_told() -> None:
    store = MemoryStore()
    await store.append(RUN, [created()], expected=0)
    answer = store.append(RUN, [note()], expected=7)
    await asyncio.sleep(0)
    with pytest.raises(ConcurrencyError):
        await answer
