"""`midstream cost --runs QUERY`: what many runs cost together, by run, graph, model, node or tag."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any

from midstream.cli.columns import put_columns
from midstream.cli.exits import OK
from midstream.cli.opening import reading
from midstream.cli.output import put_json, say
from midstream.cli.progress import progress
from midstream.cli.settings import SETTINGS
from midstream.engine.debugging.finding import find_runs, query_of
from midstream.errors import ConfigError
from midstream.events.paging import pages
from midstream.events.store import EventStore, RunInfo
from midstream.projections.fold import fold
from midstream.projections.usage import USAGE, Tally, UsageState

BY = ("run", "graph", "model", "node")
"""What costs are summed by; also `tag.KEY`."""

_NUMBERS = frozenset(("RUNS", "CALLS", "TOKENS", "COST"))


class _Sum:
    """What several runs cost that have something in common."""

    def __init__(self) -> None:
        self.runs = 0
        self.tally = Tally()

    def add(self, tally: Tally) -> None:
        mine = self.tally
        self.runs += 1
        mine.calls += tally.calls
        mine.failed += tally.failed
        mine.input_tokens += tally.input_tokens
        mine.output_tokens += tally.output_tokens
        mine.cost += tally.cost
        mine.unpriced += tally.unpriced


async def cost_of_runs(query: str, by: str) -> int:
    """Say what runs cost together, the dearest first; a fork has its own calls only, not those of its parent.

    Args:
        query: Which runs; empty for all.
        by: `run`, `graph`, `model`, `node` or `tag.KEY`.

    Raises:
        ConfigError: There is no such way to sum.
    """
    if by not in BY and not (by.startswith("tag.") and by[4:]):
        raise ConfigError(f"--by {by!r} is none of {', '.join(BY)} or tag.KEY")
    sums: dict[str, _Sum] = {}
    total = _Sum()
    async with reading() as store:
        found = await find_runs(store, query_of(query), now=time.time())
        with progress("reading", len(found)) as advance:
            for info, _ in found:
                used = await _used(store, info)
                total.add(used.total)
                for key, tally in _keyed(by, info, used):
                    sums.setdefault(key, _Sum()).add(tally)
                advance(1)
    dearest = dict(sorted(sums.items(), key=lambda one: (-one[1].tally.cost, one[0])))
    _put(by, dearest, total)
    return OK


async def _used(store: EventStore, info: RunInfo) -> UsageState:
    """Fold what a run itself recorded; of the events that it shares with its parent, only who was asked."""
    used = UsageState()
    async for page in pages(store, info.run_id, to=info.seq):
        mine = (
            event
            for event in page
            if event.run_id == info.run_id or event.type == "model.requested"
        )
        fold(USAGE, mine, used)
    return used


def _keyed(by: str, info: RunInfo, used: UsageState) -> Iterator[tuple[str, Tally]]:
    match by:
        case "run":
            yield info.run_id, used.total
        case "graph":
            yield info.graph, used.total
        case "model":
            yield from used.by_model.items()
        case "node":
            yield from ((f"{info.graph}: {node}", tally) for node, tally in used.by_node.items())
        case _:
            yield info.tags.get(by.removeprefix("tag."), ""), used.total


def _put(by: str, sums: Mapping[str, _Sum], total: _Sum) -> None:
    if SETTINGS.get().as_json:
        for key, one in sums.items():
            put_json({"by": by, "key": key, **_row(one)})
        put_json({"by": "total", "key": "", **_row(total)})
    elif not total.runs:
        say("no such runs")
    else:
        titles = (by.upper(), "RUNS", "CALLS", "TOKENS", "COST")
        rows = [(key or "none", *_cells(one)) for key, one in sums.items()]
        put_columns(titles, [*rows, ("total", *_cells(total))], _NUMBERS)


def _row(one: _Sum) -> dict[str, Any]:
    tally = one.tally
    return {
        "runs": one.runs,
        "calls": tally.calls,
        "failed": tally.failed,
        "input_tokens": tally.input_tokens,
        "output_tokens": tally.output_tokens,
        "cost": tally.cost,
        "unpriced": tally.unpriced,
    }


def _cells(one: _Sum) -> tuple[str, ...]:
    tally = one.tally
    unpriced = f" +{tally.unpriced}?" if tally.unpriced else ""
    tokens = tally.input_tokens + tally.output_tokens
    return str(one.runs), str(tally.calls), str(tokens), f"${tally.cost:.4f}{unpriced}"
