"""Exchanges that other projects recorded from the services, where they are installed."""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared"))
COUNTED: Counter[str] = Counter()
"""How many exchanges were checked, and for what; printed at the end of a run."""
FILES = {
    "openai-chat": "openai_chat",
    "openai-responses": "openai_responses",
    "anthropic": "anthropic",
    "gemini": "google",
}


def exchanges(dialect: str, *, every: int) -> Iterator[dict[str, Any]]:
    """Iterate over one recorded exchange in so many; skips the test where there are none."""
    source = SHARED / "corpus" / f"{FILES[dialect]}.jsonl.gz"
    if not source.exists():
        pytest.skip("the recorded exchanges are not installed")
    with gzip.open(source) as lines:
        for number, line in enumerate(lines):
            if number % every == 0:
                row: dict[str, Any] = json.loads(line)
                yield row


def answer_of(row: dict[str, Any]) -> Any:
    """Return what was answered: JSON, the text of a stream, or a list of events; None where nothing was kept."""
    for key in ("response_json", "response_sse", "response_chunks"):
        if row.get(key):
            return row[key]
    return None
