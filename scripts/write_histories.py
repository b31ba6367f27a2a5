"""Writes what is missing in tests/histories: logs of scenes, and shapes of facts; what is there is never changed.

python -m scripts.write_histories
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from midstream.engine.driving import attempts
from midstream.events.ids import RunId
from midstream.events.jsonl import export_lines
from tests.histories import shapes
from tests.histories.scenes import SCENES, Stage

HISTORIES = Path(__file__).parent.parent / "tests" / "histories"


async def write(name: str) -> None:
    """Play a scene, and write what its runs recorded."""
    stage = Stage()
    attempts.traceback_of = lambda error: ""  # it holds paths of this machine
    await SCENES[name][0](stage)
    runs = [RunId(info.run_id) for info in reversed(await stage.store.runs())]
    lines = [line async for line in export_lines(stage.store, runs)]
    (HISTORIES / f"{name}.jsonl").write_bytes(b"".join(lines))
    sys.stdout.write(f"{name}: {len(lines)} lines\n")


def main() -> None:
    """Write what is missing."""
    for name in SCENES:
        if not (HISTORIES / f"{name}.jsonl").exists():
            asyncio.run(write(name))
    sys.stdout.write(f"shapes: {shapes.add()} lines\n")


if __name__ == "__main__":
    main()
