"""Embed the engine in a service: start by request, follow by request, recover at the start of the service.

    python examples/in_a_service.py

The service is a plain class, so that this needs no web framework; its three methods are what three endpoints would call.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from midstream import Context, Engine, Graph, Message

MODEL = "openai:gpt-4o"

article = Graph("article")


@article.node
async def draft(topic: str, ctx: Context) -> str:
    return (await ctx.llm(f"Three lines on {topic}.")).text


@article.node
async def shorten(draft: str, ctx: Context) -> str:
    return (await ctx.llm("Now in one line.")).text


def scripted(history: Sequence[Message]) -> str:
    return "Otters hold hands." if "one line" in history[-1].text else "Otters swim and hold hands."


class Articles:
    """What the endpoints of a service would call."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def create(self, order: str, topic: str) -> str:
        """POST /articles/{order}: the same order twice is the same run, so a client may repeat its request."""
        run = await self._engine.start(article, run_id=order, inputs={"topic": topic})
        return run.id

    async def events(self, order: str, after: int = 0) -> AsyncIterator[str]:
        """GET /articles/{order}/events: durable and gap-free; a client that lost its connection passes the last id."""
        async for event in self._engine.run(order).events(after=after):
            yield f"id: {event.seq}\nevent: {event.type}\n\n"

    async def result(self, order: str) -> str:
        """GET /articles/{order}: waits for the end."""
        return str(await self._engine.run(order))


@asynccontextmanager
async def lifespan(db: Path) -> AsyncIterator[Articles]:
    """Begin and end the service; while it is open, runs whose driver died are taken over by themselves."""
    models = {MODEL: scripted}  # leave this away to ask the provider
    async with Engine.open(db, graphs=[article], model=MODEL, models=models) as engine:
        await engine.recover()
        yield Articles(engine)


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with lifespan(Path(folder, "runs.db")) as service:
            first = await service.create("otters-1", "otters")
            again = await service.create("otters-1", "otters")
            print(first == again)
            async for message in service.events("otters-1"):
                print(message.split("\n")[:2])
            print(await service.result("otters-1"))


if __name__ == "__main__":
    asyncio.run(main())
