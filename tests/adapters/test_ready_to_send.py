"""A request in the bytes that are sent says what its body says, and segments told at once are what they are one by one."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import rendered
from midstream.adapters.growing import BLOCK, Spoken
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.events.content import Segment
from midstream.events.json_text import read_json
from tests.adapters import conversations as talk

ADAPTERS: dict[str, Any] = {
    "gpt-4o": OpenAIAdapter(api_key="k"),
    "gpt-5": ResponsesAdapter(api_key="k"),
    "claude-opus-4-8": AnthropicAdapter(api_key="k"),
}
LIGHT = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.mark.parametrize("model", ADAPTERS)
def test_the_bytes_of_a_request_are_its_body(model: str) -> None:
    adapter = ADAPTERS[model]

    @LIGHT
    @given(talk.conversations())
    def law(segments: list[Segment]) -> None:
        view = rendered(adapter, adapter.begin(model), segments)
        request = adapter.request(view, {"max_tokens": 99})
        assert read_json(b"".join(request.chunks())) == request.body
        more = read_json(b"".join(request.chunks(stream=True)))
        assert more == {**request.body, "stream": True}

    law()


@pytest.mark.parametrize("model", ADAPTERS)
def test_segments_told_at_once_are_what_they_are_one_by_one(model: str) -> None:
    adapter = ADAPTERS[model]

    @LIGHT
    @given(talk.conversations())
    def law(segments: list[Segment]) -> None:
        view, changes = adapter.begin(model), list[Any]()
        for segment in segments:
            view = adapter.render(view, segment)
            changes += view.changes
        whole = rendered(adapter, adapter.begin(model), segments)
        assert whole.tape.list() == view.tape.list()
        assert (whole.head, whole.open, whole.size, whole.digest) == (
            view.head,
            view.open,
            view.size,
            view.digest,
        )
        assert whole.changes == tuple(changes)
        assert b"".join(whole.spoken.pieces()) == b"".join(view.spoken.pieces())

    law()


def test_a_long_conversation_is_few_pieces_and_branches_share_them() -> None:
    text, whole = Spoken(), b""
    fork, forked = text, whole
    for number in range(5_000):
        piece = b',"%d"' % number + b" " * 100
        text, whole = text.extended(piece), whole + piece
        if number == 2_500:
            fork, forked = text.extended(b",true"), whole + b",true"
    assert b"".join(text.pieces()) == whole[1:]
    assert b"".join(fork.pieces()) == forked[1:]
    assert len(text.pieces()) < 10 + len(whole) / BLOCK * 2
