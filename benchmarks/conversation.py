"""Does a long conversation cost more than its words? T turns of 2 KB in one run: bytes of the file, and time per turn.

A turn is 1 KB asked and 1 KB answered, random base64. A scripted function answers, so that only the engine is measured.
"""

from __future__ import annotations

import base64
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

from measure import QUICK, Figure, RawLog, folder, main

from midstream import Context, Engine, Graph, Message

HALF = 1024
TURNS = (200, 500) if QUICK else (200, 500, 1000, 2000)
ROUNDS = 3


def text() -> str:
    return base64.b64encode(os.urandom(HALF * 3 // 4)).decode()


def answered(_: Sequence[Message]) -> str:
    return text()


async def talk(path: Path, turns: int) -> list[float]:
    """Hold one conversation; return the seconds of each turn."""
    graph = Graph("talk")
    seconds: list[float] = []

    @graph.node
    async def talking(ctx: Context) -> int:
        for _ in range(turns):
            said = text()
            began = time.perf_counter()
            await ctx.llm(said)
            seconds.append(time.perf_counter() - began)
        return turns

    async with Engine.open(path, models={"talker": answered}, model="scripted:talker") as engine:
        assert await (await engine.start(graph)) == turns
    return seconds


async def figures() -> list[Figure]:
    made: list[Figure] = []
    with folder() as place:
        raw = RawLog(place / "raw.db")
        for turns in TURNS:
            growth: list[float] = []
            each: list[float] = []
            for round_ in range(ROUNDS):
                path = place / f"{turns}-{round_}.db"
                floor = raw.commits(200) * 1000
                seconds = await talk(path, turns)
                tenth = turns // 10
                # The first turns also pay for what is made once: statements, validators.
                first, last = seconds[5 : tenth + 5], seconds[-tenth:]
                growth.append(statistics.median(last) / statistics.median(first))
                each.append(statistics.median(seconds) * 1000)
                size = path.stat().st_size
            payload = turns * 2 * HALF
            made += [
                Figure(
                    f"{turns:,} turns: file",
                    size / 1e6,
                    "MB",
                    1.25,
                    payload / 1e6,
                    "ratio",
                    floor_name="the words",
                ),
                Figure(
                    f"{turns:,} turns: last tenth / first",
                    statistics.median(growth),
                    "",
                    1.15,
                    spread=(min(growth), max(growth)),
                ),
                Figure(
                    f"{turns:,} turns: one turn, FULL",
                    statistics.median(each),
                    "ms",
                    None,
                    floor,
                    floor_name="one raw commit",
                ),
            ]
        raw.close()
    return made


if __name__ == "__main__":
    main(figures)
