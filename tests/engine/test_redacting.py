"""Secrets and the engine: tools get the true value, the log has the mark, and nobody calls with a mark."""

from __future__ import annotations

import asyncio
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Graph, tool
from midstream.errors import RedactedError, RunFailedError
from midstream.events.content import Message, Text, ToolCall
from midstream.events.memory import MemoryStore
from midstream.events.redaction import MARKED, Redaction
from midstream.events.sealing import Encryption
from midstream.events.sqlite import SqliteStore
from midstream.events.store import EventStore, RunQuery
from tests.events.test_redaction import SECRETS
from tests.stores import AmbiguousStore

KEY = "sk-proj-" + "a1B2" * 10
got: list[Any] = []


@tool(effect="idempotent")
async def login(key: str, user: str = "ann") -> str:
    """Log in."""
    got.append((key, user))
    return f"welcome, your key is {key}"


acting = Graph("acting")


@acting.node(output=True)
async def act(ctx: Context) -> str:
    return str(await ctx.tool(login, key=KEY))


@pytest.fixture(autouse=True)
def nothing_got() -> None:
    got.clear()


async def whole(store: EventStore) -> str:
    """Return all that a store holds, opened and unpacked."""
    found: list[str] = []
    for prefix in ("", "system:"):
        for info in await store.runs(RunQuery(prefix=prefix)):
            found.append(str(info))
            async for event in store.read(info.run_id):
                found += [event.body.decode(), str(event.data), str(event.address), event.actor]
            snapshot = await store.load_snapshot(info.run_id, "run")
            found.append("" if snapshot is None else snapshot.body.decode("utf-8", "replace"))
    return "\n".join(found)


async def test_a_tool_gets_the_true_value_and_the_log_the_mark() -> None:
    async with Engine.memory(redact=True) as engine:
        run = await engine.start(acting)
        assert await run == "welcome, your key is [redacted:openai-key]"
        assert got == [(KEY, "ann")]
        assert KEY not in await whole(engine.store)
        requested = [e async for e in run.events() if e.type == "tool.requested"]
        assert requested[0].data["arguments"] == {"key": "[redacted:openai-key]"}
        assert (await run.replay()).identical


async def test_a_conversation_with_a_secret_is_told_and_replayed_alike() -> None:
    said: list[str] = []

    def talk(messages: Any) -> str:
        said.append(str(messages))
        return f"you said {messages[-1].text}"

    graph = Graph("chat")

    @graph.node(output=True)
    async def chat(ctx: Context) -> str:
        system = f"the key is {KEY}"
        await ctx.llm(f"first {KEY}", system=system)
        return (await ctx.llm(f"then {KEY}", system=system)).text

    async with Engine.memory(models={"m": talk}, model="m", redact=True) as engine:
        run = await engine.start(graph)
        assert await run == "you said then [redacted:openai-key]"
        assert KEY not in "".join(said)
        assert KEY not in await whole(engine.store)
        assert (await run.replay()).identical
        requested = [e async for e in run.events() if e.type == "model.requested"]
        assert ["system" in e.data for e in requested] == [True, False]


async def test_a_resumed_call_finds_its_record_and_is_given_the_value_anew() -> None:
    """The process ends between the intent and the outcome: the code passes the secret again, and the call is made again."""
    store = MemoryStore()
    graph = Graph("acting")
    hold = asyncio.Event()

    @tool(effect="idempotent", name="login")
    async def slow(key: str) -> str:
        """Log in."""
        got.append(key)
        await hold.wait()
        return "in"

    @graph.node(output=True)
    async def act(ctx: Context) -> str:
        return str(await ctx.tool(slow, key=KEY))

    async with Engine(store, redact=True) as engine:
        await engine.start(graph, run_id="r")
        while not got:  # noqa: ASYNC110  # what it waits for is any condition
            await asyncio.sleep(0.005)
    hold.set()
    async with Engine(store, graphs=[graph], redact=True) as engine:
        run = await engine.resume("r")
        assert await run == "in"
    assert got == [KEY, KEY]
    assert KEY not in await whole(store)


async def test_a_model_that_says_a_mark_does_not_call_with_it() -> None:
    def talk(messages: Any) -> Any:
        last = messages[-1]
        if last.role == "user":
            assert KEY not in str(messages)
            call = ToolCall(
                id="c1", name="login", arguments=json.dumps({"key": last.text.split()[-1]})
            )
            return Message(role="assistant", parts=(Text(text="log in"), call))
        return f"it said: {last}"

    async with Engine.memory(models={"m": talk}, model="m", redact=True) as engine:
        run = await engine.start(_asking())
        await run
        failed = [e async for e in run.events() if e.type == "tool.failed"]
        assert [e.data["kind"] for e in failed] == ["redacted"]
        assert got == []
        assert KEY not in await whole(engine.store)


