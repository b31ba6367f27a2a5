"""How long does a command take to its first line? In fresh processes, over a store of many small runs and one long one.

python benchmarks/commands.py
"""

from __future__ import annotations

import asyncio
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import as_installed

from midstream.events.codec import encode
from midstream.events.ids import RunId
from midstream.events.payloads import NodeCompleted, NodeScheduled, RunCompleted, RunCreated
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import note

ROUNDS = 5
RUNS = 2000
LONG = 10_000
GOAL = 0.5

COMMANDS = (
    "--version",
    "--help",
    "runs",
    "runs status:completed",
    "runs -n 2000",
    "runs error:ValueError since:1h",
    "show small-7",
    "show long",
    "tail long",
    "trace small-7",
    "verify small-7",
    "db stats",
    "export html small-7",
    "export otel small-7",
)


async def filled(path: Path) -> None:
    """Make the store: small runs of four events, and a long one."""
    async with await SqliteStore.open(path, synchronous="normal") as store:
        small = [
            encode(RunCreated(graph="g", definition={"nodes": {"n": {}}}, graph_digest=""), at=1),
            encode(NodeScheduled(), at=2, address="n#1"),  # type: ignore[arg-type]
            encode(NodeCompleted(output="done"), at=3, address="n#1"),  # type: ignore[arg-type]
            encode(RunCompleted(output="done"), at=4),
        ]
        appends = [store.append(RunId(f"small-{i}"), small, expected=0) for i in range(RUNS)]
        await asyncio.gather(*appends)
        await store.append(RunId("long"), [small[0], *[note(i) for i in range(LONG)]], expected=0)


def first_line(words: str, db: Path) -> tuple[float, float, float]:
    """Return the seconds to the first line of a command, to its end, and of CPU in all."""
    used = _cpu()
    environment = {**as_installed(), "MIDSTREAM_DB": str(db)}
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "midstream", *words.split()],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    ) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        seconds = time.perf_counter() - began
        process.stdout.read()
    assert line or "error:" in words, words
    return seconds, time.perf_counter() - began, _cpu() - used


def _cpu() -> float:
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        db = Path(folder) / "runs.db"
        asyncio.run(filled(db))
        print(
            f"{RUNS} runs of 4 events, one of {LONG + 1}; median of {ROUNDS} fresh processes; goal {GOAL} s"
        )
        python = [_seconds([sys.executable, "-c", "pass"]) for _ in range(ROUNDS)]
        print(f"{'python -c pass':<34} {statistics.median(python):6.3f} s")
        for words in COMMANDS:
            found = [first_line(words, db) for _ in range(ROUNDS)]
            first, whole, cpu = (statistics.median(one) for one in zip(*found, strict=True))
            mark = "" if first <= GOAL else "  over the goal"
            said = f"{first:6.3f} s to the first line, {whole:6.3f} s in all, {cpu:6.3f} s of CPU"
            print(f"midstream {words:<36} {said}{mark}")


def _seconds(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True)
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
