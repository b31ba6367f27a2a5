"""A store counts the events of a run without handing them out, also those that a fork shares with its parent."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from midstream import Engine
from midstream.errors import RunNotFoundError
from midstream.events.ids import RunId, activation_of
from midstream.events.payloads import PAYLOADS
from midstream.events.sqlite import SqliteStore
from midstream.events.store import Counting
from tests.projections.logs import eventful, model


async def test_events_are_counted_by_activation_up_to_each_event(tmp_path: Path) -> None:
    types = frozenset(PAYLOADS)
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        assert isinstance(store, Counting)
        async with Engine(store, models={"p:m": model, "p:n": ["n"]}) as engine:
            run = await engine.start(eventful(), run_id="r", inputs={"fail": False})
            await run
            fork = await run.fork(at=20, paused=True)
            for run_id in (RunId("r"), fork.id):
                events = [event async for event in store.read(run_id)]
                for last in (*range(1, len(events)), None):
                    wanted = Counter(
                        activation_of(event.address)
                        for event in events[:last]
                        if event.address is not None
                    )
                    assert await store.counted(run_id, types, to=last) == wanted
        assert await store.counted(RunId("r"), frozenset()) == {}
        with pytest.raises(RunNotFoundError):
            await store.counted(RunId("nobody"), types)
