"""Graphs that the command line is given in tests."""

# ruff: noqa: ASYNC110, ASYNC240  # another process, the test, makes these files

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

from midstream import Context, Graph, tool

greet = Graph("greet")


@greet.node(name="say")
async def say(name: str, times: int = 1) -> str:
    return " ".join([f"hello {name}"] * times)


bad = Graph("bad")


@bad.node
async def fall(ctx: Context) -> str:
    raise ValueError("it \x1b[31mfell\nover")


sleepy = Graph("sleepy")


@sleepy.node
async def doze(ctx: Context) -> str:
    reply = await ctx.llm("hello?")
    await ctx.sleep(600)
    return reply.text


slow = Graph("slow")


@slow.node
async def wait(ctx: Context) -> str:
    Path("waiting").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.02)
    return "went"


paying = Graph("paying")


@tool(effect="unsafe")
async def pay() -> str:
    if not Path("died").exists():
        Path("died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return "paid again"


@paying.node
async def once(ctx: Context) -> str:
    return str(await ctx.tool(pay))


trip = Graph("trip")


@trip.node
async def plan(ctx: Context) -> str:
    return (await ctx.llm("plan", model="openai:gpt-4o")).text


@trip.node
async def publish(plan: str, ctx: Context) -> str:
    return (await ctx.llm(f"publish {plan}", model="openai:gpt-4o", thread=None)).text


busy = Graph("busy")


@busy.node(name="work")
async def many(ctx: Context) -> int:
    for _ in range(50):
        await ctx.now()
    return 50
