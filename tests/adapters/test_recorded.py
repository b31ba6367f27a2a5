"""Answers that other projects recorded from the services, where they are installed: all are read, and say the same again."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from midstream.adapters import Segment
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.anthropic import parse as of_messages
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.openai import parse as of_chat
from midstream.errors import MalformedAnswerError
from midstream.events.content import user

CORPUS = Path(os.environ.get("MIDSTREAM_SHARED", Path(__file__).parents[3] / "shared")) / "corpus"


def recorded(name: str) -> Iterator[dict[str, Any]]:
    source = CORPUS / f"{name}.jsonl.gz"
    if not source.exists():
        pytest.skip("the recorded exchanges are not installed")
    with gzip.open(source) as lines:
        for line in lines:
            row: dict[str, Any] = json.loads(line)
            if row["status"] == 200:
                yield row


def events(row: dict[str, Any]) -> list[Any]:
    if "response_chunks" in row:
        return [
            json.loads(item) if isinstance(item, str) else item for item in row["response_chunks"]
        ]
    found: list[Any] = []
    for block in row["response_sse"].replace("\r\n", "\n").split("\n\n"):
        data = "\n".join(line[5:].strip() for line in block.split("\n") if line.startswith("data:"))
        if data and data != "[DONE]":
            found.append(json.loads(data))
    return found


@pytest.mark.parametrize("name", ["openai_chat", "anthropic"])
def test_recorded_answers_are_read_and_rendered_as_they_were(name: str) -> None:
    module: Any = of_chat if name == "openai_chat" else of_messages
    adapter = OpenAIAdapter(api_key="k") if name == "openai_chat" else AnthropicAdapter(api_key="k")
    read = cut = 0
    for row in recorded(name):
        data = row.get("response_json")
        if data is None:
            assembly = module.Assembly({})
            for event in events(row):
                assembly.add(event)
            data = assembly.whole()
        try:
            found = module.parse(data, provider=adapter.provider, model=row["model"], names={})
        except MalformedAnswerError:
            cut += 1  # cut off by the recorder, or packed in a form of its own
            continue
        read += 1
        view = adapter.render(adapter.begin("m"), Segment(1, (user("x"), found.message)))
        again = module.parse(
            {**data, "content": view.tape.list()[1]["content"]}
            if name == "anthropic" and len(view.tape) > 1
            else data,
            provider=adapter.provider,
            model=row["model"],
            names={},
        )
        assert again.message == found.message
    assert read > 1000
    assert cut < read * 0.05
