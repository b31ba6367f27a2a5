"""How much does a durable node cost? A chain of 1,000 of them, against one raw commit of `sqlite3`.

Peers run the same number of trivial steps, LangGraph with its SQLite saver (`durability="sync"`), Bridgic in memory; beside
the pure nodes, LangGraph keeps everything in memory, too.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Literal

from graphs import chain
from measure import Figure, RawLog, ThinLog, folder, interleaved, main, peer

from midstream import Engine, Graph

NODES = 1000
ROUNDS = 9


async def per_node(
    path: Path, graph: Graph, synchronous: Literal["full", "normal"] = "full"
) -> float:
    """Run the chain once; return milliseconds per node."""
    async with Engine.open(path, synchronous=synchronous) as engine:
        began = time.perf_counter()
        run = await engine.start(graph)
        assert await run == NODES - 1
        return (time.perf_counter() - began) / NODES * 1000


async def figures() -> list[Figure]:
    waiting, pure = chain(NODES), chain(NODES, pure=True)
    with folder() as place:
        full, normal = RawLog(place / "full.db"), RawLog(place / "normal.db", "normal")
        thin = await ThinLog.open(place / "thin.db")
        thin_normal = await ThinLog.open(place / "thin-normal.db", "normal")

        async def floor() -> float:
            return full.commits(NODES) * 1000

        async def floor_normal() -> float:
            return normal.commits(NODES) * 1000

        async def through_aiosqlite() -> float:
            return await thin.commits(NODES) * 1000

        async def through_aiosqlite_normal() -> float:
            return await thin_normal.commits(NODES) * 1000

        async def hop() -> float:
            return await thin_normal.hops(NODES) * 1000

        taken = await interleaved(
            ROUNDS,
            {
                "floor": floor,
                "full": lambda: per_node(place / "a.db", waiting),
                "thin": through_aiosqlite,
                "floor again": floor,
                "normal": lambda: per_node(place / "b.db", waiting, "normal"),
                "thin normal": through_aiosqlite_normal,
                "floor normal": floor_normal,
                "hop": hop,
                "pure": lambda: per_node(place / "c.db", pure),
            },
        )
        full.close()
        normal.close()
        await thin.close()
        await thin_normal.close()
    lowest = (taken["floor"].median + taken["floor again"].median) / 2
    peers = {name: peer("chain", name) for name in ("langgraph", "dbos", "burr")}
    normal_peers = {"langgraph": peer("chain_normal", "langgraph")}
    in_memory = {name: peer("chain", name) for name in ("pydantic_graph", "bridgic")}
    in_memory["langgraph"] = peer("chain_memory", "langgraph")
    raw = "one raw commit"
    return [
        Figure(
            "durable node that waits, FULL",
            taken["full"].median,
            "ms",
            1.5,
            lowest,
            "ratio",
            floor_name=raw,
            spread=taken["full"].spread,
            peers=peers,
            goals={"langgraph": 0.22, "dbos": 0.25, "burr": 0.75},
        ),
        Figure(
            "… of that, one awaited INSERT through aiosqlite",
            taken["thin"].median,
            "ms",
            None,
            lowest,
            floor_name=raw,
            spread=taken["thin"].spread,
        ),
        Figure(
            "durable node that waits, NORMAL",
            taken["normal"].median,
            "ms",
            0.13,
            taken["floor normal"].median,
            floor_name=raw,
            spread=taken["normal"].spread,
            peers=normal_peers | {"pydantic_graph": in_memory["pydantic_graph"]},
            goals={"langgraph": 0.12, "pydantic_graph": 1.0},
        ),
        Figure(
            "… of that, one awaited INSERT through aiosqlite",
            taken["thin normal"].median,
            "ms",
            None,
            taken["floor normal"].median,
            floor_name=raw,
            spread=taken["thin normal"].spread,
        ),
        Figure(
            "… and of that, the way to its thread and back",
            taken["hop"].median,
            "ms",
            None,
            taken["floor normal"].median,
            floor_name=raw,
            spread=taken["hop"].spread,
        ),
        Figure(
            "pure node, FULL, ahead of its commit",
            taken["pure"].median,
            "ms",
            0.06,
            lowest,
            floor_name=raw,
            spread=taken["pure"].spread,
            peers=in_memory,
            goals={"bridgic": 2.5, "langgraph": 0.12},
        ),
    ]


if __name__ == "__main__":
    main(figures)
