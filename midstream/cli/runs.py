"""`midstream runs`: what is in the store, the newest first, or what a query asks for."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, NoReturn

from midstream.cli.columns import Cell, put_columns
from midstream.cli.exits import OK
from midstream.cli.given import tags_of
from midstream.cli.opening import reading
from midstream.cli.output import put, put_json, say
from midstream.cli.progress import progress
from midstream.cli.settings import SETTINGS, command
from midstream.cli.show import MARKS
from midstream.cli.spans import span
from midstream.cli.summary import SOURCE
from midstream.engine.debugging.finding import FoundRun, find_runs, query_of
from midstream.events.ids import RunId
from midstream.events.store import RunInfo
from midstream.projections.query import Query
from midstream.projections.query_fields import FIELDS, ORDERED, SORTS
from midstream.projections.query_match import needs_events
from midstream.projections.run_facts import RunFacts

if TYPE_CHECKING:
    from midstream.events.sqlite import SqliteStore

_AGAIN = 5.0
"""Seconds after which a watched list is made anew though nothing was recorded: ages grow, and drivers go."""

_CALM = 0.2
"""Seconds that a watched list stays at least."""

_CLEAR = "\x1b[H\x1b[2J"
"""What makes a terminal empty."""

_SHORT = 60
_COLUMNS = ("RUN", "GRAPH", "STATUS", "AGE", "EVENTS", "DRIVER", "TAGS")
_READ_COLUMNS = ("MODEL", "TOKENS", "COST", "WAITS FOR")
_RIGHT = frozenset(("EVENTS", "TOKENS", "COST"))


async def list_runs(
    query: str,
    status: str,
    graph: str,
    tags: Sequence[str],
    limit: int,
    *,
    since: str,
    whole: bool,
    watch: bool = False,
) -> int:
    """List runs.

    Args:
        query: What is asked; empty for all.
        status: Only these; empty for all.
        graph: Only of this graph; empty for all.
        tags: Only with all of these, as in `team=blue`.
        limit: At most so many; what the query says goes before it.
        since: Only those that began since then; empty for all.
        whole: Read what is listed.
        watch: List again whenever something was recorded, until the process is interrupted.
    """
    asked = _asked(query, status, graph, tags, limit, since)
    async with reading() as store:
        if watch:
            await _watch(store, asked, whole=whole)
        found = await _find(store, asked, whole=whole)
    if SETTINGS.get().as_json:
        for one in found:
            put_json(_row(one))
    elif found:
        _print(found, time.time())
    else:
        say(f"no such runs; start one with `{command('start', 'MODULE:GRAPH')}`")
    return OK


async def _find(store: SqliteStore, asked: Query, *, whole: bool) -> Sequence[FoundRun]:
    with progress("reading", 100 if needs_events(asked) else 0) as advance:
        shown = 0.0

        def told(done: int, total: int) -> None:
            nonlocal shown
            advance(100 * done / total - shown)
            shown = 100 * done / total

        return await find_runs(store, asked, now=time.time(), read=whole, told=told)


async def _watch(store: SqliteStore, asked: Query, *, whole: bool) -> NoReturn:
    """List runs again and again: on a terminal the whole list in place, else each run that is new or has changed."""
    changed = asyncio.Event()
    store.watch(lambda _run, _seq: changed.set())
    before: dict[RunId, tuple[object, ...]] = {}
    while True:
        changed.clear()
        found = await find_runs(store, asked, now=time.time(), read=whole)
        now = {one.info.run_id: _told(one.info) for one in found}
        new = [one for one in found if before.get(one.info.run_id) != now[one.info.run_id]]
        before = now
        if SETTINGS.get().as_json:
            for one in new:
                put_json(_row(one))
        elif sys.stdout.isatty():
            sys.stdout.write(_CLEAR)
            _print(found, time.time())
        elif new:
            _print(new, time.time())
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), _AGAIN)
        await asyncio.sleep(_CALM)


def _told(info: RunInfo) -> tuple[object, ...]:
    """Return what makes a line worth telling again: a driver's signs of life do not."""
    return info.status, info.seq, info.holder, info.erased


def _asked(
    query: str, status: str, graph: str, tags: Sequence[str], limit: int, since: str
) -> Query:
    whole = " ".join(filter(None, (query, f"since:{since}" if since else "")))
    asked = query_of(whole, status=status or None, graph=graph or None, tags=tags_of(tags))
    return asked if asked.limit is not None else query_of(asked, limit=limit)


async def fields() -> int:
    """Say what a query may ask for."""
    if SETTINGS.get().as_json:
        for name, field in FIELDS.items():
            put_json({"field": name, **asdict(field), "compared": field.kind in ORDERED})
        return OK
    for name, field in FIELDS.items():
        more = " (< <= > >=)" if field.kind in ORDERED else ""
        read = "; read from its events" if field.folded else ""
        put(f"{name + ('.KEY' if field.keyed else ''):<10} {field.says}{more}{read}")
    put(f"{'sort':<10} by {', '.join(SORTS)}; -cost for the greatest first")
    put(f"{'limit':<10} at most so many")
    put("-TERM or 'not TERM': it must not hold; A,B: one of them; * and ? stand for other letters")
    return OK


def _row(one: FoundRun) -> dict[str, Any]:
    row: dict[str, Any] = {name: getattr(one.info, name) for name in RunInfo.__dataclass_fields__}
    if one.facts is not None:
        total = one.facts.usage.total
        row |= {
            "models": list(one.facts.models),
            "input_tokens": total.input_tokens,
            "output_tokens": total.output_tokens,
            "cost": total.cost,
            "unpriced": total.unpriced,
            "ended_at": one.facts.ended_at,
            "errors": sorted(one.facts.errors),
            "questions": list(one.facts.questions),
            "unknown": list(one.facts.unknown),
        }
    return row


def _print(found: Sequence[FoundRun], now: float) -> None:
    read = any(one.facts is not None for one in found)
    titles = (*_COLUMNS, *(_READ_COLUMNS if read else ()))
    rows = [
        (*_cells(info, now), *([] if facts is None else _read_cells(facts)))
        for info, facts in found
    ]
    put_columns(titles, rows, _RIGHT)


def _cells(info: RunInfo, now: float) -> list[Cell]:
    mark, color = MARKS[info.status]
    tags = " ".join(f"{k}={v}" for k, v in info.tags.items() if k != SOURCE)
    return [
        info.run_id,
        info.graph,
        (f"{mark} {info.status}", color),
        span(now - info.created_at / 1e6),
        str(info.seq),
        _driver(info, now),
        tags,
    ]


def _read_cells(facts: RunFacts) -> list[str]:
    total = facts.usage.total
    unpriced = f" +{total.unpriced}?" if total.unpriced else ""
    waits = (
        *(f"answer {name}" for name in facts.questions),
        *(f"settle {step}" for step in facts.unknown),
    )
    return [
        facts.model,
        str(facts.tokens),
        f"${total.cost:.4f}{unpriced}",
        ", ".join(waits)[:_SHORT],
    ]


def _driver(info: RunInfo, now: float) -> str:
    if info.status in ("completed", "failed", "cancelled"):
        return ""
    if info.holder is None or info.until <= now:
        return "none"
    return info.holder.rpartition(":")[0]
