"""Tools that a person approves, that come back as content, that run a few at a time, and whose failures fail the node."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from midstream import Context, Engine, Graph, Message, Retry, Run, Tool, ToolContext, tool
from midstream.engine.people.answers import OpenQuestion
from midstream.errors import RunFailedError, WrongAnswerError
from midstream.events.content import Document, Image, Text, ToolResult
from tests.conftest import MakeEngine
from tests.engine.stage import HandClock, call, calling, history, turns, types, until
from tests.engine.test_people import asked


class Bank:
    """Transfers that happened, and the tool that makes them."""

    def __init__(self, **options: Any) -> None:
        self.done: list[tuple[str, int]] = []

        async def transfer(to: str, amount: int = 1) -> str:
            """Transfer money."""
            self.done.append((to, amount))
            return f"{amount} to {to}"

        chosen: dict[str, Any] = {"confirm": True, "effect": "unsafe", **options}
        self.tool = tool(**chosen)(transfer)


def asking(*tools: Tool, wants: Sequence[tuple[str, str]]) -> tuple[Graph, Any]:
    """Return a graph of one node that asks a model, and the model: it makes these calls, then says what it was told."""
    graph = Graph("g")

    @graph.node
    async def ask(ctx: Context) -> str:
        return (await ctx.llm("go", tools=tools)).text

    def model(messages: Sequence[Message]) -> Any:
        if messages[-1].role == "user":
            return calling(*(call(f"c{n}", name, args) for n, (name, args) in enumerate(wants)))
        results = [part for part in messages[-1].parts if isinstance(part, ToolResult)]
        return " | ".join(f"{'!' * part.is_error}{part.text}" for part in results)

    return graph, {"models": {"m": model}, "model": "p:m"}


async def all_asked(run: Run, number: int) -> Sequence[OpenQuestion]:
    async with asyncio.timeout(20):
        while len(found := await run.questions()) < number:  # noqa: ASYNC110  # seen in the log alone
            await asyncio.sleep(0)
    return found


TO_ALICE = ("transfer", '{"to":"alice","amount":5}')


async def test_a_call_happens_once_it_is_approved(make_engine: MakeEngine) -> None:
    bank = Bank()
    graph, options = asking(bank.tool, wants=[TO_ALICE])
    engine = await make_engine(**options)
    run = await engine.start(graph)
    question = await asked(run)
    assert (question.kind, question.text) == ("confirm", "Call transfer?")
    assert question.show == {"tool": "transfer", "arguments": {"to": "alice", "amount": 5}}
    assert bank.done == []
    assert "tool.requested" not in types([e async for e in engine.store.read(run.id)])
    await run.answer(question.id, approved=True)
    assert await run == "5 to alice"
    assert bank.done == [("alice", 5)]


async def test_a_call_that_is_refused_is_told_to_the_model(make_engine: MakeEngine) -> None:
    bank = Bank()
    graph, options = asking(bank.tool, wants=[TO_ALICE])
    engine = await make_engine(**options)
    run = await engine.start(graph)
    await run.answer((await asked(run)).id, approved=False, value="too much", by="bob")
    assert await run == "!bob refused the call of 'transfer': too much"
    assert bank.done == []


async def test_edited_arguments_are_what_the_tool_gets_and_the_model_hears_of_it(
    make_engine: MakeEngine,
) -> None:
    bank = Bank(editable=["amount"])
    graph, options = asking(bank.tool, wants=[TO_ALICE])
    async with make_engine(**options) as engine:
        run = await engine.start(graph, run_id="r")
        question = await asked(run)
        assert (question.kind, question.editable) == ("edit", ("amount",))
        with pytest.raises(WrongAnswerError, match="'to' may not be changed; these may: amount"):
            await run.answer(question.id, approved=True, arguments={"to": "bob"})
        with pytest.raises(WrongAnswerError, match="'two' is not integer"):
            await run.answer(question.id, approved=True, arguments={"amount": "two"})
        with pytest.raises(WrongAnswerError, match="say nothing"):
            await run.answer(question.id, approved=False, arguments={"amount": 2})
    stranger = await make_engine(recover=False)
    await stranger.run("r").answer(question.id, approved=True, arguments={"amount": 2})
    engine = await make_engine(graphs=[graph], **options)
    run = await engine.resume("r")
    assert await run == '[A person changed the arguments to {"amount":2}.]\n2 to alice'
    assert bank.done == [("alice", 2)]
    requested = next(e for e in await history(run) if e.type == "tool.requested")
    assert requested.data["arguments"] == {"to": "alice", "amount": 2}
    assert list(requested.data["edited"]) == ["amount"]


async def test_only_the_calls_that_its_function_names_are_asked_about(
    make_engine: MakeEngine,
) -> None:
    async def large(arguments: Mapping[str, Any]) -> bool:
        return bool(arguments["amount"] > 3)

    bank = Bank(confirm=large)
    small = ("transfer", '{"to":"carol","amount":1}')
    graph, options = asking(bank.tool, wants=[TO_ALICE, small])
    engine = await make_engine(**options)
    run = await engine.start(graph)
    question = await asked(run)
    await until(lambda: bank.done == [("carol", 1)])
    await run.answer(question.id, approved=True)
    assert await run == "5 to alice | 1 to carol"


async def test_a_function_that_fails_to_say_is_no_approval(make_engine: MakeEngine) -> None:
    def unsure(arguments: Mapping[str, Any]) -> bool:
        return bool(arguments["nothing"])

    bank = Bank(confirm=unsure)
    graph, options = asking(bank.tool, wants=[TO_ALICE])
    engine = await make_engine(**options)
    assert "could not be told: 'nothing'" in await (await engine.start(graph))
    assert bank.done == []


async def test_nobody_is_asked_about_a_call_that_cannot_be_made(make_engine: MakeEngine) -> None:
    bank = Bank()
    wants = [("transfer", '{"amount":1}'), ("transfer", "{"), ("nothing", "{}")]
    graph, options = asking(bank.tool, wants=wants)
    engine = await make_engine(**options)
    run = await engine.start(graph)
    told = await run
    assert "!the arguments of 'transfer' do not fit: to: Field required" in told
    assert "!the arguments of 'transfer' are not a JSON object" in told
    assert "!there is no tool 'nothing'" in told
    assert "question.asked" not in types(await history(run))


async def test_parallel_calls_ask_side_by_side_and_keep_their_order(
    make_engine: MakeEngine,
) -> None:
    bank = Bank()
    wants = [("transfer", f'{{"to":"{name}"}}') for name in "abc"]
    graph, options = asking(bank.tool, wants=wants)
    engine = await make_engine(**options)
    run = await engine.start(graph)
    found = await all_asked(run, 3)
    for question in reversed(found):
        await run.answer(question.id, approved=question is not found[1])
        await turns()
    assert await run == "1 to a | !a person refused the call of 'transfer' | 1 to c"


async def test_a_call_that_nobody_approves_in_time_is_refused(make_engine: MakeEngine) -> None:
    bank = Bank(confirm_timeout=60)
    graph, options = asking(bank.tool, wants=[TO_ALICE])
    clock = HandClock()
    engine = await make_engine(clock=clock, **options)
    run = await engine.start(graph)
    await asked(run)
    await until(lambda: clock.sleepers > 0)
    clock.advance(60)
    assert await run == "!the call of 'transfer' was not approved: nobody answered in time"
    assert bank.done == []


async def test_a_node_calls_a_tool_that_needs_approval(make_engine: MakeEngine) -> None:
    bank = Bank(effect="idempotent")
    graph = Graph("g")

    @graph.node(retry=Retry(attempts=2, delay=0, on=frozenset({"tool_refused"})))
    async def pay(ctx: Context) -> Any:
        return await ctx.tool(bank.tool, to="alice")

    engine = await make_engine()
    run = await engine.start(graph)
    await run.answer((await asked(run)).id, approved=False)
    with pytest.raises(RunFailedError, match="a person refused"):
        await run
    assert bank.done == []
    assert types(await history(run)).count("question.asked") == 1


async def test_a_call_that_was_approved_needs_no_approval_when_it_is_tried_again(
    make_engine: MakeEngine,
) -> None:
    tries: list[int] = []

    @tool(confirm=True, editable=["n"], effect="idempotent", retries=2)
    async def flaky(n: int, info: ToolContext) -> int:
        tries.append(n)
        if len(tries) < 3:
            raise OSError("not yet")
        return info.attempt

    graph = Graph("g")

    @graph.node(retry=Retry(attempts=2, delay=0, on=frozenset({"tool_OSError"})))
    async def go(ctx: Context) -> Any:
        return await ctx.tool(flaky, n=1)

    clock = HandClock()
    engine = await make_engine(clock=clock)
    run = await engine.start(graph)
    await run.answer((await asked(run)).id, approved=True, arguments={"n": 7})
    for _ in range(2):
        await until(lambda: clock.sleepers > 0)
        clock.advance(100)
    assert await run == 3
    assert tries == [7, 7, 7]


async def test_a_tool_returns_images_and_documents(make_engine: MakeEngine) -> None:
    parts = [Text(text="see: "), Image(data="aGk="), Document(name="a.pdf", url="https://x/a.pdf")]

    @tool(effect="read")
    async def look() -> Any:
        return parts

    @tool(effect="read")
    async def glance() -> Image:
        return Image(data="aGk=")

    graph = Graph("g")
    seen: list[Any] = []

    def model(messages: Sequence[Message]) -> Any:
        if messages[-1].role == "user":
            return calling(call("a", "look"), call("b", "glance"))
        seen.extend(messages[-1].parts)
        return "seen"

    @graph.node
    async def ask(ctx: Context) -> Any:
        await ctx.llm("go", tools=[look, glance])
        return await ctx.tool(glance)

    engine = await make_engine(models={"m": model}, model="p:m")
    assert await (await engine.start(graph)) == [{"type": "image", "data": "aGk="}]
    assert list(seen[0].parts) == parts
    assert seen[1].parts == (Image(data="aGk="),)


async def test_no_more_calls_at_once_than_a_tool_allows(make_engine: MakeEngine) -> None:
    now, most = 0, 0

    @tool(effect="unsafe", concurrency=2)
    async def slow(n: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await turns(5)
        now -= 1
        return n

    wants = [("slow", f'{{"n":{n}}}') for n in range(7)]
    graph, options = asking(slow, wants=wants)
    engine = await make_engine(**options)
    assert await (await engine.start(graph)) == "0 | 1 | 2 | 3 | 4 | 5 | 6"
    assert most == 2


async def test_a_failure_of_a_tool_fails_the_node_where_that_is_its_policy(
    make_engine: MakeEngine,
) -> None:
    done: list[str] = []

    @tool(effect="read", on_error="fail")
    async def strict() -> None:
        raise LookupError("gone")

    @tool(effect="unsafe")
    async def slow() -> str:
        await turns(10)
        done.append("slow")
        return "ok"

    graph, options = asking(strict, slow, wants=[("strict", "{}"), ("slow", "{}")])
    engine = await make_engine(**options)
    run = await engine.start(graph)
    with pytest.raises(RunFailedError, match="tool_LookupError: gone"):
        await run
    assert done == ["slow"]  # what ran beside it was not torn down
    assert (await run.state()).open_calls == {}


async def test_what_a_model_does_wrong_never_fails_the_node(make_engine: MakeEngine) -> None:
    bank = Bank(on_error="fail")
    graph, options = asking(bank.tool, wants=[("transfer", '{"x":1}'), TO_ALICE])
    engine = await make_engine(**options)
    run = await engine.start(graph)
    await run.answer((await asked(run)).id, approved=False)
    assert await run == (
        "!the arguments of 'transfer' do not fit: to: Field required; x: Extra inputs are not permitted"
        " | !a person refused the call of 'transfer'"
    )


async def test_a_tool_knows_the_user_and_may_have_recorded_effects_of_its_own(
    make_engine: MakeEngine,
) -> None:
    @tool(effect="idempotent")
    async def look(info: ToolContext) -> list[str]:
        assert isinstance(info.ctx, Context)
        return [info.user, await info.ctx.ask("Which one?")]

    graph = Graph("g")

    @graph.node
    async def go(ctx: Context) -> Any:
        return await ctx.tool(look)

    engine: Engine = await make_engine(park_after=0.01)
    run = await engine.start(graph, tags={"user": "u1"})
    question = await asked(run)
    await asyncio.sleep(0.05)  # a tool that is at work is not called again for nothing
    assert engine._here().live  # pyright: ignore[reportPrivateUsage]
    await run.answer(question.id, value="the first")
    assert await run == ["u1", "the first"]
