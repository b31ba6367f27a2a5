"""A rest for the garbage collector while a page of events is made or folded.

What a page makes is kept or freed by counting; there are no cycles in it. Left alone, the collector would look through it
every 700 objects and find nothing, which is a third of the time that loading a long run takes.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def no_collecting() -> Generator[None]:
    """Let the collector rest; only around what neither awaits nor calls a user's code that may run long."""
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
