"""How many runs fit into one process? 1,000 at once, each 10 nodes of 50 ms, every node durable before the next begins."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from pathlib import Path

from graphs import chain
from measure import Figure, folder, in_fresh_process, interleaved, main, peer

from midstream import Engine
from midstream.events.sqlite import SqliteStore

RUNS = 1000
NODES = 10
SECONDS = 0.05
ROUNDS = 7


async def once(path: Path) -> dict[str, float]:
    """Run them all; return seconds, commits and the most memory this process ever had, in MB."""
    graph = chain(NODES, seconds=SECONDS)
    graph_first = chain(2)
    store = await SqliteStore.open(path)
    async with Engine(store) as engine:
        assert await (await engine.start(graph_first)) == 1
        before = store.stats.commits
        began = time.perf_counter()
        runs = await asyncio.gather(*(engine.start(graph) for _ in range(RUNS)))
        outputs = await asyncio.gather(*runs)
        seconds = time.perf_counter() - began
        assert outputs == [NODES - 1] * RUNS
        commits = store.stats.commits - before
    await store.close()
    # Not `ru_maxrss`, which a process inherits from the one that started it.
    peak = re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())  # noqa: ASYNC240  # it is no file
    memory = int(peak[1]) / 1024 if peak else 0.0
    return {"seconds": seconds, "commits": commits, "memory": memory}


async def ideal() -> float:
    """The same waiting in bare asyncio, with nothing recorded."""

    async def run() -> None:
        for _ in range(NODES):
            await asyncio.sleep(SECONDS)

    began = time.perf_counter()
    await asyncio.gather(*(run() for _ in range(RUNS)))
    return time.perf_counter() - began


async def figures() -> list[Figure]:
    commits: list[float] = []
    memory: list[float] = []
    with folder() as place:
        number = iter(range(1000))

        async def ours() -> float:
            taken = in_fresh_process("many_runs.py", "--once", str(place / f"{next(number)}.db"))
            commits.append(taken["commits"])
            memory.append(taken["memory"])
            return float(taken["seconds"])

        async def rarely_collected() -> float:
            file = str(place / f"{next(number)}.db")
            return float(in_fresh_process("many_runs.py", "--rarely", "--once", file)["seconds"])

        taken = await interleaved(
            ROUNDS, {"ideal": ideal, "ours": ours, "rarely": rarely_collected}, warm=0
        )
    peers = {name: peer("many_runs", name) for name in ("langgraph", "bridgic")}
    return [
        Figure(
            "1,000 runs x 10 nodes of 50 ms, FULL",
            taken["ours"].median,
            "s",
            1.5,
            taken["ideal"].median,
            "ratio",
            floor_name="asyncio alone",
            spread=taken["ours"].spread,
            peers=peers,
            goals={"langgraph": 1 / 20, "bridgic": 1.0},
        ),
        Figure(
            "… as docs/how-to/embed-in-a-service.md sets the collector",
            taken["rarely"].median,
            "s",
            None,
            taken["ideal"].median,
            floor_name="asyncio alone",
            spread=taken["rarely"].spread,
        ),
        Figure(
            "… their commits",
            sorted(commits)[len(commits) // 2],
            "",
            100,
            spread=(min(commits), max(commits)),
        ),
        Figure("… peak memory of the process", max(memory), "MB", 60),
    ]


if __name__ == "__main__":
    if "--rarely" in sys.argv:
        gc.freeze()
        gc.set_threshold(50_000, 20, 20)
    if "--once" in sys.argv:
        print(json.dumps(asyncio.run(once(Path(sys.argv[-1])))))
    else:
        main(figures)
