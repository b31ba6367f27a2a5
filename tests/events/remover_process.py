"""A process that removes runs and deletes what they leave, in small steps, until it is done or killed.

Not a test: `test_sqlite_keeping` starts it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore


async def main(path: Path, count: int) -> None:
    """Remove every second run, one after the other."""
    async with await SqliteStore.open(path, synchronous="normal") as store:
        for number in range(0, count, 2):
            await store.remove([RunId(f"r{number}")], at=1, actor="user")
            sys.stdout.write(".")
            sys.stdout.flush()
            for _ in range(3):
                await store.sweep(limit=5)
        while await store.sweep(limit=5):
            pass


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2])))
