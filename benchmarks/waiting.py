"""What do ten thousand runs cost that wait for a person? Memory, and processor time per second, in one process over one file."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import sys
import time
from pathlib import Path

from measure import QUICK, Figure, folder, in_fresh_process, main

from midstream import Context, Engine, Graph
from midstream.events.sqlite import SqliteStore

RUNS = 1_000 if QUICK else 10_000
WATCHED = 5.0
"""Seconds for which the waiting process is watched."""

asking = Graph("asking")


@asking.node
async def ask(ctx: Context, order: int) -> str:
    before = await ctx.uuid()
    answer = await ctx.confirm("Send it?", show={"order": order}, timeout=30 * 86400)
    return f"{before} {answer.approved}"


def memory() -> float:
    """The memory of this process that is in use, in MB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path("/proc/self/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


async def until_parked(engine: Engine, count: int) -> None:
    host = engine._here()
    while len(host.lot) < count or host.live:  # noqa: ASYNC110  # it has no event of its own
        await asyncio.sleep(0.05)


async def once(path: Path) -> dict[str, float]:
    store = await SqliteStore.open(path)
    async with Engine(store, park_after=0.2) as engine:
        first = await engine.start(asking, order=-1)
        await until_parked(engine, 1)
        gc.collect()
        before = memory()
        began = time.perf_counter()
        for start in range(0, RUNS, 100):
            await asyncio.gather(
                *(engine.start(asking, order=n) for n in range(start, start + 100))
            )
        await until_parked(engine, RUNS + 1)
        seconds = time.perf_counter() - began
        gc.collect()
        after, tasks = memory(), len(asyncio.all_tasks())
        commits, busy = store.stats.commits, time.process_time()
        await asyncio.sleep(WATCHED)
        busy = (time.process_time() - busy) / WATCHED
        written = store.stats.commits - commits
        (question,) = await first.questions()
        began = time.perf_counter()
        await first.answer(question.id, approved=True)
        assert str(await first).endswith("True")
        answered = time.perf_counter() - began
    await store.close()
    return {
        "memory": after - before,
        "seconds": seconds / RUNS * 1000,
        "tasks": tasks,
        "busy": busy * 1000,
        "written": written,
        "answered": answered * 1000,
    }


async def figures() -> list[Figure]:
    with folder() as place:
        taken = in_fresh_process(
            "waiting.py", "--once", str(place / "runs.db"), *(["--quick"] if QUICK else [])
        )
    return [
        Figure(f"memory of {RUNS:,} runs that wait", taken["memory"], "MB", 100),
        Figure("… tasks in their process", taken["tasks"], "", 20),
        Figure("… processor time", taken["busy"], "ms/s", 20),
        Figure(f"… commits in {WATCHED:g} s", taken["written"], "", 2),
        Figure("… to start one and put it aside", taken["seconds"], "ms"),
        Figure("… from an answer to the output", taken["answered"], "ms"),
    ]


if __name__ == "__main__":
    if "--once" in sys.argv:
        place = next(word for word in sys.argv if word.endswith(".db"))
        print(json.dumps(asyncio.run(once(Path(place)))))
    else:
        main(figures)
