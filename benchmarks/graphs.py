"""The graphs that are measured: a chain, a fan-out with its join, and a node that calls a tool again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

from midstream import Context, From, Graph, tool


def chain(length: int, *, pure: bool = False, seconds: float = 0.0) -> Graph:
    """Return a chain whose nodes each add one, perhaps after some time; its output is `length - 1`."""
    graph = Graph(f"{'pure' if pure else 'chain'}{length}")
    graph.add_node("n0", _first(seconds), pure=pure)
    for place in range(1, length):
        graph.add_node(f"n{place}", _adder(f"n{place - 1}", seconds), pure=pure)
    return graph


def fan_out(width: int) -> Graph:
    """Return 1 → width → 1; the branches wait for their durable beginning, as everything that is not pure does."""
    graph = Graph(f"fan{width}")
    graph.add_node("start", _first(0.0))
    for place in range(width):
        graph.add_node(f"b{place}", _adder("start", 0.0))
    graph.add_node("join", _done, after=[f"b{place}" for place in range(width)], output=True)
    return graph


def _first(seconds: float) -> Callable[..., Any]:
    async def first() -> int:
        if seconds:
            await asyncio.sleep(seconds)
        return 0

    return first


async def _done() -> str:
    return "done"


def _adder(source: str, seconds: float) -> Callable[..., Any]:
    async def add(value: int) -> int:
        if seconds:
            await asyncio.sleep(seconds)
        return value + 1

    add.__annotations__ = {"value": Annotated[int, From(source)], "return": int}
    return add


@tool(effect="read")
async def look_up(key: int) -> str:
    """Return what is known of a key."""
    return f"what is known of {key}"


def diligent(nodes: int, calls: int, *, hold: Callable[[], Any] | None = None) -> Graph:
    """Return a chain of nodes that each call a tool `calls` times; the last one waits for `hold` first."""
    graph = Graph(f"diligent{nodes}x{calls}")

    def worker(place: int) -> Callable[..., Any]:
        async def work(ctx: Context, value: Any = 0) -> int:
            if hold is not None and place == nodes - 1:
                await hold()
            for key in range(calls):
                await ctx.tool(look_up, key=key)
            return place

        source = {"value": Annotated[int, From(f"n{place - 1}")]} if place else {"value": int}
        work.__annotations__ = {"ctx": Context, **source}
        return work

    for place in range(nodes):
        graph.add_node(f"n{place}", worker(place))
    return graph
