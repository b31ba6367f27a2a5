"""An answer that is cut in the middle, however it came to that, leaves a log that every provider takes.

The law is told for one call and for the loop of an agent; what is cut is any answer, at any piece, of any of the four wire
formats, by the service, by the consumer with its process, or by whoever cancels the run.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any, Literal

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midstream import Engine, tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import Adapter
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.engine.agents.events import AgentEvent
from midstream.engine.runs.run import Run
from midstream.errors import RunCancelledError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.testing import Answer, Call, Fault, ProviderServer, Seen
from tests.adapters.rules import Dialect, violations
from tests.engine.stage import JumpingClock
from tests.engine.test_agent import shown

RUN = RunId("cut")
MODELS: Mapping[str, tuple[Dialect, str]] = {
    "openai": ("openai", "gpt-4o"),
    "openai-responses": ("openai-responses", "gpt-5"),
    "anthropic": ("anthropic", "claude-sonnet-4-5"),
    "gemini": ("gemini", "gemini-3-pro-preview"),
}
VENDORS = tuple(MODELS)
ADAPTERS: Mapping[str, Callable[..., Adapter]] = {
    "openai": OpenAIAdapter,
    "openai-responses": ResponsesAdapter,
    "anthropic": AnthropicAdapter,
    "gemini": GeminiAdapter,
}
READERS = {name: make(api_key="k") for name, make in ADAPTERS.items()}
"""Adapters that nobody is asked through; making a client of an SDK takes longer than all the rest."""
Cut = Literal["truncated", "reset", "stream_error", "closed", "cancelled"]
CUTS: tuple[Cut, ...] = ("truncated", "reset", "stream_error", "closed", "cancelled")
LAW = settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@tool(effect="read")
def look(place: str) -> str:
    """Look somewhere."""
    return f"seen {place}"


def answers(*, calls: bool) -> st.SearchStrategy[Answer]:
    texts = st.text(st.characters(codec="utf-8", exclude_categories=("Cs", "Cc")), max_size=40).map(
        str.strip
    )
    wanted = st.builds(
        Call,
        st.just("look"),
        st.fixed_dictionaries({"place": st.sampled_from(["here", "ä ß", ""])}),
    )
    some = st.lists(wanted, max_size=3).map(tuple) if calls else st.just(())
    return st.builds(Answer, texts, some).filter(lambda answer: answer.text or answer.calls)


def free(*_: Any) -> None:
    return None


@asynccontextmanager
async def serving(
    server: ProviderServer, store: MemoryStore, vendor: str
) -> AsyncGenerator[Engine]:
    urls = {"anthropic": server.anthropic_url, "gemini": server.gemini_url}
    asked = ADAPTERS[vendor](api_key="k", base_url=urls.get(vendor, server.openai_url))
    adapters: dict[str, Adapter] = {**READERS, vendor: asked}
    async with Engine(
        store,
        adapters=adapters,
        model=f"{vendor}:{MODELS[vendor][1]}",
        tools=[look],
        clock=JumpingClock(),
        recover=False,
        pricing=free,
    ) as engine:
        yield engine


async def valid_everywhere(run: Run) -> None:
    """See that each provider would take the conversation as it stood after each event."""
    last = (await run.state()).seq
    for vendor, (dialect, model) in MODELS.items():
        for seq in range(1, last + 1):
            view = await run.view(f"{vendor}:{model}", at=seq)
            assert violations(dialect, view.request, model) == [], (vendor, seq)


async def half_streamed(
    said: Sequence[Answer], cut: Cut, at: tuple[int, int], first: str, second: str, *, loop: bool
) -> None:
    """Have an agent asked, cut it, look at what is left, and let it end at another provider.

    Args:
        said: The model's answers; what it says after them is the last.
        cut: By what.
        at: At which request, and at which piece of its answer.
        first: Who is asked at first.
        second: Who is asked after the cut.
        loop: The tools are called; else it is one call.
    """
    asked = 0

    def script(seen: Seen) -> Answer | Fault:
        nonlocal asked
        asked += 1
        answer = said[min(sum(1 for turn in seen.turns if turn.results), len(said) - 1)]
        if asked - 1 == at[0] and cut != "closed" and cut != "cancelled":
            return Fault(cut, after_events=at[1], answer=answer)
        return answer

    store = MemoryStore()
    with ProviderServer(script) as server:
        async with serving(server, store, first) as engine:
            agent = engine.agent("go", tools=[look], run_id=RUN, auto_execute_tools=loop)
            await broken_off(agent, engine, cut, sum(at))
            await valid_everywhere(engine.run(RUN))
        async with serving(server, store, second) as engine:
            run = engine.run(RUN)
            if not (await run.state()).over:
                run = await engine.resume(RUN)
                await run.migrate(f"{second}:{MODELS[second][1]}")
            try:
                assert (await run)["text"] == said[-1].text
            except RunCancelledError:
                assert cut == "cancelled"
            await valid_everywhere(run)
            shown([event async for event in run.agent_events()])
        assert server.refused == []


async def broken_off(agent: Any, engine: Engine, cut: Cut, at: int) -> None:
    seen: list[AgentEvent] = []
    async with aclosing(agent.events()) as events:
        async for event in events:
            seen.append(event)
            if len(seen) > at and cut == "cancelled":
                await engine.run(RUN).cancel(reason="enough")
            if len(seen) > at and cut in ("closed", "cancelled"):
                return


@pytest.mark.parametrize("first", VENDORS)
@LAW
@given(
    answer=answers(calls=True),
    cut=st.sampled_from(CUTS),
    at=st.integers(min_value=0, max_value=12),
    second=st.sampled_from(VENDORS),
)
@example(answer=Answer("half of it"), cut="cancelled", at=2, second="openai")
@example(answer=Answer(")"), cut="closed", at=0, second="openai")
def test_h113_one_call_that_is_cut_at_any_piece_leaves_what_every_provider_takes(
    first: str, answer: Answer, cut: Cut, at: int, second: str
) -> None:
    asyncio.run(half_streamed([answer], cut, (0, at), first, second, loop=False))


@pytest.mark.parametrize("first", VENDORS)
@LAW
@given(
    begins=answers(calls=True),
    ends=answers(calls=False),
    cut=st.sampled_from(CUTS),
    at=st.tuples(st.integers(min_value=0, max_value=1), st.integers(min_value=0, max_value=12)),
    second=st.sampled_from(VENDORS),
)
def test_h112_a_loop_that_is_cut_at_any_piece_leaves_what_every_provider_takes(
    first: str, begins: Answer, ends: Answer, cut: Cut, at: tuple[int, int], second: str
) -> None:
    said = [begins, ends] if begins.calls else [ends]
    asyncio.run(half_streamed(said, cut, at, first, second, loop=True))


@pytest.mark.soak
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("first", VENDORS)
@settings(LAW, max_examples=200)
@given(
    begins=answers(calls=True),
    ends=answers(calls=False),
    cut=st.sampled_from(CUTS),
    at=st.tuples(st.integers(min_value=0, max_value=1), st.integers(min_value=0, max_value=12)),
    second=st.sampled_from(VENDORS),
)
def test_a_loop_that_is_cut_at_any_piece_is_taken_everywhere_at_length(
    first: str, begins: Answer, ends: Answer, cut: Cut, at: tuple[int, int], second: str
) -> None:
    said = [begins, ends] if begins.calls else [ends]
    asyncio.run(half_streamed(said, cut, at, first, second, loop=True))
