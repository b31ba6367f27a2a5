"""How long does a durable fan-out take? One node, 1,000 that need it, one that waits for all of them."""

from __future__ import annotations

import time
from pathlib import Path

from graphs import fan_out
from measure import Figure, RawLog, folder, interleaved, main, peer

from midstream import Engine, Graph

WIDTH = 1000
ROUNDS = 9


async def once(path: Path, graph: Graph) -> float:
    """Run it once; return milliseconds."""
    async with Engine.open(path) as engine:
        began = time.perf_counter()
        run = await engine.start(graph)
        assert await run == "done"
        return (time.perf_counter() - began) * 1000


async def figures() -> list[Figure]:
    graph = fan_out(WIDTH)
    with folder() as place:
        raw = RawLog(place / "raw.db")

        async def floor() -> float:
            return raw.commits(WIDTH) * WIDTH * 1000

        taken = await interleaved(
            ROUNDS, {"floor": floor, "ours": lambda: once(place / "a.db", graph)}
        )
        raw.close()
    peers = {name: peer("fan_out", name) for name in ("langgraph", "bridgic")}
    return [
        Figure(
            "fan-out 1 → 1,000 → 1, FULL",
            taken["ours"].median,
            "ms",
            40,
            taken["floor"].median,
            floor_name="1,000 raw commits",
            spread=taken["ours"].spread,
            peers=peers,
            goals={"langgraph": 1 / 18, "bridgic": 0.75},
        )
    ]


if __name__ == "__main__":
    main(figures)
