"""The law of nesting: a graph with graphs inside comes to what the same graph, written flat, comes to, whenever it dies."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from midstream import Context, Engine, Event, Graph, Retry
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.store import Snapshot
from midstream.projections.run_snapshot import NAME, dump, restore
from midstream.projections.run_state import fold_run
from tests.durability.power import Power, PoweredStore
from tests.engine.stage import JumpingClock

RUN = RunId("r")
OFTEN = Retry(attempts=30, delay=0.0, on=frozenset({"ConnectionError"}))


@dataclass(frozen=True)
class Leaf:
    """A node that joins what it takes: the places of earlier items beside it, or of inputs of its graph."""

    takes: tuple[int, ...] = ()
    inputs: tuple[int, ...] = ()
    turns: int = 0
    flaky: bool = False


@dataclass(frozen=True)
class Group:
    """A node that runs a graph of items; its inputs are those earlier items beside it, its output the last item's."""

    items: tuple[Item, ...]
    takes: tuple[int, ...] = ()


Item = Leaf | Group


@st.composite
def items(draw: st.DrawFn, depth: int = 2, inputs: int = 0) -> tuple[Item, ...]:
    """Draw the items of a graph that has so many inputs, with groups so deep in it."""
    made: list[Item] = []
    for place in range(draw(st.integers(1, 3))):
        earlier = st.lists(st.integers(0, place - 1), max_size=2, unique=True) if place else None
        takes = tuple(draw(earlier)) if earlier is not None else ()
        if depth and draw(st.booleans()):
            made.append(Group(draw(items(depth - 1, len(takes))), takes))
            continue
        of_inputs = st.lists(st.integers(0, inputs - 1), max_size=2, unique=True)
        given_ = tuple(draw(of_inputs)) if inputs else ()
        turns, flaky = draw(st.integers(0, 3)), depth < 2 and draw(st.integers(0, 3)) == 3
        made.append(Leaf(takes, given_, turns, flaky))
    return tuple(made)


def leaf(label: str, names: Sequence[str], item: Leaf, *, flaky: bool) -> Callable[..., Any]:
    """Return a function with parameters of these names."""

    async def does(ctx: Context, *values: str) -> str:
        for _ in range(item.turns):
            await asyncio.sleep(0)
        drawn = await ctx.random()  # a record inside, which another driver finds
        if flaky and ctx.attempt == 1:
            raise ConnectionError("not yet")
        assert 0 <= drawn < 1
        return f"{label}({' '.join(values)})"

    # Nodes are bound by the names of their parameters, so a function of a random shape has to be written.
    scope: dict[str, Any] = {"does": does}
    given_ = ", ".join(["ctx", *names])
    exec(f"async def made({given_}):\n return await does({given_})", scope)
    made: Callable[..., Any] = scope["made"]
    return made


def nested(plan: Sequence[Item], name: str = "law", label: str = "") -> Graph:
    """Return the graph with graphs inside."""
    graph = Graph(name)
    for place, item in enumerate(plan):
        own = f"{label}{place}"
        output = place == len(plan) - 1
        if isinstance(item, Leaf):
            names = [f"n{one}" for one in item.takes] + [f"in{one}" for one in item.inputs]
            function = leaf(own, names, item, flaky=item.flaky)
            graph.add_node(f"n{place}", function, output=output)
        else:
            inner = nested(item.items, f"{name}-{place}", f"{own}.")
            used = set(inner.input_names)
            take = {f"in{i}": f"n{one}" for i, one in enumerate(item.takes) if f"in{i}" in used}
            after = [f"n{one}" for one in item.takes]
            graph.subgraph(f"n{place}", inner, take=take, after=after, retry=OFTEN, output=output)
    return graph


def flat(plan: Sequence[Item]) -> Graph:
    """Return the same graph without any graph inside."""
    graph = Graph("flat")
    last = _flattened(graph, plan, "", {})
    graph.add_node("out", _itself, take={"value": last}, output=True)
    return graph


def _itself(value: str) -> str:
    return value


