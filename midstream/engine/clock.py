"""Time: one object that tells it and waits for it, so that a test can bring its own."""

from __future__ import annotations

import asyncio
import time

_LONGEST_NAP = 30.0


class Clock:
    """The wall clock."""

    def now(self) -> float:
        """Return the time in seconds since 1970."""
        return time.time()

    async def sleep_until(self, moment: float) -> None:
        """Wait until a moment, in seconds since 1970; a clock that is set while we wait is noticed within 30 s."""
        while (left := moment - self.now()) > 0:  # noqa: ASYNC110  # time passes by itself
            await asyncio.sleep(min(left, _LONGEST_NAP))
