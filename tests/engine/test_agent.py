"""Agents and single calls: the loop, what is streamed of it, what is remembered, and who may go on with it."""

# pyright: reportUnusedFunction=false

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, JsonValue

from midstream import Agent, Context, Engine, Graph, Message, Toolbox, tool
from midstream.adapters.scripted import ScriptedAdapter
from midstream.engine.agents.events import (
    AgentEvent,
    AgentStarted,
    AwaitingPerson,
    Conclusion,
    MemoryLoaded,
    ModelFailed,
    ModelFinished,
    ModelStarted,
    PersonAnswered,
    RunEnded,
    RunStarted,
    Teller,
    TextDelta,
    ToolFinished,
    ToolStarted,
)
from midstream.engine.agents.memory import Recall, Remembered
from midstream.engine.runs.agent_runs import AgentRun
from midstream.errors import (
    AuthenticationError,
    ConfigError,
    GraphError,
    OutputError,
    RateLimitError,
    RunFailedError,
)
from midstream.events.codec import encode
from midstream.events.content import Image, Text, ToolResult, assistant, user
from midstream.events.envelope import Event
from midstream.events.ids import Address, RunId
from midstream.events.payloads import Fact, ModelRequested, ModelResponded
from midstream.events.payloads import ModelFailed as ModelFailedFact
from tests.conftest import MakeEngine
from tests.engine.stage import JumpingClock, call, calling, history, types
from tests.engine.test_people import asked

FACT = "otters hold hands"


@tool(effect="read")
async def search(query: str) -> str:
    """Look it up."""
    return FACT


def otters(messages: Sequence[Message]) -> Any:
    """Search, then say what was found."""
    last = messages[-1]
    if last.role == "user":
        return calling(call("c", "search", '{"query":"otters"}'), text="let me see")
    return f"I found that {last.parts[0].text}."  # type: ignore[union-attr]  # a result


OTTERS: dict[str, Any] = {"models": {"m": otters}, "model": "p:m"}


def shown(events: Sequence[AgentEvent]) -> dict[str, str]:
    """Return what the pieces of each model call come to, and see that each answer is what its pieces were."""
    texts: dict[str, str] = {}
    for event in events:
        match event:
            case ModelStarted():
                texts[event.step] = ""
            case TextDelta():
                texts[event.step] += event.text
            case ModelFinished():
                assert texts[event.step] == event.message.text
            case _:
                pass
    return texts


