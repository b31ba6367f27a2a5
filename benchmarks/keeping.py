"""What do redaction and encryption cost where they are on, and what a removal? In time of the processor, so that a busy machine counts less.

That they cost nothing where they are off is what `chain.py` and `commits.py` show: their figures are those of before.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from graphs import chain
from measure import Contestant, Figure, Rounds, folder, interleaved, main

from midstream import Engine
from midstream.events.codec import encode
from midstream.events.content import Message, Text
from midstream.events.ids import RunId
from midstream.events.payloads import ModelResponded, NoteAdded, RunCompleted
from midstream.events.redaction import Redaction
from midstream.events.sealing import Encryption
from midstream.events.sqlite import SqliteStore
from midstream.testing.contract import created

EVENTS = 2000
NODES = 300
ROUNDS = 7
SAID = ("What is there to see in Tokyo? " * 40)[:1024]

MASTER = Encryption(keys={"a": b"k" * 32})
REDACTION = Redaction()


def small(number: int) -> Any:
    return NoteAdded(id="n", data=number)


def large(number: int) -> Any:
    return ModelResponded(message=Message(role="assistant", parts=(Text(text=f"{number} {SAID}"),)))


async def encoding(make: Callable[[int], Any], redact: Redaction | None) -> float:
    facts = [make(number) for number in range(EVENTS)]
    began = time.process_time()
    for fact in facts:
        encode(fact, at=1, redact=redact)
    return (time.process_time() - began) / EVENTS * 1e6


async def appending(make: Callable[[int], Any], encryption: Encryption | None) -> float:
    drafts = [created(), *(encode(make(number), at=1) for number in range(EVENTS))]
    with folder() as place:
        store = await _open(place, encryption)
        began = time.process_time()
        await store.append(RunId("r"), drafts, expected=0)
        took = time.process_time() - began
        await store.close()
    return took / EVENTS * 1e6


async def reading(make: Callable[[int], Any], encryption: Encryption | None) -> float:
    drafts = [created(), *(encode(make(number), at=1) for number in range(EVENTS))]
    with folder() as place:
        store = await _open(place, encryption)
        await store.append(RunId("r"), drafts, expected=0)
        began = time.process_time()
        async for _ in store.read(RunId("r")):
            pass
        took = time.process_time() - began
        await store.close()
    return took / EVENTS * 1e6


async def running(encryption: Encryption | None, redact: Redaction | None) -> float:
    with folder() as place:
        store = await _open(place, encryption)
        async with Engine(store, redact=redact) as engine:
            began = time.process_time()
            await (await engine.start(chain(NODES)))
            took = time.process_time() - began
        await store.close()
    return took / NODES * 1e6


async def sweeping() -> float:
    """Remove a run of many events; milliseconds of the longest transaction."""
    with folder() as place:
        store = await _open(place, None)
        drafts = [created(), *(encode(large(n), at=1) for n in range(20_000))]
        await store.append(RunId("r"), [*drafts, encode(RunCompleted(), at=2)], expected=0)
        longest = 0.0
        await store.remove([RunId("r")], at=1, actor="user")
        while True:
            began = time.perf_counter()
            done = await store.sweep()
            longest = max(longest, time.perf_counter() - began)
            if not done:
                break
        await store.close()
    return longest * 1000


async def _open(place: Path, encryption: Encryption | None) -> SqliteStore:
    return await SqliteStore.open(place / "a.db", synchronous="normal", encryption=encryption)


async def figures() -> list[Figure]:
    """Each figure beside the same without the option, in the same rounds."""
    contestants: dict[str, Contestant] = {"sweep": sweeping}
    rows: list[tuple[str, str, str]] = []

    def pair(name: str, on: Contestant, off: Contestant) -> None:
        contestants[f"{name} on"], contestants[f"{name} off"] = on, off
        rows.append((name, f"{name} on", f"{name} off"))

    for size, make in (("a small fact", small), ("a fact of 1 KB", large)):
        pair(
            f"encode {size}, redacting",
            partial(encoding, make, REDACTION),
            partial(encoding, make, None),
        )
        pair(
            f"append {size}, sealed",
            partial(appending, make, MASTER),
            partial(appending, make, None),
        )
        pair(f"read {size}, sealed", partial(reading, make, MASTER), partial(reading, make, None))
    pair("a node, redacting", partial(running, None, REDACTION), partial(running, None, None))
    pair("a node, sealed", partial(running, MASTER, None), partial(running, None, None))
    found = await interleaved(ROUNDS, contestants)
    made = [_figure(name, found[on], found[off]) for name, on, off in rows]
    longest = found["sweep"]
    made.append(
        Figure(
            "longest transaction of removing 20,000 events",
            longest.median,
            "ms",
            spread=longest.spread,
        )
    )
    return made


def _figure(name: str, on: Rounds, off: Rounds) -> Figure:
    return Figure(
        name, on.median, "µs CPU", floor=off.median, floor_name="without", spread=on.spread
    )


if __name__ == "__main__":
    main(figures)
