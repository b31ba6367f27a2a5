"""What a node, a turn and an event cost in commits, hops and bytes: counts, so they do not depend on the machine's mood."""

from __future__ import annotations

import asyncio
import gc
import random
import sqlite3
import string
import tracemalloc
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any

import pytest

from midstream import Context, Engine, From, Graph, Message
from midstream.events.sqlite import SqliteStore
from midstream.events.sqlite_schema import PAGE_SIZE
from midstream.events.sqlite_transaction import Stats


def chain(length: int, *, pure: bool = False) -> Graph:
    graph = Graph("chain")

    async def first() -> int:
        return 0

    def adder(source: str) -> Any:
        async def add(value: int) -> int:
            return value + 1

        add.__annotations__ = {"value": Annotated[int, From(source)]}
        return add

    graph.add_node("n0", first, pure=pure)
    for place in range(1, length):
        graph.add_node(f"n{place}", adder(f"n{place - 1}"), pure=pure)
    return graph


async def cost(path: Path, graph: Graph, **inputs: Any) -> Stats:
    """Run the graph in a store of its own; return what the writer did for it."""
    async with await SqliteStore.open(path) as store, Engine(store, recover=False) as engine:
        before = store.stats.commits, store.stats.hops, store.stats.events
        await (await engine.start(graph, **inputs))
        after = store.stats
        return Stats(after.commits - before[0], after.hops - before[1], after.events - before[2])


async def test_each_further_node_that_waits_costs_one_commit_one_hop_and_two_events(
    tmp_path: Path,
) -> None:
    short, long = [await cost(tmp_path / f"{n}.db", chain(n)) for n in (150, 250)]
    assert (long.commits - short.commits, long.hops - short.hops) == (100, 100)
    assert long.events - short.events == 200


async def test_a_chain_of_pure_nodes_is_committed_in_groups(tmp_path: Path) -> None:
    spent = await cost(tmp_path / "a.db", chain(150, pure=True))
    assert spent.commits <= 10


async def test_a_fan_out_of_a_hundred_takes_as_many_commits_as_one_of_ten(tmp_path: Path) -> None:
    def fan_out(width: int) -> Graph:
        graph = Graph("fan")

        async def one() -> int:
            return 1

        for place in range(width):
            graph.add_node(f"b{place}", one)
        graph.add_node("join", one, after=[f"b{place}" for place in range(width)])
        return graph

    few, many = [await cost(tmp_path / f"{n}.db", fan_out(n)) for n in (10, 100)]
    assert many.commits == few.commits


async def test_many_runs_share_their_commits(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store, Engine(store) as engine:
        before = store.stats.commits
        runs = [await engine.start(chain(10)) for _ in range(2)]
        for run in runs:
            await run
        assert store.stats.commits - before <= 26


async def test_the_appends_of_a_node_leave_nothing_for_the_garbage_collector(
    tmp_path: Path,
) -> None:
    async def left(length: int) -> int:
        graph = chain(length)
        async with await SqliteStore.open(tmp_path / f"{length}.db") as store, Engine(store) as one:
            await (await one.start(graph))  # what is made with the first run stays
            gc.collect()
            gc.disable()
            try:
                await (await one.start(graph))
                return gc.collect()
            finally:
                gc.enable()

    few, many = [await left(length) for length in (10, 60)]
    assert many - few <= 60  # what the run that has ended knew of each of the fifty: its activation


async def test_a_run_that_is_being_driven_takes_at_most_16_kib(tmp_path: Path) -> None:
    door, all_there = asyncio.Event(), asyncio.Event()
    graph = Graph("waiting")
    there = 0

    async def wait() -> int:
        nonlocal there
        there += 1
        if there == 210:
            all_there.set()
        await door.wait()
        return 0

    async def one() -> int:
        return 1

    graph.add_node("one", one)
    graph.add_node("waits", wait, after=["one"])
    async with await SqliteStore.open(tmp_path / "a.db") as store, Engine(store) as engine:
        first = [await engine.start(graph) for _ in range(10)]
        gc.collect()
        tracemalloc.start()
        try:
            runs = await asyncio.gather(*(engine.start(graph) for _ in range(200)))
            await all_there.wait()
            gc.collect()
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        door.set()
        await asyncio.gather(*first, *runs)
    assert taken <= 200 * 16 * 1024


async def talk(path: Path, turns: int) -> int:
    """Hold a conversation of turns of 2 KB; return the bytes of the file."""
    graph = Graph("talk")
    draw = random.Random(7)

    def text() -> str:
        return "".join(draw.choices(string.ascii_letters + string.digits + "+/", k=1024))

    def answered(_: Sequence[Message]) -> str:
        return text()

    @graph.node
    async def talking(ctx: Context) -> None:
        for _ in range(turns):
            await ctx.llm(text())

    models = {"m": answered}
    async with Engine.open(path, models=models, model="scripted:m", synchronous="normal") as engine:
        await (await engine.start(graph))
    return path.stat().st_size  # noqa: ASYNC240  # the engine is closed


@pytest.mark.parametrize(("turns", "most"), [(200, 1.25), (600, 1.12)])
async def test_the_file_of_a_conversation_is_hardly_larger_than_its_words(
    tmp_path: Path, turns: int, most: float
) -> None:
    empty = await talk(tmp_path / "empty.db", 0)
    assert empty <= 12 * PAGE_SIZE  # a page for each table and index, at the most
    size = await talk(tmp_path / "a.db", turns)
    assert size <= most * turns * 2048
    assert size - empty <= 1.1 * turns * 2048


async def test_a_later_turn_takes_as_many_bytes_as_an_early_one(tmp_path: Path) -> None:
    await talk(tmp_path / "a.db", 300)
    with closing(sqlite3.connect(tmp_path / "a.db")) as connection:
        rows = connection.execute("SELECT length(body) FROM events ORDER BY id").fetchall()
    sizes = [row[0] for row in rows]
    early, late = sum(sizes[20:120]), sum(sizes[-120:-20])
    assert late <= 1.02 * early
