"""What does a durable node make the machine do? Commits, hops to the writer's thread and syncs of the disk, counted.

Counts do not depend on how busy the machine is. Commits and hops are the store's own counters, and exact tests in
`tests/test_exact_costs.py`; syncs are counted by `strace`, where it is installed.
"""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

from graphs import chain
from measure import Figure, folder, main

from midstream import Engine
from midstream.events.sqlite import SqliteStore

NODES = 400
_CALLS = "fsync,fdatasync,pwrite64"


async def counted(path: Path, nodes: int) -> dict[str, float]:
    """Run a chain; return commits and hops per node."""
    store = await SqliteStore.open(path)
    async with Engine(store) as engine:
        before = store.stats.commits, store.stats.hops
        await (await engine.start(chain(nodes)))
        commits, hops = store.stats.commits - before[0], store.stats.hops - before[1]
    await store.close()
    return {"commits": commits / nodes, "hops": hops / nodes}


def syncs(path: Path, nodes: int) -> dict[str, int]:
    """Return how often each call of `_CALLS` is made while a chain runs in a process of its own."""
    report = path.with_suffix(".strace")
    subprocess.run(
        [
            *["strace", "-f", "-c", "-e"],
            f"trace={_CALLS}",
            "-o",
            str(report),
            sys.executable,
            __file__,
            "--once",
            str(path),
            str(nodes),
        ],
        check=True,
        capture_output=True,
    )
    lines = report.read_text().splitlines()
    found = [
        re.match(r"\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?(\w+)$", line) for line in lines
    ]
    return {match[2]: int(match[1]) for match in found if match}


async def figures() -> list[Figure]:
    with folder() as place:
        ours = await counted(place / "a.db", NODES)
        made = [
            Figure("commits per waiting node", ours["commits"], "", 1.01),
            Figure("hops per waiting node", ours["hops"], "", 1.06),
        ]
        if shutil.which("strace"):
            # The difference of two lengths: without what opening and closing the store costs.
            short, long = syncs(place / "b.db", NODES), syncs(place / "c.db", 2 * NODES)
            sync = sum(long.get(name, 0) - short.get(name, 0) for name in ("fsync", "fdatasync"))
            writes = (long["pwrite64"] - short["pwrite64"]) / NODES
            made.append(Figure("syncs per waiting node", sync / NODES, "", 1.05))
            made.append(Figure("writes to files per waiting node", writes, ""))
    return made


if __name__ == "__main__":
    if "--once" in sys.argv:
        print(json.dumps(asyncio.run(counted(Path(sys.argv[-2]), int(sys.argv[-1])))))
    else:
        main(figures)
