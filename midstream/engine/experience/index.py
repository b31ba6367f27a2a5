"""Finding lessons by their words: an SQLite index in memory, made of what was folded and thrown away with the process."""

from __future__ import annotations

import re
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from midstream.engine.experience.embedding import Embedder, Vector, cosine
from midstream.errors import ConfigError
from midstream.projections.experience import ExperienceState, Lesson

SHORTLIST = 40
"""So many lessons are compared by meaning."""

SHOWN = frozenset(("active", "shadow"))
"""Only lessons of these statuses are looked up for a call."""

_TERMS = 8
_WORD = re.compile(r"\w{2,}")
_MEANT = 0.15
"""Lessons that are less alike than this are not meant."""

_TABLES = """
CREATE TABLE lesson (
    place INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, status TEXT NOT NULL, graph TEXT NOT NULL, node TEXT NOT NULL,
    when_text TEXT NOT NULL, do_text TEXT NOT NULL);
CREATE INDEX lesson_scope ON lesson (graph, node, status);
CREATE VIRTUAL TABLE lesson_words USING fts5(
    when_text, do_text, content='lesson', content_rowid='place', tokenize='porter unicode61 remove_diacritics 2');
"""
_COMMON = (
    "the and for with that this from are was were have has had not but you your when then than into out its they them "
    "what which who how why can could should would will may might must been being does did doing about"
)
_STOP = frozenset(_COMMON.split())


class Index:
    """The lessons of one tenant, ready to be looked up; holds nothing that is not in the state it was made from.

    Args:
        embedder: Makes vectors; those are made when they are first needed.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._vectors: dict[str, Vector] = {}
        self._seen: dict[str, str] = {}
        import sqlite3  # most processes look up nothing

        self._db = sqlite3.connect(":memory:", check_same_thread=False, isolation_level=None)
        # Nobody has to close what is only in memory; from 3.13 on, Python warns of a connection that was left open.
        weakref.finalize(self, self._db.close)
        self._make()

    def _make(self) -> None:
        import sqlite3

        try:
            self._db.executescript(_TABLES)
        except sqlite3.OperationalError as error:
            raise ConfigError(
                f"the SQLite of this Python has no full-text search ({error}); lessons need FTS5"
            ) from error

    def rebuild(self, state: ExperienceState) -> None:
        """Drop every table, and make them anew."""
        self._db.executescript("DROP TABLE lesson_words; DROP TABLE lesson;")
        self._vectors.clear()
        self._seen.clear()
        self._make()
        self.update(state, state.lessons)

    def update(self, state: ExperienceState, changed: Iterable[str]) -> None:
        """Take in lessons that were written or moved."""
        self._db.execute("BEGIN")
        for name in changed:
            lesson = state.lessons[name]
            if self._seen.get(name) != lesson.status:
                self._put(lesson)
                self._seen[name] = lesson.status
        self._db.execute("COMMIT")

    def _put(self, lesson: Lesson) -> None:
        if lesson.id in self._seen:
            self._db.execute(
                "UPDATE lesson SET status = ? WHERE id = ?", (lesson.status, lesson.id)
            )
            return
        # At the place of the event that drafted it: the same tables come of the same log, whenever they are made.
        self._db.execute(
            "INSERT INTO lesson (place, id, status, graph, node, when_text, do_text) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                lesson.seq,
                lesson.id,
                lesson.status,
                lesson.graph,
                lesson.node,
                lesson.when,
                lesson.do,
            ),
        )
        self._db.execute(
            "INSERT INTO lesson_words (rowid, when_text, do_text) VALUES (?, ?, ?)",
            (lesson.seq, lesson.when, lesson.do),
        )

    def tables(self) -> Mapping[str, Sequence[tuple[Any, ...]]]:
        """Return all that the tables hold, for comparing them."""
        terms = "CREATE VIRTUAL TABLE IF NOT EXISTS temp.terms USING fts5vocab('main', 'lesson_words', 'instance')"
        self._db.execute(terms)
        return {
            "lesson": self._db.execute("SELECT * FROM lesson ORDER BY place").fetchall(),
            "words": self._db.execute("SELECT * FROM temp.terms ORDER BY 1, 2, 3, 4").fetchall(),
        }

    def close(self) -> None:
        """Let go of the memory."""
        self._db.close()

    def vector(self, lesson: Lesson) -> Vector:
        """Return the vector of a lesson's words."""
        known = self._vectors.get(lesson.id)
        if known is None:
            known = self._vectors[lesson.id] = self.vector_of(lesson.when, lesson.do)
        return known

    def vector_of(self, *texts: str) -> Vector:
        """Return the vector of any words."""
        (made,) = self._embedder.embed([" ".join(texts)])
        return made

    def relevance(
        self,
        state: ExperienceState,
        query: str,
        *,
        graph: str = "",
        node: str = "",
        known: bool = False,
    ) -> dict[str, float]:
        """Return how well lessons fit a text, by the places that words and meaning give them; 1 is best.

        Args:
            state: The lessons.
            query: Any text; none of it is taken as a search expression.
            graph: Lessons for all graphs and for this one.
            node: Lessons for all nodes and for this one.
            known: All lessons in force, of any scope, also candidates.
        """
        scope, parameters = _scope(graph, node, known=known)
        by_words = self._by_words(query, scope, parameters)
        shortlist = dict.fromkeys(by_words)
        if len(shortlist) < SHORTLIST:
            # Few lessons share a word with the text: look at those that are closest in scope.
            rows = self._db.execute(
                f"SELECT l.id FROM lesson l WHERE {scope} ORDER BY l.graph = '', l.node = '', l.place DESC LIMIT ?",
                (*parameters, SHORTLIST - len(shortlist)),
            )
            shortlist.update(dict.fromkeys(row[0] for row in rows))
        (asked,) = self._embedder.embed([query])
        alike = [(cosine(asked, self.vector(state.lessons[name])), name) for name in shortlist]
        by_meaning = [name for value, name in sorted(alike, reverse=True) if value > _MEANT]
        found: dict[str, float] = {}
        for listed in (by_words, by_meaning):
            for rank, name in enumerate(listed, 1):
                found[name] = found.get(name, 0.0) + 1 / (60 + rank)
        return {name: value * 61 / 2 for name, value in found.items()}

    def _by_words(self, query: str, scope: str, parameters: Sequence[Any]) -> list[str]:
        expression = terms_of(query)
        if not expression:
            return []
        rows = self._db.execute(
            "SELECT l.id FROM lesson_words w JOIN lesson l ON l.place = w.rowid"
            f" WHERE w.lesson_words MATCH ? AND {scope} ORDER BY bm25(w.lesson_words, 3.0, 1.0), l.place LIMIT ?",
            (expression, *parameters, SHORTLIST),
        )
        return [row[0] for row in rows]


def _scope(graph: str, node: str, *, known: bool) -> tuple[str, tuple[str, ...]]:
    if known:
        return "l.status NOT IN ('retired', 'superseded')", ()
    return (
        "l.status IN ('active', 'shadow') AND l.graph IN ('', ?) AND l.node IN ('', ?)",
        (graph, node),
    )


def terms_of(text: str) -> str:
    """Return the longest words of a text as a search expression: quoted, so that nothing in it is an operator."""
    words = dict.fromkeys(word for word in _WORD.findall(text.lower()) if word not in _STOP)
    chosen = sorted(words, key=lambda word: (-len(word), word))[:_TERMS]
    return " OR ".join(f'"{word}"' for word in chosen)
