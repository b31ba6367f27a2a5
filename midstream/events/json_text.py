"""Reading JSON without losing digits: an integer that has no place in 64 bits stays an integer."""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_LONG = re.compile(r"\d{19}")
_LONG_BYTES = re.compile(rb"\d{19}")


def read_json(text: str | bytes) -> Any:
    """Return what the JSON says; integers of any length are exact.

    orjson reads an integer above 64 bits as a float, silently. Such a text is read again, by the standard library.

    Raises:
        json.JSONDecodeError: It is not JSON; NaN and infinities are not.
    """
    value = orjson.loads(text)
    long = _LONG.search(text) if isinstance(text, str) else _LONG_BYTES.search(text)
    if long is None:
        return value
    try:
        return json.loads(text)
    except RecursionError:  # deeper than the standard library reads
        return value
