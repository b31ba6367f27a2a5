"""Random graphs, and everything that can happen to a run, at any moment: the laws hold after every step.

Nothing here depends on time: each call blocks before its effect and again before its outcome until the machine releases
it, and the clock moves when the machine moves it.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,  # pyright: ignore[reportUnknownVariableType]  # its settings are untyped
)

from midstream import Engine, Graph, Run
from midstream.engine.clock import Clock
from midstream.events.content import Message, ToolResult
from midstream.events.envelope import Event
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.verify import verify
from midstream.projections.run_state import RunState, fold_run

from . import reference
from .power import Power, PoweredStore
from .reference import KINDS, Plan, Step

T = TypeVar("T")

RUN = RunId("r")
MODELS = ("scripted:a", "scripted:b", "scripted:c")
SLOW_IS_FINE = (
    HealthCheck.too_slow,
    HealthCheck.data_too_large,
    HealthCheck.filter_too_much,
)
QUIET = 25  # turns of the loop without any change, after which everything is blocked

steps = st.lists(
    st.builds(Step, st.lists(st.sampled_from(KINDS), min_size=1, max_size=2).map(tuple)), max_size=2
).map(tuple)


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, ...]:
    """Draw a graph of one to five nodes without a cycle."""
    made: list[Plan] = []
    for place in range(draw(st.integers(1, 5))):
        earlier = st.sets(st.integers(0, place - 1), max_size=3) if place else st.just(set[int]())
        breaks = draw(st.integers(0, 19)) == 19
        stumbles = draw(st.integers(0, 3)) == 3
        made.append(Plan(tuple(sorted(draw(earlier))), draw(steps), stumbles, breaks))
    return tuple(made)


class StillClock(Clock):
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.time = 1_000_000.0
        self.waiting: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    async def sleep_until(self, moment: float) -> None:
        while self.time < moment:
            woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            entry = (moment, woken)
            self.waiting.append(entry)
            try:
                await woken
            finally:
                self.waiting.remove(entry)

    def advance(self, to: float) -> None:
        """Move on, and wake whose time has come."""
        self.time = max(self.time, to)
        for moment, woken in tuple(self.waiting):
            if moment <= self.time and not woken.done():
                woken.set_result(None)


@dataclass
class Outside:
    """What calls act on.

    Attributes:
        blocked: Calls that wait to be released, in the order they came.
        deeds: Effects that happened, by kind and key.
        wrong: Laws that were found broken inside a call.
    """

    blocked: list[asyncio.Future[None]] = field(default_factory=list[asyncio.Future[None]])
    deeds: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    wrong: list[str] = field(default_factory=list[str])

    async def call(self, kind: str, key: str) -> None:
        """Have an effect, when released, and return, when released again."""
        await self._block()
        self.deeds.append((kind, key))
        await self._block()

    def did(self, key: str) -> bool:
        return any(deed[1].partition("@")[0] == key for deed in self.deeds)

    def check(self, messages: Sequence[Message]) -> None:
        """See that every call in a conversation has one result, right after it."""
        for place, message in enumerate(messages):
            wanted = [call.id for call in message.tool_calls]
            following = messages[place + 1].parts if wanted and place + 1 < len(messages) else ()
            given = [part.id for part in following if isinstance(part, ToolResult)]
            if wanted != given:
                self.wrong.append(f"calls {wanted} were told results {given}")

    async def _block(self) -> None:
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.blocked.append(released)
        try:
            await released
        finally:
            self.blocked.remove(released)


class RunMachine(RuleBasedStateMachine):
    """One run, one driver at a time, and one engine that only wishes."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.store = MemoryStore()
        self.clock = StillClock()
        self.outside = Outside()
        self.engine: Engine | None = None
        self.power = Power()
        self.cancelled = False
        self.events: list[Event] = []

    def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something, then everything else until it is blocked."""

        async def settled() -> T:
            result = await coroutine
            await self._settle()
            self.events = [event async for event in self.store.read(RUN)]
            return result

        return self.loop.run_until_complete(settled())

    async def _settle(self) -> None:
        quiet, before = 0, (-1, 0, 0, 0)
        while quiet < QUIET:
            head = await self.store.head(RUN)
            now = (
                head.seq if head else 0,
                len(self.outside.blocked),
                len(self.clock.waiting),
                len(self.outside.deeds),
            )
            quiet = quiet + 1 if now == before else 0
            before = now
            await asyncio.sleep(0)

    def _open(self) -> Engine:
        answers = reference.script(self.outside.call, self.outside.check)
        return Engine(
            PoweredStore(self.store, self.power),
            models={name.partition(":")[2]: answers for name in MODELS},
            model=MODELS[0],
            recover=False,
            clock=self.clock,
            always_replay=self.forgetful,
        )

    def _graph(self) -> Graph:
        return reference.graph(self.plans, self.outside.call, self.outside.did)

    @property
    def state(self) -> RunState:
        return fold_run(self.events)

    @initialize(plans=plans(), forgetful=st.booleans())
    def begin(self, plans: tuple[Plan, ...], forgetful: bool) -> None:
        self.plans = plans
        self.forgetful = forgetful
        self.do(self._begin())

    async def _begin(self) -> None:
        self.wisher = await self._open().__aenter__()
        await self._live()

    async def _live(self) -> None:
        self.power = Power()
        self.engine = await self._open().__aenter__()
        await self.engine.start(self._graph(), run_id=RUN)

    @precondition(lambda self: self.outside.blocked)
    @rule(which=st.lists(st.integers(0, 9), min_size=1, max_size=6))
    def release(self, which: list[int]) -> None:
        """Let calls have their effect, or return, one after the other."""
        for place in which:
            blocked = self.outside.blocked
            if blocked:
                blocked[place % len(blocked)].set_result(None)
                self.do(_nothing())

    @precondition(lambda self: len(self.outside.blocked) > 1)
    @rule()
    def release_all(self) -> None:
        """Let all calls go on in the same turn of the loop."""
        for blocked in self.outside.blocked:
            blocked.set_result(None)
        self.do(_nothing())

    @precondition(lambda self: self.clock.waiting)
    @rule()
    def wait(self) -> None:
        """Let time pass until the next one who waits."""
        self.clock.advance(min(moment for moment, _ in self.clock.waiting))
        self.do(_nothing())

    @precondition(lambda self: self.engine is not None)
    @rule()
    def crash(self) -> None:
        """End the driver's process: nothing of it reaches the outside any more."""
        self.do(self._crash())

    async def _crash(self) -> None:
        self.power.dead = True
        self.engine = None
        current = asyncio.current_task()
        dead = [task for task in asyncio.all_tasks() if task is not current]
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        self.clock.advance(self.clock.time + 1000)  # every lease runs out
        self.power = Power()
        self.wisher = await self._open().__aenter__()  # its tasks were among them

    @precondition(lambda self: self.engine is None)
    @rule()
    def resume(self) -> None:
        """Take the run over in a new process."""
        self.do(self._live())

    def _run(self, *, driver: bool) -> Run:
        engine = self.engine if driver and self.engine is not None else self.wisher
        return engine.run(RUN)

    def _wish(self, wish: Awaitable[Any], *, released: bool) -> None:
        async def both() -> None:
            for blocked in self.outside.blocked if released else ():
                blocked.set_result(None)
            await wish

        self.do(both())

    @precondition(lambda self: not self.events or self.events[-1].type != "note.added")
    @rule(driver=st.booleans(), released=st.booleans())
    def note(self, driver: bool, released: bool) -> None:
        self._wish(self._run(driver=driver).note("seen"), released=released)

    @precondition(lambda self: self.state.status == "running")
    @rule(driver=st.booleans(), released=st.booleans())
    def pause(self, driver: bool, released: bool) -> None:
        self._wish(self._run(driver=driver).pause(), released=released)

    @precondition(lambda self: self.engine is not None and self.state.status == "paused")
    @rule()
    def go_on(self) -> None:
        self._wish(self._run(driver=True).resume(), released=False)

    @precondition(lambda self: not self.state.over and not self.cancelled)
    @rule(
        driver=st.booleans(),
        released=st.booleans(),
        to=st.sampled_from(MODELS),
        now=st.booleans(),
    )
    def migrate(self, driver: bool, released: bool, to: str, now: bool) -> None:
        run = self._run(driver=driver)
        self._wish(run.migrate(to, when="now" if now else "next"), released=released)
        if self.engine is not None and not self.state.over and now:
            assert self._asked() <= {to}

    def _asked(self) -> set[str]:
        # What a dead driver had asked is open in the log, but in nobody's flight; in a paused run it waits like that.
        asked = [c for c in self.state.calls.values() if c.kind == "model" and c.status == "open"]
        return {c.request["model"] for c in asked if c.epoch == self.state.epoch}

    @precondition(lambda self: not self.state.over and not self.cancelled)
    @rule(driver=st.booleans(), released=st.booleans(), sure=st.integers(0, 3))
    def cancel(self, driver: bool, released: bool, sure: int) -> None:
        if sure == 3:  # or few runs would come far
            self.cancelled = True
            self._wish(self._run(driver=driver).cancel(wait=False), released=released)

    @invariant()
    def folding_in_two_parts_is_folding_at_once(self) -> None:
        for cut in {0, len(self.events) // 2, max(0, len(self.events) - 3)}:
            assert fold_run(self.events[cut:], fold_run(self.events[:cut])) == self.state

    @invariant()
    def the_live_state_is_the_folded_state(self) -> None:
        if self.engine is None:
            return
        live = self.engine._here().live.get(RUN)  # pyright: ignore[reportPrivateUsage]
        if live is not None:
            assert _comparable(live.runner.state) == _comparable(self.state)

    @invariant()
    def the_chain_verifies(self) -> None:
        if self.events:
            assert self.loop.run_until_complete(verify(self.store, RUN)).sound

    @invariant()
    def each_activation_completes_once(self) -> None:
        done = Counter(event.address for event in self.events if event.type == "node.completed")
        assert set(done.values()) <= {1}

    @invariant()
    def no_effect_has_no_intent_and_no_attempt_has_two(self) -> None:
        intents = Counter(
            f"{self.state.calls[event.address or ''].request['key']}@{event.data.get('attempt', 1)}"
            for event in self.events
            if event.type == "tool.requested"
        )
        tools = Counter(key for kind, key in self.outside.deeds if kind != "model")
        assert tools <= intents
        assert set(intents.values()) <= {1}
        unsafe = Counter(key[:32] for kind, key in self.outside.deeds if kind == "unsafe")
        assert set(unsafe.values()) <= {1}
        asked = sum(event.type == "model.requested" for event in self.events)
        assert sum(kind == "model" for kind, _ in self.outside.deeds) <= asked

    @invariant()
    def every_conversation_was_valid(self) -> None:
        assert self.outside.wrong == []

    @invariant()
    def nothing_goes_on_after_the_end(self) -> None:
        if self.events and self.state.over and self.engine is not None:
            assert self.outside.blocked == []
            ended = next(
                e.seq
                for e in self.events
                if e.type[4:] in ("completed", "failed", "cancelled") and e.type.startswith("run.")
            )
            after = {event.type for event in self.events[ended:]}
            assert after <= {"note.added"}

    def teardown(self) -> None:
        """Bring the run to its end, and see that it is the one it had to have."""
        try:
            if self.events:
                self._finish()
        finally:
            for task in asyncio.all_tasks(self.loop):
                task.cancel()
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.run_until_complete(asyncio.sleep(0))
            self.loop.close()

    def _finish(self) -> None:
        if self.engine is None:
            self.resume()
        for _ in range(400):
            if self.state.over:
                break
            if self.state.status == "paused":
                self.go_on()
            elif self.outside.blocked:
                self.release([0])
            else:
                assert self.clock.waiting, f"stuck: {self.state!r}"
                self.wait()
        wanted = reference.expected(self.plans)
        allowed = {"failed" if wanted is None else "completed"}
        if self.cancelled:
            allowed.add("cancelled")
        assert self.state.status in allowed
        if self.state.status == "completed":
            assert wanted is not None
            output = self.state.output
            assert output == (wanted if len(wanted) > 1 else next(iter(wanted.values())))
        self.nothing_goes_on_after_the_end()


def _comparable(state: RunState) -> RunState:
    """Return the state without the digest and position that the driver does not know of what it wrote."""
    cancelling = state.cancelling
    if cancelling is not None:
        cancelling = cancelling._replace(position=0, digest=b"")
    return replace(state, cancelling=cancelling)


async def _nothing() -> None:
    pass


def test_a_run_keeps_its_laws_whatever_happens_to_it() -> None:
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=60,
            stateful_step_count=30,
            deadline=None,
            derandomize=True,
            suppress_health_check=SLOW_IS_FINE,
        ),
    )


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_run_keeps_its_laws_whatever_happens_to_it_for_long() -> None:
    run_state_machine_as_test(
        RunMachine,
        settings=settings(
            max_examples=2000,
            stateful_step_count=50,
            deadline=None,
            suppress_health_check=SLOW_IS_FINE,
        ),
    )
