"""The scenes whose logs stand beside this file: the code of each stays as it was when its log was written.

`python -m scripts.write_histories` writes the logs of new scenes. A scene that has a log is not touched again: to show
another thing, add another scene.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from midstream import Context, Engine, Graph, Retry, tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import Adapter, Capabilities, ModelRequest, ModelResponse, Settings
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.view import Segment, View
from midstream.engine.clock import Clock
from midstream.errors import RateLimitError, RunError
from midstream.events.content import Message, Text, ToolCall, assistant
from midstream.events.memory import MemoryStore
from midstream.events.payloads import Cost, FinishReason, Usage

OPENAI, ANTHROPIC = "openai:gpt-4o", "anthropic:claude-sonnet-4-5"


class Answering:
    """An adapter that renders as a provider's does, and answers by itself.

    Args:
        inner: The provider's.
        answer: Makes the answer to the n-th request, counted from 1.
    """

    def __init__(self, inner: Adapter, answer: Callable[[int], Any]) -> None:
        self._inner = inner
        self._answer = answer
        self._asked = 0

    @property
    def provider(self) -> str:
        return self._inner.provider

    def capabilities(self, model: str) -> Capabilities:
        return self._inner.capabilities(model)

    def begin(self, model: str) -> View:
        return self._inner.begin(model)

    def render(self, view: View, segment: Segment) -> View:
        return self._inner.render(view, segment)

    def request(self, view: View, settings: Settings) -> ModelRequest:
        return self._inner.request(view, settings)

    async def complete(self, request: ModelRequest) -> ModelResponse:
        self._asked += 1
        made = self._answer(self._asked)
        if asyncio.iscoroutine(made):
            made = await made
        if isinstance(made, Exception):
            raise made
        message = assistant(made) if isinstance(made, str) else made
        finish: FinishReason = "tool_calls" if message.tool_calls else "stop"
        return ModelResponse(
            message, Usage(input_tokens=request.size // 4, output_tokens=7), finish
        )

    async def close(self) -> None:
        await self._inner.close()


class Hurried(Clock):
    """A clock on which nobody waits long."""

    async def sleep_until(self, moment: float) -> None:
        await asyncio.sleep(0)


def price(provider: str, model: str, usage: Usage, at: float) -> Cost | None:
    return Cost(amount=f"{usage.input_tokens / 1_000_000:f}", source="histories")


@dataclass
class Stage:
    """Where a scene plays."""

    store: MemoryStore = field(default_factory=MemoryStore)

    @asynccontextmanager
    async def engine(self, **answers: Callable[[int], Any]) -> AsyncGenerator[Engine]:
        inner: dict[str, Adapter] = {"openai": OpenAIAdapter(), "anthropic": AnthropicAdapter()}
        adapters = {
            name: Answering(one, answers.get(name, lambda n: f"answer {n}"))
            for name, one in inner.items()
        }
        engine = Engine(
            self.store,
            adapters=adapters,
            clock=Hurried(),
            pricing=price,
            model=OPENAI,
            recover=False,
        )
        async with engine as opened:
            yield opened


@tool(effect="read")
async def search(query: str) -> list[str]:
    """Look the query up."""
    return [f"found {query}"]


@tool(effect="idempotent")
async def store_fact(fact: str) -> bool:
    """Keep a fact."""
    return True


def calls(*wanted: tuple[str, str, str]) -> Message:
    parts = tuple(ToolCall(id=id_, name=name, arguments=text) for id_, name, text in wanted)
    return Message(role="assistant", parts=(Text(text="let me see"), *parts))


def chain() -> Graph:
    graph = Graph("chain")

    @graph.node
    async def research(city: str, ctx: Context) -> list[str]:
        at = await ctx.now()
        reply = await ctx.llm(f"sights of {city}", system="be brief", temperature=0.5)
        return [reply.text, str(at > 0)]

    @graph.node(pure=True)
    def count(research: list[str]) -> int:
        return len(research)

    @graph.node
    async def plan(research: list[str], count: int, ctx: Context) -> str:
        await ctx.note({"count": count})
        return (await ctx.llm(f"plan {count} of {research[0]}")).text

    return graph


async def play_chain(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(chain(), run_id="chain", city="Tokyo", tags={"kind": "golden"})
        await run
        await run.note("well done", by="alice")


def fan_out() -> Graph:
    graph = Graph("fan_out")

    @graph.node
    async def many(ctx: Context) -> list[Any]:
        return list(
            await asyncio.gather(*(ctx.tool(search, query="same") for _ in range(3)), ctx.random())
        )[:3]

    @graph.node
    async def left(many: list[Any], ctx: Context) -> str:
        found = await asyncio.gather(*(ctx.llm(f"left {n}") for n in range(2)))
        return " ".join(one.text.split()[0] for one in found)

    @graph.node
    async def right(many: list[Any], ctx: Context) -> str:
        await ctx.sleep(0.01)
        return (await ctx.llm("right", thread="side")).text.split()[0]

    @graph.node
    async def both(left: str, right: str, ctx: Context) -> str:
        return f"{left} {right} {(await ctx.llm('both')).text.split()[0]}"

    return graph


async def play_fan_out(stage: Stage) -> None:
    async with stage.engine() as engine:
        await (await engine.start(fan_out(), run_id="fan-out"))


def migrated() -> Graph:
    graph = Graph("migrated")

    @graph.node
    async def work(topic: str, ctx: Context) -> str:
        return (await ctx.llm(f"work on {topic}", tools=[search, store_fact])).text

    @graph.node
    async def check(work: str, ctx: Context) -> str:
        return (await ctx.llm("check it")).text

    return graph


async def play_migrated(stage: Stage) -> None:
    """A tool loop that is begun by one provider, killed in the middle, and ended by another one."""
    reached = asyncio.Event()

    async def first(n: int) -> Any:
        if n == 1:
            return calls(
                ("call_1", "search", '{"query":"otters"}'),
                ("call_2", "store_fact", '{"fact":"they swim"}'),
            )
        reached.set()
        return await asyncio.sleep(60)

    async with stage.engine(openai=first) as engine:
        await engine.start(migrated(), run_id="migrated", topic="otters")
        await reached.wait()
    answers = [
        calls(("toolu_1", "search", '{"query":"more"}')),
        RateLimitError("wait", provider="anthropic"),
        "done",
        "right",
    ]
    async with stage.engine(anthropic=lambda n: answers[n - 1]) as engine:
        run = engine.run("migrated")
        await run.migrate(ANTHROPIC, by="bob")
        await engine.resume("migrated", migrated())
        await run


def cancelled() -> Graph:
    graph = Graph("cancelled")

    @graph.node
    async def wait(ctx: Context) -> None:
        async def write() -> None:
            await asyncio.sleep(60)

        await asyncio.gather(ctx.do(write), ctx.llm("wait"))

    return graph


async def play_cancelled(stage: Stage) -> None:
    reached = asyncio.Event()

    async def never(n: int) -> None:
        reached.set()
        await asyncio.sleep(60)

    async with stage.engine(openai=never) as engine:
        run = await engine.start(cancelled(), run_id="cancelled")
        await reached.wait()
        await run.cancel("enough", by="carol")


def failed() -> Graph:
    graph = Graph("failed")
    patient = Retry(attempts=3, delay=0.01, on=frozenset(("LookupError",)))

    @graph.node(retry=patient)
    async def third_time_lucky(ctx: Context) -> str:
        found = await ctx.tool(search, query="luck")
        if ctx.attempt < 3:
            raise LookupError("not yet")
        return str(found)

    @graph.node
    async def bad(third_time_lucky: str, ctx: Context) -> str:
        await ctx.llm("say something")
        raise ValueError("it went wrong")

    @graph.node
    async def beside(third_time_lucky: str) -> str:
        return third_time_lucky.upper()

    return graph


async def play_failed(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(failed(), run_id="failed")
        with suppress(RunError):
            await run


async def play_forked(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(chain(), run_id="trunk", city="Kyoto")
        await run
        fork = await run.fork(
            set={"research.0": "temples"},
            model=ANTHROPIC,
            settings={"temperature": 0.1},
            run_id="forked",
        )
        await fork


def asked() -> Graph:
    graph = Graph("asked")

    @graph.node
    async def publish(ctx: Context) -> str:
        answer = await ctx.confirm("Publish?", show={"draft": "x" * 5000})
        return f"{answer.approved}"

    return graph


async def play_asked(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(asked(), run_id="asked")
        async for event in run.events():
            if event.type == "question.asked":
                await run.answer(event.data["id"], approved=True, by="dave")
        await run


def steered() -> Graph:
    graph = Graph("steered")

    @graph.node(output=True)
    async def draft(ctx: Context, again: bool = False) -> str:
        if ctx.step == "draft#1":
            ctx.goto("draft")
        return str(ctx.step)

    return graph


async def play_steered(stage: Stage) -> None:
    async with stage.engine() as engine:
        await (await engine.start(steered(), run_id="steered"))


def upgraded(*, before: bool = False) -> Graph:
    """A graph of ready-made nodes, and the one before it."""
    graph = Graph("upgraded", version="1" if before else "2", variables={"days": 2})
    graph.question("sure", "Go to {{ city }}?", kind="confirm")

    @graph.node
    async def look(sure: bool, ctx: Context) -> list[str]:
        if not before and await ctx.patched("seen"):
            await ctx.note("seen")
        return ["a temple"] if sure else []

    if before:
        graph.tool("plan", search, query="{{ look[0] }}")
        return graph
    graph.tool("plan", search, query="{{ days }} days at {{ look[0] }}", when="{{ sure }}")
    graph.tool("shorter", search, query="{{ plan[0] }}, shorter", output=True)
    return graph


async def play_upgraded(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(upgraded(before=True), run_id="upgraded", city="Rome")
        async for event in run.events():
            if event.type == "question.asked":
                break
    async with stage.engine() as engine:
        run = await engine.resume("upgraded", upgraded(), on_change="upgrade")
        (question,) = await run.questions()
        await run.answer(question.id, approved=True, by="erin")
        await run


def worked() -> Graph:
    graph = Graph("worked")

    @graph.node
    async def split(ctx: Context) -> list[str]:
        return ["a", "b"]

    graph.map("letters", spell, over="split")

    @graph.node(when=many)
    async def never(letters: list[str]) -> str:
        return "never"

    @graph.node(output=True)
    async def work(letters: list[str], ctx: Context) -> str:
        reply = await ctx.agent(f"look {letters} up", tools=[search], max_iterations=3)
        return reply.text

    return graph


def many(letters: list[str]) -> bool:
    return len(letters) > 5


async def spell(item: str, ctx: Context) -> str:
    return f"{item}: {await ctx.tool(search, query=item)}"


def says_worked(n: int) -> Any:
    return calls(("c1", "search", '{"query":"a"}')) if n == 1 else f"done {n}"


async def play_worked(stage: Stage) -> None:
    async with stage.engine(openai=says_worked) as engine:
        run = await engine.start(worked(), run_id="worked", tags={"team": "red"})
        await run
        await run.feedback("work#1", kind="correction", text="say more", by="eve")
        await run.feedback(kind="score", score=0.5, source="program")


def talked() -> Graph:
    graph = Graph("talked")

    @graph.node(output=True)
    async def talk(ctx: Context) -> str:
        first = await ctx.llm("hello", thread="t")
        await ctx.sleep(5)
        second = await ctx.llm("and now?", thread="t")
        return first.text + second.text

    return graph


async def play_talked(stage: Stage) -> None:
    async with stage.engine() as engine:
        run = await engine.start(talked(), run_id="talked")
        await run.pause("lunch", by="eve")
        await asyncio.sleep(0.05)
        await run.resume(by="eve")
        await run
        await run.note({"key": "[redacted:openai-key]"}, by="eve")


Play = Callable[[Stage], Awaitable[None]]

SCENES: Mapping[str, tuple[Play, Callable[[], Graph]]] = {
    "0001-chain": (play_chain, chain),
    "0002-fan-out": (play_fan_out, fan_out),
    "0003-migrated": (play_migrated, migrated),
    "0004-cancelled": (play_cancelled, cancelled),
    "0005-failed": (play_failed, failed),
    "0006-forked": (play_forked, chain),
    "0007-asked": (play_asked, asked),
    "0008-steered": (play_steered, steered),
    "0009-upgraded": (play_upgraded, upgraded),
    "0010-worked": (play_worked, worked),
    "0011-talked": (play_talked, talked),
}
"""By the name of the file without its ending: what writes the log, and the graph."""
