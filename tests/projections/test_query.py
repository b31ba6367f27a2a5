"""Queries for runs: what they say, and how they are read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.errors import QueryError
from midstream.projections.query import Comparison, Query, Term, Word, parse
from midstream.projections.query_fields import (
    FIELDS,
    FOLDED_MARKS,
    LISTED_MARKS,
    ORDERED,
    SORTS,
    STATUSES,
    moment_of,
    number_of,
    span_of,
)

NOW = 1_800_000_000.0
BARE = st.text(alphabet="abcXYZ019.*?:/@#~+-_[]\\é猫", min_size=1)
QUOTED = st.text()
VALUES = {
    "status": st.sampled_from(STATUSES),
    "mark": st.sampled_from((*LISTED_MARKS, *FOLDED_MARKS)),
    "number": st.sampled_from(("0.10", "$3", "10k", "2m", "7", ".5")),
    "span": st.sampled_from(("30s", "5m", "2h", "90")),
    "moment": st.sampled_from(("7d", "2026-11-01", "2026-11-01T10:30", "12h")),
}


@st.composite
def words(draw: st.DrawFn, field: str) -> Word:
    kind = FIELDS[field].kind
    if kind in VALUES:
        return Word(draw(VALUES[kind]), draw(st.booleans()))
    exact = draw(st.booleans())
    return Word(draw(QUOTED if exact else BARE), exact)


@st.composite
def terms(draw: st.DrawFn) -> Term:
    field = draw(st.sampled_from(sorted(FIELDS)))
    ordered = FIELDS[field].kind in ORDERED
    comparison: Comparison = draw(st.sampled_from(("=", "<", "<=", ">", ">="))) if ordered else "="
    one = comparison != "=" or field in ("since", "until")
    values = draw(st.lists(words(field), min_size=1, max_size=1 if one else 3))
    key = draw(st.text(min_size=1)) if FIELDS[field].keyed else ""
    return Term(field, tuple(values), comparison, key, draw(st.booleans()))


@st.composite
def queries(draw: st.DrawFn) -> Query:
    sort = draw(st.sampled_from(("", *SORTS)))
    limit = draw(st.none() | st.integers(0, 999_999_999))
    descending = bool(sort) and draw(st.booleans())
    return Query(tuple(draw(st.lists(terms(), max_size=5))), sort, descending, limit)


@given(queries())
def test_a_query_reads_as_it_is_written(query: Query) -> None:
    assert parse(str(query)) == query


@given(st.text() | st.text(alphabet='abc:."\\,-<>= \nnotstausagr*'))
def test_any_text_is_a_query_or_is_refused_with_its_place(text: str) -> None:
    try:
        query = parse(text)
    except QueryError as error:
        query, place = Query(), error.position
    else:
        place = 0
    assert 0 <= place <= len(text)
    assert parse(str(query)) == query


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("", ""),
        ("  status:failed   graph:trip ", "status:failed graph:trip"),
        ("not status:failed", "-status:failed"),
        ("status:failed,paused", "status:failed,paused"),
        ("cost:>0.10 tokens:<=10k", "cost:>0.10 tokens:<=10k"),
        ("cost:=3", "cost:3"),
        ('"no source"', 'text:"no source"'),
        ("otters", "text:otters"),
        ("-otters", "-text:otters"),
        ("trips.py", "text:trips.py"),
        ("tag.midstream.source:a*", "tag.midstream.source:a*"),
        ('tag."a b":x', 'tag."a b":x'),
        ("sort:-cost limit:5", "sort:-cost limit:5"),
        (r'graph:"a\"b\\c"', r'graph:"a\"b\\c"'),
        ("since:7d", "since:7d"),
    ],
)
def test_what_people_type_is_read(text: str, written: str) -> None:
    assert str(parse(text)) == written


@pytest.mark.parametrize(
    ("text", "position", "said"),
    [
        ("stat:failed", 0, "did you mean 'status'?"),
        ("graph:a -modle:b", 9, "did you mean 'model'?"),
        ("http://x", 0, "put text that holds a colon in quotes"),
        ("status:asleep", 7, "one of running, paused, completed, failed, cancelled"),
        ("cost:>much", 6, "write a number, as 0.10 or 10k"),
        ("cost:", 5, "a value is missing after 'cost:'"),
        ("graph:>x", 6, "has no more and less"),
        ("cost:>1,2", 5, "compared with one value"),
        ("since:yesterday", 6, "a span ago, as 7d, or a date"),
        ("duration:>long", 10, "a span of time"),
        ("has:luck", 4, "one of driver, error"),
        ("tag:blue", 3, "needs a key, as in tag.team:blue"),
        ("graph.x:a", 5, "takes no key"),
        ('tag."a"', 7, "a colon is missing"),
        ('"no source', 0, "this quote is not closed"),
        ('a"b', 1, "a space is missing before this"),
        ("sort:price", 5, "one of id, graph"),
        ("sort:id sort:cost", 13, "once"),
        ("limit:many", 6, "a whole number"),
        ("-limit:3", 0, "cannot be negated"),
        ("- ", 2, "something to look for is missing"),
        ("=", 0, "something to look for is missing"),
    ],
)
def test_what_cannot_be_read_is_refused_with_place_and_remedy(
    text: str, position: int, said: str
) -> None:
    with pytest.raises(QueryError) as refused:
        parse(text)
    assert refused.value.position == position
    assert said in str(refused.value)
    assert repr(text) in str(refused.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.10", 0.1), ("$3", 3), ("10k", 10_000), ("2M", 2_000_000), ("-1", None), ("", None)],
)
def test_numbers(text: str, value: float | None) -> None:
    assert number_of(text) == value


def test_spans_and_moments() -> None:
    assert (span_of("90"), span_of("1.5m"), span_of("2h"), span_of("x")) == (90, 90, 7200, None)
    assert moment_of("7d", NOW) == NOW - 7 * 86400
    assert moment_of("1970-01-02", NOW) == 86400
    assert moment_of("1970-01-01T01:00+01:00", NOW) == 0
    assert moment_of("soon", NOW) is None
