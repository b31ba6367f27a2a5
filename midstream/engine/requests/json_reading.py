"""Finding the JSON in what a model answers, whatever stands around it."""

from __future__ import annotations

import json
from typing import Any

_LONGEST = 50_000
_TRIES = 20


def json_in(text: str) -> dict[str, Any] | None:
    """Return the first JSON object in a text, fenced or not, or None; a text of any length takes bounded work."""
    decoder = json.JSONDecoder()
    text = text[:_LONGEST]
    place = -1
    for _ in range(_TRIES):
        place = text.find("{", place + 1)
        if place < 0:
            return None
        try:
            found, _end = decoder.raw_decode(text, place)
        except (ValueError, RecursionError):
            continue
        if isinstance(found, dict):
            return found  # pyright: ignore[reportUnknownVariableType]  # JSON: its keys are text
    return None
