"""Which moment is meant: an event's number, a step's address, `RUN@N`; and how long ago something may be."""

from __future__ import annotations

import re

from midstream.errors import ConfigError

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_AGO = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def moment_of(text: str) -> int | str | None:
    """Return what `--at` means: an event's number or a step's address; empty for the newest event."""
    if not text:
        return None
    return int(text) if text.isdecimal() else text


def split_moment(text: str) -> tuple[str, int | str | None]:
    """Return the run and the moment of `RUN@N`; of `@last` and `@last-failed`, no moment."""
    run, at, place = text.rpartition("@")
    if not at or not run or not place.isdecimal():
        return text, None
    return run, int(place)


def seconds_ago(text: str) -> float:
    """Return the seconds that `7d`, `12h`, `30m` or `90s` mean.

    Raises:
        ConfigError: It is none of them.
    """
    found = _AGO.fullmatch(text)
    if found is None:
        raise ConfigError(f"{text!r} is no span of time; write it as 90s, 30m, 12h, 7d or 2w")
    return float(found[1]) * _UNITS[found[2]]
