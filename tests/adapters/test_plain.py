"""Ordinary turns told by the short way are what they are by the long one: the same words, bytes, losses and memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from midstream.adapters.anthropic import render as anthropic
from midstream.adapters.base import rendered
from midstream.adapters.compatible.profiles import MISTRAL
from midstream.adapters.frame import Frame
from midstream.adapters.gemini import render as gemini
from midstream.adapters.growing import Tape, Unread
from midstream.adapters.imitation import INSTRUCTION
from midstream.adapters.openai import render as chat
from midstream.adapters.plain import Plain
from midstream.adapters.responses import render as responses
from midstream.adapters.telling import Fit
from midstream.adapters.view import View
from midstream.events.content import (
    Message,
    Part,
    Segment,
    Text,
    ToolCall,
    ToolResult,
    ToolSpec,
    assistant,
    user,
)
from tests.adapters import conversations as talk
from tests.adapters.test_contract import MODELS

LIGHT = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
TOLD = [(adapter, model) for adapter, _, model in MODELS if model != "scripted"]
WORDS = st.sampled_from(
    ["hello", "hello", "hello", "two\nlines: é", INSTRUCTION + "x", " tail ", "", " ", "\ud83d"]
)
IDS = st.sampled_from(["call_1", "call_2", "toolu_3", "call-4", 'call"', "é", ""])
CALLED = st.sampled_from(["f", "f", "g", "a tool", "n" * 70])
ARGUMENTS = st.sampled_from(
    ['{"a": 1}', '{"a": 1}', "{}", "", "[]", '{"n":1e999}', '{"a":"\ud83d"}']
)
SPOKEN = st.sampled_from(["", "", "", "openai", "openai-responses", "anthropic", "gemini"])


@st.composite
def texts(draw: st.DrawFn) -> Text:
    text = Text(text=draw(WORDS))
    if draw(st.integers(0, 9)) == 0:
        return text.model_copy(update={"hints": {"anthropic": {"cache_control": {"type": "e"}}}})
    return draw(talk.cited()) if draw(st.integers(0, 9)) == 0 else text


@st.composite
def answers(draw: st.DrawFn) -> Message:
    calls = st.builds(
        ToolCall,
        id=IDS,
        name=CALLED,
        arguments=ARGUMENTS,
        form=st.sampled_from(["json", "json", "json", "text"]),
    )
    parts: list[Part] = [*draw(st.lists(texts(), max_size=2)), *draw(st.lists(calls, max_size=2))]
    if draw(st.integers(0, 9)) == 0:
        parts = list(draw(st.permutations(parts)))
    return Message(
        role="assistant",
        parts=tuple(parts),
        origin=draw(talk.ORIGINS),
        dialect=draw(SPOKEN),
        unsaid=draw(st.sampled_from([(), (), (), ("x",)])),
    )


def returned(draw: st.DrawFn, calls: tuple[ToolCall, ...]) -> Message:
    parts: list[Part] = [
        ToolResult(
            id=call.id,
            name=call.name,
            parts=tuple(
                draw(st.lists(texts(), min_size=1, max_size=draw(st.sampled_from([1, 1, 2]))))
            ),
            is_error=draw(st.booleans()),
        )
        for call in calls
    ]
    if draw(st.integers(0, 9)) == 0:
        parts = list(draw(st.permutations(parts)))[: draw(st.integers(0, 2))]
    return Message(role="tool", parts=tuple(parts), dialect=draw(SPOKEN))


@st.composite
def ordinary(draw: st.DrawFn) -> tuple[Segment, ...]:
    """Conversations as most are, with something else in them now and then."""
    tool = ToolSpec(name="f", parameters={"type": "object"})
    found = [Segment(1, (user("hi"),), draw(st.none() | st.just("Be kind.")), (tool,))]
    for _ in range(draw(st.integers(1, 6))):
        said: list[Message] = []
        if draw(st.integers(0, 4)):
            asked = draw(st.lists(texts(), min_size=1, max_size=draw(st.sampled_from([1, 1, 2]))))
            said.append(Message(role="user", parts=tuple(asked), dialect=draw(SPOKEN)))
        said.append(draw(answers()))
        interrupted = draw(st.integers(0, 5)) == 0
        if said[-1].tool_calls and not interrupted:
            said.append(returned(draw, said[-1].tool_calls))
        if draw(st.integers(0, 9)) == 0:
            said.append(draw(talk.messages()))
        found += [Segment(len(found) + place, (message,)) for place, message in enumerate(said, 1)]
    return tuple(found)


def all_of(view: View) -> dict[str, Any]:
    return {
        "items": view.tape.list(),
        "text": b"".join(view.spoken.pieces()),
        "head": view.head,
        "open": view.open,
        "changes": view.changes,
        "digest": view.digest,
        "size": view.size,
        "state": view.state,
    }


@pytest.mark.parametrize(("adapter", "model"), TOLD)
def test_the_short_way_says_what_the_long_one_says(
    adapter: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: Plain, segments: Iterator[Segment]) -> Segment | None:
        return next(segments, None)

    @LIGHT
    @given(ordinary())
    def law(segments: tuple[Segment, ...]) -> None:
        short = rendered(adapter, adapter.begin(model), segments)
        with monkeypatch.context() as patch:
            patch.setattr(Plain, "plainly", never)
            long = rendered(adapter, adapter.begin(model), segments)
        assert all_of(short) == all_of(long)
        one, other = adapter.request(short, {}), adapter.request(long, {})
        assert (one.body, one.changes, one.digest) == (other.body, other.changes, other.digest)

    law()


@pytest.mark.parametrize(("adapter", "model"), TOLD)
def test_ordinary_turns_go_the_short_way(
    adapter: Any, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long: list[Segment] = []
    told = Frame._told  # pyright: ignore[reportPrivateUsage]

    def counted(self: Frame, segment: Segment) -> tuple[ToolCall, ...]:
        long.append(segment)
        return told(self, segment)

    monkeypatch.setattr(Frame, "_told", counted)
    call = ToolCall(id="call_1", name="f", arguments='{"a": 1}')
    result = ToolResult(id="call_1", name="f", parts=(Text(text="found"),))
    said = (
        user("first"),
        assistant("I look.", call),
        Message(role="tool", parts=(result,)),
        assistant("Here."),
        user("Thanks."),
    )
    segments = [Segment(seq, (message,)) for seq, message in enumerate(said, 1)]
    rendered(adapter, adapter.begin(model), segments)
    assert long == segments[:1]


@pytest.mark.parametrize("fit", [chat.IDS, responses.IDS, anthropic.IDS, gemini.IDS, MISTRAL.ids])
def test_an_id_that_is_a_word_is_one_that_the_provider_takes(fit: Fit) -> None:
    @given(st.text("abz_XYZ019é-\ud83d", max_size=12))
    def law(id_: str) -> None:
        word = id_.isidentifier() and id_.isascii() and len(id_) <= fit.longest
        assert not (fit.words and word) or fit.holds(id_)

    law()


@pytest.mark.parametrize(("adapter", "model"), TOLD)
@pytest.mark.parametrize("id_", ["call-1", "call_1", 'a"b\\c', "x" * 300, "é", "half \ud83d", ""])
@pytest.mark.parametrize("name", ["f", "a tool", "n" * 200])
def test_a_result_finds_its_call_whatever_that_is_called(
    adapter: Any, model: str, id_: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(_: Plain, segments: Iterator[Segment]) -> Segment | None:
        return next(segments, None)

    result = ToolResult(id=id_, name=name, parts=(Text(text="found"),))
    turns: list[tuple[Message, ...]] = [
        (user("hi"),),
        (user("and"), assistant("", ToolCall(id=id_, name=name))),
        (Message(role="tool", parts=(result,)),),
        (assistant("More."),),
        (assistant("I look.", ToolCall(id=id_, name=name)),),
        (Message(role="tool", parts=(result,)),),
    ]
    segments = [Segment(seq, said) for seq, said in enumerate(turns, 1)]
    short = rendered(adapter, adapter.begin(model), segments)
    by_turns = adapter.begin(model)
    for segment in segments:
        by_turns = adapter.render(by_turns, segment)
    with monkeypatch.context() as patch:
        patch.setattr(Plain, "plainly", never)
        long = rendered(adapter, adapter.begin(model), segments)
    assert all_of(short) == all_of(long)
    assert all_of(by_turns) | {"changes": ()} == all_of(long) | {"changes": ()}


VALUES = st.lists(st.integers() | st.text("ab\n,") | st.lists(st.booleans()), max_size=4)


@given(st.lists(st.tuples(st.booleans(), VALUES), max_size=6), st.integers(0, 12))
def test_a_tape_lists_what_was_put_on_it_written_or_not(
    parts: list[tuple[bool, list[Any]]], start: int
) -> None:
    whole: list[Any] = []
    tapes = [(Tape(), 0)]
    for written, values in parts:
        values = [v % 10**9 if isinstance(v, int) else v for v in values]
        stretched = written and bool(values)
        items = [Unread(b"," + orjson.dumps(values)[1:-1])] if stretched else values
        tapes.append((tapes[-1][0].extended(items, len(values)), len(whole) + len(values)))
        whole += values
    for tape, length in tapes:
        assert tape.list() == whole[:length]
        assert tape.list(start) == whole[start:length]
        assert len(tape) == length


def test_a_branch_of_a_tape_keeps_what_both_have() -> None:
    trunk = Tape().extended([{"a": 1}]).extended([Unread(b',{"b":2},{"c":3}')], 2)
    one, other = trunk.extended([{"d": 4}]), trunk.extended([Unread(b',{"e":5}')], 1)
    assert one.list() == [{"a": 1}, {"b": 2}, {"c": 3}, {"d": 4}]
    assert other.list(1) == [{"b": 2}, {"c": 3}, {"e": 5}]
    assert (len(trunk), trunk.list(2)) == (3, [{"c": 3}])
