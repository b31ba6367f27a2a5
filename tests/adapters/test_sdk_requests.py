"""Every field and variant that the vendors' SDKs know of a request: home as it came, and anywhere else without a surprise."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from itertools import count, islice
from typing import Any

import pytest
from anthropic.types.beta import message_create_params as beta_messages
from anthropic.types.message_create_params import MessageCreateParamsNonStreaming
from google.genai import types as gemini
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming
from openai.types.responses.response_create_params import ResponseCreateParamsNonStreaming

from midstream.adapters.convert import convert
from midstream.adapters.wire import is_array, is_object
from midstream.errors import ConversionError
from tests.adapters.rules import violations
from tests.adapters.sdk_requests import variants
from tests.adapters.test_corpus import DIALECTS, RULES

Body = dict[str, Any]
ASKED: Body = {"role": "user", "parts": [{"text": "hi"}]}
OF_GEMINI: dict[str, tuple[Any, Callable[[Any], Body]]] = {
    "contents": (gemini.ContentDict, lambda one: {"contents": [ASKED, one]}),
    "tools": (gemini.ToolDict, lambda one: {"contents": [ASKED], "tools": [one]}),
    "toolConfig": (gemini.ToolConfigDict, lambda one: {"contents": [ASKED], "toolConfig": one}),
    "generationConfig": (
        gemini.GenerationConfigDict,
        lambda one: {"contents": [ASKED], "generationConfig": one},
    ),
    "safetySettings": (
        gemini.SafetySettingDict,
        lambda one: {"contents": [ASKED], "safetySettings": [one]},
    ),
    "systemInstruction": (
        gemini.ContentDict,
        lambda one: {"contents": [ASKED], "systemInstruction": one},
    ),
}
KNOW_NO_INSTRUCTIONS = ("o1-mini", "o1-preview")
"""Whose `system` turns are turns of the user; see "Listed differences" in docs/conversion.md."""
SPREAD = [pytest.param(9, id="spread"), pytest.param(1, id="whole", marks=pytest.mark.soak)]
# The oldest SDKs that are supported say 295 and 4,008 things in Chat Completions and Messages; newer ones say more.
LEAST = {"openai-chat": 280, "openai-responses": 1500, "anthropic": 4000, "gemini": 1000}
"""Requests that the types made when this was written; fewer would mean that the walk lost its way."""


def requests(name: str) -> Iterator[Body]:
    """Yield the requests of a dialect, each once, and each text in them unlike the others."""
    seen: set[str] = set()
    for made in _made(name):
        body: Body = _marked(json.loads(json.dumps(made, default=str)), count())
        key = json.dumps(body, sort_keys=True)
        if key not in seen:
            seen.add(key)
            yield body


def _made(name: str) -> Iterator[Body]:
    if name == "openai-chat":
        yield from variants(CompletionCreateParamsNonStreaming)
    elif name == "openai-responses":
        yield from variants(ResponseCreateParamsNonStreaming)
    elif name == "anthropic":
        yield from variants(MessageCreateParamsNonStreaming)
        yield from variants(beta_messages.MessageCreateParamsNonStreaming)
    else:
        for type_, body in OF_GEMINI.values():
            yield from (body(_camel(one)) for one in variants(type_))


def _camel(value: Any) -> Any:
    if is_object(value):
        return {re.sub("_(.)", lambda m: m[1].upper(), k): _camel(v) for k, v in value.items()}
    return [_camel(item) for item in value] if is_array(value) else value


def _marked(value: Any, marks: Iterator[int], key: str = "") -> Any:
    if is_object(value):
        return {name: _marked(item, marks, name) for name, item in value.items()}
    if is_array(value):
        return [_marked(item, marks, key) for item in value]
    return f"q{next(marks)}z" if value in ("text", "anything") and key != "type" else value


@pytest.mark.parametrize("name", DIALECTS)
def test_whatever_the_sdk_can_say_comes_home_as_it_was(name: str) -> None:
    made = 0
    for body in requests(name):
        made += 1
        found = convert(body, source=name, target=name)
        if not str(body.get("model")).startswith(KNOW_NO_INSTRUCTIONS):
            assert found.request == body
        assert found.losses == ()
    assert made >= LEAST[name]


@pytest.mark.parametrize("every", SPREAD)
@pytest.mark.parametrize("name", DIALECTS)
@pytest.mark.timeout(1800)
def test_whatever_the_sdk_can_say_is_valid_elsewhere_and_lost_only_with_a_word(
    name: str, every: int
) -> None:
    """A text that stands nowhere in the body is gone with a report, or is an id, which says nothing to others."""
    for body in islice(requests(name), 0, None, every):
        for target in DIALECTS:
            if target == name:
                continue
            there = convert(body, source=name, target=target)
            assert violations(RULES[target], there.request) == []
            told = json.dumps(there.request)
            gone = {key for key, mark in _texts(body) if mark not in told} - _SAYS_NOTHING
            assert not gone or there.losses or there.repairs


_SAYS_NOTHING = frozenset(("id", "model", "tool_use_id", "call_id", "role"))


def _texts(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    if is_object(value):
        for name, item in value.items():
            yield from _texts(item, name)
    elif is_array(value):
        for item in value:
            yield from _texts(item, key)
    elif isinstance(value, str) and re.fullmatch(r"q\d+z", value):
        yield key, value


def test_a_request_without_a_conversation_says_what_it_lacks() -> None:
    for name in ("openai-chat", "anthropic", "gemini"):
        with pytest.raises(ConversionError, match="give a whole request body"):
            convert({"model": "m"}, source=name, target=name)
