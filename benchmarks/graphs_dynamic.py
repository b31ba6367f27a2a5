"""What does control flow cost? Wide fan-outs, nodes added at run time, loops, maps, and deciding in a large graph."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

from graphs import chain, fan_out
from measure import Figure, folder, interleaved, main

from midstream import Context, Engine, Graph

WIDE = 10_000
ADDED = 1_000
LOOP = 10_000
ITEMS = 1_000
WAIT = 0.05
LARGE = 10_000
ROUNDS = 3


async def once(path: Path, graph: Graph, expected: Any, **inputs: Any) -> float:
    """Run it once; return seconds."""
    async with Engine.open(path, recover=False) as engine:
        began = time.perf_counter()
        output = await (await engine.start(graph, inputs=inputs))
        seconds = time.perf_counter() - began
    assert output == expected, output
    return seconds


def loop(length: int) -> Graph:
    """Return a graph of one node that goes to itself so many times; pure, as the chain it is compared with."""
    graph = Graph(f"loop{length}")

    async def turn(ctx: Context, number: int = 0) -> int:
        if number < length - 1:
            ctx.goto("turn", number=number + 1)
        return number

    graph.add_node("turn", turn, pure=True)
    return graph


def contextual_chain(length: int) -> Graph:
    """Return a chain whose nodes take a context, as a loop's node must."""
    graph = Graph(f"contexts{length}")

    def adder(place: int) -> Callable[..., Any]:
        async def add(ctx: Context, number: int = 0) -> int:
            return number + 1 if place else 0

        return add

    for place in range(length):
        graph.add_node(f"n{place}", adder(place), pure=True)
        if place:
            graph.add_edge(f"n{place - 1}", f"n{place}", to="number")
    return graph


async def _work(number: int) -> int:
    return number


def declared(width: int) -> Graph:
    """Return 1 → width → 1, all of it declared."""
    graph = Graph(f"declared{width}")
    graph.add_node("choose", lambda: 0)
    for number in range(width):
        graph.add_node(f"w{number}", _work, args={"number": number}, after=["choose"])
    workers = [f"w{number}" for number in range(width)]
    graph.add_node("all", len_of, after=workers, inputs="merge", output=True)
    return graph


def added(width: int) -> Graph:
    """Return a graph that adds the same workers, and who waits for them, while it runs."""
    graph = Graph(f"added{width}")

    @graph.node
    async def choose(ctx: Context) -> int:
        for number in range(width):
            ctx.add_node(f"w{number}", "work", args={"number": number}, after=["choose"])
        workers = [f"w{number}" for number in range(width)]
        ctx.add_node("all", "len_of", after=workers, inputs="merge", output=True)
        return 0

    graph.register(_work, name="work")
    graph.register(len_of)
    return graph


def len_of(found: list[int]) -> int:
    """Return how many there are."""
    return len(found)


def mapped(concurrency: int | None = None, seconds: float = 0.0) -> Graph:
    """Return 1 → n → 1 as a map."""
    graph = Graph(f"mapped{concurrency}x{seconds}")

    async def work(number: int) -> int:
        if seconds:
            await asyncio.sleep(seconds)
        return number

    graph.map("work", work, over="numbers", concurrency=concurrency)
    graph.add_node("all", lambda work: len(work), output=True)
    return graph


async def alone() -> float:
    """Have as many tasks wait as long, and nothing else: what the event loop takes; return seconds."""
    began = time.perf_counter()
    await asyncio.gather(*(asyncio.create_task(asyncio.sleep(WAIT)) for _ in range(ITEMS)))
    return time.perf_counter() - began


def large(nodes: int, turns: int) -> Graph:
    """Return a loop beside so many nodes that wait for its end."""
    graph = loop(turns)
    graph.name = f"large{nodes}"
    for number in range(nodes):
        graph.add_node(f"w{number}", _work, args={"number": number}, after=["turn"], pure=True)
    return graph


