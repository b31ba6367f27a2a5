"""The law of control flow: whatever graph, whatever happens, the log is one that the slow reader finds nothing wrong with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midstream import Engine, Event, Limits
from midstream.engine.graphs.decide import decide
from midstream.errors import RunCancelledError, RunFailedError
from midstream.events.ids import RunId, activation_of
from midstream.events.memory import MemoryStore
from midstream.events.store import Snapshot
from midstream.projections.run_snapshot import NAME, dump, restore
from midstream.projections.run_state import RunState, fold_run
from tests.durability.flow_plans import Brief, Gate, Spot, Turn, build, child, joined, sizes, spots
from tests.durability.flow_reading import Reference
from tests.durability.power import Power, PowerCut, PoweredStore

RUN = RunId("r")
OUTPUT = 6
"""Where the output of an activation is in a snapshot."""
CRASH, ALL, CANCEL = 99, 98, 97
HANGS = 20
"""Seconds after which a run that does nothing hangs."""


@dataclass(frozen=True, repr=False)
class Fate(Brief):
    """What happens to a run.

    Attributes:
        steps: Which activation is let through next, or all, or the process ends, or the run is cancelled.
        cuts: At which moment around an append each process ends.
        cancels: At which such moment of the first process the run is cancelled, or -1.
        ends: How it is once the steps are over: `cancel` for one that is cancelled then.
        forgetful: All state is dropped after each append.
        most: So many activations it may have.
        kept: Each process but the first finds a snapshot of the run as it stood so many events before, or none where that is 0.
        selects: The store can leave events out, so that the run is loaded without the calls that nobody needs.
    """

    steps: tuple[int, ...] = ()
    cuts: tuple[int, ...] = ()
    cancels: int = -1
    ends: str = ""
    forgetful: bool = False
    most: int = 300
    kept: int = 0
    selects: bool = False


fates = st.builds(
    Fate,
    st.lists(
        st.one_of(
            st.integers(0, 5), st.integers(0, 5), st.sampled_from((ALL, CRASH, CRASH, CANCEL))
        ),
        max_size=14,
    ).map(tuple),
    st.lists(st.integers(2, 60), max_size=3).map(tuple),
    st.one_of(st.just(-1), st.just(-1), st.integers(2, 60)),
    st.sampled_from(("", "", "", "", "cancel")),
    st.booleans(),
    st.sampled_from((300, 300, 300, 12)),
    st.one_of(st.just(0), st.integers(1, 40)),
    st.booleans(),
)


class SelectiveStore(PoweredStore):
    """What one process sees of a store that is `Selective`."""

    async def select(
        self,
        run_id: RunId,
        *,
        after: int = 0,
        to: int | None = None,
        without: frozenset[str],
        within: Sequence[str] | None = None,
        bare: frozenset[str] = frozenset(),
    ) -> AsyncIterator[Sequence[Event]]:
        page: list[Event] = []
        async for event in self.read(run_id, after=after, to=to):
            wanted = within is None or activation_of(event.address or "") in within
            if wanted and (event.type in without) == (within is not None):
                page.append(event)
        yield page


class Play:
    """One run that is let through step by step, crashed, resumed and perhaps cancelled."""

    def __init__(self, plan: Sequence[Spot], fate: Fate) -> None:
        self.plan = plan
        self.fate = fate
        self.store = MemoryStore()
        self.gate = Gate()
        self.power = Power()
        self.lives = 0
        self.cancelled = False
        self.cancelling: asyncio.Future[None] | None = None
        self.engine: Engine | None = None

    async def live(self) -> None:
        """Begin a process, and another one if that has ended."""
        while True:
            await self._live()
            if not self.power.dead:
                return
            await self.crash()

    async def _live(self) -> None:
        self.power, self.gate = Power(self._cut), Gate()
        self.lives += 1
        kind = SelectiveStore if self.fate.selects else PoweredStore
        store = kind(self.store, self.power)
        runs = child(self.gate)
        engine = Engine(
            store, graphs=[runs], recover=False, lease=1e-9, always_replay=self.fate.forgetful
        )
        self.engine = await engine.__aenter__()
        graph = build(self.plan, self.gate, runs=runs)
        start = engine.start(graph, run_id=RUN, limits=Limits(activations=self.fate.most))
        await self._unless_dead(start)
        await self.settle()

    def _cut(self, _: str, place: int) -> bool:
        if self.lives == 1 and place == self.fate.cancels:
            self.cancelling = asyncio.ensure_future(self.cancel())
        return self.lives <= len(self.fate.cuts) and place == self.fate.cuts[self.lives - 1]

    async def cancel(self) -> None:
        self.cancelled = True
        assert self.engine is not None
        await self._unless_dead(self.engine.run(RUN).cancel(wait=False))

    async def _unless_dead(self, job: Coroutine[Any, Any, Any]) -> None:
        task, died = asyncio.ensure_future(job), asyncio.ensure_future(self.power.died.wait())
        await asyncio.wait((task, died), timeout=HANGS, return_when=asyncio.FIRST_COMPLETED)
        died.cancel()
        if not self.power.dead:
            assert task.done(), "it hangs"
            task.result()

    async def crash(self) -> None:
        self.power.dead = True
        current = asyncio.current_task()
        dead = [task for task in asyncio.all_tasks() if task is not current]
        for task in dead:
            task.cancel()
        await asyncio.gather(*dead, return_exceptions=True)
        self.engine = None
        await self._keep()

    async def _keep(self) -> None:
        """Leave a snapshot for the next process."""
        events = await self.events() if self.fate.kept and await self.store.head(RUN) else []
        if len(events) > self.fate.kept:
            last = events[-self.fate.kept]
            body = dump(fold_run(events[: last.seq]))
            if body is not None:
                await self.store.save_snapshot(RUN, NAME, Snapshot(last.seq, last.digest, body))

    async def settle(self) -> None:
        """Let the loop turn until nothing changes any more."""
        quiet, before = 0, (-1, 0)
        while quiet < 12 and not self.power.dead:
            head = await self.store.head(RUN)
            now = (head.seq if head else 0, len(self.gate.waiting))
            quiet = quiet + 1 if now == before else 0
            before = now
            await asyncio.sleep(0)

    async def step(self, choice: int) -> None:
        """Let one activation through, or all, or end the process, or cancel the run."""
        if choice == CRASH:
            self.power.dead = True
        elif choice == CANCEL:
            await self.cancel()
        elif choice == ALL:
            for released in tuple(self.gate.waiting):
                released.set_result(None)
        elif self.gate.waiting:
            self.gate.waiting[choice % len(self.gate.waiting)].set_result(None)
        await self.settle()
        if self.power.dead:
            await self.crash()
            await self.live()

    async def end(self) -> None:
        """Let everything through that comes, until the run has ended."""
        if self.fate.ends:
            await self.step(CANCEL)
        for _ in range(2 * self.fate.most + 10):
            if fold_run(await self.events()).over:
                break
            await self.step(0)
        while not await self._closed():
            await self.crash()
            await self.live()
        assert self.gate.waiting == []

    async def _closed(self) -> bool:
        """Wait for the run and leave its process, unless that ends first."""
        assert self.engine is not None
        with suppress(RunFailedError, RunCancelledError):
            await self._unless_dead(_awaited(self.engine.run(RUN)))
        if not self.power.dead:
            await self._unless_dead(self.engine.__aexit__(None, None, None))
        return not self.power.dead

    async def events(self, run_id: RunId = RUN) -> list[Event]:
        return [event async for event in self.store.read(run_id)]


async def _awaited(run: Any) -> Any:
    return await run


def _tell(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Pass over what a process that has ended leaves behind."""
    if not isinstance(context.get("exception"), PowerCut):
        loop.default_exception_handler(context)


