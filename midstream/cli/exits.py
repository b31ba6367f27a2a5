"""How a command ends: its exit code, and one line on stderr where something went wrong."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

import typer

from midstream.cli.output import as_json, say
from midstream.cli.settings import SETTINGS
from midstream.errors import (
    BudgetError,
    ConfigError,
    CorruptLogError,
    GraphError,
    MidstreamError,
    NotRecordableError,
    RunNotFoundError,
    StepNotFoundError,
    StoreBusyError,
    StoreFullError,
    StoreOpenError,
)

OK = 0
BAD = 1
WRONG_USAGE = 2
IN_PART = 3
NOT_FOUND = 4
STORE = 5
REFUSED = 6
INTERRUPTED = 130

MEANINGS = (
    "Exit codes: 0 fine; 1 what was asked about is bad (the run failed, the log is damaged); 2 wrong usage; "
    "3 verified in part, there is no anchor; 4 no such run or step; 5 the store cannot be read or is locked; "
    "6 refused: too dear, or nobody agreed; 130 interrupted."
)

_CODES: tuple[tuple[type[MidstreamError], int], ...] = (
    (RunNotFoundError, NOT_FOUND),
    (StepNotFoundError, NOT_FOUND),
    (StoreOpenError, STORE),
    (StoreBusyError, STORE),
    (StoreFullError, STORE),
    (CorruptLogError, STORE),
    (ConfigError, WRONG_USAGE),
    (GraphError, WRONG_USAGE),
    (NotRecordableError, WRONG_USAGE),
    (BudgetError, REFUSED),
)


def code_of(error: MidstreamError) -> int:
    """Return the exit code that an error means."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), BAD)


def report(error: MidstreamError) -> int:
    """Say on one line what went wrong, and return its exit code."""
    name, message = type(error).__name__, " ".join(str(error).split())
    if SETTINGS.get().as_json:
        say(as_json({"error": name, "message": message}))
    else:
        say(f"{name}: {message}")
    return code_of(error)


def carry_out(work: Coroutine[Any, Any, int]) -> None:
    """Run a command to its end.

    Raises:
        typer.Exit: Always, with the exit code.
    """
    try:
        code = asyncio.run(_stoppable(work))
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = INTERRUPTED
    except MidstreamError as error:
        code = report(error)
    except BrokenPipeError:  # whoever read stdout has had enough, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        code = OK
    raise typer.Exit(code)


async def _stoppable(work: Coroutine[Any, Any, int]) -> int:
    """Let SIGTERM end the work in the same orderly way as Ctrl-C: leases are given up, nothing is left running."""
    task = asyncio.current_task()
    assert task is not None  # `asyncio.run` made it
    with suppress(NotImplementedError):  # there is no such thing on Windows
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    return await work
