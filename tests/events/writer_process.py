"""A process that writes to a store until it is done or killed; what it was told of is on its standard output.

Not a test: `test_sqlite_processes` starts it.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from midstream.errors import ConcurrencyError
from midstream.events.ids import RunId
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import created, note

SHARED = RunId("shared")


async def share(store: SqliteStore, name: str, count: int) -> None:
    """Append to the shared run whenever nobody else did."""
    for number in range(count):
        while True:
            head = await store.head(SHARED)
            expected = 0 if head is None else head.seq
            first = [created()] if head is None else []
            try:
                await store.append(SHARED, [*first, note([name, number])], expected=expected)
            except ConcurrencyError:
                # Somebody else was quicker; a short pause of its own length keeps the processes from moving in step.
                await asyncio.sleep(0.001 * (ord(name[0]) % 7))
                continue
            break


async def own(store: SqliteStore, name: str, count: int) -> None:
    """Append to a run of its own, ahead of what is durable, three events at a time."""
    run = RunId(f"{name}-own")
    await store.append(run, [created()], expected=0, holder=name)
    flying = [
        store.append(run, [note(3 * i + k) for k in range(3)], expected=1 + 3 * i, epoch=1)
        for i in range(count)
    ]
    await asyncio.gather(*flying)


async def for_ever(store: SqliteStore, number: int) -> None:
    """Append three events at a time, one of them with a blob, and say what is durable."""
    run = RunId(f"r{number}")
    head = await store.append(run, [created()], expected=0)
    while True:
        size = 6000 if head.seq % 5 == 0 else 300
        head = await store.append(
            run, [note("x" * size + str(head.seq)), note(), note()], expected=head.seq
        )
        print(number, head.seq, flush=True)  # noqa: T201  # this is what the test reads


async def main(path: str, name: str, count: int) -> None:
    async with await SqliteStore.open(Path(path)) as store:
        if count == 0:
            await asyncio.gather(*(for_ever(store, number) for number in range(8)))
        await asyncio.gather(share(store, name, count), own(store, name, count))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3])))
