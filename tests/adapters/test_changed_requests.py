"""Requests that differ from what anybody recorded: home as they came, valid elsewhere, and never an error without a type."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from midstream.adapters.convert import answered, convert
from midstream.adapters.dialect import dialect
from midstream.adapters.wire import is_array
from midstream.errors import ConversionError
from tests.adapters.changed_requests import TURNS, Body, changed
from tests.adapters.corpus import COUNTED
from tests.adapters.rules import violations
from tests.adapters.test_convert import LIGHT, NAMES, requests
from tests.adapters.test_corpus import RULES, SAMPLED, Every, accepted

SEEDS = st.integers(min_value=0, max_value=2**32)
NO_INSTRUCTIONS = ("o1-mini", "o1-preview")


def check(name: str, body: Body) -> None:
    """Raise where a request does not come home, or is not valid elsewhere."""
    try:
        home = convert(body, source=name, target=name)
    except ConversionError:
        return  # what is no list of turns is no conversation
    if not str(body.get("model")).startswith(NO_INSTRUCTIONS):
        assert home.request == body
    assert home.losses == ()
    for target in NAMES:
        if target != name:
            there = convert(body, source=name, target=target)
            assert violations(RULES[target], there.request) == []


@pytest.mark.parametrize("name", NAMES)
@LIGHT
@given(data=st.data())
def test_a_changed_request_comes_home_as_it_came_and_is_valid_elsewhere(
    name: str, data: st.DataObject
) -> None:
    body = changed(name, data.draw(requests(name)), data.draw(SEEDS))
    turns = body.get(TURNS[name])
    if not is_array(turns) or None not in turns:
        check(name, body)


@pytest.mark.parametrize("every", SAMPLED)
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.timeout(1800)
def test_a_recorded_request_that_was_changed_comes_home_and_is_valid_elsewhere(
    name: str, every: Every
) -> None:
    for number, row in enumerate(accepted(name, every)):
        for seed in (3 * number, 3 * number + 1, 3 * number + 2):
            check(name, changed(name, row["request_json"], seed))
            COUNTED[f"{name}: changed requests, home and elsewhere"] += 1


STREAMS: dict[str, str] = {
    "openai-chat": (
        'data: {"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":"Hé"}}]}\n\n'
        'data: {"id":"c","choices":[{"index":0,"delta":{"content":"llo"},"finish_reason":"stop"}]}'
        "\n\ndata: [DONE]\n\n"
    ),
    "openai-responses": (
        "event: response.created\n"
        'data: {"type":"response.created","response":{"id":"r","status":"in_progress"}}\n\n'
        "event: response.completed\n"
        'data: {"type":"response.completed","response":{"id":"r","status":"completed","output":'
        '[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":'
        '[{"type":"output_text","text":"Héllo","annotations":[]}]}]}}\n\n'
    ),
    "anthropic": (
        "event: message_start\n"
        'data: {"type":"message_start","message":{"id":"m","role":"assistant","content":[]}}\n\n'
        "event: content_block_start\n"
        'data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}'
        "\n\nevent: content_block_delta\n"
        'data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Héllo"}}'
        "\n\nevent: content_block_stop\n"
        'data: {"type":"content_block_stop","index":0}\n\n'
        "event: message_delta\n"
        'data: {"type":"message_delta","delta":{"stop_reason":"end_turn"},"usage":{}}\n\n'
        'event: message_stop\ndata: {"type":"message_stop"}\n\n'
    ),
    "gemini": (
        'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hé"}]}}]}\n\n'
        'data: {"candidates":[{"content":{"role":"model","parts":[{"text":"llo"}]},'
        '"finishReason":"STOP"}]}\n\n'
    ),
}
SHAPES: dict[str, Callable[[str], str]] = {
    "CRLF": lambda text: text.replace("\n", "\r\n"),
    "CR": lambda text: text.replace("\n", "\r"),
    "no space": lambda text: text.replace("data: ", "data:").replace("event: ", "event:"),
    "comments": lambda text: ": keep-alive\n\n" + text.replace("\n\n", "\n\n: ping\n\n"),
    "pings": lambda text: 'event: ping\ndata: {"type": "ping"}\n\n' + text,
    "no end mark": lambda text: text.replace("data: [DONE]\n\n", ""),
    "no last blank": lambda text: text.rstrip("\n"),
    "byte order mark": lambda text: "\ufeff" + text,
    "retry": lambda text: "retry: 3000\n" + text,
    "data over lines": lambda text: text.replace("data: {", "data: {\ndata: "),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_a_stream_says_the_same_in_whatever_shape_it_comes(name: str, shape: str) -> None:
    go = dialect(name)
    found = answered(SHAPES[shape](STREAMS[name]), go, "m")
    assert found == answered(STREAMS[name], go, "m")
    assert found.text == "Héllo"
