"""Queries for runs, as people type them: `status:failed cost:>0.10 -tag.team:blue "no source" sort:-cost limit:5`.

Terms stand side by side, and all of them must hold; one with a comma holds for any of its values, one with `-` or `not`
before it must not hold. A word, or words in quotes, are looked for in what is said in a run. What is in quotes is taken as it
is; elsewhere `*` and `?` stand for other characters.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal, get_args

from midstream.errors import QueryError
from midstream.projections.query_fields import FIELDS, ORDERED, READS, SORTS, Field

Comparison = Literal["=", "<", "<=", ">", ">="]

_BARE = re.compile(r'[^\s",<>=][^\s",]*')
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_NOT = re.compile(r"-\s*|not\s+")
_NAME = re.compile(r'[A-Za-z_]+(?=:|\.[^\s:",<>=]+:|\.")')
_KEY = re.compile(r'[^\s:",<>=]+')
_COMPARISON = re.compile(r"[<>]=?|=")
_SPACE = re.compile(r"\s*")


@dataclass(frozen=True, slots=True)
class Word:
    """A value.

    Attributes:
        text: What it is.
        exact: It stood in quotes: `*` and `?` in it are themselves.
    """

    text: str
    exact: bool = False

    def __str__(self) -> str:
        return quoted(self.text) if self.exact else self.text


@dataclass(frozen=True, slots=True)
class Term:
    """One condition.

    Attributes:
        field: A name of `FIELDS`.
        values: One of them must be it.
        comparison: How it is compared; other than `=` with one value only.
        key: Of a tag.
        negated: It must not hold.
    """

    field: str
    values: tuple[Word, ...]
    comparison: Comparison = "="
    key: str = ""
    negated: bool = False

    def __str__(self) -> str:
        key = f".{self.key if _KEY.fullmatch(self.key) else quoted(self.key)}" if self.key else ""
        comparison = "" if self.comparison == "=" else self.comparison
        values = ",".join(map(str, self.values))
        return f"{'-' * self.negated}{self.field}{key}:{comparison}{values}"


@dataclass(frozen=True, slots=True)
class Query:
    """What is wanted of a list of runs; as text, it is a query that reads as this one.

    Attributes:
        terms: All of them must hold.
        sort: By what, one of `SORTS`; empty for the newest first.
        descending: The greatest first.
        limit: At most so many; None for all.
    """

    terms: tuple[Term, ...] = ()
    sort: str = ""
    descending: bool = False
    limit: int | None = None

    def __str__(self) -> str:
        words = [str(term) for term in self.terms]
        if self.sort:
            words.append(f"sort:{'-' * self.descending}{self.sort}")
        if self.limit is not None:
            words.append(f"limit:{self.limit}")
        return " ".join(words)


def quoted(text: str) -> str:
    """Return a text in quotes, as a query has it."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryError: It is none; the message names the place and the remedy.
    """
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._terms: list[Term] = []
        self._sort: Word | None = None
        self._limit: int | None = None

    def query(self) -> Query:
        self._take(_SPACE)
        while self._at < len(self._text):
            self._next()
            if self._at < len(self._text) and not self._take(_SPACE):
                raise self._wrong(self._at, "a space is missing before this")
        sort = "" if self._sort is None else self._sort.text
        return Query(tuple(self._terms), sort.removeprefix("-"), sort.startswith("-"), self._limit)

    def _next(self) -> None:
        begin = self._at
        negated = bool(self._take(_NOT))
        here = self._at
        name = self._take(_NAME)
        if not name:
            word = self._word()
            self._terms.append(Term("text", (word,), negated=negated))
            return
        if name in ("sort", "limit"):
            self._option(name, begin, negated=negated)
            return
        field = self._field(name, here)
        key = self._key(name, field)
        self._colon(name)
        self._terms.append(self._condition(name, key, field, negated=negated))

    def _field(self, name: str, at: int) -> Field:
        found = FIELDS.get(name)
        if found is None:
            near = get_close_matches(name, (*FIELDS, "sort", "limit"), 1)
            meant = f"did you mean {near[0]!r}? " if near else ""
            raise self._wrong(
                at,
                f"there is no field {name!r}; {meant}fields are {', '.join(FIELDS)}, sort and limit; "
                "put text that holds a colon in quotes",
            )
        return found

    def _key(self, name: str, field: Field) -> str:
        at = self._at
        if not self._take(re.compile(r"\.")):
            if field.keyed:
                raise self._wrong(at, f"{name!r} needs a key, as in {name}.team:blue")
            return ""
        if not field.keyed:
            raise self._wrong(at, f"{name!r} takes no key; write {name}:VALUE")
        key = self._quoted() if self._text.startswith('"', self._at) else self._take(_KEY)
        if not key:
            raise self._wrong(self._at, f"a key is missing after '{name}.'")
        return key

    def _colon(self, name: str) -> None:
        if not self._take(re.compile(":")):
            raise self._wrong(self._at, f"a colon is missing after {name!r}, as in {name}:VALUE")

    def _condition(self, name: str, key: str, field: Field, *, negated: bool) -> Term:
        at = self._at
        comparison = self._take(_COMPARISON) or "="
        if comparison != "=" and field.kind not in ORDERED:
            raise self._wrong(
                at, f"{name!r} has no more and less; write {name}:VALUE without {comparison!r}"
            )
        values = [self._value(name, field)]
        while self._take(re.compile(",")):
            values.append(self._value(name, field))
        if len(values) > 1 and (comparison != "=" or name in ("since", "until")):
            raise self._wrong(at, f"{name!r} is compared with one value, not with several")
        (known,) = (one for one in get_args(Comparison) if one == comparison)
        return Term(name, tuple(values), known, key, negated)

    def _value(self, name: str, field: Field) -> Word:
        at = self._at
        word = self._word(f"a value is missing after '{name}:'")
        check = READS.get(field.kind)
        if check is not None and not check[0](word.text):
            raise self._wrong(at, f"{word.text!r} is no value of {name!r}; write {check[1]}")
        return word

    def _option(self, name: str, begin: int, *, negated: bool) -> None:
        if negated:
            raise self._wrong(begin, f"{name!r} cannot be negated; leave it out")
        self._colon(name)
        at = self._at
        word = self._word(f"a value is missing after '{name}:'")
        if name == "sort":
            if word.text.removeprefix("-") not in SORTS or self._sort is not None:
                raise self._wrong(at, f"write sort: once, with one of {', '.join(SORTS)}, or -cost")
            self._sort = word
            return
        if not re.fullmatch("[0-9]{1,9}", word.text) or self._limit is not None:
            raise self._wrong(at, "write limit: once, with a whole number")
        self._limit = int(word.text)

    def _word(self, missing: str = "something to look for is missing") -> Word:
        if self._text.startswith('"', self._at):
            return Word(self._quoted(), exact=True)
        found = self._take(_BARE)
        if not found:
            raise self._wrong(self._at, missing)
        return Word(found)

    def _quoted(self) -> str:
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise self._wrong(self._at, "this quote is not closed; add another one")
        self._at = found.end()
        return re.sub(r"\\(.)", r"\1", found[1], flags=re.DOTALL)

    def _take(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None:
            return ""
        self._at = found.end()
        return found[0]

    def _wrong(self, at: int, problem: str) -> QueryError:
        return QueryError(self._text, at, problem)
