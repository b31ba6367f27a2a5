"""What the headers of an answer say of limits, in one form for all vendors.

Source: platform.openai.com/docs/guides/rate-limits (`x-ratelimit-*`, with times such as `6m0s`), and
docs.anthropic.com/en/api/rate-limits (`anthropic-ratelimit-*`, with times in RFC 3339).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


@dataclass(frozen=True, slots=True)
class Said:
    """What is left, and when it is more again, in seconds since 1970; None where nothing is said.

    Attributes:
        requests_left: Requests.
        requests_reset: When.
        tokens_left: Tokens.
        tokens_reset: When.
    """

    requests_left: int | None = None
    requests_reset: float | None = None
    tokens_left: int | None = None
    tokens_reset: float | None = None


NOTHING = Said()
"""Said by whoever says nothing of limits."""


def read_limits(headers: Mapping[str, str], now: float) -> Said:
    """Return what the headers of an answer say of limits.

    Args:
        headers: By name, in lower case.
        now: In seconds since 1970; some times count from it.
    """
    found: dict[str, float | None] = {}
    for what in ("requests", "tokens"):
        for prefix, left, reset in (
            ("x-ratelimit-", f"remaining-{what}", f"reset-{what}"),
            ("anthropic-ratelimit-", f"{what}-remaining", f"{what}-reset"),
        ):
            number = _number(headers.get(prefix + left))
            moment = _moment(headers.get(prefix + reset), now)
            if number is not None and moment is not None:
                found[f"{what}_left"], found[f"{what}_reset"] = number, moment
    requests, tokens = found.get("requests_left"), found.get("tokens_left")
    return Said(
        None if requests is None else int(requests),
        found.get("requests_reset"),
        None if tokens is None else int(tokens),
        found.get("tokens_reset"),
    )


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and text.strip().isdigit() else None


def _moment(text: str | None, now: float) -> float | None:
    if not text:
        return None
    spans = _SPAN.findall(text)
    if spans and "".join(number + unit for number, unit in spans) == text.strip():
        return now + sum(float(number) * _UNITS[unit] for number, unit in spans)
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
    except ValueError:
        number = _number(text)
        return None if number is None else now + number
