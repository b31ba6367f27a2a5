"""A progress bar on stderr, where that is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager

from midstream.cli.output import talk_console

Advance = Callable[[float], None]
"""Called with how much has been done since the last call."""


@contextmanager
def progress(what: str, total: float) -> Generator[Advance, None, None]:
    """Show how far a piece of work has come; nothing where nobody looks, or where there is only one thing to do."""
    if total < 2 or not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.progress import Progress

    with Progress(console=talk_console(), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.advance(task, done)
