"""Finding runs by a query: what the store can tell it is asked, and only runs that are left are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple, cast

from midstream.errors import ConfigError
from midstream.events.paging import pages
from midstream.events.store import EventStore, RunInfo
from midstream.projections.query import Query, Term, Word, parse
from midstream.projections.query_fields import STATUSES
from midstream.projections.query_match import (
    holds,
    needles,
    needs_events,
    store_query,
    value_of,
)
from midstream.projections.run_facts import RunFacts


class FoundRun(NamedTuple):
    """A run that a query is about.

    Attributes:
        info: Its line in the list.
        facts: What its events tell; None where the query did not need them.
    """

    info: RunInfo
    facts: RunFacts | None


def query_of(
    query: str | Query = "",
    *,
    status: str | None = None,
    graph: str | None = None,
    tags: Mapping[str, str] | None = None,
    limit: int | None = None,
) -> Query:
    """Return a query with what was asked for beside it.

    Raises:
        QueryError: The text is no query.
        ConfigError: There is no such status, or a limit was given twice.
    """
    asked = parse(query) if isinstance(query, str) else query
    if status is not None and status not in STATUSES:
        raise ConfigError(f"status {status!r} is none of {', '.join(STATUSES)}")
    terms = [
        *asked.terms,
        *([] if status is None else [_exact("status", status)]),
        *([] if graph is None else [_exact("graph", graph)]),
        *(_exact("tag", value, key) for key, value in (tags or {}).items()),
    ]
    if limit is not None and asked.limit is not None:
        limit = min(limit, asked.limit)
    return Query(
        tuple(terms), asked.sort, asked.descending, asked.limit if limit is None else limit
    )


def _exact(field: str, text: str, key: str = "") -> Term:
    return Term(field, (Word(text, exact=True),), key=key)


async def find_runs(
    store: EventStore,
    query: Query,
    *,
    now: float,
    read: bool = False,
    told: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[FoundRun, ...]:
    """Return the runs that a query asks for, in its order.

    Args:
        store: Where they are.
        query: What is asked.
        now: In seconds since 1970.
        read: Read them in any case, for their facts.
        told: Called with how many runs were looked at, and how many there are to look at.
    """
    infos = [
        info
        for info in await store.runs(store_query(query, now=now))
        if holds(query, info, None, now=now)
    ]
    reading = needs_events(query)
    enough = None if query.sort else query.limit
    found: list[FoundRun] = []
    for place, info in enumerate(infos):
        if enough is not None and len(found) >= enough:
            break
        facts = await _facts(store, info, needles(query)) if reading else None
        if holds(query, info, facts, now=now):
            found.append(FoundRun(info, facts))
        told(place + 1, len(infos))
    found = _sorted(found, query, now)[: query.limit]
    if read and not reading:
        found = [FoundRun(one.info, await _facts(store, one.info, ())) for one in found]
    return tuple(found)


async def _facts(store: EventStore, info: RunInfo, wanted: tuple[str, ...]) -> RunFacts:
    facts = RunFacts(wanted)
    # Not further than the list says, so that both tell of the same moment.
    async for page in pages(store, info.run_id, to=info.seq):
        for event in page:
            facts.add(event)
    return facts


def _sorted(found: list[FoundRun], query: Query, now: float) -> list[FoundRun]:
    if not query.sort:
        return found
    with_value = [one for one in found if _key(one, query.sort, now) is not None]
    without = [one for one in found if _key(one, query.sort, now) is None]

    def key(one: FoundRun) -> str | float:
        return cast("str | float", _key(one, query.sort, now))

    return [*sorted(with_value, key=key, reverse=query.descending), *without]


def _key(one: FoundRun, field: str, now: float) -> str | float | None:
    match field:
        case "id":
            return one.info.run_id
        case "graph":
            return one.info.graph
        case "status":
            return one.info.status
        case _:
            return value_of(field, one.info, one.facts, now=now)