async def test_an_agent_tells_what_happens_and_concludes(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    agent = engine.agent("What do otters do?", tools=[search], agent_type="zoologist", user="u1")
    events = [event async for event in agent]
    kinds = [type(event) for event in events if not isinstance(event, TextDelta)]
    assert kinds == [
        RunStarted,
        AgentStarted,
        ModelStarted,
        ModelFinished,
        ToolStarted,
        ToolFinished,
        ModelStarted,
        ModelFinished,
        Conclusion,
        RunEnded,
    ]
    assert list(shown(events).values()) == ["let me see", f"I found that {FACT}."]
    reply = await agent
    assert (reply.text, reply.turns, reply.finish) == (f"I found that {FACT}.", 2, "stop")
    assert reply.run_id == (await agent.run()).id
    assert reply.usage.input_tokens > 0
    (info,) = await engine.runs(tags={"agent_type": "zoologist", "user": "u1"})
    assert info.run_id == reply.run_id


async def test_nothing_begins_before_it_is_asked_for(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    agent = engine.agent("What?", tools=[search])
    assert await engine.runs() == []
    first, second = await asyncio.gather(agent, agent)
    assert first == second
    assert len(await engine.runs()) == 1


async def test_a_stream_that_is_left_leaves_a_run_that_goes_on(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    agent = engine.agent("What?", tools=[search])
    seen = 0
    async with aclosing(agent.events()) as events:
        async for event in events:
            seen = event.seq
            if isinstance(event, ToolStarted):
                break
    assert (await agent).text == f"I found that {FACT}."
    rest = [one async for one in agent.events(after=seen)]
    assert all(one.seq > seen for one in rest)
    assert isinstance(rest[0], ToolFinished)
    assert isinstance(rest[-1], RunEnded)


class ConsumerError(Exception):
    pass


def told(events: Sequence[AgentEvent]) -> list[tuple[int, str]]:
    return [(one.seq, type(one).__name__) for one in events if not isinstance(one, TextDelta)]


@pytest.mark.parametrize("leaves", ["fails", "breaks"])
@pytest.mark.parametrize("elsewhere", [False, True])
async def test_whoever_leaves_a_stream_anywhere_another_one_goes_on_from_there(
    tmp_path: Path, leaves: str, elsewhere: bool
) -> None:
    """By its consumer's failure or not, here or in the next process: nothing is missed, and nothing told twice."""
    place, whole = 0, list[AgentEvent]()
    while not whole or place < len(whole):
        path, seen, rest = tmp_path / f"{place}.db", list[AgentEvent](), list[AgentEvent]()

        async def consume(agent: AgentRun, seen: list[AgentEvent] = seen, at: int = place) -> None:
            async for event in agent:
                seen.append(event)
                if len(seen) > at:
                    if leaves == "fails":
                        raise ConsumerError
                    break

        async with Engine.open(path, tools=[search], **OTTERS) as engine:
            with suppress(ConsumerError):
                await consume(engine.agent("What?", tools=[search], run_id="r"))
            if not elsewhere:
                rest = [one async for one in engine.run("r").agent_events(after=seen[-1].seq)]
        if elsewhere:
            async with Engine.open(path, tools=[search], **OTTERS) as engine:
                run = engine.run("r")
                if not (await run.state()).over:
                    run = await engine.resume("r")
                rest = [one async for one in run.agent_events(after=seen[-1].seq)]
        async with Engine.open(path, recover=False) as engine:
            whole = [one async for one in engine.run("r").agent_events()]
            assert (await engine.run("r"))["text"] == f"I found that {FACT}."
        assert isinstance(rest[-1] if rest else seen[-1], RunEnded)
        assert sorted({*told(seen), *told(rest)}) == sorted(told(whole))
        again = {one for one in told(rest) if one[0] <= seen[-1].seq}
        assert all(kind == "ModelStarted" for _, kind in again), (
            "an answer under way is shown whole"
        )
        place += 1
    assert place > 8


async def test_who_attaches_in_the_middle_of_an_answer_is_shown_it_whole() -> None:
    adapter = ScriptedAdapter(
        {"m": ["a rather long answer, in pieces"]}, provider="p", stream_delay=0.01
    )
    async with Engine.memory(adapters={"p": adapter}, model="p:m") as engine:
        agent = engine.agent("go")
        seen = 0
        async with aclosing(agent.events()) as first:
            async for event in first:
                if isinstance(event, TextDelta):
                    seen = event.seq
                    break
        for after in (0, seen - 1, seen):
            late = [one async for one in agent.events(after=after)]
            assert list(shown(late).values()) == ["a rather long answer, in pieces"]
            if after == 0:
                continue
            assert not [one for one in late if isinstance(one, RunStarted | AgentStarted)]


async def test_an_attempt_that_fails_makes_its_pieces_void(make_engine: MakeEngine) -> None:
    engine = await make_engine(
        models={"m": [RateLimitError("later"), "the answer"]}, model="p:m", clock=JumpingClock()
    )
    agent = engine.agent("go")
    events = [event async for event in agent]
    (failed,) = [event for event in events if isinstance(event, ModelFailed)]
    assert (failed.kind, failed.retry_at is not None) == ("rate_limit", True)
    assert [event.attempt for event in events if isinstance(event, ModelStarted)] == [1, 2]
    assert list(shown(events).values()) == ["the answer"]


async def test_an_agent_awaits_a_person(make_engine: MakeEngine) -> None:
    @tool(confirm=True, editable=["query"], effect="unsafe", name="search")
    async def asking(query: str) -> str:
        return f"{query} hold hands"

    engine = await make_engine(**OTTERS)
    agent = engine.agent("What?", tools=[asking])
    run = await agent.run()
    events: list[AgentEvent] = []
    async for event in agent:
        events.append(event)
        if isinstance(event, AwaitingPerson):
            assert (event.kind, event.editable) == ("edit", ("query",))
            await run.answer(
                event.question, approved=True, arguments={"query": "sea otters"}, by="eve"
            )
    (answered,) = [event for event in events if isinstance(event, PersonAnswered)]
    assert (answered.outcome, answered.approved, answered.by) == ("answered", True, "eve")
    assert "sea otters hold hands" in (await agent).text


class Forecast(BaseModel):
    city: str
    degrees: int


async def test_a_conclusion_has_the_type_that_was_asked_for(make_engine: MakeEngine) -> None:
    said = '{"city":"Oslo","degrees":3}'
    engine = await make_engine(models={"m": [said, said, "no", "no"]}, model="p:m")
    reply: Any = await engine.agent("Weather?", output=Forecast)
    assert reply.output == Forecast(city="Oslo", degrees=3)
    called: Any = await engine.call("Weather?", output=Forecast)
    assert called.output == Forecast(city="Oslo", degrees=3)
    with pytest.raises(RunFailedError, match=OutputError.kind):
        await engine.agent("Weather?", output=Forecast)


async def test_calls_are_handed_back_and_gone_on_with(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    first = await engine.agent("What?", tools=[search], auto_execute_tools=False)
    (wanted,) = first.tool_calls
    assert (wanted.name, first.finish) == ("search", "tool_calls")
    result = ToolResult(id=wanted.id, name="search", parts=(Text(text="hand made"),))
    said = [user("What?"), first.message, Message(role="tool", parts=(result,))]
    second = await engine.agent(None, messages=said, tools=[search], auto_execute_tools=False)
    assert second.text == "I found that hand made."


async def test_a_thread_remembers_what_was_said_in_earlier_runs(make_engine: MakeEngine) -> None:
    def count(messages: Sequence[Message]) -> str:
        return f"I know {len(messages)}"

    engine = await make_engine(models={"m": count}, model="p:m")
    told = [(await engine.agent(f"q{n}", memory="t")).text for n in range(3)]
    assert told == ["I know 1", "I know 3", "I know 5"]
    assert (await engine.agent("other", memory="u")).text == "I know 1"
    run = await engine.agent("q", memory="t").run()
    loaded = [one async for one in run.agent_events() if isinstance(one, MemoryLoaded)]
    assert [one.text for one in loaded[0].messages][:2] == ["q0", "I know 1"]


class Notebook:
    """A memory that counts how often it was asked."""

    name = "notebook"

    def __init__(self) -> None:
        self.reads: list[Recall] = []
        self.kept: list[str] = []

    async def read(self, about: Recall) -> Remembered:
        self.reads.append(about)
        return Remembered((user("note: be kind"),), {"lessons": ["l1"]})

    async def write(
        self, about: Recall, said: Sequence[Message]
    ) -> tuple[Sequence[Message], Mapping[str, JsonValue]]:
        self.kept.append(about.step)
        return said[-1:], {"id": len(self.kept)}


async def test_a_memory_of_ones_own_is_asked_once_and_keeps_once(make_engine: MakeEngine) -> None:
    notebook = Notebook()
    graph = Graph("g")

    @graph.node
    async def work(ctx: Context) -> str:
        reply = await ctx.agent("go", memory=notebook, agent_type="kind")
        await ctx.now()
        return reply.text

    engine = await make_engine(models={"m": ["kindly"]}, model="p:m")
    run = await engine.start(graph, tags={"user": "u1"})
    assert await run == "kindly"
    assert [(one.task, one.agent_type, one.user) for one in notebook.reads] == [
        ("go", "kind", "u1")
    ]
    assert len(notebook.kept) == 1
    events = {event.type: event.data for event in await history(run)}
    assert events["memory.read"]["items"] == {"lessons": ["l1"]}
    assert events["memory.written"]["items"] == {"id": 1}
    assert [m.text for m in await run.messages()] == ["note: be kind", "go", "kindly"]


async def test_an_agent_by_name_brings_what_it_has(make_engine: MakeEngine) -> None:
    seen: list[Any] = []

    def model(messages: Sequence[Message]) -> Any:
        seen.append(messages)
        return otters(messages)

    kind = Agent("zoologist", system="Be brief.", tools=[search], max_iterations=2)
    engine = await make_engine(models={"m": model}, model="p:m", agents=[kind])
    assert (await engine.agent("What?", agent_type="zoologist")).turns == 2
    with pytest.raises(RunFailedError, match="after 1 turns"):
        await engine.agent("What?", agent_type="zoologist", max_iterations=1)
    assert (await engine.agent("What?", agent_type=kind)).turns == 2


async def test_another_process_goes_on_with_an_agent_whose_tools_it_knows(
    make_engine: MakeEngine,
) -> None:
    @tool(confirm=True, effect="unsafe", name="search")
    async def guarded(query: str) -> str:
        return FACT

    async with make_engine(**OTTERS) as engine:
        run = await engine.agent("What?", tools=[guarded], run_id="r").run()
        question = await asked(run)
    stranger = await make_engine(recover=False, **OTTERS)
    with pytest.raises(GraphError, match="needs search; known here: no tools"):
        await stranger.resume("r")
    await stranger.run("r").answer(question.id, approved=True)
    known: list[dict[str, Any]] = [
        {"tools": [guarded]},
        {"agents": [Agent("", tools=Toolbox([guarded]))]},
    ]
    for more in known:
        other = await make_engine(recover=False, **OTTERS, **more)
        run = await other.resume("r")
        assert (await run)["text"] == f"I found that {FACT}."


async def test_a_call_is_a_run_of_its_own_or_leaves_no_trace(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    reply = await engine.call(
        "What?", tools=[search], system="Be brief.", tags={"team": "a"}, temperature=0
    )
    assert [one.name for one in reply.tool_calls] == ["search"]
    assert (reply.text, reply.finish) == ("let me see", "tool_calls")
    (info,) = await engine.runs(tags={"team": "a"})
    assert (info.run_id, info.status, info.graph) == (reply.run_id, "completed", "midstream.call")
    untraced = await engine.call([user("What?"), assistant("hm"), user("So?")], trace=False)
    assert untraced.text == "let me see"
    assert len(await engine.runs()) == 1
    assert "call#1/llm:" in reply.step


async def test_a_call_that_fails_raises_what_the_provider_said(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": [AuthenticationError("no such key")]}, model="p:m")
    with pytest.raises(AuthenticationError, match="no such key"):
        await engine.call("What?")


async def test_the_same_call_is_asked_once(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": ["once"]}, model="p:m")
    one = await engine.call("What?", run_id="r")
    again = await engine.call("What?", run_id="r")
    assert (one.text, again.text) == ("once", "once")


def parts(messages: Sequence[Message]) -> str:
    return f"{len(messages[0].parts)} parts"


def loudly(messages: Sequence[Message]) -> str:
    return messages[-1].text.upper()


async def test_a_call_takes_images(make_engine: MakeEngine) -> None:
    engine = await make_engine(models={"m": parts}, model="p:m")
    picture = Message(role="user", parts=(Text(text="What is it?"), Image(data="aGk=")))
    assert (await engine.call(picture)).text == "2 parts"


async def test_what_is_wrong_is_said_before_anything_is_recorded(make_engine: MakeEngine) -> None:
    engine = await make_engine(**OTTERS)
    with pytest.raises(ConfigError, match="nothing to be told"):
        engine.agent(None)
    with pytest.raises(ConfigError, match="has a tool 'search' already"):
        engine.agent("x", tools=[search, tool(name="search")(lambda: None)])
    with pytest.raises(ConfigError, match="max_iterations must be 1 or more"):
        Agent("a", max_iterations=0)
    assert await engine.runs() == []


def event(seq: int, fact: Fact, step: str = "s") -> Event:
    draft = encode(fact, at=seq, address=Address(step))
    return Event(
        RunId("r"), seq, seq, seq, draft.type, 1, "engine", None, draft.address, 1,
        draft.body, b"", draft.data, (draft.type, 1),
    )  # fmt: skip


@given(st.lists(st.text(min_size=1)), st.data())
def test_however_pieces_and_events_interleave_they_are_the_recorded_text(
    pieces: list[str], data: st.DataObject
) -> None:
    """Pieces of an attempt come in order, and at any time; some of the last ones may be lost."""
    kept = pieces[: data.draw(st.integers(0, len(pieces)))]
    early = data.draw(st.integers(0, len(kept)))
    late = data.draw(st.integers(early, len(kept)))
    teller, told = Teller(), list[AgentEvent]()
    told += teller.event(event(1, ModelRequested(model="p:m")))
    told += teller.piece("s", 1, "of an attempt that fails")
    for piece in kept[:early]:
        told += teller.piece("s", 2, piece)
    told += teller.event(event(2, ModelFailedFact(kind="rate_limit", retry_at=1.0)))
    told += teller.event(event(3, ModelRequested(model="p:m", attempt=2)))
    for piece in kept[early:late]:
        told += teller.piece("s", 2, piece)
    told += teller.event(event(4, ModelResponded(message=assistant("".join(pieces)))))
    for piece in kept[late:]:
        told += teller.piece("s", 2, piece)
    assert list(shown(told).values()) == ["".join(pieces)]
    assert isinstance(told[-1], ModelFinished)


async def test_a_consumer_that_is_too_slow_is_shown_the_rest_at_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("midstream.engine.runs.agent_stream.BUFFER", 3)
    adapter = ScriptedAdapter({"m": ["x" * 400]}, provider="p", stream_delay=0.001)
    async with Engine.memory(adapters={"p": adapter}, model="p:m") as engine:
        agent = engine.agent("go")
        events: list[AgentEvent] = []
        async for one in agent:
            events.append(one)
            if isinstance(one, TextDelta) and len(events) < 8:
                await asyncio.sleep(0.1)
        assert list(shown(events).values()) == ["x" * 400]
        assert len([one for one in events if isinstance(one, TextDelta)]) < 50


async def test_agents_side_by_side_in_a_node_are_each_their_own(make_engine: MakeEngine) -> None:
    graph = Graph("g")

    @graph.node
    async def both(ctx: Context) -> list[str]:
        replies = await asyncio.gather(
            *(ctx.agent(f"task {n}", agent_type=f"a{n}", memory=Notebook()) for n in range(3))
        )
        return [reply.text for reply in replies]

    engine = await make_engine(models={"m": loudly}, model="p:m")
    run = await engine.start(graph)
    assert await run == ["TASK 0", "TASK 1", "TASK 2"]
    told = types(await history(run))
    assert (told.count("agent.started"), told.count("agent.concluded")) == (3, 3)
    assert told.count("memory.written") == 3
