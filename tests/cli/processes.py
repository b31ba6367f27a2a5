"""Commands in processes of their own, for what only a process can show."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import midstream

SOON = 60.0


def spawn(folder: Path, *words: str) -> subprocess.Popen[str]:
    """Start `midstream` in a directory."""
    environment = {
        **os.environ,
        "MIDSTREAM_DB": str(folder / "runs.db"),
        "PYTHONPATH": str(Path(midstream.__file__).parent.parent),
    }
    return subprocess.Popen(
        [sys.executable, "-m", "midstream.cli", *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def until_exists(file: Path) -> None:
    """Wait for a file that another process makes."""
    give_up = time.monotonic() + SOON
    while not file.exists():
        assert time.monotonic() < give_up, f"{file.name} was not made"
        time.sleep(0.02)


def processes_below(folder: Path) -> list[str]:
    """Return our processes whose working directory is this one, as far as the system tells."""
    found: list[str] = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == folder.resolve():
                line = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                found += [line] if "midstream.cli" in line else []
        except OSError:
            continue  # it has ended, or is somebody else's
    return found
