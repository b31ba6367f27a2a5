"""A table of short cells, written without more than that takes: a list should be there at once."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Sequence

from midstream.cli.output import printable
from midstream.cli.settings import SETTINGS

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "cyan": "36"}

Cell = str | tuple[str, str]
"""A text, or a text and how it looks: `red`, `green`, `yellow`, `cyan`, `dim` or `bold`."""


def put_columns(
    titles: Sequence[str], rows: Sequence[Sequence[Cell]], right: frozenset[str]
) -> None:
    """Write a table on stdout.

    Args:
        titles: Of the columns.
        rows: A cell for each column.
        right: Titles of columns that are set to the right.
    """
    table = [[(printable(text), look) for text, look in map(_split, row)] for row in rows]
    head = [(title, "bold") for title in titles]
    widths = [max(_width(text) for text, _ in column) for column in zip(head, *table, strict=True)]
    for row in (head, *table):
        cells = [
            _styled(text, look, width, right=title in right)
            for (text, look), width, title in zip(row, widths, titles, strict=True)
        ]
        sys.stdout.write("  ".join(cells).rstrip() + "\n")
    sys.stdout.flush()


def _split(cell: Cell) -> tuple[str, str]:
    return (cell, "") if isinstance(cell, str) else cell


def _styled(text: str, look: str, width: int, *, right: bool) -> str:
    room = " " * (width - _width(text))
    shown = f"\x1b[{_CODES[look]}m{text}\x1b[0m" if look in _CODES and _in_color() else text
    return room + shown if right else shown + room


def _in_color() -> bool:
    return sys.stdout.isatty() and SETTINGS.get().color and not os.environ.get("NO_COLOR")


def _width(text: str) -> int:
    """Return how many places of a terminal a text takes."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in text)
