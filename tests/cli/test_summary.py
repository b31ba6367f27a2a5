"""What `show` reads is less than the log, and comes to the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from midstream.cli.summary import Summary, summarise
from midstream.events.envelope import Draft, Event
from midstream.events.ids import RunId
from midstream.events.memory import MemoryStore
from midstream.events.sqlite import SqliteStore
from midstream.events.store import EventStore, RunQuery
from tests.projections.logs import recorded

from .conftest import Command

RUN = RunId("r")


def drafts(events: tuple[Event, ...]) -> list[Draft]:
    return [Draft(*e.stored, e.at, e.actor, e.cause, e.address, e.body, (), e.data) for e in events]


def told(summary: Summary) -> dict[str, Any]:
    """Return what is shown of a run."""
    state, total = summary.state, summary.usage.total
    return {
        "nodes": summary.nodes,
        "total": total,
        "by_node": summary.usage.by_node,
        "tools": summary.usage.tools,
        "waits": summary.waits_for,
        "unknown": summary.unknown,
        "error": summary.last_error,
        "moves": summary.moves,
        "seq": state.seq,
        "status": state.status,
        "output": state.output,
        "open": {call.address: (call.status, call.request) for call in summary.open_calls},
        "at": (summary.first_at, summary.last_at),
    }


@pytest.mark.parametrize("fail", [False, True])
@pytest.mark.parametrize("kind", ["memory", "sqlite"])
async def test_a_summary_is_the_same_whether_all_is_read_or_what_is_shown(
    tmp_path: Path, kind: str, fail: bool
) -> None:
    log = recorded(fail)
    store: EventStore = MemoryStore()
    if kind == "sqlite":
        store = await SqliteStore.open(tmp_path / "a.db")
    try:
        await store.append(RUN, drafts(log), expected=0)
        (info,) = await store.runs(RunQuery())
        for to in range(1, len(log) + 1):
            less = await summarise(info, store, to=to, now=9e9)
            whole = await summarise(info, store, to=to, now=9e9, whole=True)
            assert told(less) == told(whole), to
    finally:
        await store.close()


def test_of_many_steps_beside_each_other_the_first_and_the_last_are_shown(
    command: Command,
) -> None:
    assert command("start", "tests.cli.graphs:busy", "--run-id", "b", "-q").code == 0
    short, long = command("trace", "b").out, command("trace", "b", "--all").out
    assert "├── … 10 more; --all shows them\n" in short
    assert "more; --all" not in long
    assert len(long.splitlines()) == 52
    assert len(short.splitlines()) == 43
    assert "    └── ✓ work#1/now#50" in short
    assert len(command("--json", "trace", "b").rows) == 51
