"""How soon does a run go on after its process died? 10,000 and 100,000 events, in a fresh process, imports not counted.

The run is a chain of nodes that each call a tool again and again (two events a call). It is left in its last node, as by a
crash. What is measured: the store is opened, the run is taken over, and its node is called. Each round has a copy of the
file that is not in memory, as far as the kernel can be told so.

LangGraph goes on with a run of 10,000 nodes that was left before its last one: its saver is opened, the graph compiled, the
newest checkpoint loaded (`loaded`), and, in another process, the node called (`begun`), for which it writes nothing. Ours
then also looks whether the file is sound and of this release, shows a sign of life, sees that no living driver has the run,
takes its lease, compares the graph with the one that is recorded, and has `run.resumed` on the disk before the node begins.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphs import diligent
from measure import QUICK, Figure, folder, in_fresh_process, interleaved, main, peer

from midstream import Engine
from midstream.events.sqlite import SqliteStore
from midstream.events.store import Head

NODES = 51
CALLS = 100
ROUNDS = 9


async def left(path: Path, calls: int, *, keep: bool) -> None:
    """Make a run that stands in its last node; without its snapshot unless `keep`."""
    reached = asyncio.Event()

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    async with Engine.open(path, synchronous="normal") as engine:
        run = await engine.start(
            diligent(NODES, calls, hold=hold), run_id="long", inputs={"value": 0}
        )
        del run
        await reached.wait()
    if not keep:
        with sqlite3.connect(path) as connection:
            connection.execute("DELETE FROM snapshots")
        connection.close()


@dataclass(slots=True)
class Marks:
    """Moments of one resume."""

    began: float = 0.0
    opened: float = 0.0
    entered: float = 0.0
    loaded: float = 0.0
    taken: float = 0.0
    begun: float = 0.0

    def milliseconds(self) -> list[float]:
        """Return how long each part took; `loaded` without the engine's entering, which no state needs."""
        return [
            1000 * seconds
            for seconds in (
                self.opened - self.began,
                self.entered - self.opened,
                self.loaded - self.entered,
                self.taken - self.loaded,
                self.begun - self.taken,
            )
        ]


PARTS = ("opening the store", "entering", "reading the run", "taking it over", "beginning its node")


class MarkedStore(SqliteStore):
    """Says when it was asked to take the run over: then the run has been read; and when it answered that it did."""

    marks: Marks

    async def seize(self, *arguments: Any, **options: Any) -> Head:
        """See `Seizing.seize`."""
        self.marks.loaded = time.perf_counter()
        head = await super().seize(*arguments, **options)
        self.marks.taken = time.perf_counter()
        return head


async def resumed(path: Path, calls: int) -> list[float]:
    """Take the run over; return the milliseconds of `PARTS`, until its node is called."""
    marks = Marks()

    async def hold() -> None:
        marks.begun = marks.begun or time.perf_counter()
        reached.set()
        await asyncio.Event().wait()

    reached = asyncio.Event()
    graph = diligent(NODES, calls, hold=hold)
    marks.began = time.perf_counter()
    async with await MarkedStore.open(path) as store:
        marks.opened = time.perf_counter()
        store.marks = marks
        async with Engine(store, recover=False) as engine:
            marks.entered = time.perf_counter()
            await engine.resume("long", graph)
            await reached.wait()
            return marks.milliseconds()


@contextmanager
def copied(path: Path) -> Iterator[Path]:
    """A copy of a file that has to be read from the disk."""
    copy = path.with_name(f"round-{path.name}")
    shutil.copyfile(path, copy)
    with copy.open("rb+") as file:
        os.fsync(file.fileno())
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    try:
        yield copy
    finally:
        for each in copy.parent.glob(f"{copy.name}*"):
            each.unlink()


def reading(path: Path) -> float:
    """The floor: `sqlite3` alone reads the run's bodies; milliseconds."""
    began = time.perf_counter()
    connection = sqlite3.connect(path)
    connection.execute("SELECT seq, body FROM events WHERE run = 1 ORDER BY seq").fetchall()
    connection.close()
    return (time.perf_counter() - began) * 1000


class Langgraph:
    """LangGraph's resume of a run that it left in a file; absent where it is not installed."""

    def __init__(self, place: Path) -> None:
        self._path = place / "langgraph.db"
        self.there = peer("left", str(self._path)) is not None
        self.taken: dict[str, list[float]] = {}

    def once(self, until: str) -> None:
        """Go on with a copy of it, if it is there."""
        if self.there:
            with copied(self._path) as path:
                _, whole = peer("resumed", str(path), until)
            self.taken.setdefault(until, []).append(whole)

    def median(self, until: str) -> float | None:
        """Return its median, or None."""
        return statistics.median(self.taken[until]) if self.there else None


async def figures() -> list[Figure]:
    made: list[Figure] = []
    with folder() as place:
        peers = Langgraph(place)
        for calls in (CALLS, CALLS * 10):
            for keep in (False, True):
                path = place / f"{calls}-{keep}.db"
                await left(path, calls, keep=keep)
                made += await of_run(path, calls, peers, keep=keep)
    return made


async def of_run(path: Path, calls: int, peers: Langgraph, *, keep: bool) -> list[Figure]:
    """Measure the resumes of one run and of LangGraph's, in turns."""
    parts: list[list[float]] = []
    peers.taken.clear()

    async def ours() -> float:
        with copied(path) as copy:
            parts.append(in_fresh_process("resume.py", "--once", str(copy), str(calls)))
        return sum(parts[-1])

    async def floor() -> float:
        with copied(path) as copy:
            return reading(copy)

    async def theirs() -> float:
        peers.once("loaded")
        peers.once("begun")
        return 0.0

    rounds = ROUNDS if calls == CALLS or not QUICK else 3
    taken = await interleaved(rounds, {"floor": floor, "ours": ours, "langgraph": theirs})
    events = (NODES - 1) * (2 * calls + 2)
    name = f"resume of {events:,} events, {'with' if keep else 'without'} snapshot"
    gate = 3.0 if keep else 25.0 if calls == CALLS else None
    ratio = 0.43 if keep else 3.5 if calls == CALLS else None
    each = [statistics.median(values) for values in zip(*parts[1:], strict=True)]
    opening, _, reading_it, *_ = each
    return [
        Figure(
            name,
            taken["ours"].median,
            "ms",
            gate,
            taken["floor"].median,
            floor_name="reading the rows",
            spread=taken["ours"].spread,
        ),
        *(Figure(f"… {part}", value, "ms") for part, value in zip(PARTS, each, strict=True)),
        against("… its state in memory", opening + reading_it, peers.median("loaded"), ratio),
        against("… its node called", taken["ours"].median, peers.median("begun"), ratio),
    ]


def against(name: str, value: float, langgraph: float | None, gate: float | None) -> Figure:
    """Return a figure that is judged by LangGraph's for the same, where that is there."""
    return Figure(
        name,
        value,
        "ms",
        gate if langgraph is not None else None,
        langgraph,
        "ratio",
        floor_name="LangGraph, 10,000 nodes",
        peers={"langgraph": langgraph},
    )


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(asyncio.run(resumed(Path(sys.argv[-2]), int(sys.argv[-1])))))
    else:
        main(figures)
