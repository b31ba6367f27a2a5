"""An agent with parallel tools, one of them unsafe and one that a person approves, killed, cut and refused everywhere."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from pathlib import Path

import pytest

from midstream import Engine, Tool
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import Adapter
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.engine.agents.events import AgentEvent, AwaitingPerson, RunEnded
from midstream.errors import AnswerError, RunFailedError, RunNotFoundError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.payloads import Usage
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run
from midstream.testing import Answer, Call, Fault, ProviderServer, Seen
from tests.engine.stage import JumpingClock
from tests.engine.test_agent import shown

from .agent import TOLD, model, tools_of
from .power import LateClock, Power, PoweredStore
from .test_crash_points import Cut, at_place, never
from .world import World

RUN = RunId("agent")


class Lives:
    """One agent run over one store, driven by processes that end and are followed by others."""

    def __init__(self, folder: Path, park_after: float) -> None:
        folder.mkdir()
        self.store = MemoryStore()
        self.world = World(folder / "effects")
        self.park_after = park_after
        self.lives = 0
        self.woken = 0

    async def live(self, cut_at: Cut) -> Power:
        self.lives += 1
        power = Power(cut_at)
        self.world.point = power.point
        engine = Engine(
            PoweredStore(self.store, power),
            models={"m": model(self.world)},
            model="p:m",
            recover=False,
            clock=LateClock(100.0 * self.lives),
            park_after=self.park_after,
        )
        person = asyncio.create_task(self._answer())
        try:
            async with engine:
                running = engine.agent("go", tools=tools_of(self.world), run_id=RUN)
                ended = asyncio.ensure_future(running._concluded())  # pyright: ignore[reportPrivateUsage]
                died = asyncio.ensure_future(power.died.wait())
                # A run that was parked is not awaited by its driver any more, so nobody would hear of its end.
                await asyncio.wait([ended, died], return_when=asyncio.FIRST_COMPLETED)
                died.cancel()
                self.woken += engine._here().woken  # pyright: ignore[reportPrivateUsage]
                if not ended.done():
                    ended.cancel()
                    with suppress(BaseException):
                        await ended
                else:
                    ended.result()
        except BaseException:  # the cut as it is, or in a group
            if not power.dead:
                raise
        finally:
            person.cancel()
            with suppress(asyncio.CancelledError):
                await person
        return power

    async def _answer(self) -> None:
        """Approve what is asked, in a process of one's own that nothing happens to."""
        async with Engine(self.store, recover=False) as stranger:
            run = stranger.run(RUN)
            while True:
                with suppress(RunNotFoundError):
                    for question in await run.questions():
                        with suppress(AnswerError):
                            await run.answer(
                                question.id, approved=True, arguments={"place": "there"}
                            )
                await asyncio.sleep(0.002 if self.park_after else 0.03)

    async def state(self) -> RunState:
        if await self.store.head(RUN) is None:
            return RunState()
        assert (await verify(self.store, RUN)).sound
        return fold_run([event async for event in self.store.read(RUN)])


@pytest.mark.parametrize("park_after", [1.0, 0.0], ids=["kept", "parked"])
async def test_an_agent_survives_the_end_of_its_process_at_every_moment(
    tmp_path: Path, park_after: float
) -> None:
    whole = await Lives(tmp_path / "whole", park_after).live(never)
    assert not whole.dead
    place, died, woken = 0, 0, 0
    while place < len(whole.moments):
        lives = Lives(tmp_path / str(place), park_after)
        died += (await lives.live(at_place(place))).dead
        asked = (await lives.state()).calls
        for call in asked.values():  # a question that was asked is still there, or answered
            assert call.kind != "question" or call.status in ("open", "completed")
        await lives.live(never)
        state = await lives.state()
        assert (state.status, state.output["text"]) == ("completed", TOLD)
        assert state.open_calls == {}
        counts = lives.world.counts()
        assert (counts["dig"], counts["pay"]) == (1, 1)
        assert counts["model"] <= 3
        questions = [call for call in state.calls.values() if call.kind == "question"]
        assert [call.status for call in questions] == ["completed"]
        place += 1
        woken += lives.woken
    assert died > 20
    # How many a busy machine still keeps when they are answered is its own affair.
    assert woken > 3 if park_after == 0 else woken <= 3


def wire(seen: Seen) -> Answer:
    """Return what the model of the provider server says: calls at first, then what it was told."""
    results = [one for turn in seen.turns for one in turn.results]
    if not results:
        calls = tuple(Call(name, {"place": "here"}) for name in ("look", "dig"))
        return Answer("let me see what there is, step by step", calls)
    return Answer("; ".join(one.text for one in results) + ", and that is all there is to say")


