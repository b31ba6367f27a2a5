"""`midstream doctor`: whether this machine has what runs need, with a remedy for each thing that is missing."""

from __future__ import annotations

import os
import platform
import sqlite3
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from midstream.cli.exits import BAD, OK
from midstream.cli.opening import reading
from midstream.cli.output import printable, put, put_json
from midstream.cli.settings import SETTINGS, command
from midstream.errors import StoreError
from midstream.events.store import EventStore, RunQuery

Grade = Literal["ok", "note", "bad"]

_PACKAGES: Mapping[str, tuple[tuple[int, int], int]] = {
    "openai": ((2, 54), 4),
    "anthropic": ((1, 17), 3),
    "genai-prices": ((0, 1), 1),
    "aiosqlite": ((0, 20), 1),
    "pydantic": ((2, 11), 3),
}
"""The lowest version that is tested, and the major version that is not known any more; as in pyproject.toml."""

_SQLITE = (3, 35)
_KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_MARKS: Mapping[Grade, str] = {"ok": "✓", "note": "!", "bad": "✗"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        check: What.
        grade: `note` where something will not work until somebody acts, and the rest will.
        found: What was found.
        remedy: What to do, or empty.
    """

    check: str
    grade: Grade
    found: str
    remedy: str = ""


async def doctor() -> int:
    """Look at everything, and print what was found."""
    findings = [*_machine(), *_packages(), *_keys(), *await _store()]
    for finding in findings:
        if SETTINGS.get().as_json:
            names = ("check", "grade", "found", "remedy")
            put_json({name: getattr(finding, name) for name in names})
            continue
        remedy = f"  → {finding.remedy}" if finding.remedy else ""
        put(f"{_MARKS[finding.grade]} {finding.check:<18} {printable(finding.found)}{remedy}")
    return BAD if any(finding.grade == "bad" for finding in findings) else OK


def _machine() -> Iterator[Finding]:
    python = platform.python_version()  # an older one cannot import this
    yield Finding("python", "ok", f"{python}, {sys.executable}")
    library = sqlite3.sqlite_version
    if sqlite3.sqlite_version_info >= _SQLITE:
        yield Finding("sqlite", "ok", library)
    else:
        wanted = ".".join(map(str, _SQLITE))
        yield Finding("sqlite", "bad", library, f"use a Python built with SQLite {wanted} or newer")


def _packages() -> Iterator[Finding]:
    for name, (lowest, beyond) in _PACKAGES.items():
        wanted = f"{'.'.join(map(str, lowest))} or newer, below {beyond}"
        remedy = f"pip install '{name}>={'.'.join(map(str, lowest))},<{beyond}'"
        try:
            found = version(name)
        except PackageNotFoundError:
            yield Finding(name, "bad", "not installed", remedy)
            continue
        numbers = _numbers(found)
        if lowest <= numbers and numbers[0] < beyond:
            yield Finding(name, "ok", found)
        else:
            yield Finding(name, "note", f"{found}, tested with {wanted}", remedy)


def _numbers(text: str) -> tuple[int, int]:
    parts = [int("".join(filter(str.isdigit, part)) or 0) for part in text.split(".")[:2]]
    return (parts[0], parts[1] if len(parts) > 1 else 0)


def _keys() -> Iterator[Finding]:
    for name in _KEYS:
        if os.environ.get(name):
            yield Finding(name, "ok", "is set")
        else:
            provider = name.partition("_")[0].lower()
            yield Finding(
                name,
                "note",
                "is not set",
                f"export it before a run asks {provider}; the demo needs none",
            )


async def _store() -> list[Finding]:
    path = SETTINGS.get().db
    if not path.exists():
        remedy = "it is made by the first `midstream start` or `midstream demo`"
        return [Finding("store", "note", f"{path}: there is no such file", remedy)]
    try:
        async with reading() as store:
            return [await _opened(store), *await _leases(store)]
    except StoreError as error:
        return [Finding("store", "bad", " ".join(str(error).split()), "see the message")]


async def _opened(store: EventStore) -> Finding:
    runs = await store.runs(RunQuery())
    return Finding("store", "ok", f"{SETTINGS.get().db}: opens, {len(runs)} runs")


async def _leases(store: EventStore) -> list[Finding]:
    now = time.time()
    driven = await store.runs(RunQuery(status=frozenset(("running", "paused"))))
    orphans = await store.runs(RunQuery(orphaned_at=now))
    found = [
        Finding(
            "leases", "ok", f"{len(driven) - len(orphans)} of {len(driven)} open runs are driven"
        )
    ]
    for info in orphans:
        remedy = command("resume", info.run_id, "--graph", "MODULE:GRAPH")
        found.append(
            Finding("lease", "note", f"nobody drives {info.run_id} ({info.graph})", remedy)
        )
    return found