async def check(plan: Sequence[Spot], fate: Fate) -> None:
    asyncio.get_running_loop().set_exception_handler(_tell)
    play = Play(plan, fate)
    await play.live()
    for choice in fate.steps:
        await play.step(choice)
    await play.end()
    events = await play.events()
    Reference(sizes(plan).__getitem__, joined).read(events)
    assert fold_run(events).status in ("completed", "failed", *["cancelled"] * play.cancelled)
    await _children_have_ended(play, events)
    for cut in {len(events) // 3, len(events) // 2, len(events) - 1}:
        assert fold_run(events[cut:], fold_run(events[:cut])) == fold_run(events)
        _restored_at(events, cut)


async def _children_have_ended(play: Play, events: Sequence[Event]) -> None:
    for event in events:
        if event.type != "subrun.requested" or event.data.get("close", "wait") == "abandon":
            continue
        child = RunId(event.data["run"])
        if await play.store.head(child) is not None:  # it was started before its parent ended
            assert fold_run(await play.events(child)).over


def _restored_at(events: list[Event], cut: int) -> None:
    """A state that was kept as a snapshot goes on as the one that was not."""
    whole = fold_run(events[:cut])
    body = dump(whole)
    if body is None:
        return
    state = restore(body)
    assert state is not None
    for event in events[cut:]:
        assert _where(state) == _where(whole)
        assert decide(state) == decide(whole)
        fold_run((event,), state)
        fold_run((event,), whole)
    ours, theirs = (orjson.loads(dump(one) or b"{}") for one in (state, whole))
    for mine, other in zip(ours.pop("activations", ()), theirs.pop("activations", ()), strict=True):
        assert mine == [*other[:OUTPUT], mine[OUTPUT], *other[OUTPUT + 1 :]]
        assert mine[OUTPUT] in (
            other[OUTPUT],
            [],
        )  # what the first snapshot left out, the second does
    assert ours == theirs
    if whole.status == "completed":
        assert state.output == whole.output


def _where(state: RunState) -> list[Any]:
    """Return where control is in a run and in each graph inside it, with the order in which it came there."""
    found: list[Any] = [[*state.active], [*state.idle], state.items, state.going, state.locals]
    for here in (state, *state.scopes.values()):
        found += [[*here.pending.items()], [*here.ready], [*here.called.items()], [*here.doomed]]
        found += [[*here.running], [*here.waiting], [*here.losers], [*here.inner]]
        found += [here.crowded, here.met, here.bypassed, here.irregular, here.failures]
        found += [here.scope, here.graph, here.live, here.undoes, [*here.topology.nodes]]
        found += [{node: (one.address, one.status) for node, one in here.latest.items()}]
    return found


CALLED_AND_GIVEN_UP = (
    Spot(turns=(Turn(trigger=(0,)), Turn(trigger=(1,)))),
    Spot(),
    Spot(needs=((0, False),)),
    Spot(needs=((0, True), (1, True)), join=1),
)
"""A node is called by what makes the join ready that gives it up."""

COMES_ANEW_BEFORE_A_JOIN = (
    Spot(),
    Spot(turns=(Turn(trigger=(0,)),)),
    Spot(needs=((0, True), (1, True)), join=2),
)
"""A node that counted for a join is called before the join has enough."""

AGAIN_BESIDE_A_JOIN = (
    Spot(),
    Spot(needs=((0, False),)),
    Spot(needs=((0, True), (1, True)), join=1),
    Spot(needs=((1, False),), turns=(Turn(trigger=(0,)),)),
)
"""In the second round a join has enough while the other node it waits for begins anew."""

AT_THE_LIMIT = (Spot(turns=(Turn(goto=(0, 0)),)), Spot(items=2))
"""Items of a map are under way when the run comes up against its limit: they end with the map."""

CANCELLED_FIRST = (Spot(turns=(Turn(starts="cancel"),), items=3, together=2),)
"""A run is cancelled, and its process ends, between the intent to start a run and its start."""

GIVEN_UP_AT_ONCE = (
    Spot(),
    Spot(needs=((0, True),), inner=(Spot(),)),
    Spot(needs=((0, True),), items=0),
    Spot(needs=((1, True), (2, True)), join=1),
)
"""A graph is given up after what is in it was scheduled, and before that was begun."""

UNDER_WAY_IN_A_FAILING_RUN = (Spot(items=2), Spot(turns=(Turn(fails=9),)))
"""A process ends in a run that fails, while items of a map have not settled."""

FAILED_INSIDE = (Spot(tries=True, inner=(Spot(turns=(Turn(fails=1),)),)),)
"""What failed inside is tried again with what it is in, and finds what it had recorded."""

ADDED_AFTER_WHAT_WAS_LEFT_OUT = (
    Spot(),
    Spot(after=(0,), turns=(Turn(adds=(0,)),)),
    Spot(turns=(Turn(fails=1),)),
)
"""A node is added that waits for one whose output the snapshot had left out, and another snapshot is made."""

LAW = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


@LAW
@given(spots(), fates)
@example((Spot(turns=(Turn(goto=(0,)),)),), Fate(steps=(99, 0, 99)))
@example(CALLED_AND_GIVEN_UP, Fate())
@example(COMES_ANEW_BEFORE_A_JOIN, Fate())
@example(AGAIN_BESIDE_A_JOIN, Fate())
@example(AT_THE_LIMIT, Fate(most=4))
@example(CANCELLED_FIRST, Fate(cancels=9))
@example(CANCELLED_FIRST, Fate(cuts=(19,), cancels=9, forgetful=True))
@example(GIVEN_UP_AT_ONCE, Fate())
@example(UNDER_WAY_IN_A_FAILING_RUN, Fate(steps=(0, CRASH)))
@example(ADDED_AFTER_WHAT_WAS_LEFT_OUT, Fate())
@example(FAILED_INSIDE, Fate(steps=(0, CRASH), kept=3))
@example(FAILED_INSIDE, Fate(steps=(0,), cuts=(8,), selects=True))
def test_control_goes_where_the_slow_reader_says(plan: tuple[Spot, ...], fate: Fate) -> None:
    asyncio.run(check(plan, fate))


@pytest.mark.soak
@pytest.mark.timeout(3600)
@settings(LAW, max_examples=5000, derandomize=False)
@given(spots(), fates)
def test_control_goes_where_the_slow_reader_says_for_long(
    plan: tuple[Spot, ...], fate: Fate
) -> None:
    asyncio.run(check(plan, fate))