ALL_SAID = "look here; dig here, and that is all there is to say"
ADAPTERS: Mapping[str, Callable[..., Adapter]] = {
    "openai": OpenAIAdapter,
    "openai-responses": ResponsesAdapter,
    "anthropic": AnthropicAdapter,
    "gemini": GeminiAdapter,
}
READERS = {name: make(api_key="k") for name, make in ADAPTERS.items()}
"""Adapters that nobody is asked through; making a client of an SDK takes longer than all the rest."""
VENDORS = ("openai", "openai-responses", "anthropic", "gemini")


def free(provider: str, name: str, usage: Usage, at: float) -> None:
    return None


@asynccontextmanager
async def serving(
    server: ProviderServer, store: MemoryStore, vendor: str, tools: Sequence[Tool]
) -> AsyncGenerator[Engine]:
    urls = {"anthropic": server.anthropic_url, "gemini": server.gemini_url}
    asked = ADAPTERS[vendor](api_key="k", base_url=urls.get(vendor, server.openai_url))
    adapters: dict[str, Adapter] = {**READERS, vendor: asked}
    async with Engine(
        store,
        adapters=adapters,
        model=f"{vendor}:m",
        tools=tools,
        clock=JumpingClock(),
        recover=False,
        pricing=free,
    ) as engine:
        yield engine


FAULTS = {
    "rate_limit": Fault.rate_limit(0.0),
    "overloaded": Fault.overloaded(),
    "server_error": Fault.server_error(),
    "bad_request": Fault.bad_request("no"),
    "authentication": Fault.authentication(),
    "context_window": Fault.context_window(),
    "quota": Fault.quota(),
    "stream_error": Fault.stream_error(2),
    "reset": Fault.reset(2),
    "truncated": Fault.truncated(),
    "malformed_json": Fault.malformed_json(),
    "empty_stream": Fault.empty_stream(),
    "lost": Fault.lost(),
    "hang": Fault.hang(0.1),
}
FATAL = {"bad_request", "authentication", "context_window", "quota"}


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("vendor", VENDORS)
async def test_whatever_goes_wrong_at_whichever_request_the_run_ends_right_or_says_what_it_was(
    tmp_path: Path, vendor: str, name: str, place: int
) -> None:
    asked = 0

    def script(seen: Seen) -> Answer | Fault:
        nonlocal asked
        asked += 1
        return FAULTS[name] if asked == place + 1 else wire(seen)

    world = World(tmp_path / "effects")
    with ProviderServer(script) as server:
        async with serving(server, MemoryStore(), vendor, tools_of(world)) as engine:
            agent = engine.agent("go", tools=tools_of(world)[:2])
            events = [event async for event in agent]
            assert isinstance(events[-1], RunEnded)
            if name in FATAL:
                # These have no code for it, and a short conversation is not taken to be too long.
                coded = vendor.startswith("openai") or name != "context_window"
                kind = name if coded else "bad_request"
                with pytest.raises(RunFailedError, match=kind) as failed:
                    await agent
                assert len(failed.value.failures) == 1
            else:
                assert (await agent).text == ALL_SAID
            shown(events)
        assert server.refused == []
    assert set(world.counts().values()) <= {1}


NEXT = dict(zip(VENDORS, (*VENDORS[1:], VENDORS[0]), strict=True))
"""Each is followed by another in the suite; the other pairs are for the long runs."""


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(one, two, marks=() if NEXT[one] == two else pytest.mark.soak)
        for one in VENDORS
        for two in VENDORS
    ],
)
async def test_a_stream_that_is_cut_anywhere_leaves_a_log_that_every_provider_takes(
    tmp_path: Path, first: str, second: str
) -> None:
    cut, last = 0, False
    while not last:
        cut += 3
        store, world = MemoryStore(), World(tmp_path / f"{first}-{second}-{cut}")
        with ProviderServer(wire) as server:
            seen: list[AgentEvent] = []
            async with serving(server, store, first, tools_of(world)) as engine:
                agent = engine.agent("go", tools=tools_of(world)[:2], run_id=RUN)
                async with aclosing(agent.events()) as events:
                    async for event in events:
                        seen.append(event)
                        if len(seen) == cut:
                            break
                last = isinstance(seen[-1], RunEnded)
            assert not any(isinstance(event, AwaitingPerson) for event in seen)
            async with serving(server, store, second, tools_of(world)) as engine:
                run = await engine.resume(RUN)
                if not (await run.state()).over:
                    await run.migrate(f"{second}:m")
                rest = [event async for event in run.agent_events(after=seen[-1].seq)]
                assert (await run)["text"] == ALL_SAID
                shown(rest)
                for vendor in VENDORS:
                    await run.view(f"{vendor}:m")
                said = list(shown([one async for one in run.agent_events()]).values())
            assert said[-1] == ALL_SAID
            assert server.refused == []
        assert Counter(world.counts())["dig"] == 1
    assert cut > 12
