"""Whether a run is what a query asks for, and how much of that its store can tell."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from fnmatch import fnmatchcase

from midstream.events.store import RunInfo, RunQuery, Status
from midstream.projections.query import Comparison, Query, Term, Word
from midstream.projections.query_fields import (
    FIELDS,
    FOLDED_MARKS,
    STATUSES,
    moment_of,
    number_of,
    span_of,
)
from midstream.projections.run_facts import RunFacts

_COMPARE: Mapping[Comparison, Callable[[float, float], bool]] = {
    "=": operator.eq,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
_WILD = frozenset("*?[")


def is_folded(term: Term) -> bool:
    """Return whether a run's events are needed to tell."""
    if term.field == "has":
        return any(word.text in FOLDED_MARKS for word in term.values)
    return FIELDS[term.field].folded


def needs_events(query: Query) -> bool:
    """Return whether a query can only be answered by reading runs."""
    folded_sort = query.sort in FIELDS and FIELDS[query.sort].folded
    return folded_sort or any(map(is_folded, query.terms))


def needles(query: Query) -> tuple[str, ...]:
    """Return the texts that a query looks for."""
    return tuple(word.text for term in query.terms if term.field == "text" for word in term.values)


def holds(query: Query, info: RunInfo, facts: RunFacts | None, *, now: float) -> bool:
    """Return whether all terms hold for a run; without its facts, those that need none.

    Args:
        query: What is asked.
        info: The run's line in the list.
        facts: What its events tell, or None.
        now: In seconds since 1970.
    """
    return all(
        _term(term, info, facts, now) is not term.negated
        for term in query.terms
        if facts is not None or not is_folded(term)
    )


def _term(term: Term, info: RunInfo, facts: RunFacts | None, now: float) -> bool:
    match term.field:
        case "since" | "until":
            moment = moment_of(term.values[0].text, now)
            assert moment is not None  # the parser has seen to it
            return (info.created_at >= round(moment * 1e6)) is (term.field == "since")
        case "has":
            return any(_has(word.text, info, facts, now) for word in term.values)
        case "text":
            return facts is not None and any(word.text in facts.found for word in term.values)
        case _ if FIELDS[term.field].kind in ("glob", "status"):
            there = tuple(_names(term, info, facts))
            return any(_like(word, name) for word in term.values for name in there)
        case _:
            return _compared(term, info, facts, now)


def _compared(term: Term, info: RunInfo, facts: RunFacts | None, now: float) -> bool:
    found = value_of(term.field, info, facts, now=now)
    if found is None:
        return False
    compare = _COMPARE[term.comparison]
    wanted = (_read(term.field, word.text, now) for word in term.values)
    return any(compare(found, one) for one in wanted)


def _read(field: str, text: str, now: float) -> float:
    kind = FIELDS[field].kind
    if kind == "moment":
        found = moment_of(text, now)
    else:
        found = span_of(text) if kind == "span" else number_of(text)
    assert found is not None  # the parser has seen to it
    return found


def value_of(field: str, info: RunInfo, facts: RunFacts | None, *, now: float) -> float | None:
    """Return what a field of numbers, spans or moments is of a run; None where it has none, or needs facts."""
    if field == "events":
        return info.seq
    if field == "started":
        return info.created_at / 1e6
    if facts is None:
        return None
    if field == "duration":
        return (facts.ended_at / 1e6 or now) - info.created_at / 1e6
    return _folded_value(field, facts)


def _folded_value(field: str, facts: RunFacts) -> float | None:
    match field:
        case "ended":
            return facts.ended_at / 1e6 if facts.ended_at else None
        case "cost":
            return float(facts.cost)
        case "tokens":
            return facts.tokens
        case "calls":
            return facts.usage.total.calls
        case "score":
            return sum(facts.scores) / len(facts.scores) if facts.scores else None
        case _:
            raise AssertionError(field)  # every other field is text


def _names(term: Term, info: RunInfo, facts: RunFacts | None) -> Iterable[str]:
    match term.field:
        case "id":
            return (info.run_id,)
        case "status":
            return (info.status,)
        case "graph":
            return (info.graph,)
        case "tag":
            return (info.tags[term.key],) if term.key in info.tags else ()
        case "parent":
            return () if info.parent is None else (info.parent,)
        case _:
            return () if facts is None else _folded_names(term.field, facts)


def _folded_names(field: str, facts: RunFacts) -> Iterable[str]:
    return {
        "model": facts.models,
        "node": facts.nodes,
        "tool": facts.tools,
        "error": facts.errors,
        "event": facts.types,
        "feedback": facts.feedback,
    }[field]


def _has(mark: str, info: RunInfo, facts: RunFacts | None, now: float) -> bool:
    match mark:
        case "fork":
            return info.parent is not None
        case "driver":
            return info.holder is not None and info.until > now
        case "question":
            return facts is not None and bool(facts.questions)
        case "unknown":
            return facts is not None and bool(facts.unknown)
        case _:
            return facts is not None and mark in facts.marks


def _like(word: Word, name: str) -> bool:
    return word.text == name if word.exact else fnmatchcase(name, word.text)


def store_query(query: Query, *, now: float) -> RunQuery:
    """Return what a store can be asked, which gives all runs that the query is about, and perhaps more.

    Args:
        query: What is asked.
        now: In seconds since 1970.
    """
    asked, whole = RunQuery(), not query.sort
    for term in query.terms:
        pushed = _pushed(asked, term, now)
        whole = whole and pushed is not None
        asked = asked if pushed is None else pushed
    prefixes = [_prefix(term) for term in query.terms if term.field == "id"]
    asked = replace(asked, prefix=max(prefixes, key=len, default=""))
    return replace(asked, limit=query.limit) if whole else asked


def _pushed(asked: RunQuery, term: Term, now: float) -> RunQuery | None:
    """Return the question with a term that the store can answer alone; None for any other."""
    if term.field == "status":
        names = {word.text for word in term.values}
        wanted = {one for one in STATUSES if (one in names) is not term.negated}
        both: frozenset[Status] = frozenset(one for one in _before(asked) if one in wanted)
        return replace(asked, status=both)
    if term.negated or len(term.values) != 1:
        return None
    word = term.values[0]
    if term.field in ("since", "until"):
        return _bounded(asked, term.field, moment_of(word.text, now))
    if not _is_plain(word):
        return None
    if term.field == "graph" and asked.graph in (None, word.text):
        return replace(asked, graph=word.text)
    if term.field == "tag" and asked.tags.get(term.key, word.text) == word.text:
        return replace(asked, tags={**asked.tags, term.key: word.text})
    return None


def _before(asked: RunQuery) -> Iterable[Status]:
    return STATUSES if asked.status is None else asked.status


def _bounded(asked: RunQuery, field: str, moment: float | None) -> RunQuery:
    assert moment is not None  # the parser has seen to it
    at = round(moment * 1e6)
    if field == "since":
        return replace(asked, since=max(at, asked.since or 0))
    return replace(asked, until=at if asked.until is None else min(at, asked.until))


def _is_plain(word: Word) -> bool:
    return word.exact or not _WILD & set(word.text)


def _prefix(term: Term) -> str:
    """Return how an id must begin."""
    if term.negated or len(term.values) != 1:
        return ""
    word = term.values[0]
    if word.exact:
        return word.text
    wild = next((place for place, letter in enumerate(word.text) if letter in _WILD), None)
    return word.text[:wild]
