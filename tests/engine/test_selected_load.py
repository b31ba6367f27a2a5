"""Loading a run from a store that can leave events out: what driving on needs is there, whatever was left out."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from midstream import Engine, Event, Graph
from midstream.engine.recording import snapshots
from midstream.errors import RunError, RunNotFoundError
from midstream.events.codec import encode
from midstream.events.ids import Address, RunId, activation_of
from midstream.events.payloads import (
    Fact,
    NodeCompleted,
    NodeScheduled,
    RunCreated,
    ToolRequested,
    ToolUnknown,
)
from midstream.events.sqlite import SqliteStore
from midstream.events.store import Selective
from midstream.projections import fold_run
from midstream.projections.run_snapshot import dump
from midstream.projections.run_state import RunState
from tests.projections.logs import eventful, model
from tests.projections.test_run_snapshot import workshop

RUN = RunId("r")


async def recorded(store: SqliteStore, *, asks: bool, fail: bool) -> list[Event]:
    scripts: dict[str, Any] = {"p:m": model, "p:n": ["n"]} if asks else {}
    async with Engine(store, models=scripts) as engine:
        graph, inputs = (
            (eventful(), {"fail": fail}) if asks else (workshop(3, int(fail)), {"size": 2})
        )
        run = await engine.start(graph, run_id=RUN, inputs=inputs)
        with suppress(RunError):
            await run
    return [event async for event in store.read(RUN)]


def whole(events: list[Event]) -> RunState:
    """Return the state of a whole log without the calls of activations that have ended and asked no model."""
    state = fold_run(events)
    asked = {activation_of(call.address) for call in state.calls.values() if call.kind == "model"}
    needed = {*state.running, *state.waiting, *asked}
    state.calls = {a: call for a, call in state.calls.items() if activation_of(a) in needed}
    state.call_keys = {k: v for k, v in state.call_keys.items() if activation_of(k) in needed}
    return state


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("asks", [False, True])
async def test_a_run_is_loaded_as_it_stood_at_each_of_its_events(
    tmp_path: Path, asks: bool, fail: bool
) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        events = await recorded(store, asks=asks, fail=fail)
        assert isinstance(store, Selective)
        for seq in range(1, len(events) + 1):
            found = await snapshots.load_run(store, RUN, upto=seq)
            wanted = whole(events[:seq])
            assert found == wanted
            assert list(found.calls) == list(wanted.calls)
            assert list(found.open_calls) == list(wanted.open_calls)
            assert dump(found) == dump(wanted)


async def test_where_many_calls_are_needed_the_whole_log_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "_MANY", 1)
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        events = await recorded(store, asks=True, fail=False)
        assert await snapshots.load_run(store, RUN) == fold_run(events)


async def test_a_run_that_does_not_exist_cannot_be_loaded(tmp_path: Path) -> None:
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        with pytest.raises(RunNotFoundError):
            await snapshots.load_run(store, RUN)
        with pytest.raises(RunNotFoundError):
            async for _ in store.select(RUN, without=frozenset()):
                pass


@pytest.mark.parametrize("within", [None, ["start#1"], []])
async def test_what_is_selected_and_what_is_left_out_are_the_whole(
    tmp_path: Path, within: list[str] | None
) -> None:
    without = frozenset(("tool.requested", "tool.completed"))
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        events = await recorded(store, asks=False, fail=False)
        found = [
            event
            async for page in store.select(RUN, to=8, without=without, within=within)
            for event in page
        ]
        inside = within or []
        left_out = [event for event in events[:8] if event.type in without]
        assert found == (
            [event for event in events[:8] if event not in left_out]
            if within is None
            else [event for event in left_out if activation_of(event.address or "") in inside]
        )


async def test_a_call_that_can_still_be_settled_is_loaded_though_its_node_has_ended(
    tmp_path: Path,
) -> None:
    graph = Graph("g")

    @graph.node
    async def one() -> int:
        return 1

    call = Address("one#1/tool:pay:0#1")
    requested = ToolRequested(name="pay", arguments={}, key="k")
    facts: list[tuple[Fact, str | None]] = [
        (RunCreated(graph="g", definition=graph.definition, graph_digest=graph.digest), None),
        (NodeScheduled(), "one#1"),
        (requested, call),
        (ToolUnknown(), call),
        (NodeCompleted(output=1), "one#1"),
    ]
    drafts = [
        encode(fact, at=1, address=None if address is None else Address(address))
        for fact, address in facts
    ]
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        await store.append(RUN, drafts, expected=0)
        state = await snapshots.load_run(store, RUN)
        assert state == fold_run([event async for event in store.read(RUN)])
        assert state.calls[call].status == "unknown"


@pytest.mark.parametrize("within", [None, ["start#1"]])
async def test_what_is_selected_may_begin_after_any_event(
    tmp_path: Path, within: list[str] | None
) -> None:
    without = frozenset(("tool.requested", "tool.completed"))
    async with await SqliteStore.open(tmp_path / "a.db") as store:
        events = await recorded(store, asks=False, fail=False)

        async def selected(after: int) -> list[int]:
            pages = store.select(RUN, after=after, without=without, within=within)
            return [event.seq async for page in pages for event in page]

        whole_run = await selected(0)
        for after in range(len(events) + 1):
            assert await selected(after) == [seq for seq in whole_run if seq > after]
