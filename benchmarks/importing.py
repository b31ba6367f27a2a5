"""What does `import midstream` cost? Time and memory in fresh processes, beside its dependencies alone and LangGraph."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys

from measure import Figure, as_installed, interleaved, main, peer

ROUNDS = 15
ENGINE = "from midstream import Engine, Graph, Context"

_PROBE = """
import time
began = time.perf_counter()
{what}
seconds = time.perf_counter() - began
import json, re
from pathlib import Path
# Not `ru_maxrss`, which a process inherits from the one that started it.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(json.dumps([seconds, int(peak[1]) / 1024]))
"""


def imported(what: str) -> tuple[float, float]:
    """Return seconds, and the most memory the process ever had, in MB."""
    done = subprocess.run(
        [sys.executable, "-c", _PROBE.format(what=what)],
        capture_output=True,
        text=True,
        check=True,
        env=as_installed(),
    )
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


async def figures() -> list[Figure]:
    memory: dict[str, list[float]] = {}

    def contestant(what: str):  # type: ignore[no-untyped-def]
        async def once() -> float:
            seconds, used = imported(what)
            memory.setdefault(what, []).append(used)
            return seconds

        return once

    theirs: list[list[float]] = []

    async def langgraph() -> float:
        found = peer("importing", "langgraph")
        if found is not None:
            theirs.append(found)
        return 0.0

    pydantic = "import aiosqlite, orjson, pydantic; pydantic.BaseModel"
    taken = await interleaved(
        ROUNDS,
        {
            "floor": contestant(pydantic),
            "bare": contestant("import midstream"),
            "ours": contestant(ENGINE),
            "langgraph": langgraph,
        },
    )
    seconds = statistics.median(each[0] for each in theirs) if theirs else None
    return [
        Figure("import midstream, nothing used", taken["bare"].median, "s", 0.2),
        Figure(
            "import midstream, with its engine",
            taken["ours"].median,
            "s",
            0.2,
            taken["floor"].median,
            floor_name="aiosqlite, orjson, pydantic",
            spread=taken["ours"].spread,
        ),
        Figure(
            "… against `langgraph.graph` and its SQLite saver",
            taken["ours"].median,
            "s",
            None if seconds is None else 0.42,
            seconds,
            "ratio",
            floor_name="LangGraph",
            peers={"langgraph": seconds},
        ),
        Figure(
            "… memory of the process",
            max(memory[ENGINE]),
            "MB",
            45,
            max(memory[pydantic]),
            floor_name="aiosqlite, orjson, pydantic",
            peers={"langgraph": max(each[1] for each in theirs) if theirs else None},
        ),
    ]


if __name__ == "__main__":
    main(figures)
