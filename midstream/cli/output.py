"""What is written where: stdout is data, stderr is talk.

Whatever comes from a log (a model's words, a tool's result) is shown without its control characters, so that a log cannot
steer the terminal of whoever reads it.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson

from midstream.cli.settings import SETTINGS

if TYPE_CHECKING:
    from rich.console import Console

_WIDTH = 160
"""Columns, where the output is not a terminal."""

_KEPT = "\n\t"
_HIDDEN = {
    code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in _KEPT
}


def printable(text: str) -> str:
    """Return the text with what a terminal would obey, or could not show, spelled out."""
    return text.translate(_HIDDEN).encode("utf-8", "backslashreplace").decode()


def data_console() -> Console:
    """Return the console on stdout."""
    return _console(stderr=False)


def talk_console() -> Console:
    """Return the console on stderr."""
    return _console(stderr=True)


def _console(*, stderr: bool) -> Console:
    from rich.console import Console  # takes a while to import

    stream = sys.stderr if stderr else sys.stdout
    return Console(
        stderr=stderr,
        no_color=None if SETTINGS.get().color else True,
        highlight=False,
        markup=False,
        emoji=False,
        soft_wrap=True,
        width=None if stream.isatty() else _WIDTH,
    )


def say(text: str) -> None:
    """Tell the person at the terminal something, on stderr."""
    sys.stderr.write(printable(text) + "\n")
    sys.stderr.flush()


def put(text: str) -> None:
    """Write a line of data for people, on stdout."""
    sys.stdout.write(printable(text) + "\n")
    sys.stdout.flush()


def put_json(row: Mapping[str, Any]) -> None:
    """Write a line of data for programs, on stdout."""
    part = SETTINGS.get().part
    sys.stdout.write(as_json({"part": part, **row} if part else row) + "\n")
    sys.stdout.flush()


def as_json(value: Any) -> str:
    """Return a value as JSON on one line; bytes in hex, decimals as text."""
    return orjson.dumps(value, default=_plain, option=orjson.OPT_NON_STR_KEYS).decode()


def shown(value: Any) -> str:
    """Return an output as people want to see it: text as it is, anything else as JSON."""
    return value if isinstance(value, str) else as_json(value)


def _plain(value: Any) -> Any:
    match value:
        case bytes():
            return value.hex()
        case Decimal():
            return format(value, "f")
        case tuple() | set() | frozenset():
            return list(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
        case Mapping():
            return dict(value)  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]  # JSON
        case _ if hasattr(value, "model_dump"):
            return value.model_dump(mode="json")
        case _ if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        case _:
            return str(value)
