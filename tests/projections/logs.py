"""Logs for tests of projections: what engines wrote in runs of all kinds."""

# Graphs of lambdas, and lists that fill, say more than their annotations would.
# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownParameterType=false
# pyright: reportMissingParameterType=false, reportMissingTypeArgument=false, reportUnusedFunction=false

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cache
from typing import Any

from midstream import Context, Engine, Event, Graph, Retry, tool
from midstream.adapters.base import ModelResponse
from midstream.engine.clock import Clock
from midstream.errors import RateLimitError, RunError
from midstream.events.content import Message, Text, ToolCall, assistant
from midstream.events.payloads import Cost, Usage


@tool(effect="read")
async def look(n: int) -> int:
    """Look at a number."""
    return 10 // n


def eventful() -> Graph:
    """Return a graph whose runs have events of many kinds."""
    graph = Graph("eventful")

    @graph.node
    async def first(ctx: Context) -> str:
        await ctx.note("begun")
        await ctx.now()
        reply = await ctx.llm("look", model="p:m", system="be brief", tools=[look])
        return reply.text

    @graph.node
    async def left(first: str, ctx: Context) -> str:
        found = await asyncio.gather(*(ctx.llm(f"{first} {n}", model="p:m") for n in range(2)))
        return "".join(reply.text for reply in found)

    @graph.node(retry=Retry(attempts=2, delay=0.0, on=frozenset(("ValueError",))))
    async def right(first: str, ctx: Context, fail: bool = False) -> str:
        await ctx.sleep(0)
        if ctx.attempt == 1 or fail:
            raise ValueError(first)
        return (await ctx.llm("right", model="p:n", thread="side")).text

    @graph.node
    async def last(left: str, right: str, ctx: Context) -> str:
        return (await ctx.llm(left + right, model="p:m")).text

    return graph


def model(messages: Any) -> Any:
    """Answer: at first with calls, one of which fails."""
    if len(messages) == 1 and messages[0].text == "look":
        calls = [ToolCall(id=f"c{n}", name="look", arguments=f'{{"n": {n}}}') for n in (2, 0)]
        return ModelResponse(
            Message(role="assistant", parts=(Text(text="I look"), *calls)), Usage(input_tokens=5)
        )
    return ModelResponse(assistant(f"m{len(messages)}"), Usage(input_tokens=3, output_tokens=2))


def price(provider: str, name: str, usage: Usage, at: float) -> Cost | None:
    return Cost(amount=str(usage.input_tokens)) if name == "m" else None


class NoWait(Clock):
    """A clock that nobody waits for."""

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(0)


async def _recorded(fail: bool) -> tuple[Event, ...]:
    scripts: dict[str, Any] = {"p:m": model, "p:n": [RateLimitError("wait"), "n"]}
    async with Engine.memory(models=scripts, pricing=price, clock=NoWait()) as engine:
        run = await engine.start(eventful(), run_id="r", fail=fail)
        await run.migrate("p:m", source="p:other")
        with suppress(RunError):
            await run
        await run.note({"rating": 5})
        return tuple([event async for event in engine.store.read(run.id)])


@cache
def recorded(fail: bool = False) -> tuple[Event, ...]:
    """Return the log of a run."""
    with ThreadPoolExecutor(1) as thread:  # a test may have a loop of its own
        return thread.submit(lambda: asyncio.run(_recorded(fail))).result()


def newer(event: Event) -> Event:
    """Return the event as a later release would write it."""
    return event._replace(version=event.version + 1, data={"unheard": "of"})


def alien(event: Event) -> Event:
    """Return an event in its place that this release has never heard of."""
    return event._replace(type="moon.landed", data={"crew": 2})
