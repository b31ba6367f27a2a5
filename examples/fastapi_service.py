"""A FastAPI service: start by order id, follow by server-sent events, answer a question by HTTP; needs `fastapi` and `httpx`.

    python examples/fastapi_service.py           plays a client against the service, in this process
    uvicorn examples.fastapi_service:app         serves it

A run outlives the process: it is taken over by the next one, and a client goes on with `Last-Event-ID`.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
from fastapi import FastAPI, Header, HTTPException
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from midstream import Context, Engine, Graph, Message
from midstream.errors import AnswerError, RunExistsError, RunNotFoundError

MODEL = "openai:gpt-4o"

article = Graph("article")


@article.node
async def draft(topic: str, ctx: Context) -> str:
    return (await ctx.llm(f"Three lines on {topic}.")).text


@article.node
async def publish(draft: str, ctx: Context) -> str:
    answer = await ctx.confirm("Publish?", show=draft, timeout=7 * 86400)
    return f"published: {draft}" if answer.approved else "thrown away"


def scripted(history: Sequence[Message]) -> str:
    return "Otters hold hands."


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Open the engine with the service; when that is stopped, runs have 5 s to end, and others take over the rest."""
    models: Any = {MODEL: scripted}  # leave this away to ask the provider
    file = os.environ.get("ARTICLES_DB", "articles.db")
    async with Engine.open(file, graphs=[article], model=MODEL, models=models) as engine:
        await engine.recover()
        app.state.engine = engine
        yield
        await engine.close(drain=5)


app = FastAPI(lifespan=lifespan)


class Decision(BaseModel):
    approved: bool
    by: str = ""


@app.post("/articles/{order}")
async def create(order: str, topic: str) -> dict[str, str]:
    """Start; the same order twice is the same run, so a client may repeat its request."""
    try:
        run = await app.state.engine.start(article, run_id=order, topic=topic)
    except RunExistsError as error:
        raise HTTPException(409, str(error)) from error
    return {"run": run.id}


@app.get("/articles/{order}/events")
async def events(order: str, last_event_id: Annotated[int, Header()] = 0) -> StreamingResponse:
    """Follow; gap-free: a client that lost its connection sends the id of the last event that it saw."""

    async def sent() -> AsyncIterator[str]:
        async for event in app.state.engine.run(order).events(after=last_event_id):
            yield f"id: {event.seq}\nevent: {event.type}\ndata: {event.body.decode()}\n\n"

    return StreamingResponse(sent(), media_type="text/event-stream")


@app.get("/articles/{order}/questions")
async def questions(order: str) -> list[dict[str, Any]]:
    """List what waits for a person."""
    try:
        found = await app.state.engine.run(order).questions()
    except RunNotFoundError as error:
        raise HTTPException(404, str(error)) from error
    return [{"id": one.id, "text": one.text, "show": one.show} for one in found]


@app.post("/articles/{order}/questions/{question}")
async def answer(order: str, question: str, decision: Decision) -> dict[str, bool]:
    """Answer, once."""
    try:
        await app.state.engine.run(order).answer(
            question, approved=decision.approved, by=decision.by
        )
    except AnswerError as error:
        raise HTTPException(409, str(error)) from error
    return {"answered": True}


async def play() -> None:
    """Play a client: order twice, lose the connection, answer, answer again, follow to the end."""
    transport = httpx.ASGITransport(app=app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://articles") as client,
    ):
        for _ in range(2):
            print((await client.post("/articles/a1", params={"topic": "otters"})).json())
        print((await client.post("/articles/a1", params={"topic": "cats"})).status_code)
        while not (asked := (await client.get("/articles/a1/questions")).json()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        print(asked[0]["text"], asked[0]["show"])
        place = f"/articles/a1/questions/{asked[0]['id']}"
        decision = {"approved": True, "by": "ann"}
        print((await client.post(place, json=decision)).json())
        print((await client.post(place, json=decision)).json()["detail"].partition("; ")[2])
        told = await client.get("/articles/a1/events", headers={"Last-Event-ID": "6"})
        for line in told.text.splitlines():
            if line.startswith(("id:", "event:")):
                print(line, end="\n" if line.startswith("event") else " ")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ARTICLES_DB"] = str(Path(folder, "articles.db"))
        asyncio.run(play())