def _flattened(graph: Graph, plan: Sequence[Item], label: str, inputs: Mapping[int, str]) -> str:
    """Add the items to the graph, and return the node that has the output of the last one."""
    made: list[str] = []
    for place, item in enumerate(plan):
        own = f"{label}{place}"
        if isinstance(item, Leaf):
            name = f"n{own.replace('.', '_')}"
            sources = [made[one] for one in item.takes] + [inputs[one] for one in item.inputs]
            names = [f"p{i}" for i in range(len(sources))]
            function = leaf(own, names, item, flaky=False)
            graph.add_node(name, function, take=dict(zip(names, sources, strict=True)))
            made.append(name)
        else:
            given_ = {i: made[one] for i, one in enumerate(item.takes)}
            made.append(_flattened(graph, item.items, f"{own}.", given_))
    return made[-1]


async def played(
    graph: Callable[[], Graph], cuts: Sequence[int], mode: str = ""
) -> tuple[Any, list[Event]]:
    """Drive a run whose process ends at these moments, one after the other, and return its output and its log.

    Args:
        graph: Makes its graph.
        cuts: The moments.
        mode: `forgetful` for a state that is dropped after each append; `kept` where each process but the first finds a
            snapshot of a third of the log before.
    """
    store = MemoryStore()
    for cut in (*cuts, -1):
        power = Power(partial(_is_at, cut))
        engine = Engine(
            PoweredStore(store, power),
            recover=False,
            lease=1e-9,
            always_replay=mode == "forgetful",
            clock=JumpingClock(),
        )
        await engine.__aenter__()
        waits = {
            asyncio.ensure_future(power.died.wait()),
            asyncio.ensure_future(_ended(engine, graph())),
        }
        done, _ = await asyncio.wait(waits, timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, "the run hangs"
        power.dead = True
        current = asyncio.current_task()
        rest = [task for task in asyncio.all_tasks() if task is not current]
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)
        if mode == "kept" and await store.head(RUN) is not None:
            await _keep(store)
    events = [event async for event in store.read(RUN)]
    return fold_run(events).output, events


async def _keep(store: MemoryStore) -> None:
    events = [event async for event in store.read(RUN)]
    last = events[2 * len(events) // 3 - 1] if len(events) > 1 else events[0]
    body = dump(fold_run(events[: last.seq]))
    assert body is not None
    await store.save_snapshot(RUN, NAME, Snapshot(last.seq, last.digest, body))


def _is_at(cut: int, _name: str, place: int) -> bool:
    return place == cut


async def _ended(engine: Engine, graph: Graph) -> None:
    try:
        await (await engine.start(graph, run_id=RUN))
    except asyncio.CancelledError:
        raise
    except BaseException:  # noqa: BLE001  # of a process that has ended: whatever it says, nobody hears it
        await asyncio.Event().wait()


FLAKY_INSIDE_TWO = (
    Leaf(),
    Group((Leaf((), (0,)), Group((Leaf((), (), 0, flaky=True),), (0,))), (0,)),
)


BROKEN_OFF = (
    Group((Leaf(flaky=True), Group((Leaf(turns=1), Leaf(takes=(0,)))), Leaf(takes=(1,)))),
)
"""A graph is under way where one beside it fails, and goes on when the graph around both is tried again."""


@pytest.mark.parametrize("mode", ["", "forgetful", "kept"])
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(items(), st.lists(st.integers(0, 30), max_size=3))
@example(FLAKY_INSIDE_TWO, [9, 5, 3])
@example(BROKEN_OFF, [])
def test_a_graph_with_graphs_inside_is_the_same_graph_written_flat(
    mode: str,  # a case
    plan: tuple[Item, ...],
    cuts: list[int],
) -> None:
    wanted, _ = asyncio.run(played(lambda: flat(plan), ()))
    output, events = asyncio.run(played(lambda: nested(plan), cuts, mode))
    assert output == wanted
    ended = [str(e.address) for e in events if e.type == "node.completed"]
    assert len(ended) == len(set(ended))
    state = fold_run(events)
    assert state.status == "completed"
    assert (state.scopes, state.active, state.idle) == ({}, {}, {})
    for cut in {len(events) // 3, len(events) // 2, len(events) - 1}:
        assert fold_run(events[cut:], fold_run(events[:cut])) == state
        kept = restore(dump(fold_run(events[:cut])) or b"")
        assert kept is not None
        assert fold_run(events[cut:], kept).output == output
