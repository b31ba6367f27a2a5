"""Recorded runs as tests: which ones, and what replaying them comes to."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, TypeVar

import pytest

from midstream.adapters.base import Adapter
from midstream.engine.debugging.replay import ReplayReport, replay_run
from midstream.engine.graphs.graph import Graph
from midstream.engine.providers import Providers
from midstream.errors import ConfigError
from midstream.events.ids import RunId
from midstream.events.store import RunQuery

T = TypeVar("T")

_DAY = 86400.0
_UNITS = {"m": 60.0, "h": 3600.0, "d": _DAY, "w": 7 * _DAY}


@dataclass(frozen=True)
class Wanted:
    """Which runs are replayed, and how.

    Attributes:
        db: The store.
        graph: The code; only runs of its name are replayed.
        runs: Only these; empty for all.
        since: Only runs that began so long ago at most, as in `30d`; empty for all.
        tags: Only runs with all of these.
        strict: See `Run.replay`.
        adapters: Adapters by provider that only render, for providers of your own.
    """

    db: str | PathLike[str]
    graph: Graph = field(kw_only=True)
    runs: Sequence[str] = field(default=(), kw_only=True)
    since: str = field(default="", kw_only=True)
    tags: Mapping[str, str] = field(default_factory=dict[str, str], kw_only=True)
    strict: bool = field(default=True, kw_only=True)
    adapters: Mapping[str, Adapter] = field(default_factory=dict[str, Adapter], kw_only=True)


def midstream_replay(
    db: str | PathLike[str], *, graph: Graph, **options: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test that takes `replayed`: it becomes one test for each recorded run.

    Args:
        db: The store.
        graph: The code.
        **options: See `Wanted`.
    """
    return pytest.mark.midstream_replay(db, graph=graph, **options)


def chosen_runs(wanted: Wanted) -> list[str]:
    """Return the ids of the runs, the oldest first.

    Raises:
        StoreOpenError: There is no such store.
    """
    return alone(_chosen(wanted))


def replayed_run(wanted: Wanted, run_id: str) -> ReplayReport:
    """Return what replaying a run comes to."""
    return alone(_replayed(wanted, RunId(run_id)))


async def _chosen(wanted: Wanted) -> list[str]:
    from midstream.events.sqlite import SqliteStore  # a driver only where it is used

    oldest = (time.time() - _seconds(wanted.since)) * 1e6 if wanted.since else 0.0
    async with await SqliteStore.open(wanted.db, read_only=True) as store:
        found = await store.runs(RunQuery(graph=wanted.graph.name, tags=wanted.tags))
    return [
        info.run_id
        for info in reversed(found)
        if info.created_at >= oldest and (not wanted.runs or info.run_id in wanted.runs)
    ]


async def _replayed(wanted: Wanted, run_id: RunId) -> ReplayReport:
    from midstream.events.sqlite import SqliteStore  # a driver only where it is used

    providers = Providers(dict(wanted.adapters))
    async with await SqliteStore.open(wanted.db, read_only=True) as store:
        return await replay_run(store, run_id, wanted.graph, providers, strict=wanted.strict)


def _seconds(text: str) -> float:
    try:
        return float(text[:-1]) * _UNITS[text[-1:]]
    except (KeyError, ValueError):
        raise ConfigError(
            f"since={text!r} is no span of time; write it as 30m, 12h, 7d or 2w"
        ) from None


def alone(work: Coroutine[Any, Any, T]) -> T:
    """Run something in a loop of its own: a test may have one already."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()
