"""Requests that the services took, recorded by other projects, are taken by the judge."""

from __future__ import annotations

import gzip
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midstream.testing import WireDialect, judge

_BESIDE = Path(__file__).resolve().parents[2].parent / "shared" / "corpus"
CORPUS = Path(os.environ.get("MIDSTREAM_CORPUS", _BESIDE))
SAMPLE = 400

_ASKED = "model of the address"
RETIRED = re.compile(r"claude-3-opus|gpt-4-vision-preview")
"""In 2024 ids were not compared, and an image was a bare string; these models are gone, and the rules stayed."""


def accepted(file: str, provider: str) -> Iterator[dict[str, Any]]:
    path = CORPUS / file
    if not path.exists():
        pytest.skip(f"no recorded requests at {path}")
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            first_party = row["provider"] == provider and row["status"] == 200
            if first_party and isinstance(row["request_json"], dict):
                yield {**row["request_json"], _ASKED: row["model"] or ""}


@pytest.mark.parametrize(
    ("dialect", "file", "provider"),
    [
        ("openai-chat", "openai_chat.jsonl.gz", "openai"),
        ("openai-responses", "openai_responses.jsonl.gz", "openai"),
        ("anthropic", "anthropic.jsonl.gz", "anthropic"),
        ("gemini", "google.jsonl.gz", "google"),
    ],
)
def test_no_request_that_the_vendor_took_is_refused(
    dialect: WireDialect, file: str, provider: str
) -> None:
    requests = list(accepted(file, provider))
    sample = requests[:: max(1, len(requests) // SAMPLE)]

    refused = [
        (request.get("model"), violation)
        for request in sample
        if not RETIRED.match(str(request.get("model")))
        for violation in judge(dialect, request, model=request.pop(_ASKED))
    ]

    assert len(sample) >= SAMPLE
    assert refused == []
