"""How soon does a run go on after its process died? 10,000 and 100,000 events, in a fresh process, imports not counted.

The run is a chain of nodes that each call a tool again and again (two events a call). It is left in its last node, as by a
crash. What is measured: the store is opened, the run is taken over, and its node is called.
"""

from __future__ import annotations

import asyncio
import json
import sqlite3
import statistics
import sys
import time
from pathlib import Path

from graphs import diligent
from measure import QUICK, Figure, folder, in_fresh_process, interleaved, main

from midstream import Engine
from midstream.events.sqlite import SqliteStore

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


async def resumed(path: Path, calls: int) -> tuple[float, float]:
    """Take the run over; return milliseconds until its node is called, and how many of them it took to open the store."""
    reached = asyncio.Event()

    async def hold() -> None:
        reached.set()
        await asyncio.Event().wait()

    graph = diligent(NODES, calls, hold=hold)
    began = time.perf_counter()
    async with await SqliteStore.open(path) as store, Engine(store, recover=False) as engine:
        opened = time.perf_counter()
        await engine.resume("long", graph)
        await reached.wait()
        return (time.perf_counter() - began) * 1000, (opened - began) * 1000


def reading(path: Path) -> float:
    """The floor: `sqlite3` alone reads the run's bodies; milliseconds."""
    began = time.perf_counter()
    connection = sqlite3.connect(path)
    connection.execute("SELECT seq, body FROM events WHERE run = 1 ORDER BY seq").fetchall()
    connection.close()
    return (time.perf_counter() - began) * 1000


async def figures() -> list[Figure]:
    made: list[Figure] = []
    with folder() as place:
        for calls in (CALLS, CALLS * 10):
            events = (NODES - 1) * (2 * calls + 2)
            for keep in (False, True):
                path = place / f"{calls}-{keep}.db"
                await left(path, calls, keep=keep)

                opening: list[float] = []

                async def ours(
                    path: Path = path, calls: int = calls, opening: list[float] = opening
                ) -> float:
                    whole, opened = in_fresh_process("resume.py", "--once", str(path), str(calls))
                    opening.append(opened)
                    return float(whole)

                async def floor(path: Path = path) -> float:
                    return reading(path)

                rounds = ROUNDS if calls == CALLS or not QUICK else 3
                taken = await interleaved(rounds, {"floor": floor, "ours": ours})
                gate = 3.0 if keep else 25.0 if calls == CALLS else None
                made.append(
                    Figure(
                        f"resume of {events:,} events, {'with' if keep else 'without'} snapshot",
                        taken["ours"].median,
                        "ms",
                        gate,
                        taken["floor"].median,
                        floor_name="reading the rows",
                        spread=taken["ours"].spread,
                    )
                )
                made.append(
                    Figure("… of that, opening the store", statistics.median(opening), "ms")
                )
    return made


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(asyncio.run(resumed(Path(sys.argv[-2]), int(sys.argv[-1])))))
    else:
        main(figures)
