"""The graph of the demo: look three numbers up (two of them side by side), work with them, write two sentences.

The tools note each call they carry out in a file, so that the demo can count what was done twice.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from pathlib import Path

from midstream.engine.contexts.context import Context
from midstream.engine.graphs.graph import Graph
from midstream.engine.tools.tool import ToolContext, tool

EFFECTS = "MIDSTREAM_DEMO_EFFECTS"
"""Names the file in which tools note what they did; unset, nothing is noted."""

GATE = "MIDSTREAM_DEMO_GATE"
"""Names a file that `units_in_stock` waits for; unset, it does not wait."""

_PATIENCE = 60.0
SOLD, STOCK, PRICE = 312, 1092, 24.5
FACTS = (SOLD, STOCK, PRICE, STOCK / SOLD, SOLD * PRICE)
"""What the last sentences must state; the last two are worked out from the others."""

restock = Graph("restock", version="1")


@tool(effect="read")
async def weekly_sales(product: str, call: ToolContext) -> dict[str, int]:
    """How many units of a product are sold in a week."""
    _note("weekly_sales", call)
    return {"units_per_week": SOLD}


@tool(effect="idempotent")
async def units_in_stock(product: str, call: ToolContext) -> dict[str, int]:
    """How many units of a product are in the warehouse; the warehouse is slow to answer."""
    _note("units_in_stock", call)
    await _gate()
    return {"units": STOCK}


@tool(effect="read")
async def unit_price(product: str, call: ToolContext) -> dict[str, float]:
    """What one unit of a product costs, in euros."""
    _note("unit_price", call)
    return {"euros": PRICE}


TOOLS = (weekly_sales, units_in_stock, unit_price)
"""Offered to each node alike: what a provider has cached stays good while instructions and tools are the same."""


@restock.node
async def gather(product: str, ctx: Context) -> str:
    """Look the numbers up."""
    reply = await ctx.llm(
        f"Look up how the {product} is doing: first call weekly_sales and units_in_stock, both in the same turn; "
        "when you have both, call unit_price; then state the three numbers in digits.",
        tools=TOOLS,
    )
    return reply.text


@restock.node
async def analyse(gather: str, ctx: Context) -> str:
    """Work with them."""
    reply = await ctx.llm(
        "Analyse: for how many weeks does the stock last (one decimal), and how many euros are the sales of a week "
        "worth? State both numbers in digits.",
        tools=TOOLS,
    )
    return reply.text


@restock.node(output=True)
async def write(analyse: str, ctx: Context) -> str:
    """Say it."""
    reply = await ctx.llm(
        "Write two sentences for the shop's owner. State in digits: the units sold a week, the units in stock, the price "
        "in euros, the weeks the stock lasts, and the euros a week's sales are worth.",
        tools=TOOLS,
    )
    return reply.text


def _note(name: str, call: ToolContext) -> None:
    file = os.environ.get(EFFECTS)
    if file:
        row = {"tool": name, "attempt": call.attempt, "key": call.key, "process": os.getpid()}
        with Path(file).open("a", encoding="utf-8") as notes:
            notes.write(json.dumps(row) + "\n")


async def _gate() -> None:
    file = os.environ.get(GATE)
    give_up = time.monotonic() + _PATIENCE
    # Another process makes the file, so there is nothing to wait for but time.
    while file and not await asyncio.to_thread(Path(file).exists) and time.monotonic() < give_up:  # noqa: ASYNC110
        await asyncio.sleep(0.05)