def _asking() -> Graph:
    graph = Graph("asking")

    @graph.node(output=True)
    async def ask(ctx: Context) -> str:
        return str(await ctx.llm(f"log in with {KEY}", tools=[login]))

    return graph


async def test_the_kind_of_the_error_is_its_own() -> None:
    graph = Graph("catching")

    @graph.node(output=True)
    async def ask(ctx: Context) -> str:
        try:
            await ctx.tool(login, key="[redacted:secret]")
        except RedactedError as error:
            return f"{error.kind} {error.tool}"
        return "called"

    async with Engine.memory() as engine:
        assert await (await engine.start(graph)) == "redacted login"


async def test_the_same_start_twice_is_the_same_run() -> None:
    graph = Graph("given")

    @graph.node(output=True)
    async def echo(text: str) -> str:
        return text

    async with Engine.memory(redact=True) as engine:
        for _ in range(2):
            run = await engine.start(graph, run_id="r", text=f"use {KEY}")
            assert await run == "use [redacted:openai-key]"


@st.composite
def secrets(draw: st.DrawFn) -> Mapping[str, str]:
    kind = draw(st.sampled_from(sorted(set(SECRETS) - {"private-key"})))
    return {place: draw(SECRETS[kind]) for place in "abcdefghij"}


@settings(max_examples=12, deadline=None)
@given(secret=secrets(), sealed=st.booleans())
async def test_no_planted_secret_is_in_any_byte_of_the_file(
    secret: Mapping[str, str], sealed: bool
) -> None:
    """In inputs, tags, prompts, answers, arguments, results, errors, tracebacks, notes, feedback, and what nodes return."""
    graph = Graph("leaky")

    @tool(effect="read")
    async def leak(it: dict[str, Any]) -> dict[str, Any]:
        """Say it."""
        assert it["deep"][0]["key"] == secret["c"]
        return {"long": f"{secret['d']} " + "x" * 6000}

    @tool(effect="read", retries=0)
    async def fall(it: str) -> str:
        """Fall."""
        raise ValueError(f"cannot use {it}")

    @graph.node
    async def first(text: str, ctx: Context) -> dict[str, str]:
        await ctx.llm(f"I have {secret['e']}", system=f"you know {secret['f']}")
        await ctx.tool(leak, it={"deep": [{"key": secret["c"]}]})
        await ctx.note({"headers": {"Authorization": f"Bearer {secret['g']}"}})
        with suppress(Exception):  # what it says is recorded
            await ctx.tool(fall, it=secret["h"])
        return {"token": secret["i"]}

    @graph.node
    async def last(first: dict[str, str]) -> str:
        raise RuntimeError(f"{first} {secret['j']}")

    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(
            Path(folder) / "log.db",
            synchronous="normal",
            encryption=Encryption() if sealed else None,
        )
        models: dict[str, Any] = {"m": lambda messages: f"why say {secret['b']}?"}  # pyright: ignore[reportUnknownLambdaType]  # a script
        async with Engine(store, models=models, model="m", redact=Redaction()) as engine:
            run = await engine.start(
                graph, run_id="r", text=f"x {secret['a']}", tags={"k": secret["a"]}
            )
            with pytest.raises(RunFailedError):
                await run
            await run.feedback(kind="negative", text=f"do not say {secret['b']}", by="ann")
            events = await whole(store)
        raw = b"".join(file.read_bytes() for file in sorted(Path(folder).iterdir()))  # noqa: ASYNC240
        await store.close()
    for place, value in secret.items():
        assert value not in events, place
        assert value.encode() not in raw, place
    assert MARKED in events


@pytest.mark.parametrize("sealed", [False, True])
async def test_lost_answers_are_recognised_though_secrets_are_not_recorded(
    tmp_path: Path, sealed: bool
) -> None:
    """Also where content is sealed: what is stored is not what was given, and is recognised by what it opens to."""
    encryption = Encryption() if sealed else None
    inner = await SqliteStore.open(tmp_path / "log.db", synchronous="normal", encryption=encryption)
    store = AmbiguousStore(inner, rate=0.4, seed=3)
    async with Engine(store, redact=True) as engine:
        for number in range(6):
            run = await engine.start(acting, run_id=f"r{number}")
            assert "redacted" in await run
            events = [event.type async for event in inner.read(run.id)]
            assert events.count("tool.requested") == 1
            assert events.count("run.completed") == 1
    assert store.lost_after > 0
    async with Engine(inner, redact=True, always_replay=True) as engine:
        assert "redacted" in await (await engine.start(acting, run_id="again"))
    await inner.close()