async def time_per_turn(path: Path, nodes: int) -> float:
    """Return the microseconds from one turn of a loop to the next, in a graph of so many nodes."""
    stamps: list[float] = []
    graph = Graph(f"large{nodes}")

    async def turn(ctx: Context, number: int = 0) -> int:
        stamps.append(time.perf_counter())
        if number < 2_000:
            ctx.goto("turn", number=number + 1)
        return number

    graph.add_node("turn", turn, pure=True, output=True)
    for number in range(nodes):
        graph.add_node(
            f"w{number}", _work, args={"number": number}, after=["turn"], when=_never, pure=True
        )
    async with Engine.open(path, recover=False) as engine:
        run = await engine.start(graph)
        await run
    gaps = sorted(later - sooner for sooner, later in pairwise(stamps))
    return gaps[len(gaps) // 2] * 1e6


def _never() -> bool:
    return False


async def figures() -> list[Figure]:
    numbers = list(range(WIDE))
    wide, half, waiting = fan_out(WIDE), fan_out(WIDE // 2), mapped(ITEMS, WAIT)
    with folder() as place:
        taken = await interleaved(
            ROUNDS,
            {
                "wide": lambda: once(place / "a.db", wide, "done"),
                "half": lambda: once(place / "a.db", half, "done"),
                "map": lambda: once(place / "b.db", mapped(), WIDE, numbers=numbers),
                "half map": lambda: once(
                    place / "b.db", mapped(), WIDE // 2, numbers=numbers[: WIDE // 2]
                ),
                "added": lambda: once(place / "c.db", added(ADDED), ADDED),
                "declared": lambda: once(place / "c.db", declared(ADDED), ADDED),
                "loop": lambda: once(place / "d.db", loop(LOOP), LOOP - 1),
                "chain": lambda: once(place / "d.db", contextual_chain(LOOP), LOOP - 1),
                "bare chain": lambda: once(place / "d.db", chain(LOOP, pure=True), LOOP - 1),
                "small": lambda: time_per_turn(place / "e.db", 10),
                "large": lambda: time_per_turn(place / "e.db", LARGE),
                "waits": lambda: once(place / "f.db", waiting, ITEMS, numbers=numbers[:ITEMS]),
                "alone": alone,
            },
        )
    median = {name: series.median for name, series in taken.items()}
    spread = {name: series.spread for name, series in taken.items()}
    return [
        Figure(
            f"fan-out 1 → {WIDE:,} → 1",
            median["wide"],
            "s",
            0.8,
            2 * median["half"],
            floor_name="twice half of it",
            spread=spread["wide"],
        ),
        Figure(
            f"map of {WIDE:,} items",
            median["map"],
            "s",
            0.8,
            2 * median["half map"],
            floor_name="twice half of it",
            spread=spread["map"],
        ),
        Figure(
            f"{ADDED:,} nodes added at run time",
            median["added"],
            "s",
            2.0,
            median["declared"],
            "ratio",
            floor_name="declared beforehand",
            spread=spread["added"],
        ),
        Figure(
            f"goto loop of {LOOP:,}",
            median["loop"],
            "s",
            1.2,
            median["chain"],
            "ratio",
            floor_name="a chain of as many with contexts",
            spread=spread["loop"],
        ),
        Figure(
            "the same, against nodes without context",
            median["loop"],
            "s",
            None,
            median["bare chain"],
            floor_name="a chain of as many",
            spread=spread["loop"],
        ),
        Figure(
            f"a turn in a graph of {LARGE:,} nodes",
            median["large"],
            "us",
            1.5,
            median["small"],
            "ratio",
            floor_name="in one of 10",
            spread=spread["large"],
        ),
        Figure(
            f"map of {ITEMS:,} x {WAIT * 1000:.0f} ms, all at once",
            median["waits"] * 1000,
            "ms",
            1.5,
            median["alone"] * 1000,
            "ratio",
            floor_name=f"{ITEMS:,} tasks of asyncio that wait as long",
            spread=(spread["waits"][0] * 1000, spread["waits"][1] * 1000),
        ),
        Figure(
            "the same, against one item",
            median["waits"] * 1000,
            "ms",
            None,
            WAIT * 1000,
            floor_name="one item",
            spread=(spread["waits"][0] * 1000, spread["waits"][1] * 1000),
        ),
        Figure(
            f"… of that, {ITEMS:,} tasks of asyncio that wait as long",
            median["alone"] * 1000,
            "ms",
            None,
            WAIT * 1000,
            floor_name="one item",
            spread=(spread["alone"][0] * 1000, spread["alone"][1] * 1000),
        ),
    ]


if __name__ == "__main__":
    main(figures)
