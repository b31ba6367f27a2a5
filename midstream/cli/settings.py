"""What was said before the command: which store, for whose eyes, in colour or not."""

from __future__ import annotations

import shlex
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

DEFAULT_DB = Path("runs.db")


@dataclass(frozen=True, slots=True)
class Settings:
    """The global options.

    Attributes:
        db: The store.
        as_json: One JSON object a line on stdout, in place of what people read.
        color: False for none; whether there is any otherwise is seen from the terminal and `NO_COLOR`.
        config: Where groups, pools and endpoints are configured; empty looks for it.
        part: Which part of an answer of several is being written; empty where there is only one.
        db_given: The store was named on the command line, so commands that are suggested name it too.
    """

    db: Path = DEFAULT_DB
    as_json: bool = False
    color: bool = True
    db_given: bool = False
    config: str = ""
    part: str = ""


_UNSAID = Settings()
SETTINGS: ContextVar[Settings] = ContextVar("midstream_cli_settings", default=_UNSAID)


def command(*words: str) -> str:
    """Return a `midstream` command that means the same store, to be shown as the next one to try."""
    settings = SETTINGS.get()
    db = ("--db", str(settings.db)) if settings.db_given else ()
    return shlex.join(("midstream", *db, *words))
