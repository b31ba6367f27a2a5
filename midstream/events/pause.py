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
    """Let the collector rest, around what makes much that is kept: the folding of a page, or of a whole log.

    What it counted meanwhile it looks at afterwards, once and not for each page. While a whole log is read, others may have
    the event loop; a second without a collection does them no harm, so never around what waits for anybody.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
