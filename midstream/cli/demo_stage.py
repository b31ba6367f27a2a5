"""What the demo stands on: its processes, the directory they write to, and the stand-in for the providers."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Generator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from midstream.cli.demo_answers import answer
from midstream.cli.demo_graph import EFFECTS, GATE
from midstream.cli.demo_story import Story
from midstream.cli.settings import SETTINGS, command
from midstream.engine.engine import Engine
from midstream.errors import MidstreamError
from midstream.events.ids import RunId
from midstream.events.store import Head
from midstream.testing.provider_server import ProviderServer

KEYS = ("OPENAI_API_KEY", "ANTHROPIC_API_KEY")
_LEASE = 1.0
_LOOPBACK = "127.0.0.1"


@dataclass
class Demo:
    """What one demonstration works with.

    Attributes:
        run_id: The run.
        folder: Where tools and processes write.
        server: The stand-in for both providers; None with `--live`.
        opened: This process's engine over the store.
        story: Tells it.
        anchor: The head of the log when the first process was killed.
    """

    run_id: RunId
    folder: Path
    server: ProviderServer | None
    opened: Engine
    story: Story
    anchor: Head | None = None
    processes: list[asyncio.subprocess.Process] = field(
        default_factory=list[asyncio.subprocess.Process]
    )

    @property
    def effects(self) -> Path:
        """Where the tools note what they did."""
        return self.folder / "effects.jsonl"

    @property
    def gate(self) -> Path:
        """What the slow tool waits for."""
        return self.folder / "gate"


async def spawn(demo: Demo, verb: str, *words: str) -> asyncio.subprocess.Process:
    """Start a process that drives the run."""
    db = str(SETTINGS.get().db.absolute())
    arguments = (verb, *words, "--lease", f"{_LEASE:g}")
    with (demo.folder / f"{verb}.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "midstream.cli",
            "--db",
            db,
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=_environment(demo),
        )
    demo.processes.append(process)
    demo.story.say(f"process {process.pid}: {command(*arguments)}", "dim")
    return process


def _environment(demo: Demo) -> Mapping[str, str]:
    found = {**os.environ, EFFECTS: str(demo.effects), GATE: str(demo.gate)}
    if demo.server is not None:
        found |= {
            "OPENAI_BASE_URL": demo.server.openai_url,
            "ANTHROPIC_BASE_URL": demo.server.anthropic_url,
            **dict.fromkeys(KEYS, "offline-demo"),
            "NO_PROXY": _LOOPBACK,
            "no_proxy": _LOOPBACK,
        }
    return found


def broken(demo: Demo, what: str, process: asyncio.subprocess.Process) -> MidstreamError:
    """Return the error for a process that ended too early, with the last it said."""
    logs = sorted(demo.folder.glob("*.log"), key=lambda file: file.stat().st_mtime)
    said = logs[-1].read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
    return MidstreamError(
        f"{what} (exit {process.returncode}): {' | '.join(said) or 'it said nothing'}"
    )


@asynccontextmanager
async def ending(demo: Demo) -> AsyncGenerator[None, None]:
    """Leave no process behind, however this ends."""
    try:
        yield
    finally:
        for process in demo.processes:
            if process.returncode is None:
                process.kill()
        for process in demo.processes:
            await asyncio.shield(process.wait())


def stand_in() -> ProviderServer:
    """Return a server that plays both providers."""
    return ProviderServer(answer)


@contextmanager
def folder_for(run_id: str, *, keep: bool) -> Generator[Path, None, None]:
    """Make a directory for what tools and processes write, beside the log where it is to be kept."""
    if not keep:
        with tempfile.TemporaryDirectory(prefix="midstream-") as name:
            yield Path(name)
        return
    kept = SETTINGS.get().db.absolute().parent / run_id
    kept.mkdir()
    yield kept
