"""What is done where the code of a run has changed since it was started: a graph says it, an engine, or who resumes."""

from __future__ import annotations

from typing import Literal

from midstream.errors import ConfigError

OnChange = Literal["pin", "upgrade"]
"""What is done where a run's code has changed: refuse it, or go on with it where what has begun is the same."""


def checked_policy(on_change: str) -> OnChange:
    """Return the policy.

    Raises:
        ConfigError: There is no such policy.
    """
    if on_change == "pin":
        return "pin"
    if on_change == "upgrade":
        return "upgrade"
    raise ConfigError(f"on_change must be 'pin' or 'upgrade', not {on_change!r}")
