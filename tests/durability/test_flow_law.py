"""The law of control flow: whatever graph, whatever happens, the log is one that the slow reader finds nothing wrong with."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midstream import Context, Continue, Engine, Event, Graph, Limits
from midstream.errors import RunCancelledError, RunFailedError, TopologyError
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.projections.run_snapshot import dump, restore
from midstream.projections.run_state import fold_run
from tests.durability.flow_reference import Reference
from tests.durability.power import Power, PoweredStore

RUN = RunId("r")
MOST = 300


@dataclass(frozen=True)
class Turn:
    """What an activation does: the places of nodes it goes to, triggers, and adds a node or an edge after."""

    goto: tuple[int, ...] = ()
    trigger: tuple[int, ...] = ()
    adds: tuple[int, ...] = ()
    edge: tuple[int, int] | None = None
    fails: bool = False


@dataclass(frozen=True)
class Plan:
    """A node: what it waits for, with whether it can do without, and what its first activations do."""

    needs: tuple[tuple[int, bool], ...] = ()
    after: tuple[int, ...] = ()
    on_call: bool = False
    join: int = 0
    asks: bool = False
    output: bool = False
    policy: str = "fail"
    turns: tuple[Turn, ...] = ()


places = st.integers(0, 6)


def some(most: int) -> Any:
    return st.lists(places, max_size=most).map(tuple)


turns = st.builds(
    Turn,
    goto=st.one_of(st.just(()), some(2)),
    trigger=st.one_of(st.just(()), some(2)),
    adds=st.one_of(st.just(()), some(1)),
    edge=st.one_of(st.none(), st.tuples(places, places)),
    fails=st.integers(0, 7).map(lambda n: n == 7),
)


def _first(need: tuple[int, bool]) -> int:
    return need[0]


@st.composite
def plans(draw: st.DrawFn) -> tuple[Plan, ...]:
    """Draw a graph of one to seven nodes without a cycle, of which the first starts by itself."""
    made: list[Plan] = []
    for place in range(draw(st.integers(1, 7))):
        earlier = st.integers(0, max(0, place - 1))
        needs = draw(
            st.lists(st.tuples(earlier, st.booleans()), max_size=min(3, place), unique_by=_first)
        )
        taken = {need for need, _ in needs}
        after = draw(st.lists(earlier, max_size=1).map(tuple)) if place else ()
        join = 0
        if needs and draw(st.integers(0, 3)) == 3:
            needs = [(need, True) for need, _ in needs]
            join = draw(st.integers(1, len(needs)))
        made.append(
            Plan(
                tuple(needs),
                tuple(one for one in after if one not in taken),
                place > 0 and draw(st.integers(0, 3)) == 3,
                join,
                bool(needs) and draw(st.integers(0, 3)) == 3,
                draw(st.integers(0, 4)) == 4,
                draw(st.sampled_from(("fail", "skip", "continue"))),
                draw(st.lists(turns, max_size=2).map(tuple)),
            )
        )
    return tuple(made)


class Gate:
    """Where every activation waits until it is let through."""

    def __init__(self) -> None:
        self.waiting: list[asyncio.Future[None]] = []

    async def __call__(self) -> None:
        released: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.waiting.append(released)
        try:
            await released
        finally:
            self.waiting.remove(released)


def build(plans: tuple[Plan, ...], gate: Gate) -> Graph:
    """Return the graph of the plans."""
    graph = Graph("law")
    names = [f"n{place}" for place in range(len(plans))]

    async def extra(ctx: Context) -> str:
        await gate()
        return str(ctx.step)

    graph.register(extra, name="extra")
    for place, plan in enumerate(plans):
        options: dict[str, Any] = {
            "after": [names[one] for one in plan.after],
            "start": not plan.on_call,
            "output": plan.output,
            "on_failure": Continue("instead") if plan.policy == "continue" else plan.policy,
        }
        if plan.join:
            options["join"] = plan.join
        if plan.asks:
            options["when"] = _function("when", plan, _likes)
        graph.add_node(
            names[place], _function("work", plan, _working(plan, names, gate)), **options
        )
    return graph


def _function(kind: str, plan: Plan, does: Callable[..., Any]) -> Callable[..., Any]:
    # Nodes are bound by the names of their parameters, so a function of a random shape has to be written.
    needs = sorted(plan.needs, key=lambda need: need[1])
    named = [
        f"n{need}=None" if optional or kind == "when" else f"n{need}" for need, optional in needs
    ]
    given = ", ".join(f"n{need}=n{need}" for need, _ in needs)
    scope: dict[str, Any] = {"does": does}
    if kind == "when":
        exec(f"def made({', '.join(named)}):\n return does({given})", scope)
    else:
        exec(
            f"async def made({', '.join(['ctx', *named])}):\n return await does(ctx, {given})",
            scope,
        )
    made: Callable[..., Any] = scope["made"]
    return made


def _likes(**values: str | None) -> bool:
    return sum(len(value) for value in values.values() if value) % 3 > 0


def _working(plan: Plan, names: list[str], gate: Gate) -> Callable[..., Any]:
    async def work(ctx: Context, **values: str | None) -> str:
        number = int(ctx.step.rpartition("#")[2])
        turn = plan.turns[number - 1] if number <= len(plan.turns) else Turn()
        await gate()
        for place in turn.adds:
            with suppress(TopologyError):
                ctx.add_node(
                    f"x-{ctx.step.replace('#', '-')}", "extra", after=[names[place % len(names)]]
                )
        if turn.edge is not None:
            source, target = (names[place % len(names)] for place in turn.edge)
            with suppress(TopologyError):
                ctx.add_edge(source, target)
        for verb, targets in ((ctx.goto, turn.goto), (ctx.trigger, turn.trigger)):
            for place in targets:
                with suppress(TopologyError):
                    verb(names[place % len(names)])
        if turn.fails:
            raise ValueError("as planned")
        return f"{ctx.step}({' '.join(value or '-' for value in values.values())})"[:60]

    return work


class Play:
    """One run that is let through step by step, crashed, resumed and perhaps cancelled."""

    def __init__(self, plans: tuple[Plan, ...], *, forgetful: bool) -> None:
        self.plans = plans
        self.forgetful = forgetful
        self.store = MemoryStore()
        self.gate = Gate()
        self.power = Power()
        self.engine: Engine | None = None

    async def live(self) -> None:
        self.power, self.gate = Power(), Gate()
        store = PoweredStore(self.store, self.power)
        engine = Engine(store, recover=False, lease=1e-9, always_replay=self.forgetful)
        self.engine = await engine.__aenter__()
        graph = build(self.plans, self.gate)
        await self.engine.start(graph, run_id=RUN, limits=Limits(activations=MOST))
        await self.settle()

    async def crash(self) -> None:
        self.power.dead = True
        current = asyncio.current_task()
        dead = [task for task in asyncio.all_tasks() if task is not current]
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        self.engine = None

    async def settle(self) -> None:
        """Let the loop turn until nothing changes any more."""
        quiet, before = 0, (-1, 0)
        while quiet < 12:
            head = await self.store.head(RUN)
            now = (head.seq if head else 0, len(self.gate.waiting))
            quiet = quiet + 1 if now == before else 0
            before = now
            await asyncio.sleep(0)

    async def step(self, choice: int) -> None:
        """Let one activation through, or all, or end the process."""
        if choice == 99:
            await self.crash()
            await self.live()
        elif choice == 98:
            for released in tuple(self.gate.waiting):
                released.set_result(None)
        elif self.gate.waiting:
            self.gate.waiting[choice % len(self.gate.waiting)].set_result(None)
        await self.settle()

    async def end(self, *, cancel: bool) -> str:
        """Let everything through that comes, and return how the run ended."""
        assert self.engine is not None
        run = self.engine.run(RUN)
        if cancel:
            await run.cancel(wait=False)
        for _ in range(MOST + 10):
            state = fold_run(await self.events())
            if state.over:
                break
            await self.step(0)
        with suppress(RunFailedError, RunCancelledError):
            await asyncio.wait_for(_awaited(run), 10)
        assert self.gate.waiting == []
        await self.engine.__aexit__(None, None, None)
        return fold_run(await self.events()).status

    async def events(self) -> list[Event]:
        return [event async for event in self.store.read(RUN)]


async def _awaited(run: Any) -> Any:
    return await run


steps = st.lists(
    st.one_of(st.integers(0, 5), st.integers(0, 5), st.just(98), st.just(99)), max_size=14
).map(tuple)


async def check(
    plans: tuple[Plan, ...], steps: tuple[int, ...], *, forgetful: bool, cancel: bool
) -> None:
    play = Play(plans, forgetful=forgetful)
    await play.live()
    for choice in steps:
        await play.step(choice)
    status = await play.end(cancel=cancel)
    events = await play.events()
    reference = Reference()
    reference.read(events)
    assert status in ({"completed", "failed", "cancelled"} if cancel else {"completed", "failed"})
    for cut in {len(events) // 3, len(events) // 2, len(events) - 1}:
        assert fold_run(events[cut:], fold_run(events[:cut])) == fold_run(events)
        _restored_at(events, cut)


def _restored_at(events: list[Event], cut: int) -> None:
    """A state that was kept as a snapshot goes on as the one that was not."""
    whole = fold_run(events[:cut])
    body = dump(whole)
    if body is None:
        return
    state = restore(body)
    assert state is not None
    for event in events[cut:]:
        fold_run((event,), state)
        fold_run((event,), whole)
        for name in (
            "pending",
            "ready",
            "called",
            "doomed",
            "losers",
            "crowded",
            "met",
            "bypassed",
        ):
            assert getattr(state, name) == getattr(whole, name), name
        assert list(state.pending) == list(whole.pending)


CALLED_AND_GIVEN_UP = (
    Plan(turns=(Turn(trigger=(0,)), Turn(trigger=(1,)))),
    Plan(),
    Plan(needs=((0, False),)),
    Plan(needs=((0, True), (1, True)), join=1),
)
"""A node is called by what makes the join ready that gives it up."""

COMES_ANEW_BEFORE_A_JOIN = (
    Plan(),
    Plan(turns=(Turn(trigger=(0,)),)),
    Plan(needs=((0, True), (1, True)), join=2),
)
"""A node that counted for a join is called before the join has enough."""

AGAIN_BESIDE_A_JOIN = (
    Plan(),
    Plan(needs=((0, False),)),
    Plan(needs=((0, True), (1, True)), join=1),
    Plan(needs=((1, False),), turns=(Turn(trigger=(0,)),)),
)
"""In the second round a join has enough while the other node it waits for begins anew."""

LAW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAW
@given(plans(), steps, st.booleans(), st.integers(0, 5).map(lambda n: n == 5))
@example((Plan(turns=(Turn(goto=(0,)),)),), (99, 0, 99), False, False)
@example(CALLED_AND_GIVEN_UP, (), False, False)
@example(COMES_ANEW_BEFORE_A_JOIN, (), False, False)
@example(AGAIN_BESIDE_A_JOIN, (), False, False)
def test_control_goes_where_the_slow_reader_says(
    plans: tuple[Plan, ...], steps: tuple[int, ...], forgetful: bool, cancel: bool
) -> None:
    asyncio.run(check(plans, steps, forgetful=forgetful, cancel=cancel))


@pytest.mark.soak
@pytest.mark.timeout(1800)
@settings(LAW, max_examples=5000, derandomize=False)
@given(plans(), steps, st.booleans(), st.integers(0, 5).map(lambda n: n == 5))
def test_control_goes_where_the_slow_reader_says_for_long(
    plans: tuple[Plan, ...], steps: tuple[int, ...], forgetful: bool, cancel: bool
) -> None:
    asyncio.run(check(plans, steps, forgetful=forgetful, cancel=cancel))
