"""How fast is a projection rebuilt? Over a log of 1,000,000 events, against reading and decoding alone.

The floor reads the same columns with `sqlite3` and decodes each body with orjson, and does nothing with them. The second
question is what validated objects cost: `event.payload`, against bare pydantic on the same bodies in memory.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path

import orjson
from measure import QUICK, Figure, folder, interleaved, main
from pydantic import TypeAdapter

from midstream.events import Event, Payload, encode
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    NodeCompleted,
    NodeScheduled,
    RunCreated,
    ToolCompleted,
    ToolRequested,
    ValueRecorded,
)
from midstream.events.sqlite import SqliteStore
from midstream.projections import Handler, Projection, fold

EVENTS = 100_000 if QUICK else 1_000_000
RUNS = 100
ROUNDS = 5
SAMPLE = 20_000


class Counting:
    """A projection over every event: how many of each type, and the bytes that tools returned."""

    def __init__(self) -> None:
        self.handlers: Mapping[str, Handler[dict[str, int]]] = {
            "node.scheduled": _count,
            "node.completed": _count,
            "tool.requested": _count,
            "tool.completed": _bytes,
            "value.recorded": _count,
        }

    def initial(self) -> dict[str, int]:
        return {}


def _count(state: dict[str, int], event: Event) -> None:
    state[event.type] = state.get(event.type, 0) + 1


def _bytes(state: dict[str, int], event: Event) -> None:
    _count(state, event)
    state["bytes"] = state.get("bytes", 0) + len(event.data["result"])


async def fill(path: Path) -> None:
    """Write the log: runs that append in turn, five kinds of events, some 100 bytes of body each."""
    store = await SqliteStore.open(path, synchronous="normal")
    created = RunCreated(graph="g", definition={"nodes": {"n": {}}}, graph_digest="d")
    cycle = (
        (NodeScheduled(inputs={"city": "cities#1"}), "n#1"),
        (
            ToolRequested(
                name="search", arguments={"query": "sights in Tokyo"}, effect="read", key="n#1"
            ),
            "n#1/tool:search:3fa9c2d1e0#1",
        ),
        (
            ToolCompleted(result="Senso-ji, Meiji Jingu, Ueno Park, Shinjuku Gyoen, Tokyo Tower"),
            "n#1/tool:search:3fa9c2d1e0#1",
        ),
        (ValueRecorded(value=1700000000.25), "n#1/now#1"),
        (NodeCompleted(output="a plan for a day in Tokyo that begins at Senso-ji"), "n#1"),
    )
    drafts = [encode(payload, at=1, address=Address(address)) for payload, address in cycle] * 20
    for number in range(RUNS):
        await store.append(RunId(f"r{number}"), [encode(created, at=1)], expected=0)
    expected = 1
    for _ in range(EVENTS // RUNS // len(drafts)):
        waiting = [
            store.append(RunId(f"r{number}"), drafts, expected=expected) for number in range(RUNS)
        ]
        for one in waiting:
            await one
        expected += len(drafts)
    await store.close()


def reading(path: Path) -> float:
    """The floor; events per second."""
    connection = sqlite3.connect(path)
    loads = orjson.loads
    began = time.perf_counter()
    found, after = 0, 0
    while True:
        rows = connection.execute(
            "SELECT seq, id, at, kind, actor, cause, address, epoch, body, digest, run"
            " FROM events WHERE id > ? ORDER BY id LIMIT 1000",
            (after,),
        ).fetchall()
        if not rows:
            break
        for row in rows:
            loads(row[8])
        after = rows[-1][1]
        found += len(rows)
    seconds = time.perf_counter() - began
    connection.close()
    return found / seconds


async def rebuilding(path: Path) -> float:
    """Ours; events per second."""
    store = await SqliteStore.open(path, read_only=True)
    projection: Projection[dict[str, int]] = Counting()
    began = time.perf_counter()
    state = projection.initial()
    async for page in store.scan():
        fold(projection, page, state)
    seconds = time.perf_counter() - began
    await store.close()
    assert sum(state.values()) - state["bytes"] == EVENTS
    return EVENTS / seconds


async def sample(path: Path) -> list[Event]:
    store = await SqliteStore.open(path, read_only=True)
    events: list[Event] = []
    async for page in store.scan():
        events += page
        if len(events) >= SAMPLE:
            break
    await store.close()
    return events


async def figures() -> list[Figure]:
    with folder() as place:
        path = place / "log.db"
        await fill(path)

        async def floor() -> float:
            return reading(path)

        scans = await interleaved(ROUNDS, {"floor": floor, "ours": lambda: rebuilding(path)})
        events = await sample(path)
    adapter: TypeAdapter[Payload] = TypeAdapter(Payload)
    tagged = [orjson.dumps({"type": event.type, **event.data}) for event in events]

    async def bare() -> float:
        began = time.perf_counter()
        for body in tagged:
            adapter.validate_json(body)
        return len(tagged) / (time.perf_counter() - began)

    async def objects() -> float:
        began = time.perf_counter()
        for event in events:
            event.payload  # noqa: B018  # made anew at each access
        return len(events) / (time.perf_counter() - began)

    made = await interleaved(ROUNDS * 3, {"bare": bare, "objects": objects})
    return [
        Figure(
            f"rebuild over {EVENTS:,} events",
            scans["ours"].median,
            "events/s",
            0.7,
            scans["floor"].median,
            "ratio",
            at_least=True,
            floor_name="reading and orjson alone",
            spread=scans["ours"].spread,
        ),
        Figure(
            "validated payloads, in memory",
            made["objects"].median,
            "events/s",
            0.75,
            made["bare"].median,
            "ratio",
            at_least=True,
            floor_name="pydantic validate_json",
            spread=made["objects"].spread,
        ),
    ]


if __name__ == "__main__":
    main(figures)
