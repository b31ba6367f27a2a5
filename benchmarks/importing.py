"""What does `import midstream` cost? Time and memory in fresh processes, against an interpreter that imports nothing."""

from __future__ import annotations

import json
import subprocess
import sys

from measure import Figure, as_installed, interleaved, main

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

    pydantic = "import aiosqlite, orjson, pydantic; pydantic.BaseModel"
    taken = await interleaved(
        ROUNDS,
        {
            "floor": contestant(pydantic),
            "bare": contestant("import midstream"),
            "ours": contestant(ENGINE),
        },
    )
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
            "… memory of the process",
            max(memory[ENGINE]),
            "MB",
            45,
            max(memory[pydantic]),
            floor_name="aiosqlite, orjson, pydantic",
        ),
    ]


if __name__ == "__main__":
    main(figures)
