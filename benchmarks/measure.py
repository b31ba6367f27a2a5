"""Measuring: interleaved rounds, medians, the floor that `sqlite3` itself sets, and the table that is printed.

A single figure of one machine says little: contestants take turns within one run, and what is compared is medians.
"""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiosqlite

HERE = Path(__file__).parent
PEERS_PYTHON = Path(os.environ.get("PEERS_PYTHON", HERE.parent / ".venv-peers" / "bin" / "python"))
"""The interpreter that has the peers installed; see README.md."""

QUICK = "--quick" in sys.argv
"""A third of the rounds: to see that everything runs, not to be quoted."""

PAYLOAD = 256
"""Bytes in one row of the floor: about what two events of a trivial node take."""

Contestant = Callable[[], Awaitable[float]]
"""Does one round and returns its figure."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        name: What was measured.
        value: Ours.
        unit: Of `value`, `floor` and the peers' figures.
        gate: What the judged figure must not exceed, or must reach where `at_least`; None where nothing is demanded.
        floor: What stands beside it, measured in the same run, or None.
        judged: `value`, or `ratio` = value / floor.
        at_least: The gate is a lower bound.
        floor_name: What the floor is.
        spread: Lowest and highest round of ours.
        peers: Others' figures by name; None where they are not installed.
        goals: What ours may be of theirs, by name: of gates in milliseconds, this is what another machine can be held to.
    """

    name: str
    value: float
    unit: str
    gate: float | None = None
    floor: float | None = None
    judged: str = "value"
    at_least: bool = False
    floor_name: str = ""
    spread: tuple[float, float] | None = None
    peers: Mapping[str, float | None] = field(default_factory=dict[str, float | None])
    goals: Mapping[str, float] = field(default_factory=dict[str, float])

    @property
    def ratio(self) -> float | None:
        return None if self.floor in (None, 0) else self.value / self.floor  # type: ignore[operator]

    @property
    def held(self) -> bool | None:
        """Whether the gate was held."""
        judged = self.ratio if self.judged == "ratio" else self.value
        if self.gate is None or judged is None:
            return None
        return judged >= self.gate if self.at_least else judged <= self.gate


@dataclass(frozen=True, slots=True)
class Rounds:
    """The figures of one contestant."""

    each: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.each)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.each), max(self.each)


