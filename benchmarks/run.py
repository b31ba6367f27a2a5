"""Run all questions, or those that are named: `python benchmarks/run.py [--quick] [chain fan_out …]`."""

from __future__ import annotations

import asyncio
import importlib
import os
import platform
import sqlite3
import sys
import tempfile
import time

from measure import Figure, table

QUESTIONS = (
    "importing",
    "commits",
    "chain",
    "fan_out",
    "graphs_dynamic",
    "many_runs",
    "waiting",
    "conversation",
    "resume",
    "rebuild",
    "experience",
    "keeping",
    "views",
)


def machine() -> str:
    """Say what was measured on."""
    place = os.environ.get("BENCH_DIR", tempfile.gettempdir())
    return (
        f"CPython {platform.python_version()}, SQLite {sqlite3.sqlite_version}, {os.cpu_count()} cores, "
        f"{platform.system()} {platform.release()}, files in {place}, load {os.getloadavg()[0]:.1f}"
    )


def main() -> int:
    """Print each question's table as it is answered, then all of them in one; exit with 1 where a gate is missed."""
    asked = [name for name in sys.argv[1:] if not name.startswith("-")]
    if unknown := set(asked) - set(QUESTIONS):
        print(
            f"no question {', '.join(sorted(unknown))}; there are {', '.join(QUESTIONS)}",
            file=sys.stderr,
        )
        return 2
    print(machine(), flush=True)
    found: list[Figure] = []
    for name in asked or QUESTIONS:
        began = time.perf_counter()
        figures: list[Figure] = asyncio.run(importlib.import_module(name).figures())
        print(f"\n{name} ({time.perf_counter() - began:.0f} s)\n{table(figures)}", flush=True)
        found += figures
    missed = [figure.name for figure in found if figure.held is False]
    print(f"\nsummary; {machine()}\n{table(found)}\n")
    print(f"gates missed: {'; '.join(missed) or 'none'}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
