"""The list of runs, its conditions, and finding steps and orphans."""

# The tests' names are their docstrings.
# ruff: noqa: D102

from __future__ import annotations

from typing import Any

import pytest

from midstream.errors import RunNotFoundError
from midstream.events.codec import INLINE, encode
from midstream.events.ids import Address, RunId
from midstream.events.payloads import (
    NodeStarted,
    NoteAdded,
    RunCancelled,
    RunCompleted,
    RunContinued,
    RunFailed,
    RunPaused,
)
from midstream.events.store import EventStore, RunQuery
from midstream.events.system import opening
from midstream.testing.contract.promises import Promises
from midstream.testing.contract.stage import NOBODY, NOW, OTHER, RUN, created, created_end, note


class Listing(Promises):
    """The list of runs, its conditions, and finding steps and orphans."""

    async def test_runs_are_listed_the_newest_first(self, store: EventStore) -> None:
        for number in range(5):
            await store.append(RunId(f"r{number}"), [created(at=number), note()], expected=0)
        infos = await store.runs()
        assert [info.run_id for info in infos] == ["r4", "r3", "r2", "r1", "r0"]
        assert [info.created_at for info in infos] == [4, 3, 2, 1, 0]
        assert {info.seq for info in infos} == {2}
        assert [info.run_id for info in await store.runs(RunQuery(limit=2))] == ["r4", "r3"]
        assert not await store.runs(RunQuery(limit=0))
        assert [info.created_at for info in await store.runs(RunQuery(since=2, until=4))] == [3, 2]

    async def test_the_list_is_narrowed_by_each_condition(self, store: EventStore) -> None:
        await store.append(RunId("a1"), [created("x", owner="alice", team="red")], expected=0)
        await store.append(RunId("a2"), [created("x", owner="bob", team="red")], expected=0)
        await store.append(RunId("b_1"), [created("y", owner="alice")], expected=0)
        await store.append(RunId("b_1"), [created_end()], expected=1)

        async def ids(**query: Any) -> list[str]:
            return [info.run_id for info in await store.runs(RunQuery(**query))]

        assert await ids(graph="x") == ["a2", "a1"]
        assert await ids(tags={"owner": "alice"}) == ["b_1", "a1"]
        assert await ids(tags={"owner": "alice", "team": "red"}) == ["a1"]
        assert await ids(tags={"owner": "al"}) == []
        assert await ids(prefix="b_") == ["b_1"]
        assert await ids(prefix="_") == []
        assert await ids(prefix="%") == []
        assert await ids(status=frozenset(("completed",))) == ["b_1"]
        assert await ids(status=frozenset(("running", "completed")), graph="y") == ["b_1"]
        assert await ids(status=frozenset()) == []

    @pytest.mark.parametrize(
        ("payload", "status"),
        [
            (RunPaused(id="p"), "paused"),
            (RunContinued(id="p"), "running"),
            (RunCompleted(), "completed"),
            (RunFailed(), "failed"),
            (RunCancelled(), "cancelled"),
            (NoteAdded(id="n", data=1), "running"),
        ],
    )
    async def test_the_status_follows_the_events(
        self, store: EventStore, payload: Any, status: str
    ) -> None:
        await store.append(RUN, [created()], expected=0)
        await store.append(RUN, [encode(payload, at=2), note()], expected=1)
        assert [info.status for info in await store.runs()] == [status]

    async def test_the_newest_event_of_a_step_is_found_by_its_address(
        self, store: EventStore
    ) -> None:
        step = Address("plan#1")
        told = [encode(NodeStarted(attempt=place), at=2, address=step) for place in (2, 3)]
        await store.append(RUN, [created(), *told, note()], expected=0)
        await store.append(OTHER, [created(), note(), *told], expected=0)
        assert await store.newest_of(RUN, "plan#1") == 3
        assert await store.newest_of(OTHER, "plan#1") == 4
        assert await store.newest_of(RUN, "plan#") is None
        with pytest.raises(RunNotFoundError):
            await store.newest_of(NOBODY, "plan#1")

    async def test_what_others_recorded_is_found_by_type(self, store: EventStore) -> None:
        others = [
            encode(NoteAdded(id="a", data="x" * (INLINE + 1)), at=2, actor="user:ann"),
            encode(RunPaused(id="b"), at=2, actor="user"),
            note("the engine's"),
            encode(NoteAdded(id="c", data=1), at=2, actor="program"),
        ]
        await store.append(RUN, [created(), *others], expected=0)
        await store.append(OTHER, [created(), others[0]], expected=0)
        found = await store.from_others(RUN, frozenset(("note.added",)))
        assert [(event.seq, event.data["id"]) for event in found] == [(2, "a"), (5, "c")]
        assert found[0].data["data"] == "x" * (INLINE + 1)
        assert await store.from_others(RUN, frozenset(("run.cancelled", "no.such"))) == []
        with pytest.raises(RunNotFoundError):
            await store.from_others(NOBODY, frozenset(("note.added",)))

    async def test_streams_about_many_runs_are_listed_where_they_are_asked_for(
        self, store: EventStore
    ) -> None:
        stream = RunId("system:x")
        await store.append(stream, opening(stream, 1), expected=0)
        await store.append(RUN, [created()], expected=0)
        assert [info.run_id for info in await store.runs()] == [RUN]
        assert [info.run_id for info in await store.runs(RunQuery(prefix="s"))] == []
        assert [info.run_id for info in await store.runs(RunQuery(prefix="system:"))] == [stream]

    async def test_orphans_are_open_runs_without_a_live_driver(self, store: EventStore) -> None:
        await store.beat("alive", until=NOW + 1)
        await store.beat("dead", until=NOW)
        await store.append(RunId("held"), [created()], expected=0, holder="alive")
        await store.append(RunId("late"), [created()], expected=0, holder="dead")
        await store.append(RunId("silent"), [created()], expected=0, holder="never seen")
        await store.append(RunId("free"), [created(), encode(RunPaused(id="p"), at=2)], expected=0)
        await store.append(RunId("ended"), [created(), created_end()], expected=0)
        orphans = await store.runs(RunQuery(orphaned_at=NOW))
        assert {info.run_id for info in orphans} == {"late", "silent", "free"}
        await store.release(RunId("held"), epoch=1)
        assert len(await store.runs(RunQuery(orphaned_at=NOW))) == 4
