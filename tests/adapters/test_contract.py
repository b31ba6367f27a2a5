"""What every adapter does with any conversation; the scripted one is the reference."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream.adapters import Adapter, ScriptedAdapter, Segment, View
from midstream.adapters.anthropic import AnthropicAdapter
from midstream.adapters.base import BulkAdapter
from midstream.adapters.gemini import GeminiAdapter
from midstream.adapters.openai import OpenAIAdapter
from midstream.adapters.responses import ResponsesAdapter
from midstream.events.content import Message, Part, Reasoning, Text, ToolCall, user
from midstream.events.payloads import Change
from tests.adapters import conversations as talk
from tests.adapters.rules import Dialect, violations

OPENAI = OpenAIAdapter(api_key="k")
RESPONSES = ResponsesAdapter(api_key="k")
ANTHROPIC = AnthropicAdapter(api_key="k")
GEMINI = GeminiAdapter(api_key="k")
TURNS = {"openai-responses": "input", "gemini": "contents"}
"""Where a request holds the conversation, if not in `messages`."""
MODELS: list[tuple[Adapter, Dialect, str]] = [
    (OPENAI, "openai", "gpt-4o"),
    (OPENAI, "openai", "gpt-5"),
    (OPENAI, "openai", "gpt-5.4-mini"),
    (OPENAI, "openai", "o1-mini"),
    (OPENAI, "openai", "gpt-4o-audio-preview"),
    (RESPONSES, "openai-responses", "gpt-4o"),
    (RESPONSES, "openai-responses", "gpt-5"),
    (RESPONSES, "openai-responses", "o1-mini"),
    (ANTHROPIC, "anthropic", "claude-sonnet-4-5"),
    (ANTHROPIC, "anthropic", "claude-opus-4-8"),
    (ANTHROPIC, "anthropic", "claude-fable-5"),
    (ANTHROPIC, "anthropic", "claude-3-haiku-20240307"),
    (GEMINI, "gemini", "gemini-2.5-flash"),
    (GEMINI, "gemini", "gemini-3-pro-preview"),
    (GEMINI, "gemini", "gemini-3.5-flash"),
    (GEMINI, "gemini", "gemma-3-27b-it"),
    (ScriptedAdapter({}), "openai", "scripted"),
]
IDS = [f"responses-{model}" if adapter is RESPONSES else model for adapter, _, model in MODELS]
LIGHT = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def told(adapter: Adapter, model: str, segments: tuple[Segment, ...]) -> View:
    view = adapter.begin(model)
    for segment in segments:
        view = adapter.render(view, segment)
    return view


def without_halves(segments: tuple[Segment, ...]) -> bool:
    try:
        repr(segments).encode()
        "".join(str(segment) for segment in segments).encode()
    except UnicodeEncodeError:
        return False
    return "\\ud83d" not in repr(segments)


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS, ids=IDS)
def test_results_of_nothing_are_nothing_after_a_call_that_was_interrupted(
    adapter: Adapter, dialect: Dialect, model: str
) -> None:
    call = Message(role="assistant", parts=(ToolCall(id="call_1", name="f"),))
    first = Segment(1, (call, Message(role="system", parts=())))
    view = told(adapter, model, (first, Segment(2, (Message(role="tool", parts=()),))))
    assert view.tape.list() == told(adapter, model, (first,)).tape.list()
    if not isinstance(adapter, ScriptedAdapter):
        assert violations(dialect, adapter.request(view, {}).body) == []


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS, ids=IDS)
@LIGHT
@given(data=st.data())
def test_a_view_begins_with_what_it_was(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    """I-1: what was told is never told otherwise."""
    segments = data.draw(talk.conversations())
    if model == "scripted" and not without_halves(segments):
        return
    view = adapter.begin(model)
    for segment in segments:
        before = json.dumps(list(map(repr, view.tape.list())))
        grown = adapter.render(view, segment)
        assert json.dumps(list(map(repr, grown.tape.list()[: len(view.tape)]))) == before
        if len(view.tape):
            for key in ("system", "systemInstruction"):
                assert grown.head.get(key) == view.head.get(key) or model == "scripted"
        view = grown


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS, ids=IDS)
@LIGHT
@given(data=st.data())
def test_the_same_segments_give_the_same_bytes(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    """H-126: and rendering changes nothing that was given to it."""
    segments = data.draw(talk.conversations())
    asked: dict[str, Any] = data.draw(talk.settings())
    if model == "scripted" and not without_halves(segments):
        return
    first, again = told(adapter, model, segments), told(adapter, model, segments)
    assert (first.digest, first.size, first.changes) == (again.digest, again.size, again.changes)
    one, two = adapter.request(first, asked), adapter.request(again, asked)
    assert repr(one.body) == repr(two.body)
    assert one.digest == two.digest
    assert len(first.tape) == len(again.tape)


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS[:-1], ids=IDS[:-1])
@LIGHT
@given(data=st.data())
def test_segments_told_at_once_are_told_as_one_by_one(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    segments = data.draw(talk.conversations())
    cut = data.draw(st.integers(min_value=0, max_value=len(segments)))
    assert isinstance(adapter, BulkAdapter)
    begun = told(adapter, model, segments[:cut])
    at_once = adapter.render_all(begun, segments[cut:])
    one_by_one, changes = begun, list[Change]()
    for segment in segments[cut:]:
        one_by_one = adapter.render(one_by_one, segment)
        changes += one_by_one.changes
    assert at_once.tape.list() == one_by_one.tape.list()
    assert b"".join(at_once.spoken.pieces()) == b"".join(one_by_one.spoken.pieces())
    assert (at_once.head, at_once.state, at_once.open, at_once.size) == (
        one_by_one.head,
        one_by_one.state,
        one_by_one.open,
        one_by_one.size,
    )
    assert at_once.digest == one_by_one.digest
    if segments[cut:]:
        assert list(at_once.changes) == changes
    assert adapter.request(at_once, {}).body == adapter.request(one_by_one, {}).body


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS[:-1], ids=IDS[:-1])
@LIGHT
@given(data=st.data())
def test_whatever_was_said_the_request_is_valid(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    """At every point of the conversation, since a model may be asked at any."""
    asked: dict[str, Any] = data.draw(talk.settings())
    view = adapter.begin(model)
    assert violations(dialect, adapter.request(view, asked).body, model) == []
    for segment in data.draw(talk.conversations()):
        view = adapter.render(view, segment)
        assert violations(dialect, adapter.request(view, asked).body, model) == []


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS[:-1], ids=IDS[:-1])
@LIGHT
@given(data=st.data())
def test_the_answer_to_a_request_is_rendered_after_what_was_sent(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    """I-1: a signature binds an answer to its request, with whatever the request had to add to the view."""
    view = told(adapter, model, data.draw(talk.conversations()))
    body = adapter.request(view, {}).body
    sent = list(body[TURNS.get(dialect, "messages")])
    answer = Message(
        role="assistant", parts=(Text(text="so"),), origin=f"{adapter.provider}:{model}"
    )
    after = adapter.render(view, Segment(99, (answer,)))
    if not len(view.tape) and not view.state.get("waiting"):
        return  # a conversation may begin with an answer
    assert after.tape.list()[: len(sent)] == sent


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS[:-1], ids=IDS[:-1])
@LIGHT
@given(data=st.data())
def test_every_text_call_and_result_is_told_or_reported(
    adapter: Adapter, dialect: Dialect, model: str, data: st.DataObject
) -> None:
    """I-2: nothing is lost in silence."""
    words = [f"w{number}w" for number in range(40)]
    used: list[str] = []

    def marked(message: Message) -> Message:
        parts: list[Part] = []
        for part in message.parts:
            word = words[len(used) % len(words)]
            if isinstance(part, Text | Reasoning):
                used.append(word)
                part = part.model_copy(update={"text": word})
            elif isinstance(part, ToolCall):
                used.append(word)
                arguments = json.dumps({"w": word})
                part = part.model_copy(update={"arguments": arguments})
            parts.append(part)
        return message.model_copy(update={"parts": tuple(parts)})

    segments = data.draw(talk.conversations())
    view = adapter.begin(model)
    kinds: set[str] = set()
    for segment in segments:
        messages = tuple(marked(message) for message in segment.messages)
        view = adapter.render(view, Segment(segment.seq, messages, segment.system, segment.tools))
        kinds |= {change.kind for change in view.changes}
        assert all(change.seq == segment.seq for change in view.changes)
    body = json.dumps(adapter.request(view, {}).body)
    missing = [word for word in used[: len(words)] if word not in body]
    assert not missing or kinds & {"reasoning_dropped", "part_dropped"}


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS, ids=IDS)
def test_a_branch_leaves_the_other_as_it_was(
    adapter: Adapter, dialect: Dialect, model: str
) -> None:
    trunk = told(adapter, model, (Segment(1, (user("a"),)),))
    left = adapter.render(trunk, Segment(2, (user("left"),)))
    right = adapter.render(trunk, Segment(2, (user("right"),)))
    assert "left" not in repr(right.tape.list())
    assert "right" not in repr(left.tape.list())
    assert left.digest != right.digest


@pytest.mark.parametrize(("adapter", "dialect", "model"), MODELS[:-1], ids=IDS[:-1])
def test_the_digest_of_a_request_depends_on_what_was_told_and_asked(
    adapter: Adapter, dialect: Dialect, model: str
) -> None:
    view = told(adapter, model, (Segment(1, (user("a"),)),))
    other = told(adapter, model, (Segment(1, (user("a"),), system="short"),))
    digests = {
        adapter.request(view, {}).digest,
        adapter.request(view, {"max_tokens": 5}).digest,
        adapter.request(other, {}).digest,
    }
    assert len(digests) == 3
    assert all(len(bytes.fromhex(digest)) == 32 for digest in digests)