async def interleaved(
    rounds: int, contestants: Mapping[str, Contestant], *, warm: int = 1
) -> dict[str, Rounds]:
    """Let the contestants take turns, A B C A B C …; the first `warm` rounds do not count."""
    taken: dict[str, list[float]] = {name: [] for name in contestants}
    count = max(3, rounds // 3) if QUICK else rounds
    for round_ in range(-warm, count):
        for name, contestant in contestants.items():
            figure = await contestant()
            if round_ >= 0:
                taken[name].append(figure)
    return {name: Rounds(tuple(each)) for name, each in taken.items()}


@contextmanager
def folder() -> Iterator[Path]:
    """A directory on the disk that is measured: `BENCH_DIR`, or where temporary files are."""
    with tempfile.TemporaryDirectory(
        prefix="midstream-bench-", dir=os.environ.get("BENCH_DIR")
    ) as made:
        yield Path(made)


class RawLog:
    """The floor: one `sqlite3` connection that appends one row of `PAYLOAD` bytes per commit, in WAL mode."""

    def __init__(self, path: Path, synchronous: str = "full") -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        for pragma in ("journal_mode = WAL", f"synchronous = {synchronous}"):
            self._connection.execute(f"PRAGMA {pragma}").fetchall()
        self._connection.execute(
            "CREATE TABLE log (id INTEGER PRIMARY KEY, run INTEGER, seq INTEGER, body BLOB, UNIQUE (run, seq))"
        )
        self._seq = 0
        self._body = os.urandom(PAYLOAD)

    def commits(self, count: int) -> float:
        """Append `count` rows, each in a commit of its own; return the seconds of one."""
        execute = self._connection.execute
        began = time.perf_counter()
        for seq in range(self._seq, self._seq + count):
            execute("INSERT INTO log (run, seq, body) VALUES (1, ?, ?)", (seq, self._body))
        seconds = time.perf_counter() - began
        self._seq += count
        return seconds / count

    def close(self) -> None:
        self._connection.close()


class ThinLog:
    """What aiosqlite costs by itself: the same rows as `RawLog`, each an awaited INSERT on its thread, and nothing else."""

    def __init__(self, connection: aiosqlite.Connection) -> None:
        self._connection = connection
        self._seq = 0
        self._body = os.urandom(PAYLOAD)

    @classmethod
    async def open(cls, path: Path, synchronous: str = "full") -> ThinLog:
        """Make the file and its connection."""
        RawLog(path, synchronous).close()
        connection = await aiosqlite.connect(path, isolation_level=None)
        await connection.execute(f"PRAGMA synchronous = {synchronous}")
        return cls(connection)

    async def commits(self, count: int) -> float:
        """Append `count` rows, each awaited; return the seconds of one."""
        began = time.perf_counter()
        for seq in range(self._seq, self._seq + count):
            await self._connection.execute(
                "INSERT INTO log (run, seq, body) VALUES (1, ?, ?)", (seq, self._body)
            )
        self._seq += count
        return (time.perf_counter() - began) / count

    async def hops(self, count: int) -> float:
        """Go to the thread and back `count` times; return the seconds of one."""
        began = time.perf_counter()
        for _ in range(count):
            await self._connection.execute("SELECT 1")
        return (time.perf_counter() - began) / count

    async def close(self) -> None:
        await self._connection.close()


def as_installed() -> dict[str, str]:
    """Return an environment in which compiled modules are kept, as those of an installed package are."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def in_fresh_process(
    script: str, *arguments: str, python: str = sys.executable, timeout: float = 600.0
) -> Any:
    """Run a script of this directory in a new process and return the JSON it prints."""
    done = subprocess.run(
        [python, str(HERE / script), *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        env=as_installed(),
    )
    if done.returncode:
        raise RuntimeError(f"{script} {' '.join(arguments)} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def peer(question: str, name: str, *more: str) -> Any:
    """Return the figure of a peer, or what else its worker says, or None where it is not installed, or does not end."""
    if not PEERS_PYTHON.exists():
        return None
    try:
        return in_fresh_process(
            "peers_worker.py", question, name, *more, python=str(PEERS_PYTHON), timeout=300.0
        )
    except subprocess.TimeoutExpired:
        print(f"{name} did not end within five minutes", file=sys.stderr)
        return None


def _shown(value: float | None, unit: str = "") -> str:
    if value is None:
        return "-"
    digits = 0 if value >= 1000 or float(value).is_integer() else 3 if value < 10 else 1
    return f"{value:,.{digits}f}{' ' + unit if unit else ''}"


def _gate(figure: Figure) -> str:
    if figure.gate is None:
        return "-"
    sign = ">=" if figure.at_least else "<="
    of = "x" if figure.judged == "ratio" else f" {figure.unit}".rstrip()
    return f"{sign} {figure.gate:g}{of}"


def _peers(figure: Figure) -> str:
    return ", ".join(_beside(figure, name, value) for name, value in figure.peers.items())


def _beside(figure: Figure, name: str, value: float | None) -> str:
    """Return a peer's figure, what ours is of it, and whether that reaches the goal."""
    if value is None:
        return f"{name} absent"
    shown, goal = f"{name} {_shown(value)}", figure.goals.get(name)
    if goal is None:
        return shown
    share = figure.value / value
    return f"{shown} ({share:.3f} x of it, goal {goal:.3g}: {'yes' if share <= goal else 'NO'})"


def table(figures: Sequence[Figure]) -> str:
    """Return the figures as a Markdown table."""
    lines = [
        ("question", "ours", "min … max", "floor", "ratio", "gate", "held", "peers"),
        *(
            (
                figure.name,
                _shown(figure.value, figure.unit),
                "-" if figure.spread is None else " … ".join(map(_shown, figure.spread)),
                "-"
                if figure.floor is None
                else f"{_shown(figure.floor, figure.unit)} ({figure.floor_name})",
                "-" if figure.ratio is None else f"{figure.ratio:.2f}",
                _gate(figure),
                {True: "yes", False: "NO", None: "-"}[figure.held],
                _peers(figure) or "-",
            )
            for figure in figures
        ),
    ]
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    rows = [
        "| "
        + " | ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))
        + " |"
        for line in lines
    ]
    rows.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(rows)


def main(question: Callable[[], Awaitable[list[Figure]]]) -> None:
    """Answer one question on the command line."""
    print(table(asyncio.run(question())))  # type: ignore[arg-type]  # an async function's awaitable is a coroutine
