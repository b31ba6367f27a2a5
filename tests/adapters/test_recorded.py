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
from midstream.adapters.responses import ResponsesAdapter
from midstream.adapters.responses import parse as of_responses
from midstream.errors import MalformedAnswerError
from midstream.events.content import user

_NOT_GIVEN_BACK = {
    "reasoning_dropped",  # recorded without its encrypted body
    "server_tool_degraded",
    "citations_dropped",
    "opaque_dropped",
    "hint_dropped",  # the phase of its words, beside what else was dropped
    "server_tool_dropped",
}
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


ADAPTERS: dict[str, tuple[Any, OpenAIAdapter | AnthropicAdapter]] = {
    "openai_chat": (of_chat, OpenAIAdapter(api_key="k")),
    "openai_responses": (of_responses, ResponsesAdapter(api_key="k")),
    "anthropic": (of_messages, AnthropicAdapter(api_key="k")),
}


@pytest.mark.parametrize("name", ["openai_chat", "openai_responses", "anthropic"])
def test_recorded_answers_are_read_and_rendered_as_they_were(name: str) -> None:
    module, adapter = ADAPTERS[name]
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
        view = adapter.render(adapter.begin("gpt-5"), Segment(1, (user("x"), found.message)))
        if name == "openai_responses":
            items, changed = view.tape.list()[1:], view.changes
            assert {change.kind for change in changed} <= _NOT_GIVEN_BACK
            assert changed or items == module.wire_of(data["output"], data["id"])
            continue
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


def test_a_recorded_stream_of_items_says_what_its_last_event_says() -> None:
    """Some servers leave the output of the last event empty; then the items that came before it are the answer."""
    read = 0
    for row in recorded("openai_responses"):
        found = [] if row.get("response_json") else events(row)
        if not found or found[-1].get("type") != "response.completed":
            continue
        whole, pieces = of_responses.Assembly({}), of_responses.Assembly({})
        for event in found[:-1]:
            pieces.add(event)
            whole.add(event)
        last = found[-1]
        whole.add(last)
        pieces.add({**last, "response": {**last["response"], "output": []}})
        kinds = [
            [item["type"] for item in assembly.whole()["output"]] for assembly in (whole, pieces)
        ]
        assert kinds[0] == kinds[1]
        read += 1
    assert read > 200
