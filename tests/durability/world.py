"""A small world to crash in: one graph with every kind of effect, and a file that shows what really happened.

Each effect is a line, appended and synced before the call returns, so that what a killed process did can be counted. The
model's answers are functions of the conversation: another process, at any point, is answered alike.
"""

from __future__ import annotations

import asyncio
import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import orjson

from midstream import (
    RETRY_CALL,
    Context,
    Graph,
    Message,
    Retry,
    Tool,
    ToolContext,
    UnknownCall,
    tool,
)
from midstream.adapters.scripted import Answer, Script
from midstream.events.content import ToolCall, ToolResult, assistant
from midstream.events.payloads import Effect

MODEL = "scripted:walker"
PLACES = ("north", "south")

Point = Callable[[str], None]
"""Called with the name of a moment; a test may end the process there, or what stands for it."""


def nowhere(name: str) -> None:
    """Pass every moment by."""


@dataclass(frozen=True, slots=True)
class Deed:
    """One effect that happened.

    Attributes:
        what: The tool's name, or `model`.
        key: The idempotency key, or the digest of what the model was told.
        attempt: As the tool was told; 0 for a model.
    """

    what: str
    key: str
    attempt: int


@dataclass
class World:
    """What the tools and the model of the graph act on.

    Attributes:
        file: Where effects are recorded.
        pace: Seconds that a call takes, before its effect and again after it.
        point: Told of each moment before and after an effect.
    """

    file: Path
    pace: float = 0.0
    point: Point = nowhere
    failed: set[str] = field(default_factory=set[str])

    async def act(self, what: str, key: str, attempt: int = 0) -> None:
        """Have an effect."""
        self.point(f"before {what}")
        await asyncio.sleep(self.pace)
        line = orjson.dumps({"what": what, "key": key, "attempt": attempt}) + b"\n"
        file = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            os.write(file, line)
            os.fsync(file)
        finally:
            os.close(file)
        self.point(f"after {what}")
        await asyncio.sleep(self.pace)

    def deeds(self) -> list[Deed]:
        """Return every effect so far, in order."""
        if not self.file.exists():
            return []
        return [Deed(**orjson.loads(line)) for line in self.file.read_bytes().splitlines()]

    def counts(self) -> Counter[str]:
        """Return how many effects of each kind there were."""
        return Counter(deed.what for deed in self.deeds())

    def did(self, key: str) -> bool:
        """Say whether the effect with this key happened."""
        return any(deed.key == key for deed in self.deeds())

    def tools(self) -> dict[str, Tool]:
        """Return one tool for each class of effect, and an idempotent one that fails at first."""

        def make(name: str, effect: Effect, **options: Any) -> Tool:
            async def call(place: str, ctx: ToolContext) -> str:
                await self.act(name, ctx.key, ctx.attempt)
                return f"{name} {place}"

            return tool(name=name, effect=effect, **options)(call)

        async def look(unknown: UnknownCall) -> Any:
            self.point("before on_unknown")
            found = self.did(unknown.key)
            self.point("after on_unknown")
            return f"{unknown.tool} {unknown.arguments['place']}" if found else RETRY_CALL

        async def stumble(place: str, ctx: ToolContext) -> str:
            if ctx.attempt == 1:
                raise ConnectionError("the first attempt fails")
            await self.act("stumble", ctx.key, ctx.attempt)
            return f"stumble {place}"

        patient = Retry(attempts=3, delay=self.pace, jitter=0.0, on=frozenset(("ConnectionError",)))
        return {
            "look": make("look", "read"),
            "mark": make("mark", "idempotent"),
            "dig": make("dig", "unsafe", on_unknown=look),
            "stumble": tool(effect="idempotent", retry=patient)(stumble),
        }

    def script(self) -> Script:
        """Return the model: it looks and marks in parallel, then digs, then says what it was told."""

        async def answer(messages: Sequence[Message]) -> Answer:
            told = b"".join(message.model_dump_json().encode() for message in messages)
            await self.act("model", sha256(told).hexdigest()[:16])
            return _answer(messages)

        return answer


def _answer(messages: Sequence[Message]) -> Answer:
    asked = max(place for place, message in enumerate(messages) if message.role == "user")
    request = messages[asked].text
    results = [message for message in messages[asked:] if message.role == "tool"]
    words = [part.text for each in results for part in each.parts if isinstance(part, ToolResult)]
    if not request.startswith("explore"):
        return f"[{request}]"
    if not results:
        calls = [_call("look", place) for place in PLACES] + [_call("mark", "camp")]
        return assistant("let us see", *calls)
    if len(results) == 1:
        return assistant("", _call("dig", "spot"))
    return "; ".join(words)


def _call(name: str, place: str) -> ToolCall:
    return ToolCall(id=f"{name}-{place}", name=name, arguments=f'{{"place":"{place}"}}')


def expedition(world: World) -> Graph:
    """Return the graph: a start, three branches with every kind of effect, and a join."""
    graph = Graph("expedition")
    tools = world.tools()

    @graph.node
    async def start(land: str, ctx: Context) -> str:
        await ctx.now()
        return (await ctx.llm(f"greet {land}")).text

    @graph.node
    async def explore(start: str, ctx: Context) -> str:
        used = [tools["look"], tools["mark"], tools["dig"]]
        return (await ctx.llm(f"explore {start}", tools=used)).text

    @graph.node
    async def build(start: str, ctx: Context) -> list[str]:
        found = await asyncio.gather(
            ctx.tool(tools["dig"], place="well"),
            ctx.tool(tools["stumble"], place="path"),
            ctx.tool(tools["look"], place="sky"),
        )
        return [str(one) for one in found]

    @graph.node(retry=Retry(attempts=2, delay=world.pace, on=frozenset(("RuntimeError",))))
    async def rest(start: str, ctx: Context) -> str:
        await ctx.sleep(world.pace)
        if ctx.attempt == 1:
            raise RuntimeError("woken up")
        return str(await ctx.tool(tools["mark"], place="bed"))

    @graph.node(pure=True)
    def tally(build: list[str], rest: str) -> str:
        return ", ".join([*build, rest])

    @graph.node(output=True)
    async def tell(explore: str, tally: str, ctx: Context) -> str:
        return (await ctx.llm(f"tell {explore} / {tally}")).text

    return graph


SINGLE = Counter({"model": 5, "look": 3, "mark": 2, "dig": 2, "stumble": 1})
"""The effects of an uninterrupted run."""

OUTPUT = "[tell look north; look south; mark camp; dig spot / dig well, stumble path, look sky, mark bed]"
"""Its output."""
