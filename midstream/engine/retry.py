"""When to try again: a policy, and the delay it gives, pure and the same in every process."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from pydantic import JsonValue

from midstream.errors import ConfigError

TRANSIENT = frozenset(
    (
        "transient",
        "rate_limit",
        "overloaded",
        "unavailable",
        "connection",
        "timeout",
        "malformed_answer",
        "no_endpoint",
    )
)
"""The kinds of errors that another try may cure: those of `TransientError`, and `timeout`."""


ANY = frozenset(("*",))
"""Whatever went wrong is tried again."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often to try, and how long to wait in between.

    Attributes:
        attempts: At most so many, the first one included.
        delay: Seconds before the second attempt.
        factor: What each further delay is multiplied by.
        longest: Seconds that no delay exceeds, unless the provider asked for more.
        jitter: The part of a delay that is left to chance, 0 to 1; the chance is seeded by the run and the step, so that
            a replay waits as long.
        on: The kinds of errors that are tried again: kinds of adapter errors, `timeout`, names of exception classes, or
            `*` for any.
    """

    attempts: int = 3
    delay: float = 1.0
    factor: float = 2.0
    longest: float = 60.0
    jitter: float = 0.2
    on: frozenset[str] = TRANSIENT

    def __post_init__(self) -> None:
        if self.attempts < 1 or self.delay < 0 or self.factor < 1 or not 0 <= self.jitter <= 1:
            raise ConfigError(
                f"{self!r}: attempts must be 1 or more, delay 0 or more, factor 1 or more, jitter between 0 and 1"
            )

    def due(
        self, kind: str, attempt: int, *, now: float, seed: str, retry_after: float | None = None
    ) -> float | None:
        """Return when the next attempt is due, in seconds since 1970, or None where there is none.

        Args:
            kind: The kind of error of the attempt that failed.
            attempt: Which attempt failed, from 1.
            now: In seconds since 1970.
            seed: What the jitter depends on.
            retry_after: Seconds the provider asked for; waited for even where it is longer than `longest`.
        """
        if attempt >= self.attempts or not (kind in self.on or "*" in self.on):
            return None
        delay = self._grown(attempt)
        delay *= 1 - self.jitter * _chance(f"{seed}:{attempt}")
        return now + max(delay, retry_after or 0.0)

    def _grown(self, attempt: int) -> float:
        try:
            return min(self.delay * self.factor ** (attempt - 1), self.longest)
        except OverflowError:  # more than any float, so more than the longest
            return self.longest if self.delay else 0.0

    def data(self) -> dict[str, JsonValue]:
        """Return the policy as data, for a graph's definition."""
        return {
            "attempts": self.attempts,
            "delay": self.delay,
            "factor": self.factor,
            "longest": self.longest,
            "jitter": self.jitter,
            "on": list[JsonValue](sorted(self.on)),
        }

    @classmethod
    def of(cls, data: Mapping[str, JsonValue]) -> Retry:
        """Return the policy that `data` describes."""
        given: dict[str, object] = {**data, "on": frozenset[object](data["on"])}  # type: ignore[arg-type]  # a list
        return cls(**given)  # type: ignore[arg-type]  # written by `data`


NEVER = Retry(attempts=1)
"""One attempt."""

MODEL_RETRY = Retry(attempts=5, delay=0.5, factor=2.0, longest=30.0)
"""For model calls, unless told otherwise: five attempts within some 8 seconds, or as the provider asks."""


def _chance(seed: str) -> float:
    return int.from_bytes(sha256(seed.encode()).digest()[:8], "big") / 2**64
